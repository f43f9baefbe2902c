//! COPY and ADD: files of a tree are written into a step's layer, through the root that it makes with the layers below.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod,
    fchown, fsetxattr, fstat, futimens, linkat, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use stdx::{Context, Error, Result};
use sys::Errno;
use sys::root::Root;

use crate::chmod::Chmod;
use crate::source::{Found, Match, Tree, Wanted};

/// What files become.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// User and group; `None`: as the tree has them.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) chmod: Option<Chmod>,
}

/// Where files go.
#[derive(Debug)]
pub(crate) struct Destination {
    /// Absolute, clean.
    pub(crate) path: String,
    /// It was written with a slash at its end.
    pub(crate) is_dir: bool,
}

/// Writes into a root that nobody else writes to.
pub(crate) struct Writer<'a> {
    root: &'a Root,
    change: &'a Change,
    keeps_owners: bool,
    /// The directory written into last.
    parent: Option<(PathBuf, OwnedFd)>,
    /// What directories get when they are complete, in the order they were met.
    dirs: Vec<(PathBuf, Metadata)>,
    /// Files with several names: where the first went.
    links: HashMap<(u64, u64), PathBuf>,
}

struct Metadata {
    stat: Stat,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(root: &'a Root, change: &'a Change, keeps_owners: bool) -> Self {
        Self { root, change, keeps_owners, parent: None, dirs: Vec::new(), links: HashMap::new() }
    }

    /// Copies what was found in a tree.
    pub(crate) fn copy(&mut self, tree: &Tree, matches: &[Match], wanted: &Wanted, to: &Destination) -> Result<()> {
        let many = matches.len() > 1;
        for at in matches {
            let target = self.target(at, wanted, to, many)?;
            if wanted.parents {
                self.copy_parents(tree, at, to)?;
            }
            tree.walk(at, wanted, &mut |found| self.place(found, &target.join(found.below), found.below))?;
        }
        self.finish()
    }

    /// Where a match goes, links on the way resolved in the root.
    fn target(&mut self, at: &Match, wanted: &Wanted, to: &Destination, many: bool) -> Result<PathBuf> {
        let message = || format!("cannot copy to \"{}\"", to.path);
        let base = self.root.resolve(Path::new(&to.path)).context(message)?;
        let there = match self.root.open_path(&base) {
            Err(Errno::NOENT) => None,
            handle => Some(sys::root::file_type(handle.context(message)?).context(message)?),
        };
        let is_dir = there == Some(FileType::Directory);
        if many && !to.is_dir && !is_dir {
            return Err(Error::invalid(format!("{}: with more than one source it must be a directory", message()))
                .hint("end it with \"/\""));
        }
        if there.is_some() && !is_dir && (at.is_dir || to.is_dir || wanted.parents) {
            return Err(Error::invalid(format!("{}: it is no directory", message())));
        }
        let target = match at.is_dir {
            _ if wanted.parents => base.join(&at.name),
            true => base,
            false if to.is_dir || is_dir => base.join(&at.name),
            false => base,
        };
        if let Some(parent) = target.parent() {
            self.make_dirs(parent)?;
        }
        Ok(target)
    }

    /// The directories above a match, as the tree has them.
    fn copy_parents(&mut self, tree: &Tree, at: &Match, to: &Destination) -> Result<()> {
        let base = self.root.resolve(Path::new(&to.path)).context(|| format!("cannot copy to \"{}\"", to.path))?;
        let skipped = at.path.components().count().saturating_sub(at.name.components().count());
        let mut source: PathBuf = at.path.components().take(skipped).collect();
        let mut target = base;
        for name in at.name.parent().unwrap_or(Path::new("")).components() {
            source.push(name);
            target.push(name);
            let handle = tree.root.open_path(&source).context(|| format!("cannot read {source:?}"))?;
            let stat = fstat(&handle).context(|| format!("cannot read {source:?}"))?;
            self.dirs.push((target.clone(), Metadata { stat, attributes: Vec::new() }));
        }
        Ok(())
    }

