//! `cargo xtask fixtures`: the images that tests, demo and benchmark run, as root file system tars in `target/fixtures`,
//! and a registry for them.
//!
//! Each is made once, under a lock, beside its place, and moved there when it is whole: an interrupted run leaves
//! nothing that a later one would take for an image.

mod busybox;
pub(crate) mod debian;
mod registry;

use std::fs;
use std::path::{Path, PathBuf};

use stdx::flock::Flock;
use stdx::{Context, Result};

use crate::build;

/// Makes everything and prints where it is.
pub(crate) fn print() -> Result<()> {
    for path in all()?.into_iter().chain([registry()?]) {
        println!("{}", path.display());
    }
    Ok(())
}

/// Every image, busybox first.
pub(crate) fn all() -> Result<Vec<PathBuf>> {
    Ok(vec![busybox()?, debian()?])
}

/// A small Debian.
pub(crate) fn debian() -> Result<PathBuf> {
    ensure("debian.tar", debian::make)
}

/// Debian's busybox-static with a link for every applet, and the accounts of a small system.
pub(crate) fn busybox() -> Result<PathBuf> {
    ensure("busybox.tar", busybox::make)
}

/// The program of a real registry.
pub(crate) fn registry() -> Result<PathBuf> {
    ensure("docker-registry", registry::make)
}

fn ensure(name: &str, make: fn(&Path) -> Result<()>) -> Result<PathBuf> {
    let dir = build::target_dir().join("fixtures");
    fs::create_dir_all(&dir).context(|| format!("cannot make {dir:?}"))?;
    let path = dir.join(name);
    let _lock = Flock::exclusive(&dir.join("lock"))?;
    if path.exists() {
        return Ok(path);
    }
    println!("making {}", path.display());
    // Tools look at the ending: keep it.
    let unfinished = dir.join(format!("unfinished-{name}"));
    make(&unfinished)?;
    fs::rename(&unfinished, &path).context(|| format!("cannot move {unfinished:?} to {path:?}"))?;
    Ok(path)
}
