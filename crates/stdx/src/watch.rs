//! A directory watched for changes.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::{Context, Result};

/// Readable when a file in the directory has been written to, made, put there, or removed.
#[derive(Debug)]
pub struct DirWatch {
    fd: OwnedFd,
    dir: PathBuf,
    /// Of the directory that is watched.
    inode: u64,
}

impl DirWatch {
    /// Watches `dir`, which exists.
    pub fn new(dir: &Path) -> Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let fd = fd.context(|| format!("cannot watch {dir:?}"))?;
        let mut watch = Self { fd, dir: dir.to_owned(), inode: 0 };
        watch.look()?;
        Ok(watch)
    }

    /// Watches the directory that is there now, after [`Self::drain`] has said that the old one is not.
    pub fn look(&mut self) -> Result<()> {
        let what = || format!("cannot watch {:?}", self.dir);
        // Deletions too: a directory that somebody holds a file of open tells nothing of its own end.
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        inotify::add_watch(&self.fd, &self.dir, flags).context(what)?;
        self.inode = std::fs::metadata(&self.dir).context(what)?.ino();
        Ok(())
    }

    /// Takes note of what has happened, so that it is readable only when more does. `false`: the directory is gone.
    pub fn drain(&mut self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.fd, &mut buffer);
        let mut is_there = true;
        while let Ok(event) = events.next() {
            is_there &= !event.events().contains(ReadFlags::IGNORED);
        }
        is_there && std::fs::metadata(&self.dir).is_ok_and(|dir| dir.ino() == self.inode)
    }
}

impl AsFd for DirWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
