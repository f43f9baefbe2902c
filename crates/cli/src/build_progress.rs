//! What a build says, line by line: every line begins with the number of its step.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use builder::Failure;
use builder::progress::{Event, StepId};

use crate::error::printable;

/// The steps that have been heard of.
#[derive(Default)]
pub(crate) struct Progress {
    quiet: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many numbers were given away.
    last: usize,
    steps: HashMap<StepId, Line>,
}

/// A step, and what it has written of a line.
struct Line {
    number: usize,
    began: Instant,
    text: Vec<u8>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, state: Mutex::default() }
    }

    /// Shows an event.
    pub(crate) fn show(&self, event: &Event<'_>) {
        if !self.quiet {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).show(event);
        }
    }
}

impl State {
    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Warning { check, message, .. } => eprintln!("WARNING: {check}: {}", printable(message)),
            Event::Pulling { reference } => eprintln!("#{} pulling {reference}", self.next()),
            Event::Begin { step, stage, of, text } => {
                let number = self.next();
                self.steps.insert(*step, Line { number, began: Instant::now(), text: Vec::new() });
                eprintln!("#{number} [{stage} {}/{of}] {}", step.1, printable(text));
            }
            Event::Cached { step } => self.end(*step, "CACHED"),
            Event::Output { step, bytes } => self.output(*step, bytes),
            Event::Done { step, took } => self.end(*step, &format!("DONE {:.1}s", took.as_secs_f64())),
            Event::Failed { step } => self.end(*step, "ERROR"),
            Event::Image { id, names } => {
                let number = self.next();
                eprintln!("#{number} writing image {id} done");
                names.iter().for_each(|name| eprintln!("#{number} naming to {name} done"));
            }
        }
    }

    fn next(&mut self) -> usize {
        self.last += 1;
        self.last
    }

    fn output(&mut self, step: StepId, bytes: &[u8]) {
        let Some(line) = self.steps.get_mut(&step) else { return };
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            line.text.extend(part);
            if part.ends_with(b"\n") {
                line.print();
            }
        }
    }

    fn end(&mut self, step: StepId, how: &str) {
        let Some(mut line) = self.steps.remove(&step) else { return };
        if !line.text.is_empty() {
            line.print();
        }
        eprintln!("#{} {how}", line.number);
    }
}

impl Line {
    fn print(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        eprintln!("#{} {:.3} {}", self.number, self.began.elapsed().as_secs_f64(), text.trim_end_matches(['\n', '\r']));
        self.text.clear();
    }
}

/// Shows what led to a failure: the last lines of the step, the lines of the Dockerfile.
pub(crate) fn show_failure(failure: &Failure) {
    if !failure.output.is_empty() {
        eprintln!("------");
        failure.output.iter().for_each(|line| eprintln!(" {line}"));
        eprintln!("------");
    }
    if let Some(excerpt) = &failure.excerpt {
        eprint!("{}", printable(excerpt));
    }
}
