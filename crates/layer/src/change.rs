//! What a writable layer changes in the layers below it, path by path, as `docker diff` tells it.
//!
//! It compares what is seen with what was seen before, not what was written: a file that was opened for writing and
//! left as it was is no change, and of a directory that was replaced (opaque) every name that is gone is one.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Stat};
use rustix::io;
use stdx::{Context, Result};

use crate::attributes::{Attributes, Reader};
use crate::ids::IdMaps;
use crate::lower::Merged;
use crate::tar::lossy;
use crate::tree::{is_whiteout, split, stat};
use crate::walk::{Found, Walk};

/// How a path differs from what the layers below have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    /// Content or metadata; of a directory also that something in it was added, changed or deleted.
    Changed,
    Deleted,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "A",
            Self::Changed => "C",
            Self::Deleted => "D",
        })
    }
}

/// One path that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// With a slash at its beginning.
    pub path: Vec<u8>,
}

/// Compares `upper`, in overlay form, with the layers below it, bottom first. `ids` are those of the container: files
/// of lower layers have the image's own.
///
/// Sorted as bytes within each directory, a directory before what is in it. What is below something deleted is not
/// listed.
pub fn changes(upper: impl AsFd, lowers: &[BorrowedFd<'_>], ids: &IdMaps) -> Result<Vec<Change>> {
    let mut walk = Walk::new(upper)?;
    let mut comparison = Comparison::new(lowers, ids);
    while let Some(found) = walk.next()? {
        let message = || format!("cannot compare {:?} with the layers below", lossy(&found.path));
        comparison.compare(&found).context(message)?;
        if found.kind() == FileType::Directory {
            walk.enter(found)?;
        }
    }
    Ok(comparison.finish())
}

struct Comparison<'a> {
    lowers: &'a [BorrowedFd<'a>],
    ids: &'a IdMaps,
    attributes: Reader,
    /// The directory looked at last, in the layers below.
    below: Option<(Vec<u8>, Merged)>,
    /// The outermost opaque directory the walk is in: nothing of the layers below shows through.
    opaque: Option<Vec<u8>>,
    /// By path with NULs for slashes, which sorts what is in a directory right behind it.
    changes: BTreeMap<Vec<u8>, ChangeKind>,
}

impl<'a> Comparison<'a> {
    fn new(lowers: &'a [BorrowedFd<'a>], ids: &'a IdMaps) -> Self {
        let (attributes, changes) = (Reader::new(), BTreeMap::new());
        Self { lowers, ids, attributes, below: None, opaque: None, changes }
    }

    fn compare(&mut self, found: &Found) -> io::Result<()> {
        let attributes = self.attributes.read(&found.proc_path())?;
        let empty = found.kind() == FileType::RegularFile && found.stat.st_size == 0;
        let gone = is_whiteout(&found.stat) || attributes.whiteout && empty;
        let opaque = attributes.opaque;
        let (dir, name) = split(&found.path);
        let below = match self.below.take().filter(|(path, _)| path == dir) {
            Some(below) => below,
            None => (dir.to_vec(), Merged::open(self.lowers, dir)?),
        };
        let kind = match below.1.find(name)? {
            None if gone => None,
            None => Some(ChangeKind::Added),
            Some(_) if gone => Some(ChangeKind::Deleted),
            Some((dir, before)) => {
                let differs = self.differs(found, attributes, (dir, name), &before)?;
                differs.then_some(ChangeKind::Changed)
            }
        };
        if let Some(kind) = kind {
            self.changes.insert(key(&found.path), kind);
        }
        self.below = Some(below);
        if found.kind() == FileType::Directory { self.list_hidden(found, opaque) } else { Ok(()) }
    }

    /// Within an opaque directory all names below that are not here again are gone.
    fn list_hidden(&mut self, found: &Found, opaque: bool) -> io::Result<()> {
        let path = &found.path[..];
        let inside = |outer: &Vec<u8>| path.strip_prefix(&outer[..]).is_some_and(|rest| rest.starts_with(b"/"));
        self.opaque = self.opaque.take().filter(inside).or_else(|| opaque.then(|| path.to_vec()));
        if self.opaque.is_none() {
            return Ok(());
        }
        for name in Merged::open(self.lowers, path)?.names()? {
            if stat(found.handle(), &name)?.is_none() {
                self.changes.insert(key(&[path, b"/", &name].concat()), ChangeKind::Deleted);
            }
        }
        Ok(())
    }

    /// With every directory in which something changed.
    fn finish(mut self) -> Vec<Change> {
        let keys: Vec<Vec<u8>> = self.changes.keys().cloned().collect();
        for key in keys {
            for (end, _) in key.iter().enumerate().filter(|(_, b)| **b == 0) {
                self.changes.entry(key[..end].to_vec()).or_insert(ChangeKind::Changed);
            }
        }
        let path = |key: Vec<u8>| [&b"/"[..], &key].concat().iter().map(|b| if *b == 0 { b'/' } else { *b }).collect();
        self.changes.into_iter().map(|(key, kind)| Change { kind, path: path(key) }).collect()
    }

    fn differs(
        &mut self,
        found: &Found,
        attributes: Attributes,
        lower: (&OwnedFd, &[u8]),
        before: &Stat,
    ) -> io::Result<bool> {
        let now = &found.stat;
        let owner = (self.ids.user(now.st_uid), self.ids.group(now.st_gid));
        if (now.st_mode, now.st_rdev, owner) != (before.st_mode, before.st_rdev, (before.st_uid, before.st_gid)) {
            return Ok(true);
        }
        if found.kind() == FileType::Directory {
            return Ok(false);
        }
        let content = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        if content(now) != content(before) {
            return Ok(true);
        }
        if found.kind() != FileType::RegularFile {
            return Ok(false);
        }
        let path = format!("/proc/self/fd/{}/", lower.0.as_raw_fd()).into_bytes();
        let below = self.attributes.read(&[&path[..], lower.1].concat())?;
        let capability = |attributes: &Attributes| {
            let found = attributes.kept.iter().find(|(name, _)| name == b"security.capability");
            found.map(|(_, value)| value.clone())
        };
        let now = capability(&attributes).map(|mut value| {
            self.ids.shift(b"security.capability", &mut value);
            value
        });
        Ok(now != capability(&below))
    }
}

fn key(path: &[u8]) -> Vec<u8> {
    path.iter().map(|b| if *b == b'/' { 0 } else { *b }).collect()
}

#[cfg(test)]
mod tests;
