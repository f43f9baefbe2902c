//! `tare runtime exec`.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use oci::runtime_spec::Process;
use runtime::cgroup::Subgroups;
use runtime::container::{self, ExecOptions};
use stdx::{Context, Error, Kind, Result};

use super::run::{Forward, wait};
use super::{Globals, protect, streams};
use crate::error::Failure;

/// Tells a failure to execute from the program's own exit code, as runc does.
const FAILED: i32 = 255;

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
    /// A socket that receives a descriptor of the process
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// A file to write the pid to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Set no_new_privs for the process
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// Run in a control group below the container's (format: [<controller>[,<controller>...]:]<path>)
    #[arg(long, value_name = "[CONTROLLER:]PATH")]
    cgroup: Vec<String>,
    /// Execute in a paused container: the process waits until that is resumed
    #[arg(long)]
    ignore_paused: bool,
    /// Pass this many more descriptors to the process
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    preserve_fds: u32,
    #[arg(value_name = "ID [COMMAND] [ARG...]", required = true, trailing_var_arg = true)]
    id_and_command: Vec<String>,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    execute(globals, args).map_err(|failure| failure.with_code(FAILED))
}

fn execute(globals: &Globals, args: Args) -> Result<i32, Failure> {
    protect::protect()?;
    // It may be one of the descriptors that are closed next.
    let given = args.process.as_deref().map(read_process).transpose()?;
    protect::close_others(streams::listen_fds() + args.preserve_fds, &globals.log)?;
    let mut signals = Forward::collect(args.detach)?;
    let (id, command) = args.id_and_command.split_first().ok_or_else(|| Error::invalid("no container given"))?;
    let container = globals.container(id)?;
    let process = match given {
        Some(process) => process,
        None => of_arguments(container.config.process.clone().unwrap_or_default(), &args, command)?,
    };
    streams::check_console(&process, args.console_socket.as_deref(), args.detach)?;
    let options = ExecOptions {
        process: &process,
        stdio: streams::stdio(&process, !args.detach && args.console_socket.is_none())?,
        preserve_fds: streams::listen_fds() + args.preserve_fds,
        subgroups: Subgroups::parse(&args.cgroup)?,
        ignore_paused: args.ignore_paused,
    };
    let executed = container::exec(&container, options, &|step| globals.log.debug(step)).map_err(super::failure)?;
    globals.warn(&executed.warnings);
    streams::write_pid(args.pid_file.as_deref(), executed.pid)?;
    if let (Some(socket), Some(terminal)) = (&args.console_socket, &executed.terminal) {
        streams::send_terminal(socket, terminal)?;
    }
    if let Some(socket) = &args.pidfd_socket {
        streams::send_pidfd(socket, executed.pidfd.as_fd())?;
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
        let (uid, gid) = text.split_once(':').map_or((text.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        let number = |text: &str| text.parse::<u32>().map_err(|_| Error::invalid(format!("invalid user \"{text}\"")));
        process.user.uid = number(uid)?;
        process.user.gid = gid.map(number).transpose()?.unwrap_or(process.user.gid);
    }
    process.user.additional_gids.extend(&args.additional_gids);
    add_capabilities(&mut process, &args.cap);
    process.apparmor_profile = args.apparmor.clone().or(process.apparmor_profile);
    process.selinux_label = args.process_label.clone().or(process.selinux_label);
    Ok(process)
}

/// Into the ambient set too, where the container has given inheritable ones, without which there are none.
fn add_capabilities(process: &mut Process, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let capabilities = process.capabilities.get_or_insert_default();
    let mut sets = vec![&mut capabilities.bounding, &mut capabilities.effective, &mut capabilities.permitted];
    if !capabilities.inheritable.is_empty() {
        sets.push(&mut capabilities.ambient);
    }
    sets.into_iter().for_each(|set| set.extend(names.iter().cloned()));
}
