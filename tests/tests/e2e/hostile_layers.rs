//! Layers that no honest tool makes. Each is refused in words, or taken apart inside its own root; in both cases nothing
//! outside changes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Archive, EntryType, Outcome, Tare};

use crate::images::{docker_archive_of, gzip, layer};

const UP: &str = "../../../../../../../../../../../../";

/// A tare, and a directory that layers try to reach.
struct Target {
    tare: Tare,
    victim: PathBuf,
    before: Vec<Seen>,
}

/// What a file looks like from outside; no change to it goes without a new time of change.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    mode: u32,
    links: u64,
    changed: (i64, i64),
}

impl Target {
    fn new() -> Self {
        let tare = Tare::empty();
        let victim = tare.dir("victim");
        fs::create_dir(victim.join("dir")).unwrap();
        fs::write(victim.join("file"), "precious").unwrap();
        fs::write(victim.join("dir/inner"), "precious").unwrap();
        let before = look(&victim);
        Self { tare, victim, before }
    }

    fn path(&self) -> &str {
        self.victim.to_str().unwrap()
    }

    /// Imports an archive; whatever comes of it, outside nothing may have changed.
    fn import(&self, archive: &[u8]) -> Outcome {
        let outcome = self.tare.tare_with_input(["import", "-", "hostile"], archive);
        self.check(outcome)
    }

    fn load(&self, layers: &[Vec<u8>]) -> Outcome {
        let outcome = self.tare.tare_with_input(["load"], &docker_archive_of(layers));
        self.check(outcome)
    }

    fn check(&self, outcome: Outcome) -> Outcome {
        assert!(matches!(outcome.code(), 0 | 1), "{outcome}");
        let said = outcome.stderr();
        assert!(!said.contains("panicked") && !said.trim_end().contains(|c: char| c.is_control()), "{outcome}");
        assert_eq!(look(&self.victim), self.before, "{outcome}");
        let mut beside = e2e::names(self.tare.root().parent().unwrap());
        beside.retain(|name| !["root", "run", "files"].contains(&name.as_str()));
        assert_eq!(beside, [""; 0], "{outcome}");
        outcome
    }

    fn refuses(&self, archive: &[u8], words: &str) {
        self.import(archive).fails(1, words);
        self.is_empty();
    }

    /// Nothing of what was refused is left.
    fn is_empty(&self) {
        self.tare.tare(["images", "-q"]).prints("");
        assert_eq!(e2e::unfinished(&self.tare.root()), [""; 0]);
        assert_eq!(e2e::names(&self.tare.root().join("snapshots")), [""; 0]);
    }

    /// What a script prints in a container of the image that was imported upon busybox, or loaded.
    fn prints(&self, image: &str, script: &str, expected: &str) {
        self.tare.run([image, "/bin/busybox", "sh", "-c", script]).prints(expected);
    }
}

fn look(dir: &Path) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let changed = (found.ctime(), found.ctime_nsec());
        seen.push(Seen { path, mode: found.mode(), links: found.nlink(), changed });
    }
    seen.sort_by(|a, b| a.path.cmp(&b.path));
    seen
}

