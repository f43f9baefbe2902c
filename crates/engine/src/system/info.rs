//! `info`: this installation, and the machine it is on.

use std::path::PathBuf;

use stdx::Result;

use crate::containers::list;
use crate::filter::state_of;
use crate::{CgroupDriver, Engine};

/// What `info` shows.
#[derive(Debug, Clone)]
pub struct Info {
    /// Containers in all, and how many of them run, are paused, and do neither.
    pub containers: usize,
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
    pub root: PathBuf,
    pub run: PathBuf,
    pub cgroup_driver: CgroupDriver,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// The host's name, its kernel's release, its machine (`x86_64`) and what its distribution calls itself.
    pub name: String,
    pub kernel: String,
    pub machine: String,
    pub distribution: String,
    pub cpus: usize,
    /// Bytes.
    pub memory: u64,
    /// Security mechanisms of the kernel that containers use.
    pub apparmor: bool,
}

/// Gathers it.
pub fn info(engine: &Engine) -> Result<Info> {
    let containers = list::list(engine, true)?.containers;
    let count = |state: &str| containers.iter().filter(|container| state_of(engine, container) == state).count();
    let (running, paused) = (count("running"), count("paused"));
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    Ok(Info {
        containers: containers.len(),
        running,
        paused,
        stopped: containers.len() - running - paused,
        images: engine.store()?.images()?.len(),
        root: engine.dirs().root.clone(),
        run: engine.dirs().run.clone(),
        cgroup_driver: engine.cgroup_driver(),
        cgroup_version: if runtime::cgroup::Layout::read()?.v1.is_empty() { 2 } else { 1 },
        name: text(uname.nodename()),
        kernel: text(uname.release()),
        machine: text(uname.machine()),
        distribution: distribution(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory: crate::containers::stats::machine_memory(),
        apparmor: std::path::Path::new("/sys/kernel/security/apparmor").exists(),
    })
}

/// `PRETTY_NAME` of `/etc/os-release`.
fn distribution() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".into(), |name| name.trim_matches('"').to_owned())
}
