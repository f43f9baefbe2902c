//! `tare build`: Dockerfiles become images.

mod cache;
mod contexts;
mod copy;
mod corpus;
mod errors;
mod escapes;
mod image;
mod instructions;
mod kills;
mod mounts;
mod stages;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use e2e::{Outcome, Tare};

use image::Image;

/// A build context of a test's own.
struct Project<'a> {
    tare: &'a Tare,
    dir: PathBuf,
}

impl<'a> Project<'a> {
    /// A directory with this Dockerfile.
    fn new(tare: &'a Tare, dockerfile: &str) -> Self {
        static COUNTER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let project = Self { tare, dir: tare.dir(&format!("project-{number}")) };
        project.with("Dockerfile", dockerfile)
    }

    /// The same with a file, mode 0644.
    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(name, content);
        self
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.chmod(name, 0o644);
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self) -> &Path {
        &self.dir
    }

    /// `tare build OPTIONS DIRECTORY`.
    fn build(&self, options: &[&str]) -> Outcome {
        self.tare.tare(["build"].iter().chain(options).copied().chain([self.dir.to_str().unwrap()]))
    }

    /// The image that comes of it.
    #[track_caller]
    fn image(&self, options: &[&str]) -> Image {
        let outcome = self.build(&[&["-q"], options].concat());
        Image::new(self.tare, outcome.ok().trim())
    }
}

/// The steps that were made and not taken from the cache, by what the progress says.
fn made(outcome: &Outcome) -> usize {
    outcome.exits(0).stderr().lines().filter(|line| line.contains(" DONE ")).count()
}

/// The steps that were taken from the cache.
fn cached(outcome: &Outcome) -> usize {
    outcome.exits(0).stderr().lines().filter(|line| line.ends_with(" CACHED")).count()
}
