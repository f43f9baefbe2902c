//! `tare restart`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{find, restart};

use super::stop::How;
use crate::error::{Failure, for_each};
use crate::table::out;

/// Stop and start containers
#[derive(clap::Parser, Debug)]
#[command(name = "tare restart")]
pub(crate) struct Args {
    #[command(flatten)]
    how: How,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let signal = args.how.signal()?;
    for_each(&args.containers, |name| {
        let warnings = restart::restart(engine, &find::find(engine, name)?, signal, args.how.timeout)
            .map_err(|error| Failure::new(1, error.error))?;
        warnings.iter().for_each(|warning| eprintln!("WARNING: {warning}"));
        out(&format!("{name}\n"));
        Ok(())
    })
}
