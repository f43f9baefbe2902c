use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use oci::Digest;
use oci::runtime_spec::IdMapping;
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat, utimensat};
use stdx::Kind;

use super::*;
use crate::testing::{Archive, CAPABILITY, Scratch, apply, is_white, meta, names, xattr};
use crate::{Limits, TarReader};

mod random;

fn diffed(dir: &Path, options: &Options) -> Result<(Diffed, Vec<u8>)> {
    let mut archive = Vec::new();
    let diffed = diff(File::open(dir).unwrap(), &mut archive, options)?;
    assert_eq!(diffed.diff_id, DiffId::new(Digest::of(&archive)));
    assert_eq!(diffed.tar_size, archive.len() as u64);
    Ok((diffed, archive))
}

fn archive_of(dir: &Path) -> Vec<u8> {
    diffed(dir, &Options::default()).unwrap().1
}

fn entries(archive: &[u8]) -> Vec<Entry> {
    let mut reader = TarReader::new(archive, &Limits::default());
    std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
}

fn paths(archive: &[u8]) -> Vec<String> {
    entries(archive).iter().map(|entry| lossy(&entry.path).into_owned()).collect()
}

fn node(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o620), device).unwrap();
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn touch(path: &Path, seconds: i64, nanoseconds: u32) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Some of everything a layer can hold.
fn furnish(dir: &Path) {
    fs::create_dir_all(dir.join("etc/deep")).unwrap();
    fs::write(dir.join("etc/tool"), "tool").unwrap();
    fs::set_permissions(dir.join("etc/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    chown(dir.join("etc/tool"), Some(3_000_000), Some(7)).unwrap();
    fs::set_permissions(dir.join("etc/tool"), fs::Permissions::from_mode(0o6711)).unwrap();
    attribute(&dir.join("etc/tool"), "security.capability", &CAPABILITY);
    attribute(&dir.join("etc/tool"), "user.b", b"\0\n");
    attribute(&dir.join("etc/tool"), "user.a", b"1");
    fs::hard_link(dir.join("etc/tool"), dir.join("alias")).unwrap();
    fs::hard_link(dir.join("etc/tool"), dir.join("zz")).unwrap();
    symlink("t".repeat(300), dir.join("etc/long")).unwrap();
    symlink("/abs", dir.join("etc/short")).unwrap();
    fs::hard_link(dir.join("etc/short"), dir.join("etc/short2")).unwrap();
    node(&dir.join("fifo"), FileType::Fifo, 0);
    node(&dir.join("block"), FileType::BlockDevice, makedev(259, 1_000_000));
    node(&dir.join("char"), FileType::CharacterDevice, makedev(1, 3));
    node(&dir.join("etc/gone"), FileType::CharacterDevice, 0);
    fs::create_dir(dir.join("opaque")).unwrap();
    attribute(&dir.join("opaque"), "trusted.overlay.opaque", b"y");
    attribute(&dir.join("etc"), "trusted.overlay.origin", b"x");
    attribute(&dir.join("etc"), "trusted.overlay.impure", b"y");
    fs::write(dir.join("opaque/\u{e9}"), "").unwrap();
    let long = [&[0xff; 200][..], b"x"].concat();
    fs::write(dir.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&long)), "long").unwrap();
    fs::write(dir.join("a.b"), vec![7; 700_000]).unwrap();
    fs::create_dir(dir.join("a")).unwrap();
    fs::write(dir.join("a/z"), "z").unwrap();
    fs::set_permissions(dir.join("a"), fs::Permissions::from_mode(0o1777)).unwrap();
    let sparse = File::create(dir.join("sparse")).unwrap();
    io::Seek::seek(&mut &sparse, io::SeekFrom::Start(1 << 20)).unwrap();
    io::Write::write_all(&mut &sparse, b"in the middle").unwrap();
    sparse.set_len(3 << 20).unwrap();
    touch(&dir.join("a/z"), 1_600_000_000, 123_456_789);
    touch(&dir.join("etc/long"), -5, 1);
    touch(&dir.join("etc/deep"), 99, 0);
}

#[test]
fn a_tree_applied_and_diffed_again_is_the_same() {
    let scratch = Scratch::new();
    let [from, to] = ["from", "to"].map(|name| scratch.dir(name));
    furnish(&from);
    let (first, archive) = diffed(&from, &Options::default()).unwrap();
    assert_eq!(first.size, 4 + 4 + 700_000 + 1 + (3 << 20));
    assert_eq!(first.torn, [] as [Vec<u8>; 0]);
    let applied = apply(&archive, &to, &[]).unwrap();
    assert_eq!((applied.diff_id, applied.size), (first.diff_id, first.size));
    assert_eq!(diffed(&to, &Options::default()).unwrap().0, first);

    let tool = meta(to.join("etc/tool"));
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.nlink()), (0o6711, 3_000_000, 7, 3));
    assert_eq!(xattr(&to.join("etc/tool"), "security.capability").unwrap(), CAPABILITY);
    assert_eq!(meta(to.join("a/z")).mtime_nsec(), 123_456_789);
    assert_eq!(meta(to.join("block")).rdev(), makedev(259, 1_000_000));
    assert!(is_white(to.join("etc/gone")));
    assert_eq!(names(&to), names(&from));
}

