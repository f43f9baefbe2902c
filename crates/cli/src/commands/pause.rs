//! `tare pause` and `tare unpause`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{Container, find, pause};
use stdx::Result;

use crate::error::{Failure, for_each};
use crate::table::out;

/// Stop all processes of containers for a while
#[derive(clap::Parser, Debug)]
#[command(name = "tare pause")]
pub(crate) struct PauseArgs {
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Continue paused containers
#[derive(clap::Parser, Debug)]
#[command(name = "tare unpause")]
pub(crate) struct UnpauseArgs {
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

pub(super) fn pause(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<PauseArgs>(args)? else { return Ok(0) };
    each(engine, &args.containers, pause::pause)
}

pub(super) fn unpause(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<UnpauseArgs>(args)? else { return Ok(0) };
    each(engine, &args.containers, pause::unpause)
}

fn each(engine: &Engine, names: &[String], verb: fn(&Engine, &Container) -> Result<()>) -> Result<i32, Failure> {
    for_each(names, |name| {
        verb(engine, &find::find(engine, name)?)?;
        out(&format!("{name}\n"));
        Ok(())
    })
}
