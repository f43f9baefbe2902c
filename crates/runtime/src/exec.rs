//! A further process in a running container: into its control groups and namespaces, then the same last steps as its init
//! ([`crate::launch`]).
//!
//! 1. decide: which namespaces differ from ours
//! 2. enter those that only a child can be in (pid, time)
//! 3. clone, into the v2 control group
//! 4. the new process: enter the v1 control groups, the other namespaces, a session of its own
//! 5. streams, user and program → *ready*
//! 6. → *exec*, the program

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use oci::runtime_spec::{MemoryPolicy, Personality, Process, Seccomp, State};
use rustix::fs::{Mode, OFlags};
use stdx::{Context, Error, Kind, Result};
use sys::clone::{Cloned, clone3};
use sys::namespace::{self, flag};
use sys::pty::Pty;

use crate::cgroup::{Cgroup, Entrance, Subgroups};
use crate::create::{CreateError, Stdio, Undo};
use crate::launch::{self, Launch};
use crate::listener::Filtered;
use crate::seccomp::Program;
use crate::sync::{Channel, FromInit, ToInit};
use crate::{Trace, keyring, labels, scheduling};

/// What to execute, and where.
pub struct Config<'a> {
    /// The container's init, on the host.
    pub pid: i32,
    /// When init was started, in clock ticks since boot: a number alone may have come to mean another process.
    pub start_time: Option<u64>,
    pub process: &'a Process,
    /// A user to look up inside the container, in Docker's form, instead of the numbers of `process`.
    pub user: Option<&'a str>,
    /// Names or numbers of further groups, looked up likewise.
    pub groups: &'a [String],
    /// The container's filter.
    pub filter: Option<&'a Program>,
    /// What it was compiled from, and the container as its agent is told.
    pub agent: Option<(&'a Seccomp, State)>,
    /// The container's.
    pub memory_policy: Option<&'a MemoryPolicy>,
    /// The container's.
    pub personality: Option<&'a Personality>,
    pub cgroup: &'a dyn Cgroup,
    /// Where below them it goes.
    pub subgroups: Subgroups,
    pub stdio: Stdio,
    /// Descriptors from 3 on that the program inherits.
    pub preserve_fds: u32,
    /// The session keyring it joins, the container's own. `None`: it keeps the caller's.
    pub keyring: Option<String>,
    /// Is told what is being done.
    pub trace: Trace<'a>,
}

/// A process that runs in a container.
#[derive(Debug)]
pub struct Executed {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Our side of its terminal.
    pub terminal: Option<OwnedFd>,
    pub warnings: Vec<String>,
}

const KINDS: [(&str, u64); 8] = [
    // The user namespace first: it gives the right to enter what it owns.
    ("user", flag::USER),
    ("pid", flag::PID),
    ("time", flag::TIME),
    ("cgroup", flag::CGROUP),
    ("ipc", flag::IPC),
    ("uts", flag::UTS),
    ("net", flag::NETWORK),
    // The mount namespace last: behind it our /proc is out of reach.
    ("mnt", flag::MOUNT),
];

