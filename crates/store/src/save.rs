//! `save`: images as an archive that other engines load.
//!
//! Docker's form is an OCI layout too, as Docker writes it since version 25: uncompressed layers, so that their digests
//! are the DiffIds, and `manifest.json` beside `index.json`. The other form has the blobs that a registry would get.
//! The archive is streamed, and the same images are the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use oci::descriptor::{annotation, media_type};
use oci::{BlobDigest, ChainId, Descriptor, Digest, ImageId, Index, Manifest, Reference};
use serde_json::json;
use stdx::{Context, Error, Result};

use crate::content::HashingWriter;
use crate::{Image, Store};

/// Which archive is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArchiveFormat {
    #[default]
    Docker,
    Oci,
}

/// What a tar is made of, in bytes.
const BLOCK: u64 = 512;

struct Saver<'a, W> {
    store: &'a Store,
    writer: W,
    written: BTreeSet<BlobDigest>,
    /// Entries of `index.json`.
    index: Vec<Descriptor>,
    /// Entries of `manifest.json`.
    docker: Vec<serde_json::Value>,
    /// Repository, tag, topmost layer: what Docker before 1.10 read.
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl Store {
    /// Writes an archive of images, each with the names it shall have. `Corrupt` if a layer is not what it was: the
    /// archive is of no use then.
    pub fn save(&self, images: &[(Image, Vec<Reference>)], format: ArchiveFormat, writer: impl Write) -> Result<()> {
        let _hold = self.hold()?;
        let mut saver = Saver {
            store: self,
            writer,
            written: BTreeSet::new(),
            index: Vec::new(),
            docker: Vec::new(),
            repositories: BTreeMap::new(),
        };
        for dir in ["blobs/", "blobs/sha256/"] {
            saver.header(dir, 0, tar::EntryType::Directory)?;
        }
        for (image, names) in images {
            match format {
                ArchiveFormat::Docker => saver.docker_image(image, names)?,
                ArchiveFormat::Oci => saver.packed_image(image, names)?,
            }
        }
        saver.finish()
    }

    /// How many bytes the files of each layer have, bottom first.
    pub fn layer_sizes(&self, image: &Image) -> Result<Vec<u64>> {
        let size = |chain: &ChainId| Ok(self.meta_of(chain)?.size);
        ChainId::stack(image.diff_ids()).iter().map(size).collect()
    }
}

