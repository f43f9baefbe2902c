//! `tare network rm`.

use std::ffi::OsString;

use engine::Engine;
use engine::networks;
use stdx::Kind;

use crate::error::{Failure, for_each};
use crate::table::out;

/// Remove networks that no running container is in
#[derive(clap::Parser, Debug)]
#[command(name = "tare network rm")]
pub(crate) struct Args {
    /// Do not mind one that does not exist
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "NETWORK", required = true)]
    names: Vec<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    for_each(&args.names, |name| {
        match networks::remove(engine, name) {
            Err(error) if args.force && error.kind() == Kind::NotFound => {}
            removed => drop(removed?),
        }
        out(&format!("{name}\n"));
        Ok(())
    })
}
