//! `tare volume ls`.

use std::ffi::OsString;

use engine::Engine;
use engine::volumes::{self, Volume};
use stdx::{Error, Result};

use crate::error::Failure;
use crate::format::Column;
use crate::table;

/// List volumes
#[derive(clap::Parser, Debug)]
#[command(name = "tare volume ls")]
pub(crate) struct Args {
    /// Only those for which this holds: dangling=BOOL, driver=NAME, label=NAME[=VALUE], name=TEXT
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Show what this Go template says, "table TEMPLATE", or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let mut rows = Vec::new();
    for volume in volumes::all(engine)? {
        if suits_all(engine, &args.filter, &volume)? {
            rows.push(row(engine, volume));
        }
    }
    if args.quiet {
        rows.iter().for_each(|row| table::out(&format!("{}\n", row[1])));
    } else {
        let format = args.format.as_deref().filter(|format| *format != "table").unwrap_or(TABLE);
        crate::format::print(format, &COLUMNS, rows)?;
    }
    Ok(0)
}

const COLUMNS: [Column; 5] = [
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
];

const TABLE: &str = "table {{.Driver}}\t{{.Name}}";

fn row(engine: &Engine, volume: Volume) -> Vec<String> {
    let labels: Vec<String> = volume.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = volumes::data_path(engine, &volume.name).to_string_lossy().into_owned();
    vec!["local".into(), volume.name, "local".into(), path, labels.join(",")]
}

/// Of several filters of one kind one has to hold; of labels all.
fn suits_all(engine: &Engine, filters: &[String], volume: &Volume) -> Result<bool> {
    let (mut name, mut driver) = (None, None);
    for filter in filters {
        let bad = || Error::invalid(format!("invalid filter \"{filter}\": dangling, driver, label or name"));
        let (key, value) = filter.split_once('=').ok_or_else(bad)?;
        let holds = match key {
            "name" => {
                name = Some(name.unwrap_or(false) || volume.name.contains(value));
                true
            }
            "driver" => {
                driver = Some(driver.unwrap_or(false) || value == "local");
                true
            }
            "label" => match value.split_once('=') {
                Some((label, wanted)) => volume.labels.get(label).is_some_and(|own| own == wanted),
                None => volume.labels.contains_key(value),
            },
            "dangling" => {
                let wanted = matches!(value, "true" | "1");
                if !wanted && !matches!(value, "false" | "0") {
                    return Err(bad());
                }
                volumes::users(engine, &volume.name)?.is_empty() == wanted
            }
            _ => return Err(bad()),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(name.unwrap_or(true) && driver.unwrap_or(true))
}
