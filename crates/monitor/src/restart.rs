//! Whether a program that has ended is started again, and when: Docker's policies and back-off.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a container is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    #[default]
    No,
    /// After a failure, at most this often in a row; 0: as often as it takes.
    OnFailure { attempts: u32 },
    /// Whatever the exit code, and after a boot.
    Always,
    /// The same, but not after a boot if it was stopped before.
    UnlessStopped,
}

/// What a monitor is told of starting its container again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    pub policy: Policy,
    /// This binary's path. Whoever executes it by `/proc/self/exe` executes a monitor's own view of it, which has none.
    pub program: PathBuf,
    /// The arguments with which it starts the container again.
    pub arguments: Vec<String>,
    /// How often it has been started again, one end after the other.
    pub count: u32,
    /// The pause before the last of these, in milliseconds.
    pub delay_ms: u64,
}

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// Who has run for so long has come up well: the next pause is the first again.
const STABLE: Duration = Duration::from_secs(10);

impl Restart {
    /// The pause before the next start of a program that ended with `exit_code` after `ran`. `None`: there is none.
    pub(crate) fn next(&self, exit_code: i32, ran: Duration) -> Option<Duration> {
        let again = match self.policy {
            Policy::No => false,
            Policy::OnFailure { attempts } => exit_code != 0 && (attempts == 0 || self.count < attempts),
            Policy::Always | Policy::UnlessStopped => true,
        };
        let last = Duration::from_millis(self.delay_ms);
        let delay = if last.is_zero() || ran >= STABLE { FIRST_DELAY } else { last * 2 };
        again.then_some(delay.min(LONGEST_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    fn after(policy: Policy, count: u32, delay_ms: u64) -> Restart {
        Restart { policy, count, delay_ms, ..Restart::default() }
    }

    #[test]
    fn policies_decide_by_the_exit_code() {
        assert_eq!(after(Policy::No, 0, 0).next(1, SHORT), None);
        assert_eq!(after(Policy::Always, 0, 0).next(0, SHORT), Some(FIRST_DELAY));
        assert_eq!(after(Policy::UnlessStopped, 7, 0).next(0, SHORT), Some(FIRST_DELAY));
        let limited = Policy::OnFailure { attempts: 2 };
        assert_eq!(after(limited, 0, 0).next(0, SHORT), None);
        assert_eq!(after(limited, 1, 0).next(1, SHORT), Some(FIRST_DELAY));
        assert_eq!(after(limited, 2, 0).next(1, SHORT), None);
        assert_eq!(after(Policy::OnFailure { attempts: 0 }, 99, 0).next(1, SHORT), Some(FIRST_DELAY));
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew_after_a_good_run() {
        let next = |delay_ms, ran| after(Policy::Always, 1, delay_ms).next(1, ran).unwrap().as_millis();
        assert_eq!((next(100, SHORT), next(200, SHORT), next(51_200, SHORT)), (200, 400, 60_000));
        assert_eq!(next(60_000, SHORT), 60_000);
        assert_eq!(next(60_000, STABLE), 100);
    }
}
