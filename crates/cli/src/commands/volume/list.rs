//! `tare volume ls`.

use std::ffi::OsString;

use engine::Engine;
use engine::volumes::{self, Volume};
use stdx::{Error, Result};

use crate::error::Failure;
use crate::table;

/// List volumes
#[derive(clap::Parser, Debug)]
#[command(name = "tare volume ls")]
pub(crate) struct Args {
    /// Only those for which this holds: dangling=BOOL, driver=NAME, label=NAME[=VALUE], name=TEXT
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let mut rows = Vec::new();
    for volume in volumes::all(engine)? {
        if suits_all(engine, &args.filter, &volume)? {
            rows.push(vec!["local".to_owned(), volume.name]);
        }
    }
    if args.quiet {
        rows.iter().for_each(|row| table::out(&format!("{}\n", row[1])));
    } else {
        table::print(&["DRIVER", "VOLUME NAME"], &rows);
    }
    Ok(0)
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
