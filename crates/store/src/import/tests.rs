use std::fs;

use stdx::Kind;

use super::*;
use crate::testing::{Scratch, tar};

#[test]
fn a_root_file_system_becomes_an_image() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let rootfs = tar(&[("bin/", b""), ("bin/sh", b"#!")]);
    let options = ImportOptions {
        name: Some(Reference::parse("me/base").unwrap()),
        changes: vec!["CMD [\"/bin/sh\"]".into(), "ENV A=1".into()],
        message: "from a tar".into(),
        platform: Some("linux/arm64".parse().unwrap()),
    };
    let id = store.import(&zstd::encode_all(&rootfs[..], 1).unwrap()[..], options).unwrap();
    let image = store.resolve("me/base:latest").unwrap();
    assert_eq!((image.id, image.size), (id, 2));
    assert_eq!(image.diff_ids(), [oci::DiffId::new(oci::Digest::of(&rootfs))]);
    assert_eq!(image.config.config.cmd.as_deref(), Some(&["/bin/sh".to_owned()][..]));
    assert_eq!(image.config.config.env, ["A=1"]);
    assert_eq!(image.config.platform.to_string(), "linux/arm64");
    assert_eq!((image.config.comment.as_str(), image.config.history.len()), ("from a tar", 1));
    assert!(image.created().unwrap().duration_since(jiff::Timestamp::now()).abs().as_secs() < 60);
    assert_eq!(fs::read(store.layers(&image)[0].join("bin/sh")).unwrap(), b"#!");
    assert_eq!(store.counts(), (2, 1, 0));
    let unnamed = store.import(&rootfs[..], ImportOptions::default()).unwrap();
    assert_eq!(store.image(&unnamed).unwrap().names, []);
}

#[test]
fn what_is_no_root_file_system_leaves_nothing() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let rootfs = tar(&[("a", b"1")]);
    let import = |bytes: &[u8], change: &str, name: Option<&str>| {
        let changes = if change.is_empty() { Vec::new() } else { vec![change.to_owned()] };
        let name = name.map(|name| Reference::parse(name).unwrap());
        store.import(bytes, ImportOptions { changes, name, ..ImportOptions::default() }).unwrap_err().kind()
    };
    assert_eq!(
        import(b"not a tar, but long enough to be a block of one".repeat(20).as_slice(), "", None),
        Kind::Corrupt
    );
    assert_eq!(import(&rootfs[..700], "", None), Kind::Corrupt);
    assert_eq!(import(&tar(&[("ok", b""), (".wh.", b"")]), "", None), Kind::Corrupt);
    assert_eq!(import(&rootfs, "RUN make", None), Kind::Invalid);
    let digest = format!("x@{}", oci::Digest::of(b""));
    assert_eq!(import(&rootfs, "", Some(&digest)), Kind::Invalid);
    assert_eq!(store.counts(), (0, 0, 0));
    assert_eq!(store.images().unwrap().len(), 0);
}
