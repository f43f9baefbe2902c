//! Blobs by digest.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use oci::{BlobDigest, Digest, Sha256};
use stdx::atomic_write::sync_dir;
use stdx::{Context, Error, Kind, Result};

use crate::Store;
use crate::ingest::private_dir;

/// The directory `content/sha256`. A blob that is there is whole and has the digest it is named by.
#[derive(Debug)]
pub struct Content {
    dir: PathBuf,
}

impl Content {
    pub(crate) fn new(root: &Path) -> Self {
        Self { dir: root.join("content/sha256") }
    }

    /// Where the blob is, or would be.
    pub fn path(&self, digest: &BlobDigest) -> PathBuf {
        self.dir.join(digest.hex())
    }

    /// Is the blob there?
    pub fn contains(&self, digest: &BlobDigest) -> bool {
        self.path(digest).exists()
    }

    /// Opens a blob for reading.
    pub fn open(&self, digest: &BlobDigest) -> Result<File> {
        File::open(self.path(digest)).context(|| format!("cannot open blob \"{digest}\""))
    }

    /// The size of a blob in bytes.
    pub fn size(&self, digest: &BlobDigest) -> Result<u64> {
        let metadata = fs::metadata(self.path(digest));
        metadata.context(|| format!("cannot find blob \"{digest}\"")).map(|metadata| metadata.len())
    }

    /// Reads a whole blob of at most `limit` bytes; a larger one is `Corrupt`.
    pub fn read_small(&self, digest: &BlobDigest, limit: u64) -> Result<Vec<u8>> {
        read_limited(self.open(digest)?, limit, || format!("blob \"{digest}\""))
    }

    /// Moves a verified and flushed file into place. The caller calls [`sync`](Self::sync) after the last one.
    pub(crate) fn adopt(&self, path: &Path, digest: &BlobDigest) -> Result<()> {
        if let Some(parent) = self.dir.parent() {
            private_dir(parent)?;
        }
        private_dir(&self.dir)?;
        fs::rename(path, self.path(digest)).context(|| format!("cannot store blob \"{digest}\""))
    }

    /// Makes the names of the adopted blobs survive a power loss.
    pub(crate) fn sync(&self) -> Result<()> {
        sync_dir(&self.dir)
    }

    /// Every blob's digest and size in bytes; names that are no digest are not ours and left alone.
    pub fn list(&self) -> Result<Vec<(BlobDigest, u64)>> {
        let mut blobs = Vec::new();
        for entry in crate::gc::entries(&self.dir)? {
            let digest = entry.file_name().to_str().and_then(Digest::from_hex);
            if let (Some(digest), Ok(metadata)) = (digest, entry.metadata()) {
                blobs.push((BlobDigest::new(digest), metadata.len()));
            }
        }
        Ok(blobs)
    }

    pub(crate) fn remove(&self, digest: &BlobDigest) -> Result<()> {
        fs::remove_file(self.path(digest)).context(|| format!("cannot remove blob \"{digest}\""))
    }
}

impl Store {
    /// Writes a blob while verifying its digest and size. One that is there already is not written again.
    ///
    /// `Corrupt` if the bytes are others; then nothing is kept. It is visible only when flushed to disk, and garbage
    /// until an image reaches it: whoever puts blobs takes a [`hold`](Self::hold) first.
    pub fn put_blob(&self, digest: &BlobDigest, size: u64, mut reader: impl Read) -> Result<()> {
        let content = self.content();
        if content.contains(digest) {
            return Ok(());
        }
        let ingest = self.ingest()?;
        let path = ingest.path().join(digest.hex());
        let message = || format!("cannot write blob \"{digest}\"");
        let mut writer = HashingWriter::new(File::create(&path).context(message)?);
        // One byte more than announced is enough to know that it is wrong.
        io::copy(&mut (&mut reader).take(size.saturating_add(1)), &mut writer).context(message)?;
        let (file, written) = writer.finish();
        if written.size != size || written.digest != digest.digest() {
            return Err(Error::corrupt(format!(
                "blob \"{digest}\" of {size} bytes arrived as \"{}\" of {} bytes or more",
                written.digest, written.size
            )));
        }
        file.sync_all().context(message)?;
        content.adopt(&path, digest)?;
        content.sync()
    }
}

/// Reads everything, unless it is more than `limit` bytes.
pub(crate) fn read_limited(reader: impl Read, limit: u64, noun: impl Fn() -> String) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).context(|| format!("cannot read {}", noun()))?;
    if bytes.len() as u64 > limit {
        return Err(Error::new(Kind::Corrupt, format!("{} is larger than {limit} bytes", noun())));
    }
    Ok(bytes)
}

/// What went through a [`HashingWriter`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Hashes and counts what it passes on.
pub(crate) struct HashingWriter<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> HashingWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    pub(crate) fn finish(self) -> (W, Written) {
        (self.inner, Written { digest: self.hash.finish(), size: self.size })
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn a_blob_is_there_whole_or_not_at_all() {
        let scratch = Scratch::new();
        let store = scratch.store();
        let digest = BlobDigest::new(Digest::of(b"hello"));
        for (size, bytes) in [(5, "hellO"), (4, "hell"), (4, "hello"), (6, "hello"), (5, ""), (0, "hello")] {
            let error = store.put_blob(&digest, size, bytes.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{size} {bytes}: {error}");
            assert_eq!(store.counts(), (0, 0, 0));
        }
        store.put_blob(&digest, 5, &b"hello"[..]).unwrap();
        // Nothing is read again.
        store.put_blob(&digest, 5, &b""[..]).unwrap();
        let content = store.content();
        assert_eq!(content.read_small(&digest, 5).unwrap(), b"hello");
        assert_eq!(content.read_small(&digest, 4).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(content.list().unwrap(), [(digest, 5)]);
        let missing = BlobDigest::new(Digest::of(b""));
        assert_eq!(content.read_small(&missing, 5).unwrap_err().kind(), Kind::NotFound);
    }
}
