//! Extended attributes as they are read from a tree: those of a file apart from those of the overlay.

use rustix::fs::{getxattr, listxattr};
use rustix::io::{self, Errno};
use rustix::path::Arg;

/// The kernel's limit on one value and on a list of names, in bytes.
const MAX: usize = 64 << 10;

/// What something has beside its mode and owner.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    /// Name and value, sorted by name.
    pub(crate) kept: Vec<(Vec<u8>, Vec<u8>)>,
    /// Hides what the layers below have in this directory.
    pub(crate) opaque: bool,
    /// Hides what the layers below have under this name, if it is an empty file.
    pub(crate) whiteout: bool,
    /// The overlay takes content or names from elsewhere: what this attribute is called.
    pub(crate) indirect: Option<&'static str>,
}

/// Reads attributes, with one buffer for all files.
pub(crate) struct Reader {
    names: Box<[u8]>,
    value: Box<[u8]>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        let buffer = || vec![0; MAX].into_boxed_slice();
        Self { names: buffer(), value: buffer() }
    }

    /// All attributes of what `path` names (`/proc/self/fd/N`).
    pub(crate) fn read(&mut self, path: impl Arg + Copy) -> io::Result<Attributes> {
        let mut found = Attributes::default();
        let length = match listxattr(path, &mut self.names[..]) {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(errno) => return Err(errno),
        };
        for name in self.names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
            let overlays = [&b"trusted.overlay."[..], b"user.overlay."];
            let overlays = overlays.iter().find_map(|prefix| name.strip_prefix(*prefix));
            if overlays.is_none() && is_hosts(name) {
                continue;
            }
            let length = match getxattr(path, name, &mut self.value[..]) {
                Ok(length) => length,
                // Taken away since it was listed.
                Err(Errno::NODATA) => continue,
                Err(errno) => return Err(errno),
            };
            let value = &self.value[..length];
            match overlays {
                None => found.kept.push((name.to_vec(), value.to_vec())),
                // `x` says that files inside may be whiteouts, and hides nothing by itself.
                Some(b"opaque") => found.opaque |= value == b"y",
                Some(b"whiteout") => found.whiteout = true,
                Some(b"redirect") => found.indirect = Some("redirect"),
                Some(b"metacopy") => found.indirect = Some("metacopy"),
                Some(_) => {}
            }
        }
        found.kept.sort();
        Ok(found)
    }
}

/// Labels and signatures that mean something on one machine only.
fn is_hosts(name: &[u8]) -> bool {
    matches!(name, b"security.selinux" | b"security.ima" | b"security.evm" | b"security.SMACK64")
}
