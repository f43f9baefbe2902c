use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use oci::Digest;
use rustix::fs::{XattrFlags, setxattr};
use stdx::{Kind, id};

use super::*;
use crate::testing::{Archive, CAPABILITY, Scratch, apply, is_opaque, is_white, meta, names, xattr};

#[test]
fn every_kind_of_file_arrives_with_every_attribute() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    let archive = Archive::new()
        .pax(&[("mtime", b"1700000000.123456789")])
        .dir("./", 0o1755)
        .pax(&[("mtime", b"-5.5"), ("SCHILY.xattr.user.note", b"a\0b\n")])
        .dir("./d", 0o2750)
        .pax(&[
            ("mtime", b"1600000000.000000001"),
            ("uid", b"3000000"),
            ("gid", b"4000000000"),
            ("SCHILY.xattr.user.k", b"v"),
            ("SCHILY.xattr.security.capability", &CAPABILITY),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ])
        .file_with("d/f", 0o4755, b"hello")
        .link('1', "hard", "./d/f")
        .link('2', "soft", "/somewhere/else")
        .device('3', "null", 1, 3)
        .device('4', "loop", 7, 700)
        .device('6', "pipe", 0, 0)
        .owned("theirs", 12, 34)
        .finish();
    let applied = apply(&archive, &dir, &[]).unwrap();
    assert_eq!(applied.diff_id, DiffId::new(Digest::of(&archive)));
    assert_eq!((applied.archive_size, applied.size, applied.dropped_xattrs), (archive.len() as u64, 5, 0));

    let root = meta(&dir);
    assert_eq!((root.mode() & 0o7777, root.mtime(), root.mtime_nsec()), (0o1755, 1_700_000_000, 123_456_789));
    let d = meta(dir.join("d"));
    assert_eq!((d.mode() & 0o7777, d.mtime(), d.mtime_nsec()), (0o2750, -6, 500_000_000));
    assert_eq!(xattr(&dir.join("d"), "user.note").unwrap(), b"a\0b\n");
    let f = meta(dir.join("d/f"));
    assert_eq!((f.mode() & 0o7777, f.uid(), f.gid(), f.nlink()), (0o4755, 3_000_000, 4_000_000_000, 2));
    assert_eq!((f.mtime(), f.mtime_nsec()), (1_600_000_000, 1));
    assert_eq!(fs::read(dir.join("d/f")).unwrap(), b"hello");
    assert_eq!(xattr(&dir.join("d/f"), "user.k").unwrap(), b"v");
    assert_eq!(xattr(&dir.join("d/f"), "security.capability").unwrap(), CAPABILITY);
    assert_eq!(xattr(&dir.join("d/f"), "trusted.overlay.opaque"), None);
    assert_eq!(xattr(&dir.join("d/f"), "trusted.overlay.redirect"), None);
    assert_eq!(meta(dir.join("hard")).ino(), f.ino());
    assert_eq!(fs::read_link(dir.join("soft")).unwrap(), Path::new("/somewhere/else"));
    assert_eq!(meta(dir.join("null")).rdev(), makedev(1, 3));
    assert!(meta(dir.join("loop")).file_type().is_block_device());
    assert_eq!(meta(dir.join("loop")).rdev(), makedev(7, 700));
    assert!(meta(dir.join("pipe")).file_type().is_fifo());
    assert_eq!((meta(dir.join("theirs")).uid(), meta(dir.join("theirs")).gid()), (12, 34));
}

