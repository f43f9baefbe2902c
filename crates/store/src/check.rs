//! `system check`: whether everything is what it says it is, and what crashes left.
//!
//! A blob is hashed. A snapshot is written as the layer it is and compared: with its DiffId, which it has if it was made
//! here, then with what its blob unpacks to.

mod layers;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use oci::{BlobDigest, ChainId, Digest, ImageId, Sha256};
use stdx::{Context, Error, Kind, Result};

use crate::gc::entries;
use crate::names::Names;
use crate::{Store, Usage};

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Left by something that was interrupted: takes room, harms nobody.
    Garbage,
    /// Something is not what it should be.
    Broken,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub harm: Harm,
    /// What it is and what it means, in a sentence.
    pub what: String,
    /// How it was put right, if it was.
    pub repaired: Option<String>,
}

impl Finding {
    /// Something broken.
    pub fn broken(what: String) -> Self {
        Self { harm: Harm::Broken, what, repaired: None }
    }

    /// Something left over.
    pub fn garbage(what: String) -> Self {
        Self { harm: Harm::Garbage, what, repaired: None }
    }

    /// The same, put right.
    #[must_use]
    pub fn repaired(mut self, how: &str) -> Self {
        self.repaired = Some(how.to_owned());
        self
    }
}

impl Store {
    /// Verifies everything; with `repair`, removes what is left over, makes broken snapshots again from their blobs, and
    /// takes images away that cannot be made whole. `in_use` says which container stands on an image.
    pub fn check(&self, repair: bool, in_use: &dyn Fn(&ImageId) -> Option<Usage>) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let lost = {
            let _hold = self.hold()?;
            let names = self.names()?;
            let lost = self.check_blobs(repair, &mut findings)?;
            let broken = self.check_snapshots(repair, &mut findings)?;
            self.check_stacks(repair, &mut findings)?;
            self.check_images(&names, &lost, &broken)
        };
        for (id, why) in &lost {
            let names: Vec<_> = self.names()?.of(id).iter().map(oci::Reference::familiar).collect();
            let called = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
            let finding = Finding::broken(format!("image {}{called} is broken: {why}", id.short()));
            findings.push(if repair { self.drop_image(id, finding)? } else { finding });
        }
        self.check_garbage(repair, in_use, &mut findings)?;
        Ok(findings)
    }

    /// Hashes every blob, on all processors; the broken ones.
    fn check_blobs(&self, repair: bool, findings: &mut Vec<Finding>) -> Result<BTreeSet<BlobDigest>> {
        let content = self.content();
        let jobs = Mutex::new(content.list()?);
        let broken = Mutex::new(BTreeSet::new());
        let work = || -> Result<()> {
            while let Some((digest, _)) = pop(&jobs) {
                if hash(&content.path(&digest))? != digest.digest() {
                    broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(digest);
                }
            }
            Ok(())
        };
        in_parallel(&work)?;
        let broken = broken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        for digest in &broken {
            let finding = Finding::broken(format!("blob \"{digest}\" has other content"));
            findings.push(if repair {
                content.remove(digest)?;
                finding.repaired("removed")
            } else {
                finding
            });
        }
        Ok(broken)
    }

    /// Images that something is missing of, and what.
    fn check_images(
        &self,
        names: &Names,
        lost: &BTreeSet<BlobDigest>,
        broken: &BTreeSet<ChainId>,
    ) -> Vec<(ImageId, String)> {
        let dangling = names.names.values().filter(|id| !names.images.contains_key(id));
        let mut found: Vec<_> = dangling.map(|id| (*id, "it is a name without an image".to_owned())).collect();
        for (id, record) in &names.images {
            let why = if record.artifact.is_some() {
                let missing = |blob: &BlobDigest| lost.contains(blob) || !self.content().contains(blob);
                let blobs = self.blobs_of(id, record).unwrap_or_default();
                blobs.into_iter().find(missing).map(|blob| format!("its blob \"{blob}\" is lost"))
            } else if lost.contains(&id.blob()) || !self.content().contains(&id.blob()) {
                Some("its configuration is lost".to_owned())
            } else {
                match self.read_config(id) {
                    Err(error) => Some(error.to_string()),
                    Ok(config) => ChainId::stack(&config.rootfs.diff_ids)
                        .iter()
                        .find(|chain| broken.contains(chain) || !self.snapshot_fs(chain).is_dir())
                        .map(|chain| format!("its layer \"{chain}\" is lost")),
                }
            };
            found.extend(why.map(|why| (*id, why)));
        }
        found
    }

    fn drop_image(&self, id: &ImageId, finding: Finding) -> Result<Finding> {
        self.update_names(|names| {
            names.names.retain(|_, named| named != id);
            names.images.remove(id);
            Ok(())
        })?;
        Ok(finding.repaired("taken away with its names: pull, load or build it again"))
    }

    fn check_garbage(
        &self,
        repair: bool,
        in_use: &dyn Fn(&ImageId) -> Option<Usage>,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        // What others are making now has no name yet, and cannot be told from garbage.
        let Some(alone) = self.hold_exclusive()? else { return Ok(()) };
        let before = findings.len();
        let names = self.names()?;
        // An image that is broken keeps the collector from knowing what it needs: it goes first.
        let Ok(reached) = self.reached(&names) else { return Ok(()) };
        for (digest, size) in self.content().list()? {
            if !reached.blobs.contains(&digest) {
                findings.push(Finding::garbage(format!("blob \"{digest}\" of {size} bytes belongs to no image")));
            }
        }
        for chain in self.snapshots()?.iter().filter(|chain| !reached.chains.contains(chain)) {
            findings.push(Finding::garbage(format!("layer \"{chain}\" belongs to no image")));
        }
        for chain in self.stacks()?.iter().filter(|chain| !reached.chains.contains(chain)) {
            findings.push(Finding::garbage(format!("the flattened stack \"{chain}\" belongs to no image")));
        }
        for entry in entries(&self.root().join("ingest"))? {
            // Locks hold nothing.
            let is_lock = entry.file_name() == "lock" || entry.file_name().to_string_lossy().starts_with("image-");
            if !is_lock && crate::ingest::is_abandoned(&entry.path()) {
                findings.push(Finding::garbage(format!("{:?} was left by an operation that died", entry.path())));
            }
        }
        for (digest, size) in self.partials()? {
            let what = format!("the first {size} bytes of blob \"{digest}\": the next pull goes on from there");
            findings.push(Finding::garbage(what));
        }
        drop(alone);
        if repair && findings.len() > before {
            self.gc(in_use)?;
            self.remove_partials()?;
            for finding in &mut findings[before..] {
                finding.repaired = Some("removed".to_owned());
            }
        }
        Ok(())
    }
}

fn pop<T>(jobs: &Mutex<Vec<T>>) -> Option<T> {
    jobs.lock().ok()?.pop()
}

fn in_parallel(work: &(dyn Fn() -> Result<()> + Sync)) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
            thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a thread ended early")))
        };
        threads.into_iter().map(ended).fold(Ok(()), Result::and)
    })
}

fn hash(path: &Path) -> Result<Digest> {
    let message = || format!("cannot read {path:?}");
    let mut file = File::open(path).context(message)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).context(message)?;
        if read == 0 {
            return Ok(hash.finish());
        }
        hash.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests;
