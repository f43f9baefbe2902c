//! Images with more layers than the kernel mounts: nobody who uses them notices.

use std::fs;

use e2e::{Archive, Tare, names};
use registry::testing::Server;
use serde_json::Value;

use crate::images::{docker_archive_of, layer};
use crate::system::{df, du};

const LAYERS: usize = 600;

/// Each layer adds a file; every tenth takes one away, one hides a directory of those below, one replaces a file.
fn archive() -> Vec<u8> {
    let layers: Vec<Vec<u8>> = (0..LAYERS).map(one).collect();
    docker_archive_of(&layers)
}

fn one(number: usize) -> Vec<u8> {
    if number == 0 {
        return layer(0);
    }
    let archive = Archive::new().dir("layers/").file(&format!("layers/{number}"), number.to_string().as_bytes());
    match number {
        5 => archive.dir("hidden/").file("hidden/old", b"old").link("layers/link", "layers/5"),
        300 => archive.dir("hidden/").file("hidden/.wh..wh..opq", b"").file("hidden/new", b"new"),
        _ if number % 10 == 9 => archive.file(&format!("layers/.wh.{}", number - 1), b""),
        _ => archive,
    }
    .finish()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_image_of_600_layers_runs_and_travels() {
    let tare = Tare::empty();
    tare.tare_with_input(["load", "-q"], &archive()).says("Loaded image: deep:latest");
    let script =
        "ls /layers | wc -l; cat /layers/1 /layers/511 /layers/599 /layers/link; ls /hidden; test ! -e /layers/8";
    let expected = "541\n15115995new";
    let shows = |tare: &Tare, name: &str| {
        tare.run([name, "/bin/busybox", "sh", "-c", script]).prints(expected);
    };
    shows(&tare, "deep");
    // The tree is made once, and known to whoever looks after the room.
    let stacks = tare.root().join("stacks");
    let made = names(&stacks);
    assert_eq!(made.len(), 1);
    shows(&tare, "deep");
    assert_eq!(names(&stacks), made);
    assert_eq!(df(&tare).iter().map(|(_, size, _)| size).sum::<u64>(), du(&tare));
    let file = stacks.join(&made[0]).join("fs/layers/link");
    fs::remove_file(&file).unwrap();
    let found = tare.tare(["system", "check", "--repair"]);
    assert!(found.stdout().contains("is not what its layers are") && file.exists(), "{found}");
    assert_eq!(found.stdout().trim().lines().count(), 1, "{found}");

    // One layer more, and its files.
    tare.tare(["run", "--name=box", "--network=none", "deep", "/bin/busybox", "touch", "/more"]).ok();
    tare.tare(["commit", "box", "deeper"]).ok();
    tare.run(["deeper", "/bin/busybox", "ls", "/more"]).prints("/more");
    tare.tare(["diff", "box"]).says("A /more");
    assert!(tare.tare(["export", "box"]).bytes().len() > 1 << 20);
    assert_eq!(names(&stacks), made, "an image upon the same layers shares it");

    let server = Server::start();
    let name = format!("{}/deep:latest", server.host());
    tare.tare(["tag", "deep", &name]).ok();
    tare.tare(["push", "-q", &name]).ok();
    let pulled = Tare::empty();
    pulled.tare(["pull", "-q", &name]).ok();
    shows(&pulled, &name);
    let saved = tare.tare(["save", "deep"]);
    let loaded = Tare::empty();
    loaded.tare_with_input(["load", "-q"], saved.bytes()).says("Loaded image: deep:latest");
    let id = |tare: &Tare, name: &str| tare.tare(["image", "inspect", "-f", "{{.Id}}", name]).ok();
    assert_eq!((id(&tare, "deep"), id(&tare, "deep")), (id(&pulled, &name), id(&loaded, "deep")));
    let inspected: Value = serde_json::from_str(&tare.tare(["image", "inspect", "deep"]).ok()).unwrap();
    assert_eq!(inspected[0]["RootFS"]["Layers"].as_array().unwrap().len(), LAYERS);

    tare.tare(["rm", "box"]).ok();
    tare.tare(["rmi", "deep", "deeper", &name]).ok();
    assert!(names(&stacks).is_empty() && names(&tare.root().join("snapshots")).is_empty());
}
