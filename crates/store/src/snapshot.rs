//! Layers as directories, one for each ChainId: the same layer upon other layers is another snapshot.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use layer::{Compression, Limits};
use oci::descriptor::media_type;
use oci::{BlobDigest, ChainId, Descriptor, DiffId};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};
use stdx::atomic_write::sync_dir;
use stdx::{Context, Error, Kind, Result};

use crate::ingest::{Ingest, private_dir};
use crate::names::Unnamed;
use crate::{Loaded, Store, Usage};

/// `meta.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) diff_id: DiffId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<ChainId>,
    /// Bytes of all regular files.
    pub(crate) size: u64,
    /// The layer as it was transferred.
    pub(crate) blob: Descriptor,
}

impl Store {
    pub(crate) fn snapshots_dir(&self) -> PathBuf {
        self.root().join("snapshots")
    }

    pub(crate) fn snapshot_dir(&self, chain: &ChainId) -> PathBuf {
        self.snapshots_dir().join(chain.hex())
    }

    pub(crate) fn snapshot_fs(&self, chain: &ChainId) -> PathBuf {
        self.snapshot_dir(chain).join("fs")
    }

    /// `None` if there is no such snapshot.
    pub(crate) fn snapshot_meta(&self, chain: &ChainId) -> Result<Option<Meta>> {
        let path = self.snapshot_dir(chain).join("meta.json");
        let message = || format!("cannot read snapshot {path:?}");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).context(message).map_err(|e| e.kinded(Kind::Corrupt)).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(message),
        }
    }
}

/// Snapshots of one operation: prepared in its ingest directory, then committed all together.
pub(crate) struct Preparation<'a> {
    store: &'a Store,
    ingest: Ingest,
    prepared: Vec<Prepared>,
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

impl<'a> Preparation<'a> {
    pub(crate) fn new(store: &'a Store, ingest: Ingest) -> Self {
        Self { store, ingest, prepared: Vec::new() }
    }

    /// Puts the layer `diff_id` upon a stack; nothing is unpacked if that snapshot is there already.
    /// `Corrupt` if the blob holds another layer.
    pub(crate) fn push(
        &mut self,
        stack: &mut Stack,
        diff_id: DiffId,
        open: impl FnOnce() -> Result<(File, Descriptor)>,
        limits: &Limits,
    ) -> Result<()> {
        let chain = ChainId::extend(stack.chain, diff_id);
        let known = self.prepared.iter().find(|prepared| prepared.chain == chain);
        let known = known.map(|prepared| (prepared.meta.size, prepared.dir.join("fs")));
        let (size, fs) = match known {
            Some(known) => known,
            None => match self.store.snapshot_meta(&chain)? {
                Some(meta) => (meta.size, self.store.snapshot_fs(&chain)),
                None => {
                    let (blob, descriptor) = open()?;
                    self.prepare(stack, Some(diff_id), blob, descriptor, limits)?
                }
            },
        };
        stack.push(&fs, chain, size)
    }

    /// Puts a layer upon a stack whose DiffId nobody announced.
    pub(crate) fn push_new(
        &mut self,
        stack: &mut Stack,
        blob: File,
        descriptor: Descriptor,
        limits: &Limits,
    ) -> Result<DiffId> {
        let (size, fs) = self.prepare(stack, None, blob, descriptor, limits)?;
        let Some(last) = self.prepared.last() else { return Err(Error::new(Kind::Internal, "no layer was prepared")) };
        let (chain, diff_id) = (last.chain, last.meta.diff_id);
        stack.push(&fs, chain, size)?;
        Ok(diff_id)
    }

    fn prepare(
        &mut self,
        stack: &Stack,
        expected: Option<DiffId>,
        blob: File,
        descriptor: Descriptor,
        limits: &Limits,
    ) -> Result<(u64, PathBuf)> {
        let dir = self.ingest.path().join(format!("snapshot-{}", self.prepared.len()));
        let fs = dir.join("fs");
        let message = || format!("cannot create {fs:?}");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&fs).context(message)?;
        let root = File::open(&fs).context(message)?;
        let unpacked = layer::unpack(layer::decompress(blob, limits)?, &root, limits)?;
        let diff_id = unpacked.diff_id();
        if let Some(expected) = expected.filter(|expected| *expected != diff_id) {
            return Err(Error::corrupt(format!("layer \"{expected}\" has the content of \"{diff_id}\"")));
        }
        let lowers: Vec<_> = stack.lowers.iter().map(AsFd::as_fd).collect();
        let size = unpacked.settle(&lowers)?.size;
        let meta = Meta { diff_id, parent: stack.chain, size, blob: descriptor };
        let json = serde_json::to_vec(&meta).context(|| "cannot write snapshot".to_owned())?;
        fs::write(dir.join("meta.json"), json).context(|| format!("cannot write {dir:?}"))?;
        self.prepared.push(Prepared { chain: ChainId::extend(stack.chain, diff_id), dir, meta });
        Ok((size, fs))
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
            match fs::rename(dir, self.store.snapshot_dir(chain)) {
                // Somebody else was faster with the same layer.
                Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {}
                result => result.context(|| format!("cannot store snapshot \"{chain}\""))?,
            }
        }
        sync_dir(&self.store.snapshots_dir())
    }
}

impl Stack {
    fn push(&mut self, fs: &Path, chain: ChainId, size: u64) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.lowers.push(openat(CWD, fs, flags, Mode::empty()).context(|| format!("cannot open snapshot {fs:?}"))?);
        self.chain = Some(chain);
        self.size += size;
        Ok(())
    }
}

/// The media type of a layer packed like this.
pub(crate) fn layer_media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => media_type::OCI_LAYER_GZIP,
        Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        // The specification has no words for xz and bzip2; such a blob is packed again before anybody else sees it.
        Compression::None | Compression::Xz | Compression::Bzip2 => media_type::OCI_LAYER,
    }
}
