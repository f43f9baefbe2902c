//! A layer's archive: whatever it is, nothing outside its directory changes, and a layer that was applied is written
//! and applied again as the same. Needs root; works in a directory of its own below `TMPDIR`.

#![no_main]

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::OnceLock;

use layer::Limits;
use layer::diff::Options;
use libfuzzer_sys::fuzz_target;
use oci::DiffId;

const BLOCK: usize = 512;

fuzz_target!(|data: &[u8]| {
    let mut archive = data.to_vec();
    repair_checksums(&mut archive);
    let jail = jail();
    let applied = apply(&archive, "first");
    let names = |dir: &PathBuf| {
        let mut names: Vec<_> =
            fs::read_dir(dir).expect("jail").map(|entry| entry.expect("jail").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(jail), ["first", "victim"]);
    assert_eq!(fs::read(jail.join("victim")).expect("victim"), b"precious");
    if applied.is_some() {
        let (id, written) = diff("first");
        assert_eq!(apply(&written, "second"), Some(id), "what was written is not read as it was written");
        let (again, _) = diff("second");
        assert_eq!(id, again, "applying changed the layer");
        stdx::remove_tree::remove_tree(&jail.join("second")).expect("a tree is removed");
    }
    stdx::remove_tree::remove_tree(&jail.join("first")).expect("a tree is removed");
});

fn jail() -> &'static PathBuf {
    static JAIL: OnceLock<PathBuf> = OnceLock::new();
    JAIL.get_or_init(|| {
        let jail = std::env::temp_dir().join(format!("tare-fuzz-{}", std::process::id()));
        fs::create_dir(&jail).expect("a directory to work in");
        fs::write(jail.join("victim"), "precious").expect("victim");
        jail
    })
}

fn apply(archive: &[u8], name: &str) -> Option<DiffId> {
    let dir = jail().join(name);
    fs::create_dir(&dir).expect("a directory to unpack into");
    let limits = Limits { entries: 200, bytes: 1 << 20, metadata: 1 << 16, ..Limits::default() };
    let root = File::open(&dir).expect("that directory");
    let applied = layer::unpack(archive, &root, &limits).and_then(|unpacked| unpacked.settle(&[]));
    match applied {
        Ok(applied) => Some(applied.diff_id),
        // That would be ours.
        Err(error) if error.to_string().contains("Too many open files") => panic!("{error}"),
        Err(_) => None,
    }
}

fn diff(name: &str) -> (DiffId, Vec<u8>) {
    let mut archive = Vec::new();
    let root = File::open(jail().join(name)).expect("what was unpacked");
    match layer::diff(&root, &mut archive, &Options::default()) {
        Ok(diffed) => (diffed.diff_id, archive),
        Err(error) => panic!("a layer that was read cannot be written: {error}"),
    }
}

/// With the checksums right, damage gets past the first gate.
fn repair_checksums(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(BLOCK).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
