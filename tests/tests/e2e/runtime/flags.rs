//! The command line is runc's: every option of its manual pages exists or is refused by name, the log has its form, and
//! failures have its exit codes.

use std::fs;

use e2e::Tare;
use serde_json::Value;

use super::Bundle;

/// The options of every command of runc 1.1 to 1.4.
const OPTIONS: [(&str, &str); 15] = [
    ("create", "bundle console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds"),
    ("delete", "force"),
    ("events", "interval stats"),
    (
        "exec",
        "console-socket pidfd-socket cwd env tty user additional-gids process detach pid-file process-label apparmor \
         no-new-privs cap preserve-fds cgroup ignore-paused",
    ),
    ("features", ""),
    ("kill", "all"),
    ("list", "format quiet"),
    ("pause", ""),
    ("ps", "format"),
    ("resume", ""),
    (
        "run",
        "bundle console-socket pidfd-socket detach keep pid-file no-subreaper no-pivot no-new-keyring preserve-fds",
    ),
    ("spec", "bundle rootless"),
    ("start", ""),
    ("state", ""),
    (
        "update",
        "resources blkio-weight cpu-period cpu-quota cpu-burst cpu-share cpu-rt-period cpu-rt-runtime cpuset-cpus \
         cpuset-mems memory cpu-idle memory-reservation memory-swap pids-limit l3-cache-schema mem-bw-schema",
    ),
];

const GLOBAL: &str = "debug log log-format root systemd-cgroup rootless help version";

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn every_option_of_runc_is_known() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    let has = |help: &str, options: &str| {
        for option in options.split_whitespace() {
            assert!(
                help.split(['[', ']', ' ', '\n', ',']).any(|word| word == format!("--{option}")),
                "{option}: {help}"
            );
        }
    };
    has(&bundle.ok(&["--help"]), GLOBAL);
    for (command, options) in OPTIONS {
        assert!(bundle.ok(&["--help"]).contains(&format!("\n  {command} ")), "{command}");
        has(&bundle.ok(&[command, "--help"]), options);
        assert_eq!(bundle.ok(&["help", command]), bundle.ok(&[command, "-h"]));
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_does_not_exist_is_refused_by_name() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.start();
    for command in ["checkpoint", "restore"] {
        bundle.fails(&[command, "--help"], command);
    }
    bundle.fails(&["--criu", "criu", "list"], "--criu");
    for option in ["--l3-cache-schema", "--mem-bw-schema"] {
        bundle.fails(&["update", option, "MB:0=50", &bundle.id], option);
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn failures_have_the_exit_codes_of_runc() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    let code = |arguments: &[&str]| bundle.run(arguments).status.code();
    for wrong in [
        &["run"][..],
        &["--unknown", "list"],
        &["list", "--unknown"],
        &["--log-format", "xml", "list"],
        &["--rootless", "perhaps", "list"],
        &["--root", "/", "list"],
        &["state", "a", "b"],
        &["state", "none"],
        &["delete", "none"],
        &["spec", "more"],
        &["exec"],
    ] {
        assert_eq!(code(wrong), Some(1), "{wrong:?}");
    }
    assert_eq!(code(&["exec", "none", "true"]), Some(255));
    assert_eq!(code(&["delete", "--force", "none"]), Some(0));
    assert_eq!((code(&["dance"]), code(&[])), (Some(3), Some(0)));
    let said = bundle.run(&["dance", "-h"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("No help topic for 'dance'"), "{said:?}");
}

/// Both sides of the clone write to it, and nothing of it is among what the program says.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_log_tells_every_step() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "echo hello");
    let dir = bundle.dir.to_str().unwrap();
    let steps = ["nsexec container setup", "child process in init()", "init: closing the pipe to signal completion"];
    for format in ["text", "json"] {
        let log = tare.dir(format).join("log");
        let options = ["--debug", "--log", log.to_str().unwrap(), "--log-format", format];
        let output = bundle.run(&[&options[..], &["run", "--bundle", dir, &bundle.id]].concat());
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"hello\n"[..], &b""[..]), "{output:?}");
        let text = fs::read_to_string(&log).unwrap();
        assert!(steps.iter().all(|step| text.contains(step)), "{text}");
        assert!(bundle.run(&[&options[..], &["state", "none"]].concat()).status.code() == Some(1));
        let text = fs::read_to_string(&log).unwrap();
        let last = text.lines().last().unwrap();
        if format == "json" {
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(lines.iter().any(|line| line["level"] == "debug"), "{text}");
            assert!(lines.last().unwrap()["level"] == "error" && last.contains("does not exist"), "{last}");
        } else {
            assert!(last.starts_with("time=\"") && last.contains("level=error msg=\""), "{last}");
        }
    }
    let output = bundle.run(&["--debug", "run", "--bundle", dir, &bundle.id]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(steps.iter().all(|step| text.contains(step)) && text.contains("level=debug"), "{text}");
    bundle.fails(&["--log", "/no/such/dir/log", "list"], "/no/such/dir/log");
}
