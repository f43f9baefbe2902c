//! A container's log: Docker's `json-file` format, one object a line, rotated by size.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::config::LogConfig;

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

/// The files' writer.
#[derive(Debug)]
pub struct Log {
    config: LogConfig,
    file: File,
    size: u64,
    /// The beginning of a line whose end has not come yet, of either stream.
    partial: [Vec<u8>; 2],
    line: Vec<u8>,
}

impl Log {
    /// Opens the log for appending.
    pub fn open(config: LogConfig) -> io::Result<Self> {
        let file = append(&config.path)?;
        let size = file.metadata()?.len();
        Ok(Self { config, file, size, partial: [Vec::new(), Vec::new()], line: Vec::new() })
    }

    /// Adds what a program wrote. Whole lines are written at once.
    ///
    /// # Errors
    /// A full disk, above all. What could not be written is lost; the next call tries again.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let now = Timestamp::now();
        self.line.clear();
        let mut partial = std::mem::take(&mut self.partial[stream as usize]);
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let mut piece = piece;
            while partial.len() + piece.len() > MAX_LINE {
                let (head, tail) = piece.split_at(MAX_LINE - partial.len());
                partial.extend_from_slice(head);
                encode(&mut self.line, stream, &partial, &now);
                partial.clear();
                piece = tail;
            }
            partial.extend_from_slice(piece);
            if partial.last() == Some(&b'\n') {
                encode(&mut self.line, stream, &partial, &now);
                partial.clear();
            }
        }
        self.partial[stream as usize] = partial;
        self.flush()
    }

    /// Writes lines that were never ended.
    pub fn finish(&mut self) -> io::Result<()> {
        let now = Timestamp::now();
        self.line.clear();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let partial = std::mem::take(&mut self.partial[stream as usize]);
            if !partial.is_empty() {
                encode(&mut self.line, stream, &partial, &now);
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        if self.size > 0 && self.size + self.line.len() as u64 > self.config.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(&self.line)?;
        self.size += self.line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.config.max_files < 2 {
            self.file.set_len(0)?;
        } else {
            for number in (1..self.config.max_files).rev() {
                let older = if number == 1 { self.config.path.clone() } else { rotated(&self.config.path, number - 1) };
                match fs::rename(older, rotated(&self.config.path, number)) {
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
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn encode(line: &mut Vec<u8>, stream: Stream, text: &[u8], now: &Timestamp) {
    line.extend_from_slice(b"{\"log\":\"");
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'"' => line.extend_from_slice(b"\\\""),
                b'\\' => line.extend_from_slice(b"\\\\"),
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                b'\t' => line.extend_from_slice(b"\\t"),
                0..0x20 | 0x7f => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => line.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            line.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    let _ = writeln!(line, "\",\"stream\":\"{}\",\"time\":\"{now:.9}\"}}", stream.name());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, max_bytes: u64, max_files: u32) -> LogConfig {
        let dir = std::env::temp_dir().join(format!("tare-log-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        LogConfig { path: dir.join("log"), max_bytes, max_files }
    }

    fn entries(path: &Path) -> Vec<(String, String)> {
        let text = fs::read_to_string(path).unwrap();
        let parse = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            (value["stream"].as_str().unwrap().to_owned(), value["log"].as_str().unwrap().to_owned())
        };
        text.lines().map(parse).collect()
    }

    #[test]
    fn lines_are_whole_whatever_the_reads_were() {
        let config = config("lines", 1 << 20, 3);
        let mut log = Log::open(config.clone()).unwrap();
        log.write(Stream::Stdout, b"on").unwrap();
        log.write(Stream::Stderr, b"err\"\x01\xff\n").unwrap();
        log.write(Stream::Stdout, b"e\ntwo").unwrap();
        log.finish().unwrap();
        let expected = [("stderr", "err\"\u{1}\u{fffd}\n"), ("stdout", "one\n"), ("stdout", "two")];
        assert_eq!(entries(&config.path), expected.map(|(s, l)| (s.to_owned(), l.to_owned())));
    }

    #[test]
    fn long_lines_are_cut() {
        let config = config("long", 1 << 20, 3);
        let mut log = Log::open(config.clone()).unwrap();
        log.write(Stream::Stdout, &[&vec![b'x'; 2 * MAX_LINE + 5][..], b"\n"].concat()).unwrap();
        let lengths: Vec<usize> = entries(&config.path).iter().map(|(_, line)| line.len()).collect();
        assert_eq!(lengths, [MAX_LINE, MAX_LINE, 6]);
    }

    #[test]
    fn rotation_keeps_the_newest_files() {
        let config = config("rotate", 300, 3);
        let mut log = Log::open(config.clone()).unwrap();
        for number in 0..20 {
            log.write(Stream::Stdout, format!("line {number}\n").as_bytes()).unwrap();
        }
        let last = entries(&config.path).pop().unwrap().1;
        assert_eq!(last, "line 19\n");
        assert!(rotated(&config.path, 1).exists() && rotated(&config.path, 2).exists());
        assert!(!rotated(&config.path, 3).exists());
        assert!(fs::metadata(rotated(&config.path, 1)).unwrap().len() <= 300);
    }
}
