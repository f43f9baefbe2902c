//! From a directory in overlayfs form, a container's writable layer or a snapshot, to a layer's tar; the way back of
//! [`apply`](crate::apply) (image-spec: layer.md, "Creating").
//!
//! **The same tree always gives the same bytes.** Entries come in the order of their names' bytes, a directory before
//! what is in it; of a file with several names the first carries the content. Whiteouts have no owner and no time.
//! Holes are written out as zeros: where a file system happens to have blocks must not show, and tools that take an
//! archive apart and put it together again (Docker's store does) do not know sparse files. Times keep their nanoseconds.
//!
//! **The tree may change meanwhile.** Everything is held by descriptor before it is looked at. What vanishes is left
//! out; a file that shrinks is filled with zeros, one that grows is cut, and both are in [`Diffed::torn`].
//!
//! Left out are sockets, which mean nothing without who listens, and attributes of this machine alone (the overlay's,
//! SELinux labels, IMA signatures). A directory that was renamed by reference (`redirect`) or a file that has only its
//! metadata here (`metacopy`) cannot be a layer: both are refused. tare mounts no overlay that makes them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use oci::DiffId;
use rustix::fs::{FileType, SeekFrom, Stat, fstat, fstatfs, major, minor, readlinkat, seek};
use rustix::io::Errno;
use stdx::{Context, Error, Result};

use crate::attributes::{Attributes, Reader};
use crate::ids::IdMaps;
use crate::tar::{Entry, EntryKind, lossy};
use crate::tree::{is_whiteout, split};
use crate::walk::{Found, Walk};
use crate::write::TarWriter;

/// How a tree is written.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The container's ids, if its files on disk have others.
    pub ids: IdMaps,
    /// The latest time of change that is written, in seconds since 1970: later ones become this one.
    pub latest: Option<i64>,
    /// What the root itself is called, in an entry of its own in front, and before the names of all below it. `None`: it
    /// has no entry, as in Docker's layers.
    pub name: Option<Vec<u8>>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diffed {
    /// The digest of the whole archive.
    pub diff_id: DiffId,
    /// Bytes of the archive.
    pub tar_size: u64,
    /// Bytes of all regular files, holes included and hard links counted once: what Docker calls the layer's size.
    pub size: u64,
    /// Entries, whiteouts included; none if nothing was changed.
    pub entries: u64,
    /// Files that were changed while they were read: their content is of no one moment.
    pub torn: Vec<Vec<u8>>,
}

/// Writes the layer that this directory in overlayfs form is.
///
/// `Unsupported` for what a layer cannot hold: a name that is a whiteout's, indirections of the overlay; `Denied`
/// without the privilege to read. The archive is of no use after an error.
pub fn diff(root: impl AsFd, writer: impl Write, options: &Options) -> Result<Diffed> {
    Differ::new(Form::Layer, writer, options).run(root)
}

/// Writes a merged tree, as a mounted overlay shows it, as it is: nothing in it is a whiteout. Of filesystems mounted
/// below that hold no files but show the kernel (`/proc`), only the directory itself is written.
///
/// Errors as [`diff`] has them.
pub fn export(root: impl AsFd, writer: impl Write, options: &Options) -> Result<Diffed> {
    Differ::new(Form::Plain, writer, options).run(root)
}

/// Writes what `handle` (`O_PATH` is enough) is open on, whatever it is, under the name of `options`: a directory with all
/// below it, or one entry.
///
/// `Unsupported` for a socket; other errors as [`diff`] has them.
pub fn export_one(handle: OwnedFd, writer: impl Write, options: &Options) -> Result<Diffed> {
    let found = Found::of(handle).context(|| "cannot look at what is copied".to_owned())?;
    let mut differ = Differ::new(Form::Plain, writer, options);
    match found.kind() {
        FileType::Directory => differ.run(found.handle()),
        FileType::Socket => Err(Error::unsupported("a socket cannot be in an archive")),
        _ => {
            differ.add(&found)?;
            differ.finish()
        }
    }
}

