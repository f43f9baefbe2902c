//! `load`: images from the archives that `docker save`, `podman save` and `skopeo` write, and from OCI layouts.
//!
//! All images of an archive are loaded or none: they are prepared in one ingest directory, then flushed, moved into
//! place and named.

use std::collections::BTreeMap;
use std::io::Read;

use layer::Limits;
use oci::descriptor::{annotation, media_type};
use oci::docker_archive::{self, ArchiveImage};
use oci::{BlobDigest, Descriptor, DiffId, ImageConfig, ImageId, Index, Manifest, ParseError, Platform, Reference};
use stdx::{Error, Result};

use crate::names::{Record, Unnamed};
use crate::preparation::{Arrived, Preparation};
use crate::spool::{Spool, Spooled};
use crate::{Step, Store, Watch};

/// Indexes within indexes that are followed.
const INDEX_DEPTH: u32 = 4;

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The archive is being read: bytes so far, uncompressed.
    Reading { bytes: u64 },
    /// Something happens to a layer.
    Layer { diff_id: DiffId, step: Step },
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub id: ImageId,
    /// The names the archive gave it; none is common.
    pub names: Vec<Reference>,
    /// Images that lost one of these names.
    pub replaced: Vec<(Reference, ImageId)>,
}

/// An image as the archive describes it.
struct Candidate<'a> {
    config: &'a Spooled,
    /// Bottom first.
    layers: Vec<&'a Spooled>,
    names: Vec<Reference>,
    manifest: Option<&'a Spooled>,
    /// The type of an artifact, which always has a manifest.
    artifact: Option<String>,
}

impl Store {
    /// Loads every image of an archive, compressed as a whole or not; of those that are there for several platforms, the
    /// one for `platform`, or for this machine. Reads to the end of the archive.
    ///
    /// `Corrupt` if anything in it is not what its digest says, `Invalid` if it is no image archive, `NotFound` if an
    /// image is not there for `platform`.
    pub fn load(
        &self,
        reader: impl Read + Send,
        platform: Option<&Platform>,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<Loaded>> {
        let limits = Limits::default();
        let ingest = self.ingest()?;
        let spool = Spool::read(reader, &ingest, &limits, |bytes| progress(Progress::Reading { bytes }))?;
        let candidates = if spool.has("manifest.json") {
            docker_images(&spool)?
        } else if spool.has("index.json") {
            layout_images(&spool, platform)?
        } else if spool.has("repositories") {
            let message = "image archive has the format of Docker before 1.10, which is not supported";
            return Err(Error::unsupported(message).hint("load and save it with a newer Docker"));
        } else {
            let message = "not an image archive: it has neither manifest.json nor index.json";
            return Err(Error::invalid(message).hint("a root file system is imported, not loaded"));
        };
        let mut snapshots = Preparation::new(self, ingest);
        let mut images = Vec::new();
        for candidate in &candidates {
            images.push(prepare(candidate, &mut snapshots, platform, progress)?);
        }
        let blobs = candidates.iter().flat_map(|c| c.layers.iter().copied().chain([c.config]).chain(c.manifest));
        let blobs: BTreeMap<_, _> = blobs.map(|file| (BlobDigest::new(file.digest), file.path.clone())).collect();
        snapshots.publish(&blobs, images)
    }
}

fn prepare(
    candidate: &Candidate<'_>,
    snapshots: &mut Preparation<'_>,
    platform: Option<&Platform>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Unnamed> {
    let manifest = candidate.manifest.map(|manifest| BlobDigest::new(manifest.digest));
    if let (Some(_), Some(manifest)) = (&candidate.artifact, manifest) {
        let size = candidate.layers.iter().map(|layer| layer.size).sum();
        let artifact = candidate.artifact.clone();
        let record = Record { size, manifest: Some(manifest), artifact, ..Record::default() };
        return Ok(Unnamed { id: ImageId::new(manifest.digest()), record, names: candidate.names.clone() });
    }
    let id = ImageId::new(candidate.config.digest);
    let config = ImageConfig::parse(&candidate.config.read_small()?).map_err(corrupt)?;
    if let Some(wanted) = platform.filter(|wanted| config.platform.suits(wanted).is_none()) {
        let own = &config.platform;
        let message = format!("image \"{}\" in the archive is for platform {own}, not for {wanted}", id.short());
        return Err(Error::not_found(message));
    }
    let diff_ids = &config.rootfs.diff_ids;
    let layers = candidate.layers.len();
    if diff_ids.len() != layers {
        let announced = diff_ids.len();
        return Err(Error::corrupt(format!("image \"{id}\" has {announced} layers, the archive has {layers} for it")));
    }
    let missing = snapshots.missing(diff_ids)?;
    let arriving = missing.iter().map(|&at| {
        let blob = candidate.layers[at];
        Ok(Arrived { at, blob: blob.open()?, descriptor: blob.describe()? })
    });
    let on_step = |at: usize, step| progress(Progress::Layer { diff_id: diff_ids[at], step });
    let stack = snapshots.stack(diff_ids, arriving, &Limits::default(), &Watch::new(&on_step))?;
    let record = Record { size: stack.size, manifest, ..Record::default() };
    Ok(Unnamed { id, record, names: candidate.names.clone() })
}

fn corrupt(error: ParseError) -> Error {
    Error::corrupt(error.to_string())
}

fn docker_images(spool: &Spool) -> Result<Vec<Candidate<'_>>> {
    let images = docker_archive::parse(&spool.read_small("manifest.json")?).map_err(corrupt)?;
    let candidate = |image: &ArchiveImage| {
        Ok(Candidate {
            config: spool.file(&image.config)?,
            layers: image.layers.iter().map(|layer| spool.file(layer)).collect::<Result<_>>()?,
            names: image.repo_tags.iter().map(|name| parse_name(name)).collect::<Result<_>>()?,
            manifest: None,
            artifact: None,
        })
    };
    images.iter().map(candidate).collect()
}

fn parse_name(text: &str) -> Result<Reference> {
    let name = Reference::parse_tagged(text).map_err(corrupt)?;
    match name.digest() {
        None => Ok(name),
        Some(_) => Err(Error::corrupt(format!("archive names an image {text:?}, which has a digest"))),
    }
}

fn layout_images<'a>(spool: &'a Spool, platform: Option<&Platform>) -> Result<Vec<Candidate<'a>>> {
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    let index = Index::parse(&spool.read_small("index.json")?).map_err(corrupt)?;
    // Entries of one name are one image for several platforms.
    let mut groups: Vec<(Option<Reference>, Vec<Descriptor>)> = Vec::new();
    for descriptor in index.manifests.iter().filter(|descriptor| !is_attestation(descriptor)) {
        let name = layout_name(descriptor)?;
        match groups.iter_mut().find(|(other, _)| name.is_some() && *other == name) {
            Some((_, group)) => group.push(descriptor.clone()),
            None => groups.push((name, vec![descriptor.clone()])),
        }
    }
    let image = |(name, group): (Option<Reference>, Vec<Descriptor>)| {
        let descriptor = match &group[..] {
            [only] => only.clone(),
            _ => select(&Index { manifests: group, ..index.clone() }, &wanted)?,
        };
        layout_image(spool, descriptor, name.into_iter().collect(), &wanted)
    };
    groups.into_iter().map(image).collect()
}

