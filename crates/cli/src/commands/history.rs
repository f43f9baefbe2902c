//! `tare history`.

use std::ffi::OsString;

use engine::Engine;
use jiff::Timestamp;
use store::Image;

use crate::error::{Failure, printable};
use crate::table::{self, out};
use crate::times;

/// Show how an image was made, newest step first
#[derive(clap::Parser, Debug)]
#[command(name = "tare history")]
pub(crate) struct Args {
    /// Sizes and dates for people
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", hide_possible_values = true)]
    human: bool,
    /// Do not cut anything short
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// Docker's width of a step.
const CREATED_BY: usize = 45;

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let store = engine.store()?;
    let image = store.resolve(&args.image)?;
    let rows = rows(&args, &image, &store.layer_sizes(&image)?);
    if args.quiet {
        rows.iter().for_each(|row| out(&format!("{}\n", row[0])));
    } else {
        let created = if args.human { "CREATED" } else { "CREATED AT" };
        table::print(&["IMAGE", created, "CREATED BY", "SIZE", "COMMENT"], &rows);
    }
    Ok(0)
}

/// One row a step, newest first. Only the last step is an image that is here.
fn rows(args: &Args, image: &Image, sizes: &[u64]) -> Vec<Vec<String>> {
    let mut sizes = sizes.iter();
    let steps = image.config.history.iter().map(|step| {
        let size = if step.empty_layer { 0 } else { sizes.next().copied().unwrap_or(0) };
        let created = step.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let created = match created {
            None => "N/A".to_owned(),
            Some(time) if args.human => times::ago(time),
            Some(time) => time.to_string(),
        };
        let by = printable(&step.created_by).replace(['\n', '\t'], " ");
        let by = if args.no_trunc || by.chars().count() <= CREATED_BY {
            by
        } else {
            by.chars().take(CREATED_BY - 1).chain(['…']).collect()
        };
        let size = if args.human { stdx::size::human(size) } else { size.to_string() };
        vec!["<missing>".to_owned(), created, by, size, step.comment.clone()]
    });
    let mut rows: Vec<Vec<String>> = steps.collect();
    if let Some(last) = rows.last_mut() {
        last[0] = if args.no_trunc { image.id.to_string() } else { image.id.short() };
    }
    rows.reverse();
    rows
}
