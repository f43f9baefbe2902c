//! `rm`: a container goes with its layer, its log and its name.

use std::fs;
use std::io::ErrorKind;

use monitor::config::lock_path;
use runtime::cgroup::Cgroup;
use stdx::flock::Flock;
use stdx::remove_tree::remove_tree;
use stdx::{Context, Error, Kind, Result};

use crate::Engine;
use crate::config::make_dir;
use crate::containers::record::Record;
use crate::containers::{Container, find, names, stop};
use crate::{events, networks, volumes};

/// Removes the container that `text` names. A running one, or one whose record cannot be read, only with `force`; its anonymous
/// volumes with `volumes`.
pub fn remove(engine: &Engine, text: &str, force: bool, volumes: bool) -> Result<()> {
    let id = find::find_id(engine, text)?;
    match Container::load(engine, &id) {
        Ok(Some(container)) => {
            remove_container(engine, &container, force)?;
            if volumes { volumes::remove_anonymous(engine, &container.record) } else { Ok(()) }
        }
        Ok(None) => Err(find::no_such(text)),
        Err(error) if force && error.kind() != Kind::Denied => discard(engine, &id),
        Err(error) => Err(error),
    }
}

/// Removes a container that nobody can say anything about: what carries its id goes.
fn discard(engine: &Engine, id: &str) -> Result<()> {
    let cgroup = runtime::cgroup::at(&format!("tare/{id}"))?;
    // It may have none.
    let _ = cgroup.kill();
    // Or one of systemd's, which goes with its processes.
    let _ = runtime::cgroup::at(&format!("system.slice:tare:{id}")).and_then(|scope| scope.kill());
    let name = names::name_of(engine, id)?;
    delete_files(engine, id, cgroup.as_ref(), name.as_deref())
}

fn remove_container(engine: &Engine, container: &Container, force: bool) -> Result<()> {
    let record = &container.record;
    let mut found = container.clone();
    loop {
        if found.is_in_use() {
            if !force {
                let how = if found.is_restarting() { "restarting" } else { "running" };
                return Err(Error::conflict(format!("cannot remove container {}: container is {how}", record.name))
                    .hint("stop it first or use -f"));
            }
            stop::stop(engine, &found, Some(sys::signal::KILL), Some(-1))?;
        }
        let Some(_lock) = record.lock_existing(engine)? else { return Ok(()) };
        match Container::load_locked(engine, &record.id)? {
            // Its policy, or somebody else, has started it between the look and the lock.
            Some(now) if now.is_in_use() => found = now,
            _ => return delete(engine, record),
        }
    }
}

/// What the end of a container with `--rm` calls, from its client or from its monitor: waits until the monitor is gone,
/// then removes. Already removed is fine.
pub fn clean_up(engine: &Engine, id: &str) -> Result<()> {
    let Some(record) = Record::load(engine, id)? else { return Ok(()) };
    let Some(lock) = record.lock_existing(engine)? else { return Ok(()) };
    delete(engine, &record)?;
    drop(lock);
    volumes::remove_anonymous(engine, &record)
}

/// Removes everything of a container that has no process. The caller holds its lock.
pub(crate) fn delete(engine: &Engine, record: &Record) -> Result<()> {
    delete_files(engine, &record.id, runtime::cgroup::at(&record.cgroup())?.as_ref(), Some(&record.name))?;
    events::of_container(engine, record, "destroy");
    Ok(())
}

fn delete_files(engine: &Engine, id: &str, cgroup: &dyn Cgroup, name: Option<&str>) -> Result<()> {
    let dir = engine.dirs().container(id);
    let run_dir = engine.dirs().container_run(id);
    // The monitor may still be taking the filesystem down; it holds its lock until it is done.
    let monitor = Flock::exclusive_existing(&lock_path(&run_dir))?;
    // The monitor has removed it, or nobody has.
    let _ = cgroup.remove();
    // Before the container is gone: afterwards nobody would know of it.
    networks::leave::removed(engine, id)?;
    remove_tree(&run_dir)?;
    // Renamed first: from here on it does not exist, however far the removal gets.
    let gone = engine.dirs().unfinished().join(id);
    make_dir(&engine.dirs().unfinished(), 0o711)?;
    match fs::rename(&dir, &gone) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        renamed => renamed.context(|| format!("cannot remove container {id}"))?,
    }
    if let Some(name) = name {
        names::release(engine, name)?;
    }
    remove_tree(&gone)?;
    drop(monitor);
    Ok(())
}
