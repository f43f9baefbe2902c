//! Images as others can take them: the blobs of their layers, and the manifest that names them.
//!
//! Layers that were made here have no blob until somebody wants one. Packing happens once: the blob is kept and the
//! snapshot remembers it, so the same layer has the same digest wherever it is pushed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use layer::Compression;
use layer::diff::Options;
use oci::descriptor::media_type;
use oci::{BlobDigest, ChainId, Descriptor, Digest, Manifest, Reference};
use stdx::{Context, Error, Result};

use crate::content::{HashingWriter, Written};
use crate::image::CONFIG_MAX;
use crate::snapshot::Meta;
use crate::{Image, Store};

/// An image as a registry or a layout has it: every blob that the manifest names is there.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Of the manifest.
    pub descriptor: Descriptor,
    /// The manifest's bytes.
    pub bytes: Vec<u8>,
    pub manifest: Manifest,
    /// Whether it was made now: blobs that it stands in for are garbage from then on.
    pub is_new: bool,
}

impl Store {
    /// Packs an image: with the manifest it came with if that can still be true, else with one of its own, which it
    /// keeps. `on_layer` hears of each layer, counted from 0 at the bottom, before it is packed.
    pub fn pack(&self, image: &Image, on_layer: &mut dyn FnMut(usize)) -> Result<Packed> {
        let _hold = self.hold()?;
        if let Some(packed) = self.packed_before(image)? {
            return Ok(packed);
        }
        if image.artifact.is_some() {
            return Err(Error::corrupt(format!("artifact \"{}\" has lost a blob", image.id)));
        }
        let blobs = self.packed_layers(&ChainId::stack(image.diff_ids()), on_layer)?;
        let layer = |blob: Descriptor| Descriptor::new(oci_layer(&blob.media_type), blob.digest, blob.size);
        let layers = blobs.into_iter().map(layer).collect();
        let config_size = self.content().size(&image.id.blob())?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: Descriptor::new(media_type::OCI_CONFIG, image.id.blob(), config_size),
            layers,
            subject: None,
            annotations: Default::default(),
        };
        let bytes = serde_json::to_vec(&manifest).context(|| "cannot write manifest".to_owned())?;
        let digest = BlobDigest::new(Digest::of(&bytes));
        self.put_blob(&digest, bytes.len() as u64, &bytes[..])?;
        self.update_names(|names| {
            if let Some(record) = names.images.get_mut(&image.id) {
                record.manifest = Some(digest);
            }
            Ok(())
        })?;
        let descriptor = Descriptor::new(media_type::OCI_MANIFEST, digest, bytes.len() as u64);
        Ok(Packed { descriptor, bytes, manifest, is_new: true })
    }

    /// The manifest that the image came with or was pushed with, if all that it names is here.
    fn packed_before(&self, image: &Image) -> Result<Option<Packed>> {
        let names = self.names()?;
        let Some(digest) = names.images.get(&image.id).and_then(|record| record.manifest) else { return Ok(None) };
        let content = self.content();
        if !content.contains(&digest) {
            return Ok(None);
        }
        let bytes = content.read_small(&digest, CONFIG_MAX)?;
        let manifest = Manifest::parse(&bytes).map_err(|error| Error::corrupt(error.to_string()))?;
        let is_whole = manifest.layers.iter().all(|layer| content.contains(&layer.digest));
        let kind = manifest.media_type.clone().unwrap_or_else(|| media_type::OCI_MANIFEST.to_owned());
        let descriptor = Descriptor::new(&kind, digest, bytes.len() as u64);
        Ok(is_whole.then_some(Packed { descriptor, bytes, manifest, is_new: false }))
    }

    /// The compressed blobs of layers: those they came in, or ones that are made now. All that is made is flushed at once,
    /// which for a deep image is much less than one by one.
    fn packed_layers(&self, chains: &[ChainId], on_layer: &mut dyn FnMut(usize)) -> Result<Vec<Descriptor>> {
        let ingest = self.ingest()?;
        let mut blobs = Vec::new();
        let mut made = Vec::new();
        for (at, chain) in chains.iter().enumerate() {
            on_layer(at);
            let meta = self.meta_of(chain)?;
            let blob = meta.blob.clone().filter(|blob| self.content().contains(&blob.digest));
            blobs.push(match blob {
                Some(blob) if is_compressed(&blob.media_type) => blob,
                blob => {
                    let path = ingest.path().join(format!("layer-{at}"));
                    let packed = self.write_blob(chain, &meta, blob.as_ref(), &path)?;
                    made.push((chain, Meta { blob: Some(packed.clone()), ..meta }, path));
                    packed
                }
            });
        }
        if made.is_empty() {
            return Ok(blobs);
        }
        for (_, meta, path) in &made {
            let new = path.with_extension("json");
            fs::write(&new, meta.to_json()?).context(|| format!("cannot write {new:?}"))?;
        }
        ingest.sync()?;
        for (_, meta, path) in &made {
            meta.blob.as_ref().map_or(Ok(()), |blob| self.content().adopt(path, &blob.digest))?;
        }
        self.content().sync()?;
        // After a power loss a description is the old one or the new one; both are true.
        for (chain, _, path) in &made {
            let place = self.snapshot_dir(chain).join("meta.json");
            fs::rename(path.with_extension("json"), &place).context(|| format!("cannot write {place:?}"))?;
        }
        Ok(blobs)
    }

    /// Writes the compressed blob of a layer into scratch.
    fn write_blob(&self, chain: &ChainId, meta: &Meta, blob: Option<&Descriptor>, path: &Path) -> Result<Descriptor> {
        let message = || format!("cannot pack layer \"{}\"", meta.diff_id);
        let writer = HashingWriter::new(File::create(path).context(message)?);
        let mut packer = HashingWriter::new(layer::compress(writer, Compression::Gzip)?);
        self.write_tar(chain, blob, &mut packer)?;
        let (packer, tar) = packer.finish();
        if tar.digest != meta.diff_id.digest() {
            let message = format!("layer \"{}\" is \"{}\" now: it was changed on disk", meta.diff_id, tar.digest);
            return Err(Error::corrupt(message).hint("see \"tare system check\""));
        }
        let (_, Written { digest, size }) = packer.finish().context(message)?.finish();
        Ok(Descriptor::new(media_type::OCI_LAYER_GZIP, BlobDigest::new(digest), size))
    }

    /// Writes the uncompressed archive of a layer: what its blob holds, or the snapshot read again.
    pub(crate) fn write_tar(
        &self,
        chain: &ChainId,
        blob: Option<&Descriptor>,
        writer: &mut impl io::Write,
    ) -> Result<()> {
        let message = || format!("cannot read layer \"{chain}\"");
        match blob {
            Some(blob) => {
                let mut reader = layer::decompress(self.content().open(&blob.digest)?, &layer::Limits::default())?;
                io::copy(&mut reader, writer).context(message).map(|_| ())
            }
            None => {
                let root = File::open(self.snapshot_fs(chain)).context(message)?;
                layer::diff(&root, writer, &Options::default()).map(|_| ())
            }
        }
    }

    /// Adds `repository@digest` to what an image is known by: it was pushed there.
    pub fn add_digest(&self, image: &Image, digest: &Reference) -> Result<()> {
        self.update_names(|names| {
            if let Some(record) = names.images.get_mut(&image.id) {
                if !record.digests.contains(digest) {
                    record.digests.push(digest.clone());
                }
            }
            Ok(())
        })
    }

    /// For every blob that an image here is known to have in a repository of this registry: that repository.
    pub fn repositories_of_blobs(&self, registry: &str) -> Result<HashMap<BlobDigest, Reference>> {
        let mut found = HashMap::new();
        for record in self.names()?.images.values() {
            let Some(repository) = record.digests.iter().find(|digest| digest.registry() == registry) else { continue };
            let blobs = record.manifest.map(|manifest| self.manifest_blobs(&manifest)).unwrap_or_default();
            found.extend(blobs.into_iter().map(|blob| (blob, repository.repository())));
        }
        Ok(found)
    }
}

fn is_compressed(media_type: &str) -> bool {
    media_type.ends_with("gzip") || media_type.ends_with("zstd")
}

/// The name that a layer's media type has in manifests of ours.
fn oci_layer(kind: &str) -> &'static str {
    if kind.ends_with("gzip") {
        media_type::OCI_LAYER_GZIP
    } else if kind.ends_with("zstd") {
        media_type::OCI_LAYER_ZSTD
    } else {
        media_type::OCI_LAYER
    }
}

#[cfg(test)]
mod tests;
