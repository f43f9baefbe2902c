//! An archive's files into a tree that is in use: what `cp` writes into a container or onto the host.
//!
//! The tree has other writers, who may be hostile. So every step goes from an open directory to a name in it: what the
//! archive says is a directory is opened as one and never through a link; what is made is made exclusively and finished
//! by its descriptor. A directory that the archive only implies (`a/b` without `a`) may be a link, as it is in images with
//! a `/lib`, and is followed inside the root.
//!
//! Docker's rules: a directory that is there stays and gets the owner and mode of the archive's; any other thing is
//! replaced, not written to; neither takes the other's place. Entry `.` says nothing about the directory that is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, StatxFlags, Uid, fchown, fstat, linkat, makedev, mkdirat,
    mknodat, openat, openat2, statx, symlinkat, unlinkat,
};
use rustix::io::{self, Errno};
use stdx::{Context, Error, Result};

use crate::apply::{clean, create_file, write_file};
use crate::metadata::Metadata;
use crate::tar::{Entry, EntryKind, TarReader, lossy};
use crate::tree::{is_directory, split, stat};
use crate::{IdMaps, Limits};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A name that somebody else keeps making again is given up after this many attempts.
const ATTEMPTS: usize = 16;

/// Where an archive goes.
#[derive(Debug)]
pub struct Place<'a> {
    /// Links lead nowhere outside of it.
    pub root: BorrowedFd<'a>,
    /// The directory that the archive's names start in, below the root.
    pub dir: BorrowedFd<'a>,
    /// The same as a path from the root.
    pub path: &'a [u8],
    pub owners: Owners,
}

/// Whose the files are to be.
#[derive(Debug, Clone)]
pub enum Owners {
    /// As the archive says, which has the container's ids; the tree has the host's.
    OfArchive(IdMaps),
    /// This user's and this group's, all of them.
    All { uid: u32, gid: u32 },
}

/// Puts an archive in its place; the bytes of the archive.
///
/// `Conflict` where a directory and something else would replace each other, `Corrupt` for an archive that is malformed,
/// reaches out of its place or exceeds `limits`. After an error a part of it is there.
pub fn place(reader: impl Read, place: Place<'_>, limits: &Limits) -> Result<u64> {
    let mut tar = TarReader::new(reader, limits);
    let mut placer = Placer { place, parent: None, dirs: BTreeMap::new() };
    while let Some(entry) = tar.next_entry()? {
        placer.add(&mut tar, &entry)?;
    }
    placer.finish_dirs()?;
    tar.finish()
}

struct Placer<'a> {
    place: Place<'a>,
    /// The directory asked for last.
    parent: Option<(Vec<u8>, Arc<OwnedFd>)>,
    /// The archive's directories, finished last: making something in one changes its times.
    dirs: BTreeMap<Vec<u8>, Metadata>,
}

