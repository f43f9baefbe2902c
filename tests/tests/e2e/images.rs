//! Images: import, load, list, name, remove.

use std::process::{Command, Stdio};

use e2e::{Archive, Tare};
use serde_json::{Value, json};

/// What `docker save` writes, with this many layers: the first has busybox, each has a file `/layers/NUMBER`.
pub(crate) fn docker_archive(layers: usize) -> Vec<u8> {
    let layers: Vec<Vec<u8>> = (0..layers).map(layer).collect();
    docker_archive_of(&layers)
}

/// What `docker save` writes of an image `deep` with these layers.
pub(crate) fn docker_archive_of(layers: &[Vec<u8>]) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let config = config(&layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>());
    let manifest = json!([{"Config": "config.json", "RepoTags": ["deep:latest"], "Layers": names}]);
    let archive = Archive::new().file("manifest.json", manifest.to_string().as_bytes());
    let archive = archive.file("config.json", config.to_string().as_bytes());
    names.iter().zip(layers).fold(archive, |archive, (name, layer)| archive.file(name, layer)).finish()
}

/// An OCI layout with one image of three layers, the second compressed; the third takes away what the second brought.
pub(crate) fn oci_archive() -> Vec<u8> {
    let layers = [layer(0), Archive::new().file("gone", b"x").file("kept", b"y").finish()];
    let removal = Archive::new().file(".wh.gone", b"").finish();
    let config = config(&[digest(&layers[0]), digest(&layers[1]), digest(&removal)]).to_string().into_bytes();
    let compressed = gzip(&layers[1]);
    let tar = "application/vnd.oci.image.layer.v1.tar";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [
            descriptor(tar, &layers[0]),
            descriptor(&format!("{tar}+gzip"), &compressed),
            descriptor(tar, &removal),
        ],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "laid-out:v1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    let archive = Archive::new().file("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#);
    let archive = archive.file("index.json", index.to_string().as_bytes()).dir("blobs/").dir("blobs/sha256/");
    let blobs = [&config, &layers[0], &compressed, &removal, &manifest];
    blobs
        .iter()
        .fold(archive, |archive, blob| archive.file(&digest(blob).replace("sha256:", "blobs/sha256/"), blob))
        .finish()
}

/// One of its layers; the lowest has busybox.
pub(crate) fn layer(number: usize) -> Vec<u8> {
    let archive = Archive::new().dir("layers/").file(&format!("layers/{number}"), number.to_string().as_bytes());
    if number > 0 {
        return archive.finish();
    }
    let busybox = std::fs::read("/bin/busybox").unwrap();
    archive.dir("bin/").program("bin/busybox", &busybox).link("bin/sh", "bin/busybox").finish()
}

fn config(diff_ids: &[String]) -> Value {
    config_for(if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, diff_ids)
}

pub(crate) fn config_for(architecture: &str, diff_ids: &[String]) -> Value {
    let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
    json!({"architecture": architecture, "os": "linux", "config": {"Cmd": ["sh"]}, "rootfs": rootfs})
}