#[test]
fn whiteouts_take_the_overlays_form() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    let archive = Archive::new()
        .file("a/.wh.gone", b"")
        .file(".wh.both", b"")
        .file("both", b"new")
        .file("first", b"new")
        .file(".wh.first", b"")
        .dir("opaque/", 0o755)
        .file("opaque/x", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file("implied/.wh..wh..opq", b"")
        .file(".wh.dir", b"")
        .dir("dir", 0o700)
        .file("dir/in", b"")
        .dir("dir2", 0o700)
        .file(".wh.dir2", b"")
        .file(".wh.dir3", b"")
        .file("dir3/in", b"")
        .file(".wh..wh.aufs", b"x")
        .dir(".wh..wh.plnk", 0o700)
        .file(".wh..wh.plnk/99.1", b"x")
        .finish();
    apply(&archive, &dir, &[]).unwrap();
    assert!(is_white(dir.join("a/gone")));
    assert_eq!(fs::read(dir.join("both")).unwrap(), b"new");
    assert_eq!(fs::read(dir.join("first")).unwrap(), b"new");
    for opaque in ["opaque", "implied", "dir", "dir2", "dir3"] {
        assert!(is_opaque(dir.join(opaque)), "{opaque}");
    }
    assert!(!is_opaque(dir.join("a")));
    assert!(dir.join("opaque/x").exists() && dir.join("dir/in").exists() && dir.join("dir3/in").exists());
    assert_eq!(names(&dir), ["a", "both", "dir", "dir2", "dir3", "first", "implied", "opaque"]);
    for bad in [".wh.", "a/.wh.", ".wh...", ".wh..", ".wh.x/y"] {
        let error = apply(&Archive::new().file(bad, b"").finish(), &scratch.dir("bad"), &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{bad}: {error}");
    }
    assert_eq!(names(&scratch.dir("bad")), [] as [&str; 0]);
}

#[test]
fn the_kernel_shows_what_the_specification_says() {
    let scratch = Scratch::new();
    let [one, two, merged] = ["one", "two", "merged"].map(|name| scratch.dir(name));
    let below =
        Archive::new().file("file1", b"").file("a/file2", b"").dir("b", 0o755).file("c/file3", b"").file("o/x", b"");
    let above = Archive::new().file(".wh.file1", b"").file("a/.wh.file2", b"").file(".wh.b", b"").file("file4", b"");
    let above = above.file("o/y", b"").file("o/.wh..wh..opq", b"");
    apply(&below.finish(), &one, &[]).unwrap();
    apply(&above.finish(), &two, &[&one]).unwrap();
    let options = format!("lowerdir={}:{}", two.display(), one.display());
    let options = std::ffi::CString::new(options).unwrap();
    let flags = rustix::mount::MountFlags::RDONLY;
    rustix::mount::mount("overlay", &merged, "overlay", flags, options.as_c_str()).unwrap();
    let seen = ["", "a", "c", "o"].map(|dir| names(&merged.join(dir)));
    rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(seen[0], ["a", "c", "file4", "o"]);
    assert_eq!(seen[1], [] as [&str; 0]);
    assert_eq!(seen[2], ["file3"]);
    assert_eq!(seen[3], ["y"]);
}

#[test]
fn an_opaque_root_hides_every_name_below() {
    let scratch = Scratch::new();
    let [one, two, three] = ["one", "two", "three"].map(|name| scratch.dir(name));
    apply(&Archive::new().file("w", b"").file("x", b"").file("d/y", b"").finish(), &one, &[]).unwrap();
    apply(&Archive::new().file(".wh.x", b"").file("z", b"").finish(), &two, &[&one]).unwrap();
    let archive = Archive::new().file("d/new", b"").file("z", b"2").file(".wh..wh..opq", b"").finish();
    apply(&archive, &three, &[&one, &two]).unwrap();
    assert!(is_white(three.join("w")) && is_opaque(three.join("d")));
    assert_eq!(fs::read(three.join("z")).unwrap(), b"2");
    // What is hidden already needs no mark.
    assert_eq!(names(&three), ["d", "w", "z"]);
}

#[test]
fn implied_directories_look_as_they_do_below() {
    let scratch = Scratch::new();
    let [one, two, three] = ["one", "two", "three"].map(|name| scratch.dir(name));
    let below = Archive::new()
        .pax(&[("mtime", b"77.5"), ("SCHILY.xattr.user.k", b"v")])
        .owned_dir("./", 0o711, 5, 6)
        .pax(&[("mtime", b"99")])
        .owned_dir("a", 0o1777, 7, 8)
        .file("hidden/x", b"")
        .owned_dir("hidden", 0o700, 9, 9)
        .owned_dir("opaque/sub", 0o700, 9, 9)
        .finish();
    apply(&below, &one, &[]).unwrap();
    let between = Archive::new().file("unrelated", b"").file(".wh.hidden", b"").file("opaque/.wh..wh..opq", b"");
    apply(&between.finish(), &two, &[&one]).unwrap();
    let above = Archive::new().file("a/b/c", b"").file("hidden/y", b"").file("opaque/sub/x", b"").finish();
    apply(&above, &three, &[&one, &two]).unwrap();
    let root = meta(&three);
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o711, 5, 6));
    assert_eq!((root.mtime(), root.mtime_nsec()), (77, 500_000_000));
    assert_eq!(xattr(&three, "user.k").unwrap(), b"v");
    let a = meta(three.join("a"));
    assert_eq!((a.mode() & 0o7777, a.uid(), a.gid(), a.mtime()), (0o1777, 7, 8, 99));
    for new in ["a/b", "hidden", "opaque/sub"] {
        let new = meta(three.join(new));
        assert_eq!((new.mode() & 0o7777, new.uid(), new.mtime()), (0o755, 0, 0));
    }
}

