//! COPY and ADD of files.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use e2e::{Archive, Tare};

use super::Project;
use super::errors::FailsWith;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn files_keep_mode_and_time_and_become_roots() {
    let tare = Tare::new();
    let project = Project::new(&tare, "FROM busybox\nCOPY . /ctx/\n").with("a", "a").with("dir/b", "b");
    project.chmod("a", 0o4751);
    fs::set_permissions(project.path().join("dir"), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    std::os::unix::fs::chown(project.path().join("a"), Some(123), Some(456)).unwrap();
    project.chmod("a", 0o4751);
    symlink("../../etc/passwd", project.path().join("dir/link")).unwrap();
    fs::hard_link(project.path().join("a"), project.path().join("hard")).unwrap();
    let time = fs::File::options().write(true).open(project.path().join("dir/b")).unwrap();
    time.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    let image = project.image(&[]);
    assert_eq!(image.mode("/ctx/a"), "4751 0:0");
    assert_eq!(image.mode("/ctx/dir"), "711 0:0");
    assert_eq!(image.link("/ctx/dir/link"), "../../etc/passwd");
    assert_eq!(image.find("/ctx/dir/b").unwrap().1.mtime(), 1_000_000_000);
    assert_eq!(image.find("/ctx/a").unwrap().1.ino(), image.find("/ctx/hard").unwrap().1.ino());
    tare.tare(["system", "check"]).prints("everything is well");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn destinations_are_files_and_directories_as_docker_has_them() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nWORKDIR /w\nRUN ln -s /real /link && mkdir /real && echo old > /w/old && ln -s /elsewhere /w/l\n\
         COPY a /new/place\nCOPY a /new/dir/\nCOPY a rel/\nCOPY a b /many/\nCOPY dir /content\nCOPY dir /link/\n\
         COPY a /bin\nCOPY a /w/old\nCOPY --chown=7 --chmod=640 a /owned/file\nCOPY --chown=daemon:bin dir /named\n\
         COPY --chmod=u=rwX,go=rX dir /symbols\nCOPY a /w/l\n",
    )
    .with("a", "a")
    .with("b", "b")
    .with("dir/x", "x")
    .with("dir/sub/y", "y");
    project.chmod("dir/x", 0o700);
    let etc = Project::new(
        &tare,
        "FROM busybox\nRUN mkdir -p /etc && echo daemon:x:2:3::/: > /etc/passwd && echo bin:x:9: > /etc/group\n",
    );
    etc.image(&["-t", "named"]);
    project.write(
        "Dockerfile",
        fs::read_to_string(project.path().join("Dockerfile")).unwrap().replace("busybox", "named"),
    );
    let image = project.image(&[]);
    for path in ["/new/place", "/new/dir/a", "/w/rel/a", "/many/a", "/bin/a", "/w/old"] {
        assert_eq!(image.text(path), "a", "{path}");
    }
    assert_eq!(image.text("/content/sub/y"), "y");
    assert_eq!(image.text("/real/x"), "x", "links to directories are followed, inside");
    assert_eq!(image.text("/elsewhere"), "a", "and links to nowhere");
    assert_eq!((image.mode("/owned"), image.mode("/owned/file")), ("755 7:7".into(), "640 7:7".into()));
    assert_eq!((image.mode("/named"), image.mode("/named/sub/y")), ("755 2:9".into(), "644 2:9".into()));
    assert_eq!((image.mode("/symbols/x"), image.mode("/symbols/sub")), ("755 0:0".into(), "755 0:0".into()));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_copy_that_makes_no_sense_is_refused_in_words() {
    let tare = Tare::new();
    let build = |dockerfile: &str| {
        let project = Project::new(&tare, &format!("FROM busybox\n{dockerfile}\n"));
        project.with("a", "a").with("b", "b").with("dir/x", "x").build(&[])
    };
    build("COPY a b /file").fails_with("with more than one source it must be a directory");
    build("COPY * /none").fails_with("with more than one source it must be a directory");
    build("COPY dir /bin/ls").fails_with("it is no directory");
    build("COPY a /bin/ls/").fails_with("it is no directory");
    build("COPY missing /").fails_with("\"/missing\": not found");
    build("COPY --from=nowhere/none a /").fails_with("nowhere/none");
    build("COPY --chown=nobody-here a /").fails_with("unable to find user nobody-here");
    build("COPY --chmod=999 a /").fails_with("invalid chmod parameter");
    build("COPY [ab /").exits(1);
    build("ADD https://example.org/x /").fails_with("not supported yet");
    // A pattern that nothing matches copies nothing.
    assert!(!Project::new(&tare, "FROM busybox\nCOPY nothing* /x/\n").image(&[]).has("/x/nothing"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn patterns_excludes_and_parents() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nCOPY *.txt /t/\nCOPY d?r/[a-c].md /m/\nCOPY --exclude=*.md --exclude=sub dir /e/\n\
         COPY --parents dir/sub/y.txt a.txt /p/\nCOPY --parents ./dir/./sub/*.txt /q/\nCOPY --parents ./dir/**/*.txt /r/\n\
         COPY arr[[]0].txt /z/\n",
    )
    .with("a.txt", "a")
    .with("b.txt", "b")
    .with("c.md", "c")
    .with("arr[0].txt", "z")
    .with("dir/a.md", "a")
    .with("dir/z.md", "z")
    .with("dir/x.txt", "x")
    .with("dir/sub/y.txt", "y");
    let image = project.image(&[]);
    let has: Vec<&str> = [
        "/t/a.txt",
        "/t/b.txt",
        "/t/c.md",
        "/m/a.md",
        "/m/z.md",
        "/e/x.txt",
        "/e/a.md",
        "/e/sub",
        "/p/dir/sub/y.txt",
        "/p/a.txt",
        "/q/sub/y.txt",
        "/q/dir",
        "/r/dir/x.txt",
        "/r/dir/sub/y.txt",
        "/r/dir/a.md",
        "/z/arr[0].txt",
    ]
    .into_iter()
    .filter(|path| image.has(path))
    .collect();
    assert_eq!(
        has,
        [
            "/t/a.txt",
            "/t/b.txt",
            "/m/a.md",
            "/e/x.txt",
            "/p/dir/sub/y.txt",
            "/p/a.txt",
            "/q/sub/y.txt",
            "/r/dir/x.txt",
            "/r/dir/sub/y.txt",
            "/z/arr[0].txt",
        ]
    );
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn add_unpacks_archives_and_copy_does_not() {
    let tare = Tare::new();
    let tar =
        Archive::new().dir("d/").file("d/f", b"inside").symlink("d/l", "f").with_mode("d/s", 0o4755, b"").finish();
    let project = Project::new(
        &tare,
        "FROM busybox\nADD a.tar /added\nCOPY a.tar /copied/\nADD --unpack=false a.tar /whole/\nADD a.tar.gz /gz/\n\
         ADD plain.gz /plain/\nADD --chown=5:6 a.tar /owned/\nADD dir /dir/\n",
    )
    .with("a.tar", &tar)
    .with("a.tar.gz", gzip(&tar))
    .with("plain.gz", gzip(b"only text"))
    .with("dir/x", "x");
    let image = project.image(&[]);
    assert_eq!(image.text("/added/d/f"), "inside");
    assert_eq!((image.link("/added/d/l"), image.mode("/added/d/s")), ("f".into(), "4755 0:0".into()));
    assert_eq!(image.text("/gz/d/f"), "inside");
    assert_eq!(image.mode("/owned/d/f"), "644 5:6");
    assert!(image.has("/copied/a.tar") && image.has("/whole/a.tar") && image.has("/plain/plain.gz"));
    assert_eq!(image.text("/dir/x"), "x");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_linked_copy_looks_at_nothing_below() {
    let tare = Tare::new();
    Project::new(&tare, "FROM busybox\nRUN ln -s /etc /conf\n").image(&["-t", "linked"]);
    let plain = Project::new(&tare, "FROM linked\nCOPY a /conf/a\n").with("a", "a").image(&[]);
    assert_eq!(plain.text("/etc/a"), "a");
    let link = Project::new(&tare, "FROM linked\nCOPY --link a /conf/a\n").with("a", "a").image(&[]);
    assert!(!link.has("/etc/a") && link.text("/conf/a") == "a");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn scratch_holds_what_was_copied() {
    let tare = Tare::new();
    let dockerfile = "FROM busybox AS b\nFROM scratch\nCOPY --from=b /bin/busybox /bin/sh\nCOPY --from=b /bin/busybox /bin/cat\n\
                      COPY f /f\nRUN echo more >> /f\nENTRYPOINT [\"/bin/cat\", \"/f\"]\n";
    let project = Project::new(&tare, dockerfile).with("f", "text\n");
    let image = project.image(&["-t", "tiny"]);
    assert_eq!(image.layers(), 4);
    assert!(!image.has("/etc") && !image.has("/proc") && Path::new("/proc").exists());
    tare.run(["tiny"]).prints("text\nmore");
    let empty = Project::new(&tare, "FROM scratch\nENV A=b\n").image(&[]);
    assert_eq!((empty.layers(), empty.config("Env")), (0, &serde_json::json!(["A=b"])));
}
