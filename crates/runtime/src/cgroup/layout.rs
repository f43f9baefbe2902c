//! Where this machine mounts its control groups.

use std::path::PathBuf;

use stdx::{Context, Result};

/// The hierarchies found in the mount table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// Version 1 hierarchies that have controllers.
    pub v1: Vec<Hierarchy>,
    /// Version 2's tree.
    pub v2: Option<PathBuf>,
}

/// One version 1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers; several where they are mounted jointly (`cpu,cpuacct`).
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
}

impl Hierarchy {
    /// Whether `controller` is in this hierarchy.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

const CONTROLLERS: [&str; 14] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "net_cls",
    "net_prio",
    "perf_event",
    "hugetlb",
    "rdma",
    "misc",
];

impl Layout {
    /// Reads the mount table of this process.
    pub fn read() -> Result<Self> {
        let table = std::fs::read("/proc/self/mountinfo").context(|| "cannot read the mount table".into())?;
        Ok(Self::parse(&String::from_utf8_lossy(&table)))
    }

    /// `ID PARENT DEV ROOT MOUNTPOINT OPTIONS [TAGS…] - TYPE SOURCE SUPEROPTIONS`, proc(5).
    fn parse(table: &str) -> Self {
        let mut layout = Self::default();
        for line in table.lines() {
            let Some((mount, filesystem)) = line.split_once(" - cgroup") else { continue };
            let Some(mountpoint) = mount.split(' ').nth(4) else { continue };
            let mountpoint = PathBuf::from(mountpoint);
            if filesystem.starts_with("2 ") {
                layout.v2.get_or_insert(mountpoint);
                continue;
            }
            let options = filesystem.rsplit(' ').next().unwrap_or_default();
            let controllers: Vec<String> =
                options.split(',').filter(|option| CONTROLLERS.contains(option)).map(str::to_owned).collect();
            let known = |hierarchy: &Hierarchy| hierarchy.controllers == controllers;
            if !controllers.is_empty() && !layout.v1.iter().any(known) {
                layout.v1.push(Hierarchy { controllers, mountpoint });
            }
        }
        layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_joint_and_duplicate_mounts_are_understood() {
        let table = "\
30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct
34 30 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 30 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
";
        let layout = Layout::parse(table);
        assert_eq!(layout.v2, Some(PathBuf::from("/sys/fs/cgroup/unified")));
        let points: Vec<_> = layout.v1.iter().map(|h| h.mountpoint.to_string_lossy().into_owned()).collect();
        assert_eq!(points, ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"]);
        assert!(layout.v1[0].has("cpuacct"));
    }
}
