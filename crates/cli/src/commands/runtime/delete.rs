//! `tare runtime delete`.

use std::ffi::OsString;

use runtime::container::Container;
use stdx::Kind;

use super::Globals;
use crate::error::Failure;

/// Delete any resources held by the container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime delete")]
struct Args {
    /// Kill the container if it is still running
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    match globals.container(&args.id) {
        Err(error) if args.force && error.kind() == Kind::NotFound => {
            Container::forget(&globals.root(), &args.id)?;
            Ok(0)
        }
        container => {
            globals.warn(&container?.delete(args.force)?);
            Ok(0)
        }
    }
}