#[test]
fn hard_links_into_lower_layers_become_copies() {
    let scratch = Scratch::new();
    let [one, two] = ["one", "two"].map(|name| scratch.dir(name));
    let below = Archive::new()
        .pax(&[("mtime", b"5.25"), ("SCHILY.xattr.security.capability", &CAPABILITY)])
        .file_with("bin/tool", 0o4711, b"tool")
        .link('2', "soft", "bin/tool")
        .file("gone", b"")
        .finish();
    apply(&below, &one, &[]).unwrap();
    let above = Archive::new()
        .link('1', "bin/alias", "bin/tool")
        .link('1', "soft2", "soft")
        .link('1', "again", "bin/alias")
        .link('1', "early", "late")
        .file("late", b"late")
        .link('1', "lost", "bin/tool")
        .file("lost", b"the later one")
        .finish();
    let applied = apply(&above, &two, &[&one]).unwrap();
    let alias = meta(two.join("bin/alias"));
    assert_eq!((alias.mode() & 0o7777, alias.mtime(), alias.mtime_nsec()), (0o4711, 5, 250_000_000));
    assert_eq!(xattr(&two.join("bin/alias"), "security.capability").unwrap(), CAPABILITY);
    assert_eq!(fs::read(two.join("bin/alias")).unwrap(), b"tool");
    assert_ne!(alias.ino(), meta(one.join("bin/tool")).ino());
    assert_eq!(meta(two.join("again")).ino(), alias.ino());
    assert_eq!(fs::read_link(two.join("soft2")).unwrap(), Path::new("bin/tool"));
    assert_eq!(meta(two.join("early")).ino(), meta(two.join("late")).ino());
    assert_eq!(fs::read(two.join("lost")).unwrap(), b"the later one");
    assert_eq!(applied.size, 4 + 4 + 13);

    // Whited out in between, it is not there to be linked to.
    let [between, three] = ["between", "three"].map(|name| scratch.dir(name));
    apply(&Archive::new().file(".wh.gone", b"").finish(), &between, &[&one]).unwrap();
    let archive = Archive::new().link('1', "x", "gone").finish();
    let error = apply(&archive, &three, &[&one, &between]).unwrap_err();
    assert_eq!(error.to_string(), "cannot make hard link \"x\" to \"gone\": the target does not exist");
    assert_eq!(error.kind(), Kind::Corrupt);
}

#[test]
fn the_later_of_two_entries_counts() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    let archive = Archive::new()
        .file("a", b"1")
        .file("a", b"22")
        .file("d/x/y", b"")
        .file_with("d", 0o600, b"file")
        .file("e", b"")
        .dir("e", 0o750)
        .file("e/in", b"")
        .dir("keep", 0o700)
        .file("keep/in", b"")
        .dir("keep", 0o711)
        .link('2', "s", "a")
        .file("s", b"not a link")
        .dir("t", 0o755)
        .link('2', "t", "keep")
        .file("t/through", b"")
        .link('1', "a", "a")
        .dir("b/x", 0o700)
        .link('2', "b", "keep")
        .dir("keep/x", 0o755)
        .finish();
    apply(&archive, &dir, &[]).unwrap();
    assert_eq!(meta(dir.join("keep/x")).mode() & 0o7777, 0o755);
    assert_eq!(fs::read(dir.join("a")).unwrap(), b"22");
    assert_eq!(fs::read(dir.join("d")).unwrap(), b"file");
    assert_eq!(meta(dir.join("d")).mode() & 0o7777, 0o600);
    assert!(dir.join("e/in").exists() && is_opaque(dir.join("e")));
    assert_eq!(meta(dir.join("keep")).mode() & 0o7777, 0o711);
    assert_eq!(names(&dir.join("keep")), ["in", "through", "x"]);
    assert!(meta(dir.join("s")).is_file());
}

