//! Small tars, honest and hostile.

use tar::{Builder, EntryType, Header};

/// A root file system tar in the making. Names are written as they are given, whatever they are.
pub struct Archive {
    builder: Builder<Vec<u8>>,
}

impl Archive {
    /// An archive without entries.
    pub fn new() -> Self {
        Self { builder: Builder::new(Vec::new()) }
    }

    /// A file with mode 0644.
    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, 0o644, "", content)
    }

    /// A file with mode 0755.
    pub fn program(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, 0o755, "", content)
    }

    /// A directory with mode 0755.
    pub fn dir(self, name: &str) -> Self {
        self.entry(name, EntryType::Directory, 0o755, "", b"")
    }

    /// A symbolic link.
    pub fn symlink(self, name: &str, to: &str) -> Self {
        self.entry(name, EntryType::Symlink, 0o777, to, b"")
    }

    /// A hard link.
    pub fn link(self, name: &str, to: &str) -> Self {
        self.entry(name, EntryType::Link, 0o644, to, b"")
    }

    /// The bytes of the tar.
    pub fn finish(self) -> Vec<u8> {
        self.builder.into_inner().unwrap()
    }

    fn entry(mut self, name: &str, kind: EntryType, mode: u32, to: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        let fields = header.as_old_mut();
        // The library refuses hostile names; an attacker does not use it.
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..to.len()].copy_from_slice(to.as_bytes());
        header.set_cksum();
        self.builder.append(&header, content).unwrap();
        self
    }
}

impl Default for Archive {
    fn default() -> Self {
        Self::new()
    }
}
