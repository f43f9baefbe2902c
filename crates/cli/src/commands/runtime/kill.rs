//! `tare runtime kill`.

use std::ffi::OsString;

use super::Globals;
use crate::commands::stop::parse_signal;
use crate::error::Failure;

/// Send a signal to the container's init process
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime kill")]
struct Args {
    /// Send the signal to all processes inside the container
    #[arg(short, long)]
    all: bool,
    #[arg(value_name = "ID")]
    id: String,
    #[arg(value_name = "SIGNAL", default_value = "TERM")]
    signal: String,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    // Signal 0 asks only whether there is somebody.
    let signal = if args.signal == "0" { 0 } else { parse_signal(&args.signal)? };
    globals.container(&args.id)?.kill(signal, args.all)?;
    Ok(0)
}
