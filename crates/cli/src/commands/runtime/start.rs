//! `tare runtime start`.

use std::ffi::OsString;

use super::Globals;
use crate::error::Failure;

/// Execute the user-defined process in a created container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime start")]
struct Args {
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let container = globals.container(&args.id)?;
    container.start().map_err(super::failure)?;
    container.run_poststart_hooks()?;
    Ok(0)
}
