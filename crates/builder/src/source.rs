//! The files that COPY, ADD and bind mounts take: found in a tree by patterns, walked in one fixed order, hashed.
//!
//! The tree may be hostile: a path is resolved in it as if it were `/`, and what is walked is held by descriptor, never
//! followed. Devices, fifos and sockets are never opened.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use dockerfile::{Ignore, matches_path};
use oci::{Digest, Sha256};
use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use stdx::{Context, Error, Kind, Result};
use sys::Errno;
use sys::root::Root;

use crate::key::Key;

/// How deep directories may lie.
const DEPTH: usize = 512;

/// Where files are taken from.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Root,
    pub(crate) ignore: Ignore,
    /// Files are their owners'; otherwise they become root's.
    pub(crate) keeps_owners: bool,
}

/// What to take from a tree, all expanded.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) patterns: Vec<String>,
    pub(crate) exclude: Vec<String>,
    /// Keep the directories above what is found.
    pub(crate) parents: bool,
}

/// Something that a pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    /// Where it is, without links.
    pub(crate) path: PathBuf,
    /// Its own name, or with parents the path that is kept.
    pub(crate) name: PathBuf,
    pub(crate) is_dir: bool,
}

/// Something found on the way through a match.
pub(crate) struct Found<'a> {
    /// Below the match; empty for itself.
    pub(crate) below: &'a Path,
    pub(crate) stat: Stat,
    handle: &'a OwnedFd,
}

impl Tree {
    /// What the patterns name, in their order. One without wildcards has to be there.
    pub(crate) fn find(&self, wanted: &Wanted) -> Result<Vec<Match>> {
        let mut found = Vec::new();
        for pattern in &wanted.patterns {
            let (cut, pattern) = split_pivot(pattern, wanted.parents);
            let mut paths = Vec::new();
            if has_wildcard(&pattern) {
                let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
                self.expand(PathBuf::new(), &parts, wanted.parents, &mut paths)?;
                paths.sort();
                paths.dedup();
            } else {
                paths.push(PathBuf::from(unescape(&pattern)));
            }
            for path in paths {
                match self.find_one(&path, cut, wanted)? {
                    Some(one) => found.push(one),
                    None if has_wildcard(&pattern) => {}
                    None => return Err(not_found(&path)),
                }
            }
        }
        Ok(found)
    }

