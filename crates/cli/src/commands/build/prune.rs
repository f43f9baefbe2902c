//! `tare builder prune`.

use std::ffi::OsString;

use builder::prune::{Prune, prune};
use engine::Engine;
use engine::containers::options::parse;
use stdx::Error;

use crate::commands::system::prune::agreed;
use crate::error::{Failure, printable};
use crate::filter::point_in_time;
use crate::table::out;

/// Remove what builds have kept
#[derive(clap::Parser, Debug)]
#[command(name = "tare builder prune")]
pub(crate) struct Args {
    /// Also the directories of cache mounts
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what was not used since: until=TIME
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// How many bytes of what was used last may stay
    #[arg(long, value_name = "BYTES", visible_alias = "reserved-space")]
    keep_storage: Option<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let mut wanted = Prune { all: args.all, ..Prune::default() };
    for filter in &args.filter {
        match filter.split_once('=') {
            Some(("until" | "unused-for", time)) => wanted.unused_since = Some(point_in_time(time)?),
            _ => return Err(Error::invalid(format!("invalid filter \"{filter}\"")).hint("until=TIME").into()),
        }
    }
    wanted.keep_storage = args.keep_storage.as_deref().map(|text| parse::bytes("keep-storage", text)).transpose()?;
    let which =
        if args.all { "all of the build cache, and the directories of cache mounts" } else { "the build cache" };
    if args.force || agreed(&format!("This will remove {which}.\n"))? {
        let pruned = prune(engine, &wanted)?;
        pruned.items.iter().for_each(|item| out(&format!("{}\n", printable(item))));
        out(&format!("Total reclaimed space: {}\n", stdx::size::human(pruned.bytes)));
    }
    Ok(0)
}
