//! `tare diff`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{diff, find};

use crate::error::{Failure, printable};
use crate::table::out;

/// Show what a container added (A), changed (C) and deleted (D)
#[derive(clap::Parser, Debug)]
#[command(name = "tare diff")]
pub(crate) struct Args {
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let container = find::find(engine, &args.container)?;
    for change in diff::diff(engine, &container)? {
        out(&format!("{} {}\n", change.kind, printable(&String::from_utf8_lossy(&change.path)).replace('\n', "\\n")));
    }
    Ok(0)
}