    /// Makes the missing directories of a path without links; what is made belongs to the new owner.
    pub(crate) fn make_dirs(&mut self, path: &Path) -> Result<()> {
        let message = || format!("cannot make directory \"/{}\"", path.display());
        let mut done = PathBuf::new();
        let mut dir = self.root.open(".", OFlags::PATH | OFlags::DIRECTORY).context(message)?;
        for name in path.components() {
            done.push(name);
            match mkdirat(&dir, name.as_os_str(), Mode::RWXU) {
                Ok(()) => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let made = openat(&dir, name.as_os_str(), flags, Mode::empty()).context(message)?;
                    let (uid, gid) = self.change.owner.unwrap_or((0, 0));
                    fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).context(message)?;
                    fchmod(&made, Mode::from_raw_mode(0o755)).context(message)?;
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).context(message),
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            dir = self.root.open(&done, flags).context(message)?;
        }
        Ok(())
    }

    /// Puts one thing at `path`, which has no links but perhaps at its end.
    fn place(&mut self, found: &Found<'_>, path: &Path, below: &Path) -> Result<()> {
        let shown = || format!("\"/{}\"", path.display());
        let Some(name) = path.file_name() else {
            return if found.kind() == FileType::Directory {
                Ok(())
            } else {
                Err(Error::invalid("cannot copy to \"/\""))
            };
        };
        let parent = self.parent_of(path)?;
        let message = || format!("cannot copy to {}", shown());
        let there = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno).context(message),
        };
        if found.kind() == FileType::Directory {
            match there {
                None => mkdirat(parent, name, Mode::RWXU).context(message)?,
                // The destination itself keeps what it has.
                Some(FileType::Directory) if below.as_os_str().is_empty() => return Ok(()),
                Some(FileType::Directory) => {}
                Some(_) => return Err(Error::invalid(format!("{}: it is no directory", message()))),
            }
            self.dirs.push((path.to_owned(), Metadata { stat: found.stat, attributes: found.attributes()? }));
            return Ok(());
        }
        match there {
            Some(FileType::Directory) => return Err(Error::invalid(format!("{}: it is a directory", message()))),
            Some(_) => unlinkat(parent, name, AtFlags::empty()).context(message)?,
            None => {}
        }
        let parent = parent.try_clone().context(message)?;
        self.make(found, &parent, name, path)
    }

    fn make(&mut self, found: &Found<'_>, parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
        let message = || format!("cannot copy to \"/{}\"", path.display());
        let identity = (found.stat.st_dev, found.stat.st_ino);
        if found.stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&identity) {
                let first = self.root.open(first, OFlags::PATH | OFlags::NOFOLLOW).context(message)?;
                return linkat(&first, "", parent, name, AtFlags::EMPTY_PATH).context(message);
            }
            self.links.insert(identity, path.to_owned());
        }
        match found.kind() {
            FileType::RegularFile => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = File::from(openat(parent, name, flags, Mode::RUSR | Mode::WUSR).context(message)?);
                std::io::copy(&mut found.open()?, &mut file).context(message)?;
                let metadata = Metadata { stat: found.stat, attributes: found.attributes()? };
                return self.put(&file, &metadata, path);
            }
            FileType::Symlink => symlinkat(&found.link()?[..], parent, name).context(message)?,
            FileType::Socket => return Ok(()),
            FileType::CharacterDevice if found.stat.st_rdev == 0 => {
                return Err(Error::unsupported(format!("{}: it would be a whiteout", message())));
            }
            kind => mknodat(parent, name, kind, Mode::RUSR, found.stat.st_rdev).context(message)?,
        }
        let (uid, gid) = self.owner(&found.stat);
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).context(message)?;
        if found.kind() != FileType::Symlink {
            chmodat(parent, name, self.mode(&found.stat), AtFlags::empty()).context(message)?;
        }
        utimensat(parent, name, &times(&found.stat), AtFlags::SYMLINK_NOFOLLOW).context(message)
    }

    /// Writes a file that is in no tree.
    pub(crate) fn write(&mut self, name: &str, content: &[u8], time: (i64, i64), to: &Destination) -> Result<()> {
        let message = || format!("cannot write to \"{}\"", to.path);
        let base = self.root.resolve(Path::new(&to.path)).context(message)?;
        let is_dir = self.root.open(&base, OFlags::PATH | OFlags::DIRECTORY).is_ok();
        let path = if to.is_dir || is_dir { base.join(name) } else { base };
        self.make_dirs(path.parent().unwrap_or(Path::new("")))?;
        let Some(name) = path.file_name() else {
            return Err(Error::invalid(format!("{}: it is a directory", message())));
        };
        let parent = self.parent_of(&path)?.try_clone().context(message)?;
        match unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).context(message),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&parent, name, flags, Mode::RUSR | Mode::WUSR).context(message)?);
        std::io::Write::write_all(&mut file, content).context(message)?;
        let mut stat = fstat(&file).context(message)?;
        (stat.st_mode, stat.st_mtime, stat.st_mtime_nsec) = (0o100_644, time.0, time.1 as _);
        self.put(&file, &Metadata { stat, attributes: Vec::new() }, &path)
    }

    /// Gives every directory what it is to have; what was put into it is there.
    pub(crate) fn finish(&mut self) -> Result<()> {
        for (path, metadata) in std::mem::take(&mut self.dirs).into_iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let dir = self.root.open(&path, flags).context(|| format!("cannot open \"/{}\"", path.display()))?;
            self.put(&dir, &metadata, &path)?;
        }
        self.links.clear();
        Ok(())
    }

    /// Owner, attributes, mode, times: in the one order that keeps them all.
    fn put(&self, fd: impl AsFd, metadata: &Metadata, path: &Path) -> Result<()> {
        let message = || format!("cannot set the owner and mode of \"/{}\"", path.display());
        let (uid, gid) = self.owner(&metadata.stat);
        fchown(&fd, Some(uid), Some(gid)).context(message)?;
        for (name, value) in &metadata.attributes {
            match fsetxattr(&fd, &name[..], value, XattrFlags::empty()) {
                // What this file system cannot hold is left out, but never a capability.
                Err(Errno::OPNOTSUPP) if name != b"security.capability" => {}
                set => set.context(message)?,
            }
        }
        fchmod(&fd, self.mode(&metadata.stat)).context(message)?;
        futimens(&fd, &times(&metadata.stat)).context(message)
    }

    fn owner(&self, stat: &Stat) -> (Uid, Gid) {
        let own = if self.keeps_owners { (stat.st_uid, stat.st_gid) } else { (0, 0) };
        let (uid, gid) = self.change.owner.unwrap_or(own);
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    fn mode(&self, stat: &Stat) -> Mode {
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let mode = stat.st_mode & 0o7777;
        Mode::from_raw_mode(self.change.chmod.as_ref().map_or(mode, |chmod| chmod.apply(mode, is_dir)))
    }

    fn parent_of(&mut self, path: &Path) -> Result<&OwnedFd> {
        let dir = path.parent().unwrap_or(Path::new(""));
        if self.parent.as_ref().is_none_or(|(open, _)| open != dir) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let opened = self.root.open(dir, flags).context(|| format!("cannot open \"/{}\"", dir.display()))?;
            self.parent = Some((dir.to_owned(), opened));
        }
        match &self.parent {
            Some((_, fd)) => Ok(fd),
            None => Err(Error::new(stdx::Kind::Internal, "no directory is open")),
        }
    }
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: time, last_modification: time }
}
