//! The checks of one container, one after the other, for as long as its program runs.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::probe::Probe;
use super::{Check, Health, Settings, Status};

/// Keeps the time and executes the checks.
pub(crate) struct Watch {
    settings: Settings,
    /// The container's run directory.
    dir: PathBuf,
    health: Health,
    /// Where others see it.
    file: PathBuf,
    began: Instant,
    step: Step,
}

enum Step {
    Waiting { until: Instant },
    Checking { probe: Probe, age: Duration },
}

impl Watch {
    /// For a program that starts at this moment.
    pub(crate) fn begin(settings: Settings, dir: &Path, state: &Path) -> Self {
        let (health, began) = (Health::default(), Instant::now());
        let until = began + health.pause(&settings, Duration::ZERO);
        let file = file(state);
        // On a full disk others do not see it; what follows from it follows.
        let _ = health.save(&file);
        Self { settings, dir: dir.to_owned(), health, file, began, step: Step::Waiting { until } }
    }

    /// What it was told.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is to be waited for beside the time.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.step {
            Step::Waiting { .. } => None,
            Step::Checking { probe, .. } => Some(probe.fd()),
        }
    }

    /// How long until something is to be done.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match &self.step {
            Step::Waiting { until } => Some(until.saturating_duration_since(Instant::now())),
            Step::Checking { probe, .. } => probe.left(),
        }
    }

    /// Does what is due; `readable` tells whether [`Self::fd`] has something. A paused container is not asked. Gives the
    /// status if it has changed.
    pub(crate) fn go_on(&mut self, readable: bool, is_paused: impl FnOnce() -> bool) -> Option<Status> {
        match &mut self.step {
            Step::Waiting { until } if *until > Instant::now() => None,
            Step::Waiting { .. } if is_paused() => {
                self.wait(self.settings.interval);
                None
            }
            Step::Waiting { .. } => self.check(),
            Step::Checking { probe, .. } => {
                let ended = if readable { probe.read() } else { None };
                if ended.is_none() && probe.left().is_some_and(|left| left.is_zero()) {
                    probe.kill();
                }
                self.end(ended?)
            }
        }
    }

    fn check(&mut self) -> Option<Status> {
        let (start, age) = (Timestamp::now(), self.began.elapsed());
        match Probe::begin(&self.dir, self.settings.timeout) {
            Ok(probe) => {
                self.step = Step::Checking { probe, age };
                None
            }
            Err(error) => {
                let check = Check { start, end: Timestamp::now(), exit_code: -1, output: error.to_string() };
                self.note(age, check)
            }
        }
    }

    fn end(&mut self, exit_code: i32) -> Option<Status> {
        let waiting = Step::Waiting { until: Instant::now() };
        let Step::Checking { probe, age } = std::mem::replace(&mut self.step, waiting) else { return None };
        let check = probe.end(exit_code, self.settings.timeout);
        self.note(age, check)
    }

    fn note(&mut self, age: Duration, check: Check) -> Option<Status> {
        let changed = self.health.note(&self.settings, age, check);
        // As in `begin`.
        let _ = self.health.save(&self.file);
        self.wait(self.health.pause(&self.settings, self.began.elapsed()));
        sys::process::slim_down();
        changed
    }

    fn wait(&mut self, pause: Duration) {
        self.step = Step::Waiting { until: Instant::now() + pause };
    }

    /// No more checks.
    pub(crate) fn end_of_program(self) {
        if let Step::Checking { probe, .. } = self.step {
            probe.abandon();
        }
    }
}

/// The file of a container's [`Health`], beside that of its [`crate::State`].
pub fn file(state: &Path) -> PathBuf {
    state.with_file_name("health.json")
}
