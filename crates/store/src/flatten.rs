//! Images with more layers than the kernel mounts.
//!
//! The lowest layers of a deep image are put into one tree, once, for mounting alone: the layers themselves stay for
//! history, push and sharing. Files are the layers' own by hard links, so the tree costs little. Its depth is a multiple
//! of [`STEP`], so images upon the same layers share it, and one that grows makes a new one only now and then.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use layer::Flattened;
use oci::{ChainId, DiffId, Digest};
use stdx::atomic_write::sync_dir;
use stdx::{Context, Result};

use crate::gc::entries;
use crate::ingest::private_dir;
use crate::{Image, Store};

/// Layers of an image that are mounted one by one. The kernel takes 500, some of which are a container's own.
const MOUNTED_MAX: usize = 480;
/// Depths that are flattened.
const STEP: usize = 256;

impl Store {
    /// The overlay lower directories of an image, bottom first, never more than the kernel takes. Makes the tree of a deep
    /// image if it is not there.
    pub fn mounted_layers(&self, image: &Image) -> Result<Vec<PathBuf>> {
        self.mounted_stack(image.diff_ids())
    }

    /// The same of layers that need not be an image's yet.
    pub fn mounted_stack(&self, diff_ids: &[DiffId]) -> Result<Vec<PathBuf>> {
        let chains = ChainId::stack(diff_ids);
        let flattened = if chains.len() > MOUNTED_MAX { chains.len() / STEP * STEP } else { 0 };
        let (below, above) = chains.split_at(flattened);
        let tree = if below.is_empty() { None } else { Some(self.flattened(below)?) };
        Ok(tree.into_iter().chain(above.iter().map(|chain| self.snapshot_fs(chain))).collect())
    }

    pub(crate) fn stacks_dir(&self) -> PathBuf {
        self.root().join("stacks")
    }

    /// Where the tree of a whole stack is, if it has been made.
    pub(crate) fn stack_dir(&self, chain: &ChainId) -> PathBuf {
        self.stacks_dir().join(chain.hex())
    }

    /// The stacks that have a tree.
    pub(crate) fn stacks(&self) -> Result<Vec<ChainId>> {
        let names = entries(&self.stacks_dir())?.into_iter().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.to_str().and_then(Digest::from_hex)).map(ChainId::new).collect())
    }

    /// The tree of these layers, bottom first.
    fn flattened(&self, chains: &[ChainId]) -> Result<PathBuf> {
        let Some(top) = chains.last() else { return Ok(self.stacks_dir()) };
        let place = self.stack_dir(top);
        if !place.exists() {
            let ingest = self.ingest()?;
            let made = ingest.path().join("stack");
            self.flatten(chains, &made)?;
            ingest.sync()?;
            private_dir(&self.stacks_dir())?;
            match fs::rename(&made, &place) {
                // Somebody else was faster.
                Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {}
                renamed => renamed.context(|| format!("cannot store stack \"{top}\""))?,
            }
            sync_dir(&self.stacks_dir())?;
        }
        Ok(place.join("fs"))
    }

    /// Makes the tree of these layers in a new directory.
    pub(crate) fn flatten(&self, chains: &[ChainId], dir: &Path) -> Result<()> {
        let fs = dir.join("fs");
        let message = || format!("cannot create {fs:?}");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&fs).context(message)?;
        let mut flattened = Flattened::new(File::open(&fs).context(message)?)?;
        for chain in chains {
            let layer = self.snapshot_fs(chain);
            flattened.add(File::open(&layer).context(|| format!("cannot open snapshot {layer:?}"))?)?;
        }
        flattened.finish()
    }
}
