//! What the host sees: processes, mounts, cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

/// How this machine mounts its cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// A hierarchy for each controller, with or without version 2 beside them.
    V1,
    /// One hierarchy.
    V2,
}

impl Cgroups {
    /// What this machine has.
    pub fn here() -> Self {
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { Self::V2 } else { Self::V1 }
    }
}

/// The mount point of every cgroup hierarchy.
pub fn cgroup_hierarchies() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let lines = table.lines().filter(|line| line.contains(" - cgroup"));
    lines.filter_map(|line| line.split(' ').nth(4).map(PathBuf::from)).collect()
}

/// Whether systemd makes the cgroups of this run's containers.
pub fn systemd_makes_cgroups() -> bool {
    std::env::var_os("TARE_CGROUP_DRIVER").is_some_and(|driver| driver == "systemd")
}

/// The cgroup directories of a container that exist.
pub fn cgroups_of(id: &str) -> Vec<PathBuf> {
    let names = [format!("tare/{id}"), format!("system.slice/tare-{id}.scope")];
    let dirs = cgroup_hierarchies().into_iter().flat_map(|root| names.each_ref().map(|name| root.join(name)));
    dirs.filter(|dir| dir.exists()).collect()
}

pub(crate) fn members(cgroup: &Path) -> Vec<u32> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    process_field(pid, "State:").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// A field of `/proc/PID/status`.
pub fn process_field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

/// Processes whose command line names a directory, or whose root is mounted from below it; not this one.
pub(crate) fn processes_mentioning(dir: &Path) -> Vec<u32> {
    let dir = dir.to_str().unwrap();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id() && is_alive(*pid) && mentions(*pid, dir)).collect()
}

fn mentions(pid: u32, dir: &str) -> bool {
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command_line = String::from_utf8_lossy(&command_line).into_owned();
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    // "…-1" must not find "…-12".
    let ends =
        |text: &str| text.match_indices(dir).any(|(at, _)| !text[at + dir.len()..].starts_with(char::is_numeric));
    ends(&command_line) || mounts.lines().any(|line| line.contains(" - overlay ") && ends(line))
}

pub(crate) fn describe(pid: u32) -> String {
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("process {pid} {:?}", String::from_utf8_lossy(&command_line).replace('\0', " "))
}

pub(crate) fn kill_all(pids: &[u32]) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid as i32)) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

pub(crate) fn mounts_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let dir = format!("{}/", dir.display());
    table.lines().filter(|line| line.contains(&dir)).map(str::to_owned).collect()
}

pub(crate) fn unmount_below(dir: &Path) {
    for line in mounts_below(dir).iter().rev() {
        let _ = unmount(line.split(' ').nth(4).unwrap_or_default(), UnmountFlags::DETACH);
    }
}

/// Whether the kernel is this version or a later one.
pub fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (major, minor)
}
