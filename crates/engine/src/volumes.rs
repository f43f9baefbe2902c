//! Volumes: data that outlives containers and is in no image.
//!
//! ```text
//! ROOT/volumes/NAME/
//!   volume.json    what was asked for, written once
//!   _data/         the data, mounted into containers
//!   filling/       a copy of the image's content in progress; then, complete,
//!   filled/        on its way into the data
//! ```
//!
//! A volume becomes visible by rename. It is in use while a container's record names it; whoever removes one, or makes a
//! container, holds the lock under which names are chosen, so no volume is removed under a container that is being made.

mod fill;
mod prune;
mod remove;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use jiff::Timestamp;
use monitor::events::Attributes;
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::remove_tree::remove_tree;
use stdx::{Context, Error, Result, id};

use crate::config::make_dir;
use crate::containers::options::{Mount, MountKind};
use crate::containers::{Container, Record, list, names};
use crate::{Engine, events};

pub(crate) use fill::fill;
pub use prune::prune;
pub use remove::remove;
pub(crate) use remove::remove_anonymous;

const FILE: &str = "volume.json";
const DATA: &str = "_data";

/// One volume on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    pub created: Timestamp,
    pub labels: BTreeMap<String, String>,
    /// Of the driver `local`: `type`, `device` and `o`, as mount(8) takes them.
    pub options: BTreeMap<String, String>,
    /// Nobody has named it.
    pub anonymous: bool,
}

/// What a volume is to be.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `None`: it is anonymous, and its name is drawn.
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
}

/// How a volume is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// This directory of the host is bound.
    Directory(PathBuf),
    /// A filesystem is mounted anew: type, device and options.
    Filesystem { kind: String, device: String, options: Vec<String> },
}

/// Makes a volume; one of that name that is there already is fine, if nothing else is asked of it.
pub fn create(engine: &Engine, wanted: &Wanted) -> Result<Volume> {
    let _lock = names::lock(engine)?;
    create_locked(engine, wanted)
}

/// The same, for a caller that holds the lock of names.
pub(crate) fn create_locked(engine: &Engine, wanted: &Wanted) -> Result<Volume> {
    let name = wanted.name.clone().unwrap_or_else(|| id::random_hex(32));
    check_name(&name)?;
    check_options(&wanted.options)?;
    if let Some(volume) = load(engine, &name)? {
        if !wanted.options.is_empty() && wanted.options != volume.options {
            return Err(Error::conflict(format!("volume {name} exists already, with other options"))
                .hint("remove it first, or choose another name"));
        }
        return Ok(volume);
    }
    let volume = Volume {
        created: Timestamp::now(),
        labels: wanted.labels.clone(),
        options: wanted.options.clone(),
        anonymous: wanted.name.is_none(),
        name,
    };
    let what = || format!("cannot make volume {}", volume.name);
    let scratch = dir(engine).join(format!(".{}", id::random_hex(8)));
    make_dir(&scratch.join(DATA), 0o755)?;
    let json = serde_json::to_vec(&volume).context(what)?;
    atomic_write(&scratch.join(FILE), &json, Durability::Synced)?;
    fs::rename(&scratch, dir(engine).join(&volume.name)).context(what)?;
    events::volume(engine, &volume.name, "create", Attributes::default());
    Ok(volume)
}

/// Removes what creations and removals that were killed have left. The caller holds the lock of names, as all of those do.
pub(crate) fn sweep(engine: &Engine) {
    let Ok(entries) = fs::read_dir(dir(engine)) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".")) {
        // What cannot be removed now is tried again the next time.
        let _ = remove_tree(&entry.path());
    }
}

/// The volume of this name.
pub fn find(engine: &Engine, name: &str) -> Result<Volume> {
    check_name(name).and_then(|()| load(engine, name))?.ok_or_else(|| no_such(name))
}

/// All volumes, by name.
pub fn all(engine: &Engine) -> Result<Vec<Volume>> {
    let entries = match fs::read_dir(dir(engine)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(|| "cannot list the volumes".into())?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| check_name(name).is_ok()).collect();
    names.sort();
    // None: removed since it was listed.
    names.iter().filter_map(|name| load(engine, name).transpose()).collect()
}

/// Where a volume's data is on the host.
pub fn data_path(engine: &Engine, name: &str) -> PathBuf {
    dir(engine).join(name).join(DATA)
}

/// The containers, running or not, that use a volume. Not to be told while there is one that cannot be read.
pub fn users(engine: &Engine, name: &str) -> Result<Vec<Container>> {
    let list = list::list(engine, true)?;
    if let Some(error) = list.broken.into_iter().next() {
        return Err(error).context(|| format!("cannot tell who uses volume {name}"));
    }
    Ok(list.containers.into_iter().filter(|container| uses(&container.record, name)).collect())
}

pub(crate) fn uses(record: &Record, volume: &str) -> bool {
    named_in(&record.options.mounts).any(|name| name == volume)
}

/// The volumes among these mounts.
pub(crate) fn named_in(mounts: &[Mount]) -> impl Iterator<Item = &str> {
    mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume { name, .. } => name.as_deref(),
        _ => None,
    })
}

/// How the volume of this name is mounted.
pub(crate) fn source(engine: &Engine, name: &str) -> Result<Source> {
    let volume = find(engine, name)?;
    let option = |key: &str| volume.options.get(key).cloned();
    let options: Vec<String> = option("o").iter().flat_map(|o| o.split(',')).map(str::to_owned).collect();
    Ok(match (option("type"), option("device")) {
        (None, None) => Source::Directory(data_path(engine, name)),
        (kind, Some(device))
            if options.iter().any(|o| o == "bind" || o == "rbind") || kind.as_deref() == Some("none") =>
        {
            Source::Directory(device.into())
        }
        (kind, device) => Source::Filesystem {
            kind: kind.unwrap_or_else(|| "none".into()),
            device: device.unwrap_or_else(|| "none".into()),
            options,
        },
    })
}

/// Reads the volume of this name; `None` if there is none.
fn load(engine: &Engine, name: &str) -> Result<Option<Volume>> {
    let path = dir(engine).join(name).join(FILE);
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => {
            let bytes = bytes.context(|| format!("cannot read {path:?}"))?;
            serde_json::from_slice(&bytes).map(Some).context(|| format!("cannot parse {path:?}"))
        }
    }
}

fn dir(engine: &Engine) -> PathBuf {
    engine.dirs().volumes()
}

fn no_such(name: &str) -> Error {
    Error::not_found(format!("no such volume: {name}"))
}

/// Whether `name` may be a volume's: Docker's rule.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if first && rest && name.len() >= 2 && name.len() <= 255 {
        return Ok(());
    }
    Err(Error::invalid(format!("invalid volume name \"{name}\": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"))
        .hint("to use a directory of the host, give its path from / or ./ on"))
}

fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    for key in options.keys() {
        match key.as_str() {
            "type" | "device" | "o" => {}
            "size" => {
                return Err(Error::unsupported("volume option \"size\": this file system has no project quotas")
                    .hint("a tmpfs has one: -o type=tmpfs -o o=size=100m"));
            }
            other => return Err(Error::invalid(format!("invalid volume option \"{other}\": type, device or o"))),
        }
    }
    if options.contains_key("device") != options.contains_key("type") && !options.contains_key("o") {
        return Err(Error::invalid("a volume with a device needs a type, and one with a type a device"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_follow_dockers_rule() {
        for good in ["ab", "my.data_1-x", "0a"] {
            assert!(super::check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a", ".hidden", "../x", "a/b", "a b", "ü1"] {
            assert!(super::check_name(bad).is_err(), "{bad}");
        }
    }
}
