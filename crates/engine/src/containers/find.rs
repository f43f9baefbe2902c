//! From what a user types to a container.

use std::fs;
use std::io::ErrorKind;

use stdx::{Context, Error, Result};

use crate::Engine;
use crate::containers::{Container, names};

/// The container that `text` names: a whole id, a name, or the beginning of one id only.
pub fn find(engine: &Engine, text: &str) -> Result<Container> {
    let id = find_id(engine, text)?;
    Container::load(engine, &id)?.ok_or_else(|| no_such(text))
}

pub(crate) fn no_such(text: &str) -> Error {
    Error::not_found(format!("no such container: {text}"))
}

pub(crate) fn find_id(engine: &Engine, text: &str) -> Result<String> {
    let is_hex =
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_hex && text.len() == 64 {
        return Ok(text.to_owned());
    }
    if names::check(text).is_ok() {
        if let Some(id) = names::holder(engine, text)? {
            return Ok(id);
        }
    }
    if !is_hex {
        return Err(no_such(text));
    }
    let mut matching = ids(engine)?.into_iter().filter(|id| id.starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(no_such(text)),
        (Some(_), Some(_)) => Err(Error::invalid(format!("several containers have an id that begins with \"{text}\""))),
    }
}

/// The ids of all containers.
pub(crate) fn ids(engine: &Engine) -> Result<Vec<String>> {
    let path = engine.dirs().containers();
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(|| format!("cannot list {path:?}"))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.len() == 64 && !name.starts_with('.')).collect())
}
