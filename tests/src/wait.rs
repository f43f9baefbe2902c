//! Waiting for what another process does.

use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Waits until `done`; panics after [`PATIENCE`] with what was waited for.
pub fn until(what: &str, done: impl FnMut() -> bool) {
    until_or(what, done, String::new);
}

/// Waits for a value.
pub fn until_some<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let mut value = None;
    until(what, || {
        value = get();
        value.is_some()
    });
    value.expect("waited until there is one")
}

/// Waits until `done`; panics with what was waited for and what `seen` then says.
pub(crate) fn until_or(what: &str, mut done: impl FnMut() -> bool, seen: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what} {}", seen());
        std::thread::sleep(Duration::from_millis(10));
    }
}
