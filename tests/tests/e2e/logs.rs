//! What a container said, kept by its monitor.

use e2e::{Outcome, Tare};

fn finished(tare: &Tare, script: &str) -> String {
    let id = tare.detached(&[], script);
    tare.tare(["wait", &id]).ok();
    id
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn both_streams_are_kept() {
    let tare = Tare::new();
    let id = finished(&tare, "echo out; echo err >&2; printf unfinished");
    let outcome = tare.tare(["logs", &id]);
    assert_eq!((outcome.ok().as_str(), outcome.stderr().as_str()), ("out\nunfinished", "err\n"));
    tare.tare(["logs", "no-such-container"]).fails(1, "no-such-container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_end_can_be_asked_for() {
    let tare = Tare::new();
    let id = finished(&tare, "seq 1 1000");
    tare.tare(["logs", "--tail", "3", &id]).prints("998\n999\n1000");
    tare.tare(["logs", "-n", "0", &id]).prints("");
    assert_eq!(tare.tare(["logs", "--tail=all", &id]).ok().lines().count(), 1000);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_stretch_of_time_can_be_asked_for() {
    let tare = Tare::new();
    let id = finished(&tare, "echo one; sleep 0.3; echo two; sleep 0.3; echo three");
    let times = tare.tare(["logs", "-t", &id]).ok();
    let times: Vec<&str> = times.lines().filter_map(|line| line.split_once(' ')).map(|(time, _)| time).collect();
    tare.tare(["logs", "--since", times[1], &id]).prints("two\nthree");
    tare.tare(["logs", "--until", times[1], &id]).prints("one\ntwo");
    tare.tare(["logs", "--since", times[1], "--until", times[1], &id]).prints("two");
    tare.tare(["logs", "--since", "1h", "-n", "1", "--details", &id]).prints("three");
    tare.tare(["logs", "--until", "1h", &id]).prints("");
    tare.tare(["logs", "--since", "yesterday", &id]).fails(1, "invalid time");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn times_can_be_shown() {
    let tare = Tare::new();
    let id = finished(&tare, "echo hello");
    let line = tare.tare(["logs", "-t", &id]).ok();
    let (time, text) = line.trim().split_once(' ').unwrap();
    assert!(text == "hello" && time.contains('T') && time.ends_with('Z'), "{line}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn following_ends_with_the_container() {
    let tare = Tare::new();
    let id = tare.detached(&[], "for i in 1 2 3; do echo $i; sleep 0.2; done");
    tare.tare(["logs", "-f", &id]).prints("1\n2\n3");
    let id = tare.detached(&[], "echo first; sleep 0.3; echo last");
    let follower = tare.command(["logs", "--follow", &id]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    assert_eq!(Outcome::of_child(follower).stdout(), "first\nlast\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_attached_streams_are_logged_too() {
    let tare = Tare::new();
    tare.tare(["run", "--network=none", "--name=seen", "busybox", "echo", "hello"]).prints("hello");
    tare.tare(["logs", "seen"]).prints("hello");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_log_does_not_fill_the_disk() {
    let tare = Tare::new();
    // About 55 MB of text.
    let id = finished(&tare, "yes 0123456789012345678901234567890123456789012345678 | head -n 1100000; echo the end");
    let size: u64 = walk(&tare.container_dir(&id)).iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert!(size <= 31_000_000, "{size} bytes");
    let tail = tare.tare(["logs", "--tail", "1", &id]).ok();
    assert_eq!(tail, "the end\n");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(dirs.iter().flat_map(|dir| walk(dir))).collect()
}