impl Placer<'_> {
    fn add<R: BufRead>(&mut self, tar: &mut TarReader<R>, entry: &Entry) -> Result<()> {
        let path = clean(&entry.path)?;
        if path.is_empty() {
            return Ok(());
        }
        let text = lossy(&path);
        let parent = self.parent(&path)?;
        let name = split(&path).1;
        let metadata = self.owned(entry);
        match entry.kind {
            EntryKind::Directory => {
                make_dir(&parent, name, &text)?;
                self.dirs.insert(path.clone(), metadata);
                return Ok(());
            }
            EntryKind::File => {
                let file = match make(&parent, name, &text, |name| create_file(&parent, name, metadata.first_mode()))? {
                    Some(file) => file,
                    None => overwrite(&parent, name, &text)?,
                };
                let file = File::from(file);
                write_file(tar, entry, &file, &path)?;
                metadata.put(&file, &text)?;
                return Ok(());
            }
            EntryKind::HardLink => {
                let target = clean(&entry.link)?;
                let from = self.parent(&target)?;
                let link = |name: &[u8]| linkat(&from, split(&target).1, &parent, name, AtFlags::empty());
                return not_in_use(make(&parent, name, &text, link)?, &text);
            }
            EntryKind::Symlink => {
                not_in_use(make(&parent, name, &text, |name| symlinkat(&entry.link[..], &parent, name))?, &text)?;
            }
            EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => {
                let device = makedev(entry.device.0, entry.device.1);
                let kind = match entry.kind {
                    EntryKind::CharDevice => FileType::CharacterDevice,
                    EntryKind::BlockDevice => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let node = |name: &[u8]| mknodat(&parent, name, kind, Mode::RUSR, device);
                not_in_use(make(&parent, name, &text, node)?, &text)?;
            }
        }
        metadata.put_at(&parent, name, &text).map(drop)
    }

    /// What the entry is to have, with owners as this tree has them.
    fn owned(&self, entry: &Entry) -> Metadata {
        let metadata = Metadata::of_entry(entry);
        let (uid, gid) = self.owner(entry.uid, entry.gid);
        Metadata { uid, gid, ..metadata }
    }

    fn owner(&self, uid: u32, gid: u32) -> (u32, u32) {
        match &self.place.owners {
            Owners::OfArchive(ids) => (ids.host_user(uid), ids.host_group(gid)),
            Owners::All { uid, gid } => (*uid, *gid),
        }
    }

    /// The directory an entry belongs in, made if it is not there.
    fn parent(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>> {
        let dir = split(path).0;
        if let Some((_, fd)) = self.parent.as_ref().filter(|(cached, _)| cached == dir) {
            return Ok(Arc::clone(fd));
        }
        let opened = if dir.is_empty() || self.dirs.contains_key(dir) { self.own_dir(dir) } else { self.implied(dir) };
        let fd = Arc::new(opened.context(|| format!("cannot open the directory of {:?}", lossy(path)))?);
        self.parent = Some((dir.to_vec(), Arc::clone(&fd)));
        Ok(fd)
    }

    /// One that the archive has put there: who replaces it by a link gets nothing.
    fn own_dir(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        open_dir(self.place.dir, if path.is_empty() { b"." } else { path }, resolve)
    }

    /// One that the archive only implies: a link to a directory inside the root will do, and what is missing is made.
    fn implied(&self, dir: &[u8]) -> io::Result<OwnedFd> {
        let mut fd = self.own_dir(b"")?;
        let ends = dir.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([dir.len()]);
        for end in ends {
            let made = mkdirat(&fd, split(&dir[..end]).1, Mode::from_raw_mode(0o755));
            match made {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            let path = [self.place.path, b"/", &dir[..end], b"/."].concat();
            let start = path.iter().position(|b| *b != b'/').unwrap_or(0);
            fd = open_dir(self.place.root, &path[start..], ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?;
            if made.is_ok() {
                let (uid, gid) = self.owner(0, 0);
                fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            }
        }
        Ok(fd)
    }

    fn finish_dirs(&self) -> Result<()> {
        for (path, metadata) in self.dirs.iter().rev() {
            let dir = self.own_dir(path).context(|| format!("cannot open directory {:?}", lossy(path)))?;
            metadata.put(dir, &lossy(path))?;
        }
        Ok(())
    }
}

fn open_dir(dir: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags) -> io::Result<OwnedFd> {
    loop {
        match openat2(dir, path, DIRECTORY, Mode::empty(), resolve) {
            // Something was renamed elsewhere on the system meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

fn make_dir(parent: &OwnedFd, name: &[u8], text: &str) -> Result<()> {
    let message = || format!("cannot create directory \"{text}\"");
    match mkdirat(parent, name, Mode::RWXU) {
        Err(Errno::EXIST) => {}
        result => return result.context(message),
    }
    match stat(parent, name).context(message)? {
        Some(found) if is_directory(&found) => Ok(()),
        _ => Err(Error::conflict(format!("cannot overwrite \"{text}\", which is no directory, with a directory"))),
    }
}

/// Makes something by `create` in the place of what has its name. `None`: something is mounted there.
fn make<T>(parent: &OwnedFd, name: &[u8], text: &str, create: impl Fn(&[u8]) -> io::Result<T>) -> Result<Option<T>> {
    let message = || format!("cannot create \"{text}\"");
    for _ in 0..ATTEMPTS {
        match create(name) {
            Err(Errno::EXIST) => {}
            result => return result.map(Some).context(message),
        }
        if is_mount_point(parent, name).context(message)? {
            return Ok(None);
        }
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::BUSY) => return Ok(None),
            Err(Errno::ISDIR) => {
                return Err(Error::conflict(format!("cannot overwrite directory \"{text}\" with something else")));
            }
            Err(errno) => return Err(errno).context(|| format!("cannot replace \"{text}\"")),
        }
    }
    Err(Error::conflict(format!("{}: somebody keeps making it", message())))
}

/// Whether something is mounted on a name. The kernel itself only guards mount points of the caller's own namespace; in
/// another one removing the name takes the mount away.
fn is_mount_point(parent: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(false),
        held => held?,
    };
    let mount = |fd: &OwnedFd| statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|stat| stat.stx_mnt_id);
    Ok(mount(&held)? != mount(parent)?)
}

/// A file that is mounted there cannot be replaced, only written. Nothing but a file is opened: to open a device has
/// effects, and no container's rules for devices hold for us.
fn overwrite(parent: &OwnedFd, name: &[u8], text: &str) -> Result<OwnedFd> {
    let message = || format!("cannot write \"{text}\"");
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = openat(parent, name, flags, Mode::empty()).context(message)?;
    if FileType::from_raw_mode(fstat(&held).context(message)?.st_mode) != FileType::RegularFile {
        return not_in_use(None, text).map(|()| held);
    }
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/self/fd/{}", held.as_raw_fd()), flags, Mode::empty()).context(message)
}

fn not_in_use(made: Option<()>, text: &str) -> Result<()> {
    let busy = || Error::conflict(format!("cannot replace \"{text}\": something is mounted there"));
    made.ok_or_else(busy)
}
