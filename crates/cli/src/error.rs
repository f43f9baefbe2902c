//! How a command fails: one sentence on standard error, and Docker's exit code.

use engine::containers::StartError;
use stdx::Error;

use crate::colour;

/// Wrong usage, and an engine that cannot do what it was told to do for `run`.
pub(crate) const ENGINE: i32 = 125;

/// A command that did not work.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `None`: 1, or what the command says for itself.
    code: Option<i32>,
    /// `None`: everything has been said.
    message: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: i32, error: Error) -> Self {
        Self { code: Some(code), message: Some(error.to_string()) }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: String) -> Self {
        Self { code: Some(ENGINE), message: Some(message) }
    }

    /// No failure, but what was asked for instead of a command's work.
    pub(crate) fn said(message: String) -> Self {
        Self { code: None, message: Some(message) }
    }

    /// Several things were asked for, and of those that failed each has been reported.
    pub(crate) fn reported(code: i32) -> Self {
        Self { code: Some(code), message: None }
    }

    /// The same failure, with this exit code if it has none of its own.
    pub(crate) fn or_code(self, code: i32) -> Self {
        Self { code: self.code.or(Some(code)), ..self }
    }

    /// The same failure with this exit code.
    pub(crate) fn with_code(self, code: i32) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The sentence.
    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Prints the sentence and gives the exit code.
    pub(crate) fn report(&self) -> i32 {
        if let Some(message) = &self.message {
            let name = if colour::is_wanted_for_errors() { "\x1b[1;31mtare:\x1b[0m" } else { "tare:" };
            eprintln!("{name} {}", printable(message));
        }
        self.code.unwrap_or(1)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: None, message: Some(error.to_string()) }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(error.exit_code, error.error)
    }
}

/// Names come from images and archives: what would steer a terminal is shown, not obeyed.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() && c != '\n' && c != '\t' { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// Does `each` for all of `items`, reporting failures one by one; fails at the end if any did.
pub(crate) fn for_each<T>(items: &[T], mut each: impl FnMut(&T) -> Result<(), Failure>) -> Result<i32, Failure> {
    let mut failed = false;
    for item in items {
        if let Err(failure) = each(item) {
            failure.report();
            failed = true;
        }
    }
    if failed { Err(Failure::reported(1)) } else { Ok(0) }
}
