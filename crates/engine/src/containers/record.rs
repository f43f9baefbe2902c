//! What was asked for when a container was created. `rename` and `update` replace it under the container's lock; how the
//! container is, is the monitor's state.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci::ImageId;
use oci::image_config::Healthcheck;
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::flock::Flock;
use stdx::{Context, Error, Kind, Result};

use crate::containers::options::Options;
use crate::{CgroupDriver, Engine};

/// The monitor's state, beside the record.
pub(crate) const STATE_FILE: &str = "state.json";
const RECORD_FILE: &str = "record.json";

/// One container on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 64 hexadecimal digits.
    pub id: String,
    pub name: String,
    pub created: Timestamp,
    /// The image, with what was given and what it meant then.
    pub image: RecordImage,
    /// What the program is, from the options and the image together.
    pub process: RecordProcess,
    /// The options as given.
    pub options: Options,
    /// The first host id of the range its user namespace maps, if it has one.
    pub user_range: Option<u32>,
    /// Who makes its control groups, and is to be asked about them for all its life.
    #[serde(default)]
    pub cgroup_driver: CgroupDriver,
}

/// Which image a container stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordImage {
    /// The host's own files.
    Host,
    /// An image of the store, by the name it was asked for.
    Stored { name: String, id: ImageId },
}

impl RecordImage {
    /// What the user called it.
    pub fn name(&self) -> &str {
        match self {
            Self::Host => crate::images::host::NAME,
            Self::Stored { name, .. } => name,
        }
    }
}

/// The program of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordProcess {
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// `NAME=value`, complete.
    pub env: Vec<String>,
    pub working_dir: String,
    /// `name|uid[:group|gid]`; empty: root.
    pub user: String,
    /// Signal number that asks it to end.
    pub stop_signal: i32,
    /// The image's labels and those of the options.
    pub labels: std::collections::BTreeMap<String, String>,
    /// How it is asked whether it is well.
    #[serde(default)]
    pub healthcheck: Option<Healthcheck>,
    /// What runs commands in shell form; empty: `/bin/sh -c`.
    #[serde(default)]
    pub shell: Vec<String>,
}

impl RecordProcess {
    /// Entrypoint and command: what is executed.
    pub fn args(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.command).cloned().collect()
    }
}

impl Record {
    /// Reads the record of container `id`. `None` if there is none.
    pub(crate) fn load(engine: &Engine, id: &str) -> Result<Option<Self>> {
        let path = engine.dirs().container(id).join(RECORD_FILE);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.context(|| format!("cannot read {path:?}"))?,
        };
        serde_json::from_slice(&bytes).map(Some).context(|| format!("cannot parse {path:?}"))
    }

    /// Writes the record into the directory of a new container.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self).context(|| "cannot write the container's record".into())?;
        atomic_write(&dir.join(RECORD_FILE), &bytes, Durability::Scratch)
    }

    /// The path of the monitor's state.
    pub(crate) fn state_path(&self, engine: &Engine) -> PathBuf {
        engine.dirs().container(&self.id).join(STATE_FILE)
    }

    /// The path of its log.
    pub(crate) fn log_path(&self, engine: &Engine) -> PathBuf {
        engine.dirs().container(&self.id).join("log")
    }

    /// Its control group: relative to every hierarchy's root, or slice, prefix and name of systemd's scope.
    pub fn cgroup(&self) -> String {
        let parent = self.options.cgroup_parent.as_deref();
        match self.cgroup_driver {
            CgroupDriver::Cgroupfs => format!("{}/{}", parent.unwrap_or("tare").trim_matches('/'), self.id),
            CgroupDriver::Systemd => format!("{}:tare:{}", parent.unwrap_or("system.slice"), self.id),
        }
    }

    /// The file whose lock is held by the verb that changes this container.
    pub(crate) fn lock_path(&self, engine: &Engine) -> PathBuf {
        engine.dirs().container(&self.id).join("lock")
    }

    /// Waits until no other verb changes this container.
    pub(crate) fn lock(&self, engine: &Engine) -> Result<Flock> {
        let gone = || Error::not_found(format!("no such container: {}", self.name));
        self.lock_existing(engine)?.ok_or_else(gone)
    }

    /// The same; `None` if the container has been removed.
    pub(crate) fn lock_existing(&self, engine: &Engine) -> Result<Option<Flock>> {
        match Flock::exclusive(&self.lock_path(engine)) {
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            lock => lock.map(Some),
        }
    }
}
