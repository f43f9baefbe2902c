//! What a container takes up, as `ps --size` and `inspect --size` show it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use stdx::Result;

use crate::Engine;
use crate::containers::record::{Record, RecordImage};

/// Sizes of files, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// What it has written.
    pub writable: u64,
    /// That and its image.
    pub whole: u64,
}

/// Adds up the files of a container's writable layer, and of its image.
pub fn size(engine: &Engine, record: &Record) -> Result<Size> {
    let writable = files(&engine.dirs().container(&record.id).join("upper"));
    let image = match &record.image {
        // The host's files are not counted.
        RecordImage::Host => 0,
        RecordImage::Stored { id, .. } => engine.store()?.image(id)?.size,
    };
    Ok(Size { writable, whole: writable + image })
}

/// The sizes of the files below a directory, one with several names counted once. A container may be writing meanwhile:
/// what is gone, or too deep for a path, is not counted.
fn files(dir: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut size = 0;
    let mut dirs: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                dirs.push(entry.path());
            } else if metadata.nlink() < 2 || seen.insert((metadata.dev(), metadata.ino())) {
                size += metadata.len();
            }
        }
    }
    size
}
