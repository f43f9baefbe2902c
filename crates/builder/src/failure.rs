//! A build that did not work: what is wrong, where in the Dockerfile, and what the step said last.

use std::collections::VecDeque;

use dockerfile::{ParseError, Span};
use stdx::{Error, Kind};

use crate::context::Context;

/// How many lines of a failed step are kept.
const LINES: usize = 20;
/// And how long one may be, in bytes.
const LINE_MAX: usize = 4 << 10;

/// Why there is no image.
#[derive(Debug)]
pub struct Failure {
    pub error: Error,
    /// The lines of the Dockerfile it is about, marked.
    pub excerpt: Option<String>,
    /// What a failed program wrote last.
    pub output: Vec<String>,
    /// Only something else's failure ended this.
    pub(crate) is_consequence: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, excerpt: None, output: Vec::new(), is_consequence: false }
    }
}

impl Failure {
    pub(crate) fn consequence() -> Self {
        Self { is_consequence: true, ..Self::from(Error::new(Kind::Internal, "the build has failed already")) }
    }
}

/// A place in the Dockerfile.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) span: Span,
}

impl At<'_> {
    /// The failure for an error here.
    pub(crate) fn error(self, error: Error) -> Failure {
        let kind = error.kind();
        self.failure(kind, error.to_string())
    }

    /// The failure for something wrong with what is written here.
    pub(crate) fn invalid(self, message: impl Into<String>) -> Failure {
        self.failure(Kind::Invalid, message.into())
    }

    fn failure(self, kind: Kind, message: String) -> Failure {
        let Span { first, column, .. } = self.span;
        let name = self.context.dockerfile_name();
        let fault = ParseError { span: self.span, message };
        let excerpt = fault.excerpt(name, self.context.dockerfile());
        let error = Error::new(kind, format!("{name}:{first}:{column}: {}", fault.message));
        Failure { excerpt: Some(excerpt), ..Failure::from(error) }
    }
}

/// The last lines of an output.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<Vec<u8>>,
    open: bool,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            if !self.open {
                self.lines.push_back(Vec::new());
            }
            self.open = !part.ends_with(b"\n");
            if let Some(line) = self.lines.back_mut() {
                let room = LINE_MAX.saturating_sub(line.len());
                let text = part.strip_suffix(b"\n").unwrap_or(part);
                line.extend(&text[..text.len().min(room)]);
            }
            if self.lines.len() > LINES {
                self.lines.pop_front();
            }
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_whole_lines_however_they_come() {
        let mut tail = Tail::default();
        for n in 0..30 {
            tail.push(b"line");
            tail.push(format!(" {n}\nnext").as_bytes());
            tail.push(b"\n");
        }
        let lines = tail.lines();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[LINES - 2..], ["line 29", "next"]);
    }
}
