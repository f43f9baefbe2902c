//! `tare ps`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{Container, health, list, pause};
use monitor::State;
use monitor::health::Status;

use crate::error::{Failure, printable};
use crate::format::Column;
use crate::{table, times};

/// List containers
#[derive(clap::Parser, Debug)]
#[command(name = "tare ps")]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Show what this Go template says, "table TEMPLATE", or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show this many containers that were created last, in any state
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<usize>,
    /// Show the container that was created last, in any state
    #[arg(short, long)]
    latest: bool,
    /// Do not cut ids and commands short
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let last = if args.latest { Some(1) } else { args.last };
    let list = list::list(engine, args.all || last.is_some())?;
    list.broken.iter().for_each(|error| eprintln!("WARNING: {}", printable(&error.to_string())));
    let mut containers = list.containers;
    containers.truncate(last.unwrap_or(usize::MAX));
    let id = |container: &Container| {
        let id = &container.record.id;
        if args.no_trunc { id.clone() } else { id[..12].to_owned() }
    };
    if args.quiet {
        containers.iter().for_each(|container| table::out(&format!("{}\n", id(container))));
        return Ok(0);
    }
    if let Some(format) = args.format.as_deref().filter(|format| *format != "table") {
        let rows = containers.iter().map(|container| fields(engine, container, id(container), args.no_trunc)).collect();
        crate::format::print(format, &COLUMNS, rows)?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = containers
        .iter()
        .map(|container| {
            let record = &container.record;
            vec![
                id(container),
                record.image.name().to_owned(),
                command(&record.process.args(), args.no_trunc),
                times::ago(record.created),
                status(engine, container),
                ports(engine, container),
                record.name.clone(),
            ]
        })
        .collect();
    table::print(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"], &rows);
    Ok(0)
}

const COLUMNS: [Column; 12] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
];

/// The columns of one container.
fn fields(engine: &Engine, container: &Container, id: String, whole: bool) -> Vec<String> {
    let record = &container.record;
    let paused = pause::is_paused(engine, &record.id);
    let labels: Vec<String> = record.process.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mounts: Vec<&str> = record.options.mounts.iter().map(|mount| mount.target.as_str()).collect();
    vec![
        id,
        record.image.name().to_owned(),
        command(&record.process.args(), whole),
        times::absolute(record.created),
        times::ago(record.created),
        api::convert::state(container.state.as_ref(), paused).status,
        status(engine, container),
        labels.join(","),
        mounts.join(","),
        api::convert::network_names(&record.options.namespaces.network).join(","),
        ports(engine, container),
        record.name.clone(),
    ]
}

/// Where its ports are published, if it runs.
fn ports(engine: &Engine, container: &Container) -> String {
    if !container.is_running() {
        return String::new();
    }
    // One that has ended since has none.
    let live = engine::networks::live_of(engine, &container.record.id).ok().flatten().unwrap_or_default();
    api::networks::ports_line(&container.record.options.expose, &live.ports)
}

fn command(args: &[String], whole: bool) -> String {
    let quoted = |arg: &String| if arg.contains(' ') { format!("'{arg}'") } else { arg.clone() };
    let text = args.iter().map(quoted).collect::<Vec<_>>().join(" ").replace('\n', "\\n");
    if whole || text.chars().count() <= 20 {
        return format!("\"{text}\"");
    }
    format!("\"{}…\"", text.chars().take(19).collect::<String>())
}

/// How a container is, in Docker's words.
fn status(engine: &Engine, container: &Container) -> String {
    match &container.state {
        None | Some(State::Created { .. } | State::Failed { .. }) => "Created".into(),
        Some(State::Running { started_at, .. }) => {
            format!("Up {}{}", times::human(times::since(*started_at)), remark(engine, container))
        }
        Some(State::Restarting { exit, .. }) => {
            format!("Restarting ({}) {}", exit.exit_code, times::ago(exit.finished_at))
        }
        Some(State::Exited(exit)) => format!("Exited ({}) {}", exit.exit_code, times::ago(exit.finished_at)),
    }
}

fn remark(engine: &Engine, container: &Container) -> String {
    if pause::is_paused(engine, &container.record.id) {
        return " (Paused)".into();
    }
    match health::health(engine, &container.record).map(|health| health.status) {
        None => String::new(),
        Some(Status::Starting) => " (health: starting)".into(),
        Some(status) => format!(" ({})", status.name()),
    }
}
