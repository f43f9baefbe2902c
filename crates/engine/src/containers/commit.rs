//! `commit`: a container's writable layer becomes an image upon its own.

use std::os::fd::AsFd;

use jiff::Timestamp;
use layer::diff::Options as DiffOptions;
use monitor::events::Attributes;
use oci::image_config::{Config, History};
use oci::{ImageConfig, Reference};
use stdx::{Context, Error, Result};
use store::{Commit, Committed};

use crate::containers::Container;
use crate::containers::layers::{self, Frozen};
use crate::containers::pause;
use crate::containers::record::{Record, RecordImage};
use crate::{Engine, events};

/// What the image is to say of itself, and how it is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub author: String,
    pub message: String,
    /// Dockerfile instructions for the configuration.
    pub changes: Vec<String>,
    /// Whether the container's processes may go on meanwhile.
    pub keep_running: bool,
    /// `latest` if it has no tag.
    pub name: Option<Reference>,
}

/// Makes an image of a container: its mounts are not part of it, their mount points are.
pub fn commit(engine: &Engine, container: &Container, options: Options) -> Result<Committed> {
    let record = &container.record;
    let RecordImage::Stored { id, .. } = &record.image else {
        let message = format!("cannot commit container {}: its image is the host itself", record.name);
        return Err(
            Error::unsupported(message).hint("\"tare export\" writes its files, \"tare diff\" shows its changes")
        );
    };
    if options.name.as_ref().is_some_and(|name| name.digest().is_some()) {
        return Err(Error::invalid("cannot commit under a digest: it follows from the content"));
    }
    let store = engine.store()?;
    let _hold = store.hold()?;
    let _lock = record.lock(engine)?;
    let base = store.image(id)?.config;
    let now = Timestamp::now().to_string();
    let mut config = configuration(record, &base.config);
    for change in &options.changes {
        oci::change::apply(&mut config, change).map_err(|error| Error::invalid(error.to_string()))?;
    }
    let config = ImageConfig {
        created: Some(now.clone()),
        author: options.author.clone(),
        comment: options.message.clone(),
        config,
        ..base
    };
    let history = History {
        created: Some(now),
        created_by: record.process.args().join(" "),
        author: options.author,
        comment: options.message.clone(),
        empty_layer: false,
    };
    let upper = layers::open(&engine.dirs().container(&record.id).join("upper"))?;
    let _frozen = if options.keep_running { None } else { Some(Frozen::freeze(container)?) };
    let how = DiffOptions { ids: layers::ids(record), ..DiffOptions::default() };
    let names = options.name.map(Reference::or_latest).into_iter().collect();
    let comment = options.message.clone();
    let committed = store.commit(Commit { config, history, upper: Some((upper.as_fd(), how)), names })?;
    let how = Attributes::default().with("comment", comment).with("imageID", committed.id);
    events::container(engine, record, "commit", how);
    Ok(committed)
}

/// Lets a container go on that a commit paused which was interrupted. One that was paused before stays so.
pub fn thaw(engine: &Engine, id: &str) -> Result<()> {
    let Some(record) = Record::load(engine, id)? else { return Ok(()) };
    let _lock = record.lock(engine)?;
    if !pause::is_paused(engine, id) {
        let cgroup = runtime::cgroup::at(&record.cgroup())?;
        if cgroup.is_frozen() {
            return cgroup.freeze(false).context(|| format!("cannot continue container {}", record.name));
        }
    }
    Ok(())
}

/// The container's program and environment, and of its image what a container does not change.
fn configuration(record: &Record, image: &Config) -> Config {
    let process = &record.process;
    let list = |words: &[String]| if words.is_empty() { None } else { Some(words.to_vec()) };
    let options = &record.options;
    Config {
        user: process.user.clone(),
        env: process.env.clone(),
        entrypoint: list(&process.entrypoint),
        cmd: list(&process.command),
        working_dir: process.working_dir.clone(),
        labels: process.labels.clone(),
        healthcheck: process.healthcheck.clone(),
        stop_signal: options.stop_signal.clone().unwrap_or_else(|| image.stop_signal.clone()),
        stop_timeout: options.stop_timeout.or(image.stop_timeout),
        ..image.clone()
    }
}
