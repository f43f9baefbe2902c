//! Images on disk: content by digest, layers as directories, names. A container's own files are not kept here.
//!
//! ```text
//! ROOT/
//!   version                     {"layout":2}, read before anything else
//!   content/sha256/HEX          blobs: manifests, configurations, layers as they were transferred
//!   content/partial/HEX         the beginning of a blob that has not arrived whole
//!   ingest/lock                 held shared while an operation makes content, exclusively while garbage is swept
//!   ingest/image-HEX            held by the operation that brings this image in
//!   ingest/PID-HEX/             an operation's scratch, locked (flock) while that operation lives
//!   snapshots/HEX/fs/           the layer with this ChainId, in overlayfs form, settled upon the layers below it
//!   snapshots/HEX/meta.json     its parent, DiffId, sizes and blob
//!   stacks/HEX/fs/              the whole stack with this ChainId as one tree, for deep images
//!   cache/steps/KEY             what a step of a build came to, see `cache`
//!   cache/locks/KEY             held by the build that makes this step
//!   images/lock                 held exclusively while the names change
//!   images/NAMES.json           name → image id, and what is known of each image
//! ```
//!
//! Content and snapshots never change once they are there. An operation writes into its ingest directory, verifies,
//! flushes, and renames into place; the names come last, so nothing has a name before all of it is there. A crash
//! leaves at most ingest directories that nobody locks and content that no name reaches: [`Store::gc`] removes both.
//!
//! Readers take no lock: they read `NAMES.json`, which is replaced atomically, and one configuration.

mod archive;
mod cache;
mod check;
mod commit;
mod content;
mod flatten;
mod footprint;
mod gc;
mod image;
mod import;
mod ingest;
mod layout;
mod names;
mod pack;
mod partial;
mod preparation;
mod receive;
mod remove;
mod resolve;
mod save;
mod snapshot;
mod spool;
mod step;
mod watch;

#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

use stdx::Result;

pub use archive::{Loaded, Progress};
pub use cache::{CacheEntry, CachedStep};
pub use check::{Finding, Harm};
pub use commit::{Commit, Committed};
pub use content::Content;
pub use footprint::Footprint;
pub use gc::Freed;
pub use image::Image;
pub use import::ImportOptions;
pub use ingest::Hold;
pub use pack::Packed;
pub use partial::Open;
pub use receive::{Incoming, Received};
pub use remove::{Removed, Usage};
pub use save::ArchiveFormat;
pub use step::{Layer, Step as BuildStep};
pub use watch::{Step, Watch};

/// A data root. Opening one costs a file read; several processes may have it open and write to it at once.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the data root, or makes one where there is nothing yet.
    ///
    /// Fails with `Unsupported` when another layout version is there and with `Invalid` when the directory holds
    /// something else; in both cases nothing is touched.
    pub fn open(root: &Path) -> Result<Self> {
        layout::check_or_create(root)?;
        Ok(Self { root: root.to_owned() })
    }

    /// The data root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The blobs.
    pub fn content(&self) -> Content {
        Content::new(&self.root)
    }
}
