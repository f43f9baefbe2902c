//! Logs in files, rotated where an entry ends.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Stream, json, local};
use crate::config::{LogConfig, LogDriver};

/// Entries are gathered up to this many bytes before they are written.
const GATHERED: usize = 32 << 10;

/// The files of one log.
#[derive(Debug)]
pub(super) struct Files {
    config: LogConfig,
    file: File,
    /// Of the current file.
    size: u64,
    /// Entries that are not written yet.
    gathered: Vec<u8>,
    entry: Vec<u8>,
    /// What every entry has besides, as it stands in one.
    attributes: String,
}

impl Files {
    pub(super) fn open(config: LogConfig) -> io::Result<Self> {
        let file = append(&config.path)?;
        let size = file.metadata()?.len();
        let attributes = json::attributes(&config.attributes);
        Ok(Self { config, file, size, gathered: Vec::new(), entry: Vec::new(), attributes })
    }

    /// A file never grows beyond its limit, unless one entry alone is larger.
    pub(super) fn add(&mut self, stream: Stream, text: &[u8], now: Timestamp) -> io::Result<()> {
        self.entry.clear();
        match self.config.driver {
            LogDriver::Local => local::encode(&mut self.entry, stream, text, now),
            _ => json::encode(&mut self.entry, stream, text, now, &self.attributes),
        }
        let size = self.size + self.gathered.len() as u64;
        if size > 0 && size + self.entry.len() as u64 > self.config.max_bytes {
            self.flush()?;
            self.rotate()?;
        }
        self.gathered.extend_from_slice(&self.entry);
        if self.gathered.len() >= GATHERED { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.gathered);
        match written {
            Ok(()) => self.size += self.gathered.len() as u64,
            // A full disk: an entry that is cut short would spoil the next one. What cannot be cut off stays.
            Err(_) => drop(self.file.set_len(self.size)),
        }
        self.gathered.clear();
        written
    }

    /// The oldest goes, and then each takes the place of the next older: whoever follows finds its file under the next number.
    fn rotate(&mut self) -> io::Result<()> {
        if self.config.max_files < 2 {
            self.file.set_len(0)?;
        } else {
            for number in (1..self.config.max_files).rev() {
                let newer = if number == 1 { self.config.path.clone() } else { rotated(&self.config.path, number - 1) };
                match fs::rename(newer, rotated(&self.config.path, number)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            self.file = append(&self.config.path)?;
        }
        self.size = 0;
        Ok(())
    }
}

/// The rotated file `PATH.number` of log `path`.
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}
