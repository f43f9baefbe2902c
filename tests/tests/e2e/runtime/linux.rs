//! What the `linux` object asks of the kernel beside namespaces, mounts and limits.

use std::process::{Command, Output};

use e2e::Tare;
use serde_json::json;

use super::Bundle;

/// Runs the bundle from a network namespace with two devices: `first` has addresses and a peer that is up.
fn among_devices(bundle: &Bundle<'_>) -> Output {
    let script = format!(
        "set -e; ip link add first type veth peer name far; ip link add second type veth peer name far2; ip link set far up; \
         ip addr add 10.11.12.13/24 dev first; ip addr add 10.11.12.14/32 dev first; \
         ip -6 addr add fd00:1::5/64 dev first nodad 2>/dev/null || true; ip link set first up; \
         {} runtime --root {} run --bundle {} {}",
        e2e::binary().display(),
        bundle.tare.run_dir().join("runtime").display(),
        bundle.dir.display(),
        bundle.id
    );
    Command::new("unshare").args(["--net", "sh", "-c", &script]).output().unwrap()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn network_devices_move_with_their_addresses() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "ip -o link; ip -o addr");
    bundle.change(|config| {
        config["linux"]["netDevices"] = json!({ "first": { "name": "inner" }, "second": { "name": "numbered%d" } });
    });
    let output = among_devices(&bundle);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in ["inner@", "numbered0@", "10.11.12.13/24", "10.11.12.14/32"] {
        assert!(text.contains(expected), "no {expected:?}: {output:?}");
    }
    let inner = text.lines().find(|line| line.contains("inner@")).unwrap();
    assert!(inner.contains("UP"), "{inner}");
    // A link-local address comes with the link; this one was set.
    assert!(!std::path::Path::new("/proc/net/if_inet6").exists() || text.contains("fd00:1::5/64"), "{output:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn network_devices_that_cannot_be_moved_are_named() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    for (devices, words) in [
        (json!({ "none": {} }), "\"none\": there is none of this name"),
        (json!({ "first": { "name": "lo" } }), "\"lo\": the name is taken there"),
        (json!({ "first": { "name": "a/b" } }), "invalid name of a network device \"a/b\""),
        (json!({ "first": { "name": "much-too-long-a-name" } }), "invalid name"),
        (json!({ "lo": { "name": "other" } }), "\"lo\" into the container as \"other\""),
    ] {
        bundle.change(|config| config["linux"]["netDevices"] = devices.clone());
        let output = among_devices(&bundle);
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{words}: {output:?}");
    }
    bundle.change(|config| {
        config["linux"]["netDevices"] = json!({ "first": {} });
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "network");
    });
    let output = among_devices(&bundle);
    assert!(String::from_utf8_lossy(&output.stderr).contains("network namespace of the container's own"), "{output:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn memory_lies_where_the_policy_says() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "grep -o -m 1 'bind[^ ]*' /proc/self/numa_maps; exec sleep 1000");
    bundle.change(|config| {
        config["linux"]["memoryPolicy"] =
            json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] });
    });
    bundle.start();
    let seen = bundle.ok(&["exec", &bundle.id, "grep", "-o", "-m", "1", "bind[^ ]*", "/proc/self/numa_maps"]);
    assert_eq!(seen, "bind=static:0\n");
    assert_eq!(
        bundle.ok(&["exec", &bundle.id, "sed", "-n", "1s/.*\\(bind[^ ]*\\).*/\\1/p", "/proc/1/numa_maps"]),
        seen
    );
    bundle.ok(&["delete", "--force", &bundle.id]);
    bundle.change(|config| config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND" }));
    bundle.is_refused("memory policy Bind");
    bundle.change(|config| config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_PREFERRED", "nodes": "0-" }));
    bundle.is_refused("list of memory nodes \"0-\"");
    bundle.change(|config| config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_NONSENSE" }));
    bundle.is_refused("MPOL_NONSENSE");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn clocks_start_where_they_are_told() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cut -d. -f1 /proc/uptime");
    bundle.change(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1_000_000, "nanosecs": 5 } });
    });
    let uptime: u64 = bundle.says().trim().parse().unwrap();
    assert!(uptime >= 1_000_000, "{uptime}");
    bundle.change(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "time");
    });
    bundle.is_refused("time namespace");
}

/// What a kernel parameter or a name would change, if the container had no namespace of its own for it, is the host's.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_hosts_parameters_and_names_are_not_the_containers_to_set() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ping_group_range");
    let kept = || ["kernel/msgmax", "kernel/hostname", "kernel/domainname"].map(host);
    fn host(name: &str) -> String {
        std::fs::read_to_string(format!("/proc/sys/{name}")).unwrap()
    }
    let before = kept();
    bundle.change(|config| {
        config["linux"]["sysctl"] = json!({ "kernel.msgmax": "4096", "net.ipv4.ping_group_range": "0 0" });
    });
    assert_eq!(bundle.says(), "4096\n0\t0\n");
    let without = |kind: &str| {
        bundle.change(|config| {
            let kinds = ["mount", "pid", "ipc", "network", "uts"].into_iter().filter(|other| *other != kind);
            config["linux"]["namespaces"] = kinds.map(|kind| json!({ "type": kind })).collect();
        });
    };
    let parameter = |name: &str| bundle.change(|config| config["linux"]["sysctl"] = json!({ name: "1" }));
    bundle.change(|config| drop(config["hostname"].take()));
    for (kind, name, words) in [
        ("ipc", "kernel.msgmax", "shares the ipc namespace"),
        ("ipc", "fs.mqueue.queues_max", "shares the ipc namespace"),
        ("network", "net.ipv4.ping_group_range", "shares the network namespace"),
        ("uts", "kernel.domainname", "shares the uts namespace"),
        ("", "kernel.hostname", "it is the configuration's hostname"),
        ("", "kernel.panic", "no namespace keeps it apart"),
        ("", "net/../kernel/panic", "no namespace keeps it apart"),
    ] {
        without(kind);
        parameter(name);
        bundle.is_refused(words);
    }
    // A path to the host's own namespace is no other namespace.
    without("ipc");
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "ipc", "path": "/proc/self/ns/ipc" }));
    });
    parameter("kernel.msgmax");
    bundle.is_refused("shares the ipc namespace");
    for name in ["hostname", "domainname"] {
        without("uts");
        bundle.change(|config| {
            config["linux"]["sysctl"] = json!({});
            config["hostname"].take();
            config["domainname"].take();
            config[name] = "other".into();
        });
        bundle.is_refused(&format!("{name} needs a UTS namespace"));
    }
    assert_eq!(kept(), before);
}

/// A profile that denies what a runtime needs and its program does not, and names that no kernel knows.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_strict_filter_and_unknown_capabilities_do_not_keep_a_program_from_starting() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "sed -n 's/^Cap.*:[[:space:]]*//p' /proc/self/status | sort -u");
    for no_new_privileges in [true, false] {
        bundle.change(|config| {
            config["process"]["noNewPrivileges"] = no_new_privileges.into();
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["close_range"], "action": "SCMP_ACT_ERRNO" }],
            });
            for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
                config["process"]["capabilities"][set] = json!(["CAP_UNKNOWN", "UNKNOWN_CAP"]);
            }
        });
        let output = bundle.run_here();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0000000000000000", "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).matches("unknown capability").count();
        assert_eq!(told, 2, "{output:?}");
    }
}
