//! Programs of strangers: each runs in a mount and a process namespace of its own, so when it ends, or its time is over,
//! whatever it started is killed and whatever it mounted is gone.

use std::process::{Command, Stdio};
use std::time::Duration;

use stdx::{Context, Result};

/// What a program said.
pub(super) struct Said {
    /// Its standard output and standard error, as they came.
    pub(super) text: String,
    /// Its exit code; `None` if a signal ended it, or its time was over.
    pub(super) code: Option<i32>,
    pub(super) timed_out: bool,
}

/// The first process of the namespaces: it buries orphans, as the shell does while it waits. Runtimes keep their state in
/// `/run`; bundles go where no disk makes them slow; and some tests know a pid by its five digits.
const FIRST: &str = "mount -t tmpfs tmpfs /run && mkdir -m 1777 /run/tmp && echo 20000 >/proc/sys/kernel/ns_last_pid; \
                     \"$0\" \"$@\" 2>&1; exit $?";

/// `timeout`'s exit code for a program that it killed.
const KILLED: i32 = 137;

/// Runs a command (arguments, environment and directory are kept) for at most `limit`.
pub(super) fn run(command: &Command, limit: Duration) -> Result<Said> {
    let mut confined = Command::new("timeout");
    // The limit kills `unshare`, and the kernel then the first process of the namespace, and so all others.
    confined.args(["--signal=KILL", &format!("{:.1}", limit.as_secs_f64().max(0.1))]);
    confined.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    confined.args(["sh", "-c", FIRST]);
    confined.arg(command.get_program()).args(command.get_args()).env("TMPDIR", "/run/tmp");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => confined.env(name, value),
            None => confined.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        confined.current_dir(dir);
    }
    let output = confined.stdin(Stdio::null()).output();
    let output = output.context(|| format!("cannot run {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let code = output.status.code().filter(|&code| code != KILLED);
    Ok(Said { text, code, timed_out: code.is_none() })
}
