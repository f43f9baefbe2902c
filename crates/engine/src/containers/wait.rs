//! `wait`: until a container has ended.

use std::time::{Duration, Instant};

use monitor::State;
use monitor::client::Connection;
use monitor::config::lock_path;
use monitor::protocol::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stdx::flock::Flock;
use stdx::{Kind, Result};

use crate::Engine;
use crate::containers::{Container, find};

/// Waits until the container has ended, at most for `limit`; gives its exit code, or `None` when the time is over.
/// A container that is not running gives its last exit code at once (0 if it was never started).
pub fn wait(engine: &Engine, container: &Container, limit: Option<Duration>) -> Result<Option<i32>> {
    if !container.is_alive() {
        return Ok(Some(last_exit_code(container)));
    }
    let code = match Connection::open(&engine.dirs().container_run(&container.record.id)) {
        Ok(mut connection) => exited(&mut connection, limit)?,
        // Between the state and the connection it ended: the state tells.
        Err(_) => Waited::Gone,
    };
    match code {
        Waited::Exited(code) => Ok(Some(code)),
        Waited::TimeOut => Ok(None),
        Waited::Gone => match after_monitor(engine, &container.record.id) {
            Ok(container) => Ok(Some(last_exit_code(&container))),
            // Removed at its end, and nobody has seen the code.
            Err(error) if error.kind() == Kind::NotFound => Ok(Some(0)),
            Err(error) => Err(error),
        },
    }
}

/// The container as it is now; if it does not run, when its monitor is gone too.
pub(crate) fn settled(engine: &Engine, container: &Container) -> Result<Container> {
    let now = find::find(engine, &container.record.id)?;
    if now.is_alive() { Ok(now) } else { after_monitor(engine, &container.record.id) }
}

/// A container whose monitor has hung up, as it is when the monitor has ended: its last moments may still be going on.
pub fn after_monitor(engine: &Engine, id: &str) -> Result<Container> {
    Flock::exclusive_existing(&lock_path(&engine.dirs().container_run(id)))?;
    find::find(engine, id)
}

/// The exit code of a container that is not running.
pub fn last_exit_code(container: &Container) -> i32 {
    match &container.state {
        Some(State::Exited(exit) | State::Restarting { exit, .. }) => exit.exit_code,
        Some(State::Failed { exit_code, .. }) => *exit_code,
        _ => 0,
    }
}

enum Waited {
    Exited(i32),
    TimeOut,
    Gone,
}

fn exited(connection: &mut Connection, limit: Option<Duration>) -> Result<Waited> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        while let Some(event) = connection.pending()? {
            if let Event::Exited(code) = event {
                return Ok(Waited::Exited(code));
            }
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        match poll(&mut [PollFd::new(&*connection, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return Ok(Waited::TimeOut),
            Err(sys::Errno::INTR) => {}
            _ if !connection.fill()? => return Ok(Waited::Gone),
            _ => {}
        }
    }
}
