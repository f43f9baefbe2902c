//! `pull`: from a reference to an image here. What is here already is not fetched again; see [`store::Store::receive`].

use std::io::Read;

use oci::descriptor::media_type;
use oci::{BlobDigest, Descriptor, ImageConfig, ImageId, Index, Manifest, Platform, Reference};
use registry::{Access, Fetched, Repository, Which};
use stdx::{Error, Kind, Result};
use store::{Incoming, Step, Watch};

use crate::{Engine, events};

/// The largest configuration that is fetched, in bytes: as large as a manifest may be.
const CONFIG_MAX: u64 = 4 << 20;
/// Indexes within indexes that are followed.
const INDEX_DEPTH: u32 = 4;

/// What is heard of a pull, from several threads.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The image has these layers, bottom first.
    Layers(&'a [Descriptor]),
    /// Something happens to one of them.
    Layer { at: usize, step: Step },
}

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What it was asked for by, with a tag or a digest.
    pub reference: Reference,
    pub id: ImageId,
    /// What the registry calls it by: an index's, if it has one.
    pub digest: BlobDigest,
    /// Whether anything was new.
    pub is_new: bool,
}

/// Pulls an image, for `platform` or for this machine.
pub fn pull(
    engine: &Engine,
    reference: &Reference,
    platform: Option<&Platform>,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Pulled> {
    let reference = reference.clone().or_latest();
    let repository = engine.registries()?.repository(&reference, Access::Pull);
    let fetched = repository.manifest(which(&reference))?;
    let digest = fetched.descriptor.digest;
    let (manifest, document) = manifest_for(&repository, fetched, platform, &reference)?;
    let config = repository.blob_bytes(&document.config, CONFIG_MAX)?;
    if let Some(wanted) = platform.filter(|_| document.artifact().is_none()) {
        check_platform(&config, wanted, &reference)?;
    }
    on_event(Event::Layers(&document.layers));
    let artifact = document.artifact();
    let incoming = Incoming {
        manifest: manifest.bytes,
        config,
        layers: document.layers,
        name: if reference.digest().is_some() { None } else { Some(reference.clone()) },
        digest: Some(reference.at(digest)),
        artifact,
    };
    let open = |blob: &Descriptor, offset: u64| -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(repository.blob(blob, offset)?))
    };
    let on_step = |at, step| on_event(Event::Layer { at, step });
    let received = engine.store()?.receive(&incoming, &open, &Watch::new(&on_step))?;
    events::remote_image(engine, &reference.familiar(), "pull");
    Ok(Pulled { reference, id: received.id, digest, is_new: received.is_new })
}

/// The tags of a repository, sorted as the registry has them.
pub fn tags(engine: &Engine, repository: &Reference) -> Result<Vec<String>> {
    engine.registries()?.repository(repository, Access::Pull).tags()
}

/// The manifest or the index that a registry has under a name.
pub fn manifest(engine: &Engine, reference: &Reference) -> Result<Fetched> {
    engine.registries()?.repository(reference, Access::Pull).manifest(which(reference))
}

/// The manifest of a registry that a reference means; a digest goes before a tag.
fn which(reference: &Reference) -> Which<'_> {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => Which::Digest(digest),
        (None, tag) => Which::Tag(tag.unwrap_or(oci::reference::DEFAULT_TAG)),
    }
}

/// Follows indexes to the manifest of an image.
fn manifest_for(
    repository: &Repository,
    mut fetched: Fetched,
    platform: Option<&Platform>,
    reference: &Reference,
) -> Result<(Fetched, Manifest)> {
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    for _ in 0..INDEX_DEPTH {
        if media_type::is_index(&fetched.descriptor.media_type) {
            let index = Index::parse(&fetched.bytes).map_err(|error| Error::corrupt(error.to_string()))?;
            let selected = select(&index, &wanted, reference)?;
            fetched = repository.manifest(Which::Digest(selected.digest))?;
            continue;
        }
        let manifest = Manifest::parse(&fetched.bytes).map_err(|error| Error::corrupt(error.to_string()))?;
        check_types(&manifest, reference)?;
        return Ok((fetched, manifest));
    }
    Err(Error::corrupt(format!("image \"{}\" has indexes within indexes too deep", reference.familiar())))
}

fn select<'a>(index: &'a Index, wanted: &Platform, reference: &Reference) -> Result<&'a Descriptor> {
    index.select(wanted).ok_or_else(|| {
        let platforms = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
        let known = platforms.filter(|platform| platform.os != "unknown").map(ToString::to_string);
        let known: Vec<_> = known.collect();
        let message = format!("no image \"{}\" for platform {wanted}", reference.familiar());
        Error::not_found(message).hint(format!("there is one for {}", known.join(", ")))
    })
}

/// An image with a layer that we cannot unpack is refused by name, before anything is fetched.
fn check_types(manifest: &Manifest, reference: &Reference) -> Result<()> {
    if manifest.artifact().is_some() {
        return Ok(());
    }
    let name = reference.familiar();
    let known = [".tar", ".tar+gzip", ".tar+zstd", ".tar.gzip", ".tar.zstd"];
    let is_known = |layer: &&Descriptor| {
        known.iter().any(|end| layer.media_type.ends_with(end)) && !layer.media_type.contains("foreign")
    };
    match manifest.layers.iter().find(|layer| !is_known(layer)) {
        None => Ok(()),
        Some(layer) => {
            let kind = &layer.media_type;
            Err(Error::unsupported(format!("image \"{name}\" has a layer of type {kind:?}, which is not supported")))
        }
    }
}

fn check_platform(config: &[u8], wanted: &Platform, reference: &Reference) -> Result<()> {
    let own = ImageConfig::parse(config).map_err(|error| Error::corrupt(error.to_string()))?.platform;
    if own.suits(wanted).is_some() {
        return Ok(());
    }
    let name = reference.familiar();
    Err(Error::new(Kind::NotFound, format!("image \"{name}\" is for platform {own}, and {wanted} was asked for")))
}
