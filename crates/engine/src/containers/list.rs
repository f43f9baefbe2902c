//! `ps`: all containers, the newest first.

use stdx::Result;

use crate::Engine;
use crate::containers::{Container, find};

/// The running containers, or `all`.
pub fn list(engine: &Engine, all: bool) -> Result<Vec<Container>> {
    let mut containers = Vec::new();
    for id in find::ids(engine)? {
        // Gone since it was listed: nothing to show.
        containers.extend(Container::load(engine, &id)?.filter(|container| all || container.is_running()));
    }
    containers.sort_by_key(|container| std::cmp::Reverse(container.record.created));
    Ok(containers)
}
