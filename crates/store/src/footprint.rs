//! Where on disk an image is.

use std::path::PathBuf;

use oci::{ChainId, ImageId, Reference};
use stdx::Result;

use crate::Store;

/// Every path below the data root that an image needs; images share paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    pub id: ImageId,
    pub names: Vec<Reference>,
    pub paths: Vec<PathBuf>,
}

impl Store {
    /// The footprints of all images, those that only containers still stand on included.
    pub fn footprints(&self) -> Result<Vec<Footprint>> {
        let names = self.names()?;
        let mut footprints = Vec::new();
        for (id, record) in &names.images {
            let chains = ChainId::stack(&self.diff_ids_of(id, record)?);
            let blobs = self.blobs_of(id, record)?;
            let content = self.content();
            let snapshots = chains.iter().map(|chain| self.snapshot_dir(chain));
            // Measured in the order of their paths, so that what a tree shares with layers is counted as the layers'.
            let stacks = chains.iter().map(|chain| self.stack_dir(chain)).filter(|stack| stack.exists());
            let paths = snapshots.chain(stacks).chain(blobs.iter().map(|blob| content.path(blob))).collect();
            footprints.push(Footprint { id: *id, names: names.of(id), paths });
        }
        Ok(footprints)
    }
}