#[test]
fn nothing_reaches_out_of_the_tree() {
    let scratch = Scratch::new();
    let outside = scratch.dir("outside");
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    let out = outside.to_str().unwrap();
    let secret = format!("{out}/secret");
    let refused = [
        Archive::new().file("../x", b""),
        Archive::new().file("../../outside/secret", b""),
        Archive::new().file("a/../../outside/secret", b""),
        Archive::new().file("/../outside/secret", b""),
        Archive::new().dir("..", 0o777),
        Archive::new().file("..", b""),
        Archive::new().link('1', "x", "../outside/secret"),
        Archive::new().link('1', "x", &secret),
        Archive::new().link('2', "l", "/").link('1', "x", &format!("l/{secret}")),
        Archive::new().link('2', "l", "..").link('1', "x", "l/outside/secret"),
        Archive::new().link('2', "loop", "loop").file("loop/x", b""),
        Archive::new().link('2', "l", out).file("l/secret", b"evil"),
        Archive::new().link('2', "l", "../outside").file("l/secret", b"evil"),
        Archive::new().file("plain", b"").file("plain/x", b""),
        Archive::new().link('1', "x", "."),
        Archive::new().link('1', "x", ""),
        Archive::new().file("", b"x"),
        Archive::new().file("./", b"x").link('2', "", "x"),
        Archive::new().pax(&[("path", b"a\0b")]).file("x", b""),
        Archive::new().link('2', "x", ""),
    ];
    for (number, archive) in refused.into_iter().enumerate() {
        let error = apply(&archive.finish(), &scratch.dir(&format!("in-{number}")), &[]).err();
        let error = error.unwrap_or_else(|| panic!("archive {number} was accepted"));
        assert!(matches!(error.kind(), Kind::Corrupt | Kind::NotFound), "{number}: {error:?}");
    }
    // Links that lead out are kept as they are, and followed as if the tree were the root file system.
    let dir = scratch.dir("contained");
    let contained = Archive::new()
        .link('2', "up", "../../..")
        .file("up/landed", b"here")
        .link('2', "abs", "/inner")
        .dir("inner", 0o755)
        .file("abs/secret", b"here")
        .link('2', "direct", &secret)
        .file("direct", b"replaced")
        .file("/rooted", b"here")
        .file("x/./y/..//z", b"here")
        .finish();
    apply(&contained, &dir, &[]).unwrap();
    for landed in ["landed", "inner/secret", "rooted", "x/z"] {
        assert_eq!(fs::read(dir.join(landed)).unwrap(), b"here", "{landed}");
    }
    assert_eq!(names(&outside), ["secret"]);
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    assert_eq!(meta(outside.join("secret")).nlink(), 1);
    assert_eq!(meta(&outside).mode() & 0o7777, 0o700);
    assert!(!scratch.0.join("x").exists());
}

#[test]
fn directory_metadata_is_not_put_through_a_link() {
    let scratch = Scratch::new();
    let [dir, outside] = ["fs", "outside"].map(|name| scratch.dir(name));
    let before = meta(&outside);
    let out = format!("/../../../../../../..{}", outside.display());
    let archive = Archive::new().dir("d", 0o777).link('2', "d", &out).finish();
    apply(&archive, &dir, &[]).unwrap();
    assert!(meta(dir.join("d")).is_symlink());
    assert_eq!((meta(&outside).mode(), meta(&outside).mtime()), (before.mode(), before.mtime()));
}

