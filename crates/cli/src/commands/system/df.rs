//! `tare system df`.

use std::ffi::OsString;

use engine::Engine;
use engine::system::df::{self, Part, Report, Room};
use stdx::size::human;

use crate::error::Failure;
use crate::table::{self, out};

/// Show where the room on disk goes
#[derive(clap::Parser, Debug)]
#[command(name = "tare system df")]
pub(crate) struct Args {
    /// "json": everything in bytes, for programs
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "table"], default_value = "table")]
    format: String,
    /// Every image and container by itself
    #[arg(short, long)]
    verbose: bool,
}

/// What is shown, in Docker's order and words; then what Docker does not know.
const PARTS: [(Part, &str); 7] = [
    (Part::Images, "Images"),
    (Part::Containers, "Containers"),
    (Part::Volumes, "Local Volumes"),
    (Part::BuildCache, "Build Cache"),
    (Part::Logs, "Logs"),
    (Part::Orphans, "Orphans"),
    (Part::Books, "Books"),
];

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let report = df::df(engine)?;
    match (args.format.as_str(), args.verbose) {
        ("json", _) => json(&report),
        (_, false) => table(&report),
        (_, true) => verbose(&report),
    }
    Ok(0)
}

fn room(report: &Report, part: Part) -> Room {
    report.parts.get(&part).copied().unwrap_or_default()
}

fn table(report: &Report) {
    let rows = PARTS.iter().map(|(part, name)| {
        let Room { total, active, size, reclaimable } = room(report, *part);
        let percent = (reclaimable * 100).checked_div(size).map_or(String::new(), |percent| format!(" ({percent}%)"));
        vec![
            (*name).to_owned(),
            total.to_string(),
            active.to_string(),
            human(size),
            format!("{}{percent}", human(reclaimable)),
        ]
    });
    table::print(&["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], &rows.collect::<Vec<_>>());
}

fn json(report: &Report) {
    for (part, name) in PARTS {
        let Room { total, active, size, reclaimable } = room(report, part);
        let line = serde_json::json!({
            "Type": name, "TotalCount": total, "Active": active, "Size": size, "Reclaimable": reclaimable,
        });
        out(&format!("{line}\n"));
    }
}

fn verbose(report: &Report) {
    let rows = |part: Part| -> Vec<Vec<String>> {
        let items = report.items.iter().filter(|item| item.part == part);
        let row = |item: &df::Item| {
            let id: String = item.id.strip_prefix("sha256:").unwrap_or(&item.id).chars().take(12).collect();
            let unique = item.size - item.shared;
            vec![item.name.clone(), id, human(item.size), human(item.shared), human(unique), item.users.to_string()]
        };
        items.map(row).collect()
    };
    out("Images space usage:\n\n");
    table::print(&["IMAGE", "IMAGE ID", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"], &rows(Part::Images));
    out("\nContainers space usage:\n\n");
    let containers = rows(Part::Containers).into_iter().map(|row| vec![row[1].clone(), row[0].clone(), row[2].clone()]);
    table::print(&["CONTAINER ID", "NAMES", "SIZE"], &containers.collect::<Vec<_>>());
    out("\n");
    table(report);
}
