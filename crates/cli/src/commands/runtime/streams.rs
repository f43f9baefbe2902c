//! The streams of a process that an engine starts: the caller's own, or a terminal that is handed over.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime_spec::Process;
use runtime::{Stdio, Terminal};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use stdx::{Context, Error, Result};

/// The caller's three streams, or a new terminal where the configuration asks for one: shown by this process, or handed over.
pub(super) fn stdio(process: &Process, shown_here: bool) -> Result<Stdio> {
    if process.terminal {
        let size = process.console_size.as_ref();
        let small = |number: u32| u16::try_from(number).unwrap_or(0);
        return Ok(Stdio::Terminal(Terminal {
            rows: size.map_or(0, |size| small(size.height)),
            columns: size.map_or(0, |size| small(size.width)),
            plain_newlines: shown_here,
        }));
    }
    let own = |fd: std::os::fd::BorrowedFd<'_>| {
        rustix::io::fcntl_dupfd_cloexec(fd, 3).context(|| "cannot pass the standard streams on".into())
    };
    Ok(Stdio::Files([own(rustix::stdio::stdin())?, own(rustix::stdio::stdout())?, own(rustix::stdio::stderr())?]))
}

/// How many sockets systemd has passed to this process for the program, sd_listen_fds(3).
pub(super) fn listen_fds() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    number("LISTEN_FDS").filter(|_| number("LISTEN_PID") == Some(std::process::id())).unwrap_or(0)
}

/// A terminal needs somebody who takes it, and a socket without a terminal is a mistake too.
pub(super) fn check_console(process: &Process, socket: Option<&Path>, detached: bool) -> Result<()> {
    match (process.terminal, socket) {
        (true, None) if detached => {
            Err(Error::invalid("cannot allocate a terminal for a detached process without --console-socket"))
        }
        (false, Some(_)) => Err(Error::invalid("cannot use --console-socket: the process has no terminal")),
        _ => Ok(()),
    }
}

/// Sends a terminal to whoever listens on `socket`, as runc does: its name as text, the descriptor beside.
pub(super) fn send_terminal(socket: &Path, terminal: &OwnedFd) -> Result<()> {
    send(socket, "/dev/ptmx", terminal.as_fd()).context(|| format!("cannot send the terminal to {socket:?}"))
}

/// Sends a descriptor of a process likewise.
pub(super) fn send_pidfd(socket: &Path, pidfd: BorrowedFd<'_>) -> Result<()> {
    send(socket, "pidfd", pidfd).context(|| format!("cannot send the process's descriptor to {socket:?}"))
}

fn send(socket: &Path, name: &str, descriptor: BorrowedFd<'_>) -> sys::Result<()> {
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&fd, &SocketAddrUnix::new(socket)?)?;
    sys::socket::send(&fd, name.as_bytes(), &[descriptor])
}

/// Writes a pid file, whole or not at all.
pub(super) fn write_pid(path: Option<&Path>, pid: i32) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    stdx::atomic_write::atomic_write(path, pid.to_string().as_bytes(), stdx::atomic_write::Durability::Scratch)
}
