//! Containers as systemd's scopes. `make vm` runs these, in a machine that systemd has started.

use std::fs;
use std::process::Command;

use e2e::{Outcome, Tare, until};

use crate::runtime::Bundle;

fn property(id: &str, name: &str) -> String {
    let mut systemctl = Command::new("systemctl");
    Outcome::of(systemctl.args(["show", "--value", "-p", name, &unit(id)])).ok().trim().to_owned()
}

fn unit(id: &str) -> String {
    format!("tare-{id}.scope")
}

fn group(id: &str, file: &str) -> String {
    fs::read_to_string(format!("/sys/fs/cgroup/system.slice/{}/{file}", unit(id))).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs systemd and cgroup v2: run `make vm`"]
fn systemd_knows_the_limits_and_keeps_them() {
    let tare = Tare::new();
    let limits = [
        "--memory=64m",
        "--memory-swap=96m",
        "--blkio-weight=300",
        "--cpus=0.25",
        "--pids-limit=77",
        "--cpuset-cpus=0",
    ];
    let id = tare.detached(&limits, "mknod /tmp/fuse c 10 229; while :; do cat /tmp/fuse; sleep 1; done");
    let known = [
        ("ActiveState", "active"),
        ("Slice", "system.slice"),
        ("Delegate", "yes"),
        ("MemoryMax", "67108864"),
        ("MemorySwapMax", "33554432"),
        ("TasksMax", "77"),
        ("IOWeight", "2930"),
        ("CPUQuotaPerSecUSec", "250ms"),
        ("AllowedCPUs", "0"),
    ];
    for (name, value) in known {
        assert_eq!(property(&id, name), value, "{name}");
    }
    let files = [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("pids.max", "77"),
        ("io.weight", "default 2930"),
        ("cpu.max", "25000 100000"),
        ("cpuset.cpus", "0"),
    ];
    let check = || files.iter().for_each(|(name, value)| assert_eq!(group(&id, name), *value, "{name}"));
    check();
    Outcome::of(Command::new("systemctl").arg("daemon-reload")).ok();
    check();
    let refused = |tare: &Tare| tare.tare(["logs", &id]).stderr().matches("Operation not permitted").count();
    let before = refused(&tare);
    until("devices are still refused", || refused(&tare) > before);
    tare.tare(["rm", "-f", &id]).ok();
    assert_eq!(property(&id, "LoadState"), "not-found");
}

#[test]
#[ignore = "needs systemd and cgroup v2: run `make vm`"]
fn a_slice_can_be_named() {
    let tare = Tare::new();
    let id = tare.detached(&["--cgroup-parent=tare-e2e.slice"], "exec sleep 1000");
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", tare.pid(&id))).unwrap();
    assert_eq!(cgroup.trim(), format!("0::/tare.slice/tare-e2e.slice/{}", unit(&id)));
    tare.tare(["rm", "-f", &id]).ok();
    tare.run(["--cgroup-parent=/tare/e2e", "busybox", "true"]).fails(125, "slice");
    tare.run(["--cgroup-parent=a--b.slice", "busybox", "true"]).fails(125, "slice");
}

#[test]
#[ignore = "needs systemd and cgroup v2: run `make vm`"]
fn a_container_remembers_who_made_its_group() {
    let tare = Tare::new();
    let id = tare.detached(&[], "trap 'exit 3' TERM; while :; do sleep 0.1; done");
    assert_eq!(property(&id, "ActiveState"), "active");
    for arguments in [["stop", &id], ["start", &id], ["kill", &id], ["rm", &id]] {
        if arguments[0] == "rm" {
            until("it has ended", || !tare.inspect(&id)["State"]["Running"].as_bool().unwrap());
        }
        let mut command = tare.command(["--cgroup-driver=cgroupfs"].into_iter().chain(arguments));
        Outcome::of(command.env("TARE_CGROUP_DRIVER", "cgroupfs")).ok();
    }
    assert_eq!(property(&id, "LoadState"), "not-found");
    tare.tare(["--cgroup-driver=upstart", "ps"]).fails(1, "upstart");
}

#[test]
#[ignore = "needs systemd and cgroup v2: run `make vm`"]
fn a_stop_of_the_scope_ends_the_container() {
    let tare = Tare::new();
    let id = tare.detached(&[], "trap 'exit 3' TERM; while :; do sleep 0.1; done");
    Outcome::of(Command::new("systemctl").args(["stop", &unit(&id)])).ok();
    assert_eq!(tare.tare(["wait", &id]).ok().trim(), "3");
}

#[test]
#[ignore = "needs systemd and cgroup v2: run `make vm`"]
fn a_bundle_names_its_scope() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /proc/1/cgroup /sys/fs/cgroup/pids.max");
    bundle.change(|config| {
        config["linux"]["cgroupsPath"] = format!("tare-e2e.slice:bundle:{}", bundle.id).into();
        config["linux"]["resources"]["pids"] = serde_json::json!({ "limit": 33 });
        // Without a namespace for them, the host's names are seen.
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
    });
    let run = ["--systemd-cgroup", "run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id];
    let expected = format!("0::/tare.slice/tare-e2e.slice/bundle-{}.scope\n33\n", bundle.id);
    assert_eq!(bundle.ok(&run), expected);
    bundle.change(|config| config["linux"]["cgroupsPath"] = "/a/b".into());
    let output = bundle.run(&run);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("SLICE:PREFIX:NAME"),
        "{output:?}"
    );
}
