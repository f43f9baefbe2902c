//! `tare runtime pause` and `resume`.

use std::ffi::OsString;

use super::Globals;
use crate::error::Failure;

/// Suspend or resume all processes inside the container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime pause")]
struct Args {
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn pause(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    freeze(globals, args, true)
}

pub(super) fn resume(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    freeze(globals, args, false)
}

fn freeze(globals: &Globals, args: &[OsString], frozen: bool) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    globals.container(&args.id)?.freeze(frozen)?;
    Ok(0)
}
