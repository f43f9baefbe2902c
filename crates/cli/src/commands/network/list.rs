//! `tare network ls`.

use std::ffi::OsString;

use engine::Engine;
use engine::networks::{self, Record};
use stdx::{Error, Result};

use crate::error::Failure;
use crate::format::Column;
use crate::table;

/// List networks
#[derive(clap::Parser, Debug)]
#[command(name = "tare network ls")]
pub(crate) struct Args {
    /// Only those for which this holds: dangling=BOOL, driver=NAME, id=TEXT, label=NAME[=VALUE], name=TEXT
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Show what this Go template says, "table TEMPLATE", or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Do not cut ids short
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

const COLUMNS: [Column; 6] = [
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
];

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let mut rows = Vec::new();
    for record in networks::all(engine)? {
        if suits_all(engine, &args.filter, &record)? {
            rows.push(row(&record, args.no_trunc));
        }
    }
    if args.quiet {
        rows.iter().for_each(|row| table::out(&format!("{}\n", row[0])));
    } else if let Some(format) = args.format.as_deref().filter(|format| *format != "table") {
        crate::format::print(format, &COLUMNS, rows)?;
    } else {
        rows.iter_mut().for_each(|row| row.truncate(4));
        table::print(&["NETWORK ID", "NAME", "DRIVER", "SCOPE"], &rows);
    }
    Ok(0)
}

fn row(record: &Record, whole: bool) -> Vec<String> {
    let network = &record.network;
    let labels: Vec<String> = network.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    vec![
        if whole { network.id.clone() } else { network.id[..12].to_owned() },
        network.name.clone(),
        network.driver_name().to_owned(),
        "local".to_owned(),
        network.internal.to_string(),
        labels.join(","),
    ]
}

/// Of several filters of one kind one has to hold; of labels all.
fn suits_all(engine: &Engine, filters: &[String], record: &Record) -> Result<bool> {
    let network = &record.network;
    let (mut name, mut driver, mut id) = (None, None, None);
    for filter in filters {
        let bad = || Error::invalid(format!("invalid filter \"{filter}\": dangling, driver, id, label or name"));
        let (key, value) = filter.split_once('=').ok_or_else(bad)?;
        let either = |known: Option<bool>, holds: bool| Some(known.unwrap_or(false) || holds);
        match key {
            "name" => name = either(name, network.name.contains(value)),
            "driver" => driver = either(driver, network.driver_name() == value),
            "id" => id = either(id, network.id.starts_with(value)),
            "label" => {
                let own = |key: &str| network.labels.get(key);
                let holds = match value.split_once('=') {
                    Some((key, wanted)) => own(key).is_some_and(|own| own == wanted),
                    None => own(value).is_some(),
                };
                if !holds {
                    return Ok(false);
                }
            }
            "dangling" => {
                let wanted = matches!(value, "true" | "1");
                if !wanted && !matches!(value, "false" | "0") {
                    return Err(bad());
                }
                if networks::users(engine, network)?.is_empty() != wanted {
                    return Ok(false);
                }
            }
            _ => return Err(bad()),
        }
    }
    Ok([name, driver, id].into_iter().all(|holds| holds.unwrap_or(true)))
}