#[test]
fn entries_come_in_one_order_and_say_what_is_there() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    furnish(&dir);
    let archive = archive_of(&dir);
    let long = "\u{fffd}".repeat(200) + "x";
    assert_eq!(
        paths(&archive),
        [
            "a/",
            "a/z",
            "a.b",
            "alias",
            "block",
            "char",
            "etc/",
            "etc/deep/",
            "etc/.wh.gone",
            "etc/long",
            "etc/short",
            "etc/short2",
            "etc/tool",
            "fifo",
            "opaque/",
            "opaque/.wh..wh..opq",
            "opaque/\u{e9}",
            "sparse",
            "zz",
            &long,
        ]
    );
    let entries = entries(&archive);
    let find = |path: &str| entries.iter().find(|entry| entry.path == path.as_bytes()).unwrap();
    let names: Vec<_> = find("alias").xattrs.iter().map(|(name, _)| lossy(name)).collect();
    assert_eq!(names, ["security.capability", "user.a", "user.b"]);
    assert_eq!((find("etc/tool").kind, &find("etc/tool").link[..]), (EntryKind::HardLink, &b"alias"[..]));
    assert_eq!((find("etc/short2").kind, &find("etc/short2").link[..]), (EntryKind::HardLink, &b"etc/short"[..]));
    // Programs that know no extended attributes on links would otherwise take them from the file.
    assert_eq!(find("zz").xattrs, find("alias").xattrs);
    let gone = find("etc/.wh.gone");
    assert_eq!((gone.kind, gone.mode, gone.uid, gone.mtime, gone.size), (EntryKind::File, 0o600, 0, (0, 0), 0));
    assert_eq!(find("sparse").size, 3 << 20);
    assert!(find("etc/").xattrs.is_empty() && find("opaque/").xattrs.is_empty());
}

#[test]
fn nothing_is_two_empty_blocks() {
    let scratch = Scratch::new();
    let (diffed, archive) = diffed(&scratch.dir("fs"), &Options::default()).unwrap();
    assert_eq!(archive, [0; 1024]);
    assert_eq!((diffed.entries, diffed.size), (0, 0));
    // As every other engine calls it.
    assert_eq!(diffed.diff_id.hex(), "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
}

#[test]
fn where_blocks_lie_does_not_show() {
    let scratch = Scratch::new();
    let [one, two] = ["one", "two"].map(|name| scratch.dir(name));
    let mut content = vec![0; 5 << 20];
    for at in [0, 1 << 20, (5 << 20) - 1] {
        content[at] = 1;
    }
    fs::write(one.join("f"), &content).unwrap();
    let holes = File::create(two.join("f")).unwrap();
    for at in [0, 1 << 20, (5 << 20) - 1] {
        std::os::unix::fs::FileExt::write_at(&holes, &[1], at).unwrap();
    }
    assert!(meta(two.join("f")).blocks() < meta(one.join("f")).blocks(), "the file system has no holes");
    for dir in [&one, &two] {
        touch(&dir.join("f"), 1, 0);
    }
    let first = archive_of(&one);
    assert!(first == archive_of(&two));
    apply(&first, &scratch.dir("three"), &[]).unwrap();
    assert!(fs::read(scratch.dir("three").join("f")).unwrap() == content);
}

#[test]
fn whiteouts_may_be_attributes() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    for namespace in ["trusted", "user"] {
        let sub = dir.join(namespace);
        fs::create_dir(&sub).unwrap();
        attribute(&sub, &format!("{namespace}.overlay.opaque"), b"x");
        fs::write(sub.join("gone"), "").unwrap();
        attribute(&sub.join("gone"), &format!("{namespace}.overlay.whiteout"), b"");
        fs::write(sub.join("there"), "content").unwrap();
        attribute(&sub.join("there"), &format!("{namespace}.overlay.whiteout"), b"");
        fs::create_dir(sub.join("opaque")).unwrap();
        attribute(&sub.join("opaque"), &format!("{namespace}.overlay.opaque"), b"y");
    }
    let paths = paths(&archive_of(&dir));
    let expected = |sub: &str| {
        ["", ".wh.gone", "opaque/", "opaque/.wh..wh..opq", "there"].map(|name| format!("{sub}/{name}")).to_vec()
    };
    assert_eq!(paths, [expected("trusted"), expected("user")].concat());
}

