//! A container's log: what its program writes becomes entries, and entries go where its driver puts them.
//!
//! | driver | where | module |
//! |---|---|---|
//! | `json-file` | one JSON object a line, as Docker's: other tools read it | [`json`] |
//! | `local` | a length, a time and the bytes as they came: half the size, and nothing is lost | [`local`] |
//! | `journald` | systemd's journal | [`journald`] |

mod files;
mod journald;
pub mod json;
pub mod local;

use std::io;

use jiff::Timestamp;

pub use files::rotated;
pub use journald::SOCKET as JOURNALD;

use crate::config::{LogConfig, LogDriver};
use files::Files;
use journald::Journald;

/// Longer lines are cut into entries of this many bytes; only the last one ends with a newline.
const MAX_LINE: usize = 16 << 10;

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The log's writer.
#[derive(Debug)]
pub struct Log {
    sink: Sink,
    /// The beginning of a line whose end has not come yet, of either stream.
    partial: [Vec<u8>; 2],
}

#[derive(Debug)]
enum Sink {
    Files(Files),
    Journald(Journald),
}

impl Log {
    /// Opens the log for appending.
    ///
    /// # Errors
    /// The file cannot be opened; there is no journal.
    pub fn open(config: LogConfig) -> io::Result<Self> {
        let sink = match config.driver {
            LogDriver::JsonFile | LogDriver::Local => Sink::Files(Files::open(config)?),
            LogDriver::Journald => Sink::Journald(Journald::open(JOURNALD, &config.attributes)?),
        };
        Ok(Self { sink, partial: [Vec::new(), Vec::new()] })
    }

    /// Adds what a program wrote. Whole lines are written at once.
    ///
    /// # Errors
    /// A full disk, above all. What could not be written is lost; the next call tries again.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let now = Timestamp::now();
        let mut partial = std::mem::take(&mut self.partial[stream as usize]);
        let mut result = Ok(());
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let mut piece = piece;
            while partial.len() + piece.len() > MAX_LINE {
                let (head, tail) = piece.split_at(MAX_LINE - partial.len());
                partial.extend_from_slice(head);
                result = result.and(self.sink.add(stream, &partial, now));
                partial.clear();
                piece = tail;
            }
            partial.extend_from_slice(piece);
            if partial.last() == Some(&b'\n') {
                result = result.and(self.sink.add(stream, &partial, now));
                partial.clear();
            }
        }
        self.partial[stream as usize] = partial;
        result.and(self.sink.flush())
    }

    /// Writes lines that were never ended.
    pub fn finish(&mut self) -> io::Result<()> {
        let now = Timestamp::now();
        let mut result = Ok(());
        for stream in [Stream::Stdout, Stream::Stderr] {
            let partial = std::mem::take(&mut self.partial[stream as usize]);
            if !partial.is_empty() {
                result = result.and(self.sink.add(stream, &partial, now));
            }
        }
        result.and(self.sink.flush())
    }
}

impl Sink {
    /// Adds one entry: a line with its newline, or a piece of one.
    fn add(&mut self, stream: Stream, text: &[u8], now: Timestamp) -> io::Result<()> {
        match self {
            Self::Files(files) => files.add(stream, text, now),
            Self::Journald(journald) => journald.send(stream, text),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Files(files) => files.flush(),
            Self::Journald(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
