use std::io::{self, Read};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci::descriptor::media_type;
use stdx::Kind;

use super::*;
use crate::testing::{Scratch, config, tar};

/// Somebody else's image, and what they were asked for.
struct Remote {
    blobs: HashMap<BlobDigest, Vec<u8>>,
    incoming: Incoming,
    asked: Mutex<Vec<u64>>,
    /// How many bytes a stream gives before it breaks.
    breaks_after: Option<usize>,
}

impl Remote {
    fn new(layers: &[&[u8]]) -> Self {
        let descriptor = |layer: &&[u8]| {
            let digest = BlobDigest::new(Digest::of(layer));
            Descriptor::new(media_type::OCI_LAYER, digest, layer.len() as u64)
        };
        let descriptors: Vec<_> = layers.iter().map(descriptor).collect();
        let blobs = layers.iter().zip(&descriptors).map(|(layer, d)| (d.digest, layer.to_vec())).collect();
        let incoming = Incoming {
            artifact: None,
            manifest: format!("manifest of {}", layers.len()).into_bytes(),
            config: config(layers),
            layers: descriptors,
            name: Some(Reference::parse_tagged("r.io/x:1").unwrap()),
            digest: Some(Reference::parse("r.io/x").unwrap().at(BlobDigest::new(Digest::of(b"manifest")))),
        };
        Self { blobs, incoming, asked: Mutex::default(), breaks_after: None }
    }

    fn receive(&self, store: &Store) -> Result<Received> {
        self.receive_watched(store, &|_, _| {})
    }

    fn receive_watched(&self, store: &Store, on_step: &(dyn Fn(usize, Step) + Sync)) -> Result<Received> {
        let open = |descriptor: &Descriptor, offset: u64| -> Result<Box<dyn Read + Send>> {
            self.asked.lock().unwrap().push(offset);
            let rest = self.blobs[&descriptor.digest][usize::try_from(offset).unwrap()..].to_vec();
            let Some(after) = self.breaks_after else { return Ok(Box::new(io::Cursor::new(rest))) };
            let start = rest[..after.min(rest.len())].to_vec();
            Ok(Box::new(io::Cursor::new(start).chain(Broken)))
        };
        store.receive(&self.incoming, &open, &Watch::new(on_step))
    }

    /// The offsets that were asked for since this was called last.
    fn asked(&self) -> Vec<u64> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    }
}

fn layers() -> [Vec<u8>; 3] {
    [("a", 1), ("b", 2), ("c", 3)].map(|(name, byte)| tar(&[(name, &vec![byte; 300_000])]))
}

#[test]
fn an_image_comes_in_once() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let [a, b, c] = layers();
    // One layer twice.
    let remote = Remote::new(&[&a, &b, &c, &a]);
    let steps = Mutex::new(Vec::new());
    let received = remote.receive_watched(&store, &|at, step| steps.lock().unwrap().push((at, step))).unwrap();
    assert!(received.is_new);
    assert_eq!(remote.asked().len(), 3);
    assert_eq!(store.counts(), (5, 4, 0));
    let image = store.resolve("r.io/x:1").unwrap();
    assert_eq!((image.id, image.size, image.digests.len()), (received.id, 1_200_000, 1));
    let steps = steps.into_inner().unwrap();
    let total = c.len() as u64;
    for step in [
        Step::Downloading { done: 0, total },
        Step::Downloading { done: total, total },
        Step::Downloaded,
        Step::Extracting { done: total, total },
        Step::Complete,
    ] {
        assert!(steps.contains(&(2, step)), "{step:?}");
    }

    let again = remote.receive_watched(&store, &|_, step| assert_eq!(step, Step::Exists)).unwrap();
    assert_eq!((again.is_new, remote.asked().len()), (false, 0));
    // The same layers upon each other otherwise are other snapshots, of the same blobs.
    let other = Remote::new(&[&b, &a]);
    assert!(other.receive(&store).unwrap().is_new);
    assert_eq!(other.asked().len(), 0);
    assert_eq!(store.counts(), (7, 6, 0));
}

#[test]
fn what_arrived_before_a_failure_is_not_fetched_again() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let [a, b, _] = layers();
    let mut remote = Remote::new(&[&a, &b]);
    remote.breaks_after = Some(100_000);
    let error = remote.receive(&store).unwrap_err();
    assert!(error.to_string().contains("connection reset"), "{error}");
    assert_eq!(store.images().unwrap().len(), 0);
    let partials = store.partials().unwrap();
    // The failure of one may stop the other before it has begun.
    assert!(partials.iter().any(|(_, size)| *size == 100_000), "{partials:?}");
    assert_eq!(store.counts(), (0, 0, 0));
    remote.asked();
    remote.breaks_after = None;
    remote.receive(&store).unwrap();
    assert!(remote.asked().contains(&100_000));
    assert_eq!(store.partials().unwrap(), []);

    // A beginning that is somebody else's is noticed at the end, and all is fetched anew.
    let other = Remote::new(&[&tar(&[("d", &[4; 200_000])])]);
    let digest = other.incoming.layers[0].digest;
    for wrong in [vec![7; 5000], vec![7; 9_000_000]] {
        fs::write(store.root().join("content/partial").join(digest.hex()), wrong).unwrap();
        other.receive(&store).unwrap();
        store.remove("r.io/x:1", true, &|_| None).unwrap();
    }
    assert_eq!(other.asked(), [5000, 0, 0]);

    // Who does not want to go on says so.
    fs::write(store.root().join("content/partial").join(digest.hex()), [7; 5000]).unwrap();
    assert_eq!((store.remove_partials().unwrap(), store.partials().unwrap()), (5000, vec![]));
}

#[test]
fn what_is_not_what_its_digest_says_is_refused_and_nothing_is_kept() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let [a, b, c] = layers();
    let corrupt = |change: &dyn Fn(&mut Remote)| {
        let mut remote = Remote::new(&[&a, &b, &c]);
        change(&mut remote);
        let error = remote.receive(&store).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert_eq!(store.images().unwrap().len(), 0);
        store.gc(&|_| None).unwrap();
        store.remove_partials().unwrap();
        assert_eq!(store.counts(), (0, 0, 0));
        error.to_string()
    };
    let digest = BlobDigest::new(Digest::of(&b));
    let flipped = corrupt(&|remote| remote.blobs.get_mut(&digest).unwrap()[1000] ^= 1);
    assert!(flipped.contains(&format!("blob \"{digest}\" arrived as \"sha256:")), "{flipped}");
    let short = corrupt(&|remote| remote.blobs.get_mut(&digest).unwrap().truncate(1000));
    assert!(short.contains("ends after 1000 of"), "{short}");
    let swapped = corrupt(&|remote| remote.incoming.layers.swap(0, 1));
    assert!(swapped.contains("has the content of"), "{swapped}");
    corrupt(&|remote| drop(remote.incoming.layers.pop()));
    corrupt(&|remote| remote.incoming.config = b"{}".to_vec());
}

#[test]
fn two_at_once_share_the_work() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let [a, b, c] = layers();
    let (one, other) = (Remote::new(&[&a, &b]), Remote::new(&[&a, &c]));
    let start = Barrier::new(4);
    let new = AtomicUsize::new(0);
    thread::scope(|scope| {
        for remote in [&one, &one, &other, &other] {
            let (start, new, store) = (&start, &new, &store);
            scope.spawn(move || {
                start.wait();
                new.fetch_add(usize::from(remote.receive(store).unwrap().is_new), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(one.asked().len() + other.asked().len(), 3);
    assert_eq!(store.counts().1, 3);
    assert!(new.load(Ordering::Relaxed) >= 2);
}
