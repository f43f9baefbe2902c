//! `tare search`.

use std::ffi::OsString;

use engine::Engine;

use super::pull::notes;
use crate::error::{Failure, printable};
use crate::table;

/// Search Docker Hub for images
#[derive(clap::Parser, Debug)]
#[command(name = "tare search")]
pub(crate) struct Args {
    /// The most results that are shown
    #[arg(long, value_name = "NUMBER", default_value = "25")]
    limit: u32,
    /// Do not cut descriptions short
    #[arg(long)]
    no_trunc: bool,
    /// What to look for; only Docker Hub can be searched
    #[arg(value_name = "TERM")]
    term: String,
}

/// Docker's width of descriptions.
const DESCRIPTION: usize = 45;

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let client = engine.registries()?;
    let found = client.search(&args.term, args.limit);
    notes(engine);
    let rows: Vec<Vec<String>> = found?
        .into_iter()
        .map(|image| {
            let description = printable(&image.description).replace('\n', " ");
            let short = description.chars().count() > DESCRIPTION && !args.no_trunc;
            let shown =
                if short { description.chars().take(DESCRIPTION - 1).chain(['…']).collect() } else { description };
            let official = if image.is_official { "[OK]" } else { "" };
            vec![image.name, shown, image.star_count.to_string(), official.to_owned()]
        })
        .collect();
    table::print(&["NAME", "DESCRIPTION", "STARS", "OFFICIAL"], &rows);
    Ok(0)
}
