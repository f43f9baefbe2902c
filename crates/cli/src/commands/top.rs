//! `tare top`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;

use engine::containers::find;
use engine::containers::top::{self, Process};
use engine::{Engine, events};
use jiff::tz::TimeZone;
use stdx::{Context, Error, Result};

use crate::error::{Failure, printable};
use crate::table;

/// Show the processes of a container
#[derive(clap::Parser, Debug)]
#[command(name = "tare top")]
pub(crate) struct Args {
    /// The container, then options for ps
    #[arg(value_name = "CONTAINER [ps OPTIONS]", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    container_and_options: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let (name, options) =
        args.container_and_options.split_first().ok_or_else(|| Error::invalid("no container given"))?;
    let container = find::find(engine, name)?;
    events::of_container(engine, &container.record, "top");
    if !options.is_empty() {
        table::out(&of_ps(options, &top::pids(&container)?)?);
        return Ok(0);
    }
    let zone = TimeZone::system();
    let rows: Vec<Vec<String>> = top::top(&container)?.iter().map(|process| row(process, &zone)).collect();
    table::print(&["UID", "PID", "PPID", "STIME", "TTY", "TIME", "CMD"], &rows);
    Ok(0)
}

fn row(process: &Process, zone: &TimeZone) -> Vec<String> {
    let seconds = process.cpu_seconds;
    vec![
        process.uid.to_string(),
        process.pid.to_string(),
        process.parent.to_string(),
        zone.to_datetime(process.started).strftime("%H:%M").to_string(),
        terminal(process.terminal),
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        printable(&process.command),
    ]
}

/// The kernel numbers a terminal of a container as it does one of the host.
fn terminal(device: i32) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match (device, major) {
        (0, _) => "?".into(),
        (_, 136..=143) => format!("pts/{}", minor + ((major - 136) << 20)),
        _ => format!("{major}:{minor}"),
    }
}

/// The lines of the host's `ps` that are about these processes, and its header.
fn of_ps(options: &[String], pids: &BTreeSet<i32>) -> Result<String> {
    let output = Command::new("ps").args(options).output().context(|| "cannot execute ps".into())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let (Some(header), true) = (lines.next(), output.status.success()) else {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Error::invalid(format!("ps failed: {}", why.lines().next().unwrap_or("no output"))));
    };
    let column = header.split_ascii_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Error::invalid("cannot tell the processes: ps shows no column PID"))?;
    let is_ours = |line: &&str| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|text| text.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Ok(std::iter::once(header).chain(lines.filter(is_ours)).map(|line| printable(line) + "\n").collect())
}
