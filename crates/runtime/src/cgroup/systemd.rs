//! Groups made by systemd, where it owns the version 2 tree: a container is a transient scope, `PREFIX-NAME.scope`.
//!
//! What systemd knows of the limits is given to it as properties, so that `systemctl show` tells them and a reload of
//! systemd keeps them; then everything is written to the files too, exactly, which `Delegate=yes` allows.
//! Device rules are our own program: systemd's is left off (`DevicePolicy=auto`), and would only be asked besides.
//!
//! A scope is made around a process and goes with its last one. The container's init does not exist yet when its group is
//! made, and is to be born in it; so a [`Holder`] waits inside until then. At the other end systemd removes the group as
//! soon as it is empty, perhaps before anybody has asked how it ended: hence [`Cgroup::oom_notice`] and, where that comes
//! too late, the slice's count.

mod bus;
mod properties;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci::runtime_spec::Resources;
use stdx::{Context, Error, Kind, Result};
use sys::clone::{Cloned, clone3};

use super::v2::V2;
use super::{Cgroup, Entrance, Stats, Subgroups, View, file};
use bus::{Bus, Value};

/// Where a scope is, from `SLICE:PREFIX:NAME`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scope {
    slice: String,
    unit: String,
}

impl Scope {
    /// `None` if `path` is not of that form, but a path.
    pub(super) fn parse(path: &str) -> Result<Option<Self>> {
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else { return Ok(None) };
        if !slice.ends_with(".slice") || path.contains('/') {
            return Ok(None);
        }
        let unit = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.\\@".contains(c);
        if name.is_empty() || unit.len() > 255 || !unit.chars().all(allowed) {
            return Err(Error::invalid(format!("invalid name of a systemd unit \"{unit}\"")));
        }
        let scope = Self { slice: slice.to_owned(), unit };
        scope.path()?;
        Ok(Some(scope))
    }

    /// The group's path: `a-b.slice` lies in `a.slice`, and `-.slice` is the root.
    fn path(&self) -> Result<PathBuf> {
        let name = self.slice.trim_end_matches(".slice");
        let mut path = PathBuf::new();
        if name != "-" {
            let mut whole = String::new();
            for part in name.split('-') {
                if part.is_empty() || part == "." || part == ".." {
                    return Err(Error::invalid(format!("invalid name of a systemd slice \"{}\"", self.slice)));
                }
                whole = if whole.is_empty() { part.to_owned() } else { format!("{whole}-{part}") };
                path.push(format!("{whole}.slice"));
            }
        }
        path.push(&self.unit);
        Ok(path)
    }
}

pub(super) struct Systemd {
    scope: Scope,
    group: V2,
    holder: RefCell<Option<Holder>>,
    /// What the slice, which counts for all its units, had counted when the scope was made.
    kills_before: Cell<u64>,
}

impl Systemd {
    /// In the version 2 tree mounted on `root`.
    pub(super) fn new(root: PathBuf, scope: Scope) -> Self {
        let path = scope.path().unwrap_or_default();
        Self { group: V2::new(root, &path), scope, holder: RefCell::new(None), kills_before: Cell::new(0) }
    }

    fn kills_in_slice(&self) -> u64 {
        let dir = self.group.dir();
        dir.parent().map_or(0, |slice| file::keyed(slice, "memory.events", "oom_kill"))
    }

    fn start(&self, resources: &Resources, pid: i32) -> Result<()> {
        let unit = self.scope.unit.as_str();
        let mut properties = vec![
            ("Description", Value::Text(format!("container {unit}"))),
            ("Slice", Value::Text(self.scope.slice.clone())),
            ("PIDs", Value::Numbers(vec![pid.unsigned_abs()])),
            ("Delegate", Value::Flag(true)),
            // A container ended by a signal is no failed unit to be looked after.
            ("CollectMode", Value::Text("inactive-or-failed".into())),
            // At the system's end it gets as long as `stop` gives.
            ("TimeoutStopUSec", Value::Wide(10_000_000)),
        ];
        properties.extend(
            ["CPUAccounting", "MemoryAccounting", "TasksAccounting", "IOAccounting"]
                .map(|name| (name, Value::Flag(true))),
        );
        properties.extend(properties::of(resources));
        let mut bus = Bus::connect()?;
        let started = bus.start_scope(unit, &properties);
        if started.as_ref().is_err_and(|error| error.kind() == Kind::Conflict) {
            // Left by a container of that name whose end nobody has seen.
            bus.stop(unit)?;
            return bus.start_scope(unit, &properties);
        }
        started
    }
}