#[test]
fn names_may_be_long_deep_and_of_any_bytes() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    let long = "n".repeat(255);
    let deep = vec!["d"; 500].join("/");
    let pax_name = [b"caf\xe9/".as_slice(), long.as_bytes()].concat();
    let archive = Archive::new()
        .gnu_long('L', format!("gnu/{long}").as_bytes())
        .file("cut", b"1")
        .gnu_long('K', &[b't'; 300])
        .link('2', "link", "cut")
        .pax(&[("path", &pax_name), ("size", b"1")])
        .file("cut", b"2")
        .pax(&[("path", deep.as_bytes())])
        .file("cut", b"3")
        .pax(&[("linkpath", b"caf\xe9")])
        .link('2', "link2", "cut")
        .prefixed("prefix/dir", "name", b"4")
        .global(b"19 path=everything\n")
        .file("after", b"")
        .finish();
    apply(&archive, &dir, &[]).unwrap();
    assert_eq!(fs::read(dir.join("gnu").join(&long)).unwrap(), b"1");
    assert_eq!(fs::read_link(dir.join("link")).unwrap().as_os_str().len(), 300);
    assert_eq!(fs::read(dir.join(OsString::from_vec(pax_name))).unwrap(), b"2");
    assert_eq!(fs::read(dir.join(&deep)).unwrap(), b"3");
    assert_eq!(fs::read_link(dir.join("link2")).unwrap().as_os_str().as_bytes(), b"caf\xe9");
    assert_eq!(fs::read(dir.join("prefix/dir/name")).unwrap(), b"4");
    assert!(dir.join("after").exists());
    for bad in ["n".repeat(256), vec!["e"; 3000].join("/")] {
        let archive = Archive::new().pax(&[("path", bad.as_bytes())]).file("x", b"").finish();
        let error = apply(&archive, &scratch.dir("bad"), &[]).unwrap_err();
        assert!(error.to_string().contains("name too long"), "{error}");
    }
}

#[test]
fn sparse_files_keep_their_holes() {
    let scratch = Scratch::new();
    let mut expected = vec![0; 3 << 20];
    expected[1 << 20..(1 << 20) + 4].copy_from_slice(b"data");
    expected[2 << 20..(2 << 20) + 3].copy_from_slice(b"end");
    let size = (3 << 20).to_string();
    let size = size.as_bytes();
    let name: (&str, &[u8]) = ("GNU.sparse.name", b"real");
    let old = Archive::new().gnu_sparse("real", &[(1 << 20, 4), (2 << 20, 3)], 3 << 20, b"dataend");
    let v00 = Archive::new()
        .pax(&[
            ("GNU.sparse.size", size),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"1048576"),
            ("GNU.sparse.numbytes", b"4"),
            ("GNU.sparse.offset", b"2097152"),
            ("GNU.sparse.numbytes", b"3"),
        ])
        .file("real", b"dataend");
    let v01 = Archive::new()
        .pax(&[name, ("GNU.sparse.size", size), ("GNU.sparse.map", b"1048576,4,2097152,3")])
        .file("GNUSparseFile.1/real", b"dataend");
    let mut stored = b"2\n1048576\n4\n2097152\n3\n".to_vec();
    stored.resize(512, 0);
    stored.extend(b"dataend");
    let v10: [(&str, &[u8]); 4] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), name, ("GNU.sparse.realsize", size)];
    let v10 = Archive::new().pax(&v10).file("GNUSparseFile.1/real", &stored);
    for (at, archive) in [old, v00, v01, v10].into_iter().enumerate() {
        let dir = scratch.dir(&format!("fs-{at}"));
        let applied = apply(&archive.file("next", b"next").finish(), &dir, &[]).unwrap();
        assert!(fs::read(dir.join("real")).unwrap() == expected, "format {at}");
        assert!(meta(dir.join("real")).blocks() * 512 < 1 << 20, "format {at} has no holes");
        assert_eq!(fs::read(dir.join("next")).unwrap(), b"next");
        assert_eq!(applied.size, (3 << 20) + 4);
    }
    let many: Vec<(u64, u64)> = (0..60).map(|n| (n * 8192, 1)).collect();
    let dir = scratch.dir("many");
    apply(&Archive::new().gnu_sparse("f", &many, 60 * 8192, &[b'x'; 60]).finish(), &dir, &[]).unwrap();
    let read = fs::read(dir.join("f")).unwrap();
    assert_eq!((read.len(), read.iter().filter(|b| **b == b'x').count()), (60 * 8192, 60));
    for bad in ["5,4,3,3", "0,9", "0,4,4", "x", "18446744073709551615,2", "0,7,9999999999,0"] {
        let records: [(&str, &[u8]); 2] = [("GNU.sparse.size", size), ("GNU.sparse.map", bad.as_bytes())];
        let archive = Archive::new().pax(&records).file("x", b"dataend").finish();
        assert_eq!(apply(&archive, &scratch.dir("bad"), &[]).unwrap_err().kind(), Kind::Corrupt, "{bad}");
    }
}

