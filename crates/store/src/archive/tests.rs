use std::fs;

use serde_json::json;
use stdx::Kind;

use super::*;
use crate::testing::{Layout, Scratch, config, digest, docker_archive, hex, tar, tar_with_link};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn a_docker_archive_becomes_an_image() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let base = tar(&[("etc/", b""), ("etc/name", b"base"), ("gone", b"x")]);
    let top = tar(&[("etc/more", b"top!"), (".wh.gone", b"")]);
    let archive = docker_archive(&["busybox:1", "me/app:latest"], &[&base, &top]);
    let heard = std::sync::Mutex::new(Vec::new());
    let loaded = store.load(&archive[..], None, &|progress| heard.lock().unwrap().push(progress)).unwrap();
    let heard = heard.into_inner().unwrap();

    let id = ImageId::new(oci::Digest::of(&config(&[&base, &top])));
    let names = ["busybox:1", "me/app:latest"].map(|name| Reference::parse(name).unwrap());
    assert_eq!(loaded, [Loaded { id, names: names.to_vec(), replaced: Vec::new() }]);
    let complete = |progress: &&Progress| matches!(progress, Progress::Layer { step: Step::Complete, .. });
    assert_eq!(heard.iter().filter(complete).count(), 2);
    assert_eq!(heard.iter().filter(|progress| matches!(progress, Progress::Reading { .. })).count(), 4);

    let image = store.resolve("me/app").unwrap();
    assert_eq!((image.id, image.names.len(), image.size), (id, 2, 4 + 1 + 4));
    assert_eq!(image.config.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
    assert_eq!(image.created().unwrap().to_string(), "2024-01-02T03:04:05Z");
    let layers = store.layers(&image);
    assert_eq!(fs::read(layers[0].join("etc/name")).unwrap(), b"base");
    assert_eq!(fs::read(layers[1].join("etc/more")).unwrap(), b"top!");
    assert!(!layers[1].join("etc/name").exists());
    assert_eq!(store.counts(), (3, 2, 0));
    assert_eq!(store.images().unwrap().len(), 1);
    let blob = store.content().path(&BlobDigest::new(oci::Digest::of(&top)));
    assert_eq!(fs::read(blob).unwrap(), top);

    // Again, and as another process would: nothing new, nothing lost.
    let again = Store::open(store.root()).unwrap();
    assert_eq!(again.load_bytes(&archive).unwrap(), loaded);
    assert_eq!(again.counts(), (3, 2, 0));
}

#[test]
fn shared_layers_are_kept_once_and_a_name_moves() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let base = tar(&[("a", b"1")]);
    let old = store.load_bytes(&docker_archive(&["x:1"], &[&base])).unwrap().remove(0);
    let top = tar(&[("b", b"2")]);
    let new = store.load_bytes(&docker_archive(&["x:1"], &[&base, &top])).unwrap().remove(0);
    assert_eq!(new.replaced, [(Reference::parse("x:1").unwrap(), old.id)]);
    assert_eq!(store.counts(), (4, 2, 0));
    assert_eq!(store.resolve("x:1").unwrap().id, new.id);
    assert_eq!(store.resolve(&old.id.hex()[..12]).unwrap().names, []);
}

#[test]
fn links_between_members_are_followed_and_the_whole_may_be_compressed() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let layer = tar(&[("a", b"1")]);
    let config = config(&[&layer]);
    let name = format!("{}.json", hex(&config));
    let manifest = json!([{"Config": name, "RepoTags": null, "Layers": ["old/layer.tar"]}]).to_string();
    let real = format!("{}.tar", hex(&layer));
    let files: [(&str, &[u8]); 3] = [(&real, &layer), (&name, &config), ("manifest.json", manifest.as_bytes())];
    let archive = tar_with_link(&files, "old/layer.tar", &format!("../{real}"));
    let loaded = store.load_bytes(&zstd(&archive)).unwrap();
    assert_eq!(loaded[0].names, []);
    assert_eq!(store.counts(), (2, 1, 0));
    // A link to itself ends in words.
    let archive = tar_with_link(&files[1..], "old/layer.tar", "layer.tar");
    assert!(store.load_bytes(&archive).unwrap_err().to_string().contains("no file"));
}

