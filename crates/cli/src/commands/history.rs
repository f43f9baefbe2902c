//! `tare history`.

use std::ffi::OsString;

use engine::Engine;
use engine::images::inspect;
use jiff::Timestamp;
use store::Image;

use super::pull::platform;
use crate::error::{Failure, printable};
use crate::format::Column;
use crate::table::out;
use crate::times;

/// Show how an image was made, newest step first
#[derive(clap::Parser, Debug)]
#[command(name = "tare history")]
pub(crate) struct Args {
    /// Sizes and dates for people
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", hide_possible_values = true)]
    human: bool,
    /// Show what this Go template says, "table TEMPLATE", or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Do not cut anything short
    #[arg(long)]
    no_trunc: bool,
    /// The image has to be for this platform (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
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
    let image = inspect::find(engine, &args.image, platform(args.platform.as_deref())?.as_ref())?;
    let rows = rows(&args, &image, &engine.store()?.layer_sizes(&image)?);
    if args.quiet {
        rows.iter().for_each(|row| out(&format!("{}\n", row[0])));
        return Ok(0);
    }
    let created = if args.human { "CreatedSince" } else { "CreatedAt" };
    let usual = format!("table {{{{.ID}}}}\t{{{{.{created}}}}}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}");
    let format = args.format.as_deref().filter(|format| *format != "table").unwrap_or(&usual);
    crate::format::print(format, &COLUMNS, rows)?;
    Ok(0)
}

const COLUMNS: [Column; 6] = [
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// One row a step, newest first. Only the last step is an image that is here.
fn rows(args: &Args, image: &Image, sizes: &[u64]) -> Vec<Vec<String>> {
    let mut sizes = sizes.iter();
    let steps = image.config.history.iter().map(|step| {
        let size = if step.empty_layer { 0 } else { sizes.next().copied().unwrap_or(0) };
        let created = step.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let at = created.map_or_else(|| "N/A".to_owned(), |time| time.to_string());
        let since = created.map_or_else(|| at.clone(), times::ago);
        let since = if args.human { since } else { at.clone() };
        let by = printable(&step.created_by).replace(['\n', '\t'], " ");
        let by = if args.no_trunc || by.chars().count() <= CREATED_BY {
            by
        } else {
            by.chars().take(CREATED_BY - 1).chain(['…']).collect()
        };
        let size = if args.human { stdx::size::human(size) } else { size.to_string() };
        vec!["<missing>".to_owned(), since, at, by, size, step.comment.clone()]
    });
    let mut rows: Vec<Vec<String>> = steps.collect();
    if let Some(last) = rows.last_mut() {
        last[0] = if args.no_trunc { image.id.to_string() } else { image.id.short() };
    }
    rows.reverse();
    rows
}
