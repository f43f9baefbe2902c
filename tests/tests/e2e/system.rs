//! The installation as a whole: what it takes, whether it is well, cleaning up, and operations that are killed.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::registry::Plain;
use e2e::{Archive, Outcome, Tare};
use serde_json::Value;

pub(crate) fn du(tare: &Tare) -> u64 {
    let text = Outcome::of(Command::new("du").args(["-s", "--block-size=1"]).arg(tare.root())).ok();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// Size and reclaimable bytes of every part.
pub(crate) fn df(tare: &Tare) -> Vec<(String, u64, u64)> {
    let text = tare.tare(["system", "df", "--format", "json"]).ok();
    let part = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let number = |key: &str| value[key].as_u64().unwrap();
        (value["Type"].as_str().unwrap().to_owned(), number("Size"), number("Reclaimable"))
    };
    text.lines().map(part).collect()
}

fn size(tare: &Tare, part: &str) -> u64 {
    df(tare).iter().find(|(name, ..)| name == part).unwrap().1
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_parts_are_the_whole_to_the_block() {
    let tare = Tare::new();
    let same = |tare: &Tare| assert_eq!(df(tare).iter().map(|(_, size, _)| size).sum::<u64>(), du(tare));
    same(&tare);
    tare.detached(&["--name=box"], "dd if=/dev/zero of=/file bs=1M count=3; seq 10000");
    tare.tare(["wait", "box"]).ok();
    tare.tare(["commit", "box", "made"]).ok();
    tare.tare(["save", "--format=oci", "-o", tare.dir("out").join("x").to_str().unwrap(), "made"]).ok();
    same(&tare);
    assert!(size(&tare, "Containers") > 3 << 20 && size(&tare, "Logs") > 40_000);
    // What a crash leaves belongs to nobody, and is known.
    fs::create_dir_all(tare.root().join("ingest/dead")).unwrap();
    fs::write(tare.root().join("ingest/dead/file"), vec![1; 100_000]).unwrap();
    fs::create_dir_all(tare.root().join("unfinished/dead")).unwrap();
    same(&tare);
    assert!(size(&tare, "Orphans") > 100_000);
    let verbose = tare.tare(["system", "df", "-v"]).ok();
    assert!(verbose.contains("made:latest") && verbose.contains("\nTYPE "), "{verbose}");

    // What pruning says it frees is freed.
    let before = du(&tare);
    tare.tare(["system", "prune"]).fails(1, "cannot ask whether to go on");
    let said = tare.tare(["system", "prune", "-a", "-f"]).ok();
    assert!(said.contains("Deleted Containers:\n") && said.contains("deleted: sha256:"), "{said}");
    assert!(said.contains("Total reclaimed space: "), "{said}");
    same(&tare);
    assert!(before - du(&tare) > 3 << 20);
    assert_eq!(df(&tare).iter().find(|(name, ..)| name == "Orphans").unwrap().1, 0);
    tare.tare(["images", "-q"]).prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn pruning_takes_what_was_asked_for() {
    let tare = Tare::new();
    for (name, label) in [("one", "a=1"), ("two", "a=2")] {
        tare.detached(&["--name", name, "--label", label], "echo $HOSTNAME > /file");
        tare.tare(["wait", name]).ok();
        tare.tare(["commit", name, name]).ok();
    }
    let running = tare.detached(&["--name=runs"], "sleep 100");
    tare.tare(["container", "prune", "-f", "--filter", "until=24h"]).prints("Total reclaimed space: 0B");
    tare.tare(["container", "prune", "-f", "--filter", "label=a=1"]).says("Deleted Containers");
    assert_eq!(tare.tare(["ps", "-aq"]).ok().lines().count(), 2);
    // Without a name: the one whose name went to another.
    tare.tare(["tag", "two", "one"]).ok();
    tare.tare(["image", "prune", "-f"]).says("deleted: sha256:");
    tare.tare(["image", "prune", "-f"]).prints("Total reclaimed space: 0B");
    tare.tare(["image", "prune", "-a", "-f"]).says("untagged: ");
    // A container runs on busybox.
    assert!(tare.tare(["images"]).ok().contains("busybox"));
    tare.tare(["image", "prune", "-f", "--filter", "color=red"]).fails(1, "invalid filter \"color=red\"");
    tare.tare(["kill", &running]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_broken_is_found_and_repaired() {
    let tare = Tare::new();
    tare.tare(["system", "check"]).prints("everything is well");
    let snapshots = tare.root().join("snapshots");
    let file = snapshots.join(&e2e::names(&snapshots)[0]).join("fs/bin/sh");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "#!/bin/evil").unwrap();
    tare.tare(["system", "check"]).exits(1);
    assert!(tare.tare(["system", "check"]).stdout().contains("its files were changed"));
    tare.tare(["system", "check", "--repair"]).exits(0).says("[made again from its blob]");
    tare.tare(["system", "check"]).prints("everything is well");
    tare.sh(&[], "echo fine").prints("fine");
    // A name of a container that is not there. Half a container is removed by whoever lists them.
    std::os::unix::fs::symlink("0".repeat(64), tare.root().join("names/ghost")).unwrap();
    fs::create_dir_all(tare.root().join("unfinished/half")).unwrap();
    let said = tare.tare(["system", "check"]).exits(1).stdout();
    assert!(said.contains("the name \"ghost\" is taken by a container that is not there"), "{said}");
    assert_eq!(e2e::names(&tare.root().join("unfinished")), [""; 0]);
    tare.tare(["system", "check", "--repair"]).exits(0);
    tare.tare(["system", "check"]).prints("everything is well");
}

/// Moments at random, the same again for the same seed.
struct Moments {
    seed: u64,
    state: u64,
}

impl Moments {
    fn new() -> Self {
        let seed = std::env::var("TARE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        Self { seed, state: seed | 1 }
    }

    /// A part of this time.
    fn within(&mut self, time: Duration) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        time.mul_f64((self.state >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// `kill -9` at random moments of an operation, each time followed by a check: nothing may be broken, and what was there
/// before is there afterwards.
fn kill_at(moments: &mut Moments, times: usize, tare: &Tare, setup: &dyn Fn(), arguments: &[&str]) {
    setup();
    let started = Instant::now();
    tare.tare(arguments.iter().copied()).ok();
    let usual = started.elapsed();
    for round in 0..times {
        setup();
        let mut command = tare.command(arguments.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(moments.within(usual));
        child.kill().unwrap();
        child.wait().unwrap();
        let check = tare.tare(["system", "check"]).stdout();
        let seed = moments.seed;
        assert!(!check.contains("broken: "), "TARE_SEED={seed} {arguments:?}, round {round}: {check}");
        tare.run(["keep", "sh", "-c", "read number < /layers/1; echo $number"]).prints("1");
    }
    setup();
    tare.tare(arguments.iter().copied()).ok();
    tare.tare(["system", "check", "--repair"]).exits(0);
    tare.tare(["system", "check"]).prints("everything is well");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn operations_that_are_killed_break_nothing_and_lose_nothing() {
    let registry = Plain::start();
    let tare = Tare::new();
    let mut moments = Moments::new();
    let keep = tare.file("keep.tar", crate::images::docker_archive(2));
    tare.tare(["load", "-q", "-i", &keep]).ok();
    tare.tare(["tag", "deep", "keep"]).ok();
    // An image of three layers upon the one that is kept, of a few megabytes.
    let noise = |seed: u32| -> Vec<u8> {
        (0..2u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
    };
    let layers: Vec<Vec<u8>> = (0..3).map(|n| Archive::new().file(&format!("noise{n}"), &noise(n)).finish()).collect();
    let archive = tare.file("noise.tar", crate::images::docker_archive_of(&layers));
    let name = format!("{}/noise:1", registry.address());
    tare.tare(["load", "-q", "-i", &archive]).ok();
    tare.tare(["tag", "deep", &name]).ok();
    tare.tare(["push", "-q", &name]).ok();
    let forget = || {
        for name in [&name[..], "deep"] {
            tare.tare(["rmi", "-f", name]);
        }
    };
    kill_at(&mut moments, 14, &tare, &forget, &["pull", "-q", &name]);
    kill_at(&mut moments, 12, &tare, &forget, &["load", "-q", "-i", &archive]);
    tare.tare(["create", "--network=none", "--name=box", "keep", "sh"]).ok();
    let upper = tare.container_dir(tare.tare(["ps", "-aq", "--no-trunc"]).ok().trim()).join("upper");
    fs::write(upper.join("noise"), noise(7)).unwrap();
    kill_at(&mut moments, 12, &tare, &|| (), &["commit", "box", "committed"]);
    let load = || drop(tare.tare(["load", "-q", "-i", &archive]));
    kill_at(&mut moments, 12, &tare, &load, &["rmi", "-f", "deep"]);
}