#[test]
fn layers_inside_may_be_compressed() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let layer = tar(&[("a", b"1")]);
    let packed = zstd(&layer);
    let config = config(&[&layer]);
    let names = [&config, &packed].map(|bytes| format!("blobs/sha256/{}", hex(bytes)));
    let manifest = json!([{"Config": names[0], "RepoTags": ["x:y"], "Layers": [names[1]]}]).to_string();
    let index = json!({"schemaVersion": 2, "manifests": []}).to_string();
    let files: [(&str, &[u8]); 4] = [
        (&names[0], &config),
        (&names[1], &packed),
        ("index.json", index.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ];
    store.load_bytes(&tar(&files)).unwrap();
    let image = store.resolve("x:y").unwrap();
    assert_eq!(fs::read(store.layers(&image)[0].join("a")).unwrap(), b"1");
    let meta = store.snapshot_meta(&image.chain().unwrap()).unwrap().unwrap();
    assert_eq!(meta.blob.as_ref().unwrap().media_type, ZSTD);
    assert_eq!(meta.blob.unwrap().digest.to_string(), digest(&packed));
}

#[test]
fn a_layout_gives_the_image_of_this_machine() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let host = Platform::host();
    let platform = |mut image: serde_json::Value, os: &str, architecture: &str| {
        image["platform"] = json!({"os": os, "architecture": architecture});
        image
    };
    let mut layout = Layout::default();
    let mine = tar(&[("mine", b"1")]);
    let other = tar(&[("other", b"2")]);
    let mine = layout.image(&mine, ZSTD, &zstd(&mine));
    let other = layout.image(&other, TAR, &other);
    let inner = json!({"schemaVersion": 2, "manifests": [
        platform(other.clone(), "linux", "s390x"),
        platform(mine.clone(), "linux", &host.architecture),
        platform(other.clone(), "unknown", "unknown"),
    ]});
    let inner = serde_json::to_vec(&inner).unwrap();
    let mut nested = layout.blob("application/vnd.oci.image.index.v1+json", &inner);
    nested["annotations"] = json!({"org.opencontainers.image.ref.name": "nested:1"});
    let mut twins = [platform(other.clone(), "linux", "s390x"), platform(mine.clone(), "linux", &host.architecture)];
    for twin in &mut twins {
        twin["annotations"] =
            json!({"io.containerd.image.name": "quay.io/twin:2", "org.opencontainers.image.ref.name": "2"});
    }
    let mut bare = other.clone();
    bare["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let [first, second] = twins;
    layout.manifests = vec![nested, first, second, bare, platform(other, "unknown", "unknown")];
    let loaded = store.load_bytes(&layout.finish()).unwrap();
    let names: Vec<Vec<String>> = loaded.iter().map(|l| l.names.iter().map(Reference::familiar).collect()).collect();
    assert_eq!(names, [vec!["nested:1".to_owned()], vec!["quay.io/twin:2".to_owned()], Vec::new()]);
    let image = store.resolve("nested:1").unwrap();
    assert_eq!(image.id, store.resolve("quay.io/twin:2").unwrap().id);
    assert!(store.layers(&image)[0].join("mine").exists());
    let manifest = store.names().unwrap().images[&image.id].manifest.unwrap();
    assert_eq!(manifest.to_string(), mine["digest"]);
    // What it came with stays as long as it does.
    let before = store.counts();
    store.gc(&|_| None).unwrap();
    assert_eq!(store.counts(), before);
}

/// Loads what must be refused, and checks that nothing of it is kept.
fn refusal(store: &Store, archive: &[u8]) -> Error {
    let before = (store.names().unwrap(), store.counts());
    let error = store.load_bytes(archive).unwrap_err();
    assert_eq!((store.names().unwrap(), store.counts()), before, "{error}");
    assert_eq!(before.1.2, 0, "an ingest directory is left");
    error
}