    fn find_one(&self, path: &Path, cut: usize, wanted: &Wanted) -> Result<Option<Match>> {
        let message = || format!("cannot look for {path:?}");
        let resolved = self.root.resolve(path).context(message)?;
        let handle = match self.root.open_path(&resolved) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            handle => handle.context(message)?,
        };
        let is_dir = sys::root::file_type(&handle).context(message)? == FileType::Directory;
        let text = resolved.to_string_lossy();
        // Of a directory that is left out, something in it may not be.
        let is_ignored = if is_dir { self.ignore.skips_directory(&text) } else { self.ignore.excludes(&text) };
        if !resolved.as_os_str().is_empty() && is_ignored {
            return Ok(None);
        }
        let name: PathBuf = match wanted.parents {
            true => path.components().skip(cut).collect(),
            false => path.file_name().map(PathBuf::from).unwrap_or_default(),
        };
        let excluded = Ignore::of(wanted.exclude.iter().map(String::as_str)).map_err(Error::invalid)?;
        let names =
            [name.to_string_lossy(), path.to_string_lossy(), path.file_name().unwrap_or_default().to_string_lossy()];
        if !is_dir && names.iter().any(|name| excluded.excludes(name)) {
            return Ok(None);
        }
        Ok(Some(Match { path: resolved, name, is_dir }))
    }

    /// Adds the paths below `prefix` that the parts of a pattern match.
    fn expand(&self, prefix: PathBuf, parts: &[&str], deep: bool, into: &mut Vec<PathBuf>) -> Result<()> {
        let Some((part, rest)) = parts.split_first() else {
            into.push(prefix);
            return Ok(());
        };
        if deep && *part == "**" {
            self.expand(prefix.clone(), rest, deep, into)?;
            for (name, is_dir) in self.list(&prefix)? {
                if is_dir && prefix.components().count() < DEPTH {
                    self.expand(prefix.join(name), parts, deep, into)?;
                }
            }
            return Ok(());
        }
        if !has_wildcard(part) {
            return self.expand(prefix.join(unescape(part)), rest, deep, into);
        }
        for (name, _) in self.list(&prefix)? {
            let text = name.to_string_lossy();
            if matches_path(part, &text).map_err(Error::invalid)? {
                self.expand(prefix.join(&name), rest, deep, into)?;
            }
        }
        Ok(())
    }

    /// The names in a directory, sorted, and whether each is a directory itself; none if it is no directory.
    fn list(&self, path: &Path) -> Result<Vec<(PathBuf, bool)>> {
        let message = || format!("cannot list {path:?}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let dir = match self.root.open(path, flags) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
            dir => dir.context(message)?,
        };
        let mut found = Vec::new();
        for name in names(&dir).context(message)? {
            let handle = openat(&dir, &name[..], OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
            let is_dir = handle.and_then(sys::root::file_type).is_ok_and(|kind| kind == FileType::Directory);
            found.push((PathBuf::from(OsStr::from_bytes(&name)), is_dir));
        }
        Ok(found)
    }

    /// Goes through a match: itself, then what is in it, without what is ignored or excluded.
    pub(crate) fn walk(
        &self,
        at: &Match,
        wanted: &Wanted,
        visit: &mut dyn FnMut(&Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let exclude = Ignore::of(wanted.exclude.iter().map(String::as_str)).map_err(Error::invalid)?;
        let handle = self.root.open(&at.path, OFlags::PATH | OFlags::NOFOLLOW);
        let handle = handle.context(|| format!("cannot open {:?}", at.path))?;
        let mut walk = Walk { tree: self, exclude, base: &at.path, visit, waiting: Vec::new() };
        walk.enter(PathBuf::new(), handle)
    }

    /// The digest of everything the matches hold: names, modes, owners if they are kept, content; not times.
    pub(crate) fn digest(&self, matches: &[Match], wanted: &Wanted) -> Result<Digest> {
        let mut key = Key::new("files", None);
        for at in matches {
            key.add("match", if at.is_dir && !wanted.parents { b"" } else { at.name.as_os_str().as_bytes() });
            self.walk(at, wanted, &mut |found| found.describe(self.keeps_owners, &mut key))?;
        }
        Ok(key.finish())
    }
}

struct Walk<'a> {
    tree: &'a Tree,
    exclude: Ignore,
    base: &'a Path,
    visit: &'a mut dyn FnMut(&Found<'_>) -> Result<()>,
    /// Directories that are left out unless something in them is not.
    waiting: Vec<(PathBuf, OwnedFd)>,
}

impl Walk<'_> {
    fn enter(&mut self, below: PathBuf, handle: OwnedFd) -> Result<()> {
        let whole = self.base.join(&below);
        let message = || format!("cannot read {whole:?}");
        let stat = fstat(&handle).context(message)?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let (text, own) = (whole.to_string_lossy(), below.to_string_lossy());
        let is_top = own.is_empty();
        let out = |ignore: &Ignore, text: &str| !text.is_empty() && ignore.excludes(text);
        let excluded = out(&self.tree.ignore, &text) || !is_top && out(&self.exclude, &own);
        if !is_dir {
            return if excluded { Ok(()) } else { self.tell(&below, stat, &handle) };
        }
        let skips = |ignore: &Ignore, text: &str| !text.is_empty() && ignore.skips_directory(text);
        if skips(&self.tree.ignore, &text) || !is_top && skips(&self.exclude, &own) {
            return Ok(());
        }
        if below.components().count() > DEPTH {
            return Err(Error::unsupported(format!("{whole:?} lies more than {DEPTH} directories deep")));
        }
        let dir = openat(&handle, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .context(message)?;
        let waits = self.waiting.len();
        if excluded {
            self.waiting.push((below.clone(), handle));
        } else {
            self.tell(&below, stat, &handle)?;
        }
        for name in names(&dir).context(message)? {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&dir, &name[..], flags, Mode::empty()) {
                Ok(handle) => self.enter(below.join(OsStr::from_bytes(&name)), handle)?,
                // Gone since it was listed.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno).context(message),
            }
        }
        self.waiting.truncate(waits);
        Ok(())
    }

    fn tell(&mut self, below: &Path, stat: Stat, handle: &OwnedFd) -> Result<()> {
        for (below, handle) in std::mem::take(&mut self.waiting) {
            let stat = fstat(&handle).context(|| format!("cannot read {below:?}"))?;
            (self.visit)(&Found { below: &below, stat, handle: &handle })?;
        }
        (self.visit)(&Found { below, stat, handle })
    }
}

