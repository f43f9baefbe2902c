//! A journal: one file of lines that many processes add to, each line at once, and that others read and follow.
//!
//! ```text
//! DIR/journal      what is written to
//! DIR/journal.1    what was, before it
//! ```
//!
//! A writer holds the file's lock, shared with other writers, while it adds a line; whoever replaces the file holds it alone.
//! So nothing is added to a file once it has been replaced, and a reader that finds another file in its place and has read
//! its own to the end has missed nothing. Nobody has to be there for a line to be written: there is no daemon.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::watch::DirWatch;
use crate::{Context, Result};

/// A file that has grown to this many bytes is put aside, and the one before it goes.
const MAX_BYTES: u64 = 4 << 20;
/// Longer lines are not ours.
const MAX_LINE: usize = 1 << 20;

/// A journal's place.
#[derive(Debug, Clone)]
pub struct Journal {
    dir: PathBuf,
    max_bytes: u64,
}

impl Journal {
    /// The journal in `dir`, which the first line makes.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, max_bytes: MAX_BYTES }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("journal")
    }

    fn older(&self) -> PathBuf {
        self.dir.join("journal.1")
    }

    /// Adds a line, which has no newline in it.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn append(&self, line: &str) -> Result<()> {
        let what = || format!("cannot write to the journal in {:?}", self.dir);
        let line = format!("{line}\n");
        loop {
            let mut file = self.open()?;
            lock(&file, FlockOperation::LockShared).context(what)?;
            let size = file.metadata().context(what)?.len();
            if !is_same(&file, &self.path()) {
                continue;
            }
            if size >= self.max_bytes {
                drop(file);
                self.put_aside()?;
                continue;
            }
            return file.write_all(line.as_bytes()).context(what);
        }
    }

    fn open(&self) -> Result<File> {
        let what = || format!("cannot open the journal in {:?}", self.dir);
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(self.path());
        match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_dir()?;
                open().context(what)
            }
            file => file.context(what),
        }
    }

    fn make_dir(&self) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o711).create(&self.dir);
        made.context(|| format!("cannot make directory {:?}", self.dir))
    }

    fn put_aside(&self) -> Result<()> {
        let what = || format!("cannot replace the journal in {:?}", self.dir);
        let file = self.open()?;
        lock(&file, FlockOperation::LockExclusive).context(what)?;
        // Another writer may have been faster.
        let is_due = is_same(&file, &self.path()) && file.metadata().context(what)?.len() >= self.max_bytes;
        if is_due { fs::rename(self.path(), self.older()).context(what) } else { Ok(()) }
    }

    /// What is in the journal, and what will be.
    pub fn read(&self) -> Result<Reader> {
        self.make_dir()?;
        // Before the files are read: what is written from here on is noticed.
        let watch = DirWatch::new(&self.dir)?;
        let mut reader = Reader { journal: self.clone(), watch, open: Vec::new(), line: Vec::new() };
        // The newer one first: it can become the older, which would then be read twice, but not be missed.
        let newer = open_for_reading(&self.path())?;
        let older = open_for_reading(&self.older())?;
        let twice = |older: &BufReader<File>| newer.as_ref().is_some_and(|newer| inode(newer) == inode(older));
        reader.open.extend(older.filter(|older| !twice(older)));
        reader.open.extend(newer);
        Ok(reader)
    }
}

/// Reads a journal from its beginning, and follows it.
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    watch: DirWatch,
    /// What is read now, and what after it.
    open: Vec<BufReader<File>>,
    /// A line without its end yet.
    line: Vec<u8>,
}

