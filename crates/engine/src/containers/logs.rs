//! `logs`: what a container has written, from its files.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use monitor::client::Connection;
use monitor::log::{Stream, rotated};
use monitor::protocol::Event;
use serde::Deserialize;
use stdx::{Context, Error, Result};

use crate::Engine;
use crate::containers::Container;
use crate::containers::attach::{self, Streams};
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

/// What of a log is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Only this many entries from the end.
    pub tail: Option<usize>,
    /// Go on until the container ends.
    pub follow: bool,
    /// Only what was written between these two.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Wanted {
    fn has(&self, entry: &Entry) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        // Another program's file may hold other times: what cannot be read is shown.
        let Ok(time) = entry.time.parse::<Timestamp>() else { return true };
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }
}

/// Gives a container's log to `each`, the oldest entry first.
pub fn logs(
    engine: &Engine,
    container: &Container,
    wanted: Wanted,
    each: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let record = &container.record;
    let Log::JsonFile { max_files, .. } = record.options.log else {
        return Err(Error::unsupported(format!("container {} keeps no log", record.name))
            .hint("it was created with --log-driver none"));
    };
    // Before the first line is read, so that nothing falls between reading and following.
    let follower = if wanted.follow && container.is_running() { follow(engine, container) } else { None };
    let current = record.log_path(engine);
    let mut last: VecDeque<Entry> = VecDeque::new();
    let mut each = |entry: Entry| if wanted.has(&entry) { each(entry) } else { Ok(()) };
    let each: &mut dyn FnMut(Entry) -> Result<()> = &mut each;
    let mut keep = |entry: Entry| match wanted.tail {
        _ if !wanted.has(&entry) => Ok(()),
        None => each(entry),
        Some(count) => {
            last.push_back(entry);
            if last.len() > count {
                last.pop_front();
            }
            Ok(())
        }
    };
    for path in (1..max_files).rev().map(|number| rotated(&current, number)).filter(|path| path.exists()) {
        File::open_log(&path)?.read(&mut keep)?;
    }
    let mut file = current.exists().then(|| File::open_log(&current)).transpose()?;
    if let Some(file) = &mut file {
        file.read(&mut keep)?;
    }
    last.into_iter().try_for_each(&mut *each)?;
    let Some(mut connection) = follower else { return Ok(()) };
    loop {
        // The monitor writes its log before it tells its clients: after an event the file has it.
        let event = connection.receive()?;
        read_on(&mut file, &current, each)?;
        if matches!(event, None | Some(Event::Exited(_))) {
            return Ok(());
        }
    }
}

/// `None`: it has ended in the meantime, and all it wrote is in the files.
fn follow(engine: &Engine, container: &Container) -> Option<Connection> {
    attach::connect(engine, container, Streams { stdin: false, stdout: true, stderr: true }).ok()
}

/// Reads what is new, first in the file that was open, then in the one that rotation may have put in its place.
fn read_on(file: &mut Option<File>, path: &Path, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
    if let Some(open) = file {
        open.read(each)?;
        if open.is_still(path) {
            return Ok(());
        }
    }
    if path.exists() {
        file.insert(File::open_log(path)?).read(each)?;
    }
    Ok(())
}

/// One file of a log, read line by line.
struct File {
    reader: BufReader<fs::File>,
    path: PathBuf,
    /// A line that had no end yet when it was read.
    line: Vec<u8>,
}

impl File {
    fn open_log(path: &Path) -> Result<Self> {
        let file = fs::File::open(path).context(|| format!("cannot open {path:?}"))?;
        Ok(Self { reader: BufReader::new(file), path: path.to_owned(), line: Vec::new() })
    }

    /// Gives every whole line from here on.
    fn read(&mut self, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        loop {
            let rest = MAX_LINE.saturating_sub(self.line.len()) as u64;
            let read = std::io::Read::take(&mut self.reader, rest).read_until(b'\n', &mut self.line);
            let len = read.context(|| format!("cannot read {:?}", self.path))?;
            if self.line.last() != Some(&b'\n') && self.line.len() < MAX_LINE {
                return Ok(());
            }
            // A line that was cut short by a full disk is passed over.
            if let Ok(parsed) = serde_json::from_slice::<Line>(&self.line) {
                let stream = if parsed.stream == Stream::Stderr.name() { Stream::Stderr } else { Stream::Stdout };
                each(Entry { stream, time: parsed.time, text: parsed.log })?;
            }
            self.line.clear();
            if len == 0 {
                return Ok(());
            }
        }
    }

    fn is_still(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let inode = |metadata: std::io::Result<fs::Metadata>| metadata.map(|m| m.ino()).ok();
        inode(fs::metadata(path)) == inode(self.reader.get_ref().metadata())
    }
}
