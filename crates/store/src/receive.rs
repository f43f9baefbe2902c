//! An image comes in from somewhere else, blob by blob: what is there already is not fetched, what is missing is fetched
//! several blobs at a time, and layers are unpacked while others are still on their way.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use layer::Limits;
use oci::{BlobDigest, Descriptor, Digest, ImageConfig, ImageId, Reference};
use stdx::{Context, Error, Result};

use crate::names::{Names, Record, Unnamed};
use crate::partial::Open;
use crate::preparation::{Arrived, Preparation};
use crate::{Step, Store, Watch};

/// Blobs fetched at a time: Docker's number.
const FETCHERS: usize = 3;

/// An image as somebody else describes it. The bytes are kept as they are: they are what the digests are of.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    /// Bottom first.
    pub layers: Vec<Descriptor>,
    /// What it shall be called, with a tag.
    pub name: Option<Reference>,
    /// `repository@digest` it is asked for by.
    pub digest: Option<Reference>,
    /// The type of an artifact, whose blobs are kept as they are.
    pub artifact: Option<String>,
}

/// An image that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub id: ImageId,
    /// Whether anything changed: a layer came, or the name is another image's no more.
    pub is_new: bool,
}

impl Store {
    /// Brings an image in. `open` gives its blobs, from any offset: it is asked by several threads.
    ///
    /// Another process that brings in the same image is waited for. After an error or a crash the blobs that were
    /// complete, and the beginnings of those that were not, are still there for the next attempt.
    pub fn receive(&self, incoming: &Incoming, open: Open<'_>, watch: &Watch<'_>) -> Result<Received> {
        self.sweep()?;
        if let Some(kind) = &incoming.artifact {
            return self.receive_artifact(kind, incoming, open, watch);
        }
        let ingest = self.ingest()?;
        let id = ImageId::new(Digest::of(&incoming.config));
        let config = ImageConfig::parse(&incoming.config).map_err(|error| Error::corrupt(error.to_string()))?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != incoming.layers.len() {
            let (layers, blobs) = (diff_ids.len(), incoming.layers.len());
            return Err(Error::corrupt(format!("image \"{id}\" has {layers} layers, its manifest {blobs}")));
        }
        let _alone = self.lock_incoming(&id)?;
        let before = self.names()?;
        let mut snapshots = Preparation::new(self, ingest);
        let missing = snapshots.missing(diff_ids)?;
        for at in (0..diff_ids.len()).filter(|at| !missing.contains(at)) {
            watch.tell(at, Step::Exists);
        }
        let jobs = Mutex::new(jobs(&missing, &incoming.layers));
        let stack = self.fetch_in_parallel(&jobs, open, watch, |arriving| {
            snapshots.stack(diff_ids, arriving.into_iter(), &Limits::default(), watch)
        })?;
        let blobs = incoming.write_documents(snapshots.dir())?;
        let unnamed = incoming.as_image(id, stack.size);
        snapshots.publish(&blobs, vec![unnamed])?;
        Ok(Received { id, is_new: !missing.is_empty() || incoming.is_new(&before, &id) })
    }

    /// An artifact goes by the digest of its manifest: many share an empty configuration.
    fn receive_artifact(&self, kind: &str, incoming: &Incoming, open: Open<'_>, watch: &Watch<'_>) -> Result<Received> {
        let ingest = self.ingest()?;
        let id = ImageId::new(Digest::of(&incoming.manifest));
        let _alone = self.lock_incoming(&id)?;
        let before = self.names()?;
        let all: Vec<usize> = (0..incoming.layers.len()).collect();
        let jobs = Mutex::new(jobs(&all, &incoming.layers));
        self.fetch_in_parallel(&jobs, open, watch, |arriving| {
            arriving.into_iter().try_for_each(|arrived| {
                let told = arrived.map(|arrived| watch.tell(arrived.at, Step::Complete));
                // Nobody needs the others then.
                told.inspect_err(|_| watch.stop())
            })
        })?;
        let snapshots = Preparation::new(self, ingest);
        let blobs = incoming.write_documents(snapshots.dir())?;
        let size = incoming.layers.iter().map(|layer| layer.size).sum();
        let mut unnamed = incoming.as_image(id, size);
        unnamed.record.artifact = Some(kind.to_owned());
        snapshots.publish(&blobs, vec![unnamed])?;
        Ok(Received { id, is_new: incoming.is_new(&before, &id) })
    }

