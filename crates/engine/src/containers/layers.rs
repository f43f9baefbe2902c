//! The layers a container's root is made of, for the verbs that look at them from outside.

use std::fs::File;
use std::path::Path;

use layer::IdMaps;
use oci::runtime_spec::IdMapping;
use runtime::cgroup::{self, Cgroup};
use rustix::fs::{Mode, OFlags, openat};
use stdx::{Context, Result};
use sys::mount::Overlay;

use crate::Engine;
use crate::containers::{Container, Record, inspect, userns};
use crate::images;

/// How a container's ids are those of its image: files in the writable layer of one with a user namespace have the ids
/// of its range.
pub(crate) fn ids(record: &Record) -> IdMaps {
    let map = record.user_range.map(userns::mapping).unwrap_or_default();
    IdMaps { users: map.clone(), groups: map }
}

/// The same for the whole root: the image's own files have the image's ids already.
pub(crate) fn merged_ids(record: &Record) -> IdMaps {
    let mut ids = ids(record);
    if record.user_range.is_some() {
        let same = IdMapping { container_id: 0, host_id: 0, size: userns::RANGE };
        ids.users.push(same);
        ids.groups.push(same);
    }
    ids
}

/// Opens a layer's directory.
pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).context(|| format!("cannot open layer {path:?}"))
}

/// The whole root, read-only and without what is mounted on it: a detached mount, which lasts as long as it is open.
///
/// The writable layer is the topmost read-only one, so this is allowed while the container runs; what it changes
/// meanwhile may or may not be seen.
pub(crate) fn merged(engine: &Engine, container: &Container) -> Result<File> {
    let details = inspect::inspect(engine, container.clone())?;
    let Overlay { mut lower, upper, .. } = details.root;
    if !lower.first().is_some_and(|init| init.exists()) {
        // Made by the first start.
        lower.remove(0);
    }
    lower.splice(0..0, upper.map(|(upper, _)| upper));
    let overlay = Overlay { lower, upper: None, volatile: false };
    let what = || format!("cannot join the layers of container {}", container.record.name);
    let tree = images::mounted(&overlay, what)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(&tree, ".", flags, Mode::empty()).map(File::from).context(what)
}

/// A container whose processes stand still, until this is dropped.
pub(crate) struct Frozen(Option<Box<dyn Cgroup>>);

impl Frozen {
    /// Freezes a running container; one that is paused already stays so afterwards.
    pub(crate) fn freeze(container: &Container) -> Result<Self> {
        if !container.is_running() {
            return Ok(Self(None));
        }
        let cgroup = cgroup::at(&container.record.cgroup())?;
        if cgroup.is_frozen() {
            return Ok(Self(None));
        }
        // From here on it is thawed whatever happens.
        let frozen = Self(Some(cgroup));
        if let Some(cgroup) = &frozen.0 {
            cgroup.freeze(true).context(|| format!("cannot pause container {}", container.record.name))?;
        }
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.0 {
            // It ended meanwhile, or it cannot be frozen at all.
            let _ = cgroup.freeze(false);
        }
    }
}
