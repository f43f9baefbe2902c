//! What people who come from runc count on without knowing it.

use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use e2e::{Tare, until};
use serde_json::{Value, json};

use super::Bundle;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn of_a_variable_given_twice_the_last_counts() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "env | grep -v PWD");
    bundle.change(|config| config["process"]["env"] = json!(["PATH=/bin", "A=1", "HOME=", "A=2"]));
    let said = bundle.says();
    let mut lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("SHLVL")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=2", "HOME=/root", "PATH=/bin"]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn lines_on_a_terminal_end_as_the_program_ended_them() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "echo one; echo two");
    bundle.change(|config| config["process"]["terminal"] = true.into());
    assert_eq!(bundle.says(), "one\ntwo\n");
}

/// Whoever binds this runtime to one processor does not bind its containers.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_runs_on_every_processor_it_may() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "grep Cpus_allowed_list: /proc/self/status");
    let all = bundle.says();
    let mut command = Command::new(e2e::binary());
    command.args(["runtime", "--root"]).arg(tare.run_dir().join("runtime"));
    command.args(["run", "--bundle"]).arg(&bundle.dir).arg(&bundle.id);
    let before = rustix::thread::sched_getaffinity(None).unwrap();
    let mut first = rustix::thread::CpuSet::new();
    first.set((0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| before.is_set(cpu)).unwrap());
    rustix::thread::sched_setaffinity(None, &first).unwrap();
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), all);
}

/// The hook's program is the image's: it has the rights of the container's, and its environment.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_start_hook_is_no_more_than_the_program() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /tmp/seen");
    let hook = "{ echo $WORD $(id -u); grep -h -e CapEff -e Seccomp: /proc/self/status; } >/tmp/seen";
    bundle.change(|config| {
        config["root"]["readonly"] = false.into();
        config["process"]["env"] = json!(["PATH=/bin", "WORD=said"]);
        config["process"]["user"] = json!({ "uid": 7, "gid": 7 });
        config["hooks"] = json!({ "startContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", hook] }] });
        config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
    });
    assert_eq!(bundle.says(), "said 7\nCapEff:\t0000000000000000\nSeccomp:\t2\n");
    let refuse = json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL" }]);
    bundle.change(|config| {
        config["linux"]["seccomp"]["syscalls"] = refuse.clone();
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]);
        config["hooks"]["startContainer"][0]["args"] = json!(["mkdir", "/tmp/made"]);
        config["hooks"]["startContainer"][0]["path"] = "/bin/mkdir".into();
    });
    let output = bundle.run_here();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("error running startContainer hook #0") && text.contains("bad system call"), "{text}");
}

/// As hooks that add libraries and devices do.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn hooks_reach_the_root_by_its_path_on_the_host() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /tmp/here /tmp/there");
    let (rootfs, note) = (bundle.dir.join("rootfs"), tare.file("note", "note\n"));
    let here = format!("echo here >/tmp/x; touch ./tmp/here && mount --bind {note} ./tmp/here");
    let there = format!(
        "read -r state; pid=${{state#*\\\"pid\\\":}}; pid=${{pid%%[!0-9]*}}; touch {root}/tmp/there && \
         nsenter -t $pid -m mount --bind {note} {root}/tmp/there",
        root = rootfs.display()
    );
    let env = json!([format!("PATH={}", std::env::var("PATH").unwrap())]);
    let hook = |script: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": env }]);
    bundle.change(|config| {
        config["root"]["readonly"] = false.into();
        config["hooks"] = json!({ "createRuntime": hook(&there), "createContainer": hook(&here) });
    });
    assert_eq!(bundle.says(), "note\nnote\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_failed_hook_is_told_by_kind_and_number() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        bundle.change(|config| {
            config["hooks"] = json!({ kind: [{ "path": "/bin/true" }, { "path": "/bin/false" }] });
        });
        bundle.is_refused(&format!("error running {kind} hook #1:"));
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_created_container_ends_when_it_is_asked_to() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.create();
    bundle.ok(&["kill", &bundle.id, "0"]);
    assert_eq!(bundle.status(), "created");
    bundle.ok(&["kill", &bundle.id]);
    until("the end of init", || bundle.status() == "stopped");
    bundle.fails(&["kill", &bundle.id, "0"], "container not running");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_handle_of_the_process_is_handed_over() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    let socket = tare.dir("handles").join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    bundle.create_with(&["--pidfd-socket", socket.to_str().unwrap()]);
    let state: Value = serde_json::from_str(&bundle.ok(&["state", &bundle.id])).unwrap();
    assert_eq!(pid_received(&listener), state["pid"].as_i64().unwrap());
    bundle.ok(&["start", &bundle.id]);
    let file = tare.dir("pid").join("pid");
    let (socket, file) = (socket.to_str().unwrap(), file.to_str().unwrap());
    // Not a pipe of ours: the process would hold it.
    let mut command = Command::new(e2e::binary());
    command.args(["runtime", "--root"]).arg(tare.run_dir().join("runtime"));
    command.args(["exec", "--detach", "--pidfd-socket", socket, "--pid-file", file, &bundle.id, "sleep", "1000"]);
    assert!(command.stdout(std::process::Stdio::null()).status().unwrap().success());
    assert_eq!(pid_received(&listener).to_string(), std::fs::read_to_string(file).unwrap());
}

