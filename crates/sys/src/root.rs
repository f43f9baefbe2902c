//! Paths inside a root directory that somebody else has filled: every component is resolved by the kernel as if the
//! root were `/`, links included, so no name leads outside.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, readlinkat, statat};

use crate::{Errno, Result};

/// Links followed before a path is given up, as the kernel's own limit.
const MAX_LINKS: usize = 40;
/// How often the kernel is asked while something else on the machine disturbs it.
const ATTEMPTS: usize = 64;

/// A root directory, held open.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Takes an open directory as root.
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Opens `path` inside the root. The final link is followed unless `flags` say `NOFOLLOW`.
    pub fn open(&self, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd> {
        self.open_mode(path, flags, Mode::empty())
    }

    /// As [`Self::open`], with a mode for a file that `O_CREAT` makes.
    pub fn open_mode(&self, path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let path = relative(path.as_ref());
        for _ in 0..ATTEMPTS {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // The kernel gives up when something was renamed or mounted under the walk, anywhere on the machine.
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        self.walk(path, flags, mode)
    }

    /// The same part by part, for when the machine does not stand still: `..` goes back to what was open before, so nothing
    /// leads above the root.
    fn walk(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let mut pending: Vec<OsString> = components(path).collect();
        pending.reverse();
        let mut dirs: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == ".." {
                dirs.pop();
                continue;
            }
            let dir = dirs.last().map_or(self.fd.as_fd(), AsFd::as_fd);
            let is_last = pending.is_empty();
            let own = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let handle = match openat(dir, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                Err(Errno::NOENT) if is_last && flags.contains(OFlags::CREATE) => return openat(dir, &name, own, mode),
                handle => handle?,
            };
            match file_type(&handle)? {
                FileType::Symlink if !is_last || !flags.contains(OFlags::NOFOLLOW) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = readlinkat(&handle, "", Vec::new())?.into_bytes();
                    if target.starts_with(b"/") {
                        dirs.clear();
                    }
                    let mut names: Vec<OsString> = components(Path::new(&OsString::from_vec(target))).collect();
                    names.reverse();
                    pending.append(&mut names);
                }
                _ if is_last => return openat(dir, &name, own, mode),
                FileType::Directory => dirs.push(handle),
                _ => return Err(Errno::NOTDIR),
            }
        }
        openat(dirs.last().map_or(self.fd.as_fd(), AsFd::as_fd), ".", flags | OFlags::CLOEXEC, mode)
    }

    /// A handle on `path` that allows no reading, only naming it to other calls.
    pub fn open_path(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        self.open(path, OFlags::PATH)
    }

    /// Opens directory `path`, making it and missing parents with `mode`. Links are followed inside the root; a link to
    /// nowhere is followed as well and its target made.
    pub fn make_dirs(&self, path: impl AsRef<Path>, mode: Mode) -> Result<OwnedFd> {
        if let Ok(fd) = self.open(path.as_ref(), OFlags::PATH | OFlags::DIRECTORY) {
            return Ok(fd);
        }
        let resolved = self.resolve(path.as_ref())?;
        let mut done = PathBuf::new();
        let mut dir = self.open(".", OFlags::PATH | OFlags::DIRECTORY)?;
        for name in resolved.components() {
            done.push(name);
            match mkdirat(&dir, name.as_os_str(), mode) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            dir = self.open(&done, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        }
        Ok(dir)
    }

    /// Opens (O_PATH) file `path`, making an empty one of `mode`, and missing parents, where there is nothing.
    pub fn make_file(&self, path: impl AsRef<Path>, mode: Mode) -> Result<OwnedFd> {
        if let Ok(fd) = self.open_path(path.as_ref()) {
            return Ok(fd);
        }
        let resolved = self.resolve(path.as_ref())?;
        let name = resolved.file_name().ok_or(Errno::ISDIR)?;
        let parent = resolved.parent().unwrap_or(Path::new(""));
        let dir = self.make_dirs(parent, Mode::from_raw_mode(0o755))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match openat(&dir, name, flags, mode) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        openat(&dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    /// Opens (O_PATH) what `name` is in directory `dir`, which may not be a link, making an empty file of `mode` where
    /// there is nothing.
    pub fn make_own_file(&self, dir: impl AsRef<Path>, name: &str, mode: Mode) -> Result<OwnedFd> {
        let dir = self.make_dirs(dir, Mode::from_raw_mode(0o755))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match openat(&dir, name, flags, mode) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let file = openat(&dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if file_type(&file)? == FileType::Symlink { Err(Errno::LOOP) } else { Ok(file) }
    }

    /// The path below the root without links, `.` and `..`; components that do not exist are taken as they are.
    ///
    /// The answer is a hint for making what is missing: whoever can change the tree can make it stale, so what is opened
    /// afterwards is opened with the root's rules again.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let mut pending: Vec<OsString> = components(path).collect();
        pending.reverse();
        let mut resolved = PathBuf::new();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(&name);
            let Some(target) = self.read_link(&next)? else {
                resolved = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP);
            }
            if target.is_absolute() {
                resolved = PathBuf::new();
            }
            let mut names: Vec<OsString> = components(&target).collect();
            names.reverse();
            pending.append(&mut names);
        }
        Ok(resolved)
    }

    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>> {
        let fd = match self.open(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            result => result?,
        };
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::Symlink {
            return Ok(None);
        }
        let target = readlinkat(&fd, "", Vec::new())?;
        Ok(Some(PathBuf::from(OsString::from_vec(target.into_bytes()))))
    }

    /// Whether `path` names something, the last link not followed.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.open(path, OFlags::PATH | OFlags::NOFOLLOW).is_ok()
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The type of what `fd` is open on.
pub fn file_type(fd: impl AsFd) -> Result<FileType> {
    let stat = statat(fd, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn relative(path: &Path) -> &Path {
    let stripped = path.strip_prefix("/").unwrap_or(path);
    if stripped.as_os_str().is_empty() { Path::new(".") } else { stripped }
}

fn components(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    let bytes = path.as_os_str().as_bytes();
    bytes
        .split(|&b| b == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root(name: &str) -> (PathBuf, Root) {
        let dir = std::env::temp_dir().join(format!("tare-root-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        let fd = fs::File::open(&dir).expect("just made");
        (dir, Root::new(fd.into()))
    }

    #[test]
    fn links_stay_inside() {
        let (dir, root) = root("links");
        symlink("/etc", dir.join("abs")).unwrap();
        symlink("../../../..", dir.join("up")).unwrap();
        let made = root.make_dirs("abs/x", Mode::from_raw_mode(0o755));
        assert!(made.is_ok(), "{made:?}");
        assert!(dir.join("etc/x").is_dir());
        assert_eq!(root.resolve(Path::new("up/up/a")).unwrap(), Path::new("a"));
        root.make_file("up/abs/f", Mode::from_raw_mode(0o600)).unwrap();
        assert!(dir.join("etc/f").is_file());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_walk_ends_where_the_kernel_ends() {
        use std::os::unix::fs::MetadataExt;
        let (dir, root) = root("walk");
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/f"), "f").unwrap();
        symlink("/a", dir.join("abs")).unwrap();
        symlink("../../../a/./f", dir.join("a/up")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        let paths =
            ["", "a", "a/b/..", "../../a/f", "abs/b", "abs/up", "a/up", "a/f/x", "nope", "loop", "loop/x", "abs/.."];
        for path in paths {
            for flags in [OFlags::PATH, OFlags::PATH | OFlags::NOFOLLOW, OFlags::RDONLY] {
                let identity = |fd: Result<OwnedFd>| fd.map(|fd| fs::File::from(fd).metadata().unwrap().ino());
                let walked = identity(root.walk(relative(Path::new(path)), flags, Mode::empty()));
                assert_eq!(walked, identity(root.open(path, flags)), "{path} {flags:?}");
            }
        }
        let flags = OFlags::WRONLY | OFlags::CREATE;
        root.walk(Path::new("abs/new"), flags, Mode::from_raw_mode(0o600)).unwrap();
        assert!(dir.join("a/new").is_file());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (dir, root) = root("loop");
        symlink("b", dir.join("a")).unwrap();
        symlink("a", dir.join("b")).unwrap();
        assert_eq!(root.make_dirs("a/x", Mode::from_raw_mode(0o755)).unwrap_err(), Errno::LOOP);
        fs::remove_dir_all(dir).unwrap();
    }
}
