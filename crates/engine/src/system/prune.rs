//! `system prune`, `image prune` and `container prune`: what is not in use goes.

use oci::ImageId;
use stdx::{Error, Kind, Result};
use store::{Image, Removed};

use crate::containers::{list, remove};
use crate::filter::Filter;
use crate::images;
use crate::networks;
use crate::volumes;
use crate::{Engine, events};

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub containers: Vec<String>,
    pub volumes: Vec<String>,
    pub networks: Vec<String>,
    pub images: Vec<Removed>,
    /// Of blocks below the data root.
    pub bytes: u64,
}

/// Removes containers that are not alive.
pub fn containers(engine: &Engine, filter: &Filter) -> Result<Pruned> {
    let pruned = freed(engine, |pruned| prune_containers(engine, filter, pruned))?;
    events::pruned(engine, events::Kind::Container, pruned.bytes);
    Ok(pruned)
}

/// Removes images that have no name, or with `all` those that no container stands on.
pub fn images(engine: &Engine, all: bool, filter: &Filter) -> Result<Pruned> {
    let pruned = freed(engine, |pruned| prune_images(engine, all, filter, pruned))?;
    events::pruned(engine, events::Kind::Image, pruned.bytes);
    Ok(pruned)
}

/// Removes all of that, networks, beginnings of blobs, with `volumes` anonymous volumes, and whatever belongs to nothing.
pub fn system(engine: &Engine, all: bool, volumes: bool, filter: &Filter) -> Result<Pruned> {
    let pruned = freed(engine, |pruned| {
        prune_containers(engine, filter, pruned)?;
        pruned.networks = networks::prune(engine, filter)?;
        if volumes {
            pruned.volumes = volumes::prune(engine, false, filter)?;
        }
        prune_images(engine, all, filter, pruned)?;
        engine.store()?.remove_partials()?;
        images::collect(engine)
    })?;
    for kind in [events::Kind::Container, events::Kind::Image] {
        events::pruned(engine, kind, pruned.bytes);
    }
    Ok(pruned)
}

/// What it frees is what the data root is smaller afterwards.
fn freed(engine: &Engine, prune: impl FnOnce(&mut Pruned) -> Result<()>) -> Result<Pruned> {
    let before = super::df::df(engine)?.size();
    let mut pruned = Pruned::default();
    prune(&mut pruned)?;
    pruned.bytes = before.saturating_sub(super::df::df(engine)?.size());
    Ok(pruned)
}

fn prune_containers(engine: &Engine, filter: &Filter, pruned: &mut Pruned) -> Result<()> {
    for container in list::list(engine, true)?.containers {
        let record = &container.record;
        if container.is_in_use() || !filter.suits(Some(record.created), &record.process.labels) {
            continue;
        }
        match remove::remove(engine, &record.id, false, false) {
            Ok(()) => pruned.containers.push(record.id.clone()),
            Err(error) if gone_or_busy(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn prune_images(engine: &Engine, all: bool, filter: &Filter, pruned: &mut Pruned) -> Result<()> {
    let containers = list::list(engine, true)?.containers;
    let is_used = |id: &ImageId| images::usage(&containers, id).is_some();
    let goes = |image: &Image| {
        let is_wanted = all || image.names.is_empty() && image.digests.is_empty();
        is_wanted && !is_used(&image.id) && filter.suits(image.created(), &image.config.config.labels)
    };
    for image in engine.store()?.images()?.into_iter().filter(goes) {
        match images::remove(engine, &image.id.to_string(), all) {
            Ok(removed) => pruned.images.extend(removed),
            Err(error) if gone_or_busy(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Somebody was faster, or began to use it.
fn gone_or_busy(error: &Error) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Conflict)
}
