//! `tare runtime exec`.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use oci::runtime_spec::{Process, User};
use runtime::container::{self, ExecOptions};
use stdx::{Context, Error, Kind, Result};

use super::run::{Forward, wait};
use super::{Globals, streams};
use crate::error::Failure;

/// Execute a new process inside the container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime exec")]
struct Args {
    /// A socket that receives the terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Current working directory in the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// UID (format: <uid>[:<gid>])
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Additional gids
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// A file with the process to execute
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Detach from the process
    #[arg(short, long)]
    detach: bool,
    /// A file to write the pid to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Set no_new_privs for the process
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
    /// Pass this many more descriptors to the process
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    preserve_fds: u32,
    #[arg(value_name = "ID [COMMAND] [ARG...]", required = true, trailing_var_arg = true)]
    id_and_command: Vec<String>,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::super::parse::<Args>(args)? else { return Ok(0) };
    let mut signals = Forward::collect(args.detach)?;
    let (id, command) = args.id_and_command.split_first().ok_or_else(|| Error::invalid("no container given"))?;
    let container = globals.container(id)?;
    let process = match &args.process {
        Some(path) => read_process(path)?,
        None => of_arguments(container.config.process.clone().unwrap_or_default(), &args, command)?,
    };
    streams::check_console(&process, args.console_socket.as_deref(), args.detach)?;
    let options = ExecOptions { process: &process, stdio: streams::stdio(&process)?, preserve_fds: args.preserve_fds };
    let executed = container::exec(&container, options).map_err(super::failure)?;
    super::warn(&executed.warnings);
    streams::write_pid(args.pid_file.as_deref(), executed.pid)?;
    if let (Some(socket), Some(terminal)) = (&args.console_socket, &executed.terminal) {
        streams::send_terminal(socket, terminal)?;
    }
    if args.detach {
        return Ok(0);
    }
    let terminal = executed.terminal.as_ref().filter(|_| args.console_socket.is_none());
    Ok(wait(executed.pid, executed.pidfd.as_fd(), terminal, &mut signals)?)
}

fn read_process(path: &std::path::Path) -> Result<Process> {
    let bytes = std::fs::read(path).context(|| format!("cannot read {path:?}"))?;
    let parsed = serde_json::from_slice(&bytes).context(|| format!("cannot parse {path:?}"));
    parsed.map_err(|error| error.kinded(Kind::Invalid))
}

/// The container's own process with what the options change.
fn of_arguments(mut process: Process, args: &Args, command: &[String]) -> Result<Process> {
    process.args = command.to_vec();
    process.terminal = args.tty;
    process.no_new_privileges |= args.no_new_privs;
    process.env.extend(args.env.iter().cloned());
    if let Some(cwd) = &args.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(text) = &args.user {
        let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
        let number = |text: &str| text.parse::<u32>().map_err(|_| Error::invalid(format!("invalid user \"{text}\"")));
        process.user = User { uid: number(uid)?, gid: number(gid)?, ..process.user };
    }
    process.user.additional_gids.extend(&args.additional_gids);
    let capabilities = process.capabilities.get_or_insert_default();
    for name in &args.cap {
        for set in [&mut capabilities.bounding, &mut capabilities.effective, &mut capabilities.permitted] {
            set.push(name.clone());
        }
    }
    Ok(process)
}
