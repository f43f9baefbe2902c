//! Advisory locks on files, released when dropped or when the process dies.

use std::fs::{File, OpenOptions};
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

    fn take(path: &Path, operation: FlockOperation) -> Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.context(|| format!("cannot open lock {path:?}"))?;
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
