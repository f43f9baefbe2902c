//! Paths of procfs and sysfs that a container may not see or not change (config-linux.md, "Masked Paths" and "Readonly
//! Paths"). What is masked is looked at by descriptor, and covered through that descriptor.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, OFlags, fstat, major, minor};
use stdx::{Context, Error, Result};
use sys::Errno;
use sys::mount::{self, Attributes, Filesystem, attribute};
use sys::root::Root;

/// Covers `paths` with nothing: files by the null device, directories by an empty read-only tmpfs. Missing ones are fine.
pub(crate) fn mask(root: &Root, paths: &[String]) -> Result<()> {
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let what = || format!("cannot mask \"{path}\"");
        let Some(target) = existing(root, path).context(what)? else { continue };
        if !sys::root::file_type(&target).context(what)?.is_dir() {
            let cover = mount::clone_tree(null_device(root)?, Path::new(""), false).context(what)?;
            mount::attach(cover, target).context(what)?;
            continue;
        }
        let cover = match &empty {
            Some(first) => mount::clone_tree(first, Path::new(""), false).context(what)?,
            None => empty_dir().context(what)?,
        };
        mount::attach(&cover, target).context(what)?;
        // The kernel before 6.15 copies attached mounts only, which the first cover now is.
        empty.get_or_insert(cover);
    }
    Ok(())
}

/// Makes `paths`, and all mounts below them, read-only. Missing ones are fine.
pub(crate) fn make_readonly(root: &Root, paths: &[String]) -> Result<()> {
    for path in paths {
        let what = || format!("cannot make \"{path}\" read-only");
        let Some(target) = existing(root, path).context(what)? else { continue };
        let tree = mount::clone_tree(&target, Path::new(""), true).context(what)?;
        let attributes = Attributes { set: attribute::RDONLY, ..Attributes::default() };
        mount::set_attributes(&tree, &attributes, true).context(what)?;
        mount::attach(tree, target).context(what)?;
    }
    Ok(())
}

fn existing(root: &Root, path: &str) -> sys::Result<Option<OwnedFd>> {
    match root.open(path, OFlags::PATH) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        result => result.map(Some),
    }
}

fn empty_dir() -> sys::Result<OwnedFd> {
    let filesystem = Filesystem::open("tmpfs")?;
    filesystem.set("nr_blocks", "1")?;
    filesystem.set("nr_inodes", "1")?;
    filesystem.mount(attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC)
}

/// The container's `/dev/null`, which must really be that: an image could have put a file of its own there.
fn null_device(root: &Root) -> Result<OwnedFd> {
    let what = || "cannot use \"/dev/null\" to mask files".to_owned();
    let null = root.open("dev/null", OFlags::PATH | OFlags::NOFOLLOW).context(what)?;
    let stat = fstat(&null).context(what)?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3);
    if is_null { Ok(null) } else { Err(Error::invalid(format!("{}: it is not the null device", what()))) }
}
