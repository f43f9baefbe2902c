//! What is told of containers: `list`, `ps`, `events`, `update`.

use std::io::Write;
use std::process::{Command, Stdio};

use e2e::Tare;
use serde_json::{Value, json};

use super::Bundle;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn containers_are_listed_in_every_form() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.change(|config| config["annotations"] = json!({ "com.example.key": "value" }));
    assert_eq!(bundle.ok(&["list", "-q"]), "");
    bundle.start();
    assert_eq!(bundle.ok(&["list", "-q"]), format!("{}\n", bundle.id));
    assert_eq!(bundle.ok(&["list", "-q", "--format", "json"]), format!("{}\n", bundle.id));
    let table = bundle.ok(&["list"]);
    assert!(table.starts_with("ID ") && table.contains("running") && table.contains("OWNER"), "{table}");
    let list: Value = serde_json::from_str(&bundle.ok(&["list", "--format", "json"])).unwrap();
    let state: Value = serde_json::from_str(&bundle.ok(&["state", &bundle.id])).unwrap();
    assert_eq!((&list[0]["owner"], &state["owner"]), (&json!("root"), &json!("")));
    for key in ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations"] {
        assert!(list[0][key] == state[key] && !state[key].is_null(), "{key} of {list} and {state}");
    }
    assert_eq!(state["rootfs"], json!(bundle.dir.join("rootfs")));
    bundle.fails(&["list", "--format", "xml"], "xml");
}

/// Tools that watch containers read this file.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_state_on_disk_says_where_things_are() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.start();
    let path = tare.run_dir().join("runtime").join(&bundle.id).join("state.json");
    let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let state: Value = serde_json::from_str(&bundle.ok(&["state", &bundle.id])).unwrap();
    assert_eq!((&record["id"], &record["init_process_pid"]), (&json!(bundle.id), &state["pid"]));
    assert_eq!(record["created"], state["created"]);
    let groups = record["cgroup_paths"].as_object().unwrap();
    assert!(groups.contains_key("pids") || groups.contains_key(""), "{record}");
    for dir in groups.values() {
        let pids = std::fs::read_to_string(format!("{}/cgroup.procs", dir.as_str().unwrap())).unwrap();
        assert!(pids.lines().any(|pid| pid.parse::<i64>().ok() == state["pid"].as_i64()), "{dir}");
    }
    for (name, file) in [("NEWNS", "mnt"), ("NEWPID", "pid"), ("NEWNET", "net")] {
        let path = record["namespace_paths"][name].as_str().unwrap();
        let here = std::fs::read_link(format!("/proc/self/ns/{file}")).unwrap();
        assert_ne!(std::fs::read_link(path).unwrap(), here, "{name}");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_configuration_for_a_user_without_rights_maps_the_user() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    let dir = tare.dir("rootless");
    bundle.ok(&["spec", "--rootless", "--bundle", dir.to_str().unwrap()]);
    bundle.fails(&["spec", "--bundle", dir.to_str().unwrap()], "exists");
    std::os::unix::fs::symlink(bundle.dir.join("rootfs"), dir.join("rootfs")).unwrap();
    std::fs::rename(dir.join("config.json"), bundle.dir.join("config.json")).unwrap();
    bundle.change(|config| {
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = json!(["sh", "-c", "cat /proc/self/uid_map; id -u; ls /sys | wc -l"]);
    });
    let seen = bundle.says();
    let words: Vec<&str> = seen.split_whitespace().collect();
    assert!(words[..4] == ["0", "0", "1", "0"] && words[4] != "0", "{seen}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn processes_are_told_as_the_host_numbers_them() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.start();
    let state: Value = serde_json::from_str(&bundle.ok(&["state", &bundle.id])).unwrap();
    assert_eq!(bundle.ok(&["ps", "--format", "json", &bundle.id]), format!("[{}]\n", state["pid"]));
    let table = bundle.ok(&["ps", &bundle.id]);
    assert!(table.lines().count() == 2 && table.contains("sleep 1000"), "{table}");
    let table = bundle.ok(&["ps", &bundle.id, "-e", "-o", "pid,comm"]);
    assert!(table.lines().nth(1).is_some_and(|line| line.ends_with("sleep")), "{table}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn limits_are_read_from_a_file_and_from_standard_input() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.start();
    let limit = || {
        let stats: Value = serde_json::from_str(&bundle.ok(&["events", "--stats", &bundle.id])).unwrap();
        stats["data"]["pids"]["limit"].clone()
    };
    let file = tare.file("limits", r#"{"pids": {"limit": 23}}"#);
    bundle.ok(&["update", "--resources", &file, &bundle.id]);
    assert_eq!(limit(), 23);
    let mut command = Command::new(e2e::binary());
    command.arg("runtime").arg("--root").arg(tare.run_dir().join("runtime"));
    let mut child = command.args(["update", "-r", "-", &bundle.id]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"pids": {"limit": 29}}"#).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(limit(), 29);
    bundle.fails(&["update", "-r", "/no/such/file", &bundle.id], "/no/such/file");
}
