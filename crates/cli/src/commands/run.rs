//! `tare run`.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use engine::containers::attach::Streams;
use engine::containers::{Record, prepare, remove, wait};
use engine::{Engine, events};
use monitor::client::Connection;
use monitor::protocol::Request;
use stdx::{Context, Error, Kind, Result};
use sys::signal::SignalFd;

use super::pull;
use crate::container_args::ContainerArgs;
use crate::error::{ENGINE, Failure};
use crate::stream::{self, End, Session};
use crate::table::out;
use crate::terminal;

/// Create and run a new container from an image
#[derive(clap::Parser, Debug)]
#[command(name = "tare run", disable_help_flag = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) container: ContainerArgs,
    /// Run the container in the background and print its id
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    detach: Option<bool>,
    /// Keys that leave the container running (default: ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass received signals on to the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", hide_possible_values = true)]
    sig_proxy: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    run(engine, &args).map_err(|failure| failure.or_code(ENGINE))
}

fn run(engine: &Engine, args: &Args) -> Result<i32, Failure> {
    let detach = args.detach.unwrap_or(false);
    let mut options = args.container.options(!detach)?;
    if args.container.dry_run {
        return super::explain::dry_run(engine, options);
    }
    let streams = streams(&args.container.attach, detach, options.open_stdin)?;
    options.attached = streams;
    if streams.stdin && options.tty && !terminal::is_terminal() {
        return Err(Failure::new(
            1,
            Error::invalid("the input device is not a TTY").hint("leave -t out when input is piped"),
        ));
    }
    terminal::DetachKeys::parse(args.detach_keys.as_deref())?;
    let cidfile = args.container.cidfile.as_deref().map(CidFile::reserve).transpose()?;
    let record = pull::create(engine, options, &args.container)?;
    if let Some(cidfile) = cidfile {
        cidfile.write(&record.id)?;
    }
    let session = Session {
        streams,
        tty: record.options.tty,
        detach_keys: args.detach_keys.clone(),
        sig_proxy: args.sig_proxy && !detach,
    };
    let signals = stream::collect_signals(&session)?;
    let started = prepare::prepare(engine, &record, terminal::size()).and_then(|prepared| {
        prepared.warnings.iter().for_each(|warning| eprintln!("WARNING: {warning}"));
        if session.streams != Streams::default() {
            events::of_container(engine, &record, "attach");
        }
        prepared.start(&[session.streams.request()])
    });
    let connection = match started {
        Ok(connection) => connection,
        Err(error) => {
            if record.options.auto_remove {
                remove::clean_up(engine, &record.id)?;
            }
            return Err(error.into());
        }
    };
    if detach || streams == Streams::default() {
        out(&format!("{}\n", record.id));
        return Ok(0);
    }
    stay(engine, &record, connection, &session, signals)
}

/// Stays with a container until its program ends or the user leaves; a container that was to be removed at its end is.
pub(super) fn stay(
    engine: &Engine,
    record: &Record,
    mut connection: Connection,
    session: &Session,
    signals: SignalFd,
) -> Result<i32, Failure> {
    match stream::run(&mut connection, session, signals)? {
        End::Exited(code) => {
            if record.options.auto_remove {
                connection.send(&Request::Bye)?;
                // The monitor waits for its clients to leave, and the removal for the monitor.
                drop(connection);
                remove::clean_up(engine, &record.id)?;
            }
            Ok(code)
        }
        End::Detached => {
            events::of_container(engine, record, "detach");
            Ok(0)
        }
        End::Lost => lost(engine, &record.id),
    }
}

/// The monitor has gone without saying how the program ended: what is on disk tells, after repair.
fn lost(engine: &Engine, id: &str) -> Result<i32, Failure> {
    match wait::after_monitor(engine, id) {
        Ok(container) => {
            Failure::new(0, Error::new(Kind::Internal, "the container's monitor died, and the container with it"))
                .report();
            Ok(wait::last_exit_code(&container))
        }
        Err(error) if error.kind() == Kind::NotFound => Err(Failure::new(
            137,
            Error::new(Kind::Internal, "the container's monitor died, and the container was removed"),
        )),
        Err(error) => Err(error.into()),
    }
}

/// The streams a client attaches to: those asked for, or by default the outputs, and the input if it is open.
fn streams(asked: &[String], detach: bool, open_stdin: bool) -> Result<Streams> {
    if detach {
        if !asked.is_empty() {
            return Err(Error::invalid("conflicting options: cannot attach to streams and detach"));
        }
        return Ok(Streams::default());
    }
    if asked.is_empty() {
        return Ok(Streams { stdin: open_stdin, stdout: true, stderr: true });
    }
    let mut streams = Streams::default();
    for name in asked {
        match name.to_ascii_lowercase().as_str() {
            "stdin" => streams.stdin = true,
            "stdout" => streams.stdout = true,
            "stderr" => streams.stderr = true,
            _ => return Err(Error::invalid(format!("invalid stream \"{name}\": it is stdin, stdout or stderr"))),
        }
    }
    streams.stdin &= open_stdin;
    Ok(streams)
}

/// The file that gets the id. It is made before the container, so that an existing one is refused in time.
pub(super) struct CidFile {
    file: Option<std::fs::File>,
    path: std::path::PathBuf,
}

impl CidFile {
    pub(super) fn reserve(path: &Path) -> Result<Self> {
        let file = std::fs::File::create_new(path).map_err(|error| (error.kind(), error));
        match file {
            Ok(file) => Ok(Self { file: Some(file), path: path.to_owned() }),
            Err((std::io::ErrorKind::AlreadyExists, _)) => {
                Err(Error::conflict(format!("container id file {path:?} exists already"))
                    .hint("make sure the other container is not running, or delete the file"))
            }
            Err((_, error)) => Err(error).context(|| format!("cannot make container id file {path:?}")),
        }
    }

    pub(super) fn write(mut self, id: &str) -> Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        file.write_all(id.as_bytes()).context(|| format!("cannot write container id file {:?}", self.path))
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // No container was made: the file would be a lie.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
