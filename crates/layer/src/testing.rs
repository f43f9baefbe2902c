//! For tests: directories that go away, what is in them, and archives byte by byte, since no honest writer makes
//! some of them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;
use stdx::{Result, id};

use crate::{Applied, Limits};

/// Revision 2, `cap_net_raw=ep`.
pub(crate) const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Devices, owners and `trusted.` attributes need root: without it a test says so by failing, never by passing.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root: it makes devices and trusted attributes");
        let path = PathBuf::from("/var/tmp").join(format!("tare-layer-{}", id::random_hex(8)));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        stdx::remove_tree::remove_tree(&self.0).unwrap();
    }
}

/// Unpacks into `dir` and settles upon `lowers`.
pub(crate) fn apply(archive: &[u8], dir: &Path, lowers: &[&Path]) -> Result<Applied> {
    let lowers: Vec<File> = lowers.iter().map(|lower| File::open(lower).unwrap()).collect();
    let lowers: Vec<_> = lowers.iter().map(AsFd::as_fd).collect();
    crate::unpack(archive, File::open(dir).unwrap(), &Limits::default())?.settle(&lowers)
}

pub(crate) fn names(dir: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

pub(crate) fn meta(path: impl AsRef<Path>) -> fs::Metadata {
    fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

pub(crate) fn is_white(path: impl AsRef<Path>) -> bool {
    meta(&path).file_type().is_char_device() && meta(&path).rdev() == 0
}

pub(crate) fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 512];
    let length = getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

pub(crate) fn is_opaque(path: impl AsRef<Path>) -> bool {
    xattr(path.as_ref(), "trusted.overlay.opaque").as_deref() == Some(b"y")
}

const BLOCK: usize = 512;

/// An archive under construction, in GNU and PAX dialect as asked.
pub(crate) struct Archive(Vec<u8>);

struct Fields<'a> {
    name: &'a [u8],
    kind: u8,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    link: &'a [u8],
    device: (u32, u32),
}

const PLAIN: Fields<'static> =
    Fields { name: b"", kind: b'0', mode: 0o644, owner: (0, 0), size: 0, link: b"", device: (0, 0) };

impl Archive {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// The archive with its end marks.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK]);
        self.0
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Self {
        self.file_with(name, 0o644, data)
    }

    pub(crate) fn file_with(self, name: &str, mode: u32, data: &[u8]) -> Self {
        self.add(&Fields { name: name.as_bytes(), mode, size: data.len() as u64, ..PLAIN }, data)
    }

    pub(crate) fn owned(self, name: &str, uid: u32, gid: u32) -> Self {
        self.add(&Fields { name: name.as_bytes(), owner: (uid, gid), ..PLAIN }, b"")
    }

    pub(crate) fn dir(self, name: &str, mode: u32) -> Self {
        self.owned_dir(name, mode, 0, 0)
    }

    pub(crate) fn owned_dir(self, name: &str, mode: u32, uid: u32, gid: u32) -> Self {
        self.add(&Fields { name: name.as_bytes(), kind: b'5', mode, owner: (uid, gid), ..PLAIN }, b"")
    }

    pub(crate) fn link(self, kind: char, name: &str, target: &str) -> Self {
        let fields = Fields { name: name.as_bytes(), kind: kind as u8, link: target.as_bytes(), ..PLAIN };
        if target.len() > 100 {
            return self.gnu_long('K', target.as_bytes()).add(&Fields { link: b"cut", ..fields }, b"");
        }
        self.add(&fields, b"")
    }

    pub(crate) fn device(self, kind: char, name: &str, major: u32, minor: u32) -> Self {
        self.add(&Fields { name: name.as_bytes(), kind: kind as u8, device: (major, minor), ..PLAIN }, b"")
    }

    /// A header that claims a size and has no data.
    pub(crate) fn sized(self, name: &str, size: u64) -> Self {
        self.add(&Fields { name: name.as_bytes(), size, ..PLAIN }, b"")
    }

