//! The members of an image archive on disk. What a member is for is known only when the whole archive was read, since
//! the list of images may stand at its end; so every file is kept, hashed, until then.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use layer::{EntryKind, Limits, TarReader};
use oci::{BlobDigest, Descriptor, Digest};
use stdx::{Context, Error, Result};

use crate::content::{HashingWriter, Written, read_limited};
use crate::image::CONFIG_MAX;
use crate::ingest::Ingest;
use crate::snapshot::layer_media_type;

/// Members of one archive: real ones have a few files for each layer.
const MEMBERS_MAX: u64 = 100_000;
const LINKS_MAX: usize = 8;

#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

enum Member {
    File(Spooled),
    Link(String),
}

pub(crate) struct Spool {
    members: HashMap<String, Member>,
}

impl Spool {
    /// Reads a whole archive; `progress` hears the bytes that were read so far.
    pub(crate) fn read(
        reader: impl Read + Send,
        ingest: &Ingest,
        limits: &Limits,
        mut progress: impl FnMut(u64),
    ) -> Result<Self> {
        let limits = Limits { entries: MEMBERS_MAX, ..*limits };
        let mut tar = TarReader::new(layer::decompress(reader, &limits)?, &limits);
        let mut members = HashMap::new();
        let mut total = 0u64;
        while let Some(entry) = tar.next_entry()? {
            let name = clean("", &String::from_utf8_lossy(&entry.path));
            let link = String::from_utf8_lossy(&entry.link);
            let member = match entry.kind {
                EntryKind::File => {
                    total = total.saturating_add(entry.size);
                    // Holes cost nothing in the archive.
                    if total > limits.bytes {
                        return Err(Error::corrupt(format!("archive has more than {} bytes", limits.bytes)));
                    }
                    let path = ingest.path().join(format!("member-{}", members.len()));
                    Member::File(Spooled::create(path, |writer| tar.write_data(&entry, writer))?)
                }
                EntryKind::Symlink => Member::Link(clean(&name, &link)),
                EntryKind::HardLink => Member::Link(clean("", &link)),
                _ => continue,
            };
            if members.insert(name.clone(), member).is_some() {
                return Err(Error::corrupt(format!("archive has two members called {name:?}")));
            }
            progress(total);
        }
        tar.finish()?;
        Ok(Self { members })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The file called `name`, through links. A name that holds a digest must be true.
    pub(crate) fn file(&self, name: &str) -> Result<&Spooled> {
        let mut name = clean("", name);
        for _ in 0..LINKS_MAX {
            match self.members.get(&name) {
                Some(Member::Link(target)) => name.clone_from(target),
                Some(Member::File(file)) => return verify_name(&name, file).map(|()| file),
                None => break,
            }
        }
        Err(Error::corrupt(format!("archive has no file {name:?}, which it refers to")))
    }

    /// A blob of an OCI layout.
    pub(crate) fn blob(&self, digest: &BlobDigest) -> Result<&Spooled> {
        self.file(&format!("blobs/sha256/{}", digest.hex()))
    }

    /// The content of a small file.
    pub(crate) fn read_small(&self, name: &str) -> Result<Vec<u8>> {
        self.file(name)?.read_small()
    }
}

impl Spooled {
    /// Keeps everything a reader gives.
    pub(crate) fn write(mut reader: impl Read, path: PathBuf) -> Result<Self> {
        Self::create(path, |writer| {
            io::copy(&mut reader, writer).context(|| "cannot keep archive".to_owned()).map(|_| ())
        })
    }

    fn create(path: PathBuf, write: impl FnOnce(&mut HashingWriter<File>) -> Result<()>) -> Result<Self> {
        let mut writer = HashingWriter::new(File::create(&path).context(|| format!("cannot create {path:?}"))?);
        write(&mut writer)?;
        let (_, Written { digest, size }) = writer.finish();
        Ok(Self { path, digest, size })
    }

    /// What this file is as a layer.
    pub(crate) fn describe(&self) -> Result<Descriptor> {
        let compression = layer::decompress(self.open()?, &Limits::default())?.compression();
        Ok(Descriptor::new(layer_media_type(compression), BlobDigest::new(self.digest), self.size))
    }

    pub(crate) fn open(&self) -> Result<File> {
        File::open(&self.path).context(|| format!("cannot open {:?}", self.path))
    }

    pub(crate) fn read_small(&self) -> Result<Vec<u8>> {
        read_limited(self.open()?, CONFIG_MAX, || format!("\"{}\" in the archive", self.digest))
    }
}

/// `blobs/sha256/HEX` and `HEX.json` say what the bytes are.
fn verify_name(name: &str, file: &Spooled) -> Result<()> {
    let hex = name.strip_prefix("blobs/sha256/").or_else(|| name.strip_suffix(".json"));
    match hex.and_then(Digest::from_hex) {
        Some(digest) if digest != file.digest => {
            Err(Error::corrupt(format!("{name:?} in the archive has the digest \"{}\"", file.digest)))
        }
        _ => Ok(()),
    }
}

/// A member's name as a key: `path` as seen from the directory of `from`, without `.` and `..`.
fn clean(from: &str, path: &str) -> String {
    let dir = from.rsplit_once('/').map_or("", |(dir, _)| dir);
    let mut parts: Vec<&str> = Vec::new();
    let start = if path.starts_with('/') { "" } else { dir };
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
