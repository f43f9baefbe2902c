//! What a container changed, and images made of it: diff, commit, history, export, save.

use std::fs;
use std::process::Stdio;

use e2e::{Outcome, Tare};
use serde_json::Value;

fn image(tare: &Tare, name: &str) -> Value {
    let text = tare.tare(["inspect", name]).ok();
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// A container that has ended.
fn ended(tare: &Tare, name: &str, options: &[&str], script: &str) {
    let options: Vec<&str> = options.iter().copied().chain(["--name", name]).collect();
    tare.detached(&options, script);
    tare.tare(["wait", name]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn changes_are_shown_as_docker_shows_them() {
    let tare = Tare::new();
    ended(&tare, "box", &[], "echo x > /new; mkdir -p /dir/sub; rm /bin/vi; chmod 700 /tmp");
    tare.tare(["diff", "box"]).prints("C /bin\nD /bin/vi\nA /dir\nA /dir/sub\nA /new\nC /tmp");
    // What the engine puts in is not the container's.
    ended(&tare, "idle", &[], "true");
    tare.tare(["diff", "idle"]).prints("");
    tare.tare(["create", "--name=never", "--network=none", "busybox"]).ok();
    tare.tare(["diff", "never"]).prints("");
    tare.tare(["diff", "nobody"]).fails(1, "no such container: nobody");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_becomes_an_image() {
    let tare = Tare::new();
    let options = ["-e", "KEPT=yes", "-w", "/job", "--label", "a=b"];
    ended(&tare, "box", &options, "echo content > /job/file; chown 12:34 /job/file; rm /bin/vi");
    let id =
        tare.tare(["commit", "-a", "me", "-m", "why not", "-c", "CMD [\"cat\",\"file\"]", "box", "team/app:v1"]).ok();
    let made = image(&tare, "team/app:v1");
    assert_eq!(made["Id"].as_str().unwrap(), id.trim());
    assert_eq!((&made["Author"], &made["Comment"]), (&"me".into(), &"why not".into()));
    assert_eq!(made["Config"]["WorkingDir"], "/job");
    assert_eq!(made["Config"]["Labels"]["a"], "b");
    assert!(made["Config"]["Env"].as_array().unwrap().contains(&"KEPT=yes".into()));
    assert_eq!(made["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    tare.run(["team/app:v1"]).prints("content");
    tare.run(["team/app:v1", "sh", "-c", "stat -c %u:%g file; ls /bin/vi; echo $KEPT"]).prints("12:34\nyes");
    let history = tare.tare(["history", "--no-trunc", "team/app:v1"]).ok();
    let newest = history.lines().nth(1).unwrap();
    assert!(newest.contains("sh -c echo content") && newest.ends_with("why not"), "{history}");
    assert!(history.lines().nth(2).unwrap().starts_with("<missing>"), "{history}");

    // Nothing changed: another image with the same layers.
    ended(&tare, "idle", &[], "true");
    tare.tare(["commit", "idle", "same"]).ok();
    assert_eq!(image(&tare, "same")["RootFS"], image(&tare, "busybox")["RootFS"]);
    tare.tare(["history", "same"]).says("  0B");
    // Its container stands on it, and goes on.
    tare.tare(["rmi", "busybox"]).fails(1, "container");
    tare.tare(["create", "--network=none", "--name=host", "host", "true"]).ok();
    tare.tare(["commit", "host"]).fails(1, "its image is the host itself");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_mounted_is_not_part_of_the_image_but_its_place_is() {
    let tare = Tare::new();
    let outside = tare.dir("outside");
    fs::write(outside.join("secret"), "s").unwrap();
    let bind = format!("{}:/data", outside.display());
    ended(&tare, "box", &["-v", &bind, "--tmpfs", "/scratch"], "echo more > /data/more; echo x > /scratch/x");
    tare.tare(["commit", "box", "committed"]).ok();
    tare.run(["committed", "sh", "-c", "ls -d /data /scratch; ls /data /scratch | grep -v :"])
        .prints("/data\n/scratch");
    let tar = tare.tare(["export", "box"]);
    let names = list(tar.bytes());
    assert!(names.contains(&"data/".to_owned()) && !names.iter().any(|name| name.starts_with("data/m")), "{names:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_running_container_is_committed_while_it_stands_still() {
    let tare = Tare::new();
    tare.detached(&["--name=busy"], "n=0; while true; do n=$((n+1)); echo $n > /a; echo $n > /b; done");
    for round in 0..5 {
        let name = format!("round{round}");
        tare.tare(["commit", "busy", &name]).ok();
        let numbers = tare.run([name.as_str(), "sh", "-c", "cat /a /b"]).ok();
        let numbers: Vec<i64> = numbers.split_whitespace().map(|number| number.parse().unwrap()).collect();
        if let [a, b] = numbers[..] {
            assert!((0..=1).contains(&(a - b)), "{a} and {b} are not of one moment");
        }
    }
    // It goes on afterwards.
    let before = tare.tare(["export", "busy"]).bytes().len();
    assert!(before > 1000);
    tare.tare(["kill", "busy"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn owners_are_the_images_whatever_range_the_container_had() {
    let tare = Tare::new();
    ended(&tare, "box", &["--userns=auto"], "echo x > /mine; chown 5:6 /mine; mkdir /sub; touch /sub/root");
    tare.tare(["commit", "box", "mapped"]).ok();
    tare.run(["mapped", "stat", "-c", "%n %u:%g", "/mine", "/sub/root", "/bin"])
        .prints("/mine 5:6\n/sub/root 0:0\n/bin 0:0");
    let tar = tare.tare(["export", "box"]);
    let mut archive = tar::Archive::new(tar.bytes());
    let owners = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let (uid, gid) = (entry.header().uid().unwrap(), entry.header().gid().unwrap());
        (entry.path().unwrap().display().to_string(), uid, gid)
    });
    let owners: Vec<_> = owners.collect();
    assert!(owners.contains(&("mine".into(), 5, 6)), "{owners:?}");
    assert!(owners.iter().all(|(_, uid, gid)| *uid < 65_534 && *gid < 65_534), "{owners:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_exported_is_imported_as_it_was() {
    let tare = Tare::new();
    ended(&tare, "box", &[], "echo x > /new; rm /bin/vi; ln /new /twin; ln -s new /link; mkfifo /pipe");
    let file = tare.dir("out").join("root.tar");
    tare.tare(["export", "-o", file.to_str().unwrap(), "box"]).prints("");
    tare.tare(["import", "-c", "CMD [\"sh\"]", file.to_str().unwrap(), "again"]).ok();
    let script = "cat /link; stat -c %h /new; ls /bin/vi; test -p /pipe && echo pipe";
    tare.run(["again", "sh", "-c", script]).prints("x\n2\npipe");
    tare.tare(["export", "-o", "/nonexistent/dir/file", "box"]).fails(1, "/nonexistent/dir/file");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn saved_images_are_loaded_again() {
    let tare = Tare::new();
    ended(&tare, "box", &[], "echo x > /new");
    tare.tare(["commit", "box", "one:1"]).ok();
    tare.tare(["tag", "one:1", "one:2"]).ok();
    let dir = tare.dir("out");
    for format in ["docker", "oci"] {
        let file = dir.join(format);
        let file = file.to_str().unwrap();
        tare.tare(["save", "--format", format, "-o", file, "one", "busybox:latest"]).ok();
        let other = Tare::empty();
        other.tare(["load", "-q", "-i", file]).ok();
        for name in ["one:1", "one:2", "busybox:latest"] {
            assert_eq!(image(&other, name)["Id"], image(&tare, name)["Id"], "{format} {name}");
        }
        other.run(["one:2", "cat", "/new"]).prints("x");
    }
    // One name alone, by a pipe.
    let piped = tare.tare(["save", "one:2"]);
    let other = Tare::empty();
    other.tare_with_input(["load"], piped.bytes()).prints("Loaded image: one:2");
    // By id there is none.
    let id = image(&tare, "one:1")["Id"].as_str().unwrap().to_owned();
    let piped = tare.tare(["save", &id]);
    other.tare_with_input(["load"], piped.bytes()).prints(&format!("Loaded image ID: {id}"));
    tare.tare(["save", "-o", dir.join("none").to_str().unwrap(), "nobody"]).fails(1, "no such image: \"nobody\"");
    assert!(!dir.join("none").exists());
    // A reader that goes away ends it.
    let mut child = tare.command(["save", "one:1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_ne!(Outcome::of_child(child).code(), 0);
}

fn list(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}
