//! Whether anything may be coloured: on a terminal that can, unless the user has said no (<https://no-color.org>).

use rustix::stdio::{stderr, stdout};
use rustix::termios::isatty;

/// For standard output.
pub(crate) fn is_wanted() -> bool {
    isatty(stdout()) && is_allowed()
}

/// For standard error.
pub(crate) fn is_wanted_for_errors() -> bool {
    isatty(stderr()) && is_allowed()
}

fn is_allowed() -> bool {
    let no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    !no && !dumb
}
