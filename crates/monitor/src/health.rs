//! Whether a container does what it is for: a check is executed in it now and then, and its exit codes decide.
//!
//! What follows from a check's end is decided here, without touching anything; [`watch`] keeps the time and executes the
//! checks, each of them a further process with a monitor of its own ([`crate::exec`]).

mod probe;
pub(crate) mod watch;

pub use watch::file;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::{Context, Result};

/// What a container's checks are, beside what is executed: that is in [`TEMPLATE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// From the end of a check to the next one.
    pub interval: Duration,
    /// The same while the container is starting.
    pub start_interval: Duration,
    /// For so long from the start failures do not count, unless a check has succeeded.
    pub start_period: Duration,
    /// A check that takes longer has failed, and is killed.
    pub timeout: Duration,
    /// So many failures in a row mean unhealthy.
    pub retries: u32,
    pub on_failure: OnFailure,
    /// What asks the program to end, if that is what follows.
    pub stop_signal: i32,
    /// How long it then has. `None`: as long as it likes.
    pub stop_timeout: Option<Duration>,
}

/// What is done about a container that has become unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    #[default]
    None,
    /// It is killed, and started again if its policy says so.
    Kill,
    /// It is stopped and started again.
    Restart,
    /// It is stopped.
    Stop,
}

/// The file in a run directory that says what a check executes: a whole [`crate::exec::Config`].
pub const TEMPLATE: &str = "health.json";

/// How many checks are remembered.
const REMEMBERED: usize = 5;
/// Bytes of a check's output that are.
const MAX_OUTPUT: usize = 4096;

/// What the checks have said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl Status {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// How well a container is: of its last run, if it does not run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub status: Status,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last checks, the newest last.
    pub log: Vec<Check>,
}

/// One check that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub start: Timestamp,
    pub end: Timestamp,
    /// 0: well. -1: it could not be executed, or took too long.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

impl Health {
    /// Reads what a monitor has written. `None`: nothing yet, or nothing that can be read.
    pub fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    fn save(&self, path: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self).context(|| "cannot write the container's health".into())?;
        atomic_write(path, &bytes, Durability::Scratch)
    }

    /// Takes a check into account that was begun at this age of the container. Gives the status if it is another than before.
    fn note(&mut self, settings: &Settings, age: Duration, check: Check) -> Option<Status> {
        let before = self.status;
        if check.exit_code == 0 {
            (self.status, self.failing_streak) = (Status::Healthy, 0);
        } else if before != Status::Starting || age >= settings.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= settings.retries {
                self.status = Status::Unhealthy;
            }
        }
        self.log.push(check);
        let surplus = self.log.len().saturating_sub(REMEMBERED);
        self.log.drain(..surplus);
        (self.status != before).then_some(self.status)
    }

    /// The pause before the next check of a container of this age.
    fn pause(&self, settings: &Settings, age: Duration) -> Duration {
        let starting = self.status == Status::Starting && age < settings.start_period;
        if starting { settings.start_interval } else { settings.interval }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> Settings {
        Settings {
            interval: SECOND * 30,
            start_interval: SECOND * 5,
            start_period: SECOND * 60,
            timeout: SECOND * 30,
            retries: 3,
            on_failure: OnFailure::None,
            stop_signal: 15,
            stop_timeout: None,
        }
    }

    fn check(exit_code: i32) -> Check {
        Check { start: Timestamp::UNIX_EPOCH, end: Timestamp::UNIX_EPOCH, exit_code, output: String::new() }
    }

    fn after(codes: &[i32], age: Duration) -> Health {
        let mut health = Health::default();
        for &code in codes {
            health.note(&settings(), age, check(code));
        }
        health
    }

    #[test]
    fn failures_in_a_row_mean_unhealthy_and_one_success_means_healthy() {
        let late = SECOND * 100;
        let seen = |codes: &[i32]| (after(codes, late).status, after(codes, late).failing_streak);
        assert_eq!(seen(&[1, 1]), (Status::Starting, 2));
        assert_eq!(seen(&[1, -1, 1]), (Status::Unhealthy, 3));
        assert_eq!(seen(&[1, 1, 0, 1, 1]), (Status::Healthy, 2));
        assert_eq!(seen(&[1, 1, 1, 1, 0]), (Status::Healthy, 0));
    }

    #[test]
    fn failures_do_not_count_in_the_start_period_until_it_was_well() {
        let early = SECOND * 10;
        assert_eq!(after(&[1; 9], early).status, Status::Starting);
        assert_eq!(after(&[1; 9], early).failing_streak, 0);
        assert_eq!(after(&[0, 1, 1, 1], early).status, Status::Unhealthy);
    }

    #[test]
    fn changes_are_told_and_five_checks_remembered() {
        let mut health = Health::default();
        let told: Vec<_> =
            [0, 0, 2, 3, 4, 5].into_iter().map(|code| health.note(&settings(), SECOND * 100, check(code))).collect();
        assert_eq!(told, [Some(Status::Healthy), None, None, None, Some(Status::Unhealthy), None]);
        let codes: Vec<i32> = health.log.iter().map(|check| check.exit_code).collect();
        assert_eq!(codes, [0, 2, 3, 4, 5]);
    }

    #[test]
    fn one_that_starts_is_asked_more_often() {
        let pause = |codes: &[i32], age: u32| after(codes, SECOND).pause(&settings(), SECOND * age).as_secs();
        assert_eq!((pause(&[], 0), pause(&[1], 59), pause(&[1], 60), pause(&[0], 1)), (5, 5, 30, 30));
    }
}
