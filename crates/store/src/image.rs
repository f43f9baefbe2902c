//! An image as the engine sees it.

use std::path::PathBuf;

use jiff::Timestamp;
use oci::{ChainId, DiffId, ImageConfig, ImageId, Reference};
use stdx::{Error, Kind, Result};

use crate::Store;
use crate::names::Record;

/// The largest configuration that is read, in bytes: registries refuse manifests above this, and configurations are
/// of the same order.
pub(crate) const CONFIG_MAX: u64 = 4 << 20;

/// An image that is there.
#[derive(Debug, Clone)]
pub struct Image {
    pub id: ImageId,
    /// All its names, each with a tag.
    pub names: Vec<Reference>,
    /// `repository@digest` it was pulled or pushed by.
    pub digests: Vec<Reference>,
    /// Its configuration; the bytes themselves are the blob `id.blob()`.
    pub config: ImageConfig,
    /// Bytes of all regular files in all layers, as Docker counts.
    pub size: u64,
    /// When it was last given a name here.
    pub tagged: Option<Timestamp>,
    /// The type of an artifact: what a registry keeps that is no image. Its configuration is empty, its size that of its
    /// blobs, and nothing runs on it.
    pub artifact: Option<String>,
}

impl Image {
    /// Its layers, bottom first.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.config.rootfs.diff_ids
    }

    /// The whole stack of its layers; `None` for an image without any.
    pub fn chain(&self) -> Option<ChainId> {
        ChainId::stack(self.diff_ids()).pop()
    }

    /// When it was made, if it says so in a form that can be read.
    pub fn created(&self) -> Option<Timestamp> {
        self.config.created.as_deref()?.parse().ok()
    }
}

impl Store {
    /// All images the user sees, in the order of their ids.
    pub fn images(&self) -> Result<Vec<Image>> {
        let names = self.names()?;
        names.visible().map(|(id, record)| self.read_image(id, record, names.of(id))).collect()
    }

    /// The image with this id, also one that was removed while a container stands on it.
    pub fn image(&self, id: &ImageId) -> Result<Image> {
        let names = self.names()?;
        match names.images.get(id) {
            Some(record) => self.read_image(id, record, names.of(id)),
            None => Err(no_such_image(id)),
        }
    }

    /// The directories of an image's layers, bottom first. Nothing is read: they are there while the image is. To be
    /// mounted, they may be too many: see [`mounted_layers`](Self::mounted_layers).
    pub fn layers(&self, image: &Image) -> Vec<PathBuf> {
        ChainId::stack(image.diff_ids()).iter().map(|chain| self.snapshot_fs(chain)).collect()
    }

    /// Gives an image one more name, which another image may lose.
    pub fn tag(&self, id: &ImageId, name: &Reference) -> Result<()> {
        if name.digest().is_some() {
            let message = format!("cannot tag image as \"{}\": a digest is not a name", name.familiar());
            return Err(Error::invalid(message));
        }
        self.update_names(|names| {
            if !names.visible().any(|(known, _)| known == id) {
                return Err(no_such_image(id));
            }
            names.names.insert(name.clone().or_latest(), *id);
            if let Some(record) = names.images.get_mut(id) {
                record.tagged = Some(Timestamp::now());
            }
            Ok(())
        })
    }

    pub(crate) fn read_image(&self, id: &ImageId, record: &Record, names: Vec<Reference>) -> Result<Image> {
        let Record { digests, size, tagged, artifact, .. } = record.clone();
        let config = if artifact.is_none() { self.read_config(id)? } else { ImageConfig::default() };
        Ok(Image { id: *id, names, digests, config, size, tagged, artifact })
    }

    /// The layers of an image; an artifact has none.
    pub(crate) fn diff_ids_of(&self, id: &ImageId, record: &Record) -> Result<Vec<DiffId>> {
        Ok(if record.artifact.is_none() { self.read_config(id)?.rootfs.diff_ids } else { Vec::new() })
    }

    /// Bytes of all its blobs that are here.
    pub fn content_size(&self, image: &Image) -> Result<u64> {
        let names = self.names()?;
        let record = names.images.get(&image.id).ok_or_else(|| no_such_image(&image.id))?;
        let blobs = self.blobs_of(&image.id, record)?;
        Ok(blobs.iter().map(|blob| self.content().size(blob).unwrap_or(0)).sum())
    }

    pub(crate) fn read_config(&self, id: &ImageId) -> Result<ImageConfig> {
        let bytes = self.content().read_small(&id.blob(), CONFIG_MAX)?;
        ImageConfig::parse(&bytes).map_err(|e| Error::new(Kind::Corrupt, format!("cannot read image \"{id}\": {e}")))
    }
}

fn no_such_image(id: &ImageId) -> Error {
    Error::not_found(format!("no such image: \"{id}\""))
}
