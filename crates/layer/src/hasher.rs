//! Hashing what is written while it is written: each takes about as long as the other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use oci::{Digest, Sha256};
use stdx::{Error, Kind, Result};

/// Buffers that may wait to be hashed.
const AHEAD: usize = 4;

/// Starts its thread with the first full buffer: most layers are smaller than one.
pub(crate) enum Hasher {
    Unstarted,
    /// No thread could be started.
    Here(Sha256),
    There(Thread),
}

pub(crate) struct Thread {
    give: SyncSender<Arc<Vec<u8>>>,
    hashed: Receiver<Arc<Vec<u8>>>,
    digest: JoinHandle<Digest>,
    outside: usize,
}

impl Hasher {
    /// Hashes a buffer while `meanwhile` uses it, and gives one of the same size to be filled anew.
    pub(crate) fn hash(&mut self, full: Vec<u8>, meanwhile: impl FnOnce(&[u8]) -> Result<()>) -> Result<Vec<u8>> {
        if let Self::Unstarted = self {
            *self = Thread::start().map_or_else(|_| Self::Here(Sha256::new()), Self::There);
        }
        match self {
            Self::There(thread) => thread.hash(full, meanwhile),
            Self::Here(hash) => {
                hash.update(&full);
                meanwhile(&full).map(|()| full)
            }
            Self::Unstarted => Err(ended()),
        }
    }

    /// The digest of all buffers and this rest.
    pub(crate) fn finish(self, rest: Vec<u8>) -> Result<Digest> {
        match self {
            Self::Unstarted => Ok(Digest::of(&rest)),
            Self::Here(mut hash) => {
                hash.update(&rest);
                Ok(hash.finish())
            }
            Self::There(Thread { give, hashed, digest, .. }) => {
                // What comes back is not wanted any more, and must not be waited for.
                drop(hashed);
                give.send(Arc::new(rest)).map_err(|_| ended())?;
                drop(give);
                digest.join().map_err(|_| ended())
            }
        }
    }
}

impl Thread {
    fn start() -> std::io::Result<Self> {
        let (give, take) = sync_channel::<Arc<Vec<u8>>>(AHEAD);
        let (give_back, hashed) = sync_channel(AHEAD);
        let digest = thread::Builder::new().name("hash".to_owned()).spawn(move || {
            let mut hash = Sha256::new();
            while let Ok(buffer) = take.recv() {
                hash.update(&buffer);
                let _ = give_back.send(buffer);
            }
            hash.finish()
        })?;
        Ok(Self { give, hashed, digest, outside: 0 })
    }

    fn hash(&mut self, full: Vec<u8>, meanwhile: impl FnOnce(&[u8]) -> Result<()>) -> Result<Vec<u8>> {
        let size = full.len();
        let full = Arc::new(full);
        self.give.send(Arc::clone(&full)).map_err(|_| ended())?;
        meanwhile(&full)?;
        drop(full);
        if self.outside < AHEAD - 1 {
            self.outside += 1;
            return Ok(vec![0; size]);
        }
        let free = self.hashed.recv().map_err(|_| ended())?;
        // It is ours alone: what used it meanwhile is done.
        Ok(Arc::try_unwrap(free).unwrap_or_else(|_| vec![0; size]))
    }
}

fn ended() -> Error {
    Error::new(Kind::Internal, "the hashing thread ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_hashed_in_order_and_come_back() {
        for (count, rest) in [(0, 0), (0, 5), (1, 0), (3, 1), (50, 1000)] {
            let input = stdx::id::random(count * 4096 + rest);
            let (mut hasher, mut written) = (Hasher::Unstarted, Vec::new());
            let mut buffer = vec![0; 4096];
            for chunk in input.chunks_exact(4096) {
                buffer.copy_from_slice(chunk);
                let meanwhile = |bytes: &[u8]| {
                    written.extend_from_slice(bytes);
                    Ok(())
                };
                buffer = hasher.hash(buffer, meanwhile).unwrap();
                assert_eq!(buffer.len(), 4096);
            }
            buffer.truncate(rest);
            buffer.copy_from_slice(&input[count * 4096..]);
            assert_eq!(hasher.finish(buffer).unwrap(), Digest::of(&input));
            assert!(written == input[..count * 4096]);
        }
    }

    #[test]
    fn an_error_meanwhile_ends_it() {
        let mut hasher = Hasher::Unstarted;
        let error = hasher.hash(vec![1; 10], |_| Err(Error::invalid("full"))).unwrap_err();
        assert_eq!(error.to_string(), "full");
    }
}
