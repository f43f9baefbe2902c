//! Signals to containers in every state, and what is left of them.

use std::fs;

use e2e::{Tare, until};
use serde_json::json;

use super::Bundle;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn signals_are_named_in_every_way() {
    let tare = Tare::empty();
    let script = "for s in HUP USR1 USR2; do trap \"echo $s >>/dev/shm/got\" $s; done; \
                  touch /dev/shm/ready; while :; do sleep 0.01; done";
    let bundle = Bundle::new(&tare, script);
    bundle.start();
    until("it is ready", || bundle.run(&["exec", &bundle.id, "test", "-e", "/dev/shm/ready"]).status.success());
    for (index, signal) in ["1", "USR1", "SIGUSR2", "sighup"].iter().enumerate() {
        bundle.ok(&["kill", &bundle.id, signal]);
        until("it was caught", || {
            bundle
                .run(&["exec", &bundle.id, "wc", "-l", "/dev/shm/got"])
                .stdout
                .starts_with((index + 1).to_string().as_bytes())
        });
    }
    assert_eq!(bundle.ok(&["exec", &bundle.id, "cat", "/dev/shm/got"]), "HUP\nUSR1\nUSR2\nHUP\n");
    for bad in ["nonsense", "99", "SIG"] {
        bundle.fails(&["kill", &bundle.id, bad], "invalid signal");
    }
    bundle.fails(&["kill", "nobody", "TERM"], "does not exist");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_created_container_and_a_paused_one_can_be_killed() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.create();
    bundle.ok(&["kill", &bundle.id, "KILL"]);
    until("it has stopped", || bundle.status() == "stopped");
    bundle.fails(&["start", &bundle.id], "stopped");
    bundle.ok(&["kill", "--all", &bundle.id, "KILL"]);
    bundle.ok(&["delete", &bundle.id]);
    for all in [&[][..], &["--all"]] {
        bundle.start();
        bundle.ok(&["pause", &bundle.id]);
        bundle.fails(&["pause", &bundle.id], "not running");
        bundle.ok(&[&["kill"], all, &[&bundle.id, "KILL"]].concat());
        until("it has stopped", || bundle.status() == "stopped");
        bundle.fails(&["resume", &bundle.id], "not paused");
        bundle.ok(&["delete", &bundle.id]);
    }
}

/// The specification asks for a process only when the container is started.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_without_a_process_can_be_created_and_not_started() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    bundle.change(|config| drop(config["process"].take()));
    bundle.create();
    assert_eq!(bundle.status(), "created");
    bundle.fails(&["start", &bundle.id], "no command given");
    until("it has stopped", || bundle.status() == "stopped");
    bundle.ok(&["delete", &bundle.id]);
    assert!(bundle.cgroups().is_empty());
}

/// Without a pid namespace of its own, what a container has started outlives its init.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_among_the_hosts_processes_is_killed_whole() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "sleep 1001 & exec sleep 1000");
    bundle.change(|config| {
        config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "ipc" }, { "type": "uts" }]);
        config["mounts"] = json!([{ "destination": "/proc", "type": "proc", "source": "proc" }]);
        config["linux"]["resources"]["devices"] = json!([]);
    });
    bundle.start();
    let pids = || -> Vec<u32> { serde_json::from_str(&bundle.ok(&["ps", "-f", "json", &bundle.id])).unwrap() };
    until("both run", || pids().len() == 2);
    let both = pids();
    bundle.ok(&["kill", &bundle.id, "KILL"]);
    until("both are gone", || !both.iter().any(|&pid| e2e::is_alive(pid)));
    bundle.ok(&["delete", &bundle.id]);
    assert!(bundle.cgroups().is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_forced_delete_needs_nothing_to_delete() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.fails(&["delete", &bundle.id], "does not exist");
    bundle.ok(&["delete", "--force", &bundle.id]);
    // What a `create` has left that was killed: it keeps the name.
    let half = tare.run_dir().join("runtime").join(&bundle.id);
    fs::create_dir_all(&half).unwrap();
    bundle.fails(&["create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id], "already exists");
    bundle.ok(&["delete", "--force", &bundle.id]);
    assert!(!half.exists());
    bundle.start();
    bundle.ok(&["pause", &bundle.id]);
    bundle.ok(&["delete", "--force", &bundle.id]);
    bundle.fails(&["state", &bundle.id], "does not exist");
    assert!(bundle.cgroups().is_empty());
}

/// Numbers come round after hours; here init is so young that another process may have been started in the same tick.
fn started_at_another_time(ticks: u64) -> std::process::Child {
    e2e::until_some("the clock ticks", || {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let start: u64 = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
        if start != ticks {
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    })
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn another_process_with_inits_number_is_left_alone() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.start();
    bundle.ok(&["kill", &bundle.id, "KILL"]);
    until("it has stopped", || bundle.status() == "stopped");
    let state = tare.run_dir().join("runtime").join(&bundle.id).join("state.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    let mut other = started_at_another_time(record["init_process_start"].as_u64().unwrap());
    record["init_process_pid"] = other.id().into();
    fs::write(&state, record.to_string()).unwrap();
    assert_eq!(bundle.status(), "stopped");
    bundle.fails(&["kill", &bundle.id, "KILL"], "not running");
    bundle.ok(&["kill", "--all", &bundle.id, "KILL"]);
    bundle.ok(&["delete", "--force", &bundle.id]);
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}
