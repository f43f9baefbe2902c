//! `tare volume prune`.

use std::ffi::OsString;

use engine::Engine;
use engine::volumes;

use crate::commands::system::prune::agreed;
use crate::error::Failure;
use crate::filter::common as filter;
use crate::table::out;

/// Remove anonymous volumes that no container uses
#[derive(clap::Parser, Debug)]
#[command(name = "tare volume prune")]
pub(crate) struct Args {
    /// Also volumes that have names
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only some: label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let which = if args.all { "all volumes" } else { "anonymous volumes" };
    let filter = filter(&args.filter)?;
    if args.force || agreed(&format!("This will remove {which} not used by at least one container.\n"))? {
        let removed = volumes::prune(engine, args.all, &filter)?;
        if !removed.is_empty() {
            out(&format!("Deleted Volumes:\n{}\n", removed.join("\n")));
        }
    }
    Ok(0)
}
