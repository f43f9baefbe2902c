//! `inspect`: what is known of a container beyond its record and state.

use std::path::{Path, PathBuf};

use monitor::health::Health;
use network::Live;
use stdx::Result;
use sys::mount::Overlay;

use crate::Engine;
use crate::containers::size::Size;
use crate::containers::{Container, health, pause};
use crate::{images, networks};

/// A container and where its parts are.
#[derive(Debug, Clone)]
pub struct Details {
    pub container: Container,
    /// Its processes are stopped.
    pub paused: bool,
    /// The sizes of its files, once somebody has added them up.
    pub size: Option<Size>,
    /// The ids of its further processes.
    pub exec_ids: Vec<String>,
    /// How well it is, if it is asked.
    pub health: Option<Health>,
    /// Its root filesystem's layers.
    pub root: Overlay,
    /// How it is joined to networks, if it runs.
    pub live: Option<Live>,
    /// Its log.
    pub log: PathBuf,
    /// Where its `/etc` files are.
    pub run_dir: PathBuf,
    /// Where the volumes are.
    pub volumes: PathBuf,
}

/// Everything about a container.
pub fn inspect(engine: &Engine, container: Container) -> Result<Details> {
    let record = &container.record;
    let mut lower = images::lower_layers(engine, &record.image)?;
    lower.insert(0, images::init_layer_path(engine, &record.image, &lower));
    let dir = engine.dirs().container(&record.id);
    Ok(Details {
        root: Overlay {
            lower,
            upper: Some((dir.join("upper"), dir.join("work"))),
            volatile: record.options.auto_remove,
        },
        live: networks::live_of(engine, &record.id)?,
        log: record.log_path(engine),
        run_dir: engine.dirs().container_run(&record.id),
        volumes: engine.dirs().volumes(),
        size: None,
        exec_ids: exec_ids(&engine.dirs().container_run(&record.id)),
        health: health::health(engine, record),
        paused: pause::is_paused(engine, &record.id),
        container,
    })
}

/// Each has a directory while it runs.
fn exec_ids(run_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(run_dir.join("exec")).into_iter().flatten().flatten();
    let mut ids: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    ids.sort();
    ids
}
