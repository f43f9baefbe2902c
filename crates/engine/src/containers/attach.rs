//! `attach` and `start`: connections to a container's streams.

use monitor::client::Connection;
use monitor::protocol::Request;
use serde::{Deserialize, Serialize};
use stdx::{Error, Result};

use crate::containers::{Container, StartError, prepare, restart};
use crate::{Engine, events};

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

impl Streams {
    /// The request for these streams.
    pub fn request(self) -> Request {
        Request::Attach { stdin: self.stdin, stdout: self.stdout, stderr: self.stderr }
    }
}

/// Connects to the streams of a running container, from now on.
pub fn attach(engine: &Engine, container: &Container, streams: Streams) -> Result<Connection> {
    let connection = connect(engine, container, streams)?;
    events::of_container(engine, &container.record, "attach");
    Ok(connection)
}

/// The same, of which nobody is told.
pub(crate) fn connect(engine: &Engine, container: &Container, streams: Streams) -> Result<Connection> {
    if !container.is_running() {
        return Err(
            Error::conflict(format!("container {} is not running", container.record.name)).hint("start it first")
        );
    }
    let mut connection = Connection::open(&engine.dirs().container_run(&container.record.id))?;
    connection.send(&streams.request())?;
    Ok(connection)
}

/// Starts a container that is not running. Gives the connection and the warnings.
pub fn start(
    engine: &Engine,
    container: &Container,
    streams: Streams,
    terminal: (u16, u16),
) -> std::result::Result<(Connection, Vec<String>), StartError> {
    let container = &restart::cancel(engine, container)?;
    let prepared = prepare::prepare(engine, &container.record, terminal)?;
    let warnings = prepared.warnings.clone();
    if streams != Streams::default() {
        events::of_container(engine, &container.record, "attach");
    }
    let connection = prepared.start(&[streams.request()])?;
    Ok((connection, warnings))
}
