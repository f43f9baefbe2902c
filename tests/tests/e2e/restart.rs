//! Restart policies: who is started again, how often, and who no longer.

use e2e::{Outcome, Tare, is_alive, process_field, until};

fn status(tare: &Tare, name: &str) -> String {
    tare.inspect(name)["State"]["Status"].as_str().unwrap().to_owned()
}

fn restarts(tare: &Tare, name: &str) -> u64 {
    tare.inspect(name)["RestartCount"].as_u64().unwrap()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn failures_are_tried_again_as_often_as_asked() {
    let tare = Tare::new();
    tare.detached(&["--name=box", "--restart=on-failure:3"], "echo ran; exit 7");
    until("it has been given up", || status(&tare, "box") == "exited");
    let state = tare.inspect("box");
    let seen = (&state["RestartCount"], &state["State"]["ExitCode"]);
    assert_eq!(seen, (&3.into(), &7.into()), "{}", state["State"]);
    assert_eq!(tare.tare(["logs", "box"]).stdout(), "ran\n".repeat(4));
    assert_eq!(state["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 3);
    // Success is no failure.
    tare.detached(&["--name=good", "--restart=on-failure"], "exit 0");
    until("it has ended", || status(&tare, "good") == "exited");
    assert_eq!(restarts(&tare, "good"), 0);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_end_that_somebody_asked_for_is_the_end() {
    let tare = Tare::new();
    for how in [["stop", "-t", "0", "box"].as_slice(), &["kill", "box"], &["kill", "-s", "TERM", "box"]] {
        tare.detached(&["--name=box", "--restart=always"], "trap 'exit 3' TERM; while :; do sleep 0.05; done");
        tare.tare(how).ok();
        until("it has ended", || status(&tare, "box") == "exited");
        assert_eq!(restarts(&tare, "box"), 0, "{how:?}");
        tare.tare(["rm", "box"]).ok();
    }
    // Killed by somebody else, it comes again.
    tare.detached(&["--name=box", "--restart=unless-stopped"], "exec sleep 1000");
    let pid = tare.pid("box");
    let number = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
    until("it runs again", || restarts(&tare, "box") == 1 && status(&tare, "box") == "running");
    assert_ne!(tare.pid("box"), pid);
    tare.tare(["restart", "-t", "0", "box"]).ok();
    assert_eq!((restarts(&tare, "box"), status(&tare, "box").as_str()), (0, "running"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn between_two_runs_it_can_be_stopped_started_and_removed() {
    let tare = Tare::new();
    let restarting = |name: &str| {
        tare.detached(&[&format!("--name={name}"), "--restart=always"], "exit 5");
        // From the fifth on the pause is longer than a second.
        until("it waits for long", || restarts(&tare, name) >= 4 && status(&tare, name) == "restarting");
    };
    restarting("box");
    tare.tare(["ps"]).says("Restarting (5)");
    tare.tare(["rm", "box"]).fails(1, "restarting");
    tare.tare(["exec", "box", "true"]).fails(1, "not running");
    tare.tare(["stop", "box"]).ok();
    assert_eq!(status(&tare, "box"), "exited");
    tare.tare(["rm", "box"]).ok();
    restarting("box");
    tare.tare(["rm", "-f", "box"]).ok();
    restarting("box");
    tare.tare(["start", "box"]).ok();
    until("it counts from the start", || restarts(&tare, "box") < 4);
    tare.tare(["rm", "-f", "box"]).ok();
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn stopping_at_any_moment_stops() {
    let tare = Tare::new();
    for round in 0..10 {
        tare.detached(&["--name=box", "--restart=always"], "exit 1");
        std::thread::sleep(std::time::Duration::from_millis(37 * round));
        tare.tare(["stop", "box"]).ok();
        assert_eq!(status(&tare, "box"), "exited", "round {round}");
        tare.tare(["rm", "box"]).ok();
    }
    for round in 0..10 {
        tare.detached(&["--name=box", "--restart=always"], "exit 1");
        std::thread::sleep(std::time::Duration::from_millis(41 * round));
        tare.tare(["rm", "-f", "box"]).ok();
    }
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn looking_on_does_not_disturb() {
    use rustix::fs::{FlockOperation, flock};
    let tare = Tare::new();
    let id = tare.detached(&["--name=box", "--restart=on-failure:4"], "exit 7");
    let lock = tare.run_dir().join("containers").join(id).join("monitor.lock");
    let looking = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        // As every command does that asks whether there is a monitor, only more often.
        scope.spawn(|| {
            while looking.load(std::sync::atomic::Ordering::Relaxed) {
                let file = std::fs::File::open(&lock);
                let _ = file.map(|file| flock(&file, FlockOperation::NonBlockingLockExclusive));
            }
        });
        until("it has been given up", || status(&tare, "box") == "exited");
        looking.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(restarts(&tare, "box"), 4, "{}", tare.inspect("box")["State"]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_run_that_has_begun_again_is_stopped_as_any_other() {
    let tare = Tare::new();
    // The first two runs fail, the next ones stay: whoever stops it around then meets a pause, a start, or a run.
    let script = "echo x >> /runs; [ $(wc -l < /runs) -gt 2 ] || exit 1; exec sleep 1000";
    for round in 0..12 {
        tare.detached(&["--name=box", "--restart=always"], script);
        std::thread::sleep(std::time::Duration::from_millis(35 * round));
        let verb: &[&str] = if round % 2 == 0 { &["stop", "-t", "0", "box"] } else { &["rm", "-f", "box"] };
        let mut child = tare.command(verb).spawn().unwrap();
        until("it is done with", || child.try_wait().unwrap().is_some());
        assert!(child.wait().unwrap().success(), "round {round}");
        if round % 2 == 0 {
            assert_eq!(status(&tare, "box"), "exited", "round {round}");
            tare.tare(["rm", "box"]).ok();
        }
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn killed_while_paused_it_runs_again_and_is_not_paused() {
    let tare = Tare::new();
    tare.detached(&["--name=box", "--restart=always"], "exec sleep 1000");
    let number = rustix::process::Pid::from_raw(tare.pid("box") as i32).unwrap();
    tare.tare(["pause", "box"]).ok();
    rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
    if e2e::Cgroups::here() == e2e::Cgroups::V1 {
        // There a frozen process does not even die.
        tare.tare(["unpause", "box"]).ok();
    }
    until("it runs again", || restarts(&tare, "box") == 1 && status(&tare, "box") != "restarting");
    assert_eq!(status(&tare, "box"), "running");
    tare.tare(["exec", "box", "true"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_policy_can_change_while_it_runs() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "sleep 1; exit 2");
    tare.tare(["update", "--restart=always", "box"]).ok();
    until("it is started again", || restarts(&tare, "box") > 0);
    tare.tare(["update", "--restart=no", "box"]).ok();
    until("it stays ended", || status(&tare, "box") == "exited");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn after_a_boot_what_should_run_runs() {
    let tare = Tare::new();
    let script = "exec sleep 1000";
    for (name, policy) in
        [("never", "no"), ("always", "always"), ("unless", "unless-stopped"), ("stopped", "unless-stopped")]
    {
        tare.detached(&[&format!("--name={name}"), &format!("--restart={policy}")], script);
    }
    tare.tare(["stop", "-t", "0", "stopped"]).ok();
    // A machine that goes down takes the monitors with it, and what is in the run directory.
    for name in ["never", "always", "unless"] {
        let pid = tare.pid(name);
        let monitor: u32 = process_field(pid, "PPid:").unwrap().parse().unwrap();
        let number = rustix::process::Pid::from_raw(monitor as i32).unwrap();
        rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
        until("it went down", || !is_alive(pid) && !is_alive(monitor));
    }
    std::fs::remove_dir_all(tare.run_dir()).unwrap();
    tare.tare(["system", "start"]).prints("always\nunless");
    let running = tare.tare(["ps", "-q"]).ok();
    assert_eq!(running.lines().count(), 2, "{running}");
    tare.tare(["system", "start"]).prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn policies_that_make_no_sense_are_refused() {
    let tare = Tare::new();
    let run = |policy: &str| -> Outcome { tare.tare(["create", policy, "busybox"]) };
    run("--restart=sometimes").fails(1, "invalid restart policy");
    run("--restart=always:3").fails(1, "only on-failure");
    run("--restart=on-failure:x").fails(1, "attempts");
    tare.tare(["run", "--rm", "--restart=always", "busybox"]).fails(125, "conflicting options");
}
