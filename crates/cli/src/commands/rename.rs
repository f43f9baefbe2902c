//! `tare rename`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{find, rename};

use crate::error::Failure;

/// Give a container another name
#[derive(clap::Parser, Debug)]
#[command(name = "tare rename")]
pub(crate) struct Args {
    #[arg(value_name = "CONTAINER")]
    container: String,
    #[arg(value_name = "NEW_NAME")]
    name: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    rename::rename(engine, &find::find(engine, &args.container)?, &args.name)?;
    Ok(0)
}