    /// Fetches blobs on threads of their own while `use_them` takes what arrives.
    fn fetch_in_parallel<T>(
        &self,
        jobs: &Mutex<VecDeque<(Descriptor, Vec<usize>)>>,
        open: Open<'_>,
        watch: &Watch<'_>,
        use_them: impl FnOnce(Receiver<Result<Arrived>>) -> Result<T>,
    ) -> Result<T> {
        thread::scope(|scope| {
            let (arrive, arriving) = channel();
            for _ in 0..FETCHERS {
                let arrive = arrive.clone();
                let thread = thread::Builder::new().name("fetch".to_owned());
                let fetch = move || self.fetch_all(jobs, &arrive, open, watch);
                thread.spawn_scoped(scope, fetch).context(|| "cannot start a thread to fetch layers".to_owned())?;
            }
            drop(arrive);
            use_them(arriving)
        })
    }

    /// Fetches one blob after the other until there are none left, one has failed or nobody wants more.
    fn fetch_all(
        &self,
        jobs: &Mutex<VecDeque<(Descriptor, Vec<usize>)>>,
        arrive: &Sender<Result<Arrived>>,
        open: Open<'_>,
        watch: &Watch<'_>,
    ) {
        let next = || jobs.lock().ok()?.pop_front();
        while let Some((descriptor, layers)) = next() {
            let fetched = layers.first().map_or(Ok(()), |at| self.fetch(&descriptor, open, *at, watch));
            if let Err(error) = fetched {
                let _ = arrive.send(Err(error));
                return;
            }
            for at in layers {
                let blob = self.content().open(&descriptor.digest);
                let arrived = blob.map(|blob| Arrived { at, blob, descriptor: descriptor.clone() });
                if arrive.send(arrived).is_err() {
                    return;
                }
            }
        }
    }
}

impl Incoming {
    /// Manifest and configuration into scratch; what they are, and where.
    fn write_documents(&self, dir: &Path) -> Result<BTreeMap<BlobDigest, PathBuf>> {
        let mut blobs = BTreeMap::new();
        for (name, bytes) in [("config", &self.config), ("manifest", &self.manifest)] {
            let path = dir.join(name);
            fs::write(&path, bytes).context(|| format!("cannot write {path:?}"))?;
            blobs.insert(BlobDigest::new(Digest::of(bytes)), path);
        }
        Ok(blobs)
    }

    fn as_image(&self, id: ImageId, size: u64) -> Unnamed {
        let manifest = Some(BlobDigest::new(Digest::of(&self.manifest)));
        let digests = self.digest.iter().cloned().collect();
        let record = Record { size, digests, manifest, ..Record::default() };
        Unnamed { id, record, names: self.name.iter().cloned().collect() }
    }

    /// Whether it was not here, or not by this name.
    fn is_new(&self, before: &Names, id: &ImageId) -> bool {
        before.images.get(id).is_none_or(|record| record.removed)
            || self.name.as_ref().is_some_and(|name| before.names.get(name) != Some(id))
    }
}

/// The blobs to fetch, each with the layers it is: an image may have a layer twice.
fn jobs(missing: &[usize], layers: &[Descriptor]) -> VecDeque<(Descriptor, Vec<usize>)> {
    let mut jobs: VecDeque<(Descriptor, Vec<usize>)> = VecDeque::new();
    let mut known = HashMap::new();
    for &at in missing {
        let Some(descriptor) = layers.get(at) else { continue };
        match known.get(&descriptor.digest) {
            Some(&job) => {
                let (_, layers): &mut (_, Vec<usize>) = &mut jobs[job];
                layers.push(at);
            }
            None => {
                known.insert(descriptor.digest, jobs.len());
                jobs.push_back((descriptor.clone(), vec![at]));
            }
        }
    }
    jobs
}

#[cfg(test)]
mod tests;
