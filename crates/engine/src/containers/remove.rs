//! `rm`: a container goes with its layer, its log and its name.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use monitor::config::lock_path;
use stdx::flock::Flock;
use stdx::{Context, Error, Result};

use crate::Engine;
use crate::containers::record::Record;
use crate::containers::{Container, kill, names};

/// Removes a container. A running one only with `force`, which kills it first.
pub fn remove(engine: &Engine, container: &Container, force: bool) -> Result<()> {
    let record = &container.record;
    if container.is_alive() {
        if !force {
            return Err(Error::conflict(format!("cannot remove container {}: container is running", record.name))
                .hint("stop it first or use -f"));
        }
        kill::kill_and_wait(engine, container)?;
    }
    let _lock = record.lock(engine)?;
    if Container::load_locked(engine, &record.id)?.is_some_and(|now| now.is_alive()) {
        return Err(Error::conflict(format!("cannot remove container {}: it was started again", record.name)));
    }
    delete(engine, record)
}

/// What the end of a container with `--rm` calls, from its client or from its monitor: waits until the monitor is gone,
/// then removes. Already removed is fine.
pub fn clean_up(engine: &Engine, id: &str) -> Result<()> {
    let Some(record) = Record::load(engine, id)? else { return Ok(()) };
    let _lock = record.lock(engine)?;
    delete(engine, &record)
}

/// Removes everything of a container that has no process. The caller holds its lock.
pub(crate) fn delete(engine: &Engine, record: &Record) -> Result<()> {
    let dir = engine.dirs().container(&record.id);
    let run_dir = engine.dirs().container_run(&record.id);
    // The monitor may still be taking the filesystem down; it holds its lock until it is done.
    let monitor = if lock_path(&run_dir).exists() { Some(Flock::exclusive(&lock_path(&run_dir))?) } else { None };
    if let Ok(cgroup) = runtime::cgroup::at(&record.cgroup()) {
        // The monitor has removed it, or nobody has.
        let _ = cgroup.remove();
    }
    // Renamed first: from here on it does not exist, however far the removal gets.
    let gone = dir.with_file_name(format!(".{}", record.id));
    match fs::rename(&dir, &gone) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        renamed => renamed.context(|| format!("cannot remove container {}", record.name))?,
    }
    names::release(engine, &record.name)?;
    remove_tree(&gone).context(|| format!("cannot remove the files of container {}", record.name))?;
    remove_tree(&run_dir).context(|| format!("cannot remove {run_dir:?}"))?;
    drop(monitor);
    Ok(())
}

fn remove_tree(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
