use oci::{BlobDigest, Digest};
use stdx::Kind;

use super::*;
use crate::testing::{Scratch, docker_archive, tar};

const NOBODY: &dyn Fn(&ImageId) -> Option<Usage> = &|_| None;
const STOPPED: &dyn Fn(&ImageId) -> Option<Usage> = &|_| Some(Usage::Stopped("c1".into()));
const RUNNING: &dyn Fn(&ImageId) -> Option<Usage> = &|_| Some(Usage::Running("c1".into()));

/// A store with one image of two layers under these names.
fn store(scratch: &Scratch, names: &[&str]) -> (Store, ImageId) {
    let store = scratch.store();
    let layers = [tar(&[("a", b"1")]), tar(&[("b", b"2")])];
    let loaded = store.load_bytes(&docker_archive(names, &[&layers[0], &layers[1]])).unwrap();
    (store, loaded[0].id)
}

fn words(removed: &[Removed]) -> Vec<String> {
    let word = |item: &Removed| match item {
        Removed::Untagged(name) => format!("untagged {}", name.familiar()),
        Removed::Deleted(_) => "deleted".to_owned(),
        Removed::DeletedLayer(_) => "layer".to_owned(),
    };
    removed.iter().map(word).collect()
}

fn pull_as(store: &Store, id: &ImageId, name: &str) -> Reference {
    let digest = Reference::parse(name).unwrap().at(BlobDigest::new(Digest::of(name.as_bytes())));
    store
        .update_names(|names| {
            names.images.get_mut(id).unwrap().digests.push(digest.clone());
            Ok(())
        })
        .unwrap();
    digest
}

