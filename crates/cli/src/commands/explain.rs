//! `tare explain`.

use std::ffi::OsString;
use std::path::PathBuf;

use engine::Engine;
use engine::containers::options::Options;
use engine::containers::{explain, find, plan};
use stdx::{Context, Error};

use crate::error::{Failure, printable};
use crate::explanation;
use crate::table::out;

/// Say in plain sentences what makes a container one: namespaces, control groups, layers, mounts, privileges
#[derive(clap::Parser, Debug)]
#[command(name = "tare explain")]
pub(crate) struct Args {
    /// Say which layer this file of the container comes from
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Write the facts as JSON instead: json
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let container = find::find(engine, &args.container)?;
    let explained = explain::explain(engine, &container, args.file.as_deref())?;
    match args.format.as_deref() {
        None => out(&printable(&explanation::text(&explained))),
        Some("json") => out(&json(&explained)?),
        Some(other) => return Err(Error::invalid(format!("invalid format \"{other}\": it is json")).into()),
    }
    Ok(0)
}

/// `--dry-run`: says what would be, and shows what the first process would be made from.
pub(super) fn dry_run(engine: &Engine, options: Options) -> Result<i32, Failure> {
    let plan = plan::plan(engine, options)?;
    let explained = explain::explain_plan(engine, &plan)?;
    out(&printable(&explanation::text(&explained)));
    out("\nThe OCI runtime configuration it would be made from:\n");
    out(&json(&plan.spec)?);
    Ok(0)
}

fn json<T: serde::Serialize>(value: &T) -> stdx::Result<String> {
    serde_json::to_string_pretty(value).map(|text| format!("{text}\n")).context(|| "cannot write JSON".into())
}
