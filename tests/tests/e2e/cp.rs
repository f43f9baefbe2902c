//! Files into containers and out of them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use e2e::{Archive, Tare};

/// What there is to copy on the host: `f`, `dir/a`, `dir/sub`, `lf -> f`, `ld -> dir`.
fn files(tare: &Tare) -> String {
    let dir = tare.dir("from");
    fs::create_dir_all(dir.join("dir/sub")).unwrap();
    fs::write(dir.join("f"), "hi\n").unwrap();
    fs::write(dir.join("dir/a"), "a\n").unwrap();
    symlink("f", dir.join("lf")).unwrap();
    symlink("dir", dir.join("ld")).unwrap();
    dir.to_str().unwrap().to_owned()
}

/// Every path below a directory of the host, sorted, links with where they lead.
fn tree(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, prefix: &str, into: &mut Vec<String>) {
        for name in e2e::names(dir) {
            let path = dir.join(&name);
            let link = fs::read_link(&path).map(|to| format!(" -> {}", to.display())).unwrap_or_default();
            into.push(format!("{prefix}{name}{link}"));
            if path.symlink_metadata().unwrap().is_dir() {
                walk(&path, &format!("{prefix}{name}/"), into);
            }
        }
    }
    let mut all = Vec::new();
    walk(dir, "", &mut all);
    all.sort();
    all
}

