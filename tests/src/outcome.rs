//! What a finished command did.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output};

/// Exit code and both streams of a command, with assertions that show all three when they fail.
#[derive(Debug)]
pub struct Outcome {
    command: String,
    output: Output,
}

impl Outcome {
    pub(crate) fn new(command: String, output: Output) -> Self {
        Self { command, output }
    }

    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self::new(format!("{command:?}"), output)
    }

    /// Waits for a started command and reads its streams to their ends.
    pub fn of_child(child: Child) -> Self {
        Self::new("a started command".into(), child.wait_with_output().unwrap())
    }

    /// The exit code, or 128 and the signal as a shell shows it.
    pub fn code(&self) -> i32 {
        let status = self.output.status;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// Standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Standard output as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    /// Standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Standard output of a command that must have exited with 0.
    #[track_caller]
    pub fn ok(&self) -> String {
        self.exits(0).stdout()
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "exit code of {self}");
        self
    }

    /// Checks that it failed with this code and one clear line that holds these words, without a panic.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &str) -> &Self {
        self.exits(code);
        let stderr = self.stderr();
        let lower = stderr.to_lowercase();
        assert!(lower.contains(&words.to_lowercase()), "no {words:?} in the message of {self}");
        assert!(!stderr.contains("panicked"), "a panic in {self}");
        assert!(stderr.trim_end().lines().count() <= 3, "more than one clear sentence in {self}");
        self
    }

    /// Checks standard output, white space at its ends aside.
    #[track_caller]
    pub fn prints(&self, expected: &str) -> &Self {
        assert_eq!(self.ok().trim(), expected, "output of {self}");
        self
    }

    /// Checks that standard output holds this text.
    #[track_caller]
    pub fn says(&self, expected: &str) -> &Self {
        assert!(self.ok().contains(expected), "no {expected:?} in the output of {self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |text: String| text.chars().take(4000).collect::<String>();
        let (code, out, err) = (self.code(), cut(self.stdout()), cut(self.stderr()));
        write!(f, "{}\n--- exit code {code}\n--- stdout\n{out}\n--- stderr\n{err}", self.command)
    }
}
