//! Layers as directories, one for each ChainId: the same layer upon other layers is another snapshot.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use layer::Compression;
use oci::descriptor::media_type;
use oci::{ChainId, Descriptor, DiffId};
use serde::{Deserialize, Serialize};
use stdx::{Context, Error, Kind, Result};

use crate::Store;
use crate::step::boot;

/// `meta.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) diff_id: DiffId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<ChainId>,
    /// Bytes of all regular files.
    pub(crate) size: u64,
    /// Bytes of the uncompressed archive.
    pub(crate) tar_size: u64,
    /// The layer as it was transferred; one that was made here has not been yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<Descriptor>,
    /// The boot it was made in and not flushed; after another one it counts as absent. See [`step`](crate::step).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unflushed: Option<String>,
}

impl Meta {
    /// Writes it into the directory of a snapshot that nobody sees yet.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        fs::write(dir.join("meta.json"), self.to_json()?).context(|| format!("cannot write {dir:?}"))
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).context(|| "cannot write snapshot".to_owned())
    }
}

impl Store {
    pub(crate) fn snapshots_dir(&self) -> PathBuf {
        self.root().join("snapshots")
    }

    pub(crate) fn snapshot_dir(&self, chain: &ChainId) -> PathBuf {
        self.snapshots_dir().join(chain.hex())
    }

    pub(crate) fn snapshot_fs(&self, chain: &ChainId) -> PathBuf {
        self.snapshot_dir(chain).join("fs")
    }

    /// What is known of a snapshot that an image stands on.
    pub(crate) fn meta_of(&self, chain: &ChainId) -> Result<Meta> {
        self.snapshot_meta(chain)?.ok_or_else(|| Error::corrupt(format!("there is no snapshot \"{chain}\"")))
    }

    /// `None` if there is no such snapshot.
    pub(crate) fn snapshot_meta(&self, chain: &ChainId) -> Result<Option<Meta>> {
        let path = self.snapshot_dir(chain).join("meta.json");
        let message = || format!("cannot read snapshot {path:?}");
        match fs::read(&path) {
            Ok(bytes) => {
                let meta: Meta =
                    serde_json::from_slice(&bytes).context(message).map_err(|e| e.kinded(Kind::Corrupt))?;
                Ok(Some(meta).filter(|meta| meta.unflushed.as_deref().is_none_or(|made| made == boot())))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(message),
        }
    }
}

/// The media type of a layer packed like this.
pub(crate) fn layer_media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => media_type::OCI_LAYER_GZIP,
        Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        // The specification has no words for xz and bzip2; such a blob is packed again before anybody else sees it.
        Compression::None | Compression::Xz | Compression::Bzip2 => media_type::OCI_LAYER,
    }
}
