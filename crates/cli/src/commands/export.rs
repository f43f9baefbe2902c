//! `tare export`.

use std::ffi::OsString;
use std::path::PathBuf;

use engine::Engine;
use engine::containers::{export, find};

use crate::error::Failure;
use crate::output_file::write_to;

/// Write a container's root filesystem as a tar
#[derive(clap::Parser, Debug)]
#[command(name = "tare export")]
pub(crate) struct Args {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let container = find::find(engine, &args.container)?;
    write_to(engine, args.output.as_deref(), |writer| export::export(engine, &container, writer))?;
    Ok(0)
}
