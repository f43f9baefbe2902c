//! `tare exec`.

use std::ffi::OsString;
use std::path::PathBuf;

use engine::containers::attach::Streams;
use engine::containers::exec::{self, ExecOptions};
use engine::containers::find;
use engine::containers::options::parse;
use engine::{Engine, events};
use stdx::{Error, Kind, Result};

use crate::error::Failure;
use crate::stream::{self, End, Session};
use crate::terminal;

/// Execute a command in a running container
#[derive(clap::Parser, Debug)]
#[command(name = "tare exec")]
pub(crate) struct Args {
    /// Run the command in the background
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the command running (default: ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Keep STDIN open
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// User name or UID (name|uid[:group|gid])
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    #[arg(value_name = "CONTAINER COMMAND [ARG...]", required = true, num_args = 2.., trailing_var_arg = true)]
    container_and_command: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let (name, command) =
        args.container_and_command.split_first().ok_or_else(|| Error::invalid("no container given"))?;
    let options = ExecOptions {
        command: command.to_vec(),
        env: env(&args)?,
        working_dir: args.workdir.clone(),
        user: args.user.clone(),
        tty: args.tty,
        open_stdin: args.interactive && !args.detach,
        privileged: args.privileged,
    };
    let attached = !args.detach;
    if options.open_stdin && args.tty && !terminal::is_terminal() {
        let error = Error::invalid("the input device is not a TTY").hint("leave -t out when input is piped");
        return Err(Failure::new(1, error));
    }
    terminal::DetachKeys::parse(args.detach_keys.as_deref())?;
    let session = Session {
        streams: Streams { stdin: options.open_stdin, stdout: attached, stderr: attached },
        tty: args.tty,
        detach_keys: args.detach_keys.clone(),
        sig_proxy: attached,
    };
    let signals = stream::collect_signals(&session)?;
    let container = find::find(engine, name)?;
    let mut connection = exec::exec(engine, &container, &options, session.streams, terminal::size())
        .map_err(|error| Failure::new(if error.exit_code == 125 { 1 } else { error.exit_code }, error.error))?;
    if args.detach {
        return Ok(0);
    }
    match stream::run(&mut connection, &session, signals)? {
        End::Exited(code) => Ok(code),
        End::Detached => {
            events::of_container(engine, &container.record, "exec_detach");
            Ok(0)
        }
        End::Lost => Err(Failure::new(137, Error::new(Kind::Internal, "the command's monitor died"))),
    }
}

fn env(args: &Args) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for path in &args.env_file {
        texts.extend(parse::lines_of(path)?);
    }
    texts.extend(args.env.iter().cloned());
    let entries: Vec<Option<String>> = texts.iter().map(|text| parse::env(text)).collect::<Result<_>>()?;
    Ok(entries.into_iter().flatten().collect())
}
