//! The layers of a container's root, and which of them a file comes from.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::runtime_spec::Spec;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, getxattr, openat};
use serde::Serialize;
use stdx::{Context, Result};
use sys::Errno;
use sys::mount::Overlay;
use sys::root::Root;

use crate::Engine;
use crate::containers::record::RecordImage;
use crate::containers::{Container, Record, layers};

/// One layer.
#[derive(Debug, Serialize)]
pub struct Layer {
    pub role: Role,
    pub directory: PathBuf,
    /// Bytes of its files; `None`: the host's whole filesystem.
    pub size: Option<u64>,
    /// Of an image's layer: its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
}

/// What a layer is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Image,
    /// Mount points that the engine needs.
    Init,
    /// What the container changes.
    Writable,
}

/// Where a file comes from. Layers are numbered from the bottom, from 0.
#[derive(Debug, Serialize)]
pub struct FileOrigin {
    /// Without links, from the root.
    pub path: PathBuf,
    /// It lies below this mount, so no layer shows there.
    pub mount: Option<String>,
    pub layer: Option<usize>,
    /// The layer in which it was deleted.
    pub deleted_in: Option<usize>,
    /// Layers that have it too, hidden.
    pub hidden_in: Vec<usize>,
}

/// The layers, from the bottom to the top. Those not made yet are listed with nothing in them.
pub(super) fn of(engine: &Engine, record: &Record, root: &Overlay) -> Result<Vec<Layer>> {
    let image = match &record.image {
        RecordImage::Host => None,
        RecordImage::Stored { id, .. } => Some(engine.store()?.image(id)?),
    };
    let sizes = image.as_ref().map(|image| engine.store()?.layer_sizes(image)).transpose()?.unwrap_or_default();
    let digests: Vec<String> =
        image.iter().flat_map(|image| image.diff_ids()).map(|digest| digest.to_string()).collect();
    let mut layers = Vec::new();
    let (init, images) = root.lower.split_first().map_or((None, &[][..]), |(init, images)| (Some(init), images));
    for (number, directory) in images.iter().rev().enumerate() {
        let (size, diff_id) = (sizes.get(number).copied(), digests.get(number).cloned());
        layers.push(Layer { role: Role::Image, directory: directory.clone(), size, diff_id });
    }
    let own = init.map(|init| (Role::Init, init)).into_iter();
    let own = own.chain(root.upper.iter().map(|(upper, _)| (Role::Writable, upper)));
    layers.extend(own.map(|(role, directory)| Layer {
        role,
        directory: directory.clone(),
        size: Some(bytes(directory)),
        diff_id: None,
    }));
    Ok(layers)
}

/// Bytes of the files below a directory. What cannot be read, or vanishes, counts nothing.
fn bytes(dir: &Path) -> u64 {
    let mut pending = vec![dir.to_owned()];
    let mut sum = 0;
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                Ok(metadata) if metadata.is_file() => sum += metadata.len(),
                _ => {}
            }
        }
    }
    sum
}

/// Finds out which layer a file is from, links followed as the container would.
pub(super) fn origin(
    engine: &Engine,
    container: &Container,
    layers: &[Layer],
    spec: &Spec,
    file: &Path,
) -> Result<FileOrigin> {
    let what = || format!("cannot look for {file:?} in the layers of container {}", container.record.name);
    let root = Root::new(layers::merged(engine, container)?.into());
    let path = root.resolve(file).context(what)?;
    let whole = Path::new("/").join(&path);
    let mut targets = spec.mounts.iter().filter(|mount| whole.starts_with(&mount.destination));
    let mount = targets.next_back().map(|mount| mount.destination.clone());
    let mut origin = FileOrigin { path: whole, mount, layer: None, deleted_in: None, hidden_in: Vec::new() };
    let mut hidden = false;
    for (number, layer) in layers.iter().enumerate().rev() {
        let found = look(&layer.directory, &path).context(what)?;
        match found {
            Found::Here { .. } if hidden || origin.layer.is_some() => origin.hidden_in.push(number),
            Found::Here { .. } => origin.layer = Some(number),
            Found::Deleted if !hidden && origin.layer.is_none() => origin.deleted_in = Some(number),
            _ => {}
        }
        hidden |= matches!(found, Found::Deleted | Found::Here { opaque: true } | Found::NotHere { opaque: true });
    }
    Ok(origin)
}

/// What a layer says about a path. Opaque: nothing of the layers below shows there.
enum Found {
    Here { opaque: bool },
    NotHere { opaque: bool },
    Deleted,
}

fn look(layer: &Path, path: &Path) -> sys::Result<Found> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut held = match openat(CWD, layer, flags, Mode::empty()) {
        // Made by the first start.
        Err(Errno::NOENT) => return Ok(Found::NotHere { opaque: false }),
        held => held?,
    };
    let mut opaque = false;
    for name in path.components() {
        held = match openat(&held, name.as_os_str(), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Found::NotHere { opaque }),
            // Something else stands in the way, here and for the layers below.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Found::Deleted),
            held => held?,
        };
        let stat = fstat(&held)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            return Ok(Found::Deleted);
        }
        opaque |= kind == FileType::Directory && is_opaque(&held);
    }
    Ok(Found::Here { opaque })
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0; 1];
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    matches!(getxattr(path, "trusted.overlay.opaque", &mut value[..]), Ok(1)) && value == *b"y"
}
