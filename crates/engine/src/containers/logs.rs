//! `logs`: what a container has written, from its files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use monitor::log::{Stream, rotated};
use serde::Deserialize;
use stdx::{Context, Error, Result};

use crate::Engine;
use crate::containers::Container;
use crate::containers::options::Log;

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub stream: Stream,
    /// RFC 3339 with nanoseconds.
    pub time: String,
    /// With its newline, unless the line was cut or never ended.
    pub text: String,
}

#[derive(Deserialize)]
struct Line {
    log: String,
    stream: String,
    time: String,
}

/// A line of the file is an entry of at most 16 KiB, escaped; anything longer is not ours.
const MAX_LINE: usize = 1 << 20;

/// Gives a container's log to `each`, the oldest entry first; only the last `tail` entries if it is set.
pub fn logs(engine: &Engine, container: &Container, tail: Option<usize>, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
    let record = &container.record;
    let Log::JsonFile { max_files, .. } = record.options.log else {
        return Err(Error::unsupported(format!("container {} keeps no log", record.name)).hint("it was created with --log-driver none"));
    };
    let current = record.log_path(engine);
    let mut files: Vec<PathBuf> = (1..max_files).rev().map(|number| rotated(&current, number)).collect();
    files.push(current);
    let mut last: VecDeque<Entry> = VecDeque::new();
    for path in files.iter().filter(|path| path.exists()) {
        let mut reader = BufReader::new(File::open(path).context(|| format!("cannot open {path:?}"))?);
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line).context(|| format!("cannot read {path:?}"))? {
            // A line that was cut short by a full disk is passed over.
            let Ok(parsed) = serde_json::from_slice::<Line>(&line) else { continue };
            let stream = if parsed.stream == Stream::Stderr.name() { Stream::Stderr } else { Stream::Stdout };
            let entry = Entry { stream, time: parsed.time, text: parsed.log };
            match tail {
                None => each(entry)?,
                Some(count) => {
                    last.push_back(entry);
                    if last.len() > count {
                        last.pop_front();
                    }
                }
            }
        }
    }
    last.into_iter().try_for_each(each)
}

fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let len = std::io::Read::take(&mut *reader, MAX_LINE as u64).read_until(b'\n', line)?;
    Ok(len > 0)
}
