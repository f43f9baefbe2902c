//! `tare network prune`.

use std::ffi::OsString;

use engine::Engine;
use engine::networks;

use crate::commands::system::prune::agreed;
use crate::error::Failure;
use crate::filter::common as filter;
use crate::table::out;

/// Remove networks that no container is in
#[derive(clap::Parser, Debug)]
#[command(name = "tare network prune")]
pub(crate) struct Args {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let filter = filter(&args.filter)?;
    if args.force || agreed("This will remove all networks not used by at least one container.\n")? {
        let removed = networks::prune(engine, &filter)?;
        if !removed.is_empty() {
            out(&format!("Deleted Networks:\n{}\n", removed.join("\n")));
        }
    }
    Ok(0)
}