#[test]
fn zeros_in_a_row_become_holes() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    let mut some = vec![0; 3 << 20];
    for at in [5, 1 << 20, (3 << 20) - 1] {
        some[at] = 1;
    }
    let cases = [("zeros", vec![0; 4 << 20]), ("some", some), ("few", vec![0; 100]), ("data", vec![1; 1 << 20])];
    let add = |archive: Archive, (name, content): &(&str, Vec<u8>)| archive.file(name, content);
    let applied = apply(&cases.iter().fold(Archive::new(), add).finish(), &dir, &[]).unwrap();
    assert_eq!(applied.size, cases.iter().map(|(_, content)| content.len() as u64).sum::<u64>());
    for (name, content) in &cases {
        assert!(fs::read(dir.join(name)).unwrap() == *content, "{name}");
    }
    let used = |name: &str| meta(dir.join(name)).blocks() * 512;
    assert!(used("zeros") < 256 << 10 && used("some") < 256 << 10, "{} {}", used("zeros"), used("some"));
}

#[test]
fn malformed_and_oversized_archives_are_refused() {
    let scratch = Scratch::new();
    let whole = Archive::new().file("a", &[7; 1000]).dir("d", 0o755).finish();
    for cut in [1, 511, 513, 1024, 1535] {
        let error = apply(&whole[..cut], &scratch.dir("cut"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "tar archive ends in the middle of an entry", "{cut}");
        assert_eq!(error.kind(), Kind::Corrupt);
    }
    // Docker's tar and others accept an archive without its end marks, and an empty one.
    apply(&whole[..2048], &scratch.dir("whole"), &[]).unwrap();
    apply(&[], &scratch.dir("empty"), &[]).unwrap();
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    assert!(apply(&damaged, &scratch.dir("sum"), &[]).unwrap_err().to_string().contains("checksum"));
    let lone = [&[0; 512][..], &whole].concat();
    assert!(apply(&lone, &scratch.dir("lone"), &[]).unwrap_err().to_string().contains("empty block"));

    let hostile = [
        Archive::new().sized("huge", u64::MAX >> 1),
        Archive::new().pax(&[("size", b"99999999999999999999")]).file("x", b""),
        Archive::new().pax(&[("size", b"-1")]).file("x", b""),
        Archive::new().pax(&[("uid", b"4294967295")]).file("x", b""),
        Archive::new().pax(&[("uid", b"-1")]).file("x", b""),
        Archive::new().pax(&[("mtime", b"soon")]).file("x", b""),
        Archive::new().raw_pax(b"999 path=x\n").file("x", b""),
        Archive::new().raw_pax(b"nonsense").file("x", b""),
        Archive::new().link('Z', "x", ""),
        Archive::new().pax(&[("path", b"left over")]),
        Archive::new().pax(&[("SCHILY.xattr.user.big", &[b'x'; 2 << 20])]).file("x", b""),
        Archive::new().gnu_long('L', &[b'x'; 2 << 20]).file("x", b""),
    ];
    for (number, archive) in hostile.into_iter().enumerate() {
        let error = apply(&archive.finish(), &scratch.dir(&format!("hostile-{number}")), &[]).err();
        let error = error.unwrap_or_else(|| panic!("archive {number} was accepted"));
        assert_eq!(error.kind(), Kind::Corrupt, "{number}: {error}");
    }

    let many = (0..101).fold(Archive::new(), |archive, n| archive.file(&n.to_string(), b"12345678")).finish();
    let refusal = |limits: &Limits| {
        let dir = File::open(scratch.dir(&id::random_hex(4))).unwrap();
        unpack(&many[..], dir, limits).unwrap_err().to_string()
    };
    let limits = Limits::default();
    assert_eq!(refusal(&Limits { entries: 100, ..limits }), "tar archive has more than 100 entries");
    assert_eq!(refusal(&Limits { bytes: 800, ..limits }), "tar archive has more than 800 bytes");
    let map: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"999999999999999"), ("GNU.sparse.map", b"0,1")];
    let holes = Archive::new().pax(&map).file("x", b"1").finish();
    let error = unpack(&holes[..], File::open(scratch.dir("holes")).unwrap(), &limits).unwrap_err();
    assert_eq!(error.to_string(), format!("files of layer have more than {} bytes", 1u64 << 40));
    assert_eq!(names(&scratch.dir("holes")), [] as [&str; 0]);
}

