//! Compressing on all processors at once, to bytes that depend on the input alone: not on the time, not on how the
//! input was cut into writes, not on how many processors there are.
//!
//! The input is cut into blocks of one size. A block of gzip is deflated with the end of the block before as its
//! dictionary and ends at a byte boundary, so the blocks joined are one deflate stream, hardly longer than one made in
//! one piece. A block of zstd is a frame, and any number of frames is a zstd file.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use flate2::{Compress, Crc, FlushCompress, Status};
use stdx::{Context, Error, Result};

use super::Compression;

/// What a deflate stream can refer back to, in bytes.
const WINDOW: usize = 32 << 10;
/// No time, and the operating system 255, which is none (RFC 1952, 2.3.1).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Beyond, memory is used up faster than time is won.
const MAX_THREADS: usize = 16;

/// What the blocks become.
#[derive(Debug, Clone, Copy)]
enum Format {
    None,
    Gzip { level: u32 },
    Zstd { level: i32 },
}

impl Format {
    /// Bytes of input in a block: for gzip few, since little is lost between blocks, for zstd twice its window.
    fn block(self) -> usize {
        match self {
            Self::None => 0,
            Self::Gzip { .. } => 512 << 10,
            Self::Zstd { .. } => 4 << 20,
        }
    }
}

/// Compresses what is written to it. Only [`finish`](Self::finish) makes the result whole.
pub struct Compressor<W> {
    writer: W,
    format: Format,
    block: Vec<u8>,
    /// The block before, for its end.
    previous: Option<Arc<Vec<u8>>>,
    pool: Pool,
    /// Blocks at work, in order.
    pending: VecDeque<Receiver<io::Result<Done>>>,
    crc: Crc,
}

/// Starts compressing to `writer` at a level that is a good bargain; see `docs/decisions/0008-compression.md`.
///
/// `Unsupported` for formats that are only read.
pub fn compress<W: Write>(writer: W, compression: Compression) -> Result<Compressor<W>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let format = match compression {
        Compression::None => Format::None,
        Compression::Gzip => Format::Gzip { level: 4 },
        Compression::Zstd => Format::Zstd { level: 3 },
        other => return Err(Error::unsupported(format!("cannot compress with {other}"))),
    };
    Compressor::new(writer, format, threads).context(|| "cannot start compressing".to_owned())
}

impl<W: Write> Compressor<W> {
    fn new(mut writer: W, format: Format, threads: usize) -> io::Result<Self> {
        if let Format::Gzip { .. } = format {
            writer.write_all(&GZIP_HEADER)?;
        }
        let threads = if let Format::None = format { 0 } else { threads };
        let block = Vec::with_capacity(format.block());
        let (pool, pending) = (Pool::new(threads), VecDeque::new());
        Ok(Self { writer, format, block, previous: None, pool, pending, crc: Crc::new() })
    }

    /// Writes what is left and the end of the format, and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        if !matches!(self.format, Format::None) {
            self.dispatch(true)?;
            while !self.pending.is_empty() {
                self.collect()?;
            }
        }
        if let Format::Gzip { .. } = self.format {
            self.writer.write_all(&self.crc.sum().to_le_bytes())?;
            self.writer.write_all(&self.crc.amount().to_le_bytes())?;
        }
        self.writer.flush()?;
        Ok(self.writer)
    }

    /// Hands the block to a worker, and waits for the oldest one if all have enough to do.
    fn dispatch(&mut self, last: bool) -> io::Result<()> {
        let input = Arc::new(std::mem::take(&mut self.block));
        let previous = self.previous.replace(Arc::clone(&input));
        let (result, pending) = sync_channel(1);
        self.pending.push_back(pending);
        self.pool.give(Job { format: self.format, input, previous, last, result });
        while self.pending.len() > self.pool.capacity() {
            self.collect()?;
        }
        self.block = Vec::with_capacity(if last { 0 } else { self.format.block() });
        Ok(())
    }

    /// Writes the oldest block.
    fn collect(&mut self) -> io::Result<()> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(()) };
        let done = oldest.recv().map_err(|_| io::Error::other("a compressing thread ended"))??;
        self.crc.combine(&done.crc);
        self.writer.write_all(&done.output)
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Format::None = self.format {
            return self.writer.write(bytes);
        }
        // A full block waits for what follows it: the last one is marked as such.
        if self.block.len() == self.format.block() && !bytes.is_empty() {
            self.dispatch(false)?;
        }
        let length = bytes.len().min(self.format.block() - self.block.len());
        self.block.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    /// What is compressed by now is not forced out: that would show in the bytes.
    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

struct Job {
    format: Format,
    input: Arc<Vec<u8>>,
    previous: Option<Arc<Vec<u8>>>,
    last: bool,
    result: SyncSender<io::Result<Done>>,
}

struct Done {
    output: Vec<u8>,
    /// Of the input; gzip's only.
    crc: Crc,
}

/// Threads that take jobs until there are no more.
struct Pool {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    /// Works in the caller's thread if no other could be started.
    own: Worker,
}

impl Pool {
    fn new(threads: usize) -> Self {
        let (jobs, queue) = sync_channel(threads + 2);
        let queue = Arc::new(Mutex::new(queue));
        let start = |_| {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name("compress".to_owned()).spawn(move || work(&queue)).ok()
        };
        let threads: Vec<_> = (0..threads).map_while(start).collect();
        Self { jobs: (!threads.is_empty()).then_some(jobs), threads, own: Worker::default() }
    }

    /// Blocks that are worth having at work at once.
    fn capacity(&self) -> usize {
        if self.threads.is_empty() { 0 } else { self.threads.len() + 2 }
    }