/// The process that a descriptor sent to `listener` stands for.
fn pid_received(listener: &UnixListener) -> i64 {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let (connection, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 64];
    recvmsg(&connection, &mut [std::io::IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::empty()).unwrap();
    let fds = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let number = std::os::fd::AsRawFd::as_raw_fd(fds.as_ref().unwrap());
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_control_group_has_one_container() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.change(|config| config["linux"]["cgroupsPath"] = format!("/{}", bundle.id).into());
    bundle.start();
    let other = format!("{}-other", bundle.id);
    bundle.fails(&["run", "--bundle", bundle.dir.to_str().unwrap(), &other], "container's cgroup is not empty");
    assert_eq!(bundle.status(), "running");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn mounts_name_places_in_the_root_by_their_path_on_the_host() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /tmp/again/file; stat -c %a /opt; touch /dev/x 2>&1");
    let data = tare.dir("data");
    std::fs::write(data.join("file"), "of the host\n").unwrap();
    let rootfs = bundle.dir.join("rootfs");
    std::fs::create_dir_all(rootfs.join("opt")).unwrap();
    std::fs::set_permissions(rootfs.join("opt"), std::os::unix::fs::PermissionsExt::from_mode(0o710)).unwrap();
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.iter_mut().filter(|mount| mount["destination"] == "/dev").for_each(|mount| {
            mount["options"].as_array_mut().unwrap().push("ro".into());
        });
        mounts.push(json!({ "destination": "/tmp/first", "source": data, "options": ["bind"] }));
        let (first, again) = (rootfs.join("tmp/first"), rootfs.join("tmp/again"));
        mounts.push(json!({ "destination": again, "source": first, "options": ["rbind"] }));
        mounts.push(json!({ "destination": "/opt", "type": "tmpfs", "source": "tmpfs" }));
    });
    let output = bundle.run_here();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("of the host\n710\n") && text.contains("Read-only file system"), "{output:?}");
}

/// What is known of a process is counted in the clock of the reader.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_in_the_time_of_another_is_found_again() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.change(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 5000, "nanosecs": 0 } });
    });
    bundle.start();
    let state: Value = serde_json::from_str(&bundle.ok(&["state", &bundle.id])).unwrap();
    bundle.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.last_mut().unwrap()["path"] = format!("/proc/{}/ns/time", state["pid"]).into();
        config["linux"]["timeOffsets"].take();
    });
    let other = format!("{}-other", bundle.id);
    // Not a pipe of ours: the container would hold it.
    let mut command = Command::new(e2e::binary());
    command.args(["runtime", "--root"]).arg(tare.run_dir().join("runtime")).args(["run", "-d", "--bundle"]);
    command.arg(&bundle.dir).arg(&other).process_group(0);
    assert!(command.stdout(std::process::Stdio::null()).status().unwrap().success());
    assert_eq!(bundle.ok(&["exec", &other, "echo", "there"]), "there\n");
    bundle.ok(&["delete", "--force", &other]);
}