impl Found<'_> {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Opens what is a regular file: nothing can have taken its place.
    pub(crate) fn open(&self) -> Result<File> {
        let path = self.proc_path();
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        file.map(File::from).context(|| format!("cannot open {:?}", self.below))
    }

    /// Where a link leads.
    pub(crate) fn link(&self) -> Result<Vec<u8>> {
        let target =
            readlinkat(self.handle, "", Vec::new()).context(|| format!("cannot read link {:?}", self.below))?;
        Ok(target.into_bytes())
    }

    fn proc_path(&self) -> String {
        format!("/proc/self/fd/{}", self.handle.as_fd().as_raw_fd())
    }

    /// Its extended attributes but those of the overlay and of this machine, sorted.
    pub(crate) fn attributes(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let message = || format!("cannot read the attributes of {:?}", self.below);
        if !matches!(self.kind(), FileType::RegularFile | FileType::Directory) {
            return Ok(Vec::new());
        }
        let path = self.proc_path();
        let mut list = vec![0; 64 << 10];
        let length = match rustix::fs::listxattr(path.as_str(), &mut list[..]) {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(errno) => return Err(errno).context(message),
        };
        let mut found = Vec::new();
        for name in list[..length].split(|b| *b == 0).filter(|name| is_carried(name)) {
            let mut value = vec![0; 64 << 10];
            match rustix::fs::getxattr(path.as_str(), name, &mut value[..]) {
                Ok(length) => value.truncate(length),
                Err(Errno::NODATA) => continue,
                Err(errno) => return Err(errno).context(message),
            }
            found.push((name.to_vec(), value));
        }
        found.sort();
        Ok(found)
    }

    /// Adds what it is to a digest.
    fn describe(&self, with_owner: bool, key: &mut Key) -> Result<()> {
        if self.kind() == FileType::Socket {
            return Ok(());
        }
        key.add("path", self.below.as_os_str().as_bytes());
        key.add("mode", self.stat.st_mode.to_le_bytes());
        if with_owner {
            key.add("owner", [self.stat.st_uid.to_le_bytes(), self.stat.st_gid.to_le_bytes()].concat());
        }
        for (name, value) in self.attributes()? {
            key.add("attribute", name);
            key.add("value", value);
        }
        match self.kind() {
            FileType::RegularFile => key.add("content", hash(self.open()?)?.hex()),
            FileType::Symlink => key.add("link", self.link()?),
            FileType::CharacterDevice | FileType::BlockDevice => key.add("device", self.stat.st_rdev.to_le_bytes()),
            _ => {}
        }
        Ok(())
    }
}

fn is_carried(name: &[u8]) -> bool {
    name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
        || name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
}

fn hash(mut file: File) -> Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finish()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context(|| "cannot read a file to copy".to_owned()),
        }
    }
}

fn names(dir: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn not_found(path: &Path) -> Error {
    let message = format!("\"/{}\": not found", path.display());
    Error::new(Kind::NotFound, message).hint("it is not in the source, or an ignore file leaves it out")
}

fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn unescape(part: &str) -> String {
    let mut out = String::new();
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// How many parts of the path are not kept with `--parents`, and the pattern cleaned: relative, without `.`, and with
/// `..` never above the root.
fn split_pivot(pattern: &str, parents: bool) -> (usize, String) {
    let clean = |text: &str| -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                _ => parts.push(part.to_owned()),
            }
        }
        parts
    };
    let relative = pattern.strip_prefix("./").unwrap_or(pattern);
    let cut = match relative.split_once("/./") {
        Some((before, _)) if parents => clean(before).len(),
        _ => 0,
    };
    (cut, clean(pattern).join("/"))
}

/// A path inside a root in one spelling: absolute, without `.`, `..` and repeated slashes; one that is relative is meant
/// below `base`.
pub(crate) fn absolute(base: &str, path: &str) -> String {
    let mut parts: Vec<&OsStr> = Vec::new();
    let joined = Path::new("/").join(base).join(path);
    for component in joined.components() {
        match component {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    let parts: Vec<_> = parts.into_iter().map(OsStr::to_string_lossy).collect();
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_never_lead_above_the_root() {
        assert_eq!(absolute("/a", "b/../../../c"), "/c");
        assert_eq!(absolute("", "x//y/."), "/x/y");
        assert_eq!(absolute("/a", "/b/"), "/b");
        assert_eq!(absolute("/a", "."), "/a");
        assert_eq!(split_pivot("../../x/./y", false), (0, "x/y".to_owned()));
        assert_eq!(split_pivot("./x/./y/*.txt", true), (1, "x/y/*.txt".to_owned()));
        assert_eq!(split_pivot("/x/y", true), (0, "x/y".to_owned()));
        assert_eq!(unescape("a\\*b"), "a*b");
    }
}
