//! Containers as a runtime without an engine keeps them: a directory each, for the command line that podman, dockerd and
//! containerd call (runtime-spec, runtime.md).
//!
//! ```text
//! ROOT/ID/
//!   state.json    [`Container`], written once by `create`
//!   start.sock    init waits here; its presence tells created from running
//! ```

mod create;
mod exec;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::runtime_spec::{NamespaceType, Resources, Spec, State, Status, VERSION};
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::{Context, Error, Kind, Result};

use crate::cgroup::{self, Cgroup};
use crate::create::{CreateError, start_at};
use crate::hooks;
use crate::listener::Filtered;
use crate::resctrl::Class;

pub use create::{CreateOptions, create};
pub use exec::{ExecOptions, exec};

/// The socket on which init waits for its start.
const START_SOCKET: &str = "start.sock";
const STATE_FILE: &str = "state.json";

/// A container's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    /// Absolute.
    pub bundle: PathBuf,
    /// Init's pid, and when it was started in clock ticks since boot: together one process for ever.
    pub init_process_pid: i32,
    pub init_process_start: u64,
    /// RFC 3339.
    pub created: String,
    /// Relative to every hierarchy's root.
    pub cgroup: String,
    /// Its groups on the host by controller; version 2's under the empty name. Like the next, for those who read the file of
    /// other runtimes.
    #[serde(default)]
    pub cgroup_paths: BTreeMap<String, PathBuf>,
    /// Init's namespaces by the kernel's names (`NEWNS`, `NEWPID`).
    #[serde(default)]
    pub namespace_paths: BTreeMap<String, PathBuf>,
    /// Its processes share a session keyring of their own.
    pub new_keyring: bool,
    /// The configuration it was created with: the bundle may change.
    pub config: Spec,
    #[serde(skip)]
    dir: PathBuf,
}

/// Ids are file names: letters, digits and `_+-.`, and not only dots.
pub fn check_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || id.len() > 255 || !id.chars().all(allowed) || id.chars().all(|c| c == '.') {
        return Err(Error::invalid(format!("invalid container id \"{id}\"")));
    }
    Ok(())
}