pub(crate) fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()})
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// What a program makes of some bytes.
fn through(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut input, bytes).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    through("gzip", &["-nc"], bytes)
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_tar_is_imported_however_it_is_compressed() {
    let tare = Tare::empty();
    let plain = std::fs::read(e2e::fixture("busybox.tar")).unwrap();
    for (program, arguments) in
        [("cat", &[][..]), ("gzip", &["-nc"]), ("bzip2", &["-c"]), ("xz", &["-0c"]), ("zstd", &["-c"])]
    {
        if program == "zstd" && Command::new("zstd").arg("--version").output().is_err() {
            continue;
        }
        let file = tare.file(program, through(program, arguments, &plain));
        let id = tare.tare(["import", &file, program]).ok();
        assert!(id.trim().starts_with("sha256:") && id.trim().len() == 71, "{id}");
        tare.run([program, "echo", "hello"]).prints("hello");
        tare.tare_with_input(["import", "-", "from-stdin"], &std::fs::read(&file).unwrap()).ok();
        tare.run(["from-stdin", "echo", "hello"]).prints("hello");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_a_tar_says_is_what_the_root_has() {
    let tare = Tare::new();
    let script = "stat -c '%a %u:%g %n' /tmp /root /home/www-data /etc/passwd; readlink /usr/bin/awk; \
                  test /bin/sh -ef /bin/busybox && stat -c %Y /etc/passwd";
    let expected = "1777 0:0 /tmp\n700 0:0 /root\n755 0:0 /home/www-data\n644 0:0 /etc/passwd\n../../bin/busybox\n0";
    tare.sh(&[], script).prints(expected);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn images_are_listed() {
    let tare = Tare::new();
    let table = tare.tare(["images"]).ok();
    assert_eq!(words(table.lines().next().unwrap()), ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
    let line = words(table.lines().find(|line| line.starts_with("busybox")).unwrap());
    assert_eq!(line[1], "latest");
    assert!(line.last().unwrap().ends_with("MB"), "{table}");
    let id = tare.tare(["images", "-q", "busybox"]).ok();
    assert_eq!(id.trim().len(), 12);
    tare.run([id.trim(), "echo", "by id"]).prints("by id");
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn names_are_added_and_removed() {
    let tare = Tare::new();
    tare.tare(["tag", "busybox", "registry.example/team/box:v1"]).ok();
    tare.run(["registry.example/team/box:v1", "true"]).ok();
    let outcome = tare.tare(["rmi", "busybox"]);
    assert!(outcome.ok().starts_with("Untagged: busybox:latest"), "{outcome}");
    tare.run(["busybox", "true"]).fails(125, "busybox");
    let outcome = tare.tare(["rmi", "registry.example/team/box:v1"]);
    assert!(outcome.ok().contains("Deleted: sha256:"), "{outcome}");
    tare.tare(["images", "-q"]).prints("");
    tare.tare(["rmi", "busybox"]).fails(1, "busybox");
    tare.tare(["tag", "no-such-image", "x"]).fails(1, "no-such-image");
    // Nothing but bookkeeping stays of it.
    let blobs = e2e::names(&tare.root().join("content/sha256"));
    assert!(blobs.is_empty() && e2e::names(&tare.root().join("snapshots")).is_empty(), "{blobs:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_image_in_use_is_not_removed() {
    let tare = Tare::new();
    let id = tare.detached(&[], "exec sleep 1000");
    tare.tare(["rmi", "busybox"]).fails(1, &id[..12]);
    tare.run(["busybox", "true"]).ok();
    tare.tare(["rm", "-f", &id]).ok();
    tare.tare(["rmi", "busybox"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_docker_archive_is_loaded() {
    let tare = Tare::empty();
    let file = tare.file("saved.tar", docker_archive(3));
    tare.tare(["load", "-i", &file]).says("Loaded image: deep:latest");
    tare.run(["deep", "/bin/busybox", "ls", "/layers"]).prints("0\n1\n2");
    tare.tare_with_input(["load"], &gzip(&docker_archive(2))).says("Loaded image: deep:latest");
    tare.run(["deep", "/bin/busybox", "ls", "/layers"]).prints("0\n1");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_oci_layout_is_loaded() {
    let tare = Tare::empty();
    tare.tare(["load", "-i", &tare.file("layout.tar", oci_archive())]).says("laid-out:v1");
    tare.run(["laid-out:v1", "/bin/busybox", "ls", "/"]).says("kept");
    let listed = tare.run(["laid-out:v1", "/bin/busybox", "ls", "-A", "/"]).ok();
    assert!(!listed.contains("gone"), "{listed}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_layer_that_is_not_what_the_config_says_is_refused() {
    let tare = Tare::empty();
    let mut archive = oci_archive();
    let at = archive.windows(8).rposition(|window| window == b"layers/0").unwrap();
    // The header's own check sum still fits: only the content's digest tells.
    archive[at + 512] ^= 1;
    let outcome = tare.tare_with_input(["load"], &archive);
    assert!(outcome.code() == 1 && !outcome.stderr().contains("panicked"), "{outcome}");
    tare.tare(["images", "-q"]).prints("");
    assert_eq!(e2e::unfinished(&tare.root()), [""; 0]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn bad_archives_are_refused_and_leave_nothing() {
    let tare = Tare::empty();
    let whole = std::fs::read(e2e::fixture("busybox.tar")).unwrap();
    let compressed = gzip(&whole);
    let cases = [
        ("truncated tar", whole[..whole.len() / 2].to_vec()),
        ("truncated gzip", compressed[..compressed.len() / 2].to_vec()),
        ("not a tar", vec![b'x'; 10_000]),
        ("a broken header", [&whole[..100], &[0xff; 400], &whole[500..]].concat()),
    ];
    for (name, bytes) in cases {
        for command in [&["import", "-", "bad"][..], &["load"]] {
            let outcome = tare.tare_with_input(command, &bytes);
            assert_eq!(outcome.code(), 1, "{name}: {outcome}");
            assert!(!outcome.stderr().is_empty() && !outcome.stderr().contains("panicked"), "{name}: {outcome}");
        }
    }
    tare.tare(["import", "/no/such/file", "bad"]).fails(1, "/no/such/file");
    tare.tare(["import", &tare.file("ok", &whole), "Not A Name"]).fails(1, "Not A Name");
    tare.tare(["images", "-q"]).prints("");
    assert_eq!(e2e::unfinished(&tare.root()), [""; 0]);
    assert!(e2e::names(&tare.root().join("snapshots")).is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn images_are_filtered() {
    let tare = Tare::new();
    let file = tare.file("deep.tar", docker_archive(1));
    tare.tare(["load", "-q", "-i", &file]).ok();
    tare.tare(["tag", "busybox", "r.io/team/box:v1"]).ok();
    let names = |filters: &[&str]| -> Vec<String> {
        let arguments = ["images"].into_iter().chain(filters.iter().flat_map(|filter| ["--filter", filter]));
        let text = tare.tare(arguments).ok();
        let mut names: Vec<String> =
            text.lines().skip(1).map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(":")).collect();
        names.sort();
        names
    };
    assert_eq!(names(&[]), ["busybox:latest", "deep:latest", "r.io/team/box:v1"]);
    assert_eq!(names(&["reference=*b*x"]), ["busybox:latest"]);
    assert_eq!(names(&["reference=r.io/*/*:v?"]), ["r.io/team/box:v1"]);
    assert_eq!(names(&["before=busybox"]), [""; 0]);
    assert_eq!(names(&["dangling=true"]), [""; 0]);
    assert_eq!(names(&["label=none"]), [""; 0]);
    tare.tare(["tag", "busybox", "deep"]).ok();
    assert_eq!(names(&["dangling=true"]), ["<none>:<none>"]);
    tare.tare(["images", "--filter", "dangling=maybe"]).fails(1, "invalid filter \"dangling=maybe\"");
    let header = tare.tare(["images", "--digests"]).ok();
    assert!(header.lines().next().unwrap().contains("DIGEST"), "{header}");
}
