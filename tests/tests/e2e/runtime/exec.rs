//! Further processes in a container, with the options of runc's `exec`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use e2e::{Cgroups, Tare, until};
use serde_json::json;

use super::Bundle;

fn running(tare: &Tare) -> Bundle<'_> {
    let bundle = Bundle::new(tare, "exec sleep 1000");
    bundle.change(|config| config["process"]["user"] = json!({ "uid": 0, "gid": 7 }));
    bundle.start();
    bundle
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn users_groups_and_capabilities_are_the_containers_but_for_what_is_given() {
    let tare = Tare::empty();
    let bundle = running(&tare);
    assert_eq!(bundle.ok(&["exec", "--user", "5", &bundle.id, "sh", "-c", "id -u; id -g"]), "5\n7\n");
    let ids = bundle.ok(&["exec", "-u", "5:6", "-g", "8", "-g", "9", &bundle.id, "id", "-G"]);
    assert_eq!(ids.trim(), "6 8 9");
    let path = bundle.ok(&["exec", "-e", "PATH=/first:/bin", "-e", "PATH=/last:/bin", &bundle.id, "sh", "-c", "env"]);
    assert_eq!(path.matches("PATH=").count(), 1, "{path}");
    assert!(path.contains("PATH=/last:/bin"), "{path}");
    let effective = |options: &[&str]| {
        let command = ["sed", "-n", "s/^CapEff:[[:space:]]*//p", "/proc/self/status"];
        bundle.ok(&[&["exec"], options, &[&bundle.id], &command].concat()).trim().to_owned()
    };
    assert_eq!(effective(&[]), "0000000020000420");
    assert_eq!(effective(&["--cap", "CAP_CHOWN"]), "0000000020000421");
    let output = bundle.run(&["exec", "--cap", "CAP_FLYING", &bundle.id, "true"]);
    let told = String::from_utf8_lossy(&output.stderr).contains("WARNING: unknown capability \"CAP_FLYING\"");
    assert!(told && output.status.success(), "{output:?}");
    bundle.fails(&["exec", "--apparmor", "none-such", &bundle.id, "true"], "none-such");
    bundle.fails(&["exec", "--process-label", "a:b:c:d", &bundle.id, "true"], "a:b:c:d");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_process_document_replaces_the_containers() {
    let tare = Tare::empty();
    let bundle = running(&tare);
    let process = json!({
        "user": { "uid": 33, "gid": 34, "umask": 0o077 },
        "args": ["sh", "-c", "id -u; umask; pwd; echo $A; grep NoNewPrivs /proc/self/status; cat <&3"],
        "env": ["A=b", "PATH=/bin"],
        "cwd": "/tmp",
        "noNewPrivileges": true,
    });
    let file = tare.file("process.json", process.to_string());
    let (pid_file, inherited) = (tare.dir("pid").join("pid"), tare.file("inherited", "from 3"));
    let root = tare.run_dir().join("runtime");
    let script = format!(
        "exec 3<{inherited}; exec {} runtime --root {} exec --preserve-fds 1 --process {file} --pid-file {} {}",
        e2e::binary().display(),
        root.display(),
        pid_file.display(),
        bundle.id
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "33\n0077\n/tmp\nb\nNoNewPrivs:\t1\nfrom 3", "{output:?}");
    assert!(fs::read_to_string(pid_file).unwrap().parse::<u32>().is_ok());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_paused_container_is_entered_on_request_only() {
    let tare = Tare::empty();
    let bundle = running(&tare);
    bundle.ok(&["pause", &bundle.id]);
    bundle.fails(&["exec", &bundle.id, "true"], "paused");
    let mut command = Command::new(e2e::binary());
    command.arg("runtime").arg("--root").arg(tare.run_dir().join("runtime"));
    let mut child = command
        .args(["exec", "--ignore-paused", &bundle.id, "echo", "entered"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("it waits inside", || {
        let pids: Vec<u32> = serde_json::from_str(&bundle.ok(&["ps", "--format", "json", &bundle.id])).unwrap();
        pids.len() > 1
    });
    assert!(child.try_wait().unwrap().is_none(), "it has to wait");
    bundle.ok(&["resume", &bundle.id]);
    assert_eq!(child.wait_with_output().unwrap().stdout, b"entered\n");
}

/// The container's groups in the hierarchies of these controllers.
fn groups(bundle: &Bundle<'_>, controllers: &[&str]) -> Vec<PathBuf> {
    let own = |dir: &PathBuf| controllers.iter().any(|name| dir.parent().is_some_and(|root| root.ends_with(name)));
    bundle.cgroups().into_iter().filter(own).collect()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_process_goes_into_a_group_below() {
    let tare = Tare::empty();
    let bundle = running(&tare);
    let v1 = Cgroups::here() == Cgroups::V1;
    let all = if v1 {
        groups(&bundle, &["cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio"])
    } else {
        bundle.cgroups()
    };
    for dir in &all {
        fs::create_dir(dir.join("below")).unwrap();
        for name in ["cpuset.cpus", "cpuset.mems"].iter().filter(|name| v1 && dir.join(name).exists()) {
            fs::write(dir.join("below").join(name), fs::read(dir.join(name)).unwrap()).unwrap();
        }
    }
    let group = |options: &[&str], controller: &str| {
        let text = bundle.ok(&[&["exec"], options, &[&bundle.id, "cat", "/proc/self/cgroup"]].concat());
        let line = text.lines().find(|line| line.contains(&format!(":{controller}:")));
        line.unwrap_or_else(|| panic!("{controller} in {text}")).rsplit(':').next().unwrap().to_owned()
    };
    let some = if v1 { "pids" } else { "" };
    let own = group(&[], some);
    let below = format!("{}/below", own.trim_end_matches('/'));
    assert_eq!(group(&["--cgroup", "below"], some), below);
    assert_eq!(group(&["--cgroup", "/"], some), own);
    if v1 {
        assert_eq!(group(&["--cgroup", "memory,pids:below"], "pids"), below);
        assert_eq!(group(&["--cgroup", "memory:below", "--cgroup", "pids:/"], "pids"), own);
        assert_eq!(group(&["--cgroup", "memory:below", "--cgroup", "pids:/"], "memory"), below);
    }
    bundle.fails(&["exec", "--cgroup", "missing", &bundle.id, "true"], "missing");
    bundle.fails(&["exec", "--cgroup", "nonsense:below", &bundle.id, "true"], "nonsense");
    bundle.fails(&["exec", "--cgroup", "../..", &bundle.id, "true"], "out of the container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn sockets_of_systemd_are_passed_on() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4");
    let (first, second) = (tare.file("first", "3"), tare.file("second", "4"));
    let run = |preserve: u32| {
        let script = format!(
            "exec 3<{first} 4<{second}; export LISTEN_FDS=1 LISTEN_PID=$$; \
             exec {} runtime run --preserve-fds {preserve} --bundle {} {}",
            e2e::binary().display(),
            bundle.dir.display(),
            bundle.id
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run(1), "1 1\n34");
    assert_eq!(run(0), "1 1\n3");
}

/// A zombie in the container's pid namespace would keep it from ending for as long as its parent does not look.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_failed_execution_is_buried() {
    const ORPHANAGE: &str = r#"
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
assert subprocess.run(sys.argv[1:]).returncode == 255
try:
    print('a child is left:', os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print('none is left')
"#;
    let tare = Tare::empty();
    let bundle = running(&tare);
    let mut command = Command::new("python3");
    command.args(["-c", ORPHANAGE]).arg(e2e::binary()).args(["runtime", "--root"]).arg(tare.run_dir().join("runtime"));
    let output = command.args(["exec", &bundle.id, "/no/such/program"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "none is left\n", "{output:?}");
}
