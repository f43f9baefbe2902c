//! `system df`: where the room goes. Every block below the data root is counted once, in exactly one place.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci::ImageId;
use stdx::{Context, Result};

use crate::Engine;
use crate::containers::list;
use crate::containers::record::RecordImage;
use crate::volumes;

/// What takes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Layers, blobs and init layers of images.
    Images,
    /// Writable layers and records.
    Containers,
    Logs,
    Volumes,
    BuildCache,
    /// What belongs to nothing: left by what was interrupted, or not collected yet.
    Orphans,
    /// Names, locks, directories.
    Books,
}

/// The room of one part, in bytes of allocated blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    pub total: usize,
    pub active: usize,
    pub size: u64,
    /// What removing everything that is not in use would free.
    pub reclaimable: u64,
}

/// One image or container, with its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub part: Part,
    pub name: String,
    pub id: String,
    pub size: u64,
    /// What it shares with others.
    pub shared: u64,
    /// Containers that stand on it, or whether it runs.
    pub users: usize,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub parts: BTreeMap<Part, Room>,
    pub items: Vec<Item>,
}

impl Report {
    /// Everything below the data root.
    pub fn size(&self) -> u64 {
        self.parts.values().map(|room| room.size).sum()
    }
}

/// Measures the data root. What changes meanwhile may or may not be counted.
pub fn df(engine: &Engine) -> Result<Report> {
    let store = engine.store()?;
    let _hold = store.hold()?;
    let containers = list::list(engine, true)?.containers;
    let users = |id: &ImageId| {
        let uses = |image: &RecordImage| matches!(image, RecordImage::Stored { id: own, .. } if own == id);
        containers.iter().filter(|container| uses(&container.record.image)).count()
    };
    let footprints = store.footprints()?;
    let mut paths_of: BTreeMap<std::path::PathBuf, Vec<usize>> = BTreeMap::new();
    for (at, footprint) in footprints.iter().enumerate() {
        for path in &footprint.paths {
            paths_of.entry(path.clone()).or_default().push(at);
        }
    }
    let mut measure = Measure::default();
    let mut report = Report::default();
    let mut room = |part: Part, size: u64, reclaimable: bool| {
        let room = report.parts.entry(part).or_default();
        room.size += size;
        room.reclaimable += if reclaimable { size } else { 0 };
    };
    let used: Vec<usize> = footprints.iter().map(|footprint| users(&footprint.id)).collect();
    let mut sizes = vec![(0u64, 0u64); footprints.len()];
    for (path, owners) in &paths_of {
        let size = measure.tree(path)?;
        room(Part::Images, size, owners.iter().all(|at| used[*at] == 0));
        for at in owners {
            sizes[*at].0 += size;
            sizes[*at].1 += if owners.len() > 1 { size } else { 0 };
        }
    }
    let mut container_sizes = Vec::new();
    for container in &containers {
        let dir = engine.dirs().container(&container.record.id);
        let mut logs = 0;
        for entry in entries(&dir)? {
            if entry.file_name().to_string_lossy().starts_with("log") {
                logs += measure.tree(&entry.path())?;
            }
        }
        let own = measure.tree(&dir)?;
        room(Part::Logs, logs, !container.is_in_use());
        room(Part::Containers, own, !container.is_in_use());
        container_sizes.push(own + logs);
    }
    let root = &engine.dirs().root;
    for path in store.cached_paths()? {
        room(Part::BuildCache, measure.tree(&path)?, true);
    }
    for dir in ["content/sha256", "content/partial", "snapshots", "stacks", "ingest"] {
        for entry in entries(&root.join(dir))? {
            room(Part::Orphans, measure.tree(&entry.path())?, true);
        }
    }
    for entry in entries(&engine.dirs().unfinished())? {
        room(Part::Orphans, measure.tree(&entry.path())?, true);
    }
    room(Part::Images, measure.tree(&root.join("init"))?, false);
    let mut volume_items = Vec::new();
    for volume in volumes::all(engine)? {
        let size = measure.tree(&root.join("volumes").join(&volume.name))?;
        let users = containers.iter().filter(|container| volumes::uses(&container.record, &volume.name)).count();
        room(Part::Volumes, size, users == 0);
        let (name, id) = (volume.name.clone(), volume.name);
        volume_items.push(Item { part: Part::Volumes, name, id, size, shared: 0, users });
    }
    room(Part::Volumes, measure.tree(&root.join("volumes"))?, false);
    room(Part::BuildCache, measure.tree(&root.join("cache"))?, true);
    room(Part::Books, measure.tree(root)?, false);
    count(&mut report, Part::BuildCache, store.cache_entries()?.len(), 0);
    count(&mut report, Part::Images, footprints.len(), used.iter().filter(|users| **users > 0).count());
    let used_volumes = volume_items.iter().filter(|item| item.users > 0).count();
    count(&mut report, Part::Volumes, volume_items.len(), used_volumes);
    report.items.extend(volume_items);
    let alive = containers.iter().filter(|container| container.is_in_use()).count();
    count(&mut report, Part::Containers, containers.len(), alive);
    for (at, footprint) in footprints.iter().enumerate() {
        let (size, shared) = sizes[at];
        let name = footprint.names.first().map_or_else(|| "<none>".into(), oci::Reference::familiar);
        report.items.push(Item {
            part: Part::Images,
            name,
            id: footprint.id.to_string(),
            size,
            shared,
            users: used[at],
        });
    }
    for (container, size) in containers.iter().zip(container_sizes) {
        let (name, id) = (container.record.name.clone(), container.record.id.clone());
        let users = usize::from(container.is_in_use());
        report.items.push(Item { part: Part::Containers, name, id, size, shared: 0, users });
    }
    Ok(report)
}

fn count(report: &mut Report, part: Part, total: usize, active: usize) {
    let room = report.parts.entry(part).or_default();
    (room.total, room.active) = (total, active);
}

/// Counts blocks, each once: what has been counted is not counted again.
#[derive(Default)]
struct Measure {
    seen: HashSet<(u64, u64)>,
}

impl Measure {
    fn tree(&mut self, path: &Path) -> Result<u64> {
        let message = || format!("cannot measure {path:?}");
        let metadata = match fs::symlink_metadata(path) {
            // Gone while we looked.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            metadata => metadata.context(message)?,
        };
        let is_new = self.seen.insert((metadata.dev(), metadata.ino()));
        let mut size = if is_new { metadata.blocks() * 512 } else { 0 };
        if is_new && metadata.is_dir() {
            for entry in entries(path)? {
                size += self.tree(&entry.path())?;
            }
        }
        Ok(size)
    }
}

/// What a directory holds; nothing if it is not there.
fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>> {
    match fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect).context(|| format!("cannot read directory {dir:?}")),
    }
}
