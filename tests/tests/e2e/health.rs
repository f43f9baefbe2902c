//! Health checks: by the monitor, with nothing else that runs.

use e2e::{Tare, until};
use serde_json::Value;

fn health(tare: &Tare, name: &str) -> Value {
    tare.inspect(name)["State"]["Health"].clone()
}

fn is(tare: &Tare, name: &str, status: &str) -> bool {
    health(tare, name)["Status"] == status
}

const FAST: [&str; 3] = ["--name=box", "--health-interval=100ms", "--health-retries=2"];

fn checked<'a>(options: &[&'a str]) -> Vec<&'a str> {
    FAST.iter().chain(options).copied().collect()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn checks_decide_and_are_remembered() {
    let tare = Tare::new();
    let check = "--health-cmd=echo seen $WORD by $(id -u) in $(pwd) as $$; test -e /well";
    let id = tare.detached(&checked(&[check, "-eWORD=this", "-u1000", "-w/srv"]), "exec sleep 1000");
    assert_eq!(health(&tare, "box")["Status"], "starting");
    tare.tare(["ps"]).says("(health: starting)");
    until("it is unhealthy", || is(&tare, "box", "unhealthy"));
    tare.tare(["ps"]).says("(unhealthy)");
    assert!(health(&tare, "box")["FailingStreak"].as_u64() >= Some(2));
    tare.tare(["exec", "-u0", "box", "touch", "/well"]).ok();
    until("it is healthy", || is(&tare, "box", "healthy"));
    until("five are remembered", || health(&tare, "box")["Log"].as_array().unwrap().len() == 5);
    let last = health(&tare, "box")["Log"][4].clone();
    assert_eq!(last["ExitCode"], 0);
    assert!(last["Output"].as_str().unwrap().starts_with("seen this by 1000 in /srv as "), "{last}");
    assert!(last["Start"].as_str() < last["End"].as_str());
    tare.tare(["ps"]).says("(healthy)");
    let config = &tare.inspect("box")["Config"]["Healthcheck"];
    assert_eq!((&config["Interval"], &config["Retries"]), (&100_000_000.into(), &2.into()));
    tare.tare(["pause", "box"]).ok();
    tare.tare(["ps"]).says("(Paused)");
    tare.tare(["unpause", "box"]).ok();
    let init = tare.pid("box");
    let monitor: u32 = e2e::process_field(init, "PPid:").unwrap().parse().unwrap();
    // Neither here nor in the container a zombie, whenever one looks.
    let zombies = || children(monitor).iter().chain(&children(init)).any(|pid| is_zombie(*pid));
    until("no check is left", || !zombies());
    tare.tare(["stop", "-t0", "box"]).ok();
    // How it was is still to be seen.
    assert_eq!(health(&tare, "box")["Status"], "healthy");
    assert!(tare.container_dir(&id).join("health.json").exists());
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn is_zombie(pid: u32) -> bool {
    e2e::process_field(pid, "State:").is_some_and(|state| state.starts_with('Z'))
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_check_that_hangs_is_killed_with_what_it_started() {
    let tare = Tare::new();
    let check = "--health-cmd=echo $$ >> /pids; sleep 987 & echo waiting; sleep 986; :";
    let id = tare.detached(&checked(&[check, "--health-timeout=200ms"]), "exec sleep 1000");
    until("it is unhealthy", || is(&tare, "box", "unhealthy"));
    let entry = health(&tare, "box")["Log"][0].clone();
    assert_eq!((&entry["ExitCode"], &entry["Output"]), (&(-1).into(), &"Health check exceeded timeout (200ms)".into()));
    let sleeps = || {
        let text = tare.tare(["exec", "box", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).ok();
        text.matches("sleep 98").count()
    };
    // The one that runs at this moment has two.
    assert!(sleeps() <= 2, "{}", sleeps());
    let pids = tare.tare(["exec", "box", "cat", "/pids"]).ok();
    assert!(pids.lines().count() >= 2, "{pids}");
    tare.tare(["rm", "-f", &id]).ok();
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn output_is_kept_up_to_a_limit_and_errors_are_told() {
    let tare = Tare::new();
    tare.detached(&checked(&["--health-cmd=yes y | head -c 100000"]), "exec sleep 1000");
    until("it is healthy", || is(&tare, "box", "healthy"));
    let output = health(&tare, "box")["Log"][0]["Output"].as_str().unwrap().to_owned();
    assert_eq!((output.len(), &output[4090..]), (4099, "y\ny\ny\n..."));
    tare.tare(["rm", "-f", "box"]).ok();
    let change = "HEALTHCHECK --interval=100ms --retries=1 CMD [\"/no/such\", \"program\"]";
    let change = ["import", "--change", change, "--change", "CMD [\"sleep\", \"1000\"]"];
    tare.tare(change.into_iter().chain([e2e::fixture("busybox.tar").as_str(), "checked"])).ok();
    tare.tare(["run", "-d", "--name=box", "checked"]).ok();
    until("it is unhealthy", || is(&tare, "box", "unhealthy"));
    let entry = health(&tare, "box")["Log"][0].clone();
    assert_eq!(entry["ExitCode"], -1);
    assert!(entry["Output"].as_str().unwrap().contains("/no/such"), "{entry}");
    // The image's check can be taken away, and replaced.
    tare.tare(["run", "-d", "--name=none", "--no-healthcheck", "checked"]).ok();
    assert_eq!(health(&tare, "none"), Value::Null);
    assert_eq!(tare.inspect("none")["Config"]["Healthcheck"]["Test"][0], "NONE");
    tare.tare(["run", "-d", "--name=other", "--health-cmd=true", "checked"]).ok();
    until("it is healthy", || is(&tare, "other", "healthy"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_start_period_forgives_and_asks_at_its_own_pace() {
    let tare = Tare::new();
    let start = ["--health-start-period=30s", "--health-start-interval=50ms", "--health-cmd=test -e /well"];
    let options: Vec<&str> =
        ["--name=box", "--health-interval=1h", "--health-retries=1"].into_iter().chain(start).collect();
    tare.detached(&options, "exec sleep 1000");
    until("it was asked often", || health(&tare, "box")["Log"].as_array().unwrap().len() == 5);
    assert_eq!(
        (&health(&tare, "box")["Status"], &health(&tare, "box")["FailingStreak"]),
        (&"starting".into(), &0.into())
    );
    tare.tare(["exec", "box", "touch", "/well"]).ok();
    until("it is healthy", || is(&tare, "box", "healthy"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn something_is_done_about_an_unhealthy_container() {
    let tare = Tare::new();
    // The second run is well.
    let check = "--health-cmd=test $(wc -l < /runs) -gt 1";
    let run = |action: &str, options: &[&str], script: &str| {
        let action = format!("--health-on-failure={action}");
        let options = checked(&[&[check, &action, "--stop-timeout=1"], options].concat());
        tare.detached(&options, &format!("echo run >> /runs; {script}"));
    };
    let state = || tare.inspect("box")["State"].clone();
    let runs_again = || {
        let now = tare.inspect("box");
        now["RestartCount"] == 1 && now["State"]["Status"] == "running" && now["State"]["Health"]["Status"] == "healthy"
    };
    let polite = "trap 'exit 3' TERM; while :; do sleep 0.05; done";

    run("kill", &[], polite);
    until("it was killed", || state()["Status"] == "exited");
    assert_eq!(state()["ExitCode"], 137);
    assert!(state()["Error"].as_str().unwrap().contains("unhealthy"));
    tare.tare(["rm", "box"]).ok();

    run("kill", &["--restart=always"], polite);
    until("its policy has started it again", runs_again);
    tare.tare(["rm", "-f", "box"]).ok();

    run("stop", &["--restart=always"], polite);
    until("it was stopped", || state()["Status"] == "exited");
    assert_eq!(state()["ExitCode"], 3);
    tare.tare(["rm", "box"]).ok();

    run("stop", &[], "trap '' TERM; while :; do sleep 0.05; done");
    until("it was stopped by force", || state()["Status"] == "exited");
    assert_eq!(state()["ExitCode"], 137);
    tare.tare(["rm", "box"]).ok();

    run("restart", &[], polite);
    until("it was started again", runs_again);
    tare.tare(["stop", "-t0", "box"]).ok();
    assert_eq!(state()["Status"], "exited");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn checks_that_make_no_sense_are_refused() {
    let tare = Tare::new();
    let create = |options: &[&str]| tare.tare(["create"].iter().chain(options).chain(&["busybox"]));
    create(&["--health-interval=soon"]).fails(1, "health-interval");
    create(&["--health-interval=10us"]).fails(1, "less than 1ms");
    create(&["--health-retries=-1"]).fails(1, "negative");
    create(&["--no-healthcheck", "--health-cmd=true"]).fails(1, "conflicting options");
    create(&["--health-on-failure=weep"]).fails(1, "none, kill, restart or stop");
    create(&["--health-on-failure=restart", "--restart=always"]).fails(1, "conflicting options");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_ends_whatever_a_check_is_doing() {
    let tare = Tare::new();
    for round in 0..20 {
        tare.detached(&["--name=box", "--health-interval=1ms", "--health-cmd=true"], "exec sleep 1000");
        std::thread::sleep(std::time::Duration::from_millis(3 * round));
        let mut child = tare.command(["rm", "-f", "box"]).spawn().unwrap();
        until("it is gone", || child.try_wait().unwrap().is_some());
        assert!(child.wait().unwrap().success());
    }
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn nothing_of_a_check_is_left_where_the_pids_are_the_hosts() {
    let tare = Tare::new();
    // Each check leaves a child behind that ends a little later.
    let options = ["--name=box", "--pid=host", "--health-interval=20ms", "--health-cmd=sleep 0.1 & :"];
    tare.detached(&options, "exec sleep 1000");
    until("checks have been made", || health(&tare, "box")["Log"].as_array().unwrap().len() == 5);
    let monitor: u32 = e2e::process_field(tare.pid("box"), "PPid:").unwrap().parse().unwrap();
    let zombies = || children(monitor).iter().filter(|pid| is_zombie(**pid)).count();
    until("the dead are buried", || zombies() == 0);
}
