//! From a layer's tar to its directory in overlayfs form (image-spec: layer.md, "Applying Changesets").
//!
//! [`unpack`] needs the archive alone. What depends on the layers below is left for [`Unpacked::settle`]: hard links
//! to files that are there, the owners and modes of directories that the archive only implies, an opaque root. The
//! metadata of directories comes last, because making something in a directory changes its times.
//!
//! | archive | directory |
//! |---|---|
//! | `.wh.NAME` | character device 0:0 called NAME; an opaque directory if the layer has a directory NAME |
//! | `.wh..wh..opq` | `trusted.overlay.opaque=y` on its directory |
//! | other `.wh..wh.` names | nothing: AUFS kept its books in them |
//! | `../x`, and links out of the tree | refused, or resolved inside as if the tree were the root |
//! | two entries with one name | the later one; directories keep their content |

use std::fs::File;
use std::io::{BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use oci::DiffId;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, ioctl_ficlone, linkat, makedev, mknodat, openat, readlinkat, symlinkat,
};
use stdx::{Context, Error, Result};

use crate::lower::{self, Merged};
use crate::metadata::{Metadata, set_opaque};
use crate::tar::{Entry, EntryKind, TarReader, lossy};
use crate::tree::{Tree, is_directory, split};
use crate::{Limits, ahead};

/// Zeros in a row that are worth a hole, in bytes.
const HOLE: usize = 32 << 10;

/// A layer that is complete but for what the layers below contribute.
#[derive(Debug)]
pub struct Unpacked {
    tree: Tree,
    links: Vec<PendingLink>,
    opaque_root: bool,
    applied: Applied,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The digest of the whole uncompressed archive, whatever follows its end included.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed archive.
    pub archive_size: u64,
    /// Bytes of all regular files, holes included and hard links counted once: what Docker calls the layer's size.
    pub size: u64,
    /// Extended attributes that the file system cannot hold.
    pub dropped_xattrs: u64,
}

/// A hard link whose target was not there yet.
#[derive(Debug)]
struct PendingLink {
    path: Vec<u8>,
    target: Vec<u8>,
}

/// Unpacks an uncompressed archive into an empty directory that nobody else writes to.
///
/// `Corrupt` if the archive is malformed, exceeds `limits` or reaches out of the tree; `Denied` without the
/// privilege for owners, devices or attributes. After an error the directory holds a part of the layer.
pub fn unpack(reader: impl Read + Send, root: impl AsFd, limits: &Limits) -> Result<Unpacked> {
    let mut unpacker = Unpacker { tree: Tree::new(root)?, links: Vec::new(), opaque_root: false, size: 0, dropped: 0 };
    let (archive_size, digest) = ahead::hashed(reader, |chunks| {
        let mut tar = TarReader::buffered(chunks, limits);
        while let Some(entry) = tar.next_entry()? {
            unpacker.size = unpacker.size.saturating_add(entry.size);
            if unpacker.size > limits.bytes {
                return Err(Error::corrupt(format!("files of layer have more than {} bytes", limits.bytes)));
            }
            unpacker.place(&mut tar, &entry)?;
        }
        tar.finish()
    })?;
    let Unpacker { tree, links, opaque_root, size, dropped } = unpacker;
    let applied = Applied { diff_id: DiffId::new(digest), archive_size, size, dropped_xattrs: dropped };
    Ok(Unpacked { tree, links, opaque_root, applied })
}

/// Where an entry's name says it goes.
enum Place {
    Nowhere,
    Opaque(Vec<u8>),
    Whiteout(Vec<u8>),
    Path(Vec<u8>),
}

struct Unpacker {
    tree: Tree,
    links: Vec<PendingLink>,
    opaque_root: bool,
    size: u64,
    dropped: u64,
}

impl Unpacker {
    fn place<R: BufRead>(&mut self, tar: &mut TarReader<R>, entry: &Entry) -> Result<()> {
        match place_of(&entry.path)? {
            Place::Nowhere => Ok(()),
            Place::Opaque(dir) if dir.is_empty() => {
                self.opaque_root = true;
                Ok(())
            }
            Place::Opaque(dir) => {
                let parent = self.tree.parent(&[&dir[..], b"/."].concat())?;
                set_opaque(&*parent, &lossy(&dir))
            }
            Place::Whiteout(path) => {
                let parent = self.tree.parent(&path)?;
                self.tree.white_out(&parent, &path)
            }
            Place::Path(path) if path.is_empty() => self.place_root(entry),
            Place::Path(path) => self.create(tar, entry, &path),
        }
    }

