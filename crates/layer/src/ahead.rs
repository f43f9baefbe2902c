//! Reading, and hashing what is read, ahead of who uses it: unpacking, decompressing and hashing each take about as
//! long as the others, and there are processors for all of them.
//!
//! Chunks go round: the reader's thread fills one, the hasher's thread hashes it, the user empties it and gives it back.
//! So what is read ahead is bounded, and nothing is allocated after the start.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use oci::{Digest, Sha256};
use stdx::{Context, Error, Kind, Result};

const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 8;

/// What was read, in order.
pub(crate) struct Chunks {
    current: Vec<u8>,
    position: usize,
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
}

/// Gives `use_it` the reader's bytes; returns its result and the digest of all that was read. To be the digest of the
/// whole input, `use_it` must read to the end.
pub(crate) fn hashed<R: Read + Send, T>(
    mut reader: R,
    use_it: impl FnOnce(Chunks) -> Result<T>,
) -> Result<(T, Digest)> {
    let (give_full, full) = sync_channel(CHUNKS);
    let (empty, take_empty) = channel();
    let first = fill(&mut reader, vec![0; CHUNK]).context(|| "cannot read archive".to_owned())?;
    // Small archives are not worth a thread.
    if first.len() < CHUNK {
        drop(give_full);
        let digest = Digest::of(&first);
        return Ok((use_it(Chunks { current: first, position: 0, full, empty })?, digest));
    }
    thread::scope(|scope| {
        let (give_read, read) = sync_channel(CHUNKS);
        for _ in 1..CHUNKS {
            // The receiver is at hand, so it cannot fail.
            let _ = empty.send(vec![0; CHUNK]);
        }
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let message = || "cannot start a thread to read ahead".to_owned();
        let _ = give_read.send(Ok(first));
        named("read").spawn_scoped(scope, move || read_all(reader, &take_empty, &give_read)).context(message)?;
        let hasher = named("hash").spawn_scoped(scope, move || hash_all(&read, &give_full)).context(message)?;
        let used = use_it(Chunks { current: Vec::new(), position: 0, full, empty })?;
        let digest = hasher.join().map_err(|_| Error::new(Kind::Internal, "the hashing thread ended"))?;
        Ok((used, digest))
    })
}

/// Ends with the input, after an error, or when nobody takes what was read.
fn read_all(mut reader: impl Read, empty: &Receiver<Vec<u8>>, full: &SyncSender<io::Result<Vec<u8>>>) {
    while let Ok(mut chunk) = empty.recv() {
        chunk.resize(CHUNK, 0);
        let filled = fill(&mut reader, chunk);
        let more = filled.as_ref().is_ok_and(|chunk| chunk.len() == CHUNK);
        if full.send(filled).is_err() || !more {
            return;
        }
    }
}

fn hash_all(read: &Receiver<io::Result<Vec<u8>>>, full: &SyncSender<io::Result<Vec<u8>>>) -> Digest {
    let mut hash = Sha256::new();
    while let Ok(chunk) = read.recv() {
        if let Ok(chunk) = &chunk {
            hash.update(chunk);
        }
        if full.send(chunk).is_err() {
            break;
        }
    }
    hash.finish()
}

/// Shorter than the chunk was only at the end of the input.
fn fill(reader: &mut impl Read, mut chunk: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut filled = 0;
    while filled < chunk.len() {
        match reader.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(filled);
    Ok(chunk)
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.current.len() {
            // After the last chunk the channel is closed.
            let Ok(next) = self.full.recv() else { return Ok(&[]) };
            let used = std::mem::replace(&mut self.current, next?);
            self.position = 0;
            if used.capacity() > 0 {
                // The reader has ended if it is not wanted.
                let _ = self.empty.send(used);
            }
            if self.current.is_empty() {
                return Ok(&[]);
            }
        }
        Ok(&self.current[self.position..])
    }

    fn consume(&mut self, length: usize) {
        self.position += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, then an error or the end.
    struct Slowly<'a>(&'a [u8], Option<io::ErrorKind>);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(99_999);
            match (self.0.is_empty(), self.1) {
                (true, Some(kind)) => Err(kind.into()),
                _ => self.0.read(&mut buffer[..most]),
            }
        }
    }

    #[test]
    fn all_bytes_arrive_and_are_hashed() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 20 * CHUNK, 20 * CHUNK + 5] {
            let input = stdx::id::random(length);
            let read = |mut chunks: Chunks| {
                let mut output = Vec::new();
                chunks.read_to_end(&mut output).map(|_| output).context(String::new)
            };
            let (output, digest) = hashed(Slowly(&input, None), read).unwrap();
            assert!(output == input, "{length}");
            assert_eq!(digest, Digest::of(&input));
        }
    }

    #[test]
    fn errors_end_it_on_both_sides() {
        let input = stdx::id::random(20 * CHUNK);
        for length in [10, 20 * CHUNK] {
            let slowly = Slowly(&input[..length], Some(io::ErrorKind::InvalidData));
            let read = |mut chunks: Chunks| io::copy(&mut chunks, &mut io::sink()).context(|| "failed".to_owned());
            assert_eq!(hashed(slowly, read).unwrap_err().kind(), Kind::Corrupt);
        }
        // Who reads no further does not wait for the rest.
        let error = hashed(&input[..], |_| Err::<(), _>(Error::invalid("enough"))).unwrap_err();
        assert_eq!(error.to_string(), "enough");
    }
}
