//! Namespaces that a container joins by path.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use e2e::Tare;
use serde_json::{Value, json};

use super::Bundle;

/// Gives a bundle's root to the host's user 100000, and opens the way there.
fn give_away(bundle: &Bundle<'_>) {
    assert!(
        Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.dir.join("rootfs")).status().unwrap().success()
    );
    for dir in bundle.dir.ancestors().take_while(|dir| *dir != std::env::temp_dir()) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

const SHOW: &str =
    "for n in cgroup ipc net pid time user uts; do readlink /proc/self/ns/$n; done; id -u; hostname; ls -l /dev/null";

/// Two containers that share all namespaces but their roots.
fn joined(user: bool) {
    let (one, two) = (Tare::empty(), Tare::empty());
    let first = Bundle::new(&one, "exec sleep 1000");
    let second = Bundle::new(&two, SHOW);
    let mut kinds = vec!["cgroup", "ipc", "network", "pid", "time", "uts"];
    if user {
        kinds.push("user");
        give_away(&first);
        give_away(&second);
    }
    let map = if user { json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]) } else { Value::Null };
    let own = kinds.iter().chain(&["mount"]).map(|kind| json!({ "type": kind })).collect::<Vec<_>>();
    first.change(|config| {
        config["hostname"] = "shared".into();
        config["linux"]["namespaces"] = json!(own);
        for name in ["uidMappings", "gidMappings"] {
            config["linux"][name] = map.clone();
        }
    });
    first.start();
    let state: Value = serde_json::from_str(&first.ok(&["state", &first.id])).unwrap();
    let path = |kind: &str| {
        let name = if kind == "network" { "net" } else { kind };
        format!("/proc/{}/ns/{name}", state["pid"])
    };
    let others = kinds.iter().map(|kind| json!({ "type": kind, "path": path(kind) }));
    second.change(|config| {
        config["hostname"].take();
        config["linux"]["namespaces"] = others.clone().chain([json!({ "type": "mount" })]).collect();
    });
    let seen = second.says();
    let lines: Vec<&str> = seen.lines().collect();
    let names = ["cgroup", "ipc", "net", "pid", "time", "user", "uts"];
    let expected = names.map(|name| fs::read_link(format!("/proc/{}/ns/{name}", state["pid"])).unwrap());
    assert_eq!(lines[..7].iter().map(Path::new).collect::<Vec<_>>(), expected);
    assert_eq!(lines[7..9], ["0", "shared"], "{seen}");
    assert!(lines[9].contains(if user { "65534" } else { "root" }) || lines[9].contains("nobody") || !user, "{seen}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn all_but_the_root_can_be_shared() {
    joined(false);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_user_namespace_can_be_shared_too() {
    joined(true);
}

/// As in a pod: one user namespace, everything else its own.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_joined_user_namespace_owns_the_new_ones() {
    let (one, two) = (Tare::empty(), Tare::empty());
    let first = Bundle::new(&one, "exec sleep 1000");
    let second = Bundle::new(&two, "echo $$; hostname; readlink /proc/self/ns/user; ip -o link | wc -l; kill -0 1");
    for bundle in [&first, &second] {
        give_away(bundle);
        bundle.change(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            for name in ["uidMappings", "gidMappings"] {
                config["linux"][name] = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
            }
        });
    }
    first.start();
    let state: Value = serde_json::from_str(&first.ok(&["state", &first.id])).unwrap();
    let user = format!("/proc/{}/ns/user", state["pid"]);
    second.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.iter_mut().filter(|n| n["type"] == "user").for_each(|n| n["path"] = user.as_str().into());
    });
    let expected = fs::read_link(&user).unwrap();
    assert_eq!(second.says(), format!("1\ntare\n{}\n1\n", expected.display()));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_path_of_another_kind_or_none_is_refused() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    for (path, words) in
        [("/proc/self/ns/ipc", "Uts"), ("/no/such/namespace", "/no/such/namespace"), ("/etc/passwd", "Uts")]
    {
        bundle.change(|config| {
            config["hostname"].take();
            config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "uts", "path": path }]);
        });
        bundle.is_refused(words);
    }
}
