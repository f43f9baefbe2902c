//! `tare update`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::options::parse;
use engine::containers::{find, update};
use stdx::Error;

use crate::error::{Failure, for_each};
use crate::limit_args::LimitArgs;
use crate::table::out;

/// Change the limits of containers, running or not
#[derive(clap::Parser, Debug)]
#[command(name = "tare update")]
pub(crate) struct Args {
    #[command(flatten)]
    limits: LimitArgs,
    /// When to start the container again: no, on-failure[:NUMBER], always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let restart = args.restart.as_deref().map(parse::restart).transpose()?;
    let changes = update::Changes { resources: args.limits.resources()?, nano_cpus: args.limits.nano_cpus()?, restart };
    if changes == update::Changes::default() {
        return Err(Error::invalid("you must provide one or more limits to change").into());
    }
    for_each(&args.containers, |name| {
        let warnings = update::update(engine, &find::find(engine, name)?, &changes)?;
        warnings.iter().for_each(|warning| eprintln!("WARNING: {warning}"));
        out(&format!("{name}\n"));
        Ok(())
    })
}
