//! What steps of builds came to, by the keys of what they were made from.
//!
//! A record is worth something while its snapshot is there; a snapshot that a record names is not garbage. The time of
//! a record's file is when it was used last.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use oci::{ChainId, DiffId, Digest};
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::flock::Flock;
use stdx::{Context, Result};

use crate::Store;
use crate::gc::entries;
use crate::ingest::private_dir;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedStep {
    /// The layers it stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ChainId>,
    /// Its layer; `None` if it changed no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<DiffId>,
    /// When it was made.
    pub created: Timestamp,
    /// The instruction, for lists.
    pub description: String,
}

/// A record of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    pub key: Digest,
    pub step: CachedStep,
    pub used: Timestamp,
    /// Bytes of the files in its layer.
    pub size: u64,
}

impl CachedStep {
    /// The stack of layers it ends with; `None` for nothing upon nothing.
    pub fn chain(&self) -> Option<ChainId> {
        self.diff_id.map_or(self.parent, |diff_id| Some(ChainId::extend(self.parent, diff_id)))
    }
}

impl Store {
    fn cache_dir(&self) -> PathBuf {
        self.root().join("cache")
    }

    fn cache_path(&self, key: &Digest) -> PathBuf {
        self.cache_dir().join("steps").join(key.hex())
    }

    /// Waits until nobody else, in this process or another, makes the step with this key.
    pub fn lock_step(&self, key: &Digest) -> Result<Flock> {
        private_dir(&self.cache_dir())?;
        private_dir(&self.cache_dir().join("locks"))?;
        Flock::exclusive(&self.cache_dir().join("locks").join(key.hex()))
    }

    /// What the step with this key came to, if that is still there; it counts as used.
    pub fn cached_step(&self, key: &Digest) -> Result<Option<CachedStep>> {
        let path = self.cache_path(key);
        let Some(step) = read(&path)? else { return Ok(None) };
        if let Some(chain) = step.chain() {
            if self.snapshot_meta(&chain)?.is_none() {
                return Ok(None);
            }
        }
        // Only a hint for whoever tidies up.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some(step))
    }

    /// Remembers what a step came to.
    pub fn remember_step(&self, key: &Digest, step: &CachedStep) -> Result<()> {
        private_dir(&self.cache_dir())?;
        private_dir(&self.cache_dir().join("steps"))?;
        let json = serde_json::to_vec(step).context(|| "cannot write a step's record".to_owned())?;
        atomic_write(&self.cache_path(key), &json, Durability::Scratch)
    }

    /// All records whose layers are there.
    pub fn cache_entries(&self) -> Result<Vec<CacheEntry>> {
        let mut found = Vec::new();
        for entry in entries(&self.cache_dir().join("steps"))? {
            let Some(key) = entry.file_name().to_str().and_then(Digest::from_hex) else { continue };
            let Ok(Some(step)) = read(&entry.path()) else { continue };
            let used = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let used = used.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_default();
            let size = match step.chain() {
                None => 0,
                Some(chain) => match self.snapshot_meta(&chain)? {
                    Some(meta) if step.diff_id.is_some() => meta.size,
                    Some(_) => 0,
                    None => continue,
                },
            };
            found.push(CacheEntry { key, step, used, size });
        }
        Ok(found)
    }

    /// Forgets a step. Its layer goes with the next collection, unless an image stands on it.
    pub fn forget_step(&self, key: &Digest) -> Result<()> {
        match fs::remove_file(self.cache_path(key)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot forget step \"{}\"", key.hex()))
            }
            _ => Ok(()),
        }
    }

    /// Removes records without layers, and locks that nobody holds. The caller keeps all others away.
    pub(crate) fn sweep_cache(&self) -> Result<()> {
        let alive: BTreeMap<Digest, ()> = self.cache_entries()?.into_iter().map(|entry| (entry.key, ())).collect();
        for entry in entries(&self.cache_dir().join("steps"))? {
            let key = entry.file_name().to_str().and_then(Digest::from_hex);
            if key.is_none_or(|key| !alive.contains_key(&key)) {
                fs::remove_file(entry.path()).context(|| format!("cannot remove {:?}", entry.path()))?;
            }
        }
        for entry in entries(&self.cache_dir().join("locks"))? {
            fs::remove_file(entry.path()).context(|| format!("cannot remove {:?}", entry.path()))?;
        }
        Ok(())
    }

    /// Where the snapshots are that the cache's records stand on.
    pub fn cached_paths(&self) -> Result<Vec<PathBuf>> {
        Ok(self.cached_chains()?.iter().map(|chain| self.snapshot_dir(chain)).collect())
    }

    /// The snapshots that the cache's records stand on.
    pub(crate) fn cached_chains(&self) -> Result<std::collections::BTreeSet<ChainId>> {
        let mut chains = std::collections::BTreeSet::new();
        for entry in self.cache_entries()? {
            let mut next = entry.step.chain();
            while let Some(chain) = next.filter(|chain| !chains.contains(chain)) {
                chains.insert(chain);
                next = self.snapshot_meta(&chain)?.and_then(|meta| meta.parent);
            }
        }
        Ok(chains)
    }
}

/// `None` if there is no record, or one that nobody can read.
fn read(path: &Path) -> Result<Option<CachedStep>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read {path:?}")),
    }
}
