//! `images/NAMES.json`: which names there are, and what is known of each image.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;
use oci::{BlobDigest, ChainId, ImageId, Reference};
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::flock::Flock;
use stdx::{Context, Kind, Result};

use crate::ingest::private_dir;
use crate::{Loaded, Store};

/// Every name has a tag and no digest; every name's image is in `images`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) names: BTreeMap<Reference, ImageId>,
    pub(crate) images: BTreeMap<ImageId, Record>,
}

/// An image that is there, named or not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Bytes of all regular files in all layers.
    pub(crate) size: u64,
    /// `repository@digest` it was pulled or pushed by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) digests: Vec<Reference>,
    /// The manifest it came with, if it came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<BlobDigest>,
    /// Deleted by the user while a container still stands on it: gone from sight, kept until the container is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removed: bool,
    /// When it was last given a name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tagged: Option<Timestamp>,
    /// The type of an artifact: a manifest, by whose digest it goes, and blobs that are no layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact: Option<String>,
}

/// An image that is about to be recorded.
pub(crate) struct Unnamed {
    pub(crate) id: ImageId,
    pub(crate) record: Record,
    pub(crate) names: Vec<Reference>,
}

impl Names {
    /// The names of one image, sorted.
    pub(crate) fn of(&self, id: &ImageId) -> Vec<Reference> {
        self.names.iter().filter(|(_, named)| *named == id).map(|(name, _)| name.clone()).collect()
    }

    /// Images the user sees.
    pub(crate) fn visible(&self) -> impl Iterator<Item = (&ImageId, &Record)> {
        self.images.iter().filter(|(_, record)| !record.removed)
    }
}

impl Store {
    fn names_path(&self) -> std::path::PathBuf {
        self.root().join("images/NAMES.json")
    }

    /// The names as they are now.
    pub(crate) fn names(&self) -> Result<Names> {
        read(&self.names_path())
    }

    /// Changes the names under their lock; nothing is written if `change` fails or changes nothing.
    pub(crate) fn update_names<T>(&self, change: impl FnOnce(&mut Names) -> Result<T>) -> Result<T> {
        private_dir(&self.root().join("images"))?;
        let _lock = Flock::exclusive(&self.root().join("images/lock"))?;
        let before = self.names()?;
        let mut after = before.clone();
        let result = change(&mut after)?;
        if after != before {
            let json = serde_json::to_vec(&after).context(|| "cannot write image names".to_owned())?;
            atomic_write(&self.names_path(), &json, Durability::Synced)?;
        }
        Ok(result)
    }

    /// Records images that are there, with their names. The last image of a name gets it.
    pub(crate) fn name(&self, images: Vec<Unnamed>) -> Result<Vec<Loaded>> {
        for image in &images {
            self.flush_snapshots(&ChainId::stack(&self.diff_ids_of(&image.id, &image.record)?))?;
        }
        self.update_names(|known| {
            let mut loaded = Vec::new();
            for Unnamed { id, mut record, names } in images {
                if let Some(old) = known.images.remove(&id) {
                    let known = old.digests.into_iter().filter(|digest| !record.digests.contains(digest));
                    record.digests = known.chain(record.digests.clone()).collect();
                    record.manifest = record.manifest.or(old.manifest);
                    record.tagged = old.tagged;
                }
                if names.iter().any(|name| known.names.get(name) != Some(&id)) {
                    record.tagged = Some(Timestamp::now());
                }
                known.images.insert(id, record);
                let mut replaced = Vec::new();
                for name in &names {
                    let old = known.names.insert(name.clone(), id).filter(|old| *old != id);
                    replaced.extend(old.map(|old| (name.clone(), old)));
                }
                loaded.push(Loaded { id, names, replaced });
            }
            Ok(loaded)
        })
    }
}

fn read(path: &Path) -> Result<Names> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .context(|| format!("cannot read image names {path:?}"))
            .map_err(|error| error.kinded(Kind::Corrupt)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Names::default()),
        Err(error) => Err(error).context(|| format!("cannot read image names {path:?}")),
    }
}
