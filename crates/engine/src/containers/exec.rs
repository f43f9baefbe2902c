//! `exec`: a further process in a running container, with a monitor of its own.

use monitor::State;
use monitor::client::Connection;
use monitor::exec::{Config, Filter};
use monitor::protocol::{Event, Failed, Request};
use monitor::state::Process as Init;
use oci::runtime_spec::{Process, Spec};
use runtime::bundle::Bundle;
use stdx::{Error, Kind, Result, id};

use crate::Engine;
use crate::config::make_dir;
use crate::containers::attach::Streams;
use crate::containers::{Container, Record, StartError, pause, spec};

/// What to execute, and how it differs from the container's own program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `NAME=value`, instead of the container's of the same name.
    pub env: Vec<String>,
    pub working_dir: Option<String>,
    /// `name|uid[:group|gid]`; `None`: the container's.
    pub user: Option<String>,
    pub tty: bool,
    pub open_stdin: bool,
    /// With every capability.
    pub privileged: bool,
}

/// Executes a process in a running container, attached to `streams`. `terminal` is the size of the user's: rows and columns,
/// 0 if there is none. The connection tells how it ends; the process goes on without it.
pub fn exec(
    engine: &Engine,
    container: &Container,
    options: &ExecOptions,
    streams: Streams,
    terminal: (u16, u16),
) -> std::result::Result<Connection, StartError> {
    let config = config(engine, &container.record, running(engine, container)?, options, terminal)?;
    let dir = engine.dirs().container_run(&container.record.id).join("exec").join(id::random_hex(32));
    make_dir(&dir, 0o711)?;
    config.save(&dir)?;
    let mut connection = monitor::spawn::spawn_exec(&dir)?;
    connection.send(&streams.request())?;
    connection.send(&Request::Start)?;
    match connection.receive()? {
        Some(Event::Started) => Ok(connection),
        // Of a container that runs nothing is wrong but what was asked for: Docker's code for that.
        Some(Event::Failed(failed)) => Err(Failed { exit_code: failed.exit_code.max(126), ..failed }.into()),
        _ => Err(Error::new(Kind::Internal, "the process's monitor ended before the process was started").into()),
    }
}

/// The init of a container that runs and is not paused.
fn running(engine: &Engine, container: &Container) -> Result<Init> {
    let record = &container.record;
    let Some(State::Running { process: init, .. }) = container.state else {
        return Err(Error::conflict(format!("container {} is not running", record.name)).hint("start it first"));
    };
    if pause::is_paused(engine, &record.id) {
        return Err(Error::conflict(format!("container {} is paused", record.name)).hint("unpause it first"));
    }
    Ok(init)
}

/// What the monitor of a further process is told.
pub(crate) fn config(
    engine: &Engine,
    record: &Record,
    init: Init,
    options: &ExecOptions,
    terminal: (u16, u16),
) -> Result<Config> {
    let spec = Bundle::load(&engine.dirs().container_run(&record.id))?.spec;
    let linux = spec.linux.clone().unwrap_or_default();
    let filter = match (linux.seccomp, spec::uses_default_filter(&record.options)) {
        (_, true) => Filter::Default { bounding: spec::capabilities(&record.options)? },
        (Some(profile), false) => Filter::Profile(Box::new(profile)),
        (None, false) => Filter::Unconfined,
    };
    Ok(Config {
        id: record.id.clone(),
        init,
        cgroup: record.cgroup(),
        process: process(&spec, options)?,
        user: Some(options.user.clone().unwrap_or_else(|| record.process.user.clone())),
        // Further groups are the container's user's.
        groups: if options.user.is_none() { record.options.groups.clone() } else { Vec::new() },
        filter,
        memory_policy: linux.memory_policy,
        owner: runtime::userns::to_host(&linux.uid_mappings, 0),
        rows: terminal.0,
        columns: terminal.1,
        stdin: options.open_stdin,
    })
}

fn process(spec: &Spec, options: &ExecOptions) -> Result<Process> {
    let mut process = spec.process.clone().unwrap_or_default();
    process.args.clone_from(&options.command);
    process.terminal = options.tty;
    if options.tty && !process.env.iter().any(|entry| entry.starts_with("TERM=")) {
        process.env.push("TERM=xterm".into());
    }
    for entry in &options.env {
        let name = entry.split('=').next().unwrap_or_default();
        process.env.retain(|other| other.split('=').next() != Some(name));
        process.env.push(entry.clone());
    }
    if let Some(dir) = &options.working_dir {
        if !dir.starts_with('/') {
            return Err(Error::invalid(format!("the working directory \"{dir}\" is not absolute")));
        }
        process.cwd.clone_from(dir);
    }
    if options.privileged {
        spec::give_all_capabilities(&mut process);
        process.apparmor_profile = None;
    }
    Ok(process)
}
