//! Walking through a directory tree in one fixed order, by descriptor, also while it changes.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::{self, Errno};
use stdx::{Context, Error, Result};

use crate::tar::lossy;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Directories kept open, the innermost; those above are opened again when the walk comes back to them.
const OPEN: usize = 32;
/// The kernel's limit on a path in bytes, its end mark included.
const PATH_MAX: usize = 4096;

/// Everything below a directory, each directory's names sorted as bytes, a directory before what is in it.
pub(crate) struct Walk {
    root: OwnedFd,
    stack: Vec<Frame>,
}

struct Frame {
    path: Vec<u8>,
    /// `None` for a while far above the current directory.
    dir: Option<OwnedFd>,
    /// Those still to come, the next one last.
    names: Vec<Vec<u8>>,
}

/// Something found, held by a descriptor that names it without opening it: to open a device can have effects.
pub(crate) struct Found {
    /// Relative to the root, without a slash at either end.
    pub(crate) path: Vec<u8>,
    pub(crate) stat: Stat,
    handle: OwnedFd,
}

impl Walk {
    pub(crate) fn new(root: impl AsFd) -> Result<Self> {
        let message = || "cannot read layer directory".to_owned();
        let root = openat(root, ".", DIRECTORY, Mode::empty()).context(message)?;
        let names = names(&root).context(message)?;
        let dir = Some(openat(&root, ".", DIRECTORY, Mode::empty()).context(message)?);
        Ok(Self { root, stack: vec![Frame { path: Vec::new(), dir, names }] })
    }

    /// The root itself.
    pub(crate) fn root(&self) -> Result<Found> {
        let message = || "cannot read layer directory".to_owned();
        let handle = openat(&self.root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context(message)?;
        Found::of(handle).context(message)
    }

    /// The next thing; a directory's content only after [`enter`](Self::enter). What vanishes meanwhile is left out.
    pub(crate) fn next(&mut self) -> Result<Option<Found>> {
        while let Some(frame) = self.stack.last_mut() {
            let Some(name) = frame.names.pop() else {
                self.stack.pop();
                continue;
            };
            let path = if frame.path.is_empty() { name.clone() } else { [&frame.path, &b"/"[..], &name].concat() };
            let message = || format!("cannot read {:?}", lossy(&path));
            if path.len() >= PATH_MAX {
                return Err(Error::unsupported(format!("{:?} is longer than a path can be", lossy(&path))));
            }
            let handle = frame.reopened(&self.root).and_then(|dir| {
                openat(dir, &name[..], OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            });
            match handle {
                Ok(handle) => {
                    let stat = fstat(&handle).context(message)?;
                    return Ok(Some(Found { path, stat, handle }));
                }
                Err(errno) if is_gone(errno) => {}
                Err(errno) => return Err(errno).context(message),
            }
        }
        Ok(None)
    }

    /// Goes on inside the directory found last.
    pub(crate) fn enter(&mut self, found: Found) -> Result<()> {
        let opened = found.open_dir().and_then(|dir| Ok((names(&dir)?, dir)));
        match opened {
            Ok((names, dir)) => {
                self.stack.push(Frame { path: found.path, dir: Some(dir), names });
                if let Some(far) = self.stack.len().checked_sub(OPEN + 1) {
                    self.stack[far].dir = None;
                }
                Ok(())
            }
            Err(errno) if is_gone(errno) => Ok(()),
            Err(errno) => Err(errno).context(|| format!("cannot read directory {:?}", lossy(&found.path))),
        }
    }
}

impl Frame {
    fn reopened(&mut self, root: &OwnedFd) -> io::Result<&OwnedFd> {
        if self.dir.is_none() {
            let path = if self.path.is_empty() { b"." } else { &self.path[..] };
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let opened = loop {
                match openat2(root, path, DIRECTORY, Mode::empty(), resolve) {
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    result => break result?,
                }
            };
            self.dir = Some(opened);
        }
        self.dir.as_ref().ok_or(Errno::NOENT)
    }
}

impl Found {
    /// What a walk starts from: its path is empty.
    pub(crate) fn of(handle: OwnedFd) -> io::Result<Self> {
        Ok(Self { path: Vec::new(), stat: fstat(&handle)?, handle })
    }

    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Device and inode number: two names with the same are one file.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    /// A path to exactly this, a link included, for calls that take no descriptor without opening it.
    pub(crate) fn proc_path(&self) -> String {
        format!("/proc/self/fd/{}", self.handle.as_raw_fd())
    }

    pub(crate) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Opens what was found to be a regular file; nothing can have taken its place.
    pub(crate) fn open_file(&self) -> io::Result<File> {
        rustix::fs::open(self.proc_path(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(File::from)
    }

    /// Opens what was found to be a directory.
    pub(crate) fn open_dir(&self) -> io::Result<OwnedFd> {
        openat(&self.handle, ".", DIRECTORY, Mode::empty())
    }
}

fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE)
}

/// A directory's names, the last one first.
fn names(dir: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}
