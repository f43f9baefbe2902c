//! The files of a log, from the oldest to the one that grows, while they are rotated.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use monitor::config::LogDriver;
use monitor::log::{Stream, json, local, rotated};
use stdx::{Context, Error, Result};

use super::Entry;
use crate::containers::options::Log;

/// A line of the file is an entry of at most 16 KiB, escaped; anything longer is not ours.
const MAX_LINE: usize = 1 << 20;

/// The files of one log: `PATH`, which grows, and `PATH.1`, `PATH.2` …, each older than the one before it.
pub(super) struct Chain<'a> {
    path: &'a Path,
    files: u32,
    driver: LogDriver,
    /// What is being read. `None`: there is nothing yet.
    open: Option<File>,
}

impl<'a> Chain<'a> {
    pub(super) fn open(path: &'a Path, log: &Log) -> Result<Self> {
        let mut chain =
            Self { path, files: log.max_files, driver: log.driver.unwrap_or(LogDriver::JsonFile), open: None };
        chain.open = chain.newest_of(chain.files)?;
        Ok(chain)
    }

    /// Gives every whole entry that there is from here on.
    pub(super) fn read_on(&mut self, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        loop {
            if self.open.is_none() {
                self.open = self.newest_of(self.files)?;
            }
            let (path, files) = (self.path, self.files);
            let Some(file) = &mut self.open else { return Ok(()) };
            // Asked before it is read to the end: a file that was rotated by then grows no more.
            let is_over = place(path, files, file) != Some(0);
            file.read(each)?;
            if !is_over {
                return Ok(());
            }
            match self.next()? {
                Some(next) => self.open = Some(next),
                // The next one is just being made.
                None => return Ok(()),
            }
        }
    }

    /// The file that was begun after the open one.
    fn next(&self) -> Result<Option<File>> {
        loop {
            let Some(file) = &self.open else { return Ok(None) };
            match place(self.path, self.files, file) {
                Some(0) => return Ok(None),
                // It was rotated away: some may have been lost.
                None => return self.newest_of(self.files),
                Some(number) => {
                    let next = self.newest_of(number)?;
                    // Each file makes room before the next newer one takes its place: if this one has not moved, nor had that.
                    if place(self.path, self.files, file) == Some(number) {
                        return Ok(next);
                    }
                }
            }
        }
    }

    /// The oldest file of those newer than number `number`.
    fn newest_of(&self, number: u32) -> Result<Option<File>> {
        for number in (0..number).rev() {
            if let Some(file) = File::open(numbered(self.path, number), self.driver)? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 { path.to_owned() } else { rotated(path, number) }
}

/// The number an open file has now. `None`: it is in no place any more.
fn place(path: &Path, files: u32, file: &File) -> Option<u32> {
    let own = file.reader.get_ref().metadata().ok()?.ino();
    (0..files).find(|number| fs::metadata(numbered(path, *number)).is_ok_and(|metadata| metadata.ino() == own))
}

/// One file, read entry by entry.
struct File {
    reader: BufReader<fs::File>,
    path: PathBuf,
    driver: LogDriver,
    /// An entry that had no end yet when it was read.
    begun: Vec<u8>,
    /// Bytes read.
    position: u64,
}

impl File {
    fn open(path: PathBuf, driver: LogDriver) -> Result<Option<Self>> {
        match fs::File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => {
                let reader = BufReader::new(file.context(|| format!("cannot open {path:?}"))?);
                Ok(Some(Self { reader, path, driver, begun: Vec::new(), position: 0 }))
            }
        }
    }

    /// Gives every whole entry from here on.
    fn read(&mut self, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.notice_truncation()?;
        loop {
            let entry = match self.driver {
                LogDriver::Local => self.next_local()?,
                _ => self.next_json()?,
            };
            match entry {
                Some(entry) => each(entry)?,
                None => return Ok(()),
            }
        }
    }

    /// A log of one file is emptied instead of rotated.
    fn notice_truncation(&mut self) -> Result<()> {
        let what = || format!("cannot read {:?}", self.path);
        if self.reader.get_ref().metadata().context(what)?.len() < self.position {
            self.reader.seek(SeekFrom::Start(0)).context(what)?;
            self.begun.clear();
            self.position = 0;
        }
        Ok(())
    }

    /// The next line that is an entry. One that was cut short by a full disk is passed over.
    fn next_json(&mut self) -> Result<Option<Entry>> {
        loop {
            let rest = MAX_LINE.saturating_sub(self.begun.len()) as u64;
            let read = Read::take(&mut self.reader, rest).read_until(b'\n', &mut self.begun);
            self.position += read.context(|| format!("cannot read {:?}", self.path))? as u64;
            if self.begun.last() != Some(&b'\n') && self.begun.len() < MAX_LINE {
                return Ok(None);
            }
            let line = serde_json::from_slice::<json::Line>(&self.begun);
            self.begun.clear();
            if let Ok(line) = line {
                let stream = if line.stream == Stream::Stderr.name() { Stream::Stderr } else { Stream::Stdout };
                return Ok(Some(Entry { stream, time: line.time, text: line.log.into_bytes() }));
            }
        }
    }

    fn next_local(&mut self) -> Result<Option<Entry>> {
        if !self.fill(local::HEADER)? {
            return Ok(None);
        }
        let header = self.begun.first_chunk().and_then(local::Header::read);
        let header = header.ok_or_else(|| Error::corrupt(format!("the log {:?} is damaged", self.path)))?;
        if !self.fill(local::HEADER + header.len)? {
            return Ok(None);
        }
        let text = self.begun.split_off(local::HEADER);
        self.begun.clear();
        Ok(Some(Entry { stream: header.stream, time: format!("{:.9}", header.time), text }))
    }

    /// Reads until so many bytes of an entry are there. `false`: there are not so many yet.
    fn fill(&mut self, wanted: usize) -> Result<bool> {
        let missing = wanted.saturating_sub(self.begun.len()) as u64;
        let read = Read::take(&mut self.reader, missing).read_to_end(&mut self.begun);
        self.position += read.context(|| format!("cannot read {:?}", self.path))? as u64;
        Ok(self.begun.len() >= wanted)
    }
}
