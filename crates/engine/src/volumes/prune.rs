//! `volume prune`: volumes that no container uses go.

use stdx::{Kind, Result};

use super::{all, remove::remove_locked};
use crate::containers::names;
use crate::filter::Filter;
use crate::{Engine, events};

/// Removes the anonymous volumes that no container uses, or with `named` those with a name too. Gives their names.
pub fn prune(engine: &Engine, named: bool, filter: &Filter) -> Result<Vec<String>> {
    let _lock = names::lock(engine)?;
    let mut removed = Vec::new();
    for volume in all(engine)? {
        if !(named || volume.anonymous) || !filter.suits(Some(volume.created), &volume.labels) {
            continue;
        }
        match remove_locked(engine, &volume.name) {
            Ok(()) => removed.push(volume.name),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    // What each held is not counted.
    events::pruned(engine, events::Kind::Volume, 0);
    Ok(removed)
}
