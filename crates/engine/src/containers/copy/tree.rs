//! A tree to copy from or into: the host's, or a container's.

use std::path::Path;
use std::time::{Duration, Instant};

use layer::IdMaps;
use layer::place::Owners;
use monitor::State;
use monitor::state::Process;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, getegid, geteuid, pidfd_open};
use stdx::flock::Flock;
use stdx::{Context, Error, Result};
use sys::root::Root;

use crate::Engine;
use crate::containers::find::no_such;
use crate::containers::{Container, layers, prepare};

/// How long a container may take to end whose first process is gone already.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

const ROOT: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A tree, held open by its root.
#[derive(Debug)]
pub struct Tree {
    root: Root,
    ids: IdMaps,
    /// The container's name; `None`: the host.
    container: Option<String>,
    /// Of a container that does not run: nobody starts it while its files are mounted here.
    _lock: Option<Flock>,
}

impl Tree {
    /// The host's files.
    pub fn host() -> Result<Self> {
        let root = rustix::fs::open("/", ROOT, Mode::empty()).context(|| "cannot open \"/\"".into())?;
        Ok(Self { root: Root::new(root), ids: IdMaps::default(), container: None, _lock: None })
    }

    /// A container's files: as its processes see them if it runs; else its root, its volumes and its binds, and the
    /// container cannot be started while this is held. The caller is single-threaded.
    pub fn of(engine: &Engine, container: &Container) -> Result<Self> {
        let name = &container.record.name;
        let tree = |root, lock| Self {
            root: Root::new(root),
            ids: layers::ids(&container.record),
            container: Some(name.clone()),
            _lock: lock,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lock = container.record.lock(engine)?;
            let now = Container::load_locked(engine, &container.record.id)?.ok_or_else(|| no_such(name))?;
            match &now.state {
                Some(State::Running { process, .. }) => {
                    if let Some(root) = root_of(process) {
                        return Ok(tree(root, None));
                    }
                }
                Some(State::Restarting { .. } | State::Created { .. }) => {
                    let message = format!("cannot copy: container {name} is being started again");
                    return Err(Error::conflict(message).hint("stop it first, or try again"));
                }
                _ => return Ok(tree(prepare::files(engine, &now.record)?, Some(lock))),
            }
            // It has just ended, and its monitor is about to say so.
            drop(lock);
            if Instant::now() > deadline {
                return Err(Error::conflict(format!("cannot copy: the first process of container {name} is gone")));
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// How the host's ids of its files are the container's.
    pub(super) fn ids(&self) -> &IdMaps {
        &self.ids
    }

    /// Whose the files are to be that are copied here.
    pub(super) fn owners(&self, kept: bool) -> Owners {
        match self.container {
            None if !kept => Owners::All { uid: geteuid().as_raw(), gid: getegid().as_raw() },
            _ => Owners::OfArchive(self.ids.clone()),
        }
    }

    /// A path in words.
    pub(super) fn describe(&self, path: &Path) -> String {
        match &self.container {
            Some(name) => format!("{path:?} in container {name}"),
            None => format!("{path:?}"),
        }
    }
}

/// The root of a container's first process; `None` if that has ended. Its pid cannot have come to mean another process
/// in between: the handle is on the one that was started then, and it is still there afterwards.
fn root_of(process: &Process) -> Option<std::os::fd::OwnedFd> {
    let handle = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    if sys::proc::start_time(process.pid) != Ok(process.start_time) {
        return None;
    }
    let root = rustix::fs::open(format!("/proc/{}/root", process.pid), ROOT, Mode::empty()).ok()?;
    sys::process::kill_pidfd(&handle, 0).ok()?;
    Some(root)
}