/// Busybox below what a test adds.
fn with_busybox() -> Archive {
    let busybox = fs::read("/bin/busybox").unwrap();
    Archive::new().dir("bin/").program("bin/busybox", &busybox)
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn names_that_climb_are_refused() {
    let target = Target::new();
    let path = target.path();
    for archive in [
        Archive::new().file("../x", b""),
        Archive::new().file(&format!("{UP}{path}/new"), b""),
        Archive::new().file(&format!("a/b/../../../{path}/new"), b""),
        Archive::new().file(&format!("/..{path}/new"), b""),
        Archive::new().dir(".."),
        Archive::new().symlink("..", "/"),
        Archive::new().link("x", &format!("{UP}{path}/file")),
        Archive::new().pax(&[("path", format!("{UP}{path}/new").as_bytes())]).file("harmless", b""),
        Archive::new().pax(&[("linkpath", format!("{UP}{path}/file").as_bytes())]).link("x", "harmless"),
        Archive::new().pax(&[("GNU.sparse.name", b"../x")]).file("harmless", b""),
        Archive::new().file(".wh...", b""),
        Archive::new().file("../.wh.victim", b""),
        Archive::new().file(&format!("{UP}{path}/.wh.file"), b""),
        Archive::new().file(&format!("{UP}{path}/.wh..wh..opq"), b""),
    ] {
        let outcome = target.import(&archive.finish());
        assert_eq!(outcome.code(), 1, "{outcome}");
        assert!(
            outcome.stderr().contains("leads out of the layer") || outcome.stderr().contains("whiteout"),
            "{outcome}"
        );
        target.is_empty();
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn links_lead_where_the_image_is_the_whole_world() {
    let target = Target::new();
    let path = target.path();
    let up = format!("{UP}{}", &path[1..]);
    let archive = with_busybox()
        .symlink("abs", path)
        .symlink("rel", &up)
        .dir("inside/")
        .symlink("to-inside", "/inside")
        .file("to-inside/landed", b"here")
        .symlink("up", "../../..")
        .file("up/landed", b"here")
        .symlink("replaced", &format!("{path}/file"))
        .file("replaced", b"ours")
        .symlink("linked", &format!("{path}/file"))
        .link("hard", "linked")
        .dir("turned/")
        .file("turned/x", b"")
        .symlink("turned", path)
        .file(&format!("{path}/file"), b"ours");
    target.import(&archive.finish()).ok();
    let script =
        format!("cat /inside/landed /landed /replaced {path}/file; readlink /hard; readlink /turned; ls {path}");
    target.prints("hostile", &script, &format!("herehereoursours{path}/file\n{path}\nfile"));

    let fresh = Target::new();
    for (archive, words) in [
        (Archive::new().symlink("l", path).file("l/new", b""), "below \"l\", which is no directory"),
        (Archive::new().symlink("l", &up).file("l/file", b"evil"), "below \"l\", which is no directory"),
        (Archive::new().symlink("l", path).file("l/.wh.file", b""), "below \"l\", which is no directory"),
        (Archive::new().symlink("l", path).dir("l/dir/"), "below \"l\", which is no directory"),
        (Archive::new().symlink("l", path).file("l/dir/.wh..wh..opq", b""), "below \"l\", which is no directory"),
        (Archive::new().symlink("l", path).link("x", "l/file"), "the target does not exist"),
        (Archive::new().symlink("a", "b").symlink("b", "a").file("a/x", b""), "which is no directory"),
        (Archive::new().symlink("a", "a").link("x", "a/y"), "the target does not exist"),
        (Archive::new().file("f", b"").file("f/x", b""), "which is no directory"),
        (Archive::new().link("x", "/etc/passwd"), "the target does not exist"),
        (Archive::new().dir("d/").link("x", "d"), "the target is a directory"),
    ] {
        fresh.refuses(&archive.finish(), words);
    }
    assert_eq!(look(&target.victim), target.before);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn one_layer_does_not_lead_another_out() {
    let target = Target::new();
    let path = target.path();
    let below = Archive::new()
        .symlink("dir", path)
        .symlink("file", &format!("{path}/file"))
        .symlink("whited", path)
        .symlink("opaque", path)
        .file("to-link", b"lower");
    let above = Archive::new()
        .file("dir/new", b"new")
        .file("file", b"ours")
        .file("whited/.wh.file", b"")
        .file("opaque/.wh..wh..opq", b"")
        .link("copy", "to-link")
        .link("link-to-link", "file");
    target.load(&[layer(0), below.finish(), above.finish()]).ok();
    let script = "ls /dir; cat /file /copy /to-link; test -L /dir || echo dir; readlink /whited || echo dir";
    target.prints("deep", script, "new\nourslowerlowerdir\ndir");

    // Links into a lower layer do not follow its links either.
    let below = Archive::new().symlink("dir", path);
    let above = Archive::new().link("stolen", "dir/file");
    target.load(&[layer(0), below.finish(), above.finish()]).fails(1, "does not exist");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn devices_and_set_id_programs_stay_inside() {
    let target = Target::new();
    // The first disk and the memory of the machine, open to everybody.
    let archive = with_busybox()
        .with_mode("evil", 0o6777, &fs::read("/bin/busybox").unwrap())
        .device("disk", EntryType::Block, 254, 0)
        .device("mem", EntryType::Char, 1, 1)
        .device("whiteout", EntryType::Char, 0, 0)
        .device("pipe", EntryType::Fifo, 0, 0);
    target.import(&archive.finish()).ok();
    let script = "test -b /disk && test -c /mem && stat -c %a /evil; ls -d /whiteout; cat /disk; cat /mem";
    let outcome = target.tare.run(["hostile", "/bin/busybox", "sh", "-c", script]);
    assert_eq!(outcome.stdout(), "6777\n");
    for words in ["/whiteout: No such file", "can't open '/disk': Operation not", "can't open '/mem': Operation not"] {
        assert!(outcome.stderr().contains(words), "{words}: {outcome}");
    }
    // Nobody but root gets as far as the program, or the devices, on the host.
    let name = |path: &Path| path.join("fs/evil");
    let snapshots = target.tare.root().join("snapshots");
    let evil = fs::read_dir(snapshots).unwrap().map(|entry| name(&entry.unwrap().path())).find(|path| path.exists());
    let evil = evil.expect("the program is in a snapshot");
    assert_eq!(fs::metadata(&evil).unwrap().permissions().mode() & 0o7777, 0o6777);
    let attempt = Command::new(&evil).uid(65534).gid(65534).output();
    assert_eq!(attempt.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn attributes_of_the_overlay_are_not_the_images_to_set() {
    let target = Target::new();
    let redirect: (&str, &[u8]) = ("SCHILY.xattr.trusted.overlay.redirect", b"/victim");
    let opaque: (&str, &[u8]) = ("SCHILY.xattr.trusted.overlay.opaque", b"y");
    let metacopy: (&str, &[u8]) = ("SCHILY.xattr.trusted.overlay.metacopy", b"");
    let below = Archive::new().dir("victim/").file("victim/secret", b"").dir("d/").file("d/kept", b"");
    let above = Archive::new().pax(&[redirect]).dir("new/").pax(&[opaque]).dir("d/");
    let above = above.pax(&[metacopy, redirect]).file("file", b"own content");
    target.load(&[layer(0), below.finish(), above.finish()]).ok();
    target.prints("deep", "ls /new /d; cat /file", "/d:\nkept\n\n/new:\nown content");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn claims_are_checked_before_they_are_believed() {
    let target = Target::new();
    let whole = Archive::new().file("a", &[7; 3000]).finish();
    let long = vec![b'x'; 2 << 20];
    let holes: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"9000000000000000"), ("GNU.sparse.map", b"0,1")];
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Archive::new().claiming("huge", 1 << 62).finish(), "more than"),
        (Archive::new().claiming("gone", 4096).finish(), "ends in the middle"),
        (whole[..2000].to_vec(), "ends in the middle"),
        (gzip(&whole)[..40].to_vec(), "cut off"),
        ([&gzip(&whole)[..], b"trailing garbage"].concat(), "gzip"),
        (Archive::new().pax(&[("size", b"-5")]).file("x", b"").finish(), "size"),
        (Archive::new().pax(&[("size", b"99999999999999999999999")]).file("x", b"").finish(), "size"),
        (Archive::new().pax(&[("uid", b"-1")]).file("x", b"").finish(), "uid"),
        (Archive::new().pax(&[("uid", b"4294967295")]).file("x", b"").finish(), "owner"),
        (Archive::new().pax(&[("mtime", b"NaN")]).file("x", b"").finish(), "mtime"),
        (Archive::new().pax(&[("path", b"a\0b")]).file("x", b"").finish(), "NUL"),
        (Archive::new().pax(&[("path", &long)]).file("x", b"").finish(), "more than 1048576 bytes"),
        (Archive::new().pax(&[("SCHILY.xattr.user.x", &long)]).file("x", b"").finish(), "more than 1048576 bytes"),
        (Archive::new().pax(&holes).file("x", b"1").finish(), "more than"),
        (Archive::new().pax(&[("path", b"alone")]).finish(), "not there"),
        (Archive::new().pax(&[("path", &[b'n'; 256])]).file("x", b"").finish(), "too long"),
        (Archive::new().pax(&[("path", &b"d/".repeat(2500))]).file("x", b"").finish(), "too long"),
        (Archive::new().pax(&[("path", b"\x1b[31m/../../x")]).file("x", b"").finish(), "leads out"),
    ];
    for (archive, words) in cases {
        target.refuses(&archive, words);
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn bombs_do_not_go_off() {
    let target = Target::new();
    // A thousandth of what it expands to, after the end of the archive: it would be read for its digest alone.
    let zeros = gzip(&vec![0; 64 << 20]);
    let bomb = [gzip(&Archive::new().file("x", b"").finish()), zeros.repeat(40)].concat();
    assert!(bomb.len() < 4 << 20);
    target.refuses(&bomb, "times its size");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn much_and_odd_is_not_too_much() {
    let target = Target::new();
    let deep = vec!["d"; 500].join("/");
    let long = "n".repeat(255);
    let mut archive = with_busybox()
        .pax(&[("path", format!("{deep}/bottom").as_bytes())])
        .file("x", b"deep")
        .pax(&[("path", format!("long/{long}").as_bytes())])
        .file("x", b"long")
        .pax(&[("path", b"odd/caf\xe9\x1b[31m\n")])
        .file("x", b"odd")
        .pax(&[("mtime", b"-1.5"), ("uid", b"4294967294"), ("no.such.key", b"x"), ("comment", b"\0\n=")])
        .file("old", b"")
        .file("twice", b"first")
        .file("twice", b"second")
        .dir("many/");
    for number in 0..100_000 {
        archive = archive.file(&format!("many/{number}"), b"");
    }
    target.import(&archive.finish()).ok();
    let script = format!(
        "cat /{deep}/bottom /long/{long} /odd/*; echo; cat /twice; echo; ls /many | wc -l; stat -c '%u %Y' /old; ls -d /odd/* | wc -l"
    );
    target.prints("hostile", &script, "deeplongodd\nsecond\n100000\n4294967294 -2\n1");
    let snapshots = target.tare.root().join("snapshots");
    let odd =
        fs::read_dir(snapshots).unwrap().find_map(|entry| fs::read_dir(entry.unwrap().path().join("fs/odd")).ok());
    let name: OsString = odd.unwrap().next().unwrap().unwrap().file_name();
    assert_eq!(name.as_encoded_bytes(), b"caf\xe9\x1b[31m\n");
}
