//! `tare explain` and `--dry-run`: what is said is what the kernel has.

use std::fs;

use e2e::{Cgroups, Tare, systemd_makes_cgroups};
use serde_json::Value;

fn facts(tare: &Tare, arguments: &[&str]) -> Value {
    let arguments = ["explain", "--format", "json"].iter().chain(arguments);
    serde_json::from_str(&tare.tare(arguments).ok()).unwrap()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_facts_are_the_kernels() {
    let tare = Tare::new();
    let host = tare.dir("host");
    let bind = format!("-v={}:/bound:ro", host.display());
    let options = ["--name=box", &bind, "-v=data:/data", "--memory=64m", "--cpus=0.5", "--pids-limit=50"];
    tare.detached(&[&options[..], &["--cap-drop=chown", "--uts=host"]].concat(), "sleep 4321 & exec sleep 1000");
    let pid = tare.pid("box");
    let facts = facts(&tare, &["box"]);
    assert_eq!((facts["name"].as_str(), facts["pid"].as_u64()), (Some("box"), Some(pid.into())));
    for namespace in facts["namespaces"].as_array().unwrap() {
        let kind = namespace["kind"].as_str().unwrap();
        let number = |pid: &str| {
            let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
            link.to_str().unwrap().split(['[', ']']).nth(1).unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(namespace["inode"], number(&pid.to_string()), "{kind}");
        assert_eq!(namespace["host_inode"], number("self"), "{kind}");
        let whose = if matches!(kind, "uts" | "user") { "host" } else { "own" };
        assert_eq!(namespace["whose"], whose, "{kind}");
    }
    // Each limit as its file has it.
    let limits: Vec<(&str, &str)> = facts["cgroups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["limits"].as_array().unwrap())
        .filter_map(|limit| Some((limit["what"].as_str()?, limit["limit"].as_str()?)))
        .collect();
    for limit in [("memory", "67108864"), ("processes", "50"), ("CPU time", "50000 100000")] {
        assert!(limits.contains(&limit), "{limit:?} in {limits:?}");
    }
    let processes = facts["processes"].as_array().unwrap();
    assert!(processes.iter().any(|process| process["pid"] == pid), "{processes:?}");
    let bounding = e2e::process_field(pid, "CapBnd:").unwrap();
    let kept = facts["capabilities"]["kept"].as_array().unwrap().len();
    assert_eq!(kept as u32, u64::from_str_radix(&bounding, 16).unwrap().count_ones());
    assert!(facts["capabilities"]["dropped"].as_array().unwrap().contains(&"CAP_CHOWN".into()));
    assert_eq!((&facts["seccomp"]["profile"], &facts["seccomp"]["loaded"]), (&"default".into(), &true.into()));
    assert!(facts["seccomp"]["refused"].as_array().unwrap().contains(&"mount".into()));
    let mount =
        |target: &str| facts["mounts"].as_array().unwrap().iter().find(|mount| mount["target"] == target).unwrap();
    assert_eq!(mount("/data")["volume"], "data");
    assert!(mount("/bound")["live"].as_str().unwrap().starts_with("ro"));
    // The same in sentences.
    let text = tare.tare(["explain", "box"]).ok();
    for words in [
        &format!("is process {pid} of this machine, \"sh -c sleep 4321 & exec sleep 1000\""),
        "uts    the host's (",
        "memory: at most 64MiB, now ",
        "CPU time: at most 0.5 CPUs",
        "/data: volume data, ",
        "/bound: ",
        "dropped: CHOWN ",
        "refused: ",
        " sleep 4321",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    tare.tare(["explain", "nobody"]).fails(1, "no such container");
    tare.tare(["explain", "--format", "yaml", "box"]).fails(1, "json");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_file_is_found_in_its_layer() {
    let tare = Tare::new();
    // Two layers of the image, one of the container.
    tare.sh(&["--name=maker"], "true").ok();
    tare.tare([
        "run",
        "--name=first",
        "--network=none",
        "busybox",
        "sh",
        "-c",
        "mkdir /d; echo 1 > /d/one; echo 1 > /d/two; echo 1 > /gone; ln -s /d/one /link",
    ])
    .ok();
    tare.tare(["commit", "first", "second"]).ok();
    tare.tare([
        "run",
        "--name=box",
        "--network=none",
        "-v=data:/data",
        "second",
        "sh",
        "-c",
        "echo 2 > /d/one; rm -r /gone; echo 3 > /new; rm /d/two",
    ])
    .ok();
    let origin = |path: &str| facts(&tare, &["--file", path, "box"])["file"].clone();
    let layer = |path: &str| origin(path)["layer"].as_u64();
    assert_eq!(facts(&tare, &["box"])["layers"].as_array().unwrap().len(), 4);
    assert_eq!((layer("/bin/busybox"), layer("/link"), layer("/new")), (Some(0), Some(3), Some(3)));
    assert_eq!(origin("/link")["path"], "/d/one");
    assert_eq!(origin("/d/one")["hidden_in"], serde_json::json!([1]));
    assert_eq!((layer("/gone"), origin("/gone")["deleted_in"].as_u64()), (None, Some(3)));
    assert_eq!((layer("/d/two"), origin("/d/two")["deleted_in"].as_u64()), (None, Some(3)));
    assert_eq!(origin("/data/x")["mount"], "/data");
    assert_eq!(layer("/nowhere"), None);
    tare.tare(["explain", "--file", "/d/one", "box"])
        .says("/d/one comes from layer 3, and hides what is there in layer 1");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_dry_run_says_what_a_run_does_and_does_nothing() {
    let tare = Tare::new();
    let before = || {
        let look = |name: &str| e2e::names(&tare.root().join(name));
        (look("containers"), look("names"), look("volumes"), look("init"), e2e::names(&tare.run_dir()))
    };
    let missing = tare.dir("").join("missing");
    let bind = format!("-v={}:/b", missing.display());
    let options =
        ["--name=box", "--network=none", "-v=new:/data", &bind, "--memory=32m", "--cap-add=net_admin", "--userns=auto"];
    let was = before();
    for verb in ["run", "create"] {
        let arguments = [verb, "--dry-run"].into_iter().chain(options).chain(["busybox", "sleep", "1000"]);
        let text = tare.tare(arguments).ok();
        assert!(text.contains("It would run \"sleep 1000\""), "{text}");
        assert!(text.contains("memory: at most 32MiB") && text.contains("volume new would be made"), "{text}");
        assert_eq!(before(), was, "nothing is made");
        assert!(!missing.exists());
        // The configuration is the one a run is made from.
        let planned: Value = serde_json::from_str(&text[text.find("\n{").unwrap()..]).unwrap();
        if verb == "create" {
            let id = tare.tare(["run", "-d"].into_iter().chain(options).chain(["busybox", "sleep", "1000"])).ok();
            let real = tare.run_dir().join("containers").join(id.trim()).join("config.json");
            let real: Value = serde_json::from_str(&fs::read_to_string(real).unwrap()).unwrap();
            let same = |spec: &Value| {
                (
                    spec["process"]["args"].clone(),
                    spec["process"]["capabilities"].clone(),
                    spec["linux"]["namespaces"].clone(),
                    spec["linux"]["uidMappings"].clone(),
                    spec["linux"]["resources"]["memory"].clone(),
                    spec["mounts"].as_array().unwrap().len(),
                )
            };
            assert_eq!(same(&planned), same(&real));
        }
    }
    // What would fail fails.
    tare.tare(["run", "--dry-run", "--name=box", "busybox"]).fails(125, "in use");
    tare.tare(["run", "--dry-run", "nosuch"]).fails(125, "no such image");
    tare.tare(["run", "--dry-run", "-m", "1m", "busybox"]).fails(125, "6m");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_that_does_not_run_is_explained_as_it_would_be() {
    let tare = Tare::new();
    tare.tare(["create", "--name=box", "--network=none", "--privileged", "busybox", "sleep", "1000"]).ok();
    let text = tare.tare(["explain", "box"]).ok();
    assert!(text.contains("Container box does not run"), "{text}");
    assert!(text.contains("No filter") && text.contains("dropped: none"), "{text}");
    if Cgroups::here() == Cgroups::V2 && !systemd_makes_cgroups() {
        assert!(text.contains("all: /sys/fs/cgroup/tare/"), "{text}");
    }
    // What it needs is gone: the rest is told.
    tare.detached(&["--name=other"], "exec sleep 1000");
    tare.tare(["create", "--name=joined", "--network=container:other", "busybox"]).ok();
    tare.tare(["rm", "-f", "other"]).ok();
    tare.tare(["explain", "joined"]).says("could not be started now");
}
