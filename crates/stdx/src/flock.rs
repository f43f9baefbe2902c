//! Advisory locks on files, released when dropped or when the process dies.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Context, Result};

/// A held lock. The file stays: removing a lock file while others open it would give two owners.
#[derive(Debug)]
pub struct Flock {
    file: File,
}

impl Flock {
    /// Waits until no other process holds the lock.
    pub fn exclusive(path: &Path) -> Result<Self> {
        Self::take(path, FlockOperation::LockExclusive).map(|lock| lock.expect("a blocking lock is taken or fails"))
    }

    /// Waits until no other process holds the lock exclusively.
    pub fn shared(path: &Path) -> Result<Self> {
        Self::take(path, FlockOperation::LockShared).map(|lock| lock.expect("a blocking lock is taken or fails"))
    }

    /// Takes the lock if it is free now; `None` if somebody holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        Self::take(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits until no other process holds the lock, which is not made: `None` if there is none.
    pub fn exclusive_existing(path: &Path) -> Result<Option<Self>> {
        Self::existing(path, FlockOperation::LockExclusive).map(|found| found.flatten())
    }

    /// Whether another process holds the lock now. Where there is no lock, nobody does.
    pub fn is_held(path: &Path) -> Result<bool> {
        let found = Self::existing(path, FlockOperation::NonBlockingLockExclusive)?;
        Ok(found.is_some_and(|taken| taken.is_none()))
    }

    fn existing(path: &Path, operation: FlockOperation) -> Result<Option<Option<Self>>> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => Self::lock(file.context(|| format!("cannot open lock {path:?}"))?, path, operation).map(Some),
        }
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        Self::lock(file.context(|| format!("cannot open lock {path:?}"))?, path, operation)
    }

    fn lock(file: File, path: &Path, operation: FlockOperation) -> Result<Option<Self>> {
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Some(Self { file })),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(errno).context(|| format!("cannot lock {path:?}")),
            }
        }
    }

    /// The locked file, to hand the lock to a child by inheritance.
    pub fn into_file(self) -> File {
        self.file
    }
}
