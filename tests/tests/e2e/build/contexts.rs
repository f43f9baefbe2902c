//! Where files and Dockerfiles come from.

use std::fs;

use e2e::{Archive, Tare};

use super::errors::FailsWith;
use super::{Image, Project};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_dockerfile_on_standard_input_has_no_context_or_a_directory() {
    let tare = Tare::new();
    tare.tare_with_input(["build", "-t", "x", "-"], b"FROM busybox\nENV A=stdin\n").exits(0);
    assert!(Image::new(&tare, "x").config("Env").to_string().contains("A=stdin"));
    tare.tare_with_input(["build", "-"], b"FROM busybox\nCOPY a /a\n").fails_with("there is no build context");
    let project = Project::new(&tare, "FROM nothing\n").with("a", "a");
    let dir = project.path().to_str().unwrap();
    tare.tare_with_input(["build", "-t", "y", "-f", "-", dir], b"FROM busybox\nCOPY a /a\n").exits(0);
    assert_eq!(Image::new(&tare, "y").text("/a"), "a");
    tare.tare_with_input(["build", "-f", "-", "-"], b"").fails(1, "can't use stdin for both");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_tar_on_standard_input_is_a_context() {
    let tare = Tare::new();
    let tar = Archive::new()
        .file("Dockerfile", b"FROM busybox\nCOPY . /ctx/\n")
        .file("other/Dockerfile", b"FROM busybox\nCOPY dir/f /other\n")
        .file("dir/f", b"f")
        .file("ignored", b"i")
        .file(".dockerignore", b"ignored\n")
        .finish();
    tare.tare_with_input(["build", "-t", "x", "-"], &tar).exits(0);
    let image = Image::new(&tare, "x");
    assert_eq!((image.text("/ctx/dir/f"), image.has("/ctx/ignored")), ("f".into(), false));
    tare.tare_with_input(["build", "-t", "y", "-f", "other/Dockerfile", "-"], &tar).exits(0);
    assert_eq!(Image::new(&tare, "y").text("/other"), "f");
    assert_eq!(e2e::unfinished(&tare.root()), [""; 0]);
    tare.tare_with_input(["build", "-"], &tar[..700]).exits(1);
    let hostile = Archive::new().symlink("Dockerfile", "/etc/passwd").finish();
    tare.tare_with_input(["build", "-"], &hostile).fails_with("it does not exist in the context");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_ignored_is_not_there() {
    let tare = Tare::new();
    let project = Project::new(&tare, "FROM busybox\nCOPY . /c/\n")
        .with("a.log", "1")
        .with("keep.log", "2")
        .with("node/deep/x", "3")
        .with("node/keep/y", "4")
        .with("src/a.log", "5")
        .with(".git/config", "6")
        .with(".dockerignore", "*.log\n!keep.log\nnode\n!node/keep\n.git\nDockerfile\n.dockerignore\n");
    let image = project.image(&[]);
    for (path, there) in [
        ("/c/a.log", false),
        ("/c/keep.log", true),
        ("/c/node/deep", false),
        ("/c/node/keep/y", true),
        ("/c/src/a.log", true),
        ("/c/.git", false),
        ("/c/Dockerfile", false),
        ("/c/.dockerignore", false),
    ] {
        assert_eq!(image.has(path), there, "{path}");
    }
    // What nobody copies may be anything: it is not read.
    project.write("Dockerfile", "FROM busybox\nCOPY a.log /\n");
    project.build(&[]).fails_with("not found");
    // A Dockerfile's own ignore file goes before the general one.
    project.write("my.Dockerfile", "FROM busybox\nCOPY . /c/\n");
    project.write("my.Dockerfile.dockerignore", "*\n!a.log\n");
    let file = project.path().join("my.Dockerfile");
    let image = project.image(&["-f", file.to_str().unwrap()]);
    assert!(image.has("/c/a.log") && !image.has("/c/keep.log"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn further_contexts_have_names() {
    let tare = Tare::new();
    let other = tare.dir("other");
    fs::write(other.join("f"), "other").unwrap();
    Project::new(&tare, "FROM busybox\nRUN echo image > /i\n").image(&["-t", "stand-in"]);
    let project = Project::new(
        &tare,
        "FROM base\nCOPY --from=files f /f\nCOPY --from=img /i /j\nRUN --mount=from=files,target=/m cat /m/f > /m-f\n",
    );
    let files = format!("files={}", other.display());
    let options = [
        "--build-context",
        &files,
        "--build-context",
        "img=docker-image://stand-in",
        "--build-context",
        "base=docker-image://stand-in",
    ];
    let image = project.image(&options);
    assert_eq!(
        (image.text("/f"), image.text("/j"), image.text("/i")),
        ("other".into(), "image\n".into(), "image\n".into())
    );
    assert_eq!(image.text("/m-f"), "other");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn platforms_are_known_and_foreign_programs_refused() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM --platform=$BUILDPLATFORM busybox AS b\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\nFROM scratch\nCOPY --from=b /arch /\n",
    );
    let image = project.image(&["--platform", "linux/arm64"]);
    assert_eq!((image.text("/arch"), &image.json["Architecture"]), ("arm64\n".into(), &"arm64".into()));
    Project::new(&tare, "FROM scratch\nRUN true\n").build(&["--platform", "linux/arm64"]).fails_with("platform");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn files_go_to_a_directory_or_a_tar_and_images_to_archives() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox AS b\nRUN mkdir -p /o/d && echo x > /o/d/f && chown 5:6 /o/d/f && ln -s /etc/passwd /o/link\n\
         FROM scratch\nCOPY --from=b /o /\n",
    );
    let dest = project.path().join("dest");
    let outcome = project.build(&["-t", "never", "-o", dest.to_str().unwrap()]);
    outcome.exits(0);
    assert_eq!(fs::read_to_string(dest.join("d/f")).unwrap(), "x\n");
    assert_eq!(fs::read_link(dest.join("link")).unwrap().to_str(), Some("/etc/passwd"));
    tare.tare(["inspect", "never"]).exits(1);
    // What is in the way outside is not followed.
    let elsewhere = tare.dir("elsewhere");
    fs::remove_dir_all(dest.join("d")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, dest.join("d")).unwrap();
    project.build(&["-o", dest.to_str().unwrap()]).exits(1);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    let tar = project.build(&["-o", "-"]);
    let mut archive = tar::Archive::new(tar.exits(0).bytes());
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["d/", "d/f", "link"]);
    let file = project.path().join("image.tar");
    project.build(&["-t", "out:1", "-o", &format!("type=oci,dest={}", file.display())]).exits(0);
    let other = Tare::empty();
    other.tare(["load", "-i", file.to_str().unwrap()]).ok();
    assert_eq!(Image::new(&other, "out:1").text("/d/f"), "x\n");
    project.build(&["-o", "type=what"]).fails(1, "its type is local, tar, oci, docker or image");
    for option in ["--squash", "--cache-from=x", "--cache-to=x", "--provenance=true", "--sbom=true"] {
        let name = option.split('=').next().unwrap();
        project.build(&[option]).fails(125, &format!("option \"{name}\" is not supported"));
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn results_are_written_down() {
    let tare = Tare::new();
    let project = Project::new(&tare, "FROM busybox\n");
    let path = project.path().join("metadata");
    let image = project.image(&["-t", "m", "--label", "a=b", "--metadata-file", path.to_str().unwrap()]);
    let metadata: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.config.digest"], image.id);
    assert_eq!(metadata["image.name"], "docker.io/library/m:latest");
    assert_eq!(image.config("Labels")["a"], "b");
}
