//! Control groups: one container, one group in every hierarchy the machine has.
//!
//! Version 1 (a directory per controller hierarchy) and version 2 (one tree) are two real implementations of one small
//! trait. Which one applies is read from the mount table: a machine with any v1 controller is run as v1, and the v2 tree
//! such a "hybrid" machine mounts beside it is joined too, for what it can do better (`cgroup.kill`).
//!
//! Under version 2 systemd may own the tree: then it makes the group, as a transient scope, and the rest is the same
//! ([`systemd`]).
//!
//! A group is made before the process, joined before the process does anything, each hierarchy written once; it is
//! removed after the exit status is known. Names are paths below the hierarchy's root, `tare/ID`, or `SLICE:PREFIX:NAME` for
//! systemd's unit `PREFIX-NAME.scope`, as other runtimes write it.

mod devices;
mod file;
mod layout;
mod stats;
mod subgroups;
mod systemd;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::runtime_spec::{Rdma, Resources};
use stdx::{Context, Error, Result};

pub use layout::{Hierarchy, Layout};
pub use stats::Stats;
pub use subgroups::Subgroups;

/// The groups of one container.
pub trait Cgroup {
    /// Makes the groups and sets the limits. Gives warnings: what was asked for and this kernel has dropped.
    fn create(&self, resources: &Resources) -> Result<Vec<String>>;

    /// Opens an existing or a new set of limits on running groups, as `update` does.
    fn update(&self, resources: &Resources) -> Result<Vec<String>>;

    /// Opens the way in, or to groups below, for a process that is about to be cloned.
    fn entrance(&self, below: &Subgroups) -> Result<Entrance>;

    /// Every process inside, by the pids of the caller's namespace.
    fn pids(&self) -> Result<Vec<i32>>;

    /// Stops or continues every process inside, and returns when that is so.
    fn freeze(&self, frozen: bool) -> Result<()>;

    /// Whether the group is frozen now.
    fn is_frozen(&self) -> bool;

    /// Sends SIGKILL to every process inside, frozen ones included.
    fn kill(&self) -> Result<()>;

    /// How often the kernel killed a process inside for want of memory.
    fn oom_kills(&self) -> u64;

    /// How often a process inside was short of memory, whatever came of it.
    fn shortages(&self) -> u64 {
        0
    }

    /// Where somebody else removes the group as soon as it is empty: a file that has something exceptional to say
    /// (`POLLPRI`) when `oom_kills` may have changed. It is to be read to the end each time.
    fn oom_notice(&self) -> Option<File> {
        None
    }

    /// Whether a process that was found killed may have been killed for want of memory, where the group is gone before
    /// it could be asked: something in it or beside it was, since it was made.
    fn perhaps_oom_killed(&self) -> bool {
        self.oom_kills() > 0
    }

    /// What the group has used so far.
    fn stats(&self) -> Result<Stats>;

    /// Removes the groups; those already gone are fine. The processes must have ended.
    fn remove(&self) -> Result<()>;

    /// What a container sees below `/sys/fs/cgroup`: name, controllers option and host directory of each hierarchy.
    fn views(&self) -> Vec<View>;
}

/// The way into the groups of a container.
///
/// Writing another process's pid to `cgroup.procs` takes a lock that waits for a grace period of the whole kernel: up to
/// 20 ms. A process that is cloned into its v2 group, and moves its own only thread into its v1 groups, takes none.
#[derive(Debug, Default)]
pub struct Entrance {
    /// The v2 group, for `clone3`.
    pub clone_into: Option<OwnedFd>,
    /// The `tasks` file of every v1 group, opened by the creator, whose rights count.
    tasks: Vec<File>,
    /// Keeps the group from being removed while nobody is inside, for as long as this lives.
    holder: Option<systemd::Holder>,
}

