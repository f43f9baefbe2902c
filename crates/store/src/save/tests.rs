use std::fs::{self, File};
use std::os::fd::AsFd;

use layer::diff::Options;
use oci::image_config::History;

use super::*;
use crate::Commit;
use crate::testing::{Scratch, docker_archive, tar};

/// A loaded image, and one that was committed upon it.
fn store(scratch: &Scratch) -> Store {
    let store = scratch.store();
    store.load_bytes(&docker_archive(&["base:1"], &[&tar(&[("etc/", b""), ("etc/name", b"base")])])).unwrap();
    let upper = scratch.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("file"), vec![7; 100_000]).unwrap();
    let upper = File::open(&upper).unwrap();
    let config = store.resolve("base:1").unwrap().config;
    let names = ["new:1", "r.io/new:2"].map(|name| Reference::parse_tagged(name).unwrap()).to_vec();
    let upper = Some((upper.as_fd(), Options::default()));
    store.commit(Commit { config, history: History::default(), upper, names }).unwrap();
    store
}

fn save(store: &Store, names: &[&str], format: ArchiveFormat) -> Vec<u8> {
    let images: Vec<_> = names.iter().map(|name| store.resolve(name).unwrap()).collect();
    let images: Vec<_> = images.into_iter().map(|image| (image.clone(), image.names)).collect();
    let mut archive = Vec::new();
    store.save(&images, format, &mut archive).unwrap();
    archive
}

#[test]
fn what_is_saved_is_loaded_as_the_same_images() {
    let (scratch, empty) = (Scratch::new(), Scratch::new());
    let store = store(&scratch);
    for format in [ArchiveFormat::Docker, ArchiveFormat::Oci] {
        let archive = save(&store, &["base:1", "new:1"], format);
        assert!(archive == save(&store, &["base:1", "new:1"], format), "{format:?}: other bytes");
        let other = empty.store();
        let loaded = other.load_bytes(&archive).unwrap();
        assert!(loaded.len() >= 2, "{loaded:?}");
        for name in ["base:1", "new:1", "r.io/new:2"] {
            let (own, other) = (store.resolve(name).unwrap(), other.resolve(name).unwrap());
            assert_eq!((own.id, own.size), (other.id, other.size), "{name}");
        }
        other.remove("new:1", true, &|_| None).unwrap();
        other.remove("r.io/new:2", true, &|_| None).unwrap();
        other.remove("base:1", true, &|_| None).unwrap();
        assert_eq!(other.counts(), (0, 0, 0));
    }
}

#[test]
fn dockers_form_has_each_layer_once_and_uncompressed() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let archive = save(&store, &["base:1", "new:1"], ArchiveFormat::Docker);
    let mut reader = tar::Archive::new(&archive[..]);
    let names: Vec<String> =
        reader.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    let diff_ids = store.resolve("new:1").unwrap().diff_ids().to_vec();
    for diff_id in diff_ids {
        assert_eq!(names.iter().filter(|name| name.ends_with(&diff_id.hex())).count(), 1);
    }
    for name in ["index.json", "manifest.json", "oci-layout", "repositories"] {
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
    }
    // A layer that was changed on disk is noticed.
    let image = store.resolve("new:1").unwrap();
    fs::write(store.layers(&image)[1].join("file"), vec![8; 100_000]).unwrap();
    let error = store.save(&[(image, Vec::new())], ArchiveFormat::Docker, io::sink()).unwrap_err();
    assert!(error.to_string().contains("it was changed on disk"), "{error}");
}
