//! Looking into the layers below: what a stack of overlay directories shows at a path.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, Stat, openat};
use rustix::io;

use crate::metadata::is_opaque;
use crate::tree::{is_directory, is_whiteout, split, stat};

/// Where something was found: its directory, opened, and what it is.
pub(crate) type Found = (OwnedFd, Stat);

enum Look {
    Found(Found),
    /// Not in this layer, and nothing here hides it in the ones below.
    Below,
    Hidden,
}

/// Finds a path in the layers, the topmost last. Links on the way are not followed: archives name real paths.
pub(crate) fn find(lowers: &[BorrowedFd<'_>], path: &[u8]) -> io::Result<Option<Found>> {
    for lower in lowers.iter().rev() {
        match look(*lower, path)? {
            Look::Found(found) => return Ok(Some(found)),
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
    let (parents, name) = split(path);
    for part in parents.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
        match stat(&dir, part)? {
            None => return Ok(if opaque { Look::Hidden } else { Look::Below }),
            Some(found) if is_directory(&found) => dir = open_dir(&dir, part)?,
            Some(_) => return Ok(Look::Hidden),
        }
        opaque |= is_opaque(&dir);
    }
    Ok(match stat(&dir, if name.is_empty() { b"." } else { name })? {
        Some(found) if is_whiteout(&found) => Look::Hidden,
        Some(found) => Look::Found((dir, found)),
        None if opaque => Look::Hidden,
        None => Look::Below,
    })
}
