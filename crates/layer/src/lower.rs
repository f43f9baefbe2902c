//! Looking into the layers below: what a stack of overlay directories shows at a path.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, Stat, openat};
use rustix::io;

use crate::metadata::is_opaque;
use crate::tree::{is_directory, is_whiteout, stat};

/// One directory as a stack of layers shows it: nothing if it is not there.
pub(crate) struct Merged {
    /// The layers' directories of this name that are seen, the topmost first.
    dirs: Vec<OwnedFd>,
}

enum Look {
    /// It is here, and hides the layers below or not.
    Found(OwnedFd, bool),
    /// Not in this layer, and nothing here hides it in the ones below.
    Below,
    Hidden,
}

impl Merged {
    /// Finds a directory in the layers, the topmost last. Links on the way are not followed: archives name real paths.
    pub(crate) fn open(lowers: &[BorrowedFd<'_>], path: &[u8]) -> io::Result<Self> {
        let mut dirs = Vec::new();
        for lower in lowers.iter().rev() {
            match look(*lower, path)? {
                Look::Found(dir, opaque) => {
                    dirs.push(dir);
                    if opaque {
                        break;
                    }
                }
                Look::Below => {}
                Look::Hidden => break,
            }
        }
        Ok(Self { dirs })
    }

    /// What has this name, and the layer's directory it is in. The empty name is the directory itself.
    pub(crate) fn find(&self, name: &[u8]) -> io::Result<Option<(&OwnedFd, Stat)>> {
        for dir in &self.dirs {
            if let Some(found) = stat(dir, if name.is_empty() { b"." } else { name })? {
                return Ok((!is_whiteout(&found)).then_some((dir, found)));
            }
        }
        Ok(None)
    }

    /// All names in it.
    pub(crate) fn names(&self) -> io::Result<BTreeSet<Vec<u8>>> {
        let mut names = BTreeSet::new();
        for dir in &self.dirs {
            for entry in Dir::read_from(dir)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." && !names.contains(name) && self.find(name)?.is_some() {
                    names.insert(name.to_vec());
                }
            }
        }
        Ok(names)
    }
}

/// What a path names in the layers, the topmost last, and the layer's directory it is in. Looks no deeper than it must: a
/// stack may have hundreds of layers.
pub(crate) fn find(lowers: &[BorrowedFd<'_>], dir: &[u8], name: &[u8]) -> io::Result<Option<(OwnedFd, Stat)>> {
    for lower in lowers.iter().rev() {
        match look(*lower, dir)? {
            Look::Found(dir, opaque) => match stat(&dir, if name.is_empty() { b"." } else { name })? {
                Some(found) => return Ok((!is_whiteout(&found)).then_some((dir, found))),
                None if opaque => return Ok(None),
                None => {}
            },
            Look::Below => {}
            Look::Hidden => return Ok(None),
        }
    }
    Ok(None)
}

pub(crate) fn open_dir(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, if name.is_empty() { b"." } else { name }, flags, Mode::empty())
}

fn look(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<Look> {
    let mut dir = open_dir(root, b"")?;
    let mut opaque = false;
    for part in path.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
        match stat(&dir, part)? {
            None => return Ok(if opaque { Look::Hidden } else { Look::Below }),
            Some(found) if is_directory(&found) => dir = open_dir(&dir, part)?,
            Some(_) => return Ok(Look::Hidden),
        }
        opaque |= is_opaque(&dir);
    }
    Ok(Look::Found(dir, opaque))
}
