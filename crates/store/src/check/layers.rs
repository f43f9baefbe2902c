//! The layers of `system check`, and the trees that deep stacks of them are mounted as.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use layer::Limits;
use layer::diff::Options;
use oci::{ChainId, DiffId};
use stdx::remove_tree::remove_tree;
use stdx::{Context, Error, Kind, Result, id};

use super::Finding;
use crate::Store;
use crate::preparation::{Preparation, Stack};
use crate::snapshot::Meta;

/// Layers unpacked once more, each upon those below it. Neighbours in a stack come one after the other, and what is
/// below them is opened once.
struct Again<'a> {
    store: &'a Store,
    metas: BTreeMap<ChainId, Meta>,
    snapshots: Preparation<'a>,
    stack: Stack,
    /// What `stack` is made of.
    below: Vec<ChainId>,
}

impl Store {
    /// The snapshots that are broken and stay so.
    pub(super) fn check_snapshots(&self, repair: bool, findings: &mut Vec<Finding>) -> Result<BTreeSet<ChainId>> {
        let mut broken = BTreeSet::new();
        let mut metas = BTreeMap::new();
        for chain in self.snapshots()? {
            // What was not flushed before another boot counts as absent: it is left over.
            if matches!(self.snapshot_meta(&chain), Ok(None)) && self.snapshot_dir(&chain).join("meta.json").exists() {
                continue;
            }
            match self.meta_of(&chain) {
                Ok(meta) => drop(metas.insert(chain, meta)),
                Err(error) => {
                    findings.push(Finding::broken(format!("layer \"{chain}\": {error}")));
                    broken.insert(chain);
                }
            }
        }
        let snapshots = Preparation::new(self, self.ingest()?);
        let mut again = Again { store: self, metas, snapshots, stack: Stack::default(), below: Vec::new() };
        for chain in again.neighbours() {
            let Err(error) = again.check(&chain) else { continue };
            // It may well be whole: nothing is taken away for that.
            if error.kind() == Kind::NotFound {
                findings.push(Finding::broken(format!("layer \"{chain}\" cannot be verified: {error}")));
                continue;
            }
            let finding = Finding::broken(format!("layer \"{chain}\": {error}"));
            findings.push(match repair.then(|| again.restore(&chain)) {
                Some(Ok(())) => finding.repaired("made again from its blob"),
                _ => {
                    broken.insert(chain);
                    finding
                }
            });
        }
        Ok(broken)
    }

    /// Makes each tree once more from its layers, and compares.
    pub(super) fn check_stacks(&self, repair: bool, findings: &mut Vec<Finding>) -> Result<()> {
        for chain in self.stacks()? {
            // Without its layers it is garbage, or the images upon them are told to be broken.
            let Ok(chains) = self.chains_up_to(&chain) else { continue };
            let ingest = self.ingest()?;
            let (made, place) = (ingest.path().join("stack"), self.stack_dir(&chain));
            self.flatten(&chains, &made)?;
            let (found, expected) = (digest_of(&place.join("fs")), digest_of(&made.join("fs"))?);
            if found.is_ok_and(|found| found == expected) {
                continue;
            }
            let finding = Finding::broken(format!("the flattened stack \"{chain}\" is not what its layers are"));
            findings.push(if repair {
                replace(&place, &made, &ingest.path().join("broken"))?;
                finding.repaired("made again from its layers")
            } else {
                finding
            });
        }
        Ok(())
    }

    /// The layers of a stack, bottom first.
    fn chains_up_to(&self, top: &ChainId) -> Result<Vec<ChainId>> {
        let mut chains = Vec::new();
        let mut next = Some(*top);
        while let Some(chain) = next {
            chains.push(chain);
            next = self.meta_of(&chain)?.parent;
        }
        chains.reverse();
        Ok(chains)
    }
}

