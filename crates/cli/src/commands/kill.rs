//! `tare kill`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{find, kill};

use super::stop::parse_signal;
use crate::error::{Failure, for_each};
use crate::table::out;

/// Send a signal to running containers
#[derive(clap::Parser, Debug)]
#[command(name = "tare kill")]
pub(crate) struct Args {
    /// Signal to send
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let signal = parse_signal(&args.signal)?;
    for_each(&args.containers, |name| {
        kill::kill(engine, &find::find(engine, name)?, signal)?;
        out(&format!("{name}\n"));
        Ok(())
    })
}