/// Executes a process in a running container; returns when its program runs.
///
/// The calling process must be single-threaded, and is good for this one execution: its later children would be in the
/// container's pid namespace.
pub fn exec(config: &Config<'_>) -> std::result::Result<Executed, CreateError> {
    // 1. decide
    labels::check_process(config.process)?;
    let namespaces = differing(config.pid)?;
    if config.start_time.is_some_and(|expected| sys::proc::start_time(config.pid) != Ok(expected)) {
        return Err(Error::conflict("cannot exec in a container that has ended").into());
    }
    let launch = Launch {
        process: config.process,
        user: config.user,
        groups: config.groups,
        stdio: &config.stdio,
        filter: config.filter,
        memory_policy: config.memory_policy,
        personality: config.personality,
        start_hooks: None,
        trace: config.trace,
        die_with_creator: false,
        preserve_fds: config.preserve_fds,
    };
    let affinity = config.process.exec_cpu_affinity.clone().unwrap_or_default();
    // Ours is the new process's until it is in its control groups.
    scheduling::set_affinity(&affinity.initial)?;
    (config.trace)(&format!("nsexec container setup: affinity: {}", scheduling::affinity()));
    // 2. pid and time
    let (for_child, by_child): (Vec<_>, Vec<_>) =
        namespaces.into_iter().partition(|(_, kind)| matches!(*kind, flag::PID | flag::TIME));
    enter(&for_child)?;
    // 3. clone
    let entrance = config.cgroup.entrance(&config.subgroups)?;
    let (channel, child_channel) = Channel::pair()?;
    let into = entrance.clone_into.as_ref().map(AsFd::as_fd);
    let (pid, pidfd) = match clone3(0, into).context(|| "cannot make a process in the container".into())? {
        Cloned::Child => {
            drop(channel);
            run(&launch, entrance, &by_child, config.keyring.as_deref(), &child_channel)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(child_channel);
    let what = || "cannot hold the new process".to_owned();
    // One that failed is buried here: nobody else may, and its zombie would keep the container's pid namespace from ending.
    let mut undo = Undo { cgroup: None, pidfd: Some(pidfd.try_clone().context(what)?) };
    let mut executed = Executed { pid, pidfd, terminal: None, warnings: Vec::new() };
    loop {
        match channel.receive_from_init()? {
            Some(FromInit::Warning(warning)) => executed.warnings.push(warning),
            Some(FromInit::Terminal(master)) => executed.terminal = Some(master),
            Some(FromInit::Ready) => channel.send_to_init(&ToInit::Exec)?,
            Some(FromInit::Failed(failure)) => return Err(failure.into()),
            Some(FromInit::Listener(number)) => {
                pass_on(config, &executed, number)?;
                channel.send_to_init(&ToInit::Heard)?;
            }
            Some(FromInit::Mounted | FromInit::Cloned(_)) => {
                return Err(Error::new(Kind::Internal, "a process mounted something").into());
            }
            None => {
                undo.pidfd = None;
                return Ok(executed);
            }
        }
    }
}

fn pass_on(config: &Config<'_>, executed: &Executed, number: i32) -> Result<()> {
    let no_agent = || Error::new(Kind::Internal, "a process reports its system calls to nobody");
    let (seccomp, state) = config.agent.as_ref().ok_or_else(no_agent)?;
    let process =
        Filtered { pid: executed.pid, pidfd: executed.pidfd.as_fd(), seccomp: Some(seccomp), state: state.clone() };
    process.pass_on(number).inspect_err(|_| {
        // It waits for an agent that will never answer.
        let _ = sys::process::kill_pidfd(&executed.pidfd, sys::signal::KILL);
    })
}

/// The namespaces of process `pid` that are not our own.
fn differing(pid: i32) -> Result<Vec<(OwnedFd, u64)>> {
    let mut found = Vec::new();
    for (name, kind) in KINDS {
        let path = format!("/proc/{pid}/ns/{name}");
        let link = |path: &str| std::fs::read_link(path).context(|| format!("cannot read {path:?}"));
        if link(&path)? != link(&format!("/proc/self/ns/{name}"))? {
            found.push((File::open(&path).context(|| format!("cannot open {path:?}"))?.into(), kind));
        }
    }
    Ok(found)
}

fn enter(namespaces: &[(OwnedFd, u64)]) -> Result<()> {
    for (fd, kind) in namespaces {
        namespace::enter(fd.as_fd(), *kind).context(|| "cannot join a namespace of the container".into())?;
    }
    Ok(())
}

fn run(
    launch: &Launch<'_>,
    entrance: Entrance,
    namespaces: &[(OwnedFd, u64)],
    keyring_name: Option<&str>,
    channel: &Channel,
) -> ! {
    let steps = |entrance: Entrance| -> std::result::Result<Infallible, crate::sync::Failure> {
        // 4. control groups, namespaces, session
        entrance.enter()?;
        (launch.trace)("child process in init()");
        match &launch.process.exec_cpu_affinity {
            Some(affinity) => scheduling::set_affinity(&affinity.final_)?,
            None => scheduling::reset_affinity(),
        }
        enter(namespaces)?;
        if namespaces.iter().any(|(_, kind)| *kind == flag::USER) {
            sys::process::set_gid(0)
                .and_then(|()| sys::process::set_uid(0))
                .context(|| "cannot become root of the user namespace".into())?;
        }
        rustix::process::setsid().context(|| "cannot start a session".into())?;
        keyring::join(keyring_name)?;
        // 5. streams, user and program
        launch.set_streams(open_terminal(launch.stdio)?, channel)?;
        let found = launch.find()?;
        (launch.trace)("init: closing the pipe to signal completion");
        channel.send_from_init(&FromInit::Ready)?;
        // 6. the program
        (launch.trace)("setns_init: about to exec");
        match channel.receive_to_init()? {
            Some(ToInit::Exec) => launch.become_program(&found, channel),
            _ => Err(Error::new(Kind::Internal, "whoever executes this process is gone").into()),
        }
    };
    let Err(failure) = steps(entrance);
    // If they are gone nobody is left to be told.
    let _ = channel.send_from_init(&FromInit::Failed(failure));
    sys::process::exit_now(1)
}

fn open_terminal(stdio: &Stdio) -> Result<Option<Pty>> {
    let Stdio::Terminal(terminal) = *stdio else { return Ok(None) };
    let what = || "cannot make a terminal".to_owned();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let devpts = rustix::fs::open("/dev/pts", flags, Mode::empty()).context(what)?;
    launch::open_terminal(devpts, terminal).map(Some).context(what)
}
