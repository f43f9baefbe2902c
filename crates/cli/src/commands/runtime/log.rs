//! Where this runtime tells what it does: the file of `--log`, which an engine reads, or standard error.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use stdx::{Context, Error, Result};

use crate::error::printable;

/// How serious a line is, in the words of the log's readers.
#[derive(Debug, Clone, Copy)]
enum Level {
    Debug,
    Warning,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The log of one command.
#[derive(Debug, Default)]
pub(super) struct Log {
    path: Option<PathBuf>,
    json: bool,
    debug: bool,
    /// Opened when the first line is written: what is open before would be closed with what the caller left open. Init
    /// writes through it too, when it cannot see the path any more.
    file: OnceLock<Option<File>>,
}

impl Log {
    /// Lines go to this file, which is made here if need be.
    pub(super) fn set_path(&mut self, path: PathBuf) -> Result<()> {
        open(&path).context(|| format!("cannot open log {path:?}"))?;
        self.path = Some(path);
        Ok(())
    }

    /// `text` or `json`.
    pub(super) fn set_format(&mut self, format: &str) -> Result<()> {
        self.json = match format {
            "text" => false,
            "json" => true,
            _ => return Err(Error::invalid(format!("invalid log-format: {format}: it is text or json"))),
        };
        Ok(())
    }

    /// What [`debug`](Self::debug) is told is written.
    pub(super) fn enable_debug(&mut self, debug: bool) {
        self.debug = debug;
    }

    /// A step that is about to be taken.
    pub(super) fn debug(&self, message: &str) {
        if self.debug {
            self.write(Level::Debug, message);
        }
    }

    /// Something that was asked for and cannot be had.
    pub(super) fn warn(&self, message: &str) {
        match self.path {
            Some(_) => self.write(Level::Warning, message),
            None => eprintln!("WARNING: {}", printable(message)),
        }
    }

    /// Why the command fails. It is on standard error in any case.
    pub(super) fn error(&self, message: &str) {
        if self.path.is_some() {
            self.write(Level::Error, message);
        }
    }

    fn write(&self, level: Level, message: &str) {
        let file = self.file.get_or_init(|| self.path.as_ref().and_then(|path| open(path).ok()));
        let line = self.line(level, message);
        // One write a line, since init writes beside its creator. There is nowhere to report that there is no log.
        let _ = match file {
            Some(file) => { file }.write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    fn line(&self, level: Level, message: &str) -> String {
        let (time, level) = (jiff::Timestamp::now().to_string(), level.name());
        match self.json {
            true => format!("{}\n", serde_json::json!({ "level": level, "msg": message, "time": time })),
            false => format!("time=\"{time}\" level={level} msg={message:?}\n"),
        }
    }
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
