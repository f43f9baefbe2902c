//! The exit code of `tare run`: the command's own, or who failed instead.

use e2e::{Outcome, Tare};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn of_the_command() {
    let tare = Tare::new();
    for code in [0, 1, 42, 255] {
        tare.sh(&[], &format!("exit {code}")).exits(code);
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn of_a_command_that_is_not_there() {
    let tare = Tare::new();
    tare.run(["busybox", "no-such-command"]).fails(127, "no-such-command");
    tare.run(["busybox", "/bin/no-such-command"]).fails(127, "/bin/no-such-command");
    tare.run(["-w", "/tmp", "busybox", "./no-such-command"]).fails(127, "no-such-command");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn of_a_command_that_cannot_be_executed() {
    let tare = Tare::new();
    tare.run(["busybox", "/etc/passwd"]).fails(126, "/etc/passwd");
    tare.run(["busybox", "/tmp"]).fails(126, "/tmp");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn of_a_signal() {
    let tare = Tare::new();
    for (signal, code) in [("KILL", 137), ("TERM", 143)] {
        let name = format!("killed-{signal}");
        // Without a handler pid 1 ignores what its own namespace sends, and what the host sends except KILL: a shell
        // that resets nothing dies of a signal only below another init.
        let mut child = tare.spawn(["--init", "--name", &name, "busybox", "sleep", "1000"]);
        tare.wait_until_running(&name, &mut child);
        tare.tare(["kill", "--signal", signal, &name]).ok();
        Outcome::of_child(child).exits(code);
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn of_a_signal_inside() {
    Tare::new().sh(&["--init"], "kill -SEGV $$").exits(139);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn of_a_wrong_option_is_125() {
    let tare = Tare::new();
    tare.tare(["run", "--no-such-option", "busybox", "true"]).fails(125, "--no-such-option");
    tare.run(["--memory=lots", "busybox", "true"]).fails(125, "lots");
    tare.run(["--cpus=many", "busybox", "true"]).fails(125, "many");
    tare.run(["--ulimit", "nofile", "busybox", "true"]).fails(125, "nofile");
    tare.tare(["run", "--rm", "--network=no-such-network", "busybox", "true"]).fails(125, "no-such-network");
    tare.run(["--pid=container:nobody", "busybox", "true"]).fails(125, "nobody");
    tare.run(["--restart=sometimes", "busybox", "true"]).fails(125, "restart");
    tare.run(["-v", "/a:/b:no-such-mode", "busybox", "true"]).fails(125, "no-such-mode");
    tare.run(["--mount", "type=bind,source=/", "busybox", "true"]).exits(125);
    tare.run(["--device", "/dev/no-such-device", "busybox", "true"]).fails(125, "/dev/no-such-device");
    tare.run(["-w", "not/absolute", "busybox", "true"]).fails(125, "not/absolute");
    tare.run(["--env-file", "/no/such/file", "busybox", "true"]).fails(125, "/no/such/file");
    tare.run(["--name", "not/a/name", "busybox", "true"]).fails(125, "not/a/name");
    tare.tare(["ps", "-a", "-q"]).prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn of_a_missing_image_is_125() {
    let tare = Tare::new();
    tare.run(["no-such-image", "true"]).fails(125, "no-such-image");
    tare.run(["busybox:no-such-tag", "true"]).fails(125, "no-such-tag");
    tare.run(["UPPER/case", "true"]).fails(125, "UPPER/case");
    tare.run(["--platform=linux/s390x", "busybox", "true"]).fails(125, "s390x");
    tare.tare(["ps", "-a", "-q"]).prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_last_of_a_repeated_option_counts() {
    let tare = Tare::new();
    tare.run(["--hostname=one", "--hostname", "two", "-h", "three", "busybox", "hostname"]).prints("three");
    tare.run(["--read-only", "--read-only=false", "busybox", "touch", "/x"]).ok();
}
