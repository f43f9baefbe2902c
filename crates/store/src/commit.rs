//! `commit`: a writable layer becomes one more layer of an image.
//!
//! The layer is not packed: its files are copied into a snapshot, by the way of the archive they would be, which gives
//! the DiffId. Whoever pushes or saves the image packs it then, once.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::thread;

use layer::diff::Options;
use layer::{Diffed, Limits};
use oci::image_config::History;
use oci::{BlobDigest, ImageConfig, ImageId, Reference};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use stdx::{Context, Error, Kind, Result};

use crate::Store;
use crate::names::{Record, Unnamed};
use crate::preparation::{Preparation, Stack};
use crate::spool::Spooled;

/// What the writer is ahead of the reader, in bytes: the most that everybody may have.
const PIPE: usize = 1 << 20;

/// An image to be made upon another one, or upon nothing.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The configuration, with the layers and the history of what it stands on.
    pub config: ImageConfig,
    /// What is to be said of the new step; whether it has a layer is found out.
    pub history: History,
    /// The writable layer, in overlayfs form, and how its files become entries.
    pub upper: Option<(BorrowedFd<'a>, Options)>,
    /// With tags.
    pub names: Vec<Reference>,
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub id: ImageId,
    /// Files that changed while they were read: their content is of no one moment.
    pub torn: Vec<Vec<u8>>,
}

impl Store {
    /// Makes an image. A writable layer without any change adds no layer, as Docker has it.
    pub fn commit(&self, commit: Commit<'_>) -> Result<Committed> {
        let Commit { mut config, mut history, upper, names } = commit;
        let mut snapshots = Preparation::new(self, self.ingest()?);
        let mut stack = snapshots.existing(&config.rootfs.diff_ids)?;
        let mut torn = Vec::new();
        history.empty_layer = true;
        if let Some((upper, options)) = upper {
            let diffed = push_upper(&mut snapshots, &mut stack, upper, &options)?;
            if diffed.entries > 0 {
                history.empty_layer = false;
                config.rootfs.diff_ids.push(diffed.diff_id);
                torn = diffed.torn;
            } else {
                stack.size -= snapshots.pop();
            }
        }
        config.history.push(history);
        let spooled = Spooled::write(&config.to_json()[..], snapshots.dir().join("config"))?;
        let id = ImageId::new(spooled.digest);
        let record = Record { size: stack.size, ..Record::default() };
        let blobs = BTreeMap::from([(BlobDigest::new(spooled.digest), spooled.path)]);
        snapshots.publish(&blobs, vec![Unnamed { id, record, names }])?;
        Ok(Committed { id, torn })
    }
}

/// The archive goes from its writer to its reader through a pipe: it is never on disk.
pub(crate) fn push_upper(
    snapshots: &mut Preparation<'_>,
    stack: &mut Stack,
    upper: BorrowedFd<'_>,
    options: &Options,
) -> Result<Diffed> {
    let message = || "cannot make a pipe for a layer".to_owned();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context(message)?;
    // Whatever it is, it works.
    let _ = fcntl_setpipe_size(&writer, PIPE);
    thread::scope(|scope| {
        let diff = move || layer::diff(upper, File::from(writer), options);
        let diff = thread::Builder::new().name("diff".to_owned()).spawn_scoped(scope, diff).context(message)?;
        let pushed = snapshots.push_new(stack, File::from(reader), None, &Limits::default());
        let diffed = diff.join().map_err(|_| Error::new(Kind::Internal, "the thread that reads the layer ended"))?;
        match (diffed, pushed) {
            (Ok(diffed), Ok(_)) => Ok(diffed),
            // Who reads an archive that ends early, or writes into a pipe that nobody reads, only sees the other's error.
            (Err(error), Err(other)) if error.errno() == Some(rustix::io::Errno::PIPE) => Err(other),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        }
    })
}

#[cfg(test)]
mod tests;