#[test]
fn archives_that_lie_are_refused_and_nothing_is_kept() {
    let scratch = Scratch::new();
    let store = scratch.store();
    store.load_bytes(&docker_archive(&["kept:1"], &[&tar(&[("k", b"k")])])).unwrap();
    let good = tar(&[("a", b"1")]);
    let evil = tar(&[("a", b"2")]);
    let config = config(&[&good]);
    let name = format!("{}.json", hex(&config));
    let manifest =
        |config: &str, layers: &[&str]| json!([{"Config": config, "RepoTags": ["x:1"], "Layers": layers}]).to_string();
    let archive = |manifest: &str, config: (&str, &[u8]), layer: &[u8]| {
        tar(&[("l", layer), config, ("manifest.json", manifest.as_bytes())])
    };
    let corrupt = [
        // The layer is not the one the configuration names.
        archive(&manifest(&name, &["l"]), (&name, &config), &evil),
        archive(&manifest(&name, &["l"]), (&name, &config), &zstd(&evil)),
        archive(&manifest(&name, &["l"]), (&name, &config), &zstd(&good)[..40]),
        archive(&manifest(&name, &["l"]), (&name, &config), &good[..700]),
        // The configuration is not the one its name says.
        archive(&manifest(&format!("{}.json", hex(b"")), &["l"]), (&format!("{}.json", hex(b"")), &config), &good),
        archive(&manifest(&name, &["l", "l"]), (&name, &config), &good),
        archive(&manifest(&name, &[]), (&name, &config), &good),
        archive(&manifest(&name, &["missing"]), (&name, &config), &good),
        archive(&manifest("missing.json", &["l"]), (&name, &config), &good),
        archive("nonsense", (&name, &config), &good),
        archive(&manifest("c", &["l"]), ("c", b"{}"), &good),
        archive(&manifest("c", &["l"]), ("c", &vec![b' '; 5 << 20]), &good),
        archive(&manifest(&name, &["l"]).replace("x:1", "X:1"), (&name, &config), &good),
        docker_archive(&["x:1"], &[&good])[..2000].to_vec(),
        docker_archive(&["x:1"], &[&tar(&[(".wh.", b"")])]),
        b"this is no archive at all, whichever way one looks at it".repeat(20),
    ];
    for (number, archive) in corrupt.iter().enumerate() {
        let error = refusal(&store, archive);
        assert_eq!(error.kind(), Kind::Corrupt, "{number}: {error}");
    }
    let twice: [(&str, &[u8]); 2] = [("manifest.json", b"[]"), ("./manifest.json", b"[]")];
    assert_eq!(refusal(&store, &tar(&twice)).kind(), Kind::Corrupt);
    let error = refusal(&store, &tar(&[("etc/passwd", b"")]));
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().starts_with("not an image archive"), "{error}");
    assert_eq!(refusal(&store, b"").kind(), Kind::Invalid);
    assert_eq!(refusal(&store, &tar(&[("repositories", b"{}")])).kind(), Kind::Unsupported);
    assert!(store.resolve("kept:1").is_ok());
}

