//! Snapshots in the making: unpacked side by side, settled upon each other from the bottom up, committed all together.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use layer::{Limits, Unpacked};
use oci::{BlobDigest, ChainId, Descriptor, DiffId};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stdx::atomic_write::sync_dir;
use stdx::{Context, Error, Kind, Result};

use crate::ingest::{Ingest, private_dir};
use crate::names::Unnamed;
use crate::snapshot::Meta;
use crate::{Loaded, Step, Store, Usage, Watch};

/// Layers unpacked at a time; each keeps one processor busy, and a little more.
const WORKERS_MAX: usize = 8;

/// Snapshots of one operation: prepared in its ingest directory, then committed all together.
pub(crate) struct Preparation<'a> {
    store: &'a Store,
    ingest: Ingest,
    prepared: Vec<Prepared>,
    /// Directories given away.
    dirs: usize,
}

struct Prepared {
    chain: ChainId,
    dir: PathBuf,
    meta: Meta,
}

/// Layers of one image while they are put upon each other.
#[derive(Default)]
pub(crate) struct Stack {
    lowers: Vec<OwnedFd>,
    pub(crate) chain: Option<ChainId>,
    pub(crate) size: u64,
}

/// The blob of a layer that is to be unpacked.
pub(crate) struct Arrived {
    /// Which layer of the image, counted from 0 at the bottom.
    pub(crate) at: usize,
    pub(crate) blob: File,
    pub(crate) descriptor: Descriptor,
}

/// A layer before it is put upon others.
struct Loose {
    dir: PathBuf,
    unpacked: Unpacked,
    blob: Option<Descriptor>,
}

impl<'a> Preparation<'a> {
    pub(crate) fn new(store: &'a Store, ingest: Ingest) -> Self {
        Self { store, ingest, prepared: Vec::new(), dirs: 0 }
    }

    /// Scratch of the operation.
    pub(crate) fn dir(&self) -> &Path {
        self.ingest.path()
    }

    /// Which layers of an image have no snapshot yet.
    pub(crate) fn missing(&self, diff_ids: &[DiffId]) -> Result<Vec<usize>> {
        let mut missing = Vec::new();
        for (at, chain) in ChainId::stack(diff_ids).iter().enumerate() {
            if self.known(chain)?.is_none() {
                missing.push(at);
            }
        }
        Ok(missing)
    }

    /// Puts the layers of an image upon each other. `arriving` gives the blobs of those that are [`missing`], in any
    /// order; they are unpacked as they come, several at a time. `Corrupt` if a blob holds another layer.
    ///
    /// After an error the watch is stopped, for whoever makes them arrive.
    ///
    /// [`missing`]: Self::missing
    pub(crate) fn stack(
        &mut self,
        diff_ids: &[DiffId],
        arriving: impl Iterator<Item = Result<Arrived>> + Send,
        limits: &Limits,
        watch: &Watch<'_>,
    ) -> Result<Stack> {
        let missing = self.missing(diff_ids)?.len();
        let _files = OpenFiles::at_least(diff_ids.len() as u64 + OTHER_FILES);
        let first = self.dirs;
        self.dirs += diff_ids.len();
        let scratch = self.ingest.path().to_owned();
        let arriving = Mutex::new(arriving.fuse());
        let next = || arriving.lock().ok()?.next();
        let unpack = |arrived: Arrived| {
            let Arrived { at, blob, descriptor } = arrived;
            let expected = *diff_ids.get(at).ok_or_else(|| Error::new(Kind::Internal, "a layer too many"))?;
            let total = descriptor.size;
            let reader = Counted { inner: blob, at, done: 0, total, watch };
            let dir = snapshot_dir(&scratch, first + at);
            let loose = Loose::unpack(dir, reader, Some(descriptor), limits)?;
            loose.must_be(expected).map(|()| (at, loose))
        };
        thread::scope(|scope| {
            let (done, loose) = channel();
            for _ in 0..workers().min(missing) {
                let done = done.clone();
                let work = || {
                    // Ends with the last layer, or when nobody waits for more.
                    let done = done;
                    while let Some(arrived) = next() {
                        if done.send(arrived.and_then(unpack)).is_err() {
                            return;
                        }
                    }
                };
                let thread = thread::Builder::new().name("unpack".to_owned());
                thread.spawn_scoped(scope, work).context(|| "cannot start a thread to unpack layers".to_owned())?;
            }
            drop(done);
            let settled = self.settle_all(diff_ids, &loose, watch);
            if settled.is_err() {
                watch.stop();
            }
            settled
        })
    }

