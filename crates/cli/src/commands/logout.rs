//! `tare logout`.

use std::ffi::OsString;

use engine::Engine;

use super::login::registry_name;
use crate::error::Failure;
use crate::table::out;

/// Forget the credentials for a registry
#[derive(clap::Parser, Debug)]
#[command(name = "tare logout")]
pub(crate) struct Args {
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let registry = registry_name(args.server.as_deref());
    if engine.credentials().erase(&registry)? {
        out(&format!("Removing login credentials for {registry}\n"));
    } else {
        out(&format!("Not logged in to {registry}\n"));
    }
    Ok(0)
}
