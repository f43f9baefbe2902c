//! What a monitor is told, in `monitor.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::{Context, Result};
use sys::mount::Mount;

use crate::health;
use crate::restart::Restart;

/// Everything a monitor needs beside the bundle it stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The container's id.
    pub id: String,
    /// Where to keep the [`crate::State`].
    pub state: PathBuf,
    /// The root filesystem.
    pub root: Mount,
    /// The control group, relative to every hierarchy's root.
    pub cgroup: String,
    /// The engine's own system call filter applies, instead of the one in the configuration.
    pub default_filter: bool,
    /// `name|uid[:group|gid]`, looked up inside the container.
    pub user: Option<String>,
    /// Further groups, by name or number.
    pub groups: Vec<String>,
    /// The program gets a terminal.
    pub terminal: bool,
    /// Its first size, in characters; 0: unknown.
    pub rows: u16,
    pub columns: u16,
    /// The program's standard input stays open for clients.
    pub stdin: bool,
    /// It is closed when the first client that writes to it leaves.
    pub stdin_once: bool,
    /// Where output goes besides clients. `None`: nowhere.
    pub log: Option<LogConfig>,
    /// Ports of the host that lead to it, and no longer do when it has ended.
    #[serde(default)]
    pub ports: Vec<network::Mapping>,
    /// The arguments with which to execute this binary at the end, unless a client has said it will clean up.
    pub cleanup: Option<Vec<String>>,
    /// The program is ended when its last client has left: nobody else knows of it.
    #[serde(default)]
    pub attended: bool,
    /// Whether and how the container is started again.
    pub restart: Restart,
    /// How it is asked whether it is well, if it is.
    #[serde(default)]
    pub health: Option<health::Settings>,
}

/// Where a log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Files of JSON, rotated.
    JsonFile,
    /// Compact files, rotated.
    Local,
    /// systemd's journal.
    Journald,
}

impl LogDriver {
    /// Docker's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::Journald => "journald",
        }
    }
}

/// A container's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    pub driver: LogDriver,
    /// The current file; older ones are `PATH.1`, `PATH.2` …
    pub path: PathBuf,
    /// A file is rotated when it would grow beyond this many bytes.
    pub max_bytes: u64,
    /// How many files are kept, the current one included.
    pub max_files: u32,
    /// What every entry has besides: the journal's fields, or `attrs` in JSON.
    pub attributes: BTreeMap<String, String>,
}

const FILE: &str = "monitor.json";

impl Config {
    /// Reads `dir/monitor.json`.
    pub fn load(dir: &Path) -> Result<Self> {
        load(&dir.join(FILE))
    }

    /// Writes `dir/monitor.json`.
    pub fn save(&self, dir: &Path) -> Result<()> {
        save(self, &dir.join(FILE))
    }
}

/// Reads a file of a run directory.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).context(|| format!("cannot read {path:?}"))?;
    serde_json::from_slice(&bytes).context(|| format!("cannot parse {path:?}"))
}

/// Replaces it.
pub(crate) fn save(config: &impl Serialize, path: &Path) -> Result<()> {
    let bytes = serde_json::to_vec(config).context(|| format!("cannot write {path:?}"))?;
    atomic_write(path, &bytes, Durability::Scratch)
}

/// The lock of the monitor whose run directory is `dir`.
pub fn lock_path(dir: &Path) -> PathBuf {
    dir.join("monitor.lock")
}

/// The socket in a monitor's run directory.
pub const SOCKET: &str = "control.sock";
