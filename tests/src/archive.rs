//! Small tars, honest and hostile.

pub use tar::EntryType;
use tar::{Builder, Header};

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

    /// A file with a mode of its own.
    pub fn with_mode(self, name: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, mode, "", content)
    }

    /// A device, mode 0666.
    pub fn device(mut self, name: &str, kind: EntryType, major: u32, minor: u32) -> Self {
        let mut header = header(name, kind, 0o666, "", 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        header.set_cksum();
        self.builder.append(&header, &b""[..]).unwrap();
        self
    }

    /// A file whose header claims a size that nothing bears out.
    pub fn claiming(self, name: &str, size: u64) -> Self {
        let mut header = header(name, EntryType::Regular, 0o644, "", size);
        header.set_cksum();
        self.bytes(header.as_bytes())
    }

    /// PAX records about the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).unwrap();
            data.extend([length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat());
        }
        self.entry("pax", EntryType::XHeader, 0o644, "", &data)
    }

    /// Whatever bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.builder.get_mut().extend(bytes);
        self
    }

    /// The bytes of the tar.
    pub fn finish(self) -> Vec<u8> {
        self.builder.into_inner().unwrap()
    }

    fn entry(mut self, name: &str, kind: EntryType, mode: u32, to: &str, content: &[u8]) -> Self {
        let mut header = header(name, kind, mode, to, content.len() as u64);
        header.set_cksum();
        self.builder.append(&header, content).unwrap();
        self
    }
}

/// The library refuses hostile names; an attacker does not use it.
fn header(name: &str, kind: EntryType, mode: u32, to: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    let fields = header.as_old_mut();
    fields.name[..name.len()].copy_from_slice(name.as_bytes());
    fields.linkname[..to.len()].copy_from_slice(to.as_bytes());
    header
}

impl Default for Archive {
    fn default() -> Self {
        Self::new()
    }
}
