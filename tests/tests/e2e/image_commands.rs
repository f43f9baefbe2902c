//! Looking at images: `inspect`, `history`, `images` with their formats, and platforms.

use e2e::{Archive, Tare};
use serde_json::{Value, json};

use crate::images::{config_for, descriptor, digest, docker_archive, layer};

const ENTRYPOINT: &str = "ENTRYPOINT [\"/bin/echo\", \"a b\"]";

/// A data root with an image `tool` that says a lot about itself.
fn with_tool() -> Tare {
    let tare = Tare::new();
    let changes = [ENTRYPOINT, "LABEL com.example.kind=tool", "EXPOSE 80", "VOLUME /data", "USER 1000", "STOPSIGNAL 9"];
    let file = e2e::fixture("busybox.tar");
    let changes = changes.iter().flat_map(|change| ["--change", change]);
    tare.tare(["import", "--message", "by hand"].into_iter().chain(changes).chain([&file[..], "tool:v1"])).ok();
    tare
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn image_inspect_has_dockers_fields() {
    let tare = with_tool();
    let text = tare.tare(["image", "inspect", "tool:v1", "busybox"]).ok();
    let images: Value = serde_json::from_str(&text).unwrap();
    let tool = &images[0];
    for field in [
        "Id",
        "RepoTags",
        "RepoDigests",
        "Parent",
        "Comment",
        "Created",
        "DockerVersion",
        "Author",
        "Config",
        "Architecture",
        "Os",
        "Size",
        "GraphDriver",
        "RootFS",
        "Metadata",
    ] {
        assert!(!tool[field].is_null(), "{field}: {text}");
    }
    assert_eq!((&tool["RepoTags"], &tool["RepoDigests"]), (&json!(["tool:v1"]), &json!([])));
    assert_eq!(tool["Config"]["Entrypoint"], json!(["/bin/echo", "a b"]));
    assert_eq!(tool["Config"]["ExposedPorts"], json!({"80/tcp": {}}));
    assert_eq!((&tool["Config"]["Cmd"], &tool["Config"]["OnBuild"]), (&Value::Null, &Value::Null));
    assert_eq!(tool["RootFS"]["Type"], "layers");
    let layer = tool["RootFS"]["Layers"][0].as_str().unwrap();
    let upper = tool["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap();
    assert!(layer.starts_with("sha256:") && std::fs::exists(format!("{upper}/bin/busybox")).unwrap(), "{text}");
    assert_eq!(tool["GraphDriver"]["Name"], "overlay2");
    let tagged =
        |name: &str| tare.tare(["image", "inspect", "-f", "{{.Metadata.LastTagTime}}", name]).ok().trim().to_owned();
    let first = tagged("tool:v1");
    assert!(first.starts_with("20"), "{first}");
    tare.tare(["tag", "tool:v1", "tool:v2"]).ok();
    assert!(tagged("tool:v1") > first);

    let inspect = |format: &str, name: &str| tare.tare(["image", "inspect", "--format", format, name]);
    inspect("{{.Config.Entrypoint}}", "tool:v1").prints("[/bin/echo a b]");
    inspect("{{.Config.Entrypoint}} {{json .Config.Entrypoint}} {{.Config.Cmd}}", "busybox").prints("[] null [sh]");
    inspect("{{.Config.Volumes}} {{.Config.Labels}}", "busybox").prints("map[] map[]");
    inspect("{{.Config.Volumes}} {{.Config.Labels}}", "tool:v1").prints("map[/data:map[]] map[com.example.kind:tool]");
    inspect("{{.RepoTags}} {{.Os}}/{{.Architecture}}", "tool:v1").says("[tool:v1 tool:v2] linux/");
    inspect("{{range .RootFS.Layers}}{{println .}}{{end}}", "busybox").says("sha256:");

    // It knows images alone, and says what is not here while it shows what is.
    tare.tare(["create", "--name=box", "--network=none", "busybox"]).ok();
    tare.tare(["image", "inspect", "box"]).fails(1, "no such image: \"box\"");
    let some = tare.tare(["image", "inspect", "-f", "{{.Os}}", "none", "busybox"]);
    assert_eq!((some.code(), &some.stdout()[..]), (1, "linux\n"), "{some}");
    tare.tare(["image", "inspect", "--platform=linux/s390x", "busybox"]).fails(1, "not here for platform linux/s390x");
    tare.tare(["rm", "box"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn lists_of_images_fill_templates_in() {
    let tare = with_tool();
    tare.tare(["images", "--format", "table {{.Repository}}\t{{.Tag}}", "tool"])
        .prints("REPOSITORY   TAG\ntool         v1");
    let line = tare.tare(["images", "--format=json", "busybox"]).ok();
    let json: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&json["Repository"], &json["Digest"], &json["Containers"]),
        (&json!("busybox"), &json!("<none>"), &json!("N/A"))
    );
    let at = json["CreatedAt"].as_str().unwrap().split(' ').map(str::len).collect::<Vec<_>>();
    assert_eq!(at[..3], [10, 8, 5], "{line}");

    let history = |arguments: &[&str]| tare.tare(["history"].iter().chain(arguments));
    history(&["--format", "{{.ID}} {{.Comment}}", "tool:v1"]).says("by hand");
    let first = history(&["--no-trunc", "--format=json", "tool:v1"]).ok();
    let json: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert!(json["ID"].as_str().unwrap().starts_with("sha256:") && json["CreatedSince"].is_string(), "{first}");
    let table = history(&["--format=table {{.CreatedBy}}\t{{.Size}}", "tool:v1"]).ok();
    assert!(table.starts_with("CREATED BY") && table.contains("MB"), "{table}");
    assert!(history(&["-H=false", "tool:v1"]).ok().starts_with("IMAGE          CREATED AT"));
    history(&["--platform=plan9/mips", "tool:v1"]).fails(1, "not here for platform plan9/mips");

    let tree = tare.tare(["images", "--tree"]).ok();
    let words: Vec<Vec<&str>> = tree.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "IN", "USE"]);
    assert_eq!(words.len(), 5, "{tree}");
    let at = words.iter().position(|line| line[0] == "tool:v1").unwrap();
    assert_eq!((words[at + 1][0], words[at + 1][1].starts_with("linux/")), ("└─", true), "{tree}");
    assert!(!tree.contains('✔'), "{tree}");
    tare.tare(["create", "--name=box", "--network=none", "tool:v1"]).ok();
    assert_eq!(tare.tare(["images", "--tree", "tool"]).ok().matches('✔').count(), 2);
    assert_ne!(tare.tare(["images", "--tree", "-q"]).code(), 0);
    tare.tare(["rm", "box"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn every_filter_of_images() {
    let tare = Tare::empty();
    // Made at known times; the last does not say when.
    for (name, created, label) in
        [("a:1", "2024-01-01", "x"), ("b:1", "2024-01-02", "y"), ("c:1", "2024-01-03", "x"), ("d:1", "", "")]
    {
        let mut config = config_for("amd64", &[digest(&layer(1))]);
        if !created.is_empty() {
            config["created"] = json!(format!("{created}T00:00:00Z"));
            config["config"]["Labels"] = json!({"kind": label});
        }
        let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).to_string();
        let archive = Archive::new().file("manifest.json", manifest.as_bytes()).file("layer.tar", &layer(1));
        tare.tare_with_input(["load"], &archive.file("config.json", config.to_string().as_bytes()).finish()).ok();
    }
    let names = |arguments: &[&str]| {
        let text = tare.tare(["images", "--format={{.Repository}}"].iter().chain(arguments)).ok();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (arguments, expected) in [
        (&["-f", "before=c:1"][..], "b a"),
        (&["-f", "since=a:1"], "c b"),
        (&["-f", "before=c:1", "-f", "since=a:1"], "b"),
        (&["-f", "before=c:1", "-f", "before=b:1"], "a"),
        (&["-f", "until=2024-01-02T12:00:00Z"], "b a"),
        (&["-f", "label=kind"], "c b a"),
        (&["-f", "label=kind=x"], "c a"),
        (&["-f", "label=kind=x", "-f", "before=c:1"], "a"),
        (&["-f", "label!=kind=x"], "b d"),
        (&["-f", "reference=[ab]"], "b a"),
        (&["-f", "reference=a", "-f", "reference=d:?"], "a d"),
        (&["[c-d]:1"], "c d"),
        (&["-f", "dangling=false"], "c b a d"),
        (&["-f", "dangling=true"], ""),
    ] {
        assert_eq!(names(arguments), expected, "{arguments:?}");
    }
    tare.tare(["images", "-f", "before=d:1"]).fails(1, "does not say when it was made");
    tare.tare(["images", "-f", "since=nothing"]).fails(1, "no such image");
    tare.tare(["images", "-f", "colour=red"]).fails(1, "invalid filter");
    tare.tare(["search", "-f", "stars=many", "busybox"]).fails(1, "invalid filter \"stars=many\"");
    tare.tare(["search", "registry.example/busybox"]).fails(1, "only Docker Hub can");
}

/// An OCI layout with one name for two machines; each has its own file.
fn for_two_machines() -> Vec<u8> {
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    let mut entries = Vec::new();
    for architecture in ["s390x", "amd64"] {
        let layer = Archive::new().file(architecture, b"").finish();
        let config = config_for(architecture, &[digest(&layer)]).to_string().into_bytes();
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)]});
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entries.push(entry);
        blobs.extend([layer, config, manifest]);
    }
    let index =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries});
    let index = index.to_string().into_bytes();
    let mut entry = descriptor("application/vnd.oci.image.index.v1+json", &index);
    entry["annotations"] = json!({"io.containerd.image.name": "docker.io/library/both:latest"});
    blobs.push(index);
    let root = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let archive =
        Archive::new().file("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#).file("index.json", root.as_bytes());
    let name = |blob: &[u8]| digest(blob).replace("sha256:", "blobs/sha256/");
    blobs.iter().fold(archive, |archive, blob| archive.file(&name(blob), blob)).finish()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_archive_for_several_machines_gives_the_one_that_is_asked_for() {
    let tare = Tare::empty();
    let archive = for_two_machines();
    let architecture = || tare.tare(["image", "inspect", "-f", "{{.Architecture}}", "both"]).ok();
    tare.tare_with_input(["load"], &archive).says("Loaded image: both:latest");
    assert_eq!(architecture(), "amd64\n");
    tare.tare_with_input(["load", "--platform=linux/s390x"], &archive).says("Loaded image: both:latest");
    assert_eq!(architecture(), "s390x\n");
    tare.tare_with_input(["load", "--platform=linux/arm64"], &archive).fails(1, "no image for linux/arm64");
    tare.tare_with_input(["load", "--platform=linux/arm64"], &docker_archive(1)).fails(1, "not for linux/arm64");

    tare.tare(["save", "--platform=linux/amd64", "both"]).fails(1, "not here for platform linux/amd64");
    let saved = tare.tare(["save", "--platform=linux/s390x", "both"]);
    saved.exits(0);
    let other = Tare::empty();
    other.tare_with_input(["load", "--platform=s390x"], saved.bytes()).says("Loaded image: both:latest");
}