#[test]
fn what_a_layer_cannot_hold_is_refused_by_name() {
    let scratch = Scratch::new();
    let refusal = |name: &str, make: &dyn Fn(&Path)| {
        let dir = scratch.dir(name);
        make(&dir);
        let error = diffed(&dir, &Options::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        error.to_string()
    };
    let name = refusal("name", &|dir| fs::write(dir.join(".wh.x"), "").unwrap());
    assert_eq!(name, "\".wh.x\" cannot be in a layer: its name would be a whiteout");
    let redirect = refusal("redirect", &|dir| {
        fs::create_dir(dir.join("d")).unwrap();
        attribute(&dir.join("d"), "trusted.overlay.redirect", b"/etc");
    });
    assert_eq!(redirect, "\"d\" cannot be in a layer: the overlay's \"redirect\" attribute refers to the layers below");
    let metacopy = refusal("metacopy", &|dir| {
        fs::write(dir.join("f"), "").unwrap();
        attribute(&dir.join("f"), "trusted.overlay.metacopy", b"");
    });
    assert!(metacopy.contains("metacopy"), "{metacopy}");
    let attribute_name = refusal("attribute", &|dir| {
        fs::write(dir.join("f"), "").unwrap();
        attribute(&dir.join("f"), "user.a=b", b"");
    });
    assert_eq!(attribute_name, "an archive cannot hold attribute \"user.a=b\" of \"f\"");
    // A merged tree has no whiteouts, so a name like one is a name.
    let mut archive = Vec::new();
    export(File::open(scratch.dir("name")).unwrap(), &mut archive, &Options::default()).unwrap();
    assert_eq!(paths(&archive), [".wh.x"]);
}

#[test]
fn sockets_are_left_out() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    let _socket = UnixListener::bind(dir.join("socket")).unwrap();
    fs::write(dir.join("file"), "").unwrap();
    assert_eq!(paths(&archive_of(&dir)), ["file"]);
}

#[test]
fn options_shift_ids_and_clamp_times() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    for (name, uid, seconds) in [("root", 100_000, 5), ("user", 101_000, 500), ("nobody", 5, 600)] {
        fs::write(dir.join(name), "").unwrap();
        chown(dir.join(name), Some(uid), Some(uid)).unwrap();
        touch(&dir.join(name), seconds, 250_000_000);
    }
    attribute(&dir.join("root"), "security.capability", &{
        let mut value = [0; 24];
        value[..20].copy_from_slice(&CAPABILITY);
        value[3] = 3;
        value[20..].copy_from_slice(&100_000u32.to_le_bytes());
        value
    });
    let map = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65536 }];
    let ids = IdMaps { users: map.clone(), groups: map };
    let (_, archive) = diffed(&dir, &Options { ids, latest: Some(500), name: Some(b".".to_vec()) }).unwrap();
    let entries = entries(&archive);
    let seen: Vec<_> = entries.iter().map(|entry| (&entry.path[..], entry.uid, entry.mtime)).collect();
    assert_eq!(
        seen,
        [
            (&b"./"[..], 65534, (500, 0)),
            (b"./nobody", 65534, (500, 0)),
            (b"./root", 0, (5, 250_000_000)),
            (b"./user", 1000, (500, 0)),
        ]
    );
    assert_eq!(entries[2].xattrs, [(b"security.capability".to_vec(), CAPABILITY.to_vec())]);
}

#[test]
fn trees_deeper_than_descriptors_last_are_walked() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    let deep = vec!["d"; 700].join("/");
    let archive = Archive::new().pax(&[("path", deep.as_bytes())]).file("cut", b"bottom").file("d/e", b"").finish();
    apply(&archive, &dir, &[]).unwrap();
    /// Counts what is open whenever it is written to.
    struct Counter(Vec<u8>, usize);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = self.1.max(fs::read_dir("/proc/self/fd")?.count());
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(Vec::new(), 0);
    diff(File::open(&dir).unwrap(), &mut counter, &Options::default()).unwrap();
    let last = entries(&counter.0).pop().unwrap();
    assert_eq!((entries(&counter.0).len(), last.path.as_slice()), (701, &b"d/e"[..]));
    assert!(counter.1 < 400, "{} descriptors", counter.1);
}