impl Container {
    /// Reads container `id` below `root`.
    pub fn load(root: &Path, id: &str) -> Result<Self> {
        check_id(id)?;
        let dir = root.join(id);
        let path = dir.join(STATE_FILE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::not_found(format!("container \"{id}\" does not exist")));
            }
            bytes => bytes.context(|| format!("cannot read {path:?}"))?,
        };
        let mut container: Self = serde_json::from_slice(&bytes).context(|| format!("cannot parse {path:?}"))?;
        container.dir = dir;
        Ok(container)
    }

    /// Removes what an interrupted `create` has left of container `id`.
    pub fn forget(root: &Path, id: &str) -> Result<()> {
        check_id(id)?;
        let dir = root.join(id);
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot remove {dir:?}"))
            }
            _ => Ok(()),
        }
    }

    /// All containers below `root`, by id; those that cannot be read are left out.
    pub fn list(root: &Path) -> Result<Vec<Self>> {
        let entries = match fs::read_dir(root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context(|| format!("cannot list {root:?}"))?,
        };
        let ids = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut containers: Vec<Self> = ids.filter_map(|id| Self::load(root, &id).ok()).collect();
        containers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(containers)
    }

    fn save(&self) -> Result<()> {
        let bytes = serde_json::to_vec(self).context(|| "cannot write the container's state".into())?;
        atomic_write(&self.dir.join(STATE_FILE), &bytes, Durability::Scratch)
    }

    /// The user id of whoever has created it.
    pub fn owner(&self) -> Result<u32> {
        use std::os::unix::fs::MetadataExt;
        let dir = fs::metadata(&self.dir).context(|| format!("cannot look at {:?}", self.dir))?;
        Ok(dir.uid())
    }

    /// Its control groups.
    pub fn cgroup(&self) -> Result<Box<dyn Cgroup>> {
        cgroup::at(&self.cgroup)
    }

    /// Its class of service, if it has one.
    fn class(&self) -> Result<Option<Class<'_>>> {
        let config = self.config.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
        config.map(|config| Class::new(&self.id, config)).transpose()
    }

    /// Whether that very init is still there and has not ended.
    fn init_lives(&self) -> bool {
        sys::proc::start_time(self.init_process_pid) == Ok(self.init_process_start)
            && sys::proc::is_zombie(self.init_process_pid) == Ok(false)
    }

    /// A handle on init, to wait for its end.
    pub fn handle(&self) -> Result<OwnedFd> {
        let gone = || Error::conflict(format!("container \"{}\" is not running", self.id));
        let pid = rustix::process::Pid::from_raw(self.init_process_pid).ok_or_else(gone)?;
        let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).map_err(|_| gone())?;
        // Looked at with the handle in hand: from here on the number cannot come to mean another process.
        if self.init_lives() { Ok(handle) } else { Err(gone()) }
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        if !self.init_lives() {
            return Status::Stopped;
        }
        if self.dir.join(START_SOCKET).exists() {
            return Status::Created;
        }
        match self.cgroup().is_ok_and(|cgroup| cgroup.is_frozen()) {
            true => Status::Paused,
            false => Status::Running,
        }
    }

    /// What `state` prints and hooks read.
    pub fn state(&self) -> State {
        let status = self.status();
        State {
            oci_version: VERSION.into(),
            id: self.id.clone(),
            status,
            pid: Some(if status == Status::Stopped { 0 } else { self.init_process_pid }),
            bundle: self.bundle.to_string_lossy().into_owned(),
            annotations: self.annotations().clone(),
        }
    }

    /// The configuration's annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.config.annotations
    }

    /// Lets a created container's program run.
    pub fn start(&self) -> std::result::Result<(), CreateError> {
        match self.status() {
            Status::Created => {}
            Status::Stopped => return Err(Error::conflict("cannot start a container that has stopped").into()),
            _ => return Err(Error::conflict("cannot start an already running container").into()),
        }
        let handle = self.handle()?;
        let seccomp = self.config.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let init = Filtered { pid: self.init_process_pid, pidfd: handle.as_fd(), seccomp, state: self.state() };
        let started = start_at(&self.dir, START_SOCKET, &init).inspect_err(|_| {
            // It may wait for an agent that will never answer. Gone already is what we want.
            let _ = sys::process::kill_pidfd(&handle, sys::signal::KILL);
        });
        // It is started or has failed: there is nothing to wait for any more.
        let _ = fs::remove_file(self.dir.join(START_SOCKET));
        started?;
        Ok(())
    }

    /// Sends a signal to init, or with `all` to every process. Without a pid namespace of its own, a container does not end
    /// with its init: then `SIGKILL` is for all.
    pub fn kill(&self, signal: i32, all: bool) -> Result<()> {
        let kill = signal == sys::signal::KILL;
        if kill && (all || !self.has_own_pids()) {
            return self.cgroup()?.kill();
        }
        if self.status() == Status::Stopped && !all {
            return Err(Error::conflict(format!("cannot signal container \"{}\": container not running", self.id)));
        }
        let cgroup = self.cgroup()?;
        let pids = if all { cgroup.pids()? } else { vec![self.init_process_pid] };
        for pid in pids {
            match self.signal(pid, signal) {
                Err(sys::Errno::SRCH) => {}
                result => result.context(|| format!("cannot signal process {pid} of container \"{}\"", self.id))?,
            }
        }
        // A task frozen by version 1's freezer dies only when thawed.
        if kill && cgroup.is_frozen() { cgroup.freeze(false) } else { Ok(()) }
    }

    fn has_own_pids(&self) -> bool {
        let namespaces = self.config.linux.iter().flat_map(|linux| &linux.namespaces);
        let mut pid = namespaces.filter(|namespace| namespace.typ == NamespaceType::Pid);
        pid.any(|namespace| namespace.path.as_deref().is_none_or(str::is_empty))
    }

    /// By handle, and only if the number still means the same process.
    fn signal(&self, pid: i32, signal: i32) -> sys::Result<()> {
        let raw = rustix::process::Pid::from_raw(pid).ok_or(sys::Errno::SRCH)?;
        let handle = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty())?;
        if pid == self.init_process_pid && !self.init_lives() {
            return Err(sys::Errno::SRCH);
        }
        sys::process::kill_pidfd(handle, signal)
    }

    /// Stops or continues every process.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let wanted = if frozen { Status::Running } else { Status::Paused };
        let status = self.status();
        if status != wanted && !(frozen && status == Status::Created) {
            return Err(Error::conflict(format!("container \"{}\" is not {wanted:?}", self.id).to_lowercase()));
        }
        self.cgroup()?.freeze(frozen)
    }

    /// Changes limits of a container that has not stopped; gives warnings.
    pub fn update(&self, resources: &Resources) -> Result<Vec<String>> {
        if self.status() == Status::Stopped {
            return Err(Error::conflict(format!("cannot update container \"{}\": it has stopped", self.id)));
        }
        self.cgroup()?.update(resources)
    }

    /// Removes a stopped container; with `force` any, which is killed first. Gives warnings.
    pub fn delete(&self, force: bool) -> Result<Vec<String>> {
        let status = self.status();
        if status != Status::Stopped {
            if !force && status != Status::Created {
                return Err(Error::conflict(format!("cannot delete container \"{}\" that is not stopped", self.id)));
            }
            self.kill_and_wait()?;
        }
        let cgroup = self.cgroup()?;
        // What outlived an init without a pid namespace of its own.
        let _ = cgroup.kill();
        cgroup.remove()?;
        if let Some(class) = self.class()? {
            class.remove()?;
        }
        let hooks = self.config.hooks.iter().flat_map(|hooks| &hooks.poststop).cloned().collect::<Vec<_>>();
        let warnings = hooks::run_all("poststop", &hooks, &self.state()).iter().map(ToString::to_string).collect();
        fs::remove_dir_all(&self.dir).context(|| format!("cannot remove {:?}", self.dir))?;
        Ok(warnings)
    }

    fn kill_and_wait(&self) -> Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(pid) = rustix::process::Pid::from_raw(self.init_process_pid) else { return Ok(()) };
        let Ok(handle) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return Ok(()) };
        if !self.init_lives() {
            return Ok(());
        }
        self.cgroup()?.kill()?;
        let _ = sys::process::kill_pidfd(&handle, sys::signal::KILL);
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)) {
            Ok(0) => Err(Error::new(Kind::Internal, format!("container \"{}\" does not die", self.id))),
            _ => Ok(()),
        }
    }

    /// Runs the hooks that follow a start. If one fails, the container is stopped (runtime.md, "Lifecycle", 9).
    pub fn run_poststart_hooks(&self) -> Result<()> {
        let Some(hooks) = &self.config.hooks else { return Ok(()) };
        hooks::run("poststart", &hooks.poststart, &self.state(), None).inspect_err(|_| {
            // The error that led here is the one to report.
            let _ = self.kill_and_wait();
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_cannot_be_paths() {
        for good in ["a", "0", "my-box_1.2+x"] {
            assert!(super::check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "\u{e4}"] {
            assert!(super::check_id(bad).is_err(), "{bad}");
        }
    }
}
