//! `ps`: all containers, the newest first.

use stdx::{Error, Result};

use crate::Engine;
use crate::containers::{Container, create, find, names};

/// What was found.
#[derive(Debug, Default)]
pub struct List {
    /// The newest first.
    pub containers: Vec<Container>,
    /// Those that cannot be read, and why: one broken record does not hide the others.
    pub broken: Vec<Error>,
}

/// The running containers, or `all`.
pub fn list(engine: &Engine, all: bool) -> Result<List> {
    if let Ok(Some(_lock)) = names::try_lock(engine) {
        create::sweep(engine);
    }
    let mut list = List::default();
    for id in find::ids(engine)? {
        match Container::load(engine, &id) {
            // None: gone since its id was read.
            Ok(container) => list
                .containers
                .extend(container.filter(|container| all || container.is_running() || container.is_restarting())),
            Err(error) => list.broken.push(error),
        }
    }
    list.containers.sort_by_key(|container| std::cmp::Reverse(container.record.created));
    Ok(list)
}
