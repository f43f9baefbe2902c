//! `rename`.

use stdx::{Error, Result};

use crate::Engine;
use crate::containers::record::Record;
use crate::containers::{Container, names};

/// Gives a container another name.
pub fn rename(engine: &Engine, container: &Container, name: &str) -> Result<()> {
    let id = &container.record.id;
    let name = name.strip_prefix('/').unwrap_or(name);
    let _names = names::lock(engine)?;
    let _lock = container.record.lock(engine)?;
    let gone = || Error::not_found(format!("no such container: {}", container.record.name));
    let record = Record::load(engine, id)?.ok_or_else(gone)?;
    if record.name == name {
        return Err(Error::invalid(format!("cannot rename container {name}: it has that name already")));
    }
    names::reserve(engine, Some(name), id)?;
    let old = record.name.clone();
    // Until the old name is given up both lead to it: a rename that is cut short loses nothing.
    Record { name: name.to_owned(), ..record }.save(&engine.dirs().container(id))?;
    names::release(engine, &old)
}