    fn place_root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != EntryKind::Directory {
            return Err(Error::corrupt(format!("entry {:?} has no name", lossy(&entry.path))));
        }
        self.tree.dirs.insert(Vec::new(), Some(Metadata::of_entry(entry)));
        Ok(())
    }

    fn create<R: BufRead>(&mut self, tar: &mut TarReader<R>, entry: &Entry, path: &[u8]) -> Result<()> {
        let parent = self.tree.parent(path)?;
        let name = split(path).1;
        let metadata = Metadata::of_entry(entry);
        let device = |tree: &mut Tree, kind| {
            let device = makedev(entry.device.0, entry.device.1);
            tree.make(&parent, path, |name| mknodat(&parent, name, kind, Mode::RUSR, device))
        };
        match entry.kind {
            EntryKind::Directory => {
                self.tree.make_dir(&parent, path)?;
                self.tree.dirs.insert(path.to_vec(), Some(metadata));
                return Ok(());
            }
            EntryKind::File => {
                let mode = metadata.first_mode();
                let file = File::from(self.tree.make(&parent, path, |name| create_file(&parent, name, mode))?);
                write_file(tar, entry, &file, path)?;
                self.dropped += metadata.put(&file, &lossy(path))?;
                return Ok(());
            }
            EntryKind::HardLink => {
                let target = clean(&entry.link)?;
                if !hard_link(&mut self.tree, path, &target)? {
                    self.links.push(PendingLink { path: path.to_vec(), target });
                }
                return Ok(());
            }
            EntryKind::Symlink => {
                self.tree.make(&parent, path, |name| symlinkat(&entry.link[..], &parent, name))?;
            }
            EntryKind::CharDevice => device(&mut self.tree, FileType::CharacterDevice)?,
            EntryKind::BlockDevice => device(&mut self.tree, FileType::BlockDevice)?,
            EntryKind::Fifo => device(&mut self.tree, FileType::Fifo)?,
        }
        self.dropped += metadata.put_at(&parent, name, &lossy(path))?;
        Ok(())
    }
}

impl Unpacked {
    /// The digest to compare with what the image says, before settling.
    pub fn diff_id(&self) -> DiffId {
        self.applied.diff_id
    }

    /// Completes the layer upon its lower layers, bottom first, each in overlayfs form and settled itself.
    pub fn settle(mut self, lowers: &[BorrowedFd<'_>]) -> Result<Applied> {
        for link in std::mem::take(&mut self.links) {
            self.settle_link(&link, lowers)?;
        }
        if self.opaque_root {
            self.hide_lower_roots(lowers)?;
        }
        self.applied.dropped_xattrs += self.tree.finish_dirs(|path| {
            lower_metadata(lowers, path).context(|| format!("cannot read lower {:?}", lossy(path)))
        })?;
        Ok(self.applied)
    }

    fn settle_link(&mut self, link: &PendingLink, lowers: &[BorrowedFd<'_>]) -> Result<()> {
        let PendingLink { path, target } = link;
        let message = || format!("cannot make hard link {:?} to {:?}", lossy(path), lossy(target));
        // A later entry of the same name is the one that counts.
        if self.tree.find(path).context(message)?.is_some() || hard_link(&mut self.tree, path, target)? {
            return Ok(());
        }
        let (target_dir, target_name) = split(target);
        match lower::find(lowers, target_dir, target_name).context(message)? {
            Some((dir, found)) if !is_directory(&found) => {
                let size =
                    if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile { found.st_size } else { 0 };
                self.applied.size += u64::try_from(size).unwrap_or(0);
                self.copy_up(&dir, target_name, &found, path).map_err(|e| Err::<(), _>(e).context(message).unwrap_err())
            }
            _ => Err(Error::corrupt(format!("{}: the target does not exist", message()))),
        }
    }

    /// A file of a lower layer again in this one: links cannot cross layers.
    fn copy_up(&mut self, from: &OwnedFd, from_name: &[u8], found: &Stat, path: &[u8]) -> Result<()> {
        let parent = self.tree.parent(path)?;
        let name = split(path).1;
        let text = lossy(path);
        let message = || format!("cannot copy {text:?} from a lower layer");
        let metadata = Metadata::of_stat(found);
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let source = File::from(openat(from, from_name, flags, Mode::empty()).context(message)?);
                copy_file(&mut self.tree, path, source, metadata)
            }
            FileType::Symlink => {
                let target = readlinkat(from, from_name, Vec::new()).context(message)?;
                self.tree.make(&parent, path, |name| symlinkat(target.as_c_str(), &parent, name))?;
                metadata.put_at(&parent, name, &text).map(|_| ())
            }
            kind => {
                self.tree.make(&parent, path, |name| mknodat(&parent, name, kind, Mode::RUSR, found.st_rdev))?;
                metadata.put_at(&parent, name, &text).map(|_| ())
            }
        }
    }