#[test]
fn layouts_that_lie_are_refused_and_nothing_is_kept() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let layer = tar(&[("a", b"1")]);
    let build = |change: &dyn Fn(&mut Layout, &mut serde_json::Value)| {
        let mut layout = Layout::default();
        let mut image = layout.image(&layer, TAR, &layer);
        change(&mut layout, &mut image);
        layout.manifests.push(image);
        layout.finish()
    };
    let kind = |archive: &[u8]| refusal(&store, archive).kind();
    // A byte of a blob is another one; a size is wrong; a blob is missing.
    for blob in 0..3 {
        let flipped = build(&|layout, _| *layout.blobs[blob].1.last_mut().unwrap() ^= 1);
        assert_eq!(kind(&flipped), Kind::Corrupt, "{blob}");
        let missing = build(&|layout, _| drop(layout.blobs.remove(blob)));
        assert_eq!(kind(&missing), Kind::Corrupt, "{blob}");
    }
    assert_eq!(kind(&build(&|_, image| image["size"] = json!(7))), Kind::Corrupt);
    assert_eq!(kind(&build(&|_, image| image["digest"] = json!("sha256:12"))), Kind::Corrupt);
    assert_eq!(kind(&build(&|_, image| image["mediaType"] = json!("text/plain"))), Kind::Unsupported);
    let strange = build(&|layout, image| *image = layout.image(&layer, "application/x.tar+encrypted", &layer));
    assert_eq!(kind(&strange), Kind::Unsupported);
    let foreign = build(&|layout, image| {
        image["platform"] = json!({"os": "plan9", "architecture": "mips"});
        let inner = json!({"schemaVersion": 2, "manifests": [image]}).to_string();
        *image = layout.blob("application/vnd.oci.image.index.v1+json", inner.as_bytes());
    });
    let error = refusal(&store, &foreign);
    assert!(error.to_string().ends_with("only for plan9/mips"), "{error}");
    let deep = build(&|layout, image| {
        for _ in 0..6 {
            let inner = json!({"schemaVersion": 2, "manifests": [image]}).to_string();
            *image = layout.blob("application/vnd.oci.image.index.v1+json", inner.as_bytes());
        }
    });
    assert!(refusal(&store, &deep).to_string().contains("too deep"));
    assert_eq!(store.images().unwrap().len(), 0);
    store.load_bytes(&build(&|_, _| {})).unwrap();
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    let scratch = Scratch::small(1024);
    let store = scratch.store();
    store.load_bytes(&docker_archive(&["small:1"], &[&tar(&[("a", &[1; 10_000])])])).unwrap();
    let mut refused = 0;
    // From what just fits, over every step that may be the one too many, to what cannot even be read.
    for kib in (440..500).chain([700, 2000]) {
        let big = docker_archive(&["big:1"], &[&tar(&[("b", &vec![2; kib << 10])])]);
        if store.load_bytes(&big).is_ok() {
            store.remove("big:1", false, &|_| None).unwrap();
        } else {
            assert_eq!(refusal(&store, &big).kind(), Kind::NoSpace, "{kib}");
            refused += 1;
        }
    }
    assert!((10..60).contains(&refused), "{refused}");
    assert!(store.resolve("small:1").is_ok());
    store.load_bytes(&docker_archive(&["fits:1"], &[&tar(&[("c", &[3; 10_000])])])).unwrap();

    let full = Scratch::small(4);
    fs::write(full.path().join("filler"), vec![0; 8192]).unwrap_err();
    let error = Store::open(&full.path().join("root")).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    assert!(!full.path().join("root").exists());
}

#[test]
fn loading_the_same_at_once_is_no_race() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let layers = [tar(&[("a", b"1")]), tar(&[("b", b"2")]), tar(&[("c", b"3")])];
    let archives: Vec<_> = (0..4)
        .map(|n| docker_archive(&[&format!("x:{n}")], &layers.iter().map(Vec::as_slice).collect::<Vec<_>>()))
        .collect();
    std::thread::scope(|scope| {
        for archive in &archives {
            scope.spawn(|| (0..10).for_each(|_| drop(store.load_bytes(archive).unwrap())));
            scope.spawn(|| (0..10).for_each(|_| drop(store.gc(&|_| None).unwrap())));
        }
    });
    assert_eq!(store.counts(), (4, 3, 0));
    let image = store.resolve("x:3").unwrap();
    assert_eq!(image.names.len(), 4);
    assert!(store.layers(&image).iter().zip(["a", "b", "c"]).all(|(layer, name)| layer.join(name).exists()));
}

#[test]
fn hard_links_into_lower_layers_survive_a_load() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let base = tar(&[("bin/", b""), ("bin/tool", b"tool")]);
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Link);
    header.set_size(0);
    builder.append_link(&mut header, "bin/alias", "bin/tool").unwrap();
    let top = builder.into_inner().unwrap();
    store.load_bytes(&docker_archive(&["x"], &[&base, &top])).unwrap();
    let image = store.resolve("x").unwrap();
    assert_eq!(fs::read(store.layers(&image)[1].join("bin/alias")).unwrap(), b"tool");
    // Alone, there is nothing to link to.
    assert_eq!(refusal(&store, &docker_archive(&["y"], &[&top])).kind(), Kind::Corrupt);
}
