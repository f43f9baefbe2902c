//! `volume rm`, and the anonymous volumes that go with their container.

use std::fs;

use monitor::events::Attributes;
use stdx::remove_tree::remove_tree;
use stdx::{Context, Error, Kind, Result, id};

use super::{dir, find, no_such, users};
use crate::containers::options::MountKind;
use crate::containers::{Record, names};
use crate::{Engine, events};

/// Removes a volume that no container uses.
pub fn remove(engine: &Engine, name: &str) -> Result<()> {
    let _lock = names::lock(engine)?;
    remove_locked(engine, name)
}

/// The same, for a caller that holds the lock of names.
pub(super) fn remove_locked(engine: &Engine, name: &str) -> Result<()> {
    find(engine, name)?;
    let users: Vec<String> = users(engine, name)?.into_iter().map(|container| container.record.id).collect();
    if !users.is_empty() {
        return Err(Error::conflict(format!("cannot remove volume {name}: it is in use by [{}]", users.join(", ")))
            .hint("remove these containers first"));
    }
    // Renamed first: from here on it does not exist, however far the removal gets.
    let gone = dir(engine).join(format!(".{}", id::random_hex(8)));
    fs::rename(dir(engine).join(name), &gone).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => no_such(name),
        _ => Err::<(), _>(error).context(|| format!("cannot remove volume {name}")).expect_err("built from an error"),
    })?;
    remove_tree(&gone)?;
    events::volume(engine, name, "destroy", Attributes::default());
    Ok(())
}

/// Removes the anonymous volumes of a container that is gone; those that another container has taken over stay.
pub(crate) fn remove_anonymous(engine: &Engine, record: &Record) -> Result<()> {
    let anonymous = record.options.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume { name: Some(name), anonymous: true, .. } => Some(name),
        _ => None,
    });
    for name in anonymous {
        match remove(engine, name) {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => {}
            removed => removed?,
        }
    }
    Ok(())
}