impl Cgroup for Systemd {
    fn create(&self, resources: &Resources) -> Result<Vec<String>> {
        let holder = Holder::start()?;
        self.kills_before.set(self.kills_in_slice());
        self.start(resources, holder.pid)?;
        self.holder.replace(Some(holder));
        self.group.configure(resources)
    }

    fn update(&self, resources: &Resources) -> Result<Vec<String>> {
        let properties: Vec<_> = properties::of(resources).collect();
        if !properties.is_empty() {
            Bus::connect()?.set_properties(&self.scope.unit, &properties)?;
        }
        self.group.update(resources)
    }

    fn entrance(&self, below: &Subgroups) -> Result<Entrance> {
        Ok(Entrance { holder: self.holder.take(), ..self.group.entrance(below)? })
    }

    fn pids(&self) -> Result<Vec<i32>> {
        self.group.pids()
    }

    fn freeze(&self, frozen: bool) -> Result<()> {
        self.group.freeze(frozen)
    }

    fn is_frozen(&self) -> bool {
        self.group.is_frozen()
    }

    fn kill(&self) -> Result<()> {
        self.group.kill()
    }

    fn oom_kills(&self) -> u64 {
        self.group.oom_kills()
    }

    fn shortages(&self) -> u64 {
        file::keyed(&self.group.dir(), "memory.events", "oom")
    }

    fn oom_notice(&self) -> Option<File> {
        let mut file = File::open(self.group.dir().join("memory.events")).ok()?;
        // Until it is read, it has something to say: that it is there.
        file.read_to_end(&mut Vec::new()).ok()?;
        Some(file)
    }

    fn perhaps_oom_killed(&self) -> bool {
        let dir = self.group.dir();
        if dir.exists() { self.oom_kills() > 0 } else { self.kills_in_slice() > self.kills_before.get() }
    }

    fn stats(&self) -> Result<Stats> {
        self.group.stats()
    }

    /// systemd has usually done it already, when the last process ended.
    fn remove(&self) -> Result<()> {
        self.holder.take();
        let dir = self.group.dir();
        if !dir.exists() {
            return Ok(());
        }
        Bus::connect()?.stop(&self.scope.unit)?;
        file::remove(&dir)
    }

    fn views(&self) -> Vec<View> {
        self.group.views()
    }
}

/// A process that does nothing, so that a scope has one. It ends when this is dropped, or with its creator.
#[derive(Debug)]
pub(super) struct Holder {
    pid: i32,
    handle: OwnedFd,
}

impl Holder {
    /// The caller must be single-threaded, as for every clone.
    fn start() -> Result<Self> {
        match clone3(0, None).context(|| "cannot make a process to hold the scope".into())? {
            Cloned::Parent { pid, pidfd } => Ok(Self { pid, handle: pidfd }),
            Cloned::Child => {
                let held = sys::process::die_with_parent(rustix::process::Signal::KILL);
                // What the creator has open is to be closed when the creator closes it. Nothing here is used again.
                if held.is_err() || sys::fds::close_inherited_from(0).is_err() {
                    sys::process::exit_now(1);
                }
                loop {
                    rustix::event::pause();
                }
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        // It may have been killed with the scope.
        let _ = sys::process::kill_pidfd(&self.handle, sys::signal::KILL);
        let _ = waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&self.handle)), WaitIdOptions::EXITED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        Scope::parse(text).unwrap().unwrap().path().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn slices_lie_in_one_another() {
        assert_eq!(path("system.slice:tare:1f"), "system.slice/tare-1f.scope");
        assert_eq!(path("a-b-c.slice:tare:1f"), "a.slice/a-b.slice/a-b-c.slice/tare-1f.scope");
        assert_eq!(path("-.slice::1f"), "1f.scope");
    }

    #[test]
    fn other_paths_are_not_scopes() {
        for text in ["tare/1f", "/a:b:c", "a.slice/b:c:d", "a:b:c"] {
            assert_eq!(Scope::parse(text).unwrap(), None, "{text}");
        }
        for text in ["a--b.slice:tare:1f", ".slice:tare:1f", "a.slice:tare:", "a.slice:t re:1"] {
            assert!(Scope::parse(text).is_err(), "{text}");
        }
    }
}
