//! A directory tree under construction. Every path is resolved below its root by the kernel.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, mkdirat, mknodat, openat, openat2, statat, unlinkat,
};
use rustix::io::{self, Errno};
use stdx::remove_tree::remove_tree_at;
use stdx::{Context, Error, Result};

use crate::metadata::{Metadata, needs_root, set_opaque};
use crate::tar::lossy;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Paths here are clean: relative, without `.`, `..`, empty parts or NUL; the root itself is the empty path.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    /// The directory asked for last; archives go directory by directory. What is displaced lies directly in it, never
    /// above it, so it cannot become another one.
    parent: Option<(Vec<u8>, Arc<OwnedFd>)>,
    /// What each directory gets in the end; `None` while no entry said so.
    pub(crate) dirs: BTreeMap<Vec<u8>, Option<Metadata>>,
}

impl Tree {
    pub(crate) fn new(root: impl AsFd) -> Result<Self> {
        let root = openat(root, ".", DIRECTORY, Mode::empty()).context(|| "cannot open layer directory".to_owned())?;
        Ok(Self { root, parent: None, dirs: BTreeMap::from([(Vec::new(), None)]) })
    }

    /// Opens a directory; links on the way lead where they would with the tree as the root file system.
    pub(crate) fn open_dir(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        loop {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.root, path, DIRECTORY, Mode::empty(), resolve) {
                // Something was renamed elsewhere on the system meanwhile.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }

    /// Opens the directory an entry belongs in, made if it is not there.
    pub(crate) fn parent(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>> {
        let dir = split(path).0;
        if let Some((_, fd)) = self.parent.as_ref().filter(|(cached, _)| cached == dir) {
            return Ok(Arc::clone(fd));
        }
        let fd = match self.open_followed(dir) {
            // A loop is reported there, by the name that is in it.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => self.imply(dir)?,
            result => result.context(|| format!("cannot open the parent directory of {:?}", lossy(path)))?,
        };
        let fd = Arc::new(fd);
        self.parent = Some((dir.to_vec(), Arc::clone(&fd)));
        Ok(fd)
    }

    /// Like [`open_dir`](Self::open_dir), a link at the very end included.
    fn open_followed(&self, path: &[u8]) -> io::Result<OwnedFd> {
        if path.is_empty() { self.open_dir(path) } else { self.open_dir(&[path, b"/."].concat()) }
    }

    /// Makes the missing directories of a path, one after the other.
    fn imply(&mut self, dir: &[u8]) -> Result<OwnedFd> {
        let mut fd = self.open_dir(b"").context(|| "cannot open layer directory".to_owned())?;
        let ends = dir.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([dir.len()]);
        for end in ends {
            let path = &dir[..end];
            let name = split(path).1;
            let message = || format!("cannot create directory {:?}", lossy(path));
            match stat(&fd, name).context(message)? {
                Some(found) if !is_whiteout(&found) => {}
                _ => {
                    self.make_dir(&fd, path)?;
                    self.dirs.insert(path.to_vec(), None);
                }
            }
            fd = self.open_followed(path).map_err(|errno| match errno {
                Errno::NOTDIR | Errno::NOENT | Errno::LOOP => {
                    Error::corrupt(format!("entry below {:?}, which is no directory", lossy(path)))
                }
                _ => Err::<(), _>(errno).context(message).unwrap_err(),
            })?;
        }
        Ok(fd)
    }

    /// A directory that is there or is made, empty where something else was.
    pub(crate) fn make_dir(&mut self, parent: &OwnedFd, path: &[u8]) -> Result<()> {
        let name = split(path).1;
        let message = || format!("cannot create directory {:?}", lossy(path));
        match mkdirat(parent, name, Mode::RWXU) {
            Err(Errno::EXIST) => {}
            result => return result.context(message),
        }
        let found = stat(parent, name).context(message)?;
        if found.as_ref().is_some_and(is_directory) {
            return Ok(());
        }
        // What was there before, a whiteout above all, hid what the layers below have.
        self.displace(parent, path)?;
        mkdirat(parent, name, Mode::RWXU).context(message)?;
        set_opaque(openat(parent, name, DIRECTORY, Mode::empty()).context(message)?, &lossy(path))
    }

    /// Makes something by `create`, after removing what has its name.
    pub(crate) fn make<T>(
        &mut self,
        parent: &OwnedFd,
        path: &[u8],
        create: impl Fn(&[u8]) -> io::Result<T>,
    ) -> Result<T> {
        needs_root(self.try_make(parent, path, create)?, || format!("cannot create {:?}", lossy(path)))
    }

    /// The same for a `create` whose failure the caller knows what to do about.
    pub(crate) fn try_make<T>(
        &mut self,
        parent: &OwnedFd,
        path: &[u8],
        create: impl Fn(&[u8]) -> io::Result<T>,
    ) -> Result<io::Result<T>> {
        let name = split(path).1;
        let result = create(name);
        if !matches!(result, Err(Errno::EXIST)) {
            return Ok(result);
        }
        self.displace(parent, path)?;
        Ok(create(name))
    }

    /// Removes what has this name, if anything has.
    pub(crate) fn remove(&mut self, parent: &OwnedFd, path: &[u8]) -> Result<()> {
        let found = stat(parent, split(path).1).context(|| format!("cannot look at {:?}", lossy(path)))?;
        found.map_or(Ok(()), |_| self.displace(parent, path))
    }

    /// Gives every directory what it is to have, the innermost first; `implied` says so where no entry did. The number of
    /// attributes left out.
    pub(crate) fn finish_dirs(&self, implied: impl Fn(&[u8]) -> Result<Metadata>) -> Result<u64> {
        let mut dropped = 0;
        for (path, metadata) in self.dirs.iter().rev() {
            let metadata = match metadata {
                Some(metadata) => metadata,
                None => &implied(path)?,
            };
            match self.open_dir(path) {
                Ok(dir) => dropped += metadata.put(dir, &lossy(path))?,
                // A later entry took its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(errno).context(|| format!("cannot open directory {:?}", lossy(path))),
            }
        }
        Ok(dropped)
    }

    /// A mark that hides what the layers below have under this name.
    pub(crate) fn white_out(&mut self, parent: &OwnedFd, path: &[u8]) -> Result<()> {
        let name = split(path).1;
        let message = || format!("cannot white out {:?}", lossy(path));
        match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Err(Errno::EXIST) => {}
            result => return needs_root(result, message),
        }
        // It hides lower layers only, in whichever order both come: a file of this layer does that by being there.
        if stat(parent, name).context(message)?.as_ref().is_some_and(is_directory) {
            set_opaque(openat(parent, name, DIRECTORY, Mode::empty()).context(message)?, &lossy(path))?;
        }
        Ok(())
    }

    /// Removes what has this name, a whole tree if need be.
    fn displace(&mut self, parent: &OwnedFd, path: &[u8]) -> Result<()> {
        let name = split(path).1;
        match unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                let below = [path, b"/"].concat();
                self.dirs.retain(|dir, _| dir != path && !dir.starts_with(&below));
                remove_tree_at(parent, name)
            }
            result => result,
        }
        .context(|| format!("cannot replace {:?}", lossy(path)))
    }

    /// What an entry's path names now, a link at its end not followed; whiteouts count as nothing.
    pub(crate) fn find(&self, path: &[u8]) -> io::Result<Option<(OwnedFd, Stat)>> {
        let (dir, name) = split(path);
        let parent = match self.open_followed(dir) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let found = stat(&parent, if name.is_empty() { b"." } else { name })?;
        Ok(found.filter(|found| !is_whiteout(found)).map(|found| (parent, found)))
    }
}

/// Directory part and last name of a clean path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

pub(crate) fn stat(dir: impl AsFd, name: &[u8]) -> io::Result<Option<Stat>> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// The overlay's mark for "not here, whatever is below".
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}