    /// POSIX's way to store a long name: directory and name apart.
    pub(crate) fn prefixed(mut self, prefix: &str, name: &str, data: &[u8]) -> Self {
        let start = self.0.len();
        self = self.file(name, data);
        let header = &mut self.0[start..start + BLOCK];
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
        sum(header);
        self
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = 3 + key.len() + value.len();
            let digits = |length: usize| length.to_string().len();
            let length = rest + digits(rest + digits(rest));
            data.extend(format!("{length} {key}=").bytes());
            data.extend(*value);
            data.push(b'\n');
        }
        self.raw_pax(&data)
    }

    pub(crate) fn raw_pax(self, data: &[u8]) -> Self {
        self.add(&Fields { name: b"pax", kind: b'x', size: data.len() as u64, ..PLAIN }, data)
    }

    pub(crate) fn global(self, data: &[u8]) -> Self {
        self.add(&Fields { name: b"pax_global_header", kind: b'g', size: data.len() as u64, ..PLAIN }, data)
    }

    pub(crate) fn gnu_long(self, kind: char, name: &[u8]) -> Self {
        let data = [name, b"\0"].concat();
        self.add(&Fields { name: b"././@LongLink", kind: kind as u8, size: data.len() as u64, ..PLAIN }, &data)
    }

    /// GNU's old sparse format, extension blocks included.
    pub(crate) fn gnu_sparse(mut self, name: &str, runs: &[(u64, u64)], size: u64, data: &[u8]) -> Self {
        let start = self.0.len();
        self = self.add(&Fields { name: name.as_bytes(), kind: b'S', size: data.len() as u64, ..PLAIN }, b"");
        let fields = |runs: &[(u64, u64)]| -> Vec<u8> {
            runs.iter().flat_map(|(offset, length)| format!("{offset:011o}\0{length:011o}\0").into_bytes()).collect()
        };
        let (first, rest) = runs.split_at(runs.len().min(4));
        let header = &mut self.0[start..start + BLOCK];
        header[386..386 + first.len() * 24].copy_from_slice(&fields(first));
        header[482] = u8::from(!rest.is_empty());
        header[483..494].copy_from_slice(format!("{size:011o}").as_bytes());
        sum(header);
        let mut chunks = rest.chunks(21).peekable();
        while let Some(chunk) = chunks.next() {
            let mut block = fields(chunk);
            block.resize(BLOCK, 0);
            block[504] = u8::from(chunks.peek().is_some());
            self.0.extend(block);
        }
        self.data(data)
    }

    fn add(mut self, fields: &Fields<'_>, data: &[u8]) -> Self {
        let mut header = [0; BLOCK];
        header[..fields.name.len()].copy_from_slice(fields.name);
        let mut octal = |at: usize, width: usize, value: u64| {
            let text = format!("{value:0width$o}");
            if text.len() > width {
                // Too large for octal digits: GNU's binary form.
                header[at] = 0x80;
                header[at + width - 7..=at + width].copy_from_slice(&value.to_be_bytes());
            } else {
                header[at..at + width].copy_from_slice(text.as_bytes());
            }
        };
        octal(100, 7, fields.mode.into());
        octal(108, 7, fields.owner.0.into());
        octal(116, 7, fields.owner.1.into());
        octal(124, 11, fields.size);
        octal(136, 11, 0);
        octal(329, 7, fields.device.0.into());
        octal(337, 7, fields.device.1.into());
        header[156] = fields.kind;
        header[157..157 + fields.link.len()].copy_from_slice(fields.link);
        header[257..265].copy_from_slice(b"ustar  \0");
        sum(&mut header);
        self.0.extend(header);
        self.data(data)
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }
}

fn sum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Makes every block that has the magic of a header a valid one.
pub(crate) fn repair_checksums(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(BLOCK).filter(|block| &block[257..262] == b"ustar") {
        sum(block);
    }
}