#[test]
fn a_file_that_changes_while_it_is_read_keeps_the_archive_whole() {
    let scratch = Scratch::new();
    let dir = scratch.dir("fs");
    fs::write(dir.join("a"), vec![1; 2 << 20]).unwrap();
    fs::write(dir.join("b"), vec![2; 2 << 20]).unwrap();
    fs::write(dir.join("c"), "c").unwrap();
    fs::write(dir.join("d"), "d").unwrap();
    // The writer's first bytes arrive when the first file was read in part.
    struct Meddler<'a>(&'a Path, Vec<u8>);
    impl Write for Meddler<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1.is_empty() {
                File::options().write(true).open(self.0.join("a"))?.set_len(1000)?;
            }
            if self.1.len() > 3 << 20 && self.0.join("c").exists() {
                io::Write::write_all(&mut File::options().append(true).open(self.0.join("b"))?, &[3; 5000])?;
                fs::remove_file(self.0.join("c"))?;
            }
            self.1.extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut meddler = Meddler(&dir, Vec::new());
    let diffed = diff(File::open(&dir).unwrap(), &mut meddler, &Options::default()).unwrap();
    assert_eq!(diffed.torn, [b"a", b"b"]);
    let to = scratch.dir("to");
    apply(&meddler.1, &to, &[]).unwrap();
    let a = fs::read(to.join("a")).unwrap();
    assert_eq!((a.len(), a[0], a[(2 << 20) - 1]), (2 << 20, 1, 0));
    assert_eq!(fs::read(to.join("b")).unwrap(), vec![2; 2 << 20]);
    assert_eq!(names(&to), ["a", "b", "d"]);
}

#[test]
fn a_merged_tree_is_exported_as_it_looks() {
    let scratch = Scratch::new();
    let [one, two, merged] = ["one", "two", "merged"].map(|name| scratch.dir(name));
    let below = Archive::new().file("a/x", b"1").file("a/y", b"2").link('1', "h", "a/y").dir("gone", 0o755);
    let above = Archive::new().file("a/.wh.x", b"").file("a/new", b"").file(".wh.gone", b"");
    apply(&below.finish(), &one, &[]).unwrap();
    apply(&above.finish(), &two, &[&one]).unwrap();
    let options = std::ffi::CString::new(format!("lowerdir={}:{}", two.display(), one.display())).unwrap();
    let flags = rustix::mount::MountFlags::RDONLY;
    rustix::mount::mount("overlay", &merged, "overlay", flags, options.as_c_str()).unwrap();
    let mut archive = Vec::new();
    let exported = export(File::open(&merged).unwrap(), &mut archive, &Options::default());
    rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(exported.unwrap().size, 1);
    let entries = entries(&archive);
    let seen: Vec<_> = entries.iter().map(|entry| (lossy(&entry.path), entry.kind)).collect();
    use EntryKind::{Directory, File as Plain, HardLink};
    let expected = [("a/", Directory), ("a/new", Plain), ("a/y", Plain), ("h", HardLink)];
    assert_eq!(seen, expected.map(|(path, kind)| (path.into(), kind)));
}

/// Two independent readers.
#[test]
fn other_readers_see_the_same() {
    let scratch = Scratch::new();
    let [from, gnu, python] = ["from", "gnu", "python"].map(|name| scratch.dir(name));
    furnish(&from);
    // What a plain reader would take for files.
    fs::remove_file(from.join("etc/gone")).unwrap();
    rustix::fs::removexattr(from.join("opaque"), "trusted.overlay.opaque").unwrap();
    let (first, archive) = diffed(&from, &Options::default()).unwrap();
    fs::write(scratch.0.join("tar"), &archive).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let input = File::open(scratch.0.join("tar")).unwrap();
        let output = Command::new(program).args(arguments).stdin(input).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let attributes = ["--xattrs", "--xattrs-include=*", "--warning=no-unknown-keyword"];
    let to = gnu.to_str().unwrap();
    run("tar", &[&["-xpf", "-", "--numeric-owner", "-C", to], &attributes[..]].concat());
    assert_eq!(diffed(&gnu, &Options::default()).unwrap().0, first);

    // Newer ones would leave out what is dangerous in a stranger's archive.
    let script = "import sys, tarfile\n\
        tarfile.TarFile.extraction_filter = staticmethod(lambda member, path: member)\n\
        tarfile.open(fileobj=sys.stdin.buffer, mode='r:').extractall(sys.argv[1], numeric_owner=True)";
    run("python3", &["-c", script, python.to_str().unwrap()]);
    // It knows neither extended attributes nor fractions of seconds.
    assert_eq!(names(&python), names(&from));
    assert_eq!(fs::read(python.join("zz")).unwrap(), b"tool");
    assert_eq!(meta(python.join("zz")).uid(), 3_000_000);
    assert!(fs::read(python.join("sparse")).unwrap() == fs::read(from.join("sparse")).unwrap());
    assert_eq!(fs::read_link(python.join("etc/long")).unwrap().as_os_str().len(), 300);
}