/// The names in an archive, in its order.
fn names_in(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Docker's table of destinations, tried against dockerd. `None`: refused.
const INTO: &[(&str, &str, Option<&[&str]>)] = &[
    // A file.
    ("f", "/w/new", Some(&["new"])),
    ("f", "/w/new/", None),
    ("f", "/w/old", Some(&["old"])),
    ("f", "/w/d", Some(&["d/f"])),
    ("f", "/w/d/", Some(&["d/f"])),
    ("f", "/w/to-d", Some(&["d/f"])),
    ("f", "w/d", Some(&["d/f"])),
    ("f", "/nosuch/x", None),
    ("f", "/w/old/x", None),
    // A directory.
    ("dir", "/w/new", Some(&["new/a", "new/sub"])),
    ("dir", "/w/new/", Some(&["new/a", "new/sub"])),
    ("dir", "/w/d", Some(&["d/dir/a", "d/dir/sub"])),
    ("dir/", "/w/d", Some(&["d/dir/a", "d/dir/sub"])),
    ("dir", "/w/old", None),
    ("dir", "/nosuch/x", None),
    // What is in it.
    ("dir/.", "/w/d", Some(&["d/a", "d/sub"])),
    ("dir/.", "/w/new", Some(&["new/a", "new/sub"])),
    ("dir/.", "/w/old", None),
    // Links.
    ("lf", "/w/d", Some(&["d/lf -> f"])),
    ("lf", "/w/new", Some(&["new -> f"])),
    ("ld", "/w/d", Some(&["d/ld -> dir"])),
    ("ld/", "/w/d", Some(&["d/ld/a", "d/ld/sub"])),
    ("ld/.", "/w/d", Some(&["d/a", "d/sub"])),
    ("-L ld", "/w/new", Some(&["new/a", "new/sub"])),
    ("-L lf", "/w/d", Some(&["d/lf"])),
    ("f", "/w/dangling", Some(&["nowhere"])),
    ("nosuch", "/w", None),
    ("f/", "/w", None),
];

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_destination_says_where_it_goes() {
    let tare = Tare::new();
    let from = files(&tare);
    // Everything before; what a copy makes is told from it.
    let before = ["d", "dangling -> nowhere", "old", "to-d -> d"];
    let script =
        "mkdir /w /w/d; echo old > /w/old; ln -s d /w/to-d; ln -s nowhere /w/dangling; echo ready; exec sleep 1000";
    tare.detached(&["--name=box"], script);
    tare.wait_for_log("box", "ready");
    let mut failed = Vec::new();
    for (source, destination, expected) in INTO {
        let (flag, source) = source.split_once(' ').map_or((None, *source), |(flag, source)| (Some(flag), source));
        let arguments = ["cp"].into_iter().chain(flag).map(str::to_owned);
        let arguments = arguments.chain([format!("{from}/{source}"), format!("box:{destination}")]);
        let outcome = tare.tare(arguments);
        let root = format!("/proc/{}/root", tare.pid("box"));
        let mut found = tree(&Path::new(&root).join("w"));
        found.retain(|path| !before.contains(&path.as_str()) || path == "old");
        let complete = |expected: &[&str]| {
            let all = expected.iter().chain(["old"].iter().filter(|old| !expected.contains(old)));
            all.clone().all(|path| found.iter().any(|found| found == path))
        };
        let right = match expected {
            None => outcome.code() == 1 && found == ["old"] && outcome.stderr().starts_with("tare: "),
            Some(expected) => outcome.code() == 0 && complete(expected),
        };
        if !right {
            failed.push(format!("{source} -> {destination}: {found:?}\n{outcome}"));
        }
        tare.tare([
            "exec",
            "box",
            "sh",
            "-c",
            "rm -rf /w/* && cd /w && mkdir d && echo old > old && ln -s d to-d && ln -s nowhere dangling",
        ])
        .ok();
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    tare.tare(["cp", &format!("{from}/f"), "box:"]).fails(1, "no path");
    tare.tare(["cp", &format!("{from}/f"), "box:/dev/null"]).fails(1, "device");
    tare.tare(["cp", &format!("{from}/f"), &from]).fails(1, "must be a container");
    tare.tare(["cp", "box:/w", "box:/x"]).fails(1, "between containers");
    tare.tare(["cp", "nobody:/w", &from]).fails(1, "no such container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn out_of_a_container_by_the_same_rules() {
    let tare = Tare::new();
    let to = tare.dir("to");
    let secret = tare.file("secret", "of the host");
    let script = format!(
        "mkdir -p /w/d; echo x > /w/x; echo y > /w/d/y; ln -s /w /wl; ln -s x /w/xl; ln -s {secret} /secret; echo ready; exec sleep 1000"
    );
    tare.detached(&["--name=box"], &script);
    tare.wait_for_log("box", "ready");
    let cp = |source: &str, name: &str| {
        tare.tare(["cp".into(), format!("box:{source}"), format!("{}/{name}", to.display())])
    };
    for running in [true, false] {
        cp("/w/x", "").ok();
        cp("/w", "new").ok();
        cp("/w/.", "d").ok();
        cp("w/x", "d/x2").ok();
        cp("/wl/", "").ok();
        cp("/wl", "link").ok();
        // A link out of the container leads nowhere but into it.
        cp("/secret", "secret").ok();
        let all = tree(&to);
        let expected = [
            "d",
            "d/d",
            "d/d/y",
            "d/x",
            "d/x2",
            "d/xl -> x",
            "link -> /w",
            "new",
            "new/d",
            "new/d/y",
            "new/x",
            "new/xl -> x",
            &format!("secret -> {secret}"),
            "wl",
            "wl/d",
            "wl/d/y",
            "wl/x",
            "wl/xl -> x",
            "x",
        ];
        assert_eq!(all, expected, "running: {running}");
        tare.tare(["cp", "-L", "box:/secret", to.join("secret2").to_str().unwrap()]).fails(1, "cannot find");
        cp("/w", "x").fails(1, "over");
        cp("/nosuch", "n").fails(1, "cannot find \"/nosuch\" in container box");
        cp("/w/x", "nosuch/x").fails(1, "cannot find");
        cp("/w/x", "nosuch/").fails(1, "no such directory");
        if running {
            cp("/proc/1/status", "status").fails(1, "shows the kernel");
            tare.tare(["stop", "-t0", "box"]).ok();
        }
        fs::remove_dir_all(&to).unwrap();
        fs::create_dir(&to).unwrap();
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn owners_modes_and_times_as_docker_has_them() {
    let tare = Tare::new();
    let from = files(&tare);
    let file = format!("{from}/f");
    chown(&file, Some(1234), Some(2345)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(&file).unwrap().set_modified(time).unwrap();
    let look = ["exec", "box", "stat", "-c", "%u:%g %a %Y", "/f"];
    for options in [&[][..], &["--userns=auto"]] {
        tare.detached(&[options, &["--name=box"]].concat(), "exec sleep 1000");
        // Into a container the numbers are kept, as its own user namespace counts.
        tare.tare(["cp", &file, "box:/"]).ok();
        tare.tare(look).prints("1234:2345 4751 1000000000");
        tare.tare(["exec", "box", "chown", "7:8", "/f"]).ok();
        // Out of it everything is the caller's, unless it is asked for.
        let out = tare.dir("out");
        tare.tare(["cp", "box:/f", out.to_str().unwrap()]).ok();
        let metadata = out.join("f").metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mtime()), (0, 0, 1_000_000_000));
        tare.tare(["cp", "-a", "box:/f", out.join("kept").to_str().unwrap()]).ok();
        let metadata = out.join("kept").metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (7, 8), "{options:?}");
        // And of one that does not run.
        tare.tare(["stop", "-t0", "box"]).ok();
        tare.tare(["cp", &file, "box:/g"]).ok();
        tare.tare(["cp", "-a", "box:/f", out.join("again").to_str().unwrap()]).ok();
        let metadata = out.join("again").metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (7, 8), "{options:?}");
        // A file of the image is the image's still.
        tare.tare(["cp", "-a", "box:/bin/busybox", out.join("image").to_str().unwrap()]).ok();
        assert_eq!(out.join("image").metadata().unwrap().uid(), 0, "{options:?}");
        tare.tare(["start", "box"]).ok();
        tare.tare(["exec", "box", "stat", "-c", "%u:%g %a", "/g", "/"]).prints("1234:2345 4751\n0:0 755");
        tare.tare(["rm", "-f", "box"]).ok();
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn volumes_and_binds_are_part_of_it_running_or_not() {
    let tare = Tare::new();
    let from = files(&tare);
    let bind = tare.dir("bind");
    fs::write(bind.join("inside"), "bound\n").unwrap();
    let single = tare.file("single", "old\n");
    let bind_option = format!("-v={}:/bound", bind.display());
    let read_only = format!("-v={}:/ro:ro", bind.display());
    let one = format!("-v={single}:/one");
    let options = ["--name=box", &bind_option, &read_only, &one, "-v=data:/data", "-v=data:/rodata:ro", "--tmpfs=/tmp"];
    let arguments = ["create", "--network=none"].iter().chain(&options).chain(&["busybox", "sleep", "1000"]);
    tare.tare(arguments).ok();
    for state in ["never started", "running", "stopped"] {
        if state == "running" {
            tare.tare(["start", "box"]).ok();
        } else if state == "stopped" {
            tare.tare(["stop", "-t0", "box"]).ok();
        }
        tare.tare(["cp", &format!("{from}/f"), &format!("box:/data/{}", state.replace(' ', "-"))]).ok();
        tare.tare(["cp", &format!("{from}/f"), "box:/bound/f"]).ok();
        assert_eq!(fs::read_to_string(bind.join("f")).unwrap(), "hi\n", "{state}");
        fs::remove_file(bind.join("f")).unwrap();
        // What is read-only stays as it is.
        for place in ["/ro/f", "/rodata/f"] {
            tare.tare(["cp", &format!("{from}/f"), &format!("box:{place}")]).fails(1, "read-only");
        }
        // A file that is mounted is written; it cannot be replaced.
        fs::write(&single, "old\n").unwrap();
        tare.tare(["cp", &format!("{from}/f"), "box:/one"]).ok();
        assert_eq!(fs::read_to_string(&single).unwrap(), "hi\n", "{state}");
        let archive = tare.tare(["cp", "box:/bound", "-"]);
        archive.ok();
        assert_eq!(names_in(archive.bytes()), ["bound/", "bound/inside"], "{state}");
    }
    tare.tare(["start", "box"]).ok();
    tare.tare(["exec", "box", "ls", "/data"]).prints("never-started\nrunning\nstopped");
    tare.tare(["cp", "box:/", "-"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_read_only_container_is_not_written_to() {
    let tare = Tare::new();
    let from = files(&tare);
    tare.tare(["create", "--name=box", "--network=none", "--read-only", "-v=data:/data", "busybox", "sleep", "1000"])
        .ok();
    for _ in ["before", "while it runs"] {
        tare.tare(["cp", &format!("{from}/f"), "box:/f"]).fails(1, "read-only");
        tare.tare(["cp", &format!("{from}/f"), "box:/data/f"]).ok();
        tare.tare(["cp", "box:/bin/busybox", &format!("{from}/busybox")]).ok();
        tare.tare(["start", "box"]).ok();
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn archives_go_through_standard_streams() {
    let tare = Tare::new();
    tare.detached(
        &["--name=box"],
        "mkdir -p /w/d; echo x > /w/x; ln /w/x /w/d/y; ln -s /w/d /to; echo ready; exec sleep 1000",
    );
    tare.wait_for_log("box", "ready");
    let list = |path: &str| {
        let outcome = tare.tare(["cp", &format!("box:{path}"), "-"]);
        outcome.ok();
        names_in(outcome.bytes())
    };
    assert_eq!(list("/w"), ["w/", "w/d/", "w/d/y", "w/x"]);
    assert_eq!(list("/w/."), ["./", "./d/", "./d/y", "./x"]);
    assert_eq!(list("/w/x"), ["x"]);
    assert_eq!(list("/to"), ["to"]);
    // Hard links stay links, and what is copied round comes out the same.
    let outcome = tare.tare(["cp", "box:/w", "-"]);
    tare.tare(["exec", "box", "mkdir", "/copy"]).ok();
    tare.tare_with_input(["cp", "-", "box:/copy"], outcome.bytes()).ok();
    tare.tare(["exec", "box", "stat", "-c", "%h", "/copy/w/x", "/copy/w/d/y"]).prints("2\n2");
    // A directory that is only implied may be a link, one that is said to be one may not.
    let archive = Archive::new().file("to/implied", b"1");
    tare.tare_with_input(["cp", "-", "box:/"], &archive.finish()).ok();
    tare.tare(["exec", "box", "cat", "/w/d/implied"]).prints("1");
    let archive = Archive::new().dir("to/").file("to/explicit", b"1");
    tare.tare_with_input(["cp", "-", "box:/"], &archive.finish()).fails(1, "cannot overwrite");
    for bad in ["../out", "a/../../out"] {
        let archive = Archive::new().file(bad, b"1");
        tare.tare_with_input(["cp", "-", "box:/w"], &archive.finish()).fails(1, "leads out");
    }
    tare.tare_with_input(["cp", "-", "box:/w/x"], b"").fails(1, "must be a directory");
    tare.tare_with_input(["cp", "-", "box:/w"], b"this is no archive").fails(1, "tar");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn links_that_change_meanwhile_lead_nowhere() {
    let tare = Tare::new();
    let outside = tare.dir("outside");
    let target = outside.display();
    // `/race/d` is a directory now and a link to the host's directory then, and so is a file.
    let script = format!(
        "mkdir -p /race/d {target}; echo ready; while :; do \
         rm -rf /race/d; ln -s {target} /race/d; rm -f /race/d; ln -s ../../../../../..{target} /race/d; rm -f /race/d; mkdir /race/d; \
         done"
    );
    tare.detached(&["--name=box"], &script);
    tare.wait_for_log("box", "ready");
    let from = tare.dir("from");
    fs::create_dir_all(from.join("d/e")).unwrap();
    for number in 0..20 {
        fs::write(from.join(format!("d/e/{number}")), "x").unwrap();
    }
    let into = tare.dir("into");
    fs::write(outside.join("secret"), "secret").unwrap();
    for round in 0..60 {
        // Whether one succeeds is chance.
        let source = if round % 2 == 0 { from.join("d") } else { from.join("d/.") };
        let destination = if round % 3 == 0 { "box:/race" } else { "box:/race/d" };
        tare.tare(["cp", source.to_str().unwrap(), destination]);
        tare.tare(["cp", "-L", "box:/race/d/.", into.to_str().unwrap()]);
        assert_eq!(e2e::names(&outside), ["secret"], "nothing was written outside");
        assert!(!into.join("secret").exists(), "nothing was read outside");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn devices_of_a_container_are_never_opened() {
    let tare = Tare::new();
    // A container may make a node of any device; to open it is forbidden to it, not to us.
    tare.detached(&["--name=box"], "mknod /disk b 7 200; mkfifo /pipe; echo ready; exec sleep 1000");
    tare.wait_for_log("box", "ready");
    let to = tare.dir("to");
    let from = tare.file("f", "x");
    let outcome = tare.tare(["cp", "box:/disk", "-"]);
    outcome.ok();
    assert_eq!(names_in(outcome.bytes()), ["disk"]);
    tare.tare(["cp", &from, "box:/disk"]).fails(1, "device");
    tare.tare(["cp", "box:/pipe", to.to_str().unwrap()]).ok();
    tare.tare(["cp", &from, "box:/pipe"]).ok();
    tare.tare(["exec", "box", "cat", "/pipe"]).prints("x");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_that_does_not_run_waits_for_the_copy() {
    let tare = Tare::new();
    tare.tare(["create", "--name=box", "--network=none", "busybox", "cat", "/f"]).ok();
    let from = tare.file("f", "x".repeat(1 << 20));
    // Copies and starts at the same time: each sees the container whole.
    let children: Vec<_> = (0..4)
        .flat_map(|_| {
            [vec!["cp".to_owned(), from.clone(), "box:/f".into()], vec!["start".to_owned(), "-a".into(), "box".into()]]
        })
        .map(|arguments| {
            tare.command(arguments)
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        if number % 2 == 0 {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    tare.tare(["cp", "box:/f", "-"]).ok();
}
