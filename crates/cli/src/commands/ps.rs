//! `tare ps`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::options::MountKind;
use engine::containers::{Container, health, list, pause, size};
use engine::filter::{ContainerFilter, state_of};
use monitor::State;
use monitor::health::Status;
use stdx::Result;
use stdx::size::human;

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
    /// Show only what suits: status, name, label, ancestor, health and others
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Show what this Go template says, "table TEMPLATE", or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show this many containers that were created last, in any state
    #[arg(short = 'n', long, value_name = "NUMBER", allow_negative_numbers = true)]
    last: Option<i64>,
    /// Show the container that was created last, in any state
    #[arg(short, long)]
    latest: bool,
    /// Do not cut ids and commands short
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Show what each has written, and with its image
    #[arg(short, long)]
    size: bool,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let last = if args.latest { Some(1) } else { args.last.and_then(|last| usize::try_from(last).ok()) };
    let filter = ContainerFilter::parse(engine, &args.filter)?;
    let list = list::list(engine, args.all || last.is_some() || filter.asks_for_state())?;
    list.broken.iter().for_each(|error| eprintln!("WARNING: {}", printable(&error.to_string())));
    let mut containers = list.containers;
    containers.retain(|container| filter.suits(engine, container));
    containers.truncate(last.unwrap_or(usize::MAX));
    let id = |container: &Container| {
        let id = &container.record.id;
        if args.no_trunc { id.clone() } else { id[..12].to_owned() }
    };
    if args.quiet {
        containers.iter().for_each(|container| table::out(&format!("{}\n", id(container))));
        return Ok(0);
    }
    let size = args.size || args.format.as_deref().is_some_and(|format| format.contains(".Size"));
    let rows = containers.iter().map(|container| fields(engine, container, id(container), args.no_trunc, size));
    let rows: Vec<Vec<String>> = rows.collect::<Result<_>>()?;
    let size = if args.size { "\t{{.Size}}" } else { "" };
    let usual = format!(
        "table {{{{.ID}}}}\t{{{{.Image}}}}\t{{{{.Command}}}}\t{{{{.RunningFor}}}}\t{{{{.Status}}}}\t{{{{.Ports}}}}\t{{{{.Names}}}}{size}"
    );
    let format = args.format.as_deref().filter(|format| *format != "table").unwrap_or(&usual);
    crate::format::print(format, &COLUMNS, rows)?;
    Ok(0)
}

const COLUMNS: [Column; 15] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
    ("Size", "SIZE"),
];

/// The columns of one container.
fn fields(engine: &Engine, container: &Container, id: String, whole: bool, with_size: bool) -> Result<Vec<String>> {
    let record = &container.record;
    let labels: Vec<String> = record.process.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let size = if with_size { Some(size::size(engine, record)?) } else { None };
    let size = size.map(|size| format!("{} (virtual {})", human(size.writable), human(size.whole)));
    let sources = record.options.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume { name, .. } => name.as_deref().map(|name| short(name, whole)),
        MountKind::Bind { source, .. } => Some(short(&source.to_string_lossy(), whole)),
        MountKind::Tmpfs { .. } => None,
    });
    let volumes = record.options.mounts.iter().filter(|mount| matches!(mount.kind, MountKind::Volume { .. })).count();
    Ok(vec![
        id,
        record.image.name().to_owned(),
        command(&record.process.args(), whole),
        times::absolute(record.created),
        times::ago(record.created),
        state_of(engine, container).to_owned(),
        status(engine, container),
        ports(engine, container),
        record.name.clone(),
        labels.join(","),
        sources.collect::<Vec<_>>().join(","),
        volumes.to_string(),
        record.options.namespaces.network.names().join(","),
        String::new(),
        size.unwrap_or_default(),
    ])
}

/// Docker's way with what is mounted: 15 characters of it.
fn short(text: &str, whole: bool) -> String {
    if whole || text.chars().count() <= 15 {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(14).collect::<String>())
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
