use std::fs;
use std::os::fd::AsFd;

use oci::image_config::History;

use super::*;
use crate::Commit;
use crate::testing::{Scratch, docker_archive, tar};

#[test]
fn a_committed_layer_is_packed_once() {
    let scratch = Scratch::new();
    let store = scratch.store();
    store.load_bytes(&docker_archive(&["base:1"], &[&tar(&[("etc/", b""), ("etc/name", b"base")])])).unwrap();
    let upper = scratch.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("file"), vec![7; 100_000]).unwrap();
    let upper = File::open(&upper).unwrap();
    let config = store.resolve("base:1").unwrap().config;
    let upper = Some((upper.as_fd(), Options::default()));
    let names = vec![Reference::parse_tagged("new:1").unwrap()];
    store.commit(Commit { config, history: History::default(), upper, names }).unwrap();

    let image = store.resolve("new:1").unwrap();
    let mut heard = Vec::new();
    let packed = store.pack(&image, &mut |at| heard.push(at)).unwrap();
    assert_eq!((heard.len(), packed.manifest.layers.len()), (2, 2));
    assert_eq!(BlobDigest::new(Digest::of(&packed.bytes)), packed.descriptor.digest);
    for (layer, diff_id) in packed.manifest.layers.iter().zip(image.diff_ids()) {
        assert_eq!(layer.media_type, media_type::OCI_LAYER_GZIP);
        let blob = fs::read(store.content().path(&layer.digest)).unwrap();
        assert_eq!((blob.len() as u64, Digest::of(&blob)), (layer.size, layer.digest.digest()));
        let mut archive = Vec::new();
        io::copy(&mut layer::decompress(&blob[..], &layer::Limits::default()).unwrap(), &mut archive).unwrap();
        assert_eq!(oci::DiffId::new(Digest::of(&archive)), *diff_id);
    }
    // What was packed stays with the image, and is not packed again.
    store.gc(&|_| None).unwrap();
    let again = store.pack(&image, &mut |_| panic!("packed again")).unwrap();
    assert_eq!(again.bytes, packed.bytes);
    let known = Reference::parse("r.io/a").unwrap().at(packed.descriptor.digest);
    store.add_digest(&image, &known).unwrap();
    assert_eq!(store.resolve("new:1").unwrap().digests, std::slice::from_ref(&known));
    let origins = store.repositories_of_blobs("r.io").unwrap();
    assert_eq!(origins.get(&packed.manifest.layers[1].digest), Some(&known.repository()));
    assert_eq!(store.repositories_of_blobs("other.io").unwrap().len(), 0);
}

#[test]
fn a_layer_that_was_changed_on_disk_is_not_given_to_anybody() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let upper = scratch.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("file"), "before").unwrap();
    let upper = File::open(&upper).unwrap();
    let upper = Some((upper.as_fd(), Options::default()));
    let config = oci::ImageConfig::default();
    let committed = store.commit(Commit { config, history: History::default(), upper, names: Vec::new() }).unwrap();
    let image = store.image(&committed.id).unwrap();
    fs::write(store.layers(&image)[0].join("file"), "after").unwrap();
    let error = store.pack(&image, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("it was changed on disk"), "{error}");
    assert_eq!(store.counts(), (1, 1, 0));
}
