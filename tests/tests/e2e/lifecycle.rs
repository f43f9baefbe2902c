//! create, start, ps, inspect, stop, kill, wait, rm: a container from its name to its removal.

use std::time::Instant;

use e2e::{Outcome, Tare, is_alive, until};

const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.1; done";

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_is_created_started_stopped_removed() {
    let tare = Tare::new();
    let id = tare.tare(["create", "--network=none", "--name=box", "busybox", "sleep", "1000"]).ok().trim().to_owned();
    assert_eq!(id.len(), 64);
    assert_eq!(tare.inspect("box")["State"]["Status"], "created");
    tare.tare(["ps", "-q"]).prints("");
    tare.tare(["ps", "-a", "-q"]).prints(&id[..12]);
    tare.tare(["start", "box"]).prints("box");
    let pid = tare.pid("box");
    assert!(is_alive(pid));
    tare.tare(["ps", "-q", "--no-trunc"]).prints(&id);
    tare.tare(["stop", "-t", "1", "box"]).prints("box");
    assert!(!is_alive(pid));
    let state = tare.inspect("box")["State"].clone();
    assert_eq!((state["Status"].as_str(), state["Running"].as_bool()), (Some("exited"), Some(false)));
    assert_eq!(state["Pid"], 0);
    tare.tare(["rm", "box"]).prints("box");
    tare.tare(["ps", "-a", "-q"]).prints("");
    tare.tare(["inspect", "box"]).fails(1, "box");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn ps_is_a_table() {
    let tare = Tare::new();
    let id = tare.detached(&["--name=sleeper"], "exec sleep 1000");
    tare.detached(&["--name=done"], "exit 3");
    tare.tare(["wait", "done"]).prints("3");
    let table = tare.tare(["ps", "-a"]).ok();
    let header = "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES";
    assert_eq!(table.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "), header);
    let line = |name: &str| table.lines().find(|line| line.ends_with(name)).unwrap().to_owned();
    assert!(line("sleeper").starts_with(&id[..12]) && line("sleeper").contains("Up "), "{table}");
    assert!(line("done").contains("Exited (3)") && line("done").contains("\"sh -c 'exit 3'\""), "{table}");
    assert_eq!(tare.tare(["ps"]).ok().lines().count(), 2);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn names_are_given_and_kept_apart() {
    let tare = Tare::new();
    let id = tare.detached(&[], "exec sleep 1000");
    let name = tare.inspect(&id)["Name"].as_str().unwrap().trim_start_matches('/').to_owned();
    assert!(name.contains('_'), "{name}");
    tare.run([&format!("--name={name}"), "busybox", "true"]).fails(125, &name);
    assert_eq!(tare.inspect(&id[..12])["Id"], *id);
    assert_eq!(tare.inspect(&id[..5])["Id"], *id);
    assert_eq!(tare.inspect(&name)["Id"], *id);
    tare.tare(["rm", "-f", &id]).ok();
    tare.run([&format!("--name={name}"), "busybox", "true"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn stop_asks_first_and_insists_later() {
    let tare = Tare::new();
    let polite = tare.detached(&[], "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done");
    tare.wait_for_log(&polite, "ready");
    tare.tare(["stop", &polite]).ok();
    assert_eq!(tare.inspect(&polite)["State"]["ExitCode"], 7);
    let deaf = tare.detached(&["--stop-timeout=1"], DEAF);
    tare.wait_for_log(&deaf, "ready");
    let started = Instant::now();
    tare.tare(["stop", &deaf]).ok();
    let seconds = started.elapsed().as_secs_f64();
    assert!((0.9..8.0).contains(&seconds), "{seconds}");
    assert_eq!(tare.inspect(&deaf)["State"]["ExitCode"], 137);
    // Stopping what is stopped is no error.
    tare.tare(["stop", &deaf]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_signal_to_stop_can_be_chosen() {
    let tare = Tare::new();
    let script = "trap 'exit 8' USR1; echo ready; while :; do sleep 0.1; done";
    let id = tare.detached(&["--stop-signal=SIGUSR1"], script);
    tare.wait_for_log(&id, "ready");
    tare.tare(["stop", &id]).ok();
    assert_eq!(tare.inspect(&id)["State"]["ExitCode"], 8);
    tare.run(["--stop-signal=SIGNONSENSE", "busybox", "true"]).fails(125, "SIGNONSENSE");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn kill_sends_the_signal() {
    let tare = Tare::new();
    let script = "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.1; done";
    let id = tare.detached(&[], script);
    tare.wait_for_log(&id, "ready");
    for signal in ["USR1", "SIGUSR1", "10"] {
        tare.tare(["kill", "-s", signal, &id]).prints(&id);
    }
    tare.wait_for_log(&id, "usr1\n");
    tare.tare(["kill", "-s", "NONSENSE", &id]).fails(1, "NONSENSE");
    tare.tare(["kill", &id]).ok();
    tare.tare(["wait", &id]).prints("137");
    tare.tare(["kill", &id]).fails(1, "not running");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn wait_prints_the_exit_code() {
    let tare = Tare::new();
    let id = tare.detached(&[], "sleep 0.3; exit 6");
    tare.tare(["wait", &id]).prints("6");
    tare.tare(["wait", &id]).prints("6");
    tare.tare(["wait", "no-such-container"]).fails(1, "no-such-container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_running_container_is_not_removed_by_accident() {
    let tare = Tare::new();
    let id = tare.detached(&[], "exec sleep 1000");
    tare.tare(["rm", &id]).fails(1, "running");
    assert!(is_alive(tare.pid(&id)));
    tare.tare(["rm", "--force", &id]).prints(&id);
    tare.tare(["rm", "no-such-container"]).fails(1, "no-such-container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn several_at_once_and_one_that_is_missing() {
    let tare = Tare::new();
    let ids = [tare.detached(&[], "exec sleep 1000"), tare.detached(&[], "exec sleep 1000")];
    let outcome = tare.tare(["rm", "-f", &ids[0], "no-such-container", &ids[1]]);
    // `rm -f` of what is not there is an error in words, not in the exit code, as Docker has it since 20.10.
    assert!(outcome.stdout().contains(&ids[0]) && outcome.stdout().contains(&ids[1]), "{outcome}");
    tare.tare(["ps", "-a", "-q"]).prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn start_can_attach() {
    let tare = Tare::new();
    let create = |options: &[&str], command: &[&str]| {
        let arguments = ["create", "--network=none"].iter().chain(options).chain(&["busybox"]).chain(command);
        tare.tare(arguments).ok().trim().to_owned()
    };
    let id = create(&[], &["sh", "-c", "echo hello; exit 3"]);
    let outcome = tare.tare(["start", "-a", &id]);
    assert_eq!(outcome.exits(3).stdout(), "hello\n");
    let id = create(&["-i"], &["cat"]);
    tare.tare_with_input(["start", "-a", "-i", &id], b"echoed").prints("echoed");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_start_that_fails_says_why_and_can_be_repeated() {
    let tare = Tare::new();
    let create = ["create", "--network=none", "--name=broken", "busybox", "no-such-command"];
    tare.tare(create).ok();
    for _ in 0..2 {
        let outcome = tare.tare(["start", "broken"]);
        assert!(outcome.code() != 0 && outcome.stderr().contains("no-such-command"), "{outcome}");
    }
    assert_eq!(tare.inspect("broken")["State"]["Running"], false);
    assert_eq!(tare.inspect("broken")["State"]["ExitCode"], 127);
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn inspect_tells_what_was_asked_for() {
    let tare = Tare::new();
    let id = tare.detached(&["-m", "64m", "--cpus=0.5", "-e", "A=1", "-w", "/tmp"], "exec sleep 1000");
    let seen = tare.inspect(&id);
    assert_eq!(seen["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(seen["HostConfig"]["NanoCpus"], 500_000_000);
    assert_eq!(seen["HostConfig"]["NetworkMode"], "none");
    assert_eq!(seen["Config"]["WorkingDir"], "/tmp");
    assert_eq!(seen["Config"]["Image"], "busybox");
    assert_eq!(seen["Path"], "sh");
    assert!(seen["Config"]["Env"].as_array().unwrap().iter().any(|variable| variable == "A=1"), "{seen}");
    assert!(seen["Created"].as_str().unwrap().ends_with('Z'), "{seen}");
    assert!(seen["Image"].as_str().unwrap().starts_with("sha256:"), "{seen}");
    assert_eq!(tare.tare(["inspect", "no-such-container"]).fails(1, "no-such-container").stdout().trim(), "[]");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn processes_of_a_removed_container_are_gone() {
    let tare = Tare::new();
    let id = tare.detached(&[], "for i in 1 2 3; do sleep 1000 & done; echo ready; wait");
    tare.wait_for_log(&id, "ready");
    let monitor = e2e::process_field(tare.pid(&id), "PPid:").unwrap().parse().unwrap();
    tare.tare(["rm", "-f", &id]).ok();
    until("the monitor ends", || !is_alive(monitor));
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn one_name_is_given_once_in_a_race() {
    let tare = Tare::new();
    let children: Vec<_> = (0..8).map(|_| tare.spawn(["--name=only", "busybox", "sleep", "1"])).collect();
    let codes: Vec<i32> = children.into_iter().map(|child| Outcome::of_child(child).code()).collect();
    assert!(codes.iter().all(|code| [0, 125].contains(code)) && codes.contains(&0), "{codes:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn looking_for_a_name_early_does_not_take_it_away() {
    let tare = Tare::new();
    let names: Vec<String> = (0..8).map(|number| format!("early-{number}")).collect();
    let children: Vec<_> = names.iter().map(|name| tare.spawn(["--name", name, "busybox", "sleep", "1000"])).collect();
    until("every container is found running", || {
        let running = |name: &&String| tare.tare(["inspect", name]).stdout().contains("\"Running\": true");
        names.iter().filter(running).count() == names.len()
    });
    for (name, child) in names.iter().zip(children) {
        tare.tare(["kill", name]).ok();
        Outcome::of_child(child).exits(137);
    }
}
