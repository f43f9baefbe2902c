//! The smaller verbs of a container's life: attach, pause, restart, rename, update, top, stats.

use std::io::{Read, Write};
use std::process::Stdio;

use e2e::{Cgroups, PATIENCE, Tare, Terminal, until};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn several_clients_see_the_same() {
    let tare = Tare::new();
    tare.tare(["run", "-d", "-i", "--name=box", "--network=none", "busybox", "cat"]).ok();
    let attach = |options: &[&str]| {
        let arguments = ["attach"].iter().chain(options).chain(&["box"]).copied().collect::<Vec<_>>();
        tare.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut watcher = attach(&["--no-stdin"]);
    let mut writer = attach(&[]);
    // The watcher is attached for certain when it has seen something.
    let mut input = writer.stdin.take().unwrap();
    let mut seen = watcher.stdout.take().unwrap();
    let mut first = [0];
    let (has_seen, sees) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        seen.read_exact(&mut first).unwrap();
        has_seen.send(()).unwrap();
        let mut rest = Vec::new();
        seen.read_to_end(&mut rest).unwrap();
        rest
    });
    let deadline = std::time::Instant::now() + PATIENCE;
    while sees.try_recv().is_err() {
        input.write_all(b"x\n").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert!(std::time::Instant::now() < deadline);
    }
    input.write_all(b"the end\n").unwrap();
    tare.wait_for_log("box", "the end");
    tare.tare(["kill", "box"]).ok();
    let rest = String::from_utf8(reader.join().unwrap()).unwrap();
    assert!(rest.ends_with("\nthe end\n"), "{rest:?}");
    assert_eq!((writer.wait().unwrap().code(), watcher.wait().unwrap().code()), (Some(137), Some(137)));
    tare.tare(["attach", "box"]).fails(1, "not running");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn attaching_to_a_terminal_gives_it_our_size() {
    let tare = Tare::new();
    tare.tare(["run", "-dit", "--name=box", "--network=none", "busybox", "sh"]).ok();
    let mut terminal = Terminal::start(&tare.command(["attach", "box"]));
    until("the shell tells the size", || {
        terminal.send("stty size\n");
        std::thread::sleep(std::time::Duration::from_millis(100));
        terminal.screen().contains("24 80")
    });
    terminal.send("\u{10}\u{11}");
    assert_eq!(terminal.exit_code(), 0);
    let mut terminal = Terminal::start(&tare.command(["attach", "box"]));
    terminal.send("exit 6\n");
    assert_eq!(terminal.exit_code(), 6);
    tare.tare(["start", "box"]).ok();
    tare.tare(["attach", "box"]).fails(1, "--no-stdin");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_paused_container_does_nothing_until_it_is_continued() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "while :; do echo x >> /count; sleep 0.01; done");
    let count = || {
        let root = format!("/proc/{}/root/count", tare.pid("box"));
        std::fs::metadata(root).map_or(0, |metadata| metadata.len())
    };
    until("it counts", || count() > 0);
    tare.tare(["pause", "box"]).prints("box");
    let before = count();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(count(), before);
    tare.tare(["ps"]).says("(Paused)");
    let state = &tare.inspect("box")["State"];
    assert_eq!((state["Status"].as_str(), state["Paused"].as_bool()), (Some("paused"), Some(true)));
    tare.tare(["pause", "box"]).fails(1, "already paused");
    tare.tare(["attach", "box"]).fails(1, "paused");
    tare.tare(["unpause", "box"]).prints("box");
    until("it counts again", || count() > before);
    tare.tare(["unpause", "box"]).fails(1, "not paused");
    // A paused container can be stopped and killed.
    tare.tare(["pause", "box"]).ok();
    tare.tare(["stop", "-t", "0", "box"]).ok();
    tare.tare(["pause", "box"]).fails(1, "not running");
    tare.tare(["start", "box"]).ok();
    tare.tare(["pause", "box"]).ok();
    tare.tare(["rm", "-f", "box"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn restart_starts_anew_with_the_same_files() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "echo x >> /count; trap 'exit 0' TERM; while :; do sleep 0.1; done");
    let count = || tare.tare(["exec", "box", "cat", "/count"]).stdout();
    until("it runs", || count() == "x\n");
    let pid = tare.pid("box");
    tare.tare(["restart", "box"]).prints("box");
    until("it runs again", || count() == "x\nx\n");
    assert_ne!(tare.pid("box"), pid);
    tare.tare(["stop", "box"]).ok();
    tare.tare(["restart", "box"]).ok();
    until("it runs a third time", || count() == "x\nx\nx\n");
    tare.tare(["restart", "nobody"]).fails(1, "no such container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_name_can_change_while_it_runs() {
    let tare = Tare::new();
    let id = tare.detached(&["--name=old"], "exec sleep 1000");
    tare.tare(["create", "--name=taken", "--network=none", "busybox"]).ok();
    tare.tare(["rename", "old", "taken"]).fails(1, "already in use");
    tare.tare(["rename", "old", "no/good"]).fails(1, "invalid container name");
    tare.tare(["rename", "old", "old"]).fails(1, "that name already");
    tare.tare(["rename", "old", "new"]).ok();
    assert_eq!(tare.inspect("new")["Id"], id);
    tare.tare(["inspect", "old"]).fails(1, "no such");
    tare.tare(["ps", "--no-trunc"]).says("new");
    // The old name is free.
    tare.tare(["create", "--name=old", "--network=none", "busybox"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn limits_change_now_and_for_the_next_start() {
    let tare = Tare::new();
    tare.detached(&["--name=box", "--memory=64m", "--cpus=0.5"], "exec sleep 1000");
    tare.tare(["update", "--memory=96m", "--cpus=0.25", "--pids-limit=50", "box"]).prints("box");
    let check = || {
        let expected: [(&str, &str); 3] = match Cgroups::here() {
            Cgroups::V1 => [
                ("memory/memory.limit_in_bytes", "100663296"),
                ("cpu/cpu.cfs_quota_us", "25000"),
                ("pids/pids.max", "50"),
            ],
            Cgroups::V2 => [("memory.max", "100663296"), ("cpu.max", "25000 100000"), ("pids.max", "50")],
        };
        for (file, value) in expected {
            tare.tare(["exec", "box", "cat", &format!("/sys/fs/cgroup/{file}")]).prints(value);
        }
    };
    check();
    let config = &tare.inspect("box")["HostConfig"];
    assert_eq!((config["Memory"].as_u64(), config["MemorySwap"].as_u64()), (Some(96 << 20), Some(192 << 20)));
    assert_eq!((config["NanoCpus"].as_u64(), config["PidsLimit"].as_u64()), (Some(250_000_000), Some(50)));
    tare.tare(["restart", "-t", "0", "box"]).ok();
    check();
    // Of a container that does not run too; and nothing is written where the kernel says no.
    tare.tare(["update", "box"]).fails(1, "one or more");
    tare.tare(["update", "--cpu-quota=5000", "box"]).fails(1, "conflicting");
    tare.tare(["update", "--memory=300m", "--memory-swap=200m", "box"]).fails(1, "swap");
    tare.tare(["kill", "box"]).ok();
    until("it has ended", || tare.inspect("box")["State"]["Running"] == false);
    tare.tare(["update", "--pids-limit=60", "box"]).ok();
    assert_eq!(tare.inspect("box")["HostConfig"]["PidsLimit"], 60);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn top_shows_the_processes_as_the_host_sees_them() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "sleep 4321 & exec sleep 1000");
    until("both run", || {
        let text = tare.tare(["top", "box"]).stdout();
        text.lines().count() == 3 && !text.contains("sh -c")
    });
    let text = tare.tare(["top", "box"]).ok();
    assert!(text.starts_with("UID"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    let pid = tare.pid("box").to_string();
    let line = text.lines().find(|line| line.contains("sleep 1000")).unwrap();
    assert!(line.split_whitespace().any(|word| word == pid), "{text}");
    tare.tare(["stop", "-t", "0", "box"]).ok();
    tare.tare(["top", "box"]).fails(1, "not running");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn stats_agree_with_the_control_groups() {
    let tare = Tare::new();
    tare.detached(&["--name=busy", "--cpus=0.3", "--memory=64m"], "while :; do :; done");
    tare.detached(&["--name=idle"], "exec sleep 1000");
    let text = tare.tare(["stats", "--no-stream", "busy", "idle"]).ok();
    assert!(text.starts_with("CONTAINER ID"), "{text}");
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
    let share = |name: &str| {
        let line = line(name);
        let word = line.split_whitespace().find(|word| word.ends_with('%')).unwrap().to_owned();
        word.trim_end_matches('%').parse::<f64>().unwrap()
    };
    // A busy machine may give it less than its 30 %, never much more; the periods of its quota do not end with ours.
    assert!((10.0..=45.0).contains(&share("busy")), "{text}");
    assert!(share("idle") < 5.0, "{text}");
    assert!(line("busy").contains("/ 64MiB"), "{text}");
    assert!(line("(all)").ends_with('2'), "{text}");
    tare.tare(["stats", "--no-stream", "nobody"]).fails(1, "no such container");
}
