//! What a server may do wrong.

use std::sync::Mutex;
use std::time::Duration;

use super::http::Asked;

/// One thing that goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status with these headers and this body, whatever was asked.
    Status(u16, Vec<(&'static str, String)>, String),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// The connection ends after so many bytes of the body came in.
    CutUpload(usize),
    /// One byte of the body is another one.
    WrongByte,
    /// A header is another one, or one more.
    Header(&'static str, String),
    /// A range is not heeded.
    NoRange,
    /// After so many bytes of the body nothing more comes.
    Stall(usize),
    /// The body comes in pieces with pauses between.
    Slow { piece: usize, pause: Duration },
    /// These bytes, and the end.
    Raw(Vec<u8>),
    /// The head comes byte by byte, with pauses between.
    SlowHead(Duration),
    /// Headers without an end.
    EndlessHeaders,
    /// A body without an end, of no announced length.
    EndlessBody,
    /// The connection ends without an answer.
    Drop,
}

impl Fault {
    /// A status without anything else.
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), String::new())
    }

    /// A redirect.
    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::Status(status, vec![("Location", to.into())], String::new())
    }
}

/// What is going to happen to which requests.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Rule>>);

#[derive(Debug)]
struct Rule {
    left: usize,
    method: String,
    path: String,
    fault: Fault,
}

impl Faults {
    pub(super) fn add(&self, times: usize, method: &str, path: &str, fault: Fault) {
        let rule = Rule { left: times, method: method.to_owned(), path: path.to_owned(), fault };
        self.0.lock().expect("no thread panics with the lock held").push(rule);
    }

    /// The fault for a request: the oldest that fits it.
    pub(super) fn take(&self, asked: &Asked) -> Option<Fault> {
        let mut rules = self.0.lock().expect("no thread panics with the lock held");
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && asked.is(&rule.method, &rule.path))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }
}
