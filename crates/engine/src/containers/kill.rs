//! `kill`: a signal to a container's program, through its monitor, which knows it by a handle and not by a number.

use monitor::client::Connection;
use monitor::events::Attributes;
use monitor::protocol::{Event, Request};
use stdx::{Context, Error, Kind, Result};
use sys::Errno;

use crate::containers::{Container, pause, wait};
use crate::{Engine, events};

/// Sends `signal` to the program of a running container.
pub fn kill(engine: &Engine, container: &Container, signal: i32) -> Result<()> {
    // One that is to end the program is no failure to start it again after.
    let wanted = signal == sys::signal::KILL || signal == container.record.process.stop_signal;
    signal_to(engine, container, signal, wanted)
}

/// The same; `wanted` tells whether the program is to end and not to be started again by its policy.
pub(crate) fn signal_to(engine: &Engine, container: &Container, signal: i32, wanted: bool) -> Result<()> {
    let name = &container.record.name;
    if !container.is_running() {
        return Err(Error::conflict(format!("cannot kill container {name}: it is not running")));
    }
    let mut connection = Connection::open(&engine.dirs().container_run(&container.record.id))?;
    if wanted {
        connection.send(&Request::EndWanted)?;
    }
    events::container(engine, &container.record, "kill", Attributes::default().with("signal", signal));
    send(&mut connection, signal).context(|| format!("cannot kill container {name}"))?;
    if pause::is_paused(engine, &container.record.id) && signal == sys::signal::KILL {
        // A frozen process does not even die (control groups of version 1).
        pause::unpause(engine, container).or_else(ended_meanwhile)?;
    }
    Ok(())
}

/// It has ended, and so needs no unpausing any more.
pub(crate) fn ended_meanwhile(error: Error) -> Result<()> {
    if matches!(error.kind(), Kind::NotFound | Kind::Conflict) { Ok(()) } else { Err(error) }
}

/// Sends `signal` over a connection and waits until it is delivered. An ended program is fine.
pub(crate) fn send(connection: &mut Connection, signal: i32) -> Result<()> {
    connection.send(&Request::Signal(signal))?;
    loop {
        match connection.receive()? {
            Some(Event::Signalled(0)) | Some(Event::Exited(_)) | None => return Ok(()),
            Some(Event::Signalled(errno)) if errno == Errno::SRCH.raw_os_error() => return Ok(()),
            Some(Event::Signalled(errno)) => {
                let errno = Errno::from_raw_os_error(errno);
                return Err(errno).context(|| format!("cannot send signal {signal}"));
            }
            Some(_) => {}
        }
    }
}

/// Kills a container and waits until it has ended.
pub(crate) fn kill_and_wait(engine: &Engine, container: &Container) -> Result<()> {
    match kill(engine, container, sys::signal::KILL) {
        // It ended by itself in the meantime, or waits for a start that its starter will see fail.
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => {}
        result => result?,
    }
    wait::wait(engine, container, None).map(drop)
}
