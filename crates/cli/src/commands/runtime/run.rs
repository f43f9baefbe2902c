//! `tare runtime run`.

use std::ffi::OsString;
use std::os::fd::AsFd;

use rustix::process::{WaitId, WaitIdOptions, waitid};
use stdx::{Context, Error, Result};
use sys::signal::SignalFd;

use super::create::CreateArgs;
use super::{Globals, create, protect, streams};
use crate::error::Failure;
use crate::terminal::Raw;

/// Create and run a container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime run")]
struct Args {
    #[command(flatten)]
    create: CreateArgs,
    /// Detach from the container's process
    #[arg(short, long)]
    detach: bool,
    /// Leave processes that the container orphans to the system's init
    #[arg(long)]
    no_subreaper: bool,
    /// Do not delete the container after it exits
    #[arg(long)]
    keep: bool,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    protect::protect()?;
    protect::close_others(streams::listen_fds() + args.create.preserve_fds, &globals.log)?;
    let mut signals = Forward::collect(args.detach)?;
    if !args.detach && !args.no_subreaper {
        // What the container leaves behind is ours to bury.
        sys::process::become_subreaper().context(|| "cannot adopt orphans".into())?;
    }
    let (container, created) = create::create(globals, &args.create, args.detach)?;
    globals.warn(&created.warnings);
    let started = container.start().map_err(super::failure).and_then(|()| Ok(container.run_poststart_hooks()?));
    if let Err(failure) = started {
        // The failure that led here is the one to report.
        let _ = container.delete(true);
        return Err(failure);
    }
    if args.detach {
        return Ok(0);
    }
    let terminal = created.terminal.as_ref().filter(|_| args.create.console_socket.is_none());
    let code = wait(created.pid, created.pidfd.as_fd(), terminal, &mut signals);
    if !args.keep {
        globals.warn(&container.delete(true)?);
    }
    Ok(code?)
}

/// The signals that a caller in the foreground passes on.
pub(super) struct Forward(Option<SignalFd>);

impl Forward {
    pub(super) fn collect(detached: bool) -> Result<Self> {
        if detached {
            return Ok(Self(None));
        }
        let numbers: Vec<i32> =
            (1..32).filter(|number| ![9, 11, 13, 17, 18, 19, 20, 21, 22].contains(number)).collect();
        Ok(Self(Some(SignalFd::new(&numbers).context(|| "cannot collect signals".into())?)))
    }
}

/// Waits for a process, passing signals and the terminal's bytes on; gives its exit code.
pub(super) fn wait(
    pid: i32,
    pidfd: std::os::fd::BorrowedFd<'_>,
    terminal: Option<&std::os::fd::OwnedFd>,
    signals: &mut Forward,
) -> Result<i32> {
    use rustix::event::{PollFd, PollFlags, poll};
    let _raw = (terminal.is_some() && crate::terminal::is_terminal()).then(Raw::enter_but_output).transpose()?;
    if let Some(terminal) = terminal {
        let (rows, columns) = crate::terminal::size();
        // Without a terminal of our own there is no size to pass on.
        let _ = sys::pty::resize(terminal, rows, columns);
    }
    let stdin = rustix::stdio::stdin();
    let (mut reading, mut writing) = (terminal.is_some(), terminal.is_some());
    let mut ended = false;
    while !ended || writing {
        let mut fds = vec![PollFd::new(&pidfd, if ended { PollFlags::empty() } else { PollFlags::IN })];
        let signal_fd = signals.0.as_ref();
        fds.extend(signal_fd.map(|signals| PollFd::new(signals, PollFlags::IN)));
        let from_terminal = terminal.filter(|_| writing);
        fds.extend(from_terminal.map(|terminal| PollFd::new(terminal, PollFlags::IN)));
        if reading && !ended {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut happened = happened.into_iter();
        ended |= happened.next().unwrap_or(false);
        if let Some(signals) = &mut signals.0 {
            if happened.next().unwrap_or(false) {
                forward(signals, pid, terminal)?;
            }
        }
        if let Some(terminal) = terminal.filter(|_| writing) {
            if happened.next().unwrap_or(false) || ended {
                writing = copy(terminal.as_fd(), rustix::stdio::stdout());
            }
            if happened.next().unwrap_or(false) {
                reading = copy(stdin, terminal.as_fd());
            }
        }
    }
    let status =
        waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED).context(|| "cannot wait for the process".into())?;
    let status = status.ok_or_else(|| Error::conflict("the process has no status"))?;
    Ok(status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(255))
}

fn forward(signals: &mut SignalFd, pid: i32, terminal: Option<&std::os::fd::OwnedFd>) -> Result<()> {
    while let Some(number) = signals.read().context(|| "cannot read a signal".into())? {
        match terminal {
            Some(terminal) if number == sys::signal::WINCH => {
                let (rows, columns) = crate::terminal::size();
                let _ = sys::pty::resize(terminal, rows, columns);
            }
            // It may have ended just now.
            _ => drop(sys::process::kill(pid, number)),
        }
    }
    Ok(())
}

/// Copies what is there. `false`: there will be no more.
fn copy(from: std::os::fd::BorrowedFd<'_>, to: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 16 << 10];
    let mut bytes = match rustix::io::read(from, &mut buffer) {
        Ok(0) => return false,
        Ok(len) => &buffer[..len],
        Err(errno) => return matches!(errno, sys::Errno::INTR | sys::Errno::AGAIN),
    };
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(sys::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}
