//! `features` tells the truth: what it names is taken, and what it does not name is refused.

use e2e::Tare;
use serde_json::{Value, json};

use super::Bundle;

fn words(value: &Value) -> Vec<String> {
    let list = value.as_array().unwrap_or_else(|| panic!("{value} is no list"));
    list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// A bundle that ends at once, and what the runtime says of itself.
fn bundle_and_features(tare: &Tare) -> (Bundle<'_>, Value) {
    let bundle = Bundle::new(tare, "true");
    let features = serde_json::from_str(&bundle.ok(&["features"])).unwrap();
    (bundle, features)
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn every_version_and_hook_is_taken() {
    let tare = Tare::empty();
    let (bundle, features) = bundle_and_features(&tare);
    for version in ["ociVersionMin", "ociVersionMax"] {
        bundle.change(|config| config["ociVersion"] = features[version].clone());
        bundle.says();
    }
    for (version, words) in [("2.0.0", "version 2.0.0"), ("one", "invalid ociVersion"), ("1", "invalid ociVersion")] {
        bundle.change(|config| config["ociVersion"] = version.into());
        bundle.is_refused(words);
    }
    bundle.change(|config| config["ociVersion"] = "1.0.2-dev".into());
    assert_eq!(words(&features["hooks"]).len(), 6);
    for hook in words(&features["hooks"]) {
        let mark = tare.dir("hooks").join(&hook);
        let script = if hook == "startContainer" { "exit 7".to_owned() } else { format!("touch {}", mark.display()) };
        bundle.change(|config| {
            config["hooks"] = json!({});
            config["hooks"][&hook] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
        });
        match hook.as_str() {
            "startContainer" => bundle.is_refused("exit status: 7"),
            _ => drop(bundle.says()),
        }
        assert!(hook == "startContainer" || mark.exists(), "{hook}");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn every_mount_option_is_taken() {
    let tare = Tare::empty();
    let (bundle, features) = bundle_and_features(&tare);
    let options = words(&features["mountOptions"]);
    let idmap = json!([{ "containerID": 0, "hostID": 0, "size": 10 }]);
    let mount = |options: &[&str], mapped: bool| {
        let (uids, gids) = if mapped { (idmap.clone(), idmap.clone()) } else { (json!([]), json!([])) };
        json!({ "destination": "/mnt", "source": tare.dir("source"), "type": "bind", "options": options,
                "uidMappings": uids, "gidMappings": gids })
    };
    let usual = bundle_mounts(&bundle);
    for option in &options {
        let entry = match option.as_str() {
            "tmpcopyup" => json!({ "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": [option] }),
            "remount" => json!({ "destination": "/dev", "options": [option, "nosuid"] }),
            "idmap" | "ridmap" => mount(&["rbind", option], true),
            _ => mount(&["rbind", option], false),
        };
        bundle.change(|config| {
            config["mounts"] = usual.iter().cloned().chain([entry.clone()]).collect();
        });
        let output = bundle.run_here();
        assert!(output.status.success(), "{option}: {output:?}");
    }
    for word in ["bindd", "rnonsense", "nobind"] {
        assert!(!options.contains(&word.to_owned()));
        bundle.change(|config| {
            config["mounts"] = usual.iter().cloned().chain([mount(&["rbind", word], false)]).collect();
        });
        bundle.is_refused(word);
    }
    // Every word that the specification says a runtime must know.
    for word in [
        "async",
        "atime",
        "bind",
        "defaults",
        "dev",
        "diratime",
        "dirsync",
        "exec",
        "iversion",
        "lazytime",
        "loud",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "noiversion",
        "nolazytime",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "private",
        "rbind",
        "relatime",
        "remount",
        "ro",
        "rprivate",
        "rshared",
        "rslave",
        "runbindable",
        "rw",
        "shared",
        "silent",
        "slave",
        "strictatime",
        "suid",
        "sync",
        "unbindable",
    ] {
        assert!(options.contains(&word.to_owned()), "{word}");
    }
}

fn bundle_mounts(bundle: &Bundle<'_>) -> Vec<Value> {
    let config: Value = serde_json::from_slice(&std::fs::read(bundle.dir.join("config.json")).unwrap()).unwrap();
    config["mounts"].as_array().unwrap().clone()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn every_namespace_and_capability_is_taken() {
    let tare = Tare::empty();
    let (bundle, features) = bundle_and_features(&tare);
    let linux = &features["linux"];
    for kind in words(&linux["namespaces"]) {
        let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        bundle.change(|config| {
            let kinds = if kind == "mount" { vec!["mount"] } else { vec!["mount", &kind] };
            config["linux"]["namespaces"] = kinds.iter().map(|kind| json!({ "type": kind })).collect();
            config["mounts"] = json!([{ "destination": "/proc", "source": "/proc", "options": ["rbind"] }]);
            config["linux"]["maskedPaths"] = json!([]);
            config["linux"]["readonlyPaths"] = json!([]);
            config["hostname"].take();
            for name in ["uidMappings", "gidMappings"] {
                config["linux"][name] = if kind == "user" { map.clone() } else { json!([]) };
            }
        });
        bundle.says();
    }
    bundle.change(|config| config["process"]["capabilities"]["bounding"] = linux["capabilities"].clone());
    bundle.says();
    bundle.change(|config| config["process"]["capabilities"]["bounding"] = json!(["CAP_FLYING"]));
    let output = bundle.run_here();
    let told = String::from_utf8_lossy(&output.stderr).contains("unknown capability \"CAP_FLYING\"");
    assert!(told && output.status.success(), "{output:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn every_word_of_filters_is_taken() {
    let tare = Tare::empty();
    let (bundle, features) = bundle_and_features(&tare);
    let seccomp = &features["linux"]["seccomp"];
    let filter = |change: &dyn Fn(&mut Value)| {
        let rule = json!({ "names": ["swapon"], "action": "SCMP_ACT_ERRNO" });
        let mut filter = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
        change(&mut filter);
        bundle.change(|config| config["linux"]["seccomp"] = filter.clone());
    };
    for action in words(&seccomp["actions"]).iter().filter(|action| *action != "SCMP_ACT_NOTIFY") {
        filter(&|filter| filter["syscalls"][0]["action"] = json!(action));
        bundle.says();
    }
    for operator in words(&seccomp["operators"]) {
        filter(&|filter| {
            filter["syscalls"][0]["args"] = json!([{ "index": 0, "value": 1, "valueTwo": 1, "op": operator }]);
        });
        bundle.says();
    }
    filter(&|filter| filter["architectures"] = seccomp["archs"].clone());
    bundle.says();
    for flag in words(&seccomp["supportedFlags"]) {
        filter(&|filter| filter["flags"] = json!([flag]));
        bundle.says();
    }
    assert_eq!(seccomp["knownFlags"], seccomp["supportedFlags"]);
    for (key, word) in [("architectures", "SCMP_ARCH_Z80"), ("flags", "SECCOMP_FILTER_FLAG_FAST")] {
        filter(&|filter| filter[key] = json!([word]));
        bundle.is_refused(word);
    }
    filter(&|filter| filter["syscalls"][0]["action"] = json!("SCMP_ACT_MAYBE"));
    bundle.is_refused("SCMP_ACT_MAYBE");
    assert!(words(&seccomp["actions"]).contains(&"SCMP_ACT_NOTIFY".to_owned()), "its tests stand elsewhere");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn every_memory_policy_is_known() {
    let tare = Tare::empty();
    let (bundle, features) = bundle_and_features(&tare);
    let policy = &features["linux"]["memoryPolicy"];
    for mode in words(&policy["modes"]) {
        let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode.as_str()) { "" } else { "0" };
        bundle.change(|config| config["linux"]["memoryPolicy"] = json!({ "mode": mode, "nodes": nodes }));
        // Known here, but the kernel has it from 6.9 on.
        if mode == "MPOL_WEIGHTED_INTERLEAVE" && !e2e::kernel_is_at_least(6, 9) {
            bundle.is_refused("this kernel may be too old");
        } else {
            bundle.says();
        }
    }
    for flag in words(&policy["flags"]) {
        bundle.change(|config| {
            config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": [flag] });
        });
        bundle.says();
    }
}

/// Nothing that the specification does not define, by its schema's names.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn nothing_else_is_claimed() {
    let tare = Tare::empty();
    let (_bundle, features) = bundle_and_features(&tare);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&features), ["hooks", "linux", "mountOptions", "ociVersionMax", "ociVersionMin"]);
    let expected = [
        "apparmor",
        "capabilities",
        "cgroup",
        "intelRdt",
        "memoryPolicy",
        "mountExtensions",
        "namespaces",
        "netDevices",
        "seccomp",
        "selinux",
    ];
    assert_eq!(keys(&features["linux"]), expected);
    for (name, enabled) in [("apparmor", true), ("selinux", true), ("intelRdt", true), ("netDevices", true)] {
        assert_eq!(features["linux"][name]["enabled"], json!(enabled), "{name}");
    }
    let systemd = json!({ "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": true });
    assert_eq!(features["linux"]["cgroup"], systemd);
}
