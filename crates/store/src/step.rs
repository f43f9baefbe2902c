//! Steps of a build: a writable layer in scratch becomes a snapshot.
//!
//! Unlike a commit nothing is copied: what the step wrote *is* the snapshot, once its DiffId is known. It is not flushed
//! either: its description names the running kernel, and another kernel takes it for absent. An image flushes what it
//! stands on before it gets a name, and then the mark goes. So a power loss costs steps of a build, never an image.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use layer::diff::Options;
use oci::{ChainId, DiffId, ImageConfig, ImageId, Reference};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::{Context, Result, id};

use crate::Store;
use crate::commit::push_upper;
use crate::ingest::{Ingest, private_dir};
use crate::names::{Record, Unnamed};
use crate::preparation::Preparation;
use crate::snapshot::Meta;

/// A step's scratch, removed when dropped.
#[derive(Debug)]
pub struct Step<'a> {
    store: &'a Store,
    ingest: Ingest,
    parent: Vec<DiffId>,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    pub diff_id: DiffId,
    /// Bytes of all regular files.
    pub size: u64,
}

impl Store {
    /// Scratch for a step upon these layers.
    pub fn step(&self, parent: &[DiffId]) -> Result<Step<'_>> {
        let step = Step { store: self, ingest: self.ingest()?, parent: parent.to_vec() };
        for dir in [step.layer().join("fs"), step.work()] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir);
            made.context(|| format!("cannot create {dir:?}"))?;
        }
        step.settle_root()?;
        Ok(step)
    }

    /// Makes an image of layers that are all there, and names it. Costs nothing if it is there by these names.
    pub fn publish(&self, config: &ImageConfig, names: Vec<Reference>) -> Result<ImageId> {
        let json = config.to_json();
        let id = ImageId::new(oci::Digest::of(&json));
        let known = self.names()?;
        let is_known = known.images.get(&id).is_some_and(|record| !record.removed);
        if is_known && names.iter().all(|name| known.names.get(name) == Some(&id)) {
            return Ok(id);
        }
        let mut size = 0;
        for chain in ChainId::stack(&config.rootfs.diff_ids) {
            size += self.meta_of(&chain)?.size;
        }
        self.put_blob(&id.blob(), json.len() as u64, &json[..])?;
        let record = Record { size, ..Record::default() };
        self.name(vec![Unnamed { id, record, names }])?;
        Ok(id)
    }

    /// Flushes those of these snapshots that are not yet, and takes their marks off.
    pub(crate) fn flush_snapshots(&self, chains: &[ChainId]) -> Result<()> {
        let mut marked = Vec::new();
        for chain in chains {
            marked.extend(self.snapshot_meta(chain)?.filter(|meta| meta.unflushed.is_some()).map(|meta| (chain, meta)));
        }
        if marked.is_empty() {
            return Ok(());
        }
        let message = || "cannot flush the layers of an image".to_owned();
        let root = File::open(self.root()).context(message)?;
        rustix::fs::syncfs(&root).context(message)?;
        for (chain, meta) in marked {
            let meta = Meta { unflushed: None, ..meta };
            atomic_write(&self.snapshot_dir(chain).join("meta.json"), &meta.to_json()?, Durability::Scratch)?;
        }
        rustix::fs::syncfs(&root).context(message)
    }

    /// Moves a whole snapshot into place. One that is there stays; one that is there and did not survive gives way.
    pub(crate) fn place_snapshot(&self, dir: &Path, chain: &ChainId) -> Result<()> {
        let place = self.snapshot_dir(chain);
        let message = || format!("cannot store snapshot \"{chain}\"");
        match fs::rename(dir, &place) {
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {}
            result => return result.context(message),
        }
        if self.snapshot_meta(chain)?.is_some() {
            return Ok(());
        }
        let aside = self.root().join("ingest").join(id::random_hex(8));
        match fs::rename(&place, aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).context(message),
            _ => {}
        }
        match fs::rename(dir, &place) {
            // Somebody else came to the same end.
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                Ok(())
            }
            result => result.context(message),
        }
    }
}

impl Step<'_> {
    fn layer(&self) -> PathBuf {
        self.ingest.path().join("layer")
    }

    /// The whole scratch directory: beside `upper` and `work` it is the caller's.
    pub fn dir(&self) -> &Path {
        self.ingest.path()
    }

    /// The writable layer.
    pub fn upper(&self) -> PathBuf {
        self.layer().join("fs")
    }

    /// The overlay's scratch.
    pub fn work(&self) -> PathBuf {
        self.ingest.path().join("work")
    }

    /// The root directory is no entry of a layer: it has owner and mode of the one below, whatever the step did to it.
    fn settle_root(&self) -> Result<()> {
        let upper = self.upper();
        let Some(below) = ChainId::stack(&self.parent).pop() else { return Ok(()) };
        let message = || format!("cannot set the owner of {upper:?}");
        let metadata = fs::metadata(self.store.snapshot_fs(&below)).context(message)?;
        std::os::unix::fs::chown(&upper, Some(metadata.uid()), Some(metadata.gid())).context(message)?;
        fs::set_permissions(&upper, fs::Permissions::from_mode(metadata.mode() & 0o7777)).context(message)
    }

    /// Makes a snapshot of what was written; nobody may write any more. `None` if nothing was. Times later than `latest`,
    /// in seconds since 1970, become that.
    pub fn finish(self, latest: Option<i64>) -> Result<Option<Layer>> {
        let message = || "cannot read the step's layer".to_owned();
        self.settle_root()?;
        let upper = File::open(self.upper()).context(message)?;
        let options = Options { latest, ..Options::default() };
        if latest.is_some() {
            return self.finish_by_copy(&upper, &options);
        }
        let diffed = layer::diff(&upper, io::sink(), &options)?;
        if diffed.entries == 0 {
            return Ok(None);
        }
        let parent = ChainId::stack(&self.parent).pop();
        let meta = Meta {
            diff_id: diffed.diff_id,
            parent,
            size: diffed.size,
            tar_size: diffed.tar_size,
            blob: None,
            unflushed: Some(boot().to_owned()),
        };
        meta.write(&self.layer())?;
        private_dir(&self.store.snapshots_dir())?;
        self.store.place_snapshot(&self.layer(), &ChainId::extend(parent, diffed.diff_id))?;
        Ok(Some(Layer { diff_id: diffed.diff_id, size: diffed.size }))
    }

    /// By the way of the archive, whose times are others than those on disk.
    fn finish_by_copy(self, upper: &File, options: &Options) -> Result<Option<Layer>> {
        use std::os::fd::AsFd;
        let mut snapshots = Preparation::new(self.store, self.store.ingest()?);
        let mut stack = snapshots.existing(&self.parent)?;
        let diffed = push_upper(&mut snapshots, &mut stack, upper.as_fd(), options)?;
        if diffed.entries == 0 {
            return Ok(None);
        }
        snapshots.publish(&Default::default(), Vec::new())?;
        Ok(Some(Layer { diff_id: diffed.diff_id, size: diffed.size }))
    }
}

/// Which run of the kernel this is.
pub(crate) fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}
