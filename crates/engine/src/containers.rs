//! Containers: one file a verb, over the [`record`] on disk and the monitor's state beside it.

pub mod attach;
pub mod commit;
pub mod copy;
pub mod create;
pub mod diff;
pub mod etc;
pub mod exec;
pub mod explain;
pub mod export;
pub mod find;
pub mod health;
pub mod inspect;
pub mod kill;
pub(crate) mod layers;
pub mod list;
pub mod logs;
pub mod names;
pub mod options;
pub mod pause;
pub mod plan;
pub mod prepare;
pub mod record;
pub mod remove;
pub mod rename;
pub mod repair;
pub mod restart;
pub mod size;
pub mod spec;
pub mod stats;
pub mod stop;
pub mod top;
pub mod update;
pub mod userns;
pub mod wait;

pub use options::Options;
pub use prepare::{Prepared, StartError};
pub use record::Record;

use monitor::State;
use stdx::Result;

use crate::Engine;

/// A container as it is on disk: what was asked for, and how it is.
#[derive(Debug, Clone)]
pub struct Container {
    pub record: Record,
    /// `None`: never started.
    pub state: Option<State>,
}

impl Container {
    /// Whether its program runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, Some(State::Running { .. }))
    }

    /// Whether it has ended and its monitor waits to start it again.
    pub fn is_restarting(&self) -> bool {
        matches!(self.state, Some(State::Restarting { .. }))
    }

    /// Whether its policy has started it again, or is about to.
    pub fn is_started_again(&self) -> bool {
        self.is_restarting() || matches!(self.state, Some(State::Running { restarts: 1.., .. }))
    }

    /// Whether it has a process, even if that still waits for the start.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, Some(State::Running { .. } | State::Created { .. }))
    }

    /// Whether something of it goes on: it has a process, or will have one again.
    pub fn is_in_use(&self) -> bool {
        self.is_alive() || self.is_restarting()
    }

    /// Reads container `id` and puts right what a dead monitor has left. `None` if there is none (any more).
    pub(crate) fn load(engine: &Engine, id: &str) -> Result<Option<Self>> {
        let Some(container) = Self::read(engine, id)? else { return Ok(None) };
        repair::repair(engine, container)
    }

    /// The same, for a caller that holds the container's lock.
    pub(crate) fn load_locked(engine: &Engine, id: &str) -> Result<Option<Self>> {
        let Some(container) = Self::read(engine, id)? else { return Ok(None) };
        repair::repair_locked(engine, container)
    }

    fn read(engine: &Engine, id: &str) -> Result<Option<Self>> {
        let Some(record) = Record::load(engine, id)? else { return Ok(None) };
        let state = State::load(&record.state_path(engine))?;
        Ok(Some(Self { record, state }))
    }
}

/// The first argument that makes this binary a container's first process (`--init`); the rest is the program.
pub const INIT_ARGUMENT: &str = "__init";
/// The argument that makes this binary start a container again, by its policy; the next one is its id, and descriptor 3 the
/// monitor's lock.
pub const RESTART_ARGUMENT: &str = "__restart";
/// The argument that makes this binary remove a container that has ended; the next one is its id.
pub const CLEANUP_ARGUMENT: &str = "__cleanup";
