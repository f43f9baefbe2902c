//! What a monitor that died has left is put right by the next verb that looks.
//!
//! A state that says *running* beside a free `monitor.lock` means: the monitor is gone, its init was killed with it, and
//! nobody has written down the end or removed the control groups. Whoever sees that does it, under the container's lock.

use jiff::Timestamp;
use monitor::State;
use monitor::config::lock_path;
use monitor::events::Attributes;
use monitor::state::Exit;
use stdx::Result;
use stdx::flock::Flock;

use crate::containers::{Container, remove};
use crate::{Engine, events, networks};

/// The exit code of a container that was killed with its monitor.
const KILLED: i32 = 137;

/// Gives the container as it really is; `None` if it was to be removed at its end and has been.
pub(crate) fn repair(engine: &Engine, container: Container) -> Result<Option<Container>> {
    if !container.is_in_use() || monitor_lives(engine, &container)? {
        return Ok(Some(container));
    }
    // Somebody may be starting or repairing it at this moment: they hold the lock, and it is read again behind them.
    let Some(_lock) = Flock::try_exclusive(&container.record.lock_path(engine))? else { return Ok(Some(container)) };
    let state = State::load(&container.record.state_path(engine))?;
    repair_locked(engine, Container { state, ..container })
}

/// The same, for a caller that holds the container's lock.
pub(crate) fn repair_locked(engine: &Engine, container: Container) -> Result<Option<Container>> {
    if !container.is_in_use() || monitor_lives(engine, &container)? {
        return Ok(Some(container));
    }
    bury(engine, container)
}

fn monitor_lives(engine: &Engine, container: &Container) -> Result<bool> {
    Flock::is_held(&lock_path(&engine.dirs().container_run(&container.record.id)))
}

fn bury(engine: &Engine, container: Container) -> Result<Option<Container>> {
    let cgroup = runtime::cgroup::at(&container.record.cgroup())?;
    // Init normally died with the monitor; a set-id program may have outlived it.
    let _ = cgroup.kill();
    let _ = cgroup.remove();
    let killed = |started_at, restarts| Exit {
        exit_code: KILLED,
        oom_killed: false,
        started_at,
        finished_at: Timestamp::now(),
        error: Some("the container's monitor died, and the container with it".into()),
        wanted: false,
        restarts,
    };
    let exit = match &container.state {
        Some(State::Running { started_at, restarts, .. }) => killed(*started_at, *restarts),
        Some(State::Restarting { exit, .. }) => {
            Exit { error: Some("the container's monitor died before it was started again".into()), ..exit.clone() }
        }
        _ => killed(container.record.created, 0),
    };
    // What cannot be taken back now is taken back with the container.
    let _ = networks::leave::ended(engine, &container.record.id);
    let _ = std::fs::remove_dir_all(engine.dirs().container_run(&container.record.id));
    let state = State::Exited(exit);
    state.save(&container.record.state_path(engine))?;
    let container = Container { state: Some(state), ..container };
    events::container(engine, &container.record, "die", Attributes::default().with("exitCode", KILLED));
    if container.record.options.auto_remove {
        remove::delete(engine, &container.record)?;
        crate::volumes::remove_anonymous(engine, &container.record)?;
        return Ok(None);
    }
    Ok(Some(container))
}
