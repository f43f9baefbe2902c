//! `push`: an image here becomes one in a registry. Nothing is sent that is there, or that the registry can take from
//! another of its repositories.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Seek, SeekFrom};
use std::sync::Mutex;
use std::thread;

use oci::{BlobDigest, Descriptor, Reference};
use registry::{Access, Pushed as Sent, Repository, Which};
use stdx::{Context, Error, Result};
use store::Content;

use crate::{Engine, events};

/// Blobs sent at a time: Docker's number.
const SENDERS: usize = 5;

/// What is heard of a push, from several threads. Sizes are in bytes.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A layer, counted from 0 at the bottom, is being packed, which happens once.
    Packing {
        at: usize,
    },
    /// The image has these layers, bottom first.
    Layers(&'a [Descriptor]),
    Sending {
        at: usize,
        done: u64,
        total: u64,
    },
    /// How the layer came to be there.
    Sent {
        at: usize,
        how: Sent,
    },
}

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub digest: BlobDigest,
    /// Of the manifest, in bytes.
    pub size: u64,
}

/// What the senders share.
struct Upload<'a> {
    repository: Repository,
    content: Content,
    /// Where the registry has blobs.
    origins: HashMap<BlobDigest, Reference>,
    on_event: &'a (dyn Fn(Event<'_>) + Sync),
}

/// Pushes the image that has this name, under this name.
pub fn push(engine: &Engine, name: &Reference, on_event: &(dyn Fn(Event<'_>) + Sync)) -> Result<Pushed> {
    let store = engine.store()?;
    let hold = store.hold()?;
    let name = name.clone().or_latest();
    let Some(tag) = name.tag().filter(|_| name.digest().is_none()) else {
        return Err(Error::invalid(format!("cannot push \"{}\": a digest is no name", name.familiar())));
    };
    let image = store.resolve(&name.to_string()).map_err(|error| match error.kind() {
        stdx::Kind::NotFound => {
            let message = format!("an image does not exist locally with the tag: {}", name.familiar_name());
            Error::not_found(message).hint("give it that name with \"tare tag\"")
        }
        _ => error,
    })?;
    let repository = engine.registries()?.repository(&name, Access::Push);
    let packed = store.pack(&image, &mut |at| on_event(Event::Packing { at }))?;
    on_event(Event::Layers(&packed.manifest.layers));
    let origins = store.repositories_of_blobs(name.registry())?;
    let upload = Upload { repository, content: store.content(), origins, on_event };
    upload.send_layers(&packed.manifest.layers)?;
    upload.send(&packed.manifest.config, &mut |_| {})?;
    let digest = upload.repository.push_manifest(Which::Tag(tag), &packed.descriptor.media_type, &packed.bytes)?;
    store.add_digest(&image, &name.at(digest))?;
    if packed.is_new {
        drop(hold);
        super::collect(engine)?;
    }
    events::remote_image(engine, &name.familiar(), "push");
    Ok(Pushed { digest, size: packed.descriptor.size })
}

/// The tags that a repository has here, sorted.
pub fn tags(engine: &Engine, repository: &Reference) -> Result<Vec<Reference>> {
    let names = engine.store()?.images()?.into_iter().flat_map(|image| image.names);
    let mut names: Vec<_> = names.filter(|name| name.same_repository(repository)).collect();
    names.sort();
    Ok(names)
}

impl Upload<'_> {
    /// Sends each blob once, several at a time; the first error ends what has not begun.
    fn send_layers(&self, layers: &[Descriptor]) -> Result<()> {
        let jobs = layers.iter().enumerate().collect::<VecDeque<_>>();
        let jobs = Mutex::new(jobs);
        let next = || jobs.lock().ok()?.pop_front();
        let work = || {
            while let Some((at, layer)) = next() {
                let is_first = layers.iter().position(|other| other.digest == layer.digest) == Some(at);
                let total = layer.size;
                let progress = &mut |done| (self.on_event)(Event::Sending { at, done, total });
                let how = if is_first { self.send(layer, progress) } else { Ok(Sent::Existed) };
                match how {
                    Ok(how) => (self.on_event)(Event::Sent { at, how }),
                    Err(error) => {
                        if let Ok(mut jobs) = jobs.lock() {
                            jobs.clear();
                        }
                        return Err(error);
                    }
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let start = |_| {
                let thread = thread::Builder::new().name("send".to_owned());
                thread.spawn_scoped(scope, work).context(|| "cannot start a thread to send layers".to_owned())
            };
            let threads: Vec<_> = (0..SENDERS.min(layers.len())).map(start).collect::<Result<_>>()?;
            let ended = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
                thread.join().unwrap_or_else(|_| Err(Error::new(stdx::Kind::Internal, "a thread ended early")))
            };
            // All of them end before the first error is told.
            threads.into_iter().map(ended).fold(Ok(()), Result::and)
        })
    }

    fn send(&self, blob: &Descriptor, progress: &mut dyn FnMut(u64)) -> Result<Sent> {
        let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
            let mut file = self.content.open(&blob.digest)?;
            file.seek(SeekFrom::Start(offset)).context(|| format!("cannot read blob \"{}\"", blob.digest))?;
            Ok(Box::new(file))
        };
        self.repository.push_blob(blob, open, self.origins.get(&blob.digest), progress)
    }
}
