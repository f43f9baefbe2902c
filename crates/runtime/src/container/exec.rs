//! `exec`: another process in a container.

use oci::runtime_spec::{Process, Status};
use stdx::Error;

use super::Container;
use crate::cgroup::Subgroups;
use crate::create::{CreateError, Stdio};
use crate::exec::{Config, Executed};
use crate::{Trace, keyring, process, seccomp};

/// What to execute.
#[derive(Debug)]
pub struct ExecOptions<'a> {
    pub process: &'a Process,
    pub stdio: Stdio,
    pub preserve_fds: u32,
    /// Where below the container's control groups it goes.
    pub subgroups: Subgroups,
    /// Execute in a paused container: the process waits for the container to be resumed.
    pub ignore_paused: bool,
}

/// Executes a process in a running or created container, with the container's own filter.
pub fn exec(
    container: &Container,
    options: ExecOptions<'_>,
    trace: Trace<'_>,
) -> std::result::Result<Executed, CreateError> {
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused if options.ignore_paused => {}
        Status::Paused => {
            return Err(Error::conflict("cannot exec in a paused container (use --ignore-paused to override)").into());
        }
        _ => return Err(Error::conflict("cannot exec in a stopped container").into()),
    }
    let seccomp = container.config.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let filter = seccomp.map(seccomp::compile).transpose()?;
    if let Some(class) = container.class()? {
        // This process has nothing else to do: what it clones is in the class from its birth.
        class.enter(std::process::id() as i32)?;
    }
    let cgroup = container.cgroup()?;
    let mut executed = crate::exec::exec(&Config {
        pid: container.init_process_pid,
        start_time: None,
        process: options.process,
        user: None,
        groups: &[],
        filter: filter.as_ref(),
        agent: seccomp.map(|seccomp| (seccomp, container.state())),
        memory_policy: container.config.linux.as_ref().and_then(|linux| linux.memory_policy.as_ref()),
        personality: container.config.linux.as_ref().and_then(|linux| linux.personality.as_ref()),
        cgroup: cgroup.as_ref(),
        subgroups: options.subgroups,
        stdio: options.stdio,
        preserve_fds: options.preserve_fds,
        keyring: container.new_keyring.then(|| keyring::name(&container.id)),
        trace,
    })?;
    executed.warnings.extend(process::capability_warnings(options.process));
    Ok(executed)
}
