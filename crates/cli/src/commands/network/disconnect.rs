//! `tare network disconnect`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::find;
use engine::networks;

use crate::error::Failure;

/// Take a container out of a network
#[derive(clap::Parser, Debug)]
#[command(name = "tare network disconnect")]
pub(crate) struct Args {
    /// Even if its device cannot be removed
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "NETWORK")]
    network: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    networks::disconnect(engine, &find::find(engine, &args.container)?, &args.network, args.force)?;
    Ok(0)
}
