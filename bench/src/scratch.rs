//! A directory of this benchmark's own, with nothing left of it afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{UnmountFlags, unmount};
use stdx::{Context, Result};

use crate::sample;

/// Two directories: for data on the disk that was named, and a short path in `/run` for sockets.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) data: PathBuf,
    pub(crate) run: PathBuf,
}

impl Scratch {
    pub(crate) fn new(parent: &Path) -> Result<Self> {
        let name = format!("tare-bench-{}", std::process::id());
        let scratch = Self { data: parent.join(&name), run: Path::new("/run").join(&name) };
        for dir in [&scratch.data, &scratch.run] {
            fs::create_dir_all(dir).context(|| format!("cannot make {dir:?}"))?;
        }
        Ok(scratch)
    }

    /// A part of another one, which goes before that.
    pub(crate) fn within(other: &Self, name: &str) -> Result<Self> {
        let scratch = Self { data: other.data.join(name), run: other.run.join(name) };
        for dir in [&scratch.data, &scratch.run] {
            fs::create_dir_all(dir).context(|| format!("cannot make {dir:?}"))?;
        }
        Ok(scratch)
    }

    /// A new directory for data.
    pub(crate) fn data(&self, name: &str) -> Result<PathBuf> {
        let dir = self.data.join(name);
        fs::create_dir_all(&dir).context(|| format!("cannot make {dir:?}"))?;
        Ok(dir)
    }

    /// A new file with this content.
    pub(crate) fn file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.data.join(name);
        fs::write(&path, content).context(|| format!("cannot write {path:?}"))?;
        Ok(path)
    }

    /// A directory with the content of a tar.
    pub(crate) fn unpack(&self, archive: &Path, name: &str) -> Result<PathBuf> {
        let dir = self.data(name)?;
        sample::quiet(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&dir))?;
        Ok(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Engines leave mounts of their storage: the deepest first.
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        for point in points.filter(|point| point.starts_with(&self.data) || point.starts_with(&self.run)) {
            let _ = unmount(point, UnmountFlags::DETACH);
        }
        for dir in [&self.data, &self.run] {
            if let Err(error) = fs::remove_dir_all(dir) {
                eprintln!("cannot remove {dir:?}: {error}");
            }
        }
    }
}
