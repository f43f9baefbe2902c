//! `--init`: a first process that passes signals on and buries the dead, so that the program need not be one.
//!
//! It is this same binary, mounted read-only into the container and executed there; it starts the program as its child.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use rustix::process::{Pid, WaitOptions, wait};
use stdx::{Context, Error, Result};
use sys::signal::{self, SignalFd};

/// Runs `args` as a child and gives the exit code for the caller to end with: the child's own, or 128 and its signal.
pub fn run(args: &[OsString]) -> Result<i32> {
    let Some((program, rest)) = args.split_first() else { return Err(Error::invalid("no command given")) };
    // Everything that can be caught is collected before the child exists: none is lost.
    let signals: Vec<i32> =
        (1..=64).filter(|signal| !matches!(signal, 4 | 5 | 7 | 8 | 9 | 11 | 19 | 31 | 32 | 33)).collect();
    let mut events = SignalFd::new(&signals).context(|| "cannot collect signals".into())?;
    let mut command = Command::new(program);
    command.args(rest).process_group(0);
    signal::unblock_in_child(&mut command);
    let child = command.spawn().context(|| format!("cannot execute {program:?}"))?;
    let child = Pid::from_child(&child);
    // On a terminal the child's group is the one that reads and is interrupted. Without a terminal this fails, rightly.
    let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), child);
    loop {
        match next_signal(&mut events)? {
            signal::CHLD => {
                if let Some(code) = bury(child) {
                    return Ok(code);
                }
            }
            // A child that has just ended is buried in the next round.
            number => drop(sys::process::kill(child.as_raw_nonzero().get(), number)),
        }
    }
}

fn next_signal(events: &mut SignalFd) -> Result<i32> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        if let Some(number) = events.read().context(|| "cannot read a signal".into())? {
            return Ok(number);
        }
        // A spurious wake-up only asks again.
        let _ = poll(&mut [PollFd::new(&*events, PollFlags::IN)], None);
    }
}

/// Reaps whoever has ended; gives the exit code once `child` is among them.
fn bury(child: Pid) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            let status = std::process::ExitStatus::from_raw(status.as_raw());
            code = Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
    }
    code
}