#[test]
fn what_follows_the_end_belongs_to_the_digest() {
    let scratch = Scratch::new();
    let archive = [Archive::new().file("a", b"").finish(), vec![9; 700_000]].concat();
    let applied = apply(&archive, &scratch.dir("fs"), &[]).unwrap();
    assert_eq!(applied.diff_id, DiffId::new(Digest::of(&archive)));
    assert_eq!(applied.archive_size, archive.len() as u64);
    assert_eq!(names(&scratch.dir("fs")), ["a"]);
}

#[test]
fn another_writers_archive_is_read() {
    let scratch = Scratch::new();
    let [from, to] = ["from", "to"].map(|name| scratch.dir(name));
    fs::create_dir_all(from.join("sub").join("x".repeat(120))).unwrap();
    fs::write(from.join("sub").join("x".repeat(120)).join("y".repeat(150)), "deep").unwrap();
    fs::write(from.join("plain"), vec![3; 700_001]).unwrap();
    symlink("plain", from.join("link")).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all(".", &from).unwrap();
    apply(&builder.into_inner().unwrap(), &to, &[]).unwrap();
    assert_eq!(fs::read(to.join("sub").join("x".repeat(120)).join("y".repeat(150))).unwrap(), b"deep");
    assert_eq!(fs::read(to.join("plain")).unwrap(), vec![3; 700_001]);
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("plain"));
}

#[test]
fn random_damage_never_panics() {
    let scratch = Scratch::new();
    let archive = Archive::new()
        .pax(&[("path", b"long"), ("SCHILY.xattr.user.a", b"b")])
        .file("a", b"data")
        .gnu_sparse("s", &[(4096, 2)], 9000, b"xy")
        .link('1', "h", "long")
        .file(".wh.w", b"")
        .finish();
    let mut seed = 1u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..2000 {
        let mut damaged = archive.clone();
        for _ in 0..=random(3) {
            let at = random(damaged.len());
            damaged[at] = random(256) as u8;
        }
        // With the checksums repaired the damage gets past the first gate.
        crate::testing::repair_checksums(&mut damaged);
        let dir = scratch.dir("damaged");
        let _ = apply(&damaged, &dir, &[]);
        if round % 50 == 0 {
            stdx::remove_tree::remove_tree(&dir).unwrap();
        }
    }
    assert_eq!(names(&scratch.0), ["damaged"]);
}

#[test]
fn a_setting_of_attributes_on_lower_files_does_not_leak() {
    let scratch = Scratch::new();
    let [one, two] = ["one", "two"].map(|name| scratch.dir(name));
    apply(&Archive::new().dir("d", 0o755).finish(), &one, &[]).unwrap();
    setxattr(one.join("d"), "trusted.overlay.redirect", b"/etc", XattrFlags::empty()).unwrap();
    apply(&Archive::new().file("d/x", b"").finish(), &two, &[&one]).unwrap();
    assert_eq!(xattr(&two.join("d"), "trusted.overlay.redirect"), None);
}
