//! `tare attach`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::attach::{self, Streams};
use engine::containers::{find, pause};
use monitor::protocol::Request;
use stdx::Error;

use crate::error::Failure;
use crate::stream::{self, Session};
use crate::terminal;

/// Attach this terminal's input, output and error streams to a running container
#[derive(clap::Parser, Debug)]
#[command(name = "tare attach")]
pub(crate) struct Args {
    /// Keys that leave the container running (default: ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Pass received signals on to the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", hide_possible_values = true)]
    sig_proxy: bool,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    terminal::DetachKeys::parse(args.detach_keys.as_deref())?;
    let container = find::find(engine, &args.container)?;
    let record = &container.record;
    if pause::is_paused(engine, &record.id) {
        let error = Error::conflict(format!("cannot attach to container {}: it is paused", record.name));
        return Err(error.hint("unpause it first").into());
    }
    let streams = Streams { stdin: !args.no_stdin && record.options.open_stdin, stdout: true, stderr: true };
    if streams.stdin && record.options.tty && !terminal::is_terminal() {
        let error = Error::invalid("cannot attach: the container has a terminal and the input device is none");
        return Err(error.hint("give --no-stdin to see its output").into());
    }
    let session =
        Session { streams, tty: record.options.tty, detach_keys: args.detach_keys.clone(), sig_proxy: args.sig_proxy };
    let signals = stream::collect_signals(&session)?;
    let mut connection = attach::attach(engine, &container, streams)?;
    if session.tty {
        let (rows, columns) = terminal::size();
        // A change of size is what makes a program draw its screen again: so there is one, whatever size it had.
        for rows in [rows.saturating_add(1), rows] {
            connection.send(&Request::Resize { rows, columns })?;
        }
    }
    super::run::stay(engine, record, connection, &session, signals)
}
