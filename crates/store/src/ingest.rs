//! Scratch of one operation, and the lock that keeps the garbage collector away from what it has not named yet.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci::ImageId;
use rustix::fs::{FlockOperation, flock};
use stdx::flock::Flock;
use stdx::remove_tree::remove_tree;
use stdx::{Context, Result, id};

use crate::Store;
use crate::gc::entries;

/// While it lives, nothing in the store is collected: what was resolved or just made stays until it has a name or a
/// container record. Released when dropped.
#[derive(Debug)]
pub struct Hold {
    _lock: Flock,
}

/// An operation's directory below `ingest/`, locked while it lives and removed when dropped.
#[derive(Debug)]
pub(crate) struct Ingest {
    path: PathBuf,
    _locked: File,
    _hold: Hold,
}

impl Store {
    /// Keeps the garbage collector away; many may hold at once.
    pub fn hold(&self) -> Result<Hold> {
        private_dir(&self.root().join("ingest"))?;
        Ok(Hold { _lock: Flock::shared(&self.root().join("ingest/lock"))? })
    }

    /// The same for the collector, if nobody holds now.
    pub(crate) fn hold_exclusive(&self) -> Result<Option<Flock>> {
        private_dir(&self.root().join("ingest"))?;
        Flock::try_exclusive(&self.root().join("ingest/lock"))
    }

    /// Waits until no other process brings this image in. The lock is scratch like any other.
    pub(crate) fn lock_incoming(&self, id: &ImageId) -> Result<Flock> {
        Flock::exclusive(&self.root().join("ingest").join(format!("image-{}", id.hex())))
    }

    /// Removes what operations that died left, if nobody is at work now.
    pub fn sweep(&self) -> Result<()> {
        match self.hold_exclusive()? {
            Some(_alone) => self.sweep_scratch(),
            None => Ok(()),
        }
    }

    /// Removes what this process left before it executed another program, whoever is at work now; then the rest.
    pub fn sweep_own(&self) -> Result<()> {
        for entry in entries(&self.root().join("ingest"))? {
            if entry.file_name().to_string_lossy().starts_with(&own_prefix()) && is_abandoned(&entry.path()) {
                remove_tree(&entry.path())?;
            }
        }
        self.sweep()
    }

    /// A fresh scratch directory.
    pub(crate) fn ingest(&self) -> Result<Ingest> {
        let hold = self.hold()?;
        let path = self.root().join("ingest").join(own_prefix() + &id::random_hex(8));
        let message = || format!("cannot create {path:?}");
        fs::DirBuilder::new().mode(0o700).create(&path).context(message)?;
        // No collector runs between making and locking the directory: the hold keeps it away.
        let locked = File::open(&path).context(message)?;
        flock(&locked, FlockOperation::NonBlockingLockExclusive).context(message)?;
        Ok(Ingest { path, _locked: locked, _hold: hold })
    }
}

impl Ingest {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the whole file system, once: cheaper and no less sure than every file by itself.
    pub(crate) fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self._locked).context(|| format!("cannot flush {:?}", self.path))
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // What cannot be removed now is garbage that the collector finds once this process is gone.
        let _ = remove_tree(&self.path);
    }
}

/// How the names of this process's scratch directories begin.
fn own_prefix() -> String {
    format!("{}-", std::process::id())
}

/// Is the operation that made this directory gone?
pub(crate) fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|dir| flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Makes a directory only this user can look into, if it is not there.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).context(|| format!("cannot create {path:?}"))
        }
        _ => Ok(()),
    }
}
