//! `tare runtime`: bundles through the command line that other engines call.

mod escapes;
mod exec;
mod features;
mod flags;
mod habits;
mod hooks;
mod keyring;
mod kill;
mod linux;
mod list;
mod mounts;
mod namespaces;
mod pivot;
mod seccomp;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::{Tare, until};

/// A bundle made of the busybox image, and a runtime with a root of its own.
pub(crate) struct Bundle<'a> {
    tare: &'a Tare,
    pub(crate) dir: PathBuf,
    pub(crate) id: String,
}

impl<'a> Bundle<'a> {
    pub(crate) fn new(tare: &'a Tare, script: &str) -> Self {
        let dir = tare.dir("bundle");
        fs::create_dir(dir.join("rootfs")).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(dir.join("rootfs")).arg("-xf").arg(e2e::fixture("busybox.tar"));
        assert!(tar.status().unwrap().success());
        // One program may run several tests at once.
        let id = tare.run_dir().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let bundle = Self { tare, id, dir };
        bundle.ok(&["spec", "--bundle", bundle.dir.to_str().unwrap()]);
        bundle.change(|config| {
            config["process"]["terminal"] = false.into();
            config["process"]["args"] = serde_json::json!(["sh", "-c", script]);
        });
        bundle
    }

    pub(crate) fn change(&self, change: impl Fn(&mut serde_json::Value)) {
        let path = self.dir.join("config.json");
        let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let root = self.tare.run_dir().join("runtime");
        Command::new(e2e::binary()).arg("runtime").arg("--root").arg(root).args(arguments).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], words: &str) {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // What `exec` executes has exit codes of its own.
        let code = if arguments[0] == "exec" { 255 } else { 1 };
        assert!(output.status.code() == Some(code) && text.contains(words), "{arguments:?}: {output:?}");
    }

    /// `create` with its streams closed: init would hold ours open.
    #[track_caller]
    fn create(&self) {
        self.create_with(&[]);
    }

    #[track_caller]
    fn create_with(&self, options: &[&str]) {
        let root = self.tare.run_dir().join("runtime");
        let mut command = Command::new(e2e::binary());
        command.arg("runtime").arg("--root").arg(root).args(["create", "--bundle"]).arg(&self.dir);
        let error = fs::File::create(self.dir.join("stderr")).unwrap();
        let quiet = std::process::Stdio::null;
        let status = command.args(options).arg(&self.id).stdin(quiet()).stdout(quiet()).stderr(error).status().unwrap();
        assert!(status.success(), "{}", fs::read_to_string(self.dir.join("stderr")).unwrap());
    }

    /// `run` in the foreground.
    fn run_here(&self) -> Output {
        self.run(&["run", "--bundle", self.dir.to_str().unwrap(), &self.id])
    }

    /// What the container says when it runs in the foreground.
    #[track_caller]
    fn says(&self) -> String {
        self.ok(&["run", "--bundle", self.dir.to_str().unwrap(), &self.id])
    }

    /// `run` fails with these words and leaves nothing.
    #[track_caller]
    fn is_refused(&self, words: &str) {
        self.fails(&["run", "--bundle", self.dir.to_str().unwrap(), &self.id], words);
        self.fails(&["state", &self.id], "does not exist");
        assert!(self.cgroups().is_empty());
    }

    /// Creates and starts it.
    fn start(&self) {
        self.create();
        self.ok(&["start", &self.id]);
    }

    fn status(&self) -> String {
        let state: serde_json::Value = serde_json::from_str(&self.ok(&["state", &self.id])).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        let own = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).map(|dir| dir.join(&self.id));
        own.filter(|dir| dir.exists()).collect()
    }
}