/// Follows an entry to the manifest for a platform.
fn layout_image<'a>(
    spool: &'a Spool,
    mut descriptor: Descriptor,
    names: Vec<Reference>,
    wanted: &Platform,
) -> Result<Candidate<'a>> {
    for _ in 0..INDEX_DEPTH {
        let file = verified(spool, &descriptor)?;
        if media_type::is_index(&descriptor.media_type) {
            descriptor = select(&Index::parse(&file.read_small()?).map_err(corrupt)?, wanted)?;
            continue;
        }
        let manifest = Manifest::parse(&file.read_small()?).map_err(corrupt)?;
        let kind = &manifest.config.media_type;
        if !media_type::is_manifest(&descriptor.media_type) {
            return Err(Error::unsupported(format!("archive holds something of type {kind:?}, which is no image")));
        }
        let artifact = manifest.artifact();
        let layer = |layer| if artifact.is_some() { verified(spool, layer) } else { verified_layer(spool, layer) };
        let layers = manifest.layers.iter().map(layer).collect::<Result<_>>()?;
        let config = verified(spool, &manifest.config)?;
        return Ok(Candidate { config, layers, names, manifest: Some(file), artifact });
    }
    Err(Error::corrupt("archive has indexes within indexes too deep"))
}

fn select(index: &Index, wanted: &Platform) -> Result<Descriptor> {
    index.select(wanted).cloned().ok_or_else(|| {
        let platforms = index.manifests.iter().filter_map(|d| d.platform.as_ref());
        let platforms: Vec<_> = platforms.map(ToString::to_string).collect();
        Error::unsupported(format!("archive has no image for {wanted}, only for {}", platforms.join(", ")))
    })
}

fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
}

/// A bare tag names no repository, so it is no name; whoever wants one gives it with `tag`.
fn layout_name(descriptor: &Descriptor) -> Result<Option<Reference>> {
    let annotations = &descriptor.annotations;
    let whole = annotations.get(annotation::IMAGE_NAME);
    let name = whole.or_else(|| annotations.get(annotation::REF_NAME).filter(|name| name.contains([':', '/'])));
    name.map(|name| parse_name(name)).transpose()
}

fn verified<'a>(spool: &'a Spool, descriptor: &Descriptor) -> Result<&'a Spooled> {
    let file = spool.blob(&descriptor.digest)?;
    if file.size == descriptor.size {
        return Ok(file);
    }
    let Descriptor { digest, size, .. } = descriptor;
    Err(Error::corrupt(format!("blob \"{digest}\" has {} bytes, {size} were announced", file.size)))
}

fn verified_layer<'a>(spool: &'a Spool, layer: &Descriptor) -> Result<&'a Spooled> {
    let kind = &layer.media_type;
    let known = [".tar", ".tar+gzip", ".tar+zstd", ".tar.gzip", ".tar.zstd"];
    if !known.iter().any(|end| kind.ends_with(end)) {
        return Err(Error::unsupported(format!("image has a layer of type {kind:?}, which is not supported")));
    }
    verified(spool, layer)
}

#[cfg(test)]
mod tests;
