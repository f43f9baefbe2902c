//! `pause` and `unpause`: every process of a container is stopped and continued by the freezer, without being asked.

use std::fs::File;
use std::io::ErrorKind;

use stdx::{Context, Error, Result};

use crate::containers::Container;
use crate::{Engine, events};

/// Beside the monitor's files while the container is paused, so that listing containers need not ask the kernel of each.
const MARK: &str = "paused";

/// Stops every process of a running container.
pub fn pause(engine: &Engine, container: &Container) -> Result<()> {
    set(engine, container, true)
}

/// Continues a paused container.
pub fn unpause(engine: &Engine, container: &Container) -> Result<()> {
    set(engine, container, false)
}

/// Whether container `id` is paused.
pub fn is_paused(engine: &Engine, id: &str) -> bool {
    engine.dirs().container_run(id).join(MARK).exists()
}

fn set(engine: &Engine, container: &Container, paused: bool) -> Result<()> {
    let record = &container.record;
    let (verb, is) = if paused { ("pause", "already paused") } else { ("unpause", "not paused") };
    let what = || format!("cannot {verb} container {}", record.name);
    let _lock = record.lock(engine)?;
    let running = Container::load_locked(engine, &record.id)?.is_some_and(|now| now.is_running());
    if !running {
        return Err(Error::conflict(format!("{}: it is not running", what())));
    }
    if is_paused(engine, &record.id) == paused {
        return Err(Error::conflict(format!("{}: it is {is}", what())));
    }
    let mark = engine.dirs().container_run(&record.id).join(MARK);
    let cgroup = runtime::cgroup::at(&record.cgroup())?;
    // The mark stands for longer than the pause: who looks in between is told to unpause, which works.
    if paused {
        File::create(&mark).context(what)?;
    }
    let changed = cgroup.freeze(paused);
    // One that could not be continued is paused still.
    if changed.is_ok() != paused {
        forget(engine, &record.id)?;
    }
    changed.context(what)?;
    events::of_container(engine, record, verb);
    Ok(())
}

/// A new run of container `id` is not paused, whatever the last one was; nor is one that has ended meanwhile.
pub(crate) fn forget(engine: &Engine, id: &str) -> Result<()> {
    let mark = engine.dirs().container_run(id).join(MARK);
    match std::fs::remove_file(&mark) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context(|| format!("cannot remove {mark:?}")),
        _ => Ok(()),
    }
}