/// Whether what is open shows the kernel instead of holding files.
pub fn is_kernel_view(fd: impl AsFd) -> std::io::Result<bool> {
    /// proc, sysfs, cgroup, cgroup2, devpts, mqueue, securityfs, debugfs, tracefs, bpf, binfmt_misc, configfs
    const MAGIC: [u32; 12] = [
        0x9fa0,
        0x6265_6572,
        0x0027_e0eb,
        0x6367_7270,
        0x1cd1,
        0x1980_0202,
        0x7363_6673,
        0x6462_6720,
        0x7472_6163,
        0xcafe_4a11,
        0x4249_4e4d,
        0x6265_6570,
    ];
    Ok(u32::try_from(fstatfs(fd)?.f_type).is_ok_and(|magic| MAGIC.contains(&magic)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Layer,
    Plain,
}

struct Differ<'a, W> {
    form: Form,
    tar: TarWriter<W>,
    options: &'a Options,
    attributes: Reader,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    size: u64,
    torn: Vec<Vec<u8>>,
}

impl<'a, W: Write> Differ<'a, W> {
    fn new(form: Form, writer: W, options: &'a Options) -> Self {
        let (tar, attributes) = (TarWriter::new(writer), Reader::new());
        Self { form, tar, options, attributes, links: HashMap::new(), size: 0, torn: Vec::new() }
    }

    fn run(mut self, root: impl AsFd) -> Result<Diffed> {
        let mut walk = Walk::new(root)?;
        let root = walk.root()?;
        if self.options.name.is_some() {
            self.add(&root)?;
        }
        while let Some(found) = walk.next()? {
            self.add(&found)?;
            if found.kind() == FileType::Directory && !self.is_left_out(&root, &found) {
                walk.enter(found)?;
            }
        }
        self.finish()
    }

    /// Whether a directory's content is not files. Only what is mounted can be such.
    fn is_left_out(&self, root: &Found, found: &Found) -> bool {
        let mounted = self.form == Form::Plain && found.stat.st_dev != root.stat.st_dev;
        mounted && is_kernel_view(found.handle()).unwrap_or(false)
    }

    fn finish(self) -> Result<Diffed> {
        let entries = self.tar.entries();
        let (diff_id, tar_size) = self.tar.finish()?;
        Ok(Diffed { diff_id, tar_size, size: self.size, entries, torn: self.torn })
    }

    fn add(&mut self, found: &Found) -> Result<()> {
        let kind = match found.kind() {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            _ => return Ok(()),
        };
        let layer = self.form == Form::Layer;
        if layer && is_whiteout(&found.stat) {
            return self.white_out(&found.path);
        }
        let attributes = self.attributes_of(found)?;
        if layer && attributes.whiteout && kind == EntryKind::File && found.stat.st_size == 0 {
            return self.white_out(&found.path);
        }
        self.check(found, &attributes)?;
        let opaque = layer && attributes.opaque;
        let mut entry = self.entry(found, kind, attributes);
        match kind {
            EntryKind::Directory => {
                entry.path.push(b'/');
                self.tar.header(&entry)?;
                if opaque { self.mark(&[&found.path, &b"/.wh..wh..opq"[..]].concat()) } else { Ok(()) }
            }
            _ if self.is_linked(found, &mut entry) => self.tar.header(&entry),
            EntryKind::File => self.file(found, entry),
            EntryKind::Symlink => {
                let target = readlinkat(found.handle(), "", Vec::new());
                entry.link = target.context(|| format!("cannot read link {:?}", lossy(&found.path)))?.into_bytes();
                self.tar.header(&entry)
            }
            _ => self.tar.header(&entry),
        }
    }

    /// What cannot be said in a layer.
    fn check(&self, found: &Found, attributes: &Attributes) -> Result<()> {
        if self.form == Form::Plain {
            return Ok(());
        }
        let path = lossy(&found.path);
        if split(&found.path).1.starts_with(b".wh.") {
            return Err(Error::unsupported(format!("{path:?} cannot be in a layer: its name would be a whiteout")));
        }
        match attributes.indirect {
            Some(what) => Err(Error::unsupported(format!(
                "{path:?} cannot be in a layer: the overlay's {what:?} attribute refers to the layers below"
            ))),
            None => Ok(()),
        }
    }

    fn attributes_of(&mut self, found: &Found) -> Result<Attributes> {
        let message = || format!("cannot read the attributes of {:?}", lossy(&found.path));
        let mut attributes = self.attributes.read(&found.proc_path()).context(message)?;
        for (name, value) in &mut attributes.kept {
            self.options.ids.shift(name, value);
        }
        Ok(attributes)
    }

    /// The name in the archive of what is at `path` below the root.
    fn name(&self, path: &[u8]) -> Vec<u8> {
        match &self.options.name {
            Some(name) if path.is_empty() => name.clone(),
            Some(name) => [name, &b"/"[..], path].concat(),
            None => path.to_vec(),
        }
    }

    fn entry(&self, found: &Found, kind: EntryKind, attributes: Attributes) -> Entry {
        let stat = &found.stat;
        let device = match kind {
            EntryKind::CharDevice | EntryKind::BlockDevice => (major(stat.st_rdev), minor(stat.st_rdev)),
            _ => (0, 0),
        };
        Entry {
            path: self.name(&found.path),
            // A link has none of its own, and file systems differ in what they say.
            mode: if kind == EntryKind::Symlink { 0o777 } else { stat.st_mode & 0o7777 },
            uid: self.options.ids.user(stat.st_uid),
            gid: self.options.ids.group(stat.st_gid),
            mtime: self.mtime(stat),
            device,
            xattrs: attributes.kept,
            ..Entry::of_kind(kind)
        }
    }

    #[expect(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
    fn mtime(&self, stat: &Stat) -> (i64, u32) {
        let seconds = stat.st_mtime as i64;
        match self.options.latest {
            Some(latest) if seconds >= latest => (latest, 0),
            _ => (seconds, stat.st_mtime_nsec as u32),
        }
    }

    /// Turns the entry into a link if its file was written under another name.
    fn is_linked(&mut self, found: &Found, entry: &mut Entry) -> bool {
        if found.stat.st_nlink < 2 {
            return false;
        }
        match self.links.get(&found.identity()) {
            Some(first) => {
                entry.kind = EntryKind::HardLink;
                entry.link = self.name(first);
                true
            }
            None => {
                self.links.insert(found.identity(), found.path.clone());
                false
            }
        }
    }

    fn file(&mut self, found: &Found, mut entry: Entry) -> Result<()> {
        let message = || format!("cannot read {:?}", lossy(&found.path));
        let file = found.open_file().context(message)?;
        entry.size = u64::try_from(found.stat.st_size).unwrap_or(0);
        self.tar.header(&entry)?;
        let short = self.data(&file, &found.stat, entry.size).context(message)?;
        let after = fstat(&file).context(message)?;
        if short || (found.stat.st_mtime, found.stat.st_mtime_nsec) != (after.st_mtime, after.st_mtime_nsec) {
            self.torn.push(found.path.clone());
        }
        self.size += entry.size;
        Ok(())
    }

    /// Exactly `size` bytes and their padding; true if the file had fewer.
    fn data(&mut self, file: &File, stat: &Stat, size: u64) -> Result<bool> {
        let mut at = 0;
        let holes = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512) < size;
        while holes && at < size {
            let start = match seek(file, SeekFrom::Data(at)) {
                Ok(start) => start.min(size),
                // Only a hole is left.
                Err(Errno::NXIO) => size,
                // This file system knows no holes.
                Err(_) => break,
            };
            self.tar.zeros(start - at)?;
            at = start;
            if at < size {
                let end = seek(file, SeekFrom::Hole(at)).unwrap_or(size).clamp(at, size);
                if end == at || seek(file, SeekFrom::Start(at)).is_err() {
                    break;
                }
                at += self.copy(file, end - at)?;
                if at < end {
                    break;
                }
            }
        }
        if at < size {
            if holes {
                seek(file, SeekFrom::Start(at)).context(|| "cannot seek".to_owned())?;
            }
            at += self.copy(file, size - at)?;
        }
        self.tar.zeros(size - at)?;
        self.tar.pad(size)?;
        Ok(at < size)
    }

    /// Copies up to `length` bytes; fewer only at the file's end.
    fn copy(&mut self, mut file: &File, length: u64) -> Result<u64> {
        let mut copied = 0;
        while copied < length {
            let space = self.tar.space()?;
            let most = space.len().min(usize::try_from(length - copied).unwrap_or(usize::MAX));
            match file.read(&mut space[..most]) {
                Ok(0) => break,
                Ok(read) => {
                    self.tar.advance(read);
                    copied += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context(|| "cannot read data".to_owned()),
            }
        }
        Ok(copied)
    }

    fn white_out(&mut self, path: &[u8]) -> Result<()> {
        let (dir, name) = split(path);
        let slash = if dir.is_empty() { &b""[..] } else { b"/" };
        self.mark(&[dir, slash, b".wh.", name].concat())
    }

    fn mark(&mut self, path: &[u8]) -> Result<()> {
        let entry = Entry { path: path.to_vec(), mode: 0o600, ..Entry::of_kind(EntryKind::File) };
        self.tar.header(&entry)
    }
}

#[cfg(test)]
mod tests;