    fn give(&mut self, job: Job) {
        match &self.jobs {
            // It fails only when all threads are gone, which the result's receiver learns.
            Some(jobs) => drop(jobs.send(job)),
            None => self.own.run(job),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut worker = Worker::default();
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => worker.run(job),
            Err(_) => return,
        }
    }
}

/// A compressor's state, allocated once.
#[derive(Default)]
struct Worker {
    deflate: Option<Compress>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Worker {
    fn run(&mut self, job: Job) {
        let done = match job.format {
            Format::None => Ok(Done { output: job.input.to_vec(), crc: Crc::new() }),
            Format::Gzip { level } => self.deflate(level, &job),
            Format::Zstd { level } => self.frame(level, &job.input),
        };
        // Nobody waits for it after an error elsewhere.
        let _ = job.result.send(done);
    }

    fn deflate(&mut self, level: u32, job: &Job) -> io::Result<Done> {
        let deflate = self.deflate.get_or_insert_with(|| Compress::new(flate2::Compression::new(level), false));
        deflate.reset();
        if let Some(previous) = &job.previous {
            deflate.set_dictionary(&previous[previous.len().saturating_sub(WINDOW)..])?;
        }
        let flush = if job.last { FlushCompress::Finish } else { FlushCompress::Sync };
        let input = &job.input[..];
        // Enough also for input that grows, which it does by an eighth at most.
        let mut output = Vec::with_capacity(input.len() + input.len() / 8 + 4096);
        loop {
            let consumed = deflate.total_in() as usize;
            let status = deflate.compress_vec(&input[consumed..], &mut output, flush)?;
            // Space left over means that nothing is held back any more.
            if status == Status::StreamEnd || (!job.last && output.len() < output.capacity()) {
                break;
            }
            output.reserve(output.capacity());
        }
        let mut crc = Crc::new();
        crc.update(input);
        Ok(Done { output, crc })
    }

    fn frame(&mut self, level: i32, input: &[u8]) -> io::Result<Done> {
        if self.zstd.is_none() {
            let mut zstd = zstd::bulk::Compressor::new(level)?;
            zstd.include_checksum(true)?;
            self.zstd = Some(zstd);
        }
        let zstd = self.zstd.as_mut().ok_or(io::ErrorKind::Other)?;
        Ok(Done { output: zstd.compress(input)?, crc: Crc::new() })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::{Limits, decompress};

    /// Text that compresses like text, so that references cross from block to block.
    fn sample(length: usize) -> Vec<u8> {
        let mut seed = 7u32;
        let words = ["layer ", "of ", "a ", "container\n", "whiteout ", "\0\0\0\0", "0123456789"];
        let mut text = Vec::with_capacity(length + 10);
        while text.len() < length {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.extend(words[(seed >> 24) as usize % words.len()].bytes());
        }
        text.truncate(length);
        text
    }

    fn packed(input: &[u8], format: Format, threads: usize, write: usize) -> Vec<u8> {
        let mut compressor = Compressor::new(Vec::new(), format, threads).unwrap();
        for part in input.chunks(write) {
            compressor.write_all(part).unwrap();
        }
        compressor.finish().unwrap()
    }

    #[test]
    fn the_bytes_depend_on_the_input_alone() {
        for (format, block) in [(Format::Gzip { level: 1 }, 512 << 10), (Format::Zstd { level: 1 }, 4 << 20)] {
            for length in [0, 1, 1000, block - 1, block, block + 1, 2 * block, 5 * block + 77] {
                let input = sample(length);
                let once = packed(&input, format, 1, 1 << 20);
                for (threads, write) in [(0, 12_345), (2, 512), (7, 100 << 20)] {
                    assert!(packed(&input, format, threads, write) == once, "{format:?} {length} {threads} {write}");
                }
                let mut output = Vec::new();
                decompress(&once[..], &Limits::default()).unwrap().read_to_end(&mut output).unwrap();
                assert!(output == input, "{format:?} {length}");
            }
        }
    }

    #[test]
    fn blocks_lose_little_and_are_one_member() {
        let input = sample(6 << 20);
        let parallel = packed(&input, Format::Gzip { level: 6 }, 2, 1 << 20);
        let mut whole = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        whole.write_all(&input).unwrap();
        let whole = whole.finish().unwrap();
        assert!(parallel.len() < whole.len() * 101 / 100, "{} instead of {}", parallel.len(), whole.len());
        // A reader of one member finds all of it, and the sum at its end matches.
        let mut output = Vec::new();
        flate2::bufread::GzDecoder::new(&parallel[..]).read_to_end(&mut output).unwrap();
        assert!(output == input);
        // Bytes that cannot be compressed do not grow much either.
        let noise = stdx::id::random(3 << 20);
        let packed = packed(&noise, Format::Gzip { level: 6 }, 2, 1 << 20);
        assert!(packed.len() < noise.len() * 1001 / 1000);
    }

    #[test]
    fn nothing_in_it_says_when_or_where() {
        let mut compressor = compress(Vec::new(), Compression::Gzip).unwrap();
        compressor.write_all(b"hello").unwrap();
        let packed = compressor.finish().unwrap();
        assert_eq!(packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        let mut plain = compress(Vec::new(), Compression::None).unwrap();
        plain.write_all(b"hello").unwrap();
        assert_eq!(plain.finish().unwrap(), b"hello");
        let error = compress(Vec::new(), Compression::Xz).err().unwrap();
        assert_eq!(error.to_string(), "cannot compress with xz");
    }

    #[test]
    fn a_writer_that_fails_is_heard() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut compressor = Compressor::new(Full(1 << 20), Format::Gzip { level: 1 }, 2).unwrap();
        let noise = stdx::id::random(16 << 20);
        let result = compressor.write_all(&noise).and_then(|()| compressor.finish().map(|_| ()));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
