//! Blobs on their way in. What has arrived of a blob stays when the operation ends early, and the next one goes on from
//! there: `content/partial/HEX`, locked (flock) while somebody writes it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use oci::{BlobDigest, Descriptor, Sha256};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use stdx::{Context, Error, Kind, Result};

use crate::gc::entries;
use crate::ingest::private_dir;
use crate::{Step, Store, Watch};

/// What is read at a time.
const CHUNK: usize = 256 << 10;

/// Gives the bytes of a blob from an offset on.
pub type Open<'a> = &'a (dyn Fn(&Descriptor, u64) -> Result<Box<dyn Read + Send>> + Sync);

/// A blob's file that this process alone writes.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Store {
    fn partial_dir(&self) -> PathBuf {
        self.root().join("content/partial")
    }

    /// Brings a blob in, unless it is there: what arrived before is hashed again, and `open` asked for the rest. Returns
    /// once it is verified, flushed and in place; garbage until an image reaches it, so the caller holds.
    ///
    /// `Corrupt` if it is not what its digest says; then nothing of it is kept.
    pub(crate) fn fetch(&self, descriptor: &Descriptor, open: Open<'_>, at: usize, watch: &Watch<'_>) -> Result<()> {
        let content = self.content();
        while !content.contains(&descriptor.digest) {
            private_dir(&self.root().join("content"))?;
            private_dir(&self.partial_dir())?;
            let path = self.partial_dir().join(descriptor.digest.hex());
            let Some(mut partial) = Partial::lock(path, || watch.tell(at, Step::Waiting))? else { continue };
            match partial.fill(descriptor, open, at, watch) {
                Ok(()) => content.adopt(&partial.path, &descriptor.digest)?,
                Err(error) => {
                    // Wrong bytes are of no use, and on a full disk room is needed more than they are.
                    if matches!(error.kind(), Kind::Corrupt | Kind::NoSpace) {
                        let _ = fs::remove_file(&partial.path);
                    }
                    return Err(error);
                }
            }
        }
        watch.tell(at, Step::Downloaded);
        Ok(())
    }

    /// What has arrived of blobs that nobody fetches now, and its size in bytes.
    pub fn partials(&self) -> Result<Vec<(BlobDigest, u64)>> {
        let mut partials = Vec::new();
        for entry in entries(&self.partial_dir())? {
            let digest = entry.file_name().to_str().and_then(oci::Digest::from_hex);
            if let (Some(digest), Ok(metadata)) = (digest, entry.metadata()) {
                partials.push((BlobDigest::new(digest), metadata.len()));
            }
        }
        Ok(partials)
    }

    /// Removes what has arrived of blobs that nobody fetches now; the bytes that were freed.
    pub fn remove_partials(&self) -> Result<u64> {
        let mut freed = 0;
        for (digest, size) in self.partials()? {
            let path = self.partial_dir().join(digest.hex());
            let Ok(file) = File::open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && fs::remove_file(&path).is_ok() {
                freed += size;
            }
        }
        Ok(freed)
    }
}

impl Partial {
    /// Opens and locks the file, after `waiting` if somebody else has it. `None` if the file is no longer what the path
    /// names once it is locked: whoever had it has put it into place.
    fn lock(path: PathBuf, waiting: impl FnOnce()) -> Result<Option<Self>> {
        let message = || format!("cannot open {path:?}");
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = options.context(message)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                waiting();
                while let Err(errno) = flock(&file, FlockOperation::LockExclusive) {
                    if errno != Errno::INTR {
                        return Err(errno).context(message);
                    }
                }
            }
            locked => locked.context(message)?,
        }
        let own = file.metadata().context(message)?;
        let named = fs::symlink_metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino()));
        Ok(named.then_some(Self { file, path }))
    }

    /// Completes and verifies the file.
    fn fill(&mut self, descriptor: &Descriptor, open: Open<'_>, at: usize, watch: &Watch<'_>) -> Result<()> {
        if self.append(descriptor, open, at, watch)? {
            return Ok(());
        }
        // Perhaps what was there from before was wrong.
        self.file.set_len(0).context(|| format!("cannot empty {:?}", self.path))?;
        if self.append(descriptor, open, at, watch)? {
            return Ok(());
        }
        let Descriptor { digest, size, .. } = descriptor;
        Err(Error::corrupt(format!("blob \"{digest}\" of {size} bytes arrived with other content")))
    }

    /// Whether the file has the digest, with what was there and what follows. An error instead of `false` if nothing
    /// was there before.
    fn append(&mut self, descriptor: &Descriptor, open: Open<'_>, at: usize, watch: &Watch<'_>) -> Result<bool> {
        let Descriptor { digest, size: total, .. } = descriptor;
        let message = || format!("cannot write blob \"{digest}\"");
        let (mut hash, start) = self.hash_existing(*total, watch).context(message)?;
        let mut done = start;
        watch.tell(at, Step::Downloading { done, total: *total });
        if done < *total {
            let mut reader = open(descriptor, done)?;
            let mut buffer = vec![0; CHUNK];
            while done < *total {
                watch.check()?;
                let wanted = usize::try_from(*total - done).map_or(CHUNK, |left| left.min(CHUNK));
                let read = reader.read(&mut buffer[..wanted]).context(|| format!("cannot read blob \"{digest}\""))?;
                if read == 0 {
                    let message = format!("blob \"{digest}\" ends after {done} of {total} bytes");
                    return if start == 0 { Err(Error::corrupt(message)) } else { Ok(false) };
                }
                hash.update(&buffer[..read]);
                self.file.write_all(&buffer[..read]).context(message)?;
                done += read as u64;
                watch.tell(at, Step::Downloading { done, total: *total });
            }
        }
        let arrived = BlobDigest::new(hash.finish());
        if arrived == *digest {
            self.file.sync_data().context(message)?;
            return Ok(true);
        }
        if start == 0 {
            return Err(Error::corrupt(format!("blob \"{digest}\" arrived as \"{arrived}\"")));
        }
        Ok(false)
    }

    /// The hash and the number of the bytes that are there, with the file positioned behind them.
    fn hash_existing(&mut self, total: u64, watch: &Watch<'_>) -> Result<(Sha256, u64)> {
        let message = || "cannot read what is there of it".to_owned();
        let mut hash = Sha256::new();
        if self.file.metadata().context(message)?.len() > total {
            self.file.set_len(0).context(message)?;
        }
        self.file.seek(SeekFrom::Start(0)).context(message)?;
        let (mut buffer, mut done) = (vec![0; CHUNK], 0);
        loop {
            watch.check()?;
            let read = self.file.read(&mut buffer).context(message)?;
            if read == 0 {
                return Ok((hash, done));
            }
            hash.update(&buffer[..read]);
            done += read as u64;
        }
    }
}
