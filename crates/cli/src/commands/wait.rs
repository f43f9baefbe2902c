//! `tare wait`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{find, wait};

use crate::error::{Failure, for_each};
use crate::table::out;

/// Wait until containers end, then print their exit codes
#[derive(clap::Parser, Debug)]
#[command(name = "tare wait")]
pub(crate) struct Args {
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    for_each(&args.containers, |name| {
        let code = wait::wait(engine, &find::find(engine, name)?, None)?;
        out(&format!("{}\n", code.unwrap_or_default()));
        Ok(())
    })
}
