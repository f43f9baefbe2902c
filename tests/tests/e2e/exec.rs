//! `exec`: further processes in a running container.

use std::process::Stdio;

use e2e::{Tare, Terminal, is_alive, until, until_some};

fn exec(tare: &Tare, arguments: &[&str]) -> e2e::Outcome {
    tare.tare(["exec"].iter().chain(arguments))
}

/// Processes of the machine that have this text in their command line.
fn with_command_line(text: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
    };
    pids.filter(has).collect()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_command_runs_inside_and_its_exit_code_is_ours() {
    let tare = Tare::new();
    let id = tare.detached(&["--name=box", "--hostname=inside"], "echo here > /file; exec sleep 1000");
    until("the file is there", || exec(&tare, &["box", "cat", "/file"]).stdout() == "here\n");
    exec(&tare, &["box", "hostname"]).prints("inside");
    exec(&tare, &["box", "sh", "-c", "echo out; echo err >&2; exit 7"]).exits(7);
    let outcome = exec(&tare, &[&id[..12], "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((outcome.stdout().as_str(), outcome.stderr().as_str()), ("out\n", "err\n"));
    exec(&tare, &["box", "sh", "-c", "kill -9 $$"]).exits(137);
    exec(&tare, &["box", "/nothing/there"]).fails(127, "/nothing/there");
    exec(&tare, &["box", "/file"]).fails(126, "/file");
    exec(&tare, &["nobody", "true"]).fails(1, "no such container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn it_shares_every_namespace_and_control_group() {
    let tare = Tare::new();
    tare.detached(&["--name=box", "--memory=64m"], "exec sleep 1000");
    let pid = tare.pid("box");
    let own = |kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string();
    for kind in ["pid", "mnt", "net", "ipc", "uts", "cgroup", "time", "user"] {
        exec(&tare, &["box", "readlink", &format!("/proc/self/ns/{kind}")]).prints(&own(kind));
    }
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mut child = tare.command(["exec", "box", "sleep", "1234.5"]).spawn().unwrap();
    let inside = until_some("the process runs", || {
        with_command_line("sleep 1234.5").into_iter().find(|pid| {
            std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok().map(|link| link.display().to_string())
                == Some(own("pid"))
        })
    });
    assert_eq!(std::fs::read_to_string(format!("/proc/{inside}/cgroup")).unwrap(), groups);
    // And it ends with the container.
    tare.tare(["rm", "-f", "box"]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert!(!is_alive(inside));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn it_is_confined_as_the_container_is() {
    let tare = Tare::new();
    tare.detached(&["--name=box", "--cap-drop=chown", "--ulimit=nofile=99"], "exec sleep 1000");
    let status = |who: &str| {
        let text = exec(&tare, &["box", "cat", &format!("/proc/{who}/status")]).ok();
        let kept = ["CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb", "Seccomp:", "NoNewPrivs"];
        text.lines()
            .filter(|line| kept.iter().any(|name| line.starts_with(name)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(status("self"), status("1"));
    exec(&tare, &["box", "sh", "-c", "ulimit -n"]).prints("99");
    exec(&tare, &["box", "chown", "1:1", "/tmp"]).fails(1, "");
    exec(&tare, &["--privileged", "box", "chown", "1:1", "/tmp"]).ok();
    // The filter stays, whatever the capabilities.
    exec(&tare, &["--privileged", "box", "sh", "-c", "grep Seccomp: /proc/self/status"]).prints("Seccomp:\t2");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn environment_user_and_directory_can_differ() {
    let tare = Tare::new();
    let file = tare.file("env", "FROM_FILE=1\n# no\n");
    tare.detached(&["--name=box", "-e", "KEPT=kept", "-e", "CHANGED=old", "-w", "/etc"], "exec sleep 1000");
    exec(&tare, &["-e", "CHANGED=new", "--env-file", &file, "box", "sh", "-c", "echo $KEPT $CHANGED $FROM_FILE; pwd"])
        .prints("kept new 1\n/etc");
    exec(&tare, &["-w", "/usr", "-u", "1234:5678", "box", "sh", "-c", "pwd; id -u; id -g"]).prints("/usr\n1234\n5678");
    exec(&tare, &["-w", "relative", "box", "true"]).fails(1, "not absolute");
    exec(&tare, &["-u", "nobody_here", "box", "true"]).fails(126, "nobody_here");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn input_goes_through() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "exec sleep 1000");
    let noise: Vec<u8> =
        (0..1_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let outcome = tare.tare_with_input(["exec", "-i", "box", "cat"], &noise);
    outcome.ok();
    assert!(outcome.bytes() == noise, "{} bytes came back", outcome.bytes().len());
    // Without -i there is none.
    tare.tare_with_input(["exec", "box", "cat"], b"not for you").prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_terminal_is_the_containers_own() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "exec sleep 1000");
    let mut terminal = Terminal::start(&tare.command(["exec", "-it", "box", "sh"]));
    terminal.send("tty; echo $TERM; stty size\n").expect("/dev/pts/").expect("xterm").expect("24 80");
    terminal.send("exit 4\n");
    assert_eq!(terminal.exit_code(), 4);
    assert!(terminal.is_cooked());
    tare.tare_with_input(["exec", "-it", "box", "true"], b"").fails(1, "not a TTY");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn keys_leave_the_command_running() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "exec sleep 1000");
    let mut terminal = Terminal::start(&tare.command(["exec", "-it", "box", "sh"]));
    terminal.send("echo re''ady; (sleep 1; echo on > /went) \n").expect("ready").send("\u{10}\u{11}");
    assert_eq!(terminal.exit_code(), 0);
    until("the command goes on", || exec(&tare, &["box", "cat", "/went"]).stdout() == "on\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_detached_command_outlives_its_starter() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "exec sleep 1000");
    exec(&tare, &["-d", "box", "sh", "-c", "cat; echo done > /done; exec sleep 1000"]).prints("");
    until("it did its work", || exec(&tare, &["box", "cat", "/done"]).stdout() == "done\n");
    exec(&tare, &["-d", "box", "/nothing"]).fails(127, "/nothing");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_signal_reaches_the_command() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "exec sleep 1000");
    let script = "trap 'echo caught; exit 9' INT; echo ready > /ready; while :; do sleep 0.1; done";
    let child = tare.command(["exec", "box", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    until("the trap is set", || exec(&tare, &["box", "cat", "/ready"]).stdout() == "ready\n");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(9), &b"caught\n"[..]));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn nothing_is_left_of_many() {
    let tare = Tare::new();
    let id = tare.detached(&["--name=box"], "exec sleep 1000");
    for number in 0..20 {
        exec(&tare, &["box", "echo", &number.to_string()]).prints(&number.to_string());
    }
    until("their directories are gone", || {
        e2e::names(&tare.run_dir().join("containers").join(&id).join("exec")).is_empty()
    });
    let monitor = format!("__exec {}", tare.run_dir().display());
    until("their monitors are gone", || with_command_line(&monitor).is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn only_a_running_container_takes_commands() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "exec sleep 1000");
    tare.tare(["pause", "box"]).ok();
    exec(&tare, &["box", "true"]).fails(1, "paused");
    tare.tare(["unpause", "box"]).ok();
    exec(&tare, &["box", "true"]).ok();
    tare.tare(["kill", "box"]).ok();
    until("it has ended", || tare.inspect("box")["State"]["Running"] == false);
    exec(&tare, &["box", "true"]).fails(1, "not running");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn with_a_user_namespace_root_is_the_containers() {
    let tare = Tare::new();
    tare.detached(&["--name=box", "--userns=auto"], "exec sleep 1000");
    exec(
        &tare,
        &["box", "sh", "-c", "id -u; echo hello > /file; ls -ln /file | awk '{print $3}'; echo x > /dev/stdout"],
    )
    .prints("0\n0\nx");
}
