//! `restart`, a stop and then a start; and what a container's policy asks for.

use monitor::State;
use monitor::client::Connection;
use monitor::protocol::{Event, Request};
use monitor::state::Exit;
use stdx::Result;

use crate::containers::attach::{self, Streams};
use crate::containers::prepare::Legacy;
use crate::containers::{Container, StartError, find, prepare, stop, wait};
use crate::{Engine, events};

/// Stops a container, if it runs, and starts it again. Gives the warnings of the start.
pub fn restart(
    engine: &Engine,
    container: &Container,
    signal: Option<i32>,
    timeout: Option<i64>,
) -> std::result::Result<Vec<String>, StartError> {
    stop::stop(engine, container, signal, timeout)?;
    let (_, warnings) = attach::start(engine, container, Streams::default(), (0, 0))?;
    events::of_container(engine, &container.record, "restart");
    Ok(warnings)
}

/// Starts a container whose policy asks for it, with what its monitor that has ended leaves.
pub fn again(engine: &Engine, id: &str, legacy: Legacy) -> std::result::Result<(), StartError> {
    let container = find::find(engine, id)?;
    prepare::prepare_again(engine, &container.record, legacy)?.start(&[]).map(drop)
}

/// Sees to it that a container which waits for its next start has none. Gives the container as it is then: it may have been
/// started in the meantime.
pub(crate) fn cancel(engine: &Engine, container: &Container) -> Result<Container> {
    let mut container = container.clone();
    while container.is_restarting() {
        // If nobody listens it is being started at this moment.
        if let Ok(mut connection) = Connection::open(&engine.dirs().container_run(&container.record.id)) {
            if runs(&mut connection)? {
                // The pause was over: this is the next run's monitor. That run may be over by now, and another pause on.
                container = find::find(engine, &container.record.id)?;
                continue;
            }
            connection.queue(&Request::EndWanted)?;
            // It hangs up when it has understood, or when the pause is over.
            while connection.receive()?.is_some() {}
        }
        container = give_way(engine, &container)?;
    }
    Ok(container)
}

/// Whether a monitor's program runs. One that waits for the next start has nobody to send a signal to.
fn runs(connection: &mut Connection) -> Result<bool> {
    connection.queue(&Request::Signal(0))?;
    loop {
        match connection.receive()? {
            Some(Event::Signalled(errno)) => return Ok(errno == 0),
            None | Some(Event::Exited(_)) => return Ok(false),
            Some(_) => {}
        }
    }
}

/// Whoever starts a container holds its lock until that is done. One that comes later finds that it is not to be started.
fn give_way(engine: &Engine, container: &Container) -> Result<Container> {
    let lock = container.record.lock(engine)?;
    let path = container.record.state_path(engine);
    if let Some(State::Restarting { exit, .. }) = State::load(&path)? {
        State::Exited(Exit { wanted: true, ..exit }).save(&path)?;
    }
    drop(lock);
    wait::settled(engine, container)
}