impl Again<'_> {
    /// Every layer after the one below it, and those upon one layer together.
    fn neighbours(&self) -> Vec<ChainId> {
        let mut upon: BTreeMap<Option<ChainId>, Vec<ChainId>> = BTreeMap::new();
        for (chain, meta) in &self.metas {
            upon.entry(meta.parent.filter(|parent| self.metas.contains_key(parent))).or_default().push(*chain);
        }
        let mut next = upon.remove(&None).unwrap_or_default();
        let mut order = Vec::new();
        while let Some(chain) = next.pop() {
            order.push(chain);
            next.extend(upon.remove(&Some(chain)).unwrap_or_default());
        }
        order
    }

    fn meta(&self, chain: &ChainId) -> Result<Meta> {
        let meta = self.metas.get(chain).cloned();
        meta.ok_or_else(|| Error::corrupt(format!("there is no snapshot \"{chain}\"")))
    }

    fn check(&mut self, chain: &ChainId) -> Result<()> {
        let meta = self.meta(chain)?;
        if ChainId::extend(meta.parent, meta.diff_id) != *chain {
            return Err(Error::corrupt("its description is another layer's"));
        }
        let found = digest_of(&self.store.snapshot_fs(chain))?;
        if found == meta.diff_id {
            return Ok(());
        }
        if meta.blob.as_ref().is_some_and(|blob| !self.store.content().contains(&blob.digest)) {
            return Err(Error::not_found("its blob is lost"));
        }
        if meta.blob.is_some() {
            let dir = self.unpack(chain)?;
            let expected = digest_of(&dir.join("fs"))?;
            remove_tree(&dir)?;
            if found == expected {
                return Ok(());
            }
        }
        Err(Error::corrupt("its files were changed"))
    }

    /// What the blob of a layer unpacks to, in scratch.
    fn unpack(&mut self, chain: &ChainId) -> Result<PathBuf> {
        let meta = self.meta(chain)?;
        let Some(blob) = meta.blob else { return Err(Error::not_found(format!("layer \"{chain}\" has no blob"))) };
        self.go_below(chain)?;
        let reader = self.store.content().open(&blob.digest)?;
        let pushed = self.snapshots.push_new(&mut self.stack, reader, Some(blob), &Limits::default());
        let dir = self.snapshots.last_dir();
        self.snapshots.pop();
        self.stack.truncate(self.below.len(), self.below.last().copied());
        match (pushed?, dir) {
            (diff_id, Some(dir)) if diff_id == meta.diff_id => Ok(dir),
            (diff_id, _) => Err(Error::corrupt(format!("its blob holds \"{diff_id}\""))),
        }
    }

    /// Opens the layers that are below one, and no others.
    fn go_below(&mut self, chain: &ChainId) -> Result<()> {
        let mut wanted = Vec::new();
        let mut next = self.meta(chain)?.parent;
        while let Some(chain) = next {
            let meta = self.meta(&chain)?;
            wanted.push((chain, meta.size));
            next = meta.parent;
        }
        wanted.reverse();
        let is_open = |(own, (wanted, _)): &(&ChainId, &(ChainId, u64))| own == &wanted;
        let same = self.below.iter().zip(&wanted).take_while(is_open).count();
        self.below.truncate(same);
        self.stack.truncate(same, self.below.last().copied());
        for (chain, size) in wanted.split_off(same) {
            self.stack.push(&self.store.snapshot_fs(&chain), chain, size)?;
            self.below.push(chain);
        }
        Ok(())
    }

    /// Puts what the blob unpacks to in the place of a broken snapshot.
    fn restore(&mut self, chain: &ChainId) -> Result<()> {
        let dir = self.unpack(chain)?;
        replace(&self.store.snapshot_dir(chain), &dir, &self.snapshots.dir().join(id::random_hex(8)))
    }
}

fn replace(place: &Path, new: &Path, aside: &Path) -> Result<()> {
    let message = || format!("cannot replace {place:?}");
    fs::rename(place, aside).context(message)?;
    fs::rename(new, place).context(message)
}

/// What a layer's directory is as a layer written here, its root's own attributes included.
fn digest_of(dir: &Path) -> Result<DiffId> {
    let root = File::open(dir).context(|| format!("cannot open {dir:?}"))?;
    Ok(layer::diff(root.as_fd(), std::io::sink(), &Options::default())?.diff_id)
}