impl Reader {
    /// The next whole line; `None`: there is none now.
    pub fn next_line(&mut self) -> Result<Option<String>> {
        let what = || format!("cannot read the journal in {:?}", self.journal.dir);
        loop {
            let Some(file) = self.open.first_mut() else {
                self.open.extend(open_for_reading(&self.journal.path())?);
                if self.open.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            // Asked before it is read to the end: a file that was replaced by then grows no more.
            let is_over = !is_same(file.get_ref(), &self.journal.path());
            let room = MAX_LINE.saturating_sub(self.line.len()) as u64;
            std::io::Read::take(&mut *file, room).read_until(b'\n', &mut self.line).context(what)?;
            if self.line.last() == Some(&b'\n') || self.line.len() >= MAX_LINE {
                let line = std::mem::take(&mut self.line);
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if !is_over {
                return Ok(None);
            }
            self.line.clear();
            self.open.remove(0);
        }
    }

    /// Waits until something may have been written, at most `limit`.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<()> {
        let what = || "cannot wait for the journal".to_owned();
        let limit = limit.map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
        match poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], limit.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            other => drop(other.context(what)?),
        }
        if !self.watch.drain() {
            // Somebody has removed the directory, as a boot does. It goes on in a new one.
            self.journal.make_dir()?;
            self.watch.look()?;
        }
        Ok(())
    }
}

fn lock(file: &File, operation: FlockOperation) -> rustix::io::Result<()> {
    loop {
        match flock(file, operation) {
            Err(Errno::INTR) => {}
            locked => return locked,
        }
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let key = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let own = file.metadata().map(key);
    own.is_ok_and(|own| fs::metadata(path).map(key).is_ok_and(|other| other == own))
}

fn inode(file: &BufReader<File>) -> Option<u64> {
    file.get_ref().metadata().ok().map(|metadata| metadata.ino())
}

fn open_for_reading(path: &Path) -> Result<Option<BufReader<File>>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(|file| Some(BufReader::new(file))).context(|| format!("cannot open {path:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("tare-journal-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            Self(dir)
        }

        fn journal(&self, max_bytes: u64) -> Journal {
            Journal { max_bytes, ..Journal::new(self.0.clone()) }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn all(reader: &mut Reader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_line().unwrap()).collect()
    }

    #[test]
    fn lines_come_back_in_order_and_the_oldest_go() {
        let scratch = Scratch::new("order");
        let journal = scratch.journal(100);
        (0..50).for_each(|number| journal.append(&format!("line {number:04}")).unwrap());
        let lines = all(&mut journal.read().unwrap());
        assert!((10..=20).contains(&lines.len()), "{}", lines.len());
        assert_eq!(lines.last().unwrap(), "line 0049");
        assert!(lines.is_sorted());
    }

    #[test]
    fn a_follower_misses_nothing_of_many_writers_over_replacement() {
        let scratch = Scratch::new("many");
        let journal = scratch.journal(2000);
        let mut reader = journal.read().unwrap();
        const WRITERS: usize = 4;
        const LINES: usize = 500;
        // A follower that is two files behind loses what is between: here it is not, for writers wait for it now and then.
        let read = std::sync::atomic::AtomicUsize::new(0);
        let written = std::sync::atomic::AtomicUsize::new(0);
        let seen = std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (journal, read, written) = (&journal, &read, &written);
                scope.spawn(move || {
                    use std::sync::atomic::Ordering::SeqCst;
                    for number in 0..LINES {
                        while written.load(SeqCst) > read.load(SeqCst) + 40 {
                            std::thread::yield_now();
                        }
                        journal.append(&format!("{writer} {number}")).unwrap();
                        written.fetch_add(1, SeqCst);
                    }
                });
            }
            let mut seen = Vec::new();
            while seen.len() < WRITERS * LINES {
                match reader.next_line().unwrap() {
                    Some(line) => {
                        seen.push(line);
                        read.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                    None => reader.wait(Some(Duration::from_secs(10))).unwrap(),
                }
            }
            seen
        });
        for writer in 0..WRITERS {
            let numbers: Vec<usize> =
                seen.iter().filter_map(|line| line.strip_prefix(&format!("{writer} "))?.parse().ok()).collect();
            assert_eq!(numbers, (0..LINES).collect::<Vec<_>>());
        }
    }

    #[test]
    fn following_goes_on_when_the_directory_was_removed() {
        let scratch = Scratch::new("gone");
        let journal = scratch.journal(MAX_BYTES);
        journal.append("before").unwrap();
        let mut reader = journal.read().unwrap();
        assert_eq!(all(&mut reader), ["before"]);
        fs::remove_dir_all(&scratch.0).unwrap();
        reader.wait(Some(Duration::from_secs(10))).unwrap();
        journal.append("after").unwrap();
        reader.wait(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(all(&mut reader), ["after"]);
    }
}
