//! Ctrl-C: what moves images ends at once, with 130, and leaves what the next attempt goes on with, and nothing else.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use e2e::{Archive, Outcome, Tare, names, until};
use registry::testing::{Fault, Server};
use rustix::process::{Pid, Signal, kill_process};

use crate::pull::{noise, serve, serve_layers};

/// Nothing is waited for: not a stalled connection, not a reader.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Presses Ctrl-C, and says how the program ended.
fn interrupt(child: Child) -> Outcome {
    let since = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let outcome = Outcome::of_child(child);
    assert!(since.elapsed() < AT_ONCE, "{:?}: {outcome}", since.elapsed());
    outcome
}

fn is_clean(tare: &Tare) {
    let left = names(&tare.root().join("ingest"));
    assert_eq!(left, ["lock"], "scratch is left");
}

fn start(tare: &Tare, arguments: &[&str]) -> Child {
    let mut command = tare.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Whether a file of this name is somewhere below.
fn is_below(dir: &Path, name: &str) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.ends_with(name) || path.is_dir() && is_below(&path, name))
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_pull_leaves_what_has_arrived() {
    let server = Server::start();
    let (small, big) = (Archive::new().file("small", b"x").finish(), noise(8 << 20));
    let big = Archive::new().file("big", &big).finish();
    let (name, paths) = serve_layers(&server, &[&small, &big]);
    server.fail("GET", &paths[1], Fault::Stall(3 << 20));
    let tare = Tare::empty();
    let child = start(&tare, &["pull", &name]);
    let partial = tare.root().join("content/partial");
    let size = |name: &String| fs::metadata(partial.join(name)).map_or(0, |metadata| metadata.len());
    until("a part has arrived", || names(&partial).iter().any(|name| size(name) >= 3 << 20));
    until("a layer is unpacked", || is_below(&tare.root().join("ingest"), "small"));
    interrupt(child).exits(130);
    is_clean(&tare);
    assert!(names(&tare.root().join("snapshots")).is_empty());
    assert_eq!(names(&partial).iter().map(size).collect::<Vec<_>>(), [3 << 20]);
    tare.tare(["pull", &name]).ok();
    let ranges: Vec<_> =
        server.asked("GET", &paths[1]).iter().map(|asked| asked.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some(format!("bytes={}-", 3 << 20))]);
    assert_eq!(server.asked("GET", &paths[0]).len(), 1, "what had arrived whole is not fetched again");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_run_that_pulls_can_be_interrupted_and_then_gets_its_signals() {
    let server = Server::start();
    let busybox = fs::read(e2e::fixture("busybox.tar")).unwrap();
    let (name, path) = serve(&server, &busybox);
    server.fail("GET", &path, Fault::Stall(100_000));
    let tare = Tare::empty();
    let run = [
        "run",
        "--rm",
        "--network=none",
        "--name=box",
        &name,
        "sh",
        "-c",
        "trap 'exit 7' INT; echo up; while :; do sleep 0.1; done",
    ];
    let child = start(&tare, &run);
    until("the layer is asked for", || !server.asked("GET", &path).is_empty());
    interrupt(child).exits(130);
    is_clean(&tare);
    let mut child = start(&tare, &run);
    tare.wait_until_running("box", &mut child);
    tare.wait_for_log("box", "up");
    interrupt(child).exits(7);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_push_ends_and_can_be_made_again() {
    let server = Server::start();
    let tare = Tare::new();
    let name = format!("{}/box:v1", server.host());
    tare.tare(["tag", "busybox", &name]).ok();
    server.fail("POST", "/blobs/uploads/", Fault::SlowHead(Duration::from_secs(60)));
    let child = start(&tare, &["push", &name]);
    until("an upload begins", || !server.asked("POST", "/blobs/uploads/").is_empty());
    interrupt(child).exits(130);
    is_clean(&tare);
    tare.tare(["push", &name]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn load_and_import_leave_nothing() {
    let tare = Tare::empty();
    let tar = fs::read(e2e::fixture("busybox.tar")).unwrap();
    for arguments in [&["import", "-", "half"][..], &["load"]] {
        let mut child = start(&tare, arguments);
        // The rest never comes.
        let mut pipe = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut pipe, &tar[..tar.len() / 2]).unwrap();
        until("half of it is there", || {
            is_below(&tare.root().join("ingest"), if arguments[0] == "load" { "member-0" } else { "layer" })
        });
        interrupt(child).exits(130);
        drop(pipe);
        is_clean(&tare);
    }
    tare.tare(["images", "-q"]).prints("");
}

/// Starts a command again and again until an interruption meets it while `is_at_work`.
fn interrupt_while(tare: &Tare, arguments: &[&str], is_at_work: &dyn Fn(u32) -> bool) {
    for _ in 0..20 {
        let mut child = start(tare, arguments);
        while child.try_wait().unwrap().is_none() && !is_at_work(child.id()) {
            std::thread::yield_now();
        }
        let outcome = interrupt(child);
        is_clean(tare);
        match outcome.code() {
            130 => return,
            code => assert_eq!(code, 0, "{outcome}"),
        }
    }
    panic!("{arguments:?} is always faster");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn save_leaves_no_half_archive() {
    let tare = Tare::empty();
    let layer = Archive::new().file("big", &noise(48 << 20)).finish();
    tare.tare_with_input(["import", "-", "big"], &layer).ok();
    let dir = tare.dir("out");
    let file = dir.join("big.tar");
    let path = file.to_str().unwrap();
    interrupt_while(&tare, &["save", "-o", path, "big"], &|pid| dir.join(format!(".big.tar.{pid}")).exists());
    let left = names(&dir);
    assert!(left.is_empty() || left == ["big.tar"], "{left:?}");
    // Nobody reads: it waits for ever, and ends all the same.
    let child = start(&tare, &["save", "big"]);
    let comm = format!("/proc/{}/comm", child.id());
    until("it runs", || Path::new(&comm).exists());
    let code = interrupt(child).code();
    assert_eq!(code, 130);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_goes_on_after_a_commit_that_was_interrupted() {
    let tare = Tare::new();
    let script = "head -c 50000000 /dev/urandom > /big; echo ready; while :; do date +%s%N > /now; sleep 0.01; done";
    let id = tare.detached(&["--name=box"], script);
    tare.wait_for_log("box", "ready");
    let ingest = tare.root().join("ingest");
    interrupt_while(&tare, &["commit", "box", "made"], &|_| is_below(&ingest, "big"));
    let now = || fs::read(tare.container_dir(&id).join("upper/now")).unwrap_or_default();
    let before = now();
    until("it goes on", || now() != before);
    tare.tare(["commit", "box", "made"]).ok();
    tare.tare(["rm", "-f", "box"]).ok();
}