    fn settle_all(
        &mut self,
        diff_ids: &[DiffId],
        loose: &Receiver<Result<(usize, Loose)>>,
        watch: &Watch<'_>,
    ) -> Result<Stack> {
        let mut stack = Stack::default();
        let mut early = BTreeMap::new();
        for (at, diff_id) in diff_ids.iter().enumerate() {
            let chain = ChainId::extend(stack.chain, *diff_id);
            if let Some((size, fs)) = self.known(&chain)? {
                stack.push(&fs, chain, size)?;
                continue;
            }
            let layer = loop {
                if let Some(layer) = early.remove(&at) {
                    break layer;
                }
                let (at, layer) =
                    loose.recv().map_err(|_| Error::corrupt(format!("there is no layer \"{diff_id}\"")))??;
                early.insert(at, layer);
            };
            self.settle(&mut stack, layer)?;
            watch.tell(at, Step::Complete);
        }
        Ok(stack)
    }

    /// Puts a stack of layers that are all there upon each other.
    pub(crate) fn existing(&mut self, diff_ids: &[DiffId]) -> Result<Stack> {
        self.stack(diff_ids, std::iter::empty(), &Limits::default(), &Watch::new(&|_, _| {}))
    }

    /// Puts a layer upon a stack whose DiffId nobody announced; `blob` is what its archive is read from, if that is kept.
    pub(crate) fn push_new(
        &mut self,
        stack: &mut Stack,
        reader: impl Read + Send,
        blob: Option<Descriptor>,
        limits: &Limits,
    ) -> Result<DiffId> {
        let dir = snapshot_dir(self.ingest.path(), self.dirs);
        self.dirs += 1;
        let loose = Loose::unpack(dir, reader, blob, limits)?;
        let diff_id = loose.unpacked.diff_id();
        self.settle(stack, loose).map(|()| diff_id)
    }

    /// Where the layer is that was pushed last.
    pub(crate) fn last_dir(&self) -> Option<PathBuf> {
        self.prepared.last().map(|prepared| prepared.dir.clone())
    }

    /// Takes the last layer that was pushed away again; the size of its files.
    pub(crate) fn pop(&mut self) -> u64 {
        self.prepared.pop().map_or(0, |prepared| prepared.meta.size)
    }

    /// Where the snapshot is, if it is there or prepared, and the size of its files.
    fn known(&self, chain: &ChainId) -> Result<Option<(u64, PathBuf)>> {
        if let Some(prepared) = self.prepared.iter().find(|prepared| prepared.chain == *chain) {
            return Ok(Some((prepared.meta.size, prepared.dir.join("fs"))));
        }
        Ok(self.store.snapshot_meta(chain)?.map(|meta| (meta.size, self.store.snapshot_fs(chain))))
    }

    fn settle(&mut self, stack: &mut Stack, loose: Loose) -> Result<()> {
        let Loose { dir, unpacked, blob } = loose;
        let lowers: Vec<_> = stack.lowers.iter().map(AsFd::as_fd).collect();
        let applied = unpacked.settle(&lowers)?;
        let (diff_id, size, tar_size) = (applied.diff_id, applied.size, applied.archive_size);
        let meta = Meta { diff_id, parent: stack.chain, size, tar_size, blob, unflushed: None };
        meta.write(&dir)?;
        let chain = ChainId::extend(stack.chain, diff_id);
        stack.push(&dir.join("fs"), chain, size)?;
        self.prepared.push(Prepared { chain, dir, meta });
        Ok(())
    }

