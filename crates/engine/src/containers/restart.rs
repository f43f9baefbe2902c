//! `restart`: a stop, then a start.

use crate::Engine;
use crate::containers::attach::{self, Streams};
use crate::containers::{Container, StartError, stop};

/// Stops a container, if it runs, and starts it again. Gives the warnings of the start.
pub fn restart(
    engine: &Engine,
    container: &Container,
    signal: Option<i32>,
    timeout: Option<i64>,
) -> std::result::Result<Vec<String>, StartError> {
    stop::stop(engine, container, signal, timeout)?;
    attach::start(engine, container, Streams::default(), (0, 0)).map(|(_, warnings)| warnings)
}
