//! Removing directory trees that strangers made: as deep as they like, and never through a symbolic link.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::{self, Errno};
use rustix::path::Arg;

use crate::{Context, Result, id};

/// Directories open at once. Deeper trees are moved up to the top and removed there, so neither the stack nor the
/// limit of open files bounds the depth.
const DEPTH: u32 = 32;

/// Removes a file or a whole tree; what is not there is removed already. Mount points inside stop it.
pub fn remove_tree(path: &Path) -> Result<()> {
    remove_tree_at(CWD, path).context(|| format!("cannot remove {path:?}"))
}

/// The same for a name in an open directory.
pub fn remove_tree_at(dir: impl AsFd, name: impl Arg + Copy) -> io::Result<()> {
    match unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno),
    }
    let top = match open(dir.as_fd(), name) {
        Err(Errno::NOENT) => return Ok(()),
        top => top?,
    };
    while clear(top.as_fd(), top.as_fd(), 0)? {}
    match unlinkat(&dir, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn open(dir: BorrowedFd<'_>, name: impl Arg) -> io::Result<OwnedFd> {
    openat(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Empties `dir`; true if a directory was moved to the top instead, which must be cleared again.
fn clear(top: BorrowedFd<'_>, dir: BorrowedFd<'_>, depth: u32) -> io::Result<bool> {
    let mut moved = false;
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            moved |= clear_entry(top, dir, name, depth)?;
        }
    }
    Ok(moved)
}

fn clear_entry(top: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr, depth: u32) -> io::Result<bool> {
    // Two processes may be removing the same tree: what the other was faster with is done.
    let done = |result: io::Result<()>| match result {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    };
    match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        result => return done(result),
    }
    match unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY) => {}
        result => return done(result),
    }
    if depth == DEPTH {
        return renameat(dir, name, top, format!(".{}", id::random_hex(8))).map(|()| true);
    }
    let moved = match open(dir, name) {
        Err(Errno::NOENT) => return Ok(false),
        opened => clear(top, opened?.as_fd(), depth + 1)?,
    };
    done(unlinkat(dir, name, AtFlags::REMOVEDIR))?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn a_tree_deeper_than_any_path_goes_and_links_are_not_followed() {
        let base = std::env::temp_dir().join(format!("tare-{}", id::random_hex(8)));
        fs::create_dir_all(base.join("victim/sub/sub")).unwrap();
        fs::write(base.join("keep"), "").unwrap();
        std::os::unix::fs::symlink("..", base.join("victim/up")).unwrap();
        let mut dir = open(CWD, base.join("victim")).unwrap();
        for _ in 0..3000 {
            mkdirat(&dir, "d", Mode::RWXU).unwrap();
            mkdirat(&dir, "e", Mode::RWXU).unwrap();
            dir = open(dir.as_fd(), "d").unwrap();
        }
        drop(dir);
        remove_tree(&base.join("victim")).unwrap();
        remove_tree(&base.join("victim")).unwrap();
        assert_eq!(fs::read_dir(&base).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>(), ["keep"]);
        remove_tree(&base).unwrap();
    }
}
