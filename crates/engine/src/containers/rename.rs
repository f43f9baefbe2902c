//! `rename`.

use monitor::events::Attributes;
use stdx::{Error, Result};

use crate::containers::record::Record;
use crate::containers::{Container, names};
use crate::{Engine, events, networks};

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
    let record = Record { name: name.to_owned(), ..record };
    record.save(&engine.dirs().container(id))?;
    networks::join::renamed(engine, id, &old, name)?;
    names::release(engine, &old)?;
    let run_dir = engine.dirs().container_run(id);
    if run_dir.exists() {
        // Its monitor tells by the new name from here on; one that has ended meanwhile tells no more.
        let _ = events::actor(engine, &record).save(&run_dir);
    }
    events::container(engine, &record, "rename", Attributes::default().with("oldName", format!("/{old}")));
    Ok(())
}