impl Entrance {
    /// In the new process, which is single-threaded: enters the v1 groups, and closes what it has no use for any more.
    pub fn enter(self) -> Result<()> {
        // Its end is that of a process, which is the creator's to wait for.
        std::mem::forget(self.holder);
        self.tasks
            .iter()
            .try_for_each(|mut file| file.write_all(b"0"))
            .context(|| "cannot enter the control groups".into())
    }
}

/// One hierarchy as a container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Directory below `/sys/fs/cgroup` (`cpu`); empty for the v2 tree of a pure v2 machine.
    pub name: String,
    /// Filesystem type, `cgroup` or `cgroup2`.
    pub fs_type: &'static str,
    /// Mount option of a v1 hierarchy: its controllers (`cpu,cpuacct`) or its name (`name=systemd`).
    pub option: String,
    /// The container's directory in it on the host.
    pub dir: PathBuf,
}

/// Whether this machine has the version 2 tree alone.
pub fn is_unified() -> bool {
    Layout::read().is_ok_and(|layout| layout.v1.is_empty() && layout.v2.is_some())
}

/// Whether `path` is one that [`at`] takes, on a machine that has what it needs.
pub fn check(path: &str) -> Result<()> {
    if systemd::Scope::parse(path)?.is_some() { Ok(()) } else { relative(path).map(drop) }
}

/// A line of `rdma.max` for each device (config-linux.md, "RDMA").
fn rdma_lines(devices: &BTreeMap<String, Rdma>) -> Result<Vec<String>> {
    let line = |(device, limit): (&String, &Rdma)| {
        let limits = [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)];
        let limits: Vec<String> = limits.iter().filter_map(|(key, n)| Some(format!("{key}={}", (*n)?))).collect();
        if limits.is_empty() || device.contains(char::is_whitespace) {
            return Err(Error::invalid(format!(
                "the limit of RDMA device \"{device}\" names neither handles nor objects"
            )));
        }
        Ok(format!("{device} {}", limits.join(" ")))
    };
    devices.iter().map(line).collect()
}

fn relative(path: &str) -> Result<&Path> {
    let relative = Path::new(path.trim_start_matches('/'));
    let plain = relative.components().all(|component| matches!(component, std::path::Component::Normal(_)));
    if !plain || relative.as_os_str().is_empty() {
        return Err(Error::invalid(format!("invalid cgroup path \"{path}\"")));
    }
    Ok(relative)
}

/// The groups `path` on this machine: relative to every hierarchy's root (`tare/ID`), or `SLICE:PREFIX:NAME`.
///
/// # Errors
/// A path that leaves the hierarchy, or a machine without control groups, or without systemd where that is asked for.
pub fn at(path: &str) -> Result<Box<dyn Cgroup>> {
    let layout = Layout::read()?;
    if let Some(scope) = systemd::Scope::parse(path)? {
        return match (layout.v1.is_empty(), layout.v2) {
            (true, Some(root)) => Ok(Box::new(systemd::Systemd::new(root, scope))),
            _ => Err(Error::unsupported("control groups made by systemd need cgroup version 2 alone")),
        };
    }
    let relative = relative(path)?;
    match (layout.v1.is_empty(), layout.v2) {
        (false, v2) => Ok(Box::new(v1::V1::new(layout.v1, v2, relative))),
        (true, Some(root)) => Ok(Box::new(v2::V2::new(root, relative))),
        (true, None) => Err(Error::unsupported("no cgroup hierarchy is mounted")
            .hint("mount cgroup2 on /sys/fs/cgroup; a helper that changed the network namespace may have hidden it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rdma_limits_name_what_they_limit() {
        let limits = |handles, objects| {
            let limit = Rdma { hca_handles: handles, hca_objects: objects };
            rdma_lines(&BTreeMap::from([("mlx5_1".to_owned(), limit)]))
        };
        assert_eq!(limits(Some(3), Some(10)).unwrap(), ["mlx5_1 hca_handle=3 hca_object=10"]);
        assert_eq!(limits(None, Some(0)).unwrap(), ["mlx5_1 hca_object=0"]);
        assert!(limits(None, None).is_err());
    }
}
