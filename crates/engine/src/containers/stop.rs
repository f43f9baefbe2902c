//! `stop`: ask the program to end, and kill it if it does not.

use std::time::Duration;

use stdx::{Kind, Result};

use crate::containers::{Container, Record, find, kill, pause, restart, wait};
use crate::{Engine, events};

/// Seconds a program has to end by itself.
const DEFAULT_TIMEOUT: i64 = 10;

/// Stops a container; one that is not running is fine. `signal` and `timeout` (seconds, -1: for ever) replace what the
/// container was created with.
pub fn stop(engine: &Engine, container: &Container, signal: Option<i32>, timeout: Option<i64>) -> Result<()> {
    if container.is_restarting() {
        let container = restart::cancel(engine, container)?;
        return if container.is_alive() { stop(engine, &container, signal, timeout) } else { Ok(()) };
    }
    if !container.is_alive() {
        return Ok(());
    }
    let signal = signal.unwrap_or(container.record.process.stop_signal);
    let limit = patience(&container.record, timeout);
    match kill::signal_to(engine, container, signal, true) {
        // It ended by itself in the meantime.
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => {}
        result => result?,
    }
    if pause::is_paused(engine, &container.record.id) {
        // Only now can it do anything about the signal.
        pause::unpause(engine, container).or_else(kill::ended_meanwhile)?;
    }
    if wait::wait(engine, container, limit)?.is_none() {
        kill::kill_and_wait(engine, container)?;
    }
    match find::find(engine, &container.record.id) {
        // It had ended by itself a moment before. One that somebody has started since is theirs.
        Ok(now) if now.is_in_use() && now.is_started_again() => stop(engine, &now, Some(signal), timeout),
        // Removed at its end.
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        found => found.map(|now| events::of_container(engine, &now.record, "stop")),
    }
}

/// How long a program has to end by itself: by `timeout`, or what its container was created with. `None`: for ever.
pub(crate) fn patience(record: &Record, timeout: Option<i64>) -> Option<Duration> {
    let seconds = timeout.or(record.options.stop_timeout).unwrap_or(DEFAULT_TIMEOUT);
    u64::try_from(seconds).ok().map(Duration::from_secs)
}
