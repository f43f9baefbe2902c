//! Images to and from a registry: pull, push, login, and what they leave behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::registry::{Plain, Secure};
use e2e::{Archive, Outcome, Tare, Terminal, until};
use oci::Descriptor;
use oci::descriptor::media_type;
use registry::testing::{Fault, Server};
use serde_json::{Value, json};

/// A data root with busybox under a registry's name, pushed; returns what `push` said.
fn pushed(tare: &Tare, name: &str) -> String {
    tare.tare(["tag", "busybox", name]).ok();
    tare.tare(["push", name]).ok()
}

fn image(tare: &Tare, name: &str) -> Value {
    let text = tare.tare(["inspect", name]).ok();
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// Everything below a directory that a tree is, one line each.
fn tree(dir: &Path) -> String {
    let mut command = Command::new("find");
    let format = "%P %y %m %U %G %s %T@ %l\n";
    let text = Outcome::of(command.current_dir(dir).args([".", "-printf", format])).ok();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.contains(" d ")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn layers(tare: &Tare) -> Vec<PathBuf> {
    let snapshots = tare.root().join("snapshots");
    e2e::names(&snapshots).iter().map(|name| snapshots.join(name).join("fs")).collect()
}

fn blobs(registry: &Path) -> usize {
    let dir = registry.join("docker/registry/v2/blobs/sha256");
    e2e::names(&dir).iter().map(|start| e2e::names(&dir.join(start)).len()).sum()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_image_goes_to_a_registry_and_comes_back() {
    let registry = Plain::start();
    let (here, there) = (Tare::new(), Tare::empty());
    let name = format!("{}/team/box:v1", registry.address());
    let said = pushed(&here, &name);
    assert!(said.starts_with(&format!("The push refers to repository [{}/team/box]\n", registry.address())), "{said}");
    assert!(said.contains(": Pushed\n") && said.contains("\nv1: digest: sha256:"), "{said}");

    let said = there.tare(["pull", &name]).ok();
    for words in ["v1: Pulling from team/box\n", ": Pull complete\n", "Digest: sha256:", &format!("\n{name}\n")] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.contains(&format!("Status: Downloaded newer image for {name}\n")), "{said}");
    let (own, other) = (image(&here, &name), image(&there, &name));
    assert_eq!((&own["Id"], &own["RepoDigests"]), (&other["Id"], &other["RepoDigests"]));
    assert_eq!(tree(&layers(&here)[0]), tree(&layers(&there)[0]));
    there.tare(["run", "--rm", "--network=none", &name, "echo", "it runs"]).prints("it runs");

    let said = there.tare(["pull", &name]).ok();
    assert!(said.contains(": Already exists\n") && said.contains("Status: Image is up to date for"), "{said}");
    there.tare(["pull", "-q", &name]).prints(&name);

    // By digest, into an empty store: an image without a name that is found by its digest.
    let by_digest = own["RepoDigests"][0].as_str().unwrap().to_owned();
    let third = Tare::empty();
    third.tare(["pull", &by_digest]).ok();
    assert_eq!(image(&third, &by_digest)["Id"], own["Id"]);
    assert_eq!(image(&third, &by_digest)["RepoTags"], serde_json::json!([]));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_a_registry_has_is_not_sent_again() {
    let registry = Plain::start();
    let tare = Tare::new();
    let name = format!("{}/one:v1", registry.address());
    pushed(&tare, &name);
    let before = blobs(&registry.data_dir());
    let again = tare.tare(["push", &name]).ok();
    assert!(again.contains(": Layer already exists\n") && !again.contains(": Push"), "{again}");
    // The layer under another repository's name: taken from the first.
    let said = pushed(&tare, &format!("{}/two:v1", registry.address()));
    assert!(said.contains(": Mounted from") && !said.contains(": Pushed"), "{said}");
    assert_eq!(blobs(&registry.data_dir()), before);

    // All tags at once, and back.
    tare.tare(["tag", "busybox", &format!("{}/one:v2", registry.address())]).ok();
    let said = tare.tare(["push", "-a", &format!("{}/one", registry.address())]).ok();
    assert!(said.contains("\nv1: digest:") && said.contains("\nv2: digest:"), "{said}");
    let other = Tare::empty();
    other.tare(["pull", "-a", "-q", &format!("{}/one", registry.address())]).ok();
    assert_eq!(image(&other, &name)["RepoTags"].as_array().unwrap().len(), 2);
    let inspected = other.tare(["manifest", "inspect", &name]).ok();
    assert!(inspected.contains("\"schemaVersion\": 2"), "{inspected}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_registry_with_tls_and_a_password_lets_in_who_may_enter() {
    let registry = Secure::start();
    let tare = Tare::new();
    let settings = tare.file("config.toml", format!("[registry]\nca_dirs = [{:?}]\n", registry.certs_dir()));
    let docker = tare.dir("docker");
    let command = |arguments: &[&str]| {
        let mut command = tare.command(arguments);
        command.env("TARE_CONFIG", &settings).env("DOCKER_CONFIG", &docker);
        command
    };
    let name = format!("{}/box:v1", registry.address());
    tare.tare(["tag", "busybox", &name]).ok();
    Outcome::of(&mut command(&["push", &name])).fails(1, "log in");
    let login = ["login", "-u", registry.user(), "-p", "wrong", registry.address()];
    assert_ne!(Outcome::of(&mut command(&login)).code(), 0);
    let login = ["login", "-u", registry.user(), "-p", registry.password(), registry.address()];
    let outcome = Outcome::of(&mut command(&login));
    outcome.prints("Login Succeeded");
    assert!(outcome.stderr().contains("stored unencrypted in"), "{}", outcome.stderr());
    let file = fs::read_to_string(docker.join("config.json")).unwrap();
    assert!(file.contains(registry.address()), "{file}");
    Outcome::of(&mut command(&["push", &name])).ok();
    tare.tare(["rmi", &name]).ok();
    Outcome::of(&mut command(&["pull", &name])).ok();
    Outcome::of(&mut command(&["logout", registry.address()]))
        .prints(&format!("Removing login credentials for {}", registry.address()));
    Outcome::of(&mut command(&["push", &name])).fails(1, "log in");
    // Without the authority, the certificate is nobody's.
    let mut bare = tare.command(["pull", &name]);
    bare.env("TARE_CONFIG", tare.file("insecure.toml", "[registry]\nca_dirs = []\n")).env("DOCKER_CONFIG", &docker);
    assert_ne!(Outcome::of(&mut bare).code(), 0);
    let mut wrong = tare.command(["pull", &name]);
    wrong.env("TARE_CONFIG", tare.file("wrong.toml", "[registry]\nsecure = true\n"));
    Outcome::of(&mut wrong).fails(1, "unknown field `secure`");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_image_that_is_missing_is_pulled_when_it_is_used() {
    let registry = Plain::start();
    let name = format!("{}/box:v1", registry.address());
    pushed(&Tare::new(), &name);
    let tare = Tare::empty();
    let refused = tare.tare(["run", "--rm", "--network=none", "--pull=never", &name, "true"]);
    refused.fails(125, "no such image");
    let outcome = tare.tare(["run", "--rm", "--network=none", &name, "echo", "here"]);
    outcome.prints("here");
    let said = outcome.stderr();
    assert!(said.contains(&format!("Unable to find image '{name}' locally\n")), "{said}");
    let again = tare.tare(["run", "--rm", "--network=none", &name, "echo", "here"]);
    assert_eq!(again.stderr(), "");
    let always = tare.tare(["run", "--rm", "--network=none", "--pull=always", &name, "true"]);
    assert!(always.exits(0).stderr().contains("Image is up to date"));
    let none = format!("{}/none", registry.address());
    tare.tare(["create", &none]).fails(1, "/none:latest");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_corrupted_blob_is_refused_and_nothing_is_kept() {
    let registry = Plain::start();
    let name = format!("{}/box:v1", registry.address());
    let here = Tare::new();
    pushed(&here, &name);
    let manifest: Value = serde_json::from_str(&here.tare(["manifest", "inspect", &name]).ok()).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let blob = registry.data_dir().join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    let mut bytes = fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, &bytes).unwrap();
    let tare = Tare::empty();
    tare.tare(["pull", &name]).fails(1, &format!("blob \"{digest}\" arrived as"));
    tare.tare(["images", "-q"]).prints("");
    for dir in ["content/sha256", "content/partial", "snapshots"] {
        let left = e2e::names(&tare.root().join(dir));
        assert!(left.is_empty(), "{dir}: {left:?}");
    }
    bytes[middle] ^= 1;
    fs::write(&blob, &bytes).unwrap();
    tare.tare(["pull", &name]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_pull_that_was_killed_goes_on_where_it_was() {
    let server = Server::start();
    let content = noise(8 << 20);
    let (name, layer) = serve(&server, &Archive::new().file("big", &content).finish());
    let tare = Tare::empty();
    // The connection stands still in the middle, and the pull is killed there.
    server.fail("GET", &layer, Fault::Stall(3 << 20));
    let mut child = tare.command(["pull", &name]).stdout(Stdio::null()).spawn().unwrap();
    let partial = tare.root().join("content/partial");
    let size = |name: &String| fs::metadata(partial.join(name)).map_or(0, |metadata| metadata.len());
    let arrived = || partial.exists() && e2e::names(&partial).iter().any(|name| size(name) >= 3 << 20);
    until("a part has arrived", arrived);
    child.kill().unwrap();
    child.wait().unwrap();
    tare.tare(["images", "-q"]).prints("");
    tare.tare(["pull", &name]).ok();
    let ranges: Vec<_> =
        server.asked("GET", &layer).iter().map(|asked| asked.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some(format!("bytes={}-", 3 << 20))]);
    assert!(e2e::names(&partial).is_empty());
    assert_eq!(fs::read(layers(&tare)[0].join("big")).unwrap(), content);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_no_image_for_this_machine_is_refused_by_name() {
    let server = Server::start();
    let tare = Tare::empty();
    let schema_1 = json!({"schemaVersion": 1, "name": "old", "tag": "latest", "fsLayers": [], "history": []});
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    server.put_manifest("old", "latest", kind, schema_1.to_string().as_bytes());
    tare.tare(["pull", &format!("{}/old", server.host())]).fails(1, "is in Docker's schema 1");
    let config = server.put_blob("strange", br#"{"rootfs": {"type": "layers", "diff_ids": []}}"#);
    let config = Descriptor { media_type: media_type::OCI_CONFIG.into(), ..config };
    let layer = server.put_blob("strange", b"?");
    let layer = Descriptor { media_type: "application/x.squashfs".into(), ..layer };
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer]});
    server.put_manifest("strange", "latest", media_type::OCI_MANIFEST, manifest.to_string().as_bytes());
    let strange = tare.tare(["pull", &format!("{}/strange", server.host())]);
    strange.fails(1, "a layer of type \"application/x.squashfs\", which is not supported");

    let (name, _) = serve(&server, &Archive::new().file("a", b"1").finish());
    let plan9 = tare.tare(["pull", "--platform=plan9/mips", &name]);
    plan9.fails(1, "is for platform linux/amd64, and plan9/mips was asked for");
    let entry = json!({"mediaType": media_type::OCI_MANIFEST, "digest": config.digest, "size": 2,
        "platform": {"os": "plan9", "architecture": "mips"}});
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [entry]}).to_string();
    server.put_manifest("box", "foreign", media_type::OCI_INDEX, index.as_bytes());
    let name = format!("{}/box:foreign", server.host());
    tare.tare(["pull", &name]).fails(1, "there is one for plan9/mips");
    tare.tare(["pull", "host"]).fails(1, "built in");
    tare.tare(["push", "nobody/has:it"]).fails(1, "does not exist locally with the tag: nobody/has");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn two_pulls_at_once_fetch_once() {
    let server = Server::start();
    let content = noise(4 << 20);
    let (name, layer) = serve(&server, &Archive::new().file("big", &content).finish());
    let tare = Tare::empty();
    let children: Vec<_> = (0..4).map(|_| tare.command(["pull", "-q", &name]).stdout(Stdio::piped()).spawn()).collect();
    for child in children {
        assert_eq!(Outcome::of_child(child.unwrap()).ok(), format!("{name}\n"));
    }
    assert_eq!(server.asked("GET", &layer).len(), 1);
}

/// An image `box` of one layer; its name, and the path of the layer's blob.
pub(crate) fn serve(server: &Server, layer: &[u8]) -> (String, String) {
    let (name, mut paths) = serve_layers(server, &[layer]);
    (name, paths.remove(0))
}

/// An image `box` of several layers, bottom first, with the paths of their blobs.
pub(crate) fn serve_layers(server: &Server, layers: &[&[u8]]) -> (String, Vec<String>) {
    let diff_ids: Vec<String> = layers.iter().map(|layer| oci::Digest::of(layer).to_string()).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = server.put_blob("box", config.to_string().as_bytes());
    let config = Descriptor { media_type: media_type::OCI_CONFIG.into(), ..config };
    let layer =
        |layer: &&[u8]| Descriptor { media_type: media_type::OCI_LAYER.into(), ..server.put_blob("box", layer) };
    let layers: Vec<Descriptor> = layers.iter().map(layer).collect();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers});
    server.put_manifest("box", "latest", media_type::OCI_MANIFEST, manifest.to_string().as_bytes());
    let paths = layers.iter().map(|layer| format!("/blobs/{}", layer.digest)).collect();
    (format!("{}/box:latest", server.host()), paths)
}

/// Bytes that nothing makes smaller.
pub(crate) fn noise(size: u32) -> Vec<u8> {
    (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_terminal_shows_bars() {
    let server = Server::start();
    let content = noise(4 << 20);
    let (name, layer) = serve(&server, &Archive::new().file("big", &content).finish());
    server.fail("GET", &layer, Fault::Slow { piece: 1 << 20, pause: std::time::Duration::from_millis(150) });
    let tare = Tare::empty();
    let mut terminal = Terminal::start(&tare.command(["pull", &name]));
    terminal.expect("Downloading [");
    terminal.expect("Pull complete").expect("Status: Downloaded newer image");
    assert_eq!(terminal.exit_code(), 0);
    assert!(terminal.screen().contains("MB/4.2MB"), "{}", terminal.screen());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_a_pull_has_is_not_swept_away_meanwhile() {
    let server = Server::start();
    let (first, second) = (Archive::new().file("first", b"1").finish(), noise(6 << 20));
    let second = Archive::new().file("second", &second).finish();
    let (name, paths) = serve_layers(&server, &[&first, &second]);
    server.fail("GET", &paths[1], Fault::Slow { piece: 1 << 20, pause: std::time::Duration::from_millis(200) });
    let tare = Tare::new();
    let child = tare.command(["pull", "-q", &name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let digest = oci::Digest::of(&first);
    let blob = tare.root().join("content/sha256").join(digest.hex());
    until("the first layer has arrived", || blob.exists());
    // No image reaches it yet, and everybody who collects garbage now leaves it alone.
    tare.tare(["rmi", "busybox"]).ok();
    tare.tare(["system", "prune", "-a", "-f"]).ok();
    tare.tare(["system", "check", "--repair"]).ok();
    assert!(blob.exists(), "the pull needs it");
    Outcome::of_child(child).prints(&name);
    assert_eq!(server.asked("GET", &paths[1]).len(), 1, "nothing was fetched twice");
    // What was removed meanwhile goes with the next collection.
    tare.tare(["rmi", &name]).ok();
    tare.tare(["system", "check"]).ok();
    assert!(e2e::names(&tare.root().join("content/sha256")).is_empty());
}