impl Drop for Bundle<'_> {
    fn drop(&mut self) {
        self.run(&["delete", "--force", &self.id]);
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_bundle_runs_in_the_foreground() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "echo $$ $(hostname); exit 3");
    let output = bundle.run(&["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"1 tare\n"[..]), "{output:?}");
    bundle.fails(&["state", &bundle.id], "does not exist");
    assert!(bundle.cgroups().is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_goes_through_its_states() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.create();
    assert_eq!(bundle.status(), "created");
    bundle.fails(&["create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id], "already exists");
    bundle.ok(&["start", &bundle.id]);
    assert_eq!(bundle.status(), "running");
    bundle.fails(&["start", &bundle.id], "already running");
    bundle.fails(&["delete", &bundle.id], "not stopped");
    bundle.ok(&["pause", &bundle.id]);
    assert_eq!(bundle.status(), "paused");
    bundle.fails(&["exec", &bundle.id, "true"], "paused");
    bundle.ok(&["resume", &bundle.id]);
    assert!(bundle.ok(&["list"]).contains(&bundle.id));
    bundle.ok(&["update", "--pids-limit", "17", &bundle.id]);
    assert_eq!(
        bundle.ok(&[
            "exec",
            &bundle.id,
            "sh",
            "-c",
            "cat /sys/fs/cgroup/pids*/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true"
        ]),
        "17\n"
    );
    let stats: serde_json::Value = serde_json::from_str(&bundle.ok(&["events", "--stats", &bundle.id])).unwrap();
    assert_eq!(stats["data"]["pids"], serde_json::json!({ "current": 1, "limit": 17 }), "{stats}");
    bundle.ok(&["kill", &bundle.id, "KILL"]);
    until("it has stopped", || bundle.status() == "stopped");
    bundle.fails(&["kill", &bundle.id, "TERM"], "not running");
    bundle.ok(&["delete", &bundle.id]);
    assert!(bundle.cgroups().is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn another_process_joins_the_container() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.create();
    bundle.ok(&["start", &bundle.id]);
    let seen = bundle.ok(&[
        "exec",
        "--env",
        "A=b",
        "--user",
        "5:6",
        "--cwd",
        "/tmp",
        &bundle.id,
        "sh",
        "-c",
        "id -u; id -g; echo $A; pwd; ps -o args",
    ]);
    assert!(seen.starts_with("5\n6\nb\n/tmp\n") && seen.contains("sleep 1000"), "{seen}");
    let own = |name: &str| bundle.ok(&["exec", &bundle.id, "readlink", &format!("/proc/self/ns/{name}")]);
    for name in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        assert_eq!(own(name), bundle.ok(&["exec", &bundle.id, "readlink", &format!("/proc/1/ns/{name}")]), "{name}");
    }
    assert_eq!(bundle.run(&["exec", &bundle.id, "sh", "-c", "exit 9"]).status.code(), Some(9));
    bundle.fails(&["exec", &bundle.id, "no-such-program"], "not found");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn hooks_run_in_their_order_and_place() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /dev/shm/hook");
    let log = tare.dir("hooks").join("log");
    let outside = |name: &str| {
        let script =
            format!("echo {name} $(readlink /proc/self/ns/uts) $(grep -o '\"status\":\"[a-z]*\"') >>{}", log.display());
        serde_json::json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
    };
    bundle.change(|config| {
        for name in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
            config["hooks"][name] = outside(name);
        }
        config["hooks"]["startContainer"] =
            serde_json::json!([{ "path": "/bin/sh", "args": ["sh", "-c", "cat >/dev/shm/hook"] }]);
    });
    let inside = bundle.ok(&["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
    assert!(inside.contains(&bundle.id), "{inside}");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let host = fs::read_link("/proc/self/ns/uts").unwrap().display().to_string();
    let names: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(names, ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]);
    let at_host: Vec<bool> = lines.iter().map(|line| line[1] == host).collect();
    assert_eq!(at_host, [true, true, false, true, true], "{text}");
    assert!(lines[0][2].contains("creating") && lines[4][2].contains("stopped"), "{text}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_failing_hook_leaves_nothing() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    let set =
        |hook: serde_json::Value| bundle.change(|config| config["hooks"]["createRuntime"] = serde_json::json!([hook]));
    let run = ["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id];
    set(serde_json::json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo told >&2; exit 1"] }));
    bundle.fails(&run, "told");
    set(serde_json::json!({ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }));
    bundle.fails(&run, "did not end");
    bundle.fails(&["state", &bundle.id], "does not exist");
    assert!(bundle.cgroups().is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_program_is_scheduled_as_asked() {
    let tare = Tare::empty();
    // proc(5): field 41 of stat is the policy; uname tells the execution domain.
    let bundle = Bundle::new(&tare, "cut -d' ' -f41 /proc/self/stat; ionice -p $$; uname -m");
    bundle.change(|config| {
        config["process"]["scheduler"] = serde_json::json!({ "policy": "SCHED_BATCH", "nice": 5 });
        config["process"]["ioPriority"] = serde_json::json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 0 });
        config["linux"]["personality"] = serde_json::json!({ "domain": "LINUX32" });
    });
    let seen = bundle.says();
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines[0] == "3" && lines[1].contains("idle") && !lines[2].contains("64"), "{seen}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_not_done_is_refused_by_name() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    bundle.change(|config| config["linux"]["intelRdt"] = serde_json::json!({ "closID": "x" }));
    bundle.is_refused("linux.intelRdt: no resctrl filesystem is mounted");
    bundle.change(|config| drop(config["linux"]["intelRdt"].take()));
    bundle.change(|config| config["linux"]["mountLabel"] = "a:b:c:d".into());
    bundle.is_refused("linux.mountLabel \"a:b:c:d\"");
    bundle.change(|config| drop(config["linux"]["mountLabel"].take()));
    bundle.change(|config| {
        config["linux"]["resources"] = serde_json::json!({ "rdma": { "mlx5_1": { "hcaHandles": 3 } } });
    });
    bundle.is_refused("rdma");
    bundle.change(|config| config["linux"]["resources"] = serde_json::json!({ "unified": { "no.such.setting": "1" } }));
    bundle.is_refused("no.such.setting");
    for command in ["checkpoint", "restore"] {
        bundle.fails(&[command, &bundle.id], "not supported");
    }
    bundle.fails(&["create", "--bundle", "/nowhere", "../evil"], "/nowhere");
    assert!(!Path::new("/nowhere").exists());
}

#[test]
#[ignore = "needs cgroup v2: run `make vm`"]
fn exec_enters_a_group_that_the_container_has_divided() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.create();
    bundle.ok(&["start", &bundle.id]);
    let group = Path::new("/sys/fs/cgroup").join(&bundle.id);
    let state: serde_json::Value = serde_json::from_str(&bundle.ok(&["state", &bundle.id])).unwrap();
    fs::create_dir(group.join("payload")).unwrap();
    fs::write(group.join("payload/cgroup.procs"), state["pid"].to_string()).unwrap();
    fs::write(group.join("cgroup.subtree_control"), "+pids").unwrap();
    assert_eq!(bundle.ok(&["exec", &bundle.id, "cat", "/proc/self/cgroup"]).trim(), "0::/payload");
    bundle.ok(&["delete", "--force", &bundle.id]);
    assert!(bundle.cgroups().is_empty());
}
