//! Garbage: what no image reaches, and what crashed operations left. By reachability, never by age.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use oci::{BlobDigest, ChainId, Digest, ImageId, Manifest};
use stdx::remove_tree::remove_tree;
use stdx::{Context, Result, id};

use crate::image::CONFIG_MAX;
use crate::ingest::is_abandoned;
use crate::names::{Names, Record};
use crate::snapshot::Meta;
use crate::{Store, Usage};

/// What a collection removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Freed {
    /// Snapshots, the ones on top first.
    pub layers: Vec<ChainId>,
    /// Bytes of blobs, and of the files in those snapshots.
    pub bytes: u64,
}

impl Store {
    /// Removes what no image reaches. Images that were removed stay while `in_use` names a container for them.
    ///
    /// Does nothing while another operation makes content that has no name yet: the next collection will.
    pub fn gc(&self, in_use: &dyn Fn(&ImageId) -> Option<Usage>) -> Result<Freed> {
        let Some(_alone) = self.hold_exclusive()? else { return Ok(Freed::default()) };
        let names = self.update_names(|names| {
            self.sweep_temporaries()?;
            names.images.retain(|id, record| !record.removed || in_use(id).is_some());
            Ok(names.clone())
        })?;
        self.sweep_cache()?;
        let reached = self.reached(&names)?;
        let mut freed = Freed::default();
        self.sweep_stacks(&reached)?;
        self.sweep_snapshots(&reached, &mut freed)?;
        self.sweep_blobs(&reached, &mut freed)?;
        self.sweep_scratch()?;
        Ok(freed)
    }

    /// What these images need.
    pub(crate) fn reached(&self, names: &Names) -> Result<Reached> {
        let mut reached = Reached::default();
        for (id, record) in &names.images {
            reached.chains.extend(ChainId::stack(&self.diff_ids_of(id, record)?));
            reached.blobs.extend(self.blobs_of(id, record)?);
        }
        for chain in self.cached_chains()? {
            reached.blobs.extend(self.snapshot_meta(&chain)?.and_then(|meta| Some(meta.blob?.digest)));
            reached.chains.insert(chain);
        }
        Ok(reached)
    }

    /// Every blob that an image has here or should have: its configuration, its manifest and what that names, and what
    /// its layers came in.
    pub(crate) fn blobs_of(&self, id: &ImageId, record: &Record) -> Result<BTreeSet<BlobDigest>> {
        let mut blobs = BTreeSet::from([id.blob()]);
        if let Some(manifest) = record.manifest {
            blobs.insert(manifest);
            blobs.extend(self.manifest_blobs(&manifest));
        }
        for chain in ChainId::stack(&self.diff_ids_of(id, record)?) {
            blobs.extend(self.snapshot_meta(&chain)?.and_then(|meta| Some(meta.blob?.digest)));
        }
        Ok(blobs)
    }

    /// What a manifest names; nothing if it is not here.
    pub(crate) fn manifest_blobs(&self, manifest: &BlobDigest) -> Vec<BlobDigest> {
        let bytes = self.content().read_small(manifest, CONFIG_MAX).unwrap_or_default();
        let Ok(manifest) = Manifest::parse(&bytes) else { return Vec::new() };
        manifest.layers.iter().chain([&manifest.config]).map(|blob| blob.digest).collect()
    }

    /// The snapshots that are there, of images or of nobody.
    pub(crate) fn snapshots(&self) -> Result<Vec<ChainId>> {
        let names = entries(&self.snapshots_dir())?.into_iter().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.to_str().and_then(Digest::from_hex)).map(ChainId::new).collect())
    }

    fn sweep_snapshots(&self, reached: &Reached, freed: &mut Freed) -> Result<()> {
        let unreached = self.snapshots()?.into_iter().filter(|chain| !reached.chains.contains(chain));
        // One that cannot be read goes all the same.
        let mut garbage: BTreeMap<ChainId, Option<Meta>> =
            unreached.map(|chain| (chain, self.snapshot_meta(&chain).unwrap_or_default())).collect();
        let mut children: BTreeMap<ChainId, usize> = BTreeMap::new();
        for parent in garbage.values().filter_map(parent_of) {
            *children.entry(parent).or_default() += 1;
        }
        // Those on top go first: a crash must not leave a snapshot without the ones below it.
        let mut tops: Vec<ChainId> = garbage.keys().filter(|chain| !children.contains_key(chain)).copied().collect();
        while let Some(chain) = tops.pop() {
            let meta = garbage.remove(&chain).flatten();
            self.take_away(&self.snapshot_dir(&chain))?;
            if let Some(parent) = parent_of(&meta) {
                let left = children.entry(parent).or_default();
                *left = left.saturating_sub(1);
                tops.extend(Some(parent).filter(|parent| *left == 0 && garbage.contains_key(parent)));
            }
            freed.layers.push(chain);
            freed.bytes += meta.map_or(0, |meta| meta.size);
        }
        Ok(())
    }

    fn sweep_stacks(&self, reached: &Reached) -> Result<()> {
        let mut unreached = self.stacks()?.into_iter().filter(|chain| !reached.chains.contains(chain));
        unreached.try_for_each(|chain| self.take_away(&self.stack_dir(&chain)))
    }

    /// Out of sight at once, then piece by piece.
    fn take_away(&self, dir: &Path) -> Result<()> {
        let scratch = self.root().join("ingest").join(id::random_hex(8));
        fs::rename(dir, &scratch).context(|| format!("cannot remove {dir:?}"))?;
        remove_tree(&scratch)
    }

    fn sweep_blobs(&self, reached: &Reached, freed: &mut Freed) -> Result<()> {
        let content = self.content();
        for (digest, size) in content.list()? {
            if !reached.blobs.contains(&digest) {
                content.remove(&digest)?;
                freed.bytes += size;
            }
        }
        Ok(())
    }

    /// Names half-written by a process that died; the lock on the names is held.
    fn sweep_temporaries(&self) -> Result<()> {
        for entry in entries(&self.root().join("images"))? {
            if entry.file_name().to_string_lossy().starts_with(".NAMES.json.") {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    pub(crate) fn sweep_scratch(&self) -> Result<()> {
        for entry in entries(&self.root().join("ingest"))? {
            if entry.file_name() != "lock" && is_abandoned(&entry.path()) {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// What images need.
#[derive(Default)]
pub(crate) struct Reached {
    pub(crate) blobs: BTreeSet<BlobDigest>,
    pub(crate) chains: BTreeSet<ChainId>,
}

fn parent_of(meta: &Option<Meta>) -> Option<ChainId> {
    meta.as_ref()?.parent
}

/// A directory's entries; none if it is not there.
pub(crate) fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>> {
    let message = || format!("cannot read directory {dir:?}");
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect::<Result<_, _>>().context(message),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).context(message),
    }
}
