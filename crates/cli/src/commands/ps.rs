//! `tare ps`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{Container, list, pause};
use monitor::State;

use crate::error::{Failure, printable};
use crate::{table, times};

/// List containers
#[derive(clap::Parser, Debug)]
#[command(name = "tare ps")]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
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
    let rows: Vec<Vec<String>> = containers
        .iter()
        .map(|container| {
            let record = &container.record;
            vec![
                id(container),
                record.image.name().to_owned(),
                command(&record.process.args(), args.no_trunc),
                times::ago(record.created),
                status(container.state.as_ref(), pause::is_paused(engine, &record.id)),
                String::new(),
                record.name.clone(),
            ]
        })
        .collect();
    table::print(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"], &rows);
    Ok(0)
}

fn command(args: &[String], whole: bool) -> String {
    let quoted = |arg: &String| if arg.contains(' ') { format!("'{arg}'") } else { arg.clone() };
    let text = args.iter().map(quoted).collect::<Vec<_>>().join(" ").replace('\n', "\\n");
    if whole || text.chars().count() <= 20 {
        return format!("\"{text}\"");
    }
    format!("\"{}…\"", text.chars().take(19).collect::<String>())
}

fn status(state: Option<&State>, paused: bool) -> String {
    match state {
        None | Some(State::Created { .. } | State::Failed { .. }) => "Created".into(),
        Some(State::Running { started_at, .. }) => {
            format!("Up {}{}", times::human(times::since(*started_at)), if paused { " (Paused)" } else { "" })
        }
        Some(State::Restarting { exit, .. }) => {
            format!("Restarting ({}) {}", exit.exit_code, times::ago(exit.finished_at))
        }
        Some(State::Exited(exit)) => format!("Exited ({}) {}", exit.exit_code, times::ago(exit.finished_at)),
    }
}
