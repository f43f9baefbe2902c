use std::fs::{self, File};
use std::os::fd::AsFd;

use layer::diff::Options;
use oci::image_config::History;
use oci::{ImageConfig, Reference};

use super::*;
use crate::Commit;
use crate::testing::{Scratch, docker_archive, tar};

const NOBODY: &dyn Fn(&ImageId) -> Option<Usage> = &|_| None;

/// `base:1` came as an archive, `new:1` was made upon it here.
fn store(scratch: &Scratch) -> Store {
    let store = scratch.store();
    store.load_bytes(&docker_archive(&["base:1"], &[&tar(&[("etc/", b""), ("etc/name", b"base")])])).unwrap();
    let upper = scratch.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("file"), "content").unwrap();
    let upper = File::open(&upper).unwrap();
    let upper = Some((upper.as_fd(), Options::default()));
    let config: ImageConfig = store.resolve("base:1").unwrap().config;
    let names = vec![Reference::parse_tagged("new:1").unwrap()];
    store.commit(Commit { config, history: History::default(), upper, names }).unwrap();
    store
}

fn words(store: &Store, repair: bool) -> Vec<String> {
    let findings = store.check(repair, NOBODY).unwrap();
    findings.into_iter().map(|finding| format!("{}: {:?}", finding.what, finding.repaired)).collect()
}

#[test]
fn all_is_well_until_something_is_changed() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    assert_eq!(words(&store, false), Vec::<String>::new());
    store.remove("new:1", false, NOBODY).unwrap();
    assert_eq!(words(&store, true), Vec::<String>::new());
}

#[test]
fn a_layer_with_a_blob_is_made_again() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let file = store.layers(&store.resolve("base:1").unwrap())[0].join("etc/name");
    fs::write(&file, "evil").unwrap();
    let found = words(&store, false);
    assert!(found[0].contains("its files were changed") && found.len() == 3, "{found:?}");
    let found = words(&store, true);
    assert!(found.len() == 1 && found[0].contains("made again from its blob"), "{found:?}");
    assert_eq!(fs::read(&file).unwrap(), b"base");
    assert_eq!(words(&store, false), Vec::<String>::new());
}

#[test]
fn an_image_that_cannot_be_made_whole_goes_and_is_named() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let file = store.layers(&store.resolve("new:1").unwrap())[1].join("file");
    fs::write(&file, "changed").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let found = words(&store, true);
    assert!(found.iter().any(|text| text.contains("(new:1) is broken") && text.contains("taken away")), "{found:?}");
    assert!(store.resolve("base:1").is_ok() && store.resolve("new:1").is_err());
    assert_eq!(words(&store, false), Vec::<String>::new());

    // A configuration that was changed, and one that is not there.
    let id = store.resolve("base:1").unwrap().id;
    let path = store.content().path(&id.blob());
    fs::write(&path, "{}").unwrap();
    let found = words(&store, false);
    assert!(found.iter().any(|text| text.contains("has other content")), "{found:?}");
    words(&store, true);
    assert_eq!(words(&store, false), Vec::<String>::new());
    assert_eq!(store.counts(), (0, 0, 0));
}

#[test]
fn what_crashes_left_is_found_and_removed() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    fs::create_dir_all(store.root().join("ingest/dead/snapshot-0/fs")).unwrap();
    fs::create_dir_all(store.root().join("content/partial")).unwrap();
    fs::write(store.root().join("content/partial").join(Digest::of(b"x").hex()), "begin").unwrap();
    fs::write(store.content().path(&BlobDigest::new(Digest::of(b"stray"))), "stray").unwrap();
    let found = words(&store, false);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().any(|text| text.contains("the first 5 bytes of blob")), "{found:?}");
    assert_eq!(words(&store, true).len(), 3);
    assert_eq!(words(&store, false), Vec::<String>::new());
    assert_eq!(store.counts(), (3, 2, 0));
}

#[test]
fn a_blob_that_is_lost_costs_no_image() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let chain = store.resolve("base:1").unwrap().chain().unwrap();
    let blob = store.meta_of(&chain).unwrap().blob.unwrap().digest;
    fs::write(store.content().path(&blob), "x").unwrap();
    let found = words(&store, true);
    assert!(found.iter().any(|text| text.contains("has other content") && text.contains("removed")), "{found:?}");
    assert!(store.resolve("base:1").is_ok(), "{found:?}");
}
