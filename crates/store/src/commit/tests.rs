use std::fs;
use std::os::fd::AsFd;

use oci::DiffId;

use super::*;
use crate::testing::{Scratch, docker_archive, tar};

/// Commits a directory upon an image; the files of the new top layer.
fn commit(store: &Store, base: &str, upper: &std::path::Path) -> Committed {
    let base = store.resolve(base).unwrap();
    let upper = File::open(upper).unwrap();
    let commit = Commit {
        config: base.config,
        history: History { created_by: "sh".into(), ..History::default() },
        upper: Some((upper.as_fd(), Options::default())),
        names: vec![Reference::parse_tagged("new:1").unwrap()],
    };
    store.commit(commit).unwrap()
}

#[test]
fn a_writable_layer_becomes_a_layer() {
    let scratch = Scratch::new();
    let store = scratch.store();
    store.load_bytes(&docker_archive(&["base:1"], &[&tar(&[("etc/", b""), ("etc/name", b"base")])])).unwrap();
    let upper = scratch.path().join("upper");
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("etc/name"), "changed").unwrap();
    let committed = commit(&store, "base:1", &upper);
    let image = store.resolve("new:1").unwrap();
    assert_eq!((image.id, image.size), (committed.id, 4 + 7));
    assert_eq!(committed.torn, Vec::<Vec<u8>>::new());
    let layers = store.layers(&image);
    assert_eq!(fs::read(layers[1].join("etc/name")).unwrap(), b"changed");
    let last = image.config.history.last().unwrap();
    assert_eq!((&last.created_by[..], last.empty_layer), ("sh", false));
    // No archive is kept; what it would be is known.
    assert_eq!(store.counts(), (3, 2, 0));
    let meta = store.snapshot_meta(&image.chain().unwrap()).unwrap().unwrap();
    assert_eq!((meta.blob, meta.diff_id), (None, image.diff_ids()[1]));
    let mut archive = Vec::new();
    layer::diff(File::open(&layers[1]).unwrap(), &mut archive, &Options::default()).unwrap();
    assert_eq!((archive.len() as u64, DiffId::new(oci::Digest::of(&archive))), (meta.tar_size, meta.diff_id));

    // Upon the new one, and what is below goes only with the last that stands on it.
    commit(&store, "new:1", &upper);
    store.gc(&|_| None).unwrap();
    assert_eq!(store.counts(), (4, 3, 0));
}

#[test]
fn nothing_changed_is_a_step_without_a_layer() {
    let scratch = Scratch::new();
    let store = scratch.store();
    store.load_bytes(&docker_archive(&["base:1"], &[&tar(&[("a", b"1")])])).unwrap();
    let upper = scratch.path().join("upper");
    fs::create_dir(&upper).unwrap();
    commit(&store, "base:1", &upper);
    let image = store.resolve("new:1").unwrap();
    assert_eq!((image.diff_ids().len(), image.size), (1, 1));
    assert!(image.config.history.last().unwrap().empty_layer);
    assert_eq!(store.counts(), (3, 1, 0));
}

#[test]
fn what_cannot_be_a_layer_is_told_by_the_side_that_knows() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let upper = scratch.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join(".wh.name"), "x").unwrap();
    fs::write(upper.join("before"), vec![1; 3 << 20]).unwrap();
    let fd = File::open(&upper).unwrap();
    let upper = Some((fd.as_fd(), Options::default()));
    let commit = Commit { config: ImageConfig::default(), history: History::default(), upper, names: Vec::new() };
    let error = store.commit(commit).unwrap_err();
    assert!(error.to_string().contains(".wh.name"), "{error}");
    assert_eq!(store.counts(), (0, 0, 0));
}
