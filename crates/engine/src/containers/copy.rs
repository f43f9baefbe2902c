//! `cp`: files into a container and out of it, running or not.
//!
//! Both sides are trees held by a descriptor on their root, in which every path is resolved by the kernel: the host's `/`,
//! or the container's root. Between them goes an archive, made by what exports images and put in place by what is told
//! to expect a hostile tree ([`layer::place`]). Nothing of the container is executed, and its processes may do with links
//! what they like: they lead somewhere else in the container, never out of it.
//!
//! Where something goes is Docker's rule, in [`Destination::place_of`].

mod path;
mod tree;

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use layer::diff::{self, Options};
use layer::place::{Owners, Place};
use layer::{IdMaps, Limits};
use rustix::fs::{FileType, OFlags, fstat};
use stdx::{Context, Error, Kind, Result};
use sys::Errno;

use path::Named;
pub use tree::Tree;

/// What is copied, held open.
#[derive(Debug)]
pub struct Source {
    handle: OwnedFd,
    kind: FileType,
    /// What it is called in an archive: `.` if only what is in it is meant.
    name: Vec<u8>,
    ids: IdMaps,
}

/// Where it is copied to.
#[derive(Debug)]
pub struct Destination<'a> {
    tree: &'a Tree,
    /// For messages.
    text: String,
    /// The directory that is there, or the one of what is or will be there; and its path from the root.
    dir: OwnedFd,
    path: Vec<u8>,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// A directory that is there.
    Directory,
    /// Something else of this name.
    Other(Vec<u8>),
    /// Nothing of this name.
    Missing(Vec<u8>),
    /// No directory of this name, and it can be nothing else.
    MissingDirectory(Vec<u8>),
}

impl Tree {
    /// Opens what is to be copied. A link is copied as a link, unless it is to be followed or its name ends in a slash.
    pub fn source(&self, path: &Path, follow: bool) -> Result<Source> {
        let named = Named::new(path);
        let what = || self.describe(path);
        let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        let handle = self.root().open(named.lookup(), flags).map_err(|errno| self.missing(errno, path))?;
        if diff::is_kernel_view(&handle).context(what)? {
            let message = format!("cannot copy {}: it is no file but shows the kernel", what());
            return Err(Error::unsupported(message).hint("\"tare exec CONTAINER cat FILE\" reads it"));
        }
        let kind = FileType::from_raw_mode(fstat(&handle).context(what)?.st_mode);
        Ok(Source { handle, kind, name: named.name().unwrap_or(b".").to_vec(), ids: self.ids().clone() })
    }

    /// Finds out what is where something is to be copied to. Its directory must exist.
    pub fn destination(&self, path: &Path) -> Result<Destination<'_>> {
        let named = Named::new(path);
        let what = || self.describe(path);
        let text = path.display().to_string();
        let resolved = self.root().resolve(named.path()).context(what)?;
        let found = match self.root().open(&resolved, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(found) => Some(found),
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(errno) => return Err(errno).context(what),
        };
        let kind = found.as_ref().map(sys::root::file_type).transpose().context(what)?;
        if let (Some(dir), Some(FileType::Directory)) = (&found, kind) {
            let dir = dir.try_clone().context(what)?;
            let path = resolved.as_os_str().as_bytes().to_vec();
            return Ok(Destination { tree: self, text, dir, path, target: Target::Directory });
        }
        if matches!(kind, Some(FileType::CharacterDevice | FileType::BlockDevice)) {
            return Err(Error::invalid(format!("cannot copy to {}: it is a device", what())));
        }
        let name = resolved.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        let target = match kind {
            _ if named.is_directory() => Target::MissingDirectory(name),
            None => Target::Missing(name),
            Some(_) => Target::Other(name),
        };
        let parent = resolved.parent().unwrap_or(Path::new(""));
        let dir = self.root().open(parent, OFlags::PATH | OFlags::DIRECTORY);
        let dir = dir.map_err(|errno| self.missing(errno, &Path::new("/").join(parent)))?;
        Ok(Destination { tree: self, text, dir, path: parent.as_os_str().as_bytes().to_vec(), target })
    }

    fn missing(&self, errno: Errno, path: &Path) -> Error {
        let what = self.describe(path);
        match errno {
            Errno::NOENT => Error::not_found(format!("cannot find {what}")),
            Errno::NOTDIR => Error::invalid(format!("{what}: not a directory")),
            _ => Err::<(), _>(errno).context(|| format!("cannot open {what}")).expect_err("built from an error"),
        }
    }
}

impl Source {
    /// Writes it as an archive, with the ids the container knows.
    pub fn write_to(&self, writer: impl Write) -> Result<u64> {
        self.archive(&self.name, writer)
    }

    fn archive(&self, name: &[u8], writer: impl Write) -> Result<u64> {
        let handle = self.handle.try_clone().context(|| "cannot hold what is copied".into())?;
        let options = Options { ids: self.ids.clone(), name: Some(name.to_vec()), ..Options::default() };
        Ok(layer::export_one(handle, writer, &options)?.tar_size)
    }

    fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }
}

impl Destination<'_> {
    /// The name that the source gets in the directory; `.`: what is in it goes there.
    fn place_of<'a>(&'a self, source: &'a Source) -> Result<&'a [u8]> {
        match &self.target {
            Target::Directory => Ok(&source.name),
            Target::Other(_) if source.is_directory() => {
                Err(Error::conflict(format!("cannot copy a directory over \"{}\", which is none", self.text)))
            }
            Target::Other(name) | Target::Missing(name) => Ok(name),
            Target::MissingDirectory(name) if source.is_directory() => Ok(name),
            Target::MissingDirectory(_) => Err(Error::not_found(format!("no such directory: \"{}\"", self.text))),
        }
    }

    /// Puts an archive into it, which must be a directory; the archive's bytes.
    pub fn read_from(&self, reader: impl Read) -> Result<u64> {
        if !matches!(self.target, Target::Directory) {
            return Err(Error::invalid(format!("destination \"{}\" must be a directory", self.text)));
        }
        self.place(reader, self.tree.owners(true))
    }

    fn place(&self, reader: impl Read, owners: Owners) -> Result<u64> {
        let place = Place { root: self.tree.root().as_fd(), dir: self.dir.as_fd(), path: &self.path, owners };
        // What is copied is bounded by what is there.
        let limits = Limits { bytes: u64::MAX, entries: u64::MAX, ..Limits::default() };
        layer::place(reader, place, &limits)
    }
}

/// Copies; the bytes of the archive that it is on the way. On the host everything belongs to the caller, unless the
/// owners are `kept`; in a container, as with Docker, they always are.
pub fn copy(source: &Source, destination: &Destination<'_>, kept: bool) -> Result<u64> {
    let name = destination.place_of(source)?;
    let owners = destination.tree.owners(kept);
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map(|(reader, writer)| (File::from(reader), File::from(writer)))
        .context(|| "cannot make a pipe".into())?;
    std::thread::scope(|scope| {
        let exporter = scope.spawn(move || source.archive(name, writer));
        let placed = destination.place(BufReader::new(reader), owners);
        let exported = exporter.join().map_err(|_| Error::new(Kind::Internal, "the copy was broken off"))?;
        match (placed, exported) {
            // A writer whose reader has failed sees a broken pipe only, and a reader an archive that ends: the other one
            // knows why.
            (Err(placed), Err(exported)) if exported.errno() != Some(Errno::PIPE) && placed.kind() == Kind::Corrupt => {
                Err(exported)
            }
            (Err(placed), _) => Err(placed),
            (Ok(_), exported) => exported,
        }
    })
}