#[test]
fn the_image_goes_with_its_last_name() {
    let scratch = Scratch::new();
    let (store, id) = store(&scratch, &["a:1", "b:1"]);
    let top = store.image(&id).unwrap().chain().unwrap();
    assert_eq!(words(&store.remove("a:1", false, NOBODY).unwrap()), ["untagged a:1"]);
    assert_eq!(store.counts(), (3, 2, 0));
    let removed = store.remove("b:1", false, NOBODY).unwrap();
    assert_eq!(words(&removed), ["untagged b:1", "deleted", "layer", "layer"]);
    assert_eq!(removed[2], Removed::DeletedLayer(top));
    assert_eq!(store.counts(), (0, 0, 0));
    assert_eq!(store.remove("b:1", false, NOBODY).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn layers_others_stand_on_stay() {
    let scratch = Scratch::new();
    let (store, _) = store(&scratch, &["a:1"]);
    store.load_bytes(&docker_archive(&["base:1"], &[&tar(&[("a", b"1")])])).unwrap();
    assert_eq!(words(&store.remove("a:1", false, NOBODY).unwrap()), ["untagged a:1", "deleted", "layer"]);
    assert_eq!(store.counts(), (2, 1, 0));
    assert_eq!(words(&store.remove("base:1", false, NOBODY).unwrap()), ["untagged base:1", "deleted", "layer"]);
}

#[test]
fn an_id_takes_all_names_of_one_repository_only() {
    let scratch = Scratch::new();
    let (store, id) = store(&scratch, &["a:1", "b:1"]);
    let error = store.remove(&id.short(), false, NOBODY).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let end = "(must be forced) - image is referenced in multiple repositories";
    assert_eq!(error.to_string(), format!("conflict: unable to delete {} {end}", id.short()));
    store.remove("b:1", false, NOBODY).unwrap();
    pull_as(&store, &id, "a");
    let removed = words(&store.remove(&id.short(), false, NOBODY).unwrap());
    assert_eq!((removed.len(), &removed[0][..], &removed[2][..]), (5, "untagged a:1", "deleted"));
    assert_eq!(store.counts(), (0, 0, 0));
}

#[test]
fn force_takes_an_id_with_names_anywhere() {
    let scratch = Scratch::new();
    let (store, id) = store(&scratch, &["a:1", "b:1"]);
    let removed = words(&store.remove(&id.to_string(), true, NOBODY).unwrap());
    assert_eq!(removed, ["untagged a:1", "untagged b:1", "deleted", "layer", "layer"]);
}

#[test]
fn digests_go_with_the_last_tag_of_their_repository() {
    let scratch = Scratch::new();
    let (store, id) = store(&scratch, &["a:1", "a:2", "b:1"]);
    let digest = pull_as(&store, &id, "a");
    assert_eq!(store.resolve(&digest.familiar()).unwrap().id, id);
    assert_eq!(words(&store.remove("a:1", false, NOBODY).unwrap()), ["untagged a:1"]);
    let removed = words(&store.remove("a:2", false, NOBODY).unwrap());
    assert_eq!(removed, ["untagged a:2".to_owned(), format!("untagged {}", digest.familiar())]);
    assert_eq!(store.resolve("b:1").unwrap().digests, []);
    // By digest alone.
    let digest = pull_as(&store, &id, "b");
    assert_eq!(words(&store.remove(&digest.familiar(), false, NOBODY).unwrap()).len(), 1);
    assert!(store.resolve("b:1").is_ok());
}

#[test]
fn containers_keep_what_they_stand_on() {
    let scratch = Scratch::new();
    let (store, id) = store(&scratch, &["a:1"]);
    let error = store.remove("a:1", false, STOPPED).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let start = "conflict: unable to remove repository reference \"a:1\" (must force) - container c1 is using";
    assert!(error.to_string().starts_with(start), "{error}");
    let error = store.remove(&id.hex(), false, STOPPED).unwrap_err().to_string();
    assert!(error.ends_with("(must be forced) - image is being used by stopped container c1"), "{error}");
    for force in [false, true] {
        let error = store.remove(&id.hex(), force, RUNNING).unwrap_err().to_string();
        assert!(error.ends_with("(cannot be forced) - image is being used by running container c1"), "{error}");
    }
    assert_eq!(store.resolve("a:1").unwrap().id, id);

    // By force and by name under a running container: the name goes, the image stays without one.
    assert_eq!(words(&store.remove("a:1", true, RUNNING).unwrap()), ["untagged a:1"]);
    assert_eq!(store.images().unwrap()[0].names, []);

    // Under a stopped one it goes from sight, and from the disk when the container does.
    assert_eq!(words(&store.remove(&id.hex(), true, STOPPED).unwrap()), ["deleted"]);
    assert_eq!(store.images().unwrap().len(), 0);
    assert_eq!(store.resolve(&id.hex()).unwrap_err().kind(), Kind::NotFound);
    let image = store.image(&id).unwrap();
    assert!(store.layers(&image).iter().all(|layer| layer.exists()));
    store.gc(STOPPED).unwrap();
    assert_eq!(store.counts(), (3, 2, 0));
    assert_eq!(store.gc(NOBODY).unwrap().layers.len(), 2);
    assert_eq!(store.counts(), (0, 0, 0));
    assert_eq!(store.image(&id).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_removed_image_that_is_loaded_again_is_back() {
    let scratch = Scratch::new();
    let (first, id) = store(&scratch, &["a:1"]);
    first.remove("a:1", true, STOPPED).unwrap();
    let (again, same) = store(&scratch, &["a:1"]);
    assert_eq!((same, again.images().unwrap().len()), (id, 1));
    again.gc(NOBODY).unwrap();
    assert_eq!(again.counts(), (3, 2, 0));
}

#[test]
fn tags_are_names_of_images_that_are_there() {
    let scratch = Scratch::new();
    let (store, id) = store(&scratch, &["a:1"]);
    store.tag(&id, &Reference::parse("r.io/new").unwrap()).unwrap();
    assert_eq!(store.resolve("r.io/new:latest").unwrap().names.len(), 2);
    let nobodys = ImageId::new(Digest::of(b"nobody"));
    assert_eq!(store.tag(&nobodys, &Reference::parse("x").unwrap()).unwrap_err().kind(), Kind::NotFound);
    let digest = Reference::parse("x").unwrap().at(BlobDigest::new(Digest::of(b"")));
    assert_eq!(store.tag(&id, &digest).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn nothing_is_collected_while_somebody_holds() {
    let scratch = Scratch::new();
    let (store, _) = store(&scratch, &["a:1"]);
    let hold = store.hold().unwrap();
    assert_eq!(words(&store.remove("a:1", false, NOBODY).unwrap()), ["untagged a:1", "deleted"]);
    assert_eq!(store.counts(), (3, 2, 0));
    drop(hold);
    assert_eq!(store.gc(NOBODY).unwrap().layers.len(), 2);
    assert_eq!(store.counts(), (0, 0, 0));
}

#[test]
fn what_dead_operations_left_is_collected() {
    let scratch = Scratch::new();
    let (store, _) = store(&scratch, &["a:1"]);
    let dead = store.root().join("ingest/dead/snapshot-0/fs");
    std::fs::create_dir_all(&dead).unwrap();
    std::fs::write(dead.join("x"), "").unwrap();
    let stray = store.root().join("content/sha256").join(Digest::of(b"stray").hex());
    std::fs::write(&stray, "stray").unwrap();
    let half = store.root().join("images/.NAMES.json.12");
    std::fs::write(&half, "{").unwrap();
    let broken = store.root().join("snapshots").join(Digest::of(b"broken").hex());
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("meta.json"), "{").unwrap();
    let freed = store.gc(NOBODY).unwrap();
    assert_eq!((freed.bytes, freed.layers.len()), (5, 1));
    assert_eq!(store.counts(), (3, 2, 0));
    assert!(!half.exists());
}
