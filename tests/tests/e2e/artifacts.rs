//! What registries keep that is no image: pulled, listed, sent on, never run.

use std::fs;

use e2e::Tare;
use oci::Descriptor;
use oci::descriptor::media_type;
use registry::testing::Server;
use serde_json::{Value, json};

const KIND: &str = "application/vnd.example.chart";

/// An artifact `chart:v1`, as `oras` makes them; its name, and its manifest.
fn serve(server: &Server) -> (String, Vec<u8>) {
    let config = server.put_blob("chart", b"{}");
    let config = Descriptor { media_type: "application/vnd.oci.empty.v1+json".into(), ..config };
    let part = |bytes: &[u8]| Descriptor { media_type: "text/x-chart".into(), ..server.put_blob("chart", bytes) };
    let parts = [part(b"one part"), part(&[7; 100_000])];
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": KIND,
        "config": config, "layers": parts});
    let manifest = manifest.to_string().into_bytes();
    server.put_manifest("chart", "v1", media_type::OCI_MANIFEST, &manifest);
    (format!("{}/chart:v1", server.host()), manifest)
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_artifact_is_pulled_listed_sent_on_and_removed() {
    let (server, other) = (Server::start(), Server::start());
    let (name, manifest) = serve(&server);
    let tare = Tare::new();
    let blobs = || e2e::names(&tare.root().join("content/sha256"));
    let before = blobs();
    let said = tare.tare(["pull", &name]).ok();
    assert!(said.contains(": Pull complete\n") && said.contains("Status: Downloaded newer image"), "{said}");
    assert!(tare.tare(["pull", &name]).ok().contains("Status: Image is up to date"));

    let table = tare.tare(["images"]).ok();
    let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(line("REPOSITORY").ends_with("TYPE") && line("busybox").trim_end().ends_with("image"), "{table}");
    assert!(line(&server.host()).ends_with(KIND) && line(&server.host()).contains("100kB"), "{table}");
    let inspected: Value = serde_json::from_str(&tare.tare(["image", "inspect", &name]).ok()).unwrap();
    let digest = oci::Digest::of(&manifest).to_string();
    assert_eq!(inspected[0]["Id"], digest);
    assert_eq!(inspected[0]["Descriptor"]["artifactType"], KIND);
    let tree = tare.tare(["images", "--tree"]).ok();
    assert!(tree.contains(&format!("└─ {KIND}")), "{tree}");

    tare.tare(["run", "--rm", &name]).fails(125, &format!("no image but an artifact of type \"{KIND}\""));
    tare.tare(["save", "-o", &tare.file("docker.tar", ""), &name]).fails(1, "use --format oci");
    let archive = tare.dir("").join("oci.tar");
    tare.tare(["save", "--format=oci", "-o", archive.to_str().unwrap(), &name]).ok();
    let third = Tare::empty();
    third.tare(["load", "-i", archive.to_str().unwrap()]).says(&name);
    third.tare(["images", "-q", "--no-trunc"]).prints(&digest);

    // Sent on, it is the same to the byte.
    let there = format!("{}/charts:v2", other.host());
    tare.tare(["tag", &name, &there]).ok();
    tare.tare(["push", &there]).says(&format!("v2: digest: {digest}"));
    assert_eq!(other.manifest("charts", "v2").unwrap().0, manifest);
    tare.tare(["system", "check"]).ok();
    tare.tare(["rmi", &name, &there]).ok();
    assert_eq!(blobs().len(), before.len(), "{:?}", blobs());
    let blob = third.root().join("content/sha256").join(oci::Digest::of(b"one part").hex());
    fs::write(blob, "another part").unwrap();
    let broken = third.tare(["system", "check"]);
    assert!(broken.exits(1).stdout().contains("is broken: its blob"), "{broken}");
}
