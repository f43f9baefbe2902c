//! What a container sees of the machine, and which views it can share.

use std::fs;

use e2e::Tare;

/// `readlink` of one of the host's namespaces.
fn host(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string()
}

fn inside(tare: &Tare, options: &[&str], name: &str) -> String {
    tare.sh(options, &format!("readlink /proc/self/ns/{name}")).ok().trim().to_owned()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn seven_are_private_by_default() {
    let tare = Tare::new();
    for name in ["pid", "mnt", "net", "uts", "ipc", "cgroup", "time"] {
        assert_ne!(inside(&tare, &[], name), host(name), "{name}");
    }
    assert_eq!(inside(&tare, &[], "user"), host("user"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn each_can_be_the_hosts() {
    let tare = Tare::new();
    for (option, name) in [
        ("--pid=host", "pid"),
        ("--ipc=host", "ipc"),
        ("--uts=host", "uts"),
        ("--cgroupns=host", "cgroup"),
        ("--userns=host", "user"),
    ] {
        assert_eq!(inside(&tare, &[option], name), host(name), "{option}");
    }
    // `--network` given twice is an error, and the usual options have one: this one is spelled out.
    let network = tare.tare(["run", "--rm", "--network=host", "busybox", "readlink", "/proc/self/ns/net"]);
    network.prints(&host("net"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_command_is_pid_1_and_alone() {
    let tare = Tare::new();
    tare.sh(&[], "echo $$").prints("1");
    let processes = tare.run(["busybox", "ps", "-o", "pid,args"]).ok();
    assert_eq!(processes.lines().count(), 2, "{processes}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn pid_host_shows_the_hosts_processes() {
    let tare = Tare::new();
    tare.sh(&["--pid=host"], &format!("test -d /proc/{}", std::process::id())).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn another_containers_can_be_joined() {
    let tare = Tare::new();
    let id = tare.detached(&["--name", "first", "--ipc=shareable"], "exec sleep 1000");
    let first = |name: &str| fs::read_link(format!("/proc/{}/ns/{name}", tare.pid(&id))).unwrap().display().to_string();
    assert_eq!(inside(&tare, &["--pid=container:first"], "pid"), first("pid"));
    assert_eq!(inside(&tare, &["--ipc=container:first"], "ipc"), first("ipc"));
    let joined = ["run", "--rm", "--network=container:first", "busybox", "readlink", "/proc/self/ns/net"];
    tare.tare(joined).prints(&first("net"));
    let seen = tare.sh(&["--pid", "container:first"], "ps -o args").ok();
    assert!(seen.contains("sleep 1000"), "{seen}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_shared_ipc_namespace_shares_its_memory() {
    let tare = Tare::new();
    let id = tare.detached(&["--ipc=shareable"], "echo hello >/dev/shm/word; exec sleep 1000");
    let container = format!("--ipc=container:{id}");
    e2e::until("the word is written", || tare.sh(&[&container], "cat /dev/shm/word").stdout() == "hello\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_private_ipc_namespace_cannot_be_joined() {
    let tare = Tare::new();
    let id = tare.detached(&["--ipc=private"], "exec sleep 1000");
    tare.run([&format!("--ipc=container:{id}"), "busybox", "true"]).fails(125, "shareable");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn without_ipc_there_is_no_shared_memory() {
    let tare = Tare::new();
    let mounts = tare.run(["--ipc=none", "busybox", "cat", "/proc/self/mounts"]).ok();
    assert!(!mounts.contains(" /dev/shm "), "{mounts}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn hostname_is_the_id_or_what_is_asked_for() {
    let tare = Tare::new();
    let id = tare.detached(&[], "hostname; exec sleep 1000");
    tare.wait_for_log(&id, &id[..12]);
    tare.sh(
        &["--hostname=box", "--domainname=example.test"],
        "hostname; cat /proc/sys/kernel/domainname /etc/hostname",
    )
    .prints("box\nexample.test\nbox");
    tare.sh(&["-h", "box"], "echo $HOSTNAME; cat /etc/hostname; grep -c box /etc/hosts").exits(0);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn hosts_file_has_the_added_names() {
    let tare = Tare::new();
    let hosts = tare.run(["--add-host", "db:10.1.2.3", "--add-host=v6:fd00::1", "busybox", "cat", "/etc/hosts"]).ok();
    let has = |address: &str, name: &str| {
        hosts.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == [address, name])
    };
    assert!(has("10.1.2.3", "db") && has("fd00::1", "v6"), "{hosts}");
    assert!(hosts.lines().any(|line| line.starts_with("127.0.0.1") && line.contains("localhost")), "{hosts}");
    tare.run(["--add-host", "nonsense", "busybox", "true"]).fails(125, "nonsense");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_container_is_the_root_of_its_cgroups() {
    let tare = Tare::new();
    let seen = tare.run(["busybox", "cat", "/proc/self/cgroup"]).ok();
    assert!(seen.lines().all(|line| line.ends_with(":/")), "{seen}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn clocks_have_an_offset_when_asked() {
    let tare = Tare::new();
    let uptime = |options: &[&str]| -> f64 {
        tare.run(options.iter().chain(&["busybox", "cut", "-d ", "-f1", "/proc/uptime"])).ok().trim().parse().unwrap()
    };
    let host: f64 = fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((uptime(&[]) - host).abs() < 10.0);
    assert!(uptime(&["--time-offset", "boottime=zero"]) < 10.0);
    assert!(uptime(&["--time-offset", "boottime=+1000000"]) > host + 999_990.0);
    assert!(uptime(&["--time-offset=boottime=zero,monotonic=zero"]) < 10.0);
    tare.run(["--time-offset", "realtime=5", "busybox", "true"]).fails(125, "realtime");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn userns_auto_maps_a_range_and_owns_its_files() {
    let tare = Tare::new();
    let map = tare.run(["--userns=auto", "busybox", "cat", "/proc/self/uid_map"]).ok();
    let map: Vec<u32> = map.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert!(map[0] == 0 && map[1] >= 65536 && map[2] == 65536, "{map:?}");
    // The image's files keep their owners inside, and nothing was chowned outside.
    let script = "id -u; stat -c %u /bin/busybox /etc/passwd; touch /x; stat -c %u /x";
    tare.sh(&["--userns=auto"], script).prints("0\n0\n0\n0");
    tare.sh(&[], "stat -c %u /bin/busybox").prints("0");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn userns_auto_maps_binds_too() {
    use std::os::unix::fs::MetadataExt;
    let tare = Tare::new();
    let dir = tare.dir("shared");
    fs::write(dir.join("theirs"), "x").unwrap();
    let bind = format!("{}:/shared", dir.display());
    tare.sh(&["--userns=auto", "-v", &bind], "stat -c %u /shared/theirs; touch /shared/mine").prints("0");
    assert_eq!(fs::metadata(dir.join("mine")).unwrap().uid(), 0);
}
