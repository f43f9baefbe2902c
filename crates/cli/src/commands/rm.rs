//! `tare rm`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::remove;
use stdx::Kind;

use crate::error::{Failure, for_each};
use crate::table::out;

/// Remove containers
#[derive(clap::Parser, Debug)]
#[command(name = "tare rm")]
pub(crate) struct Args {
    /// Kill a running container first
    #[arg(short, long)]
    force: bool,
    /// Remove its anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    for_each(&args.containers, |name| {
        match remove::remove(engine, name, args.force, args.volumes) {
            Err(error) if args.force && error.kind() == Kind::NotFound => return Ok(()),
            removed => removed?,
        }
        out(&format!("{name}\n"));
        Ok(())
    })
}
