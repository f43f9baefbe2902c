//! Hooks (config.md, "POSIX-platform Hooks"): programs that are run beside a container's life, with its state on their
//! standard input.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use oci::runtime_spec::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use stdx::{Context, Error, Kind, Result};

/// Runs `hooks`, of one kind, one after the other; the first that fails ends it. `env` is for those that name none.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &State, env: Option<&[String]>) -> Result<()> {
    hooks.iter().enumerate().try_for_each(|(number, hook)| run_named((kind, number), hook, state, env))
}

/// Runs every one of `hooks`, whatever becomes of the others; gives what went wrong.
pub(crate) fn run_all(kind: &str, hooks: &[Hook], state: &State) -> Vec<Error> {
    let run = |(number, hook)| run_named((kind, number), hook, state, None).err();
    hooks.iter().enumerate().filter_map(run).collect()
}

fn run_named((kind, number): (&str, usize), hook: &Hook, state: &State, env: Option<&[String]>) -> Result<()> {
    let state = serde_json::to_vec(state).context(|| "cannot write the container's state".into())?;
    run_one(hook, &state, env).context(|| format!("error running {kind} hook #{number}: hook \"{}\" failed", hook.path))
}

fn run_one(hook: &Hook, state: &[u8], env: Option<&[String]>) -> Result<()> {
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    if let Some(env) = hook.env.as_deref().or(env) {
        command.env_clear().envs(env.iter().filter_map(|entry| entry.split_once('=')));
    }
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.context(|| "cannot execute it".into())?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its state is free not to.
        let _ = stdin.write_all(state);
    }
    let timeout = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    if let Some(timeout) = timeout {
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).context(|| "cannot watch it".into())?;
        let limit = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        if poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)) == Ok(0) {
            // Ended by us: its status says nothing.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::new(Kind::Internal, format!("it did not end within {} s", timeout.as_secs())));
        }
    }
    let output = child.wait_with_output().context(|| "cannot wait for it".into())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let how = match output.status.signal() {
        Some(sys::signal::SYS) => "bad system call".to_owned(),
        _ => output.status.to_string(),
    };
    Err(Error::new(Kind::Internal, format!("{how}: {}", said.trim())))
}
