//! cgroups: what a container may use, on both versions of the kernel's interface.

use std::fs;
use std::path::Path;

use e2e::{Cgroups, Tare, cgroup_hierarchies, cgroups_of};

/// Options, then file and content with cgroup v1, then with v2 (none where v2 has no such file).
type Limit = (&'static [&'static str], (&'static str, &'static str), Option<(&'static str, &'static str)>);

const LIMITS: &[Limit] = &[
    (&["--cpu-period=50000", "--cpu-quota=20000"], ("cpu/cpu.cfs_quota_us", "20000"), Some(("cpu.max", "20000 50000"))),
    (&["--cpu-period=50000", "--cpu-quota=20000"], ("cpu/cpu.cfs_period_us", "50000"), None),
    (&["--cpus=0.5"], ("cpu/cpu.cfs_quota_us", "50000"), Some(("cpu.max", "50000 100000"))),
    (&["--cpu-shares=512"], ("cpu/cpu.shares", "512"), Some(("cpu.weight", "20"))),
    (&["-c", "512"], ("cpu/cpu.shares", "512"), Some(("cpu.weight", "20"))),
    (&["--cpuset-cpus=0"], ("cpuset/cpuset.cpus", "0"), Some(("cpuset.cpus", "0"))),
    (&["--cpuset-mems=0"], ("cpuset/cpuset.mems", "0"), Some(("cpuset.mems", "0"))),
    (&["--memory=64m"], ("memory/memory.limit_in_bytes", "67108864"), Some(("memory.max", "67108864"))),
    (&["--memory=64m"], ("memory/memory.memsw.limit_in_bytes", "134217728"), Some(("memory.swap.max", "67108864"))),
    (
        &["-m", "64m", "--memory-swap=64m"],
        ("memory/memory.memsw.limit_in_bytes", "67108864"),
        Some(("memory.swap.max", "0")),
    ),
    (
        &["--memory-reservation=32m"],
        ("memory/memory.soft_limit_in_bytes", "33554432"),
        Some(("memory.low", "33554432")),
    ),
    (&["--memory-swappiness=10"], ("memory/memory.swappiness", "10"), None),
    (&["--pids-limit=77"], ("pids/pids.max", "77"), Some(("pids.max", "77"))),
    (&["--pids-limit=-1"], ("pids/pids.max", "max"), Some(("pids.max", "max"))),
];

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn each_option_writes_its_file() {
    let tare = Tare::new();
    for (options, v1, v2) in LIMITS {
        let expected = match Cgroups::here() {
            Cgroups::V1 => Some(v1),
            Cgroups::V2 => v2.as_ref(),
        };
        let Some((file, value)) = expected else { continue };
        let path = format!("/sys/fs/cgroup/{file}");
        // A kernel without swap accounting has no such file, outside neither.
        if Cgroups::here() == Cgroups::V1 && !Path::new(&path).exists() {
            continue;
        }
        let outcome = tare.run(options.iter().copied().chain(["busybox", "cat", &path]));
        assert_eq!(outcome.ok().trim(), *value, "{options:?} {file}");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn io_of_a_device_can_be_throttled() {
    let tare = Tare::new();
    let Some((device, numbers)) = disk() else { return };
    let (bps, iops) = (format!("--device-read-bps={device}:1mb"), format!("--device-write-iops={device}:100"));
    if Cgroups::here() == Cgroups::V1 {
        let script = "cat /sys/fs/cgroup/blkio/blkio.throttle.read_bps_device \
                      /sys/fs/cgroup/blkio/blkio.throttle.write_iops_device";
        tare.sh(&[&bps, &iops], script).prints(&format!("{numbers} 1048576\n{numbers} 100"));
    } else {
        tare.run([&bps, &iops, "busybox", "cat", "/sys/fs/cgroup/io.max"])
            .prints(&format!("{numbers} rbps=1048576 wbps=max riops=max wiops=100"));
    }
}

/// A whole disk of this machine and its numbers.
fn disk() -> Option<(String, String)> {
    let name = e2e::names(Path::new("/sys/block")).into_iter().find(|n| n.starts_with("vd") || n.starts_with("sd"))?;
    let numbers = fs::read_to_string(format!("/sys/block/{name}/dev")).ok()?;
    Some((format!("/dev/{name}"), numbers.trim().to_owned()))
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_busy_loop_gets_a_fifth_of_a_cpu() {
    let tare = Tare::new();
    let usage = match Cgroups::here() {
        Cgroups::V1 => "cat /sys/fs/cgroup/cpuacct/cpuacct.usage",
        Cgroups::V2 => "echo $(sed -n 's/usage_usec //p' /sys/fs/cgroup/cpu.stat)000",
    };
    let uptime = "cut -d' ' -f1 /proc/uptime";
    let script = format!("{uptime}; {usage}; timeout 3 sh -c 'while :; do :; done'; {usage}; {uptime}");
    let text = tare.sh(&["--cpu-period=100000", "--cpu-quota=20000"], &script).ok();
    let seen: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let share = (seen[2] - seen[1]) / 1e9 / (seen[3] - seen[0]);
    assert!((0.15..=0.25).contains(&share), "{share} of a CPU");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn out_of_memory_is_137_and_inspect_says_so() {
    let tare = Tare::new();
    let hog = ["run", "--network=none", "--name=hog", "--memory=32m", "busybox"];
    tare.tare(hog.into_iter().chain(["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"])).exits(137);
    let state = &tare.inspect("hog")["State"];
    assert_eq!(state["OOMKilled"], true, "{state}");
    assert_eq!(state["ExitCode"], 137, "{state}");
    let id = tare.detached(&[], "exit 0");
    tare.tare(["wait", &id]).ok();
    assert_eq!(tare.inspect(&id)["State"]["OOMKilled"], false);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn out_of_memory_of_a_child_is_noticed_too() {
    let tare = Tare::new();
    let script = "dd if=/dev/zero of=/dev/null bs=200M count=1; echo the shell lives";
    let id = tare.detached(&["--memory=32m"], script);
    tare.tare(["wait", &id]).prints("0");
    assert_eq!(tare.inspect(&id)["State"]["OOMKilled"], true);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_fork_bomb_stops_at_the_limit() {
    let tare = Tare::new();
    let outcome = tare.sh(&["--pids-limit=20"], "for i in $(seq 100); do sleep 100 & done; wait");
    assert_ne!(outcome.code(), 0);
    assert!(outcome.stderr().contains("fork"), "{outcome}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_oom_killer_can_be_turned_off() {
    if Cgroups::here() == Cgroups::V2 {
        return;
    }
    let tare = Tare::new();
    let file = "/sys/fs/cgroup/memory/memory.oom_control";
    tare.run(["-m", "64m", "--oom-kill-disable", "busybox", "cat", file]).says("oom_kill_disable 1");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn oom_score_and_ulimits_are_set() {
    let tare = Tare::new();
    tare.run(["--oom-score-adj=500", "busybox", "cat", "/proc/self/oom_score_adj"]).prints("500");
    let ulimits = ["--ulimit", "nofile=1000:2000", "--ulimit=core=0"];
    tare.sh(&ulimits, "ulimit -Sn; ulimit -Hn; ulimit -c").prints("1000\n2000\n0");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_limit_that_cannot_be_raised_is_clamped_with_a_warning() {
    let outcome = Tare::new().sh(&["--ulimit", "nofile=900000000"], "ulimit -Hn");
    // Either the kernel allows it, or the highest that is allowed is used and said.
    let limit: u64 = outcome.ok().trim().parse().unwrap();
    assert!(limit == 900_000_000 || outcome.stderr().contains("nofile"), "{outcome}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn shared_memory_has_a_size() {
    let tare = Tare::new();
    let size = "df -k /dev/shm | tail -1 | awk '{print $2}'";
    tare.sh(&[], size).prints("65536");
    tare.sh(&["--shm-size=16m"], size).prints("16384");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn values_out_of_range_are_refused() {
    let tare = Tare::new();
    for (option, words) in [
        ("--memory=1m", "6m"),
        ("--cpus=100000", "range of cpus"),
        ("--cpus=-1", "cpus"),
        ("--cpuset-cpus=4000", "4000"),
        ("--cpuset-cpus=x", "x"),
        ("--memory-swappiness=200", "200"),
        ("--cpu-period=5", "5"),
        ("--cpu-quota=5", "5"),
        ("--oom-score-adj=5000", "5000"),
        ("--shm-size=-1", "-1"),
    ] {
        tare.run([option, "busybox", "true"]).fails(125, words);
    }
    tare.run(["--cpus=1", "--cpu-quota=20000", "busybox", "true"]).exits(125);
    tare.tare(["create", "--cgroup-parent=/../up", "busybox"]).fails(1, "up");
    tare.run(["--memory=64m", "--memory-swap=32m", "busybox", "true"]).exits(125);
    tare.run(["--memory-swap=64m", "busybox", "true"]).exits(125);
    tare.tare(["ps", "-a", "-q"]).prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_the_kernel_lacks_is_a_warning() {
    let tare = Tare::new();
    let outcome = tare.run(["--kernel-memory=64m", "busybox", "true"]);
    outcome.ok();
    assert!(outcome.stderr().to_lowercase().contains("kernel"), "{outcome}");
    // Either the weight is there, under one of its names, or the user is told that it is not.
    let files = "/sys/fs/cgroup/blkio/blkio.*weight /sys/fs/cgroup/io.*weight";
    let outcome = tare.sh(&["--blkio-weight=300"], &format!("cat {files} 2>/dev/null; true"));
    // 10–1000 is 1–10000 in the file that version 2 has without BFQ.
    let set = outcome.stdout().lines().any(|line| line.ends_with("300") || line == "default 2930");
    assert!(set || outcome.stderr().contains("weight"), "{outcome}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn another_parent_can_be_named() {
    let tare = Tare::new();
    if e2e::systemd_makes_cgroups() {
        // `systemd::a_slice_can_be_named`.
        return;
    }
    let parent = format!("tare-e2e-{}", std::process::id());
    let option = format!("--cgroup-parent=/{parent}");
    let id = tare.detached(&[&option], "exec sleep 1000");
    let pid = tare.pid(&id);
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let joined = cgroups.lines().filter(|line| line.ends_with(&format!("/{parent}/{id}"))).count();
    assert!(joined >= if Cgroups::here() == Cgroups::V1 { 5 } else { 1 }, "{cgroups}");
    assert_eq!(cgroups_of(&id), [""; 0].map(std::path::PathBuf::from));
    tare.tare(["rm", "-f", &id]).ok();
    for hierarchy in cgroup_hierarchies() {
        assert!(!hierarchy.join(&parent).join(&id).exists());
        let _ = fs::remove_dir(hierarchy.join(&parent));
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_container_joins_every_hierarchy() {
    let tare = Tare::new();
    let id = tare.detached(&[], "exec sleep 1000");
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", tare.pid(&id))).unwrap();
    // A hierarchy with only a name controls nothing; nor does version 2 beside version 1.
    let controls = |line: &&str| Cgroups::here() == Cgroups::V2 || !line.starts_with("0::") && !line.contains("name=");
    let controllers = cgroups.lines().filter(controls);
    for line in controllers {
        let expected =
            if e2e::systemd_makes_cgroups() { format!("/system.slice/tare-{id}.scope") } else { format!("/tare/{id}") };
        assert!(line.ends_with(&expected), "{line}");
    }
    assert!(!cgroups_of(&id).is_empty());
    tare.tare(["rm", "-f", &id]).ok();
    e2e::until("its cgroups are gone", || cgroups_of(&id).is_empty());
}
