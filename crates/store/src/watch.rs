//! Who follows a long operation, and may end it.

use std::sync::atomic::{AtomicBool, Ordering};

use stdx::{Error, Kind, Result};

/// What happens to one layer of an image on its way in or out. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is there already.
    Exists,
    /// Another process is fetching it.
    Waiting,
    Downloading {
        done: u64,
        total: u64,
    },
    /// All of it is here and is what its digest says.
    Downloaded,
    /// Measured in bytes of the blob, compressed as it is.
    Extracting {
        done: u64,
        total: u64,
    },
    /// It is part of the image.
    Complete,
}

/// Hears of every step of an operation, from several threads, and stops it early.
pub struct Watch<'a> {
    /// Called with the layer, counted from 0 at the bottom, and what happens to it.
    on_step: &'a (dyn Fn(usize, Step) + Sync),
    stopped: AtomicBool,
}

impl<'a> Watch<'a> {
    /// `on_step` must be quick: the work waits for it.
    pub fn new(on_step: &'a (dyn Fn(usize, Step) + Sync)) -> Self {
        Self { on_step, stopped: AtomicBool::new(false) }
    }

    /// Makes the operation end with an error as soon as it looks.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn tell(&self, layer: usize, step: Step) {
        (self.on_step)(layer, step);
    }

    /// An error once the operation is to stop; nobody shows it, what made it stop is the error.
    pub(crate) fn check(&self) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) { Err(Error::new(Kind::Internal, "stopped")) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}