    /// The overlay always merges the roots of its layers, so an opaque root is spelled out name by name.
    fn hide_lower_roots(&mut self, lowers: &[BorrowedFd<'_>]) -> Result<()> {
        let message = || "cannot hide the layers below".to_owned();
        let root = self.tree.open_dir(b"").context(message)?;
        for name in Merged::open(lowers, b"").and_then(|merged| merged.names()).context(message)? {
            self.tree.white_out(&root, &name)?;
        }
        Ok(())
    }
}

/// A file of another layer in this tree, with all its attributes.
pub(crate) fn copy_file(tree: &mut Tree, path: &[u8], mut source: File, metadata: Metadata) -> Result<()> {
    let message = || format!("cannot copy {:?} from a lower layer", lossy(path));
    let parent = tree.parent(path)?;
    let mode = metadata.first_mode();
    let mut copy = File::from(tree.make(&parent, path, |name| create_file(&parent, name, mode))?);
    // Sharing the blocks is possible on some file systems only; the kernel then copies.
    if ioctl_ficlone(&copy, &source).is_err() {
        std::io::copy(&mut source, &mut copy).context(message)?;
    }
    metadata.with_xattrs_of(&source).context(message)?.put(&copy, &lossy(path)).map(|_| ())
}

/// What the layers below say about a directory this layer only implies.
fn lower_metadata(lowers: &[BorrowedFd<'_>], path: &[u8]) -> rustix::io::Result<Metadata> {
    let (dir, name) = split(path);
    match lower::find(lowers, dir, name)? {
        Some((dir, found)) if is_directory(&found) => {
            Metadata::of_stat(&found).with_xattrs_of(lower::open_dir(&dir, name)?)
        }
        _ => Ok(Metadata::of_implied_directory()),
    }
}

/// False if the target is not in the tree.
fn hard_link(tree: &mut Tree, path: &[u8], target: &[u8]) -> Result<bool> {
    let message = || format!("cannot make hard link {:?} to {:?}", lossy(path), lossy(target));
    let Some((from, found)) = tree.find(target).context(message)? else { return Ok(false) };
    if is_directory(&found) {
        return Err(Error::corrupt(format!("{}: the target is a directory", message())));
    }
    let existing = tree.find(path).context(message)?;
    if existing.is_some_and(|(_, existing)| (existing.st_dev, existing.st_ino) == (found.st_dev, found.st_ino)) {
        return Ok(true);
    }
    let parent = tree.parent(path)?;
    let link = |name: &[u8]| linkat(&from, split(target).1, &parent, name, AtFlags::empty());
    tree.make(&parent, path, link).map(|()| true)
}

pub(crate) fn create_file(parent: &OwnedFd, name: &[u8], mode: Mode) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, mode)
}

pub(crate) fn write_file<R: BufRead>(tar: &mut TarReader<R>, entry: &Entry, file: &File, path: &[u8]) -> Result<()> {
    let message = || format!("cannot write {:?}", lossy(path));
    let mut end = 0;
    tar.copy_data(entry, |offset, bytes| {
        for (start, run) in data_runs(bytes) {
            let at = offset + start as u64;
            end = at + run.len() as u64;
            file.write_all_at(run, at).context(message)?;
        }
        Ok(())
    })?;
    if end != entry.size { file.set_len(entry.size).context(message) } else { Ok(()) }
}

/// What is left of some bytes without long runs of zeros, which become holes: archives have holes written out. Each
/// with its position.
fn data_runs(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let zero = |at: &usize| bytes.get(*at..at + HOLE).is_some_and(is_zero);
    let mut at = 0;
    std::iter::from_fn(move || {
        while zero(&at) {
            at += HOLE;
        }
        let start = at;
        while at < bytes.len() && !zero(&at) {
            at = bytes.len().min(at + HOLE);
        }
        (start < at).then(|| (start, &bytes[start..at]))
    })
}

fn is_zero(bytes: &[u8]) -> bool {
    // Most data tells by its first bytes; the rest is looked at in words.
    bytes.chunks(64).all(|part| part.iter().fold(0, |sum, byte| sum | byte) == 0)
}

fn place_of(path: &[u8]) -> Result<Place> {
    let path = clean(path)?;
    let (dir, name) = split(&path);
    let mut parts = path.split(|b| *b == b'/');
    if name == b".wh..wh..opq" {
        return Ok(Place::Opaque(dir.to_vec()));
    }
    if parts.any(|part| part.starts_with(b".wh..wh.")) {
        return Ok(Place::Nowhere);
    }
    if dir.split(|b| *b == b'/').any(|part| part.starts_with(b".wh.")) {
        return Err(Error::corrupt(format!("entry {:?} lies below a whiteout", lossy(&path))));
    }
    match name.strip_prefix(b".wh.") {
        None => Ok(Place::Path(path)),
        Some(b"" | b"." | b"..") => Err(Error::corrupt(format!("entry {:?} is a whiteout of nothing", lossy(&path)))),
        Some(hidden) => {
            Ok(Place::Whiteout(if dir.is_empty() { hidden.to_vec() } else { [dir, b"/", hidden].concat() }))
        }
    }
}

/// A path relative to the root, `.` and `..` worked out as text; one that climbs above the root is refused.
pub(crate) fn clean(path: &[u8]) -> Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let out = || Error::corrupt(format!("entry {:?} leads out of the layer", lossy(path)));
                parts.pop().ok_or_else(out)?;
            }
            part if part.contains(&0) => {
                return Err(Error::corrupt(format!("entry {:?} has a NUL in its name", lossy(path))));
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

#[cfg(test)]
mod tests;
