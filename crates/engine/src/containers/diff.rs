//! `diff`: what a container has changed in its root.

use std::fs::File;
use std::os::fd::AsFd;

use layer::Change;
use stdx::Result;

use crate::Engine;
use crate::containers::{Container, inspect, layers};

/// The paths that a container added, changed or deleted, in their order.
pub fn diff(engine: &Engine, container: &Container) -> Result<Vec<Change>> {
    let root = inspect::inspect(engine, container.clone())?.root;
    let Some((upper, _)) = root.upper else { return Ok(Vec::new()) };
    // The init layer is made by the first start.
    let below = root.lower.iter().rev().filter(|layer| layer.exists());
    let below: Vec<File> = below.map(|layer| layers::open(layer)).collect::<Result<_>>()?;
    let below: Vec<_> = below.iter().map(AsFd::as_fd).collect();
    layer::changes(layers::open(&upper)?, &below, &layers::ids(&container.record))
}
