//! `rmi` with Docker's meaning: a name is untagged, and the image goes with its last name.

use oci::{ChainId, ImageId, Reference};
use stdx::{Error, Result};

use crate::Store;
use crate::names::Names;
use crate::resolve::find;

/// A container that stands on an image, by its id or name as messages shall show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usage {
    /// Its image cannot be deleted at all.
    Running(String),
    /// Its image can be deleted by force; the layers stay until the container goes.
    Stopped(String),
}

/// One thing that was removed, in the order Docker prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name or `repository@digest`.
    Untagged(Reference),
    /// An image.
    Deleted(ImageId),
    /// A layer nothing else stands on.
    DeletedLayer(ChainId),
}

impl Store {
    /// Removes the name `text`, and with its last name the image; or the image with the id `text`.
    ///
    /// `in_use` says which container stands on an image. Conflicts are Docker's: without `force`, an image that a
    /// container stands on or that has names in several repositories stays; with it, only a running container's.
    pub fn remove(&self, text: &str, force: bool, in_use: &dyn Fn(&ImageId) -> Option<Usage>) -> Result<Vec<Removed>> {
        let mut removed = self.update_names(|names| {
            let found = find(names, text)?;
            match found.by {
                Some(reference) => remove_name(names, text, &found.id, &reference, force, in_use),
                None => remove_id(names, &found.id, force, in_use),
            }
        })?;
        if removed.iter().any(|item| matches!(item, Removed::Deleted(_))) {
            let freed = self.gc(in_use)?;
            removed.extend(freed.layers.into_iter().map(Removed::DeletedLayer));
        }
        Ok(removed)
    }
}

type InUse<'a> = &'a dyn Fn(&ImageId) -> Option<Usage>;

fn remove_name(
    names: &mut Names,
    text: &str,
    id: &ImageId,
    reference: &Reference,
    force: bool,
    in_use: InUse<'_>,
) -> Result<Vec<Removed>> {
    if !force && is_single(&references(names, id)) {
        if let Some(Usage::Running(container) | Usage::Stopped(container)) = in_use(id) {
            let short = id.short();
            return Err(Error::conflict(format!(
                "conflict: unable to remove repository reference {text:?} (must force) - container {container} is using \
                 its referenced image {short}"
            )));
        }
    }
    let reference = reference.digest().map_or_else(|| reference.clone(), |digest| reference.at(digest));
    let mut removed = vec![untag(names, id, &reference)];
    let rest = references(names, id);
    // With the last tag of a repository go the digests it was pulled by there.
    let last_tag = reference.digest().is_none()
        && !rest.iter().any(|other| other.digest().is_none() && other.same_repository(&reference));
    if last_tag {
        for digest in rest.iter().filter(|other| other.same_repository(&reference)) {
            removed.push(untag(names, id, digest));
        }
    }
    // What else stands in the way is no error: the name that was asked for is gone.
    if references(names, id).is_empty() && conflict(names, id, force, in_use, true).is_none() {
        removed.extend(delete(names, id, in_use));
    }
    Ok(removed)
}

fn remove_id(names: &mut Names, id: &ImageId, force: bool, in_use: InUse<'_>) -> Result<Vec<Removed>> {
    let ignore_names = force || is_single(&references(names, id));
    if let Some(error) = conflict(names, id, force, in_use, ignore_names) {
        return Err(error);
    }
    let mut removed: Vec<_> = references(names, id).iter().map(|name| untag(names, id, name)).collect();
    removed.extend(delete(names, id, in_use));
    Ok(removed)
}

/// Names and digests of an image: both are references to Docker.
fn references(names: &Names, id: &ImageId) -> Vec<Reference> {
    let digests = names.images.get(id).map(|record| record.digests.clone()).unwrap_or_default();
    names.of(id).into_iter().chain(digests).collect()
}

/// All in one repository, and at most one of them a tag.
fn is_single(references: &[Reference]) -> bool {
    let tags = references.iter().filter(|reference| reference.digest().is_none()).count();
    match references {
        [] => false,
        [first, rest @ ..] => tags <= 1 && rest.iter().all(|other| other.same_repository(first)),
    }
}

fn conflict(names: &Names, id: &ImageId, force: bool, in_use: InUse<'_>, ignore_names: bool) -> Option<Error> {
    let user = in_use(id);
    let why = match &user {
        Some(Usage::Running(container)) => {
            format!("(cannot be forced) - image is being used by running container {container}")
        }
        _ if !ignore_names && !references(names, id).is_empty() => {
            "(must be forced) - image is referenced in multiple repositories".to_owned()
        }
        Some(Usage::Stopped(container)) if !force => {
            format!("(must be forced) - image is being used by stopped container {container}")
        }
        _ => return None,
    };
    Some(Error::conflict(format!("conflict: unable to delete {} {why}", id.short())))
}

fn untag(names: &mut Names, id: &ImageId, reference: &Reference) -> Removed {
    names.names.remove(reference);
    if let Some(record) = names.images.get_mut(id) {
        record.digests.retain(|digest| digest != reference);
    }
    Removed::Untagged(reference.clone())
}

fn delete(names: &mut Names, id: &ImageId, in_use: InUse<'_>) -> Option<Removed> {
    if in_use(id).is_some() {
        names.images.get_mut(id)?.removed = true;
    } else {
        names.images.remove(id)?;
    }
    Some(Removed::Deleted(*id))
}

#[cfg(test)]
mod tests;
