//! Files that are either wholly there or not there.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::{Context, Result, id};

/// How much must survive a power loss before the write returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Visible to other processes at once; the disk learns of it when the kernel likes.
    Scratch,
    /// File and directory are flushed: what was written is there after a power loss.
    Synced,
}

/// Replaces `path` by a file with these bytes and mode 0644, in one step: readers see the old file or the new one.
/// A crash may leave a hidden `.NAME.XXXX` file beside it.
pub fn atomic_write(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    write(path, bytes, durability, 0o644)
}

/// The same with mode 0600: for secrets.
pub fn atomic_write_private(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    write(path, bytes, durability, 0o600)
}

fn write(path: &Path, bytes: &[u8], durability: Durability, mode: u32) -> Result<()> {
    let message = || format!("cannot write {path:?}");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", id::random_hex(4)));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // The write's own error is the one to report; the temporary may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written.context(message)?;
    match (durability, path.parent()) {
        (Durability::Synced, Some(parent)) => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Flushes a directory, so that names made or renamed in it survive a power loss.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).context(|| format!("cannot sync {path:?}"))
}
