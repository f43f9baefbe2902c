//! When to ask again.

use std::time::Duration;

use crate::Config;
use crate::error::Again;

/// The pauses of one question: each about twice as long as the one before.
#[derive(Debug)]
pub(crate) struct Retry {
    asked: u32,
    left: u32,
    pause: Duration,
    longest: Duration,
}

impl Retry {
    pub(crate) fn new(config: &Config) -> Self {
        Self { asked: 1, left: config.retries, pause: config.pause, longest: config.longest_pause }
    }

    /// For those who can ask somebody else.
    pub(crate) fn none() -> Self {
        Self { asked: 1, left: 0, pause: Duration::ZERO, longest: Duration::ZERO }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u32 {
        self.asked
    }

    /// The pause before asking again, or `None` to give up.
    pub(crate) fn next(&mut self, again: Again) -> Option<Duration> {
        let pause = match again {
            Again::Never => return None,
            // A registry that wants to be left alone for longer is not asked before.
            Again::After(pause) if pause > self.longest => return None,
            Again::After(pause) => pause,
            Again::Soon | Again::Unreachable => jittered(self.pause.min(self.longest)),
        };
        self.left = self.left.checked_sub(1)?;
        self.asked += 1;
        self.pause *= 2;
        Some(pause)
    }
}

/// Between half and one and a half: clients that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let byte = stdx::id::random(1)[0];
    pause / 2 + pause.mul_f64(f64::from(byte) / 255.0)
}

/// Reads `Retry-After`: seconds, or a date.
pub(crate) fn after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let seconds = date.as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let second = Duration::from_secs(1);
        let config = Config { retries: 3, pause: second, longest_pause: 3 * second, ..Config::default() };
        let mut retry = Retry::new(&config);
        for factor in [1, 2, 3] {
            let pause = retry.next(Again::Soon).unwrap();
            assert!(pause >= second * factor / 2 && pause <= second * factor * 3 / 2 + second / 10, "{pause:?}");
        }
        assert_eq!(retry.next(Again::Soon), None);
        assert_eq!(retry.asked(), 4);
    }

    #[test]
    fn a_registry_is_obeyed_within_reason() {
        let config = Config { longest_pause: Duration::from_secs(60), ..Config::default() };
        let mut retry = Retry::new(&config);
        let minute = Duration::from_secs(60);
        assert_eq!(retry.next(Again::After(minute)), Some(minute));
        assert_eq!(retry.next(Again::After(minute * 2)), None);
        assert_eq!(retry.next(Again::Never), None);
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let soon = jiff::Timestamp::now() + Duration::from_secs(100);
        let soon = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&soon).unwrap();
        let pause = after(&soon).unwrap();
        assert!(pause > Duration::from_secs(90) && pause <= Duration::from_secs(100), "{pause:?}");
        for bad in ["", "-1", "soon", "1.5"] {
            assert_eq!(after(bad), None, "{bad}");
        }
    }
}