    /// Makes everything visible: flushes, moves blobs and snapshots into place, and last of all names the images.
    /// If that fails half-way, what has no name goes again.
    pub(crate) fn publish(self, blobs: &BTreeMap<BlobDigest, PathBuf>, images: Vec<Unnamed>) -> Result<Vec<Loaded>> {
        let published = self.commit(blobs).and_then(|()| self.store.name(images));
        let Self { store, ingest, .. } = self;
        drop(ingest);
        if published.is_err() {
            // Removed images stay, whether a container stands on them or not: nobody asked about those.
            let _ = store.gc(&|_| Some(Usage::Stopped(String::new())));
        }
        published
    }

    fn commit(&self, blobs: &BTreeMap<BlobDigest, PathBuf>) -> Result<()> {
        self.ingest.sync()?;
        let content = self.store.content();
        for (digest, path) in blobs.iter().filter(|(digest, _)| !content.contains(digest)) {
            content.adopt(path, digest)?;
        }
        content.sync()?;
        private_dir(&self.store.snapshots_dir())?;
        for Prepared { chain, dir, .. } in &self.prepared {
            self.store.place_snapshot(dir, chain)?;
        }
        sync_dir(&self.store.snapshots_dir())
    }
}

impl Loose {
    fn unpack(dir: PathBuf, reader: impl Read + Send, blob: Option<Descriptor>, limits: &Limits) -> Result<Self> {
        let fs = dir.join("fs");
        let message = || format!("cannot create {fs:?}");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&fs).context(message)?;
        let root = File::open(&fs).context(message)?;
        let unpacked = layer::unpack(layer::decompress(reader, limits)?, &root, limits)?;
        Ok(Self { dir, unpacked, blob })
    }

    fn must_be(&self, expected: DiffId) -> Result<()> {
        match self.unpacked.diff_id() {
            diff_id if diff_id == expected => Ok(()),
            other => Err(Error::corrupt(format!("layer \"{expected}\" has the content of \"{other}\""))),
        }
    }
}

impl Stack {
    /// Takes all but the lowest away; `chain` is what is left.
    pub(crate) fn truncate(&mut self, count: usize, chain: Option<ChainId>) {
        self.lowers.truncate(count);
        self.chain = chain;
    }

    pub(crate) fn push(&mut self, fs: &Path, chain: ChainId, size: u64) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.lowers.push(openat(CWD, fs, flags, Mode::empty()).context(|| format!("cannot open snapshot {fs:?}"))?);
        self.chain = Some(chain);
        self.size += size;
        Ok(())
    }
}

/// Every layer of a stack is kept open: a deep one needs more files than a process usually may have. Put back in the end,
/// since whatever this process starts inherits the limit.
struct OpenFiles(Option<Rlimit>);

/// Files that are open besides the layers.
const OTHER_FILES: u64 = 256;

impl OpenFiles {
    fn at_least(wanted: u64) -> Self {
        let before = getrlimit(Resource::Nofile);
        let current = before.current.unwrap_or(u64::MAX);
        let more = Rlimit { current: Some(wanted.min(before.maximum.unwrap_or(u64::MAX))), ..before };
        // Without it, opening a file tells what is wrong.
        let is_raised = wanted > current && setrlimit(Resource::Nofile, more).is_ok();
        Self(is_raised.then_some(before))
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            let _ = setrlimit(Resource::Nofile, before);
        }
    }
}

/// Tells how much of a blob was unpacked, and ends early when the operation is to stop.
struct Counted<'a, R> {
    inner: R,
    at: usize,
    done: u64,
    total: u64,
    watch: &'a Watch<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.watch.check().map_err(io::Error::other)?;
        let read = self.inner.read(buffer)?;
        self.done += read as u64;
        self.watch.tell(self.at, Step::Extracting { done: self.done, total: self.total });
        Ok(read)
    }
}

fn snapshot_dir(scratch: &Path, number: usize) -> PathBuf {
    scratch.join(format!("snapshot-{number}"))
}

fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}