impl<W: Write> Saver<'_, W> {
    fn docker_image(&mut self, image: &Image, names: &[Reference]) -> Result<()> {
        if image.artifact.is_some() {
            let message = format!("\"{}\" is an artifact, which Docker's archives cannot hold", image.id.short());
            return Err(Error::unsupported(message).hint("use --format oci"));
        }
        let config = self.config(&image.id)?;
        let mut layers = Vec::new();
        for (chain, diff_id) in ChainId::stack(image.diff_ids()).iter().zip(image.diff_ids()) {
            let meta = self.store.meta_of(chain)?;
            let digest = BlobDigest::new(diff_id.digest());
            let blob = meta.blob.filter(|blob| self.store.content().contains(&blob.digest));
            self.blob(&digest, meta.tar_size, |store, writer| store.write_tar(chain, blob.as_ref(), writer))?;
            layers.push(Descriptor::new(media_type::OCI_LAYER, digest, meta.tar_size));
        }
        let path = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digest.hex());
        let tags: Vec<_> = names.iter().map(Reference::familiar).collect();
        let paths: Vec<_> = layers.iter().map(path).collect();
        self.docker.push(json!({ "Config": path(&config), "RepoTags": tags, "Layers": paths }));
        for name in names {
            let top = layers.last().map(|layer| layer.digest.hex()).unwrap_or_default();
            let tags = self.repositories.entry(name.familiar_name()).or_default();
            tags.insert(name.tag().unwrap_or_default().to_owned(), top);
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&manifest).context(|| "cannot write manifest".to_owned())?;
        self.manifest(media_type::OCI_MANIFEST, &bytes, names)
    }

    fn packed_image(&mut self, image: &Image, names: &[Reference]) -> Result<()> {
        let packed = self.store.pack(image, &mut |_| {})?;
        for layer in [&packed.manifest.config].into_iter().chain(&packed.manifest.layers) {
            self.blob(&layer.digest, layer.size, |store, writer| store.copy_blob(&layer.digest, writer))?;
        }
        self.manifest(&packed.descriptor.media_type, &packed.bytes, names)
    }

    fn config(&mut self, id: &ImageId) -> Result<Descriptor> {
        let size = self.store.content().size(&id.blob())?;
        self.blob(&id.blob(), size, |store, writer| store.copy_blob(&id.blob(), writer))?;
        Ok(Descriptor::new(media_type::OCI_CONFIG, id.blob(), size))
    }

    /// Writes a manifest, and one entry of the index for each name.
    fn manifest(&mut self, kind: &str, bytes: &[u8], names: &[Reference]) -> Result<()> {
        let digest = BlobDigest::new(Digest::of(bytes));
        let size = bytes.len() as u64;
        self.blob(&digest, size, |_, writer| writer.write_all(bytes).context(|| "cannot write archive".to_owned()))?;
        let descriptor = Descriptor::new(kind, digest, size);
        if names.is_empty() {
            self.index.push(descriptor.clone());
        }
        for name in names {
            let mut entry = descriptor.clone();
            entry.annotations.insert(annotation::IMAGE_NAME.to_owned(), name.to_string());
            entry.annotations.insert(annotation::REF_NAME.to_owned(), name.tag().unwrap_or_default().to_owned());
            self.index.push(entry);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            manifests: std::mem::take(&mut self.index),
            annotations: BTreeMap::new(),
        };
        let index = serde_json::to_vec(&index).context(|| "cannot write index".to_owned())?;
        self.file("index.json", &index)?;
        if !self.docker.is_empty() {
            let docker = serde_json::Value::Array(std::mem::take(&mut self.docker)).to_string();
            self.file("manifest.json", docker.as_bytes())?;
        }
        self.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        if !self.repositories.is_empty() {
            let repositories = json!(self.repositories).to_string();
            self.file("repositories", repositories.as_bytes())?;
        }
        self.write(&[0; 2 * BLOCK as usize])?;
        self.writer.flush().context(|| "cannot write archive".to_owned())
    }

    /// Writes a blob that is not in the archive yet, and makes sure that it is what it is called.
    fn blob(
        &mut self,
        digest: &BlobDigest,
        size: u64,
        write: impl FnOnce(&Store, &mut HashingWriter<&mut W>) -> Result<()>,
    ) -> Result<()> {
        if !self.written.insert(*digest) {
            return Ok(());
        }
        self.header(&format!("blobs/sha256/{}", digest.hex()), size, tar::EntryType::Regular)?;
        let mut writer = HashingWriter::new(&mut self.writer);
        write(self.store, &mut writer)?;
        let (_, written) = writer.finish();
        if written.size != size || written.digest != digest.digest() {
            let message = format!("\"{digest}\" is \"{}\" now: it was changed on disk", written.digest);
            return Err(Error::corrupt(message).hint("see \"tare system check\""));
        }
        self.pad(size)
    }

    fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.header(name, content.len() as u64, tar::EntryType::Regular)?;
        self.write(content)?;
        self.pad(content.len() as u64)
    }

    fn header(&mut self, name: &str, size: u64, kind: tar::EntryType) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header.set_path(name).context(|| format!("cannot write archive member {name:?}"))?;
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let missing = size.next_multiple_of(BLOCK) - size;
        self.write(&[0; BLOCK as usize][..usize::try_from(missing).unwrap_or_default()])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).context(|| "cannot write archive".to_owned())
    }
}

impl Store {
    fn copy_blob(&self, digest: &BlobDigest, writer: &mut impl Write) -> Result<()> {
        io::copy(&mut self.content().open(digest)?, writer)
            .context(|| format!("cannot copy blob \"{digest}\""))
            .map(drop)
    }
}

#[cfg(test)]
mod tests;
