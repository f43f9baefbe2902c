//! `top`: the processes of a container, as the host sees them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use stdx::{Context, Error, Result};

use crate::containers::Container;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// The host's id of its user.
    pub uid: u32,
    pub pid: i32,
    pub parent: i32,
    pub started: Timestamp,
    /// Device number of its terminal; 0: none.
    pub terminal: i32,
    /// Seconds it has been on a CPU.
    pub cpu_seconds: u64,
    /// The arguments; of one that has none the name in brackets.
    pub command: String,
}

/// The pids of a running container's processes.
pub fn pids(container: &Container) -> Result<BTreeSet<i32>> {
    if !container.is_running() {
        return Err(Error::conflict(format!("container {} is not running", container.record.name)));
    }
    Ok(runtime::cgroup::at(&container.record.cgroup())?.pids()?.into_iter().collect())
}

/// The processes of a running container, by pid.
pub fn top(container: &Container) -> Result<Vec<Process>> {
    let boot = sys::proc::boot_time().context(|| "cannot tell when this machine was started".into())?;
    // One that has ended since it was listed is not shown.
    Ok(pids(container)?.into_iter().filter_map(|pid| read(pid, boot)).collect())
}

fn read(pid: i32, boot: i64) -> Option<Process> {
    use std::os::unix::fs::MetadataExt;
    let stat = sys::proc::stat(pid).ok()?;
    let uid = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments = String::from_utf8_lossy(&arguments).trim_end_matches('\0').replace('\0', " ");
    let command = if arguments.is_empty() { format!("[{}]", stat.name) } else { arguments };
    let started = Timestamp::from_second(boot + stat.start_seconds as i64).ok()?;
    Some(Process {
        uid,
        pid,
        parent: stat.parent,
        started,
        terminal: stat.terminal,
        cpu_seconds: stat.cpu_seconds,
        command,
    })
}
