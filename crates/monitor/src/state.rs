//! How a container's process is, as its monitor last wrote it.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::{Context, Kind, Result};

/// A process by number and start time: together they name one process for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
}

impl Process {
    /// Process `pid` as it is now.
    pub fn current(pid: i32) -> Result<Self> {
        let start_time =
            sys::proc::start_time(pid).context(|| format!("cannot read the start time of process {pid}"))?;
        Ok(Self { pid, start_time })
    }

    /// Whether that very process is still there and has not ended.
    pub fn is_alive(&self) -> bool {
        sys::proc::start_time(self.pid) == Ok(self.start_time) && sys::proc::is_zombie(self.pid) == Ok(false)
    }
}

/// Longer than any state but one with a long error.
const RESERVED: usize = 512;

/// The content of `state.json`. A container that was never started has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum State {
    /// Made, waiting for the start.
    Created { process: Process },
    /// The program runs.
    Running {
        process: Process,
        started_at: Timestamp,
        /// How often it was started again by its policy since somebody started it.
        #[serde(default)]
        restarts: u32,
    },
    /// The program has ended.
    Exited(Exit),
    /// The program has ended and is to be started again, after this many milliseconds.
    Restarting { exit: Exit, delay_ms: u64 },
    /// The program could not be started.
    Failed { exit_code: i32, error: String, at: Timestamp },
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code; 128 and the signal if a signal ended it.
    pub exit_code: i32,
    /// The kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// Why it ended, if not by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Somebody asked for the end.
    #[serde(default)]
    pub wanted: bool,
    /// As in [`State::Running`].
    #[serde(default)]
    pub restarts: u32,
}

impl State {
    /// Reads the state; `None` if there is none.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.context(|| format!("cannot read {path:?}"))?,
        };
        serde_json::from_slice(&bytes).map(Some).context(|| format!("cannot parse {path:?}"))
    }

    /// Replaces the state. On a full disk, where no new file can be made, the old one is written over: how a container
    /// ended must be told even if it is what filled the disk.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut bytes = serde_json::to_vec(self).context(|| "cannot write the container's state".into())?;
        match atomic_write(path, &bytes, Durability::Scratch) {
            Err(error) if error.kind() == Kind::NoSpace => {
                // Padded: never shorter than a block that the file has already.
                bytes.resize(bytes.len().max(RESERVED), b' ');
                OpenOptions::new()
                    .write(true)
                    .open(path)
                    .and_then(|file| file.write_all_at(&bytes, 0))
                    .map_err(|_| error)
            }
            result => result,
        }
    }
}
