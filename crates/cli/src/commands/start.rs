//! `tare start`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::attach::{self, Streams};
use engine::containers::find;
use stdx::Error;

use crate::error::{Failure, for_each};
use crate::stream::{self, Session};
use crate::table::out;
use crate::terminal;

/// Start stopped containers
#[derive(clap::Parser, Debug)]
#[command(name = "tare start")]
pub(crate) struct Args {
    /// Attach STDOUT and STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach the container's STDIN
    #[arg(short, long)]
    interactive: bool,
    /// Keys that leave the container running (default: ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    if args.attach || args.interactive {
        return match &args.containers[..] {
            [name] => start_attached(engine, &args, name),
            _ => Err(Error::invalid("cannot attach to several containers at once").into()),
        };
    }
    for_each(&args.containers, |name| {
        let container = find::find(engine, name)?;
        if container.is_running() {
            out(&format!("{name}\n"));
            return Ok(());
        }
        let (_, warnings) = attach::start(engine, &container, Streams::default(), (0, 0))
            .map_err(|error| Failure::new(1, error.error))?;
        warnings.iter().for_each(|warning| eprintln!("WARNING: {warning}"));
        out(&format!("{name}\n"));
        Ok(())
    })
}

fn start_attached(engine: &Engine, args: &Args, name: &str) -> Result<i32, Failure> {
    let container = find::find(engine, name)?;
    let record = &container.record;
    let streams = Streams { stdin: args.interactive && record.options.open_stdin, stdout: true, stderr: true };
    let session = Session { streams, tty: record.options.tty, detach_keys: args.detach_keys.clone(), sig_proxy: true };
    let signals = stream::collect_signals(&session)?;
    let connection = if container.is_running() {
        attach::attach(engine, &container, streams)?
    } else {
        let (connection, warnings) = attach::start(engine, &container, streams, terminal::size())?;
        warnings.iter().for_each(|warning| eprintln!("WARNING: {warning}"));
        connection
    };
    super::run::stay(engine, record, connection, &session, signals)
}
