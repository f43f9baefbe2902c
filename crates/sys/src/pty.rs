//! Pseudo-terminals.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{Errno, Result, check};

/// A new pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The engine's side.
    pub master: OwnedFd,
    /// The program's side.
    pub slave: OwnedFd,
    /// Its number: `/dev/pts/NUMBER`.
    pub number: u32,
}

impl Pty {
    /// Opens a pair from the devpts instance whose multiplexer is `name` in directory `devpts`; the slave is opened
    /// through the master, so no path is followed. A directory of another filesystem is `NODEV`.
    pub fn open(devpts: impl AsFd, name: &str) -> Result<Self> {
        const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
        if rustix::fs::fstatfs(&devpts)?.f_type as i64 != DEVPTS_SUPER_MAGIC {
            return Err(Errno::NODEV);
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let master = rustix::fs::openat(devpts, name, flags, Mode::empty())?;
        rustix::pty::unlockpt(&master)?;
        let mut number: libc::c_uint = 0;
        // SAFETY: TIOCGPTN stores an unsigned int.
        check(libc::c_long::from(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) }))?;
        let open_flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        // SAFETY: TIOCGPTPEER takes open flags by value and returns a new descriptor.
        let slave =
            check(libc::c_long::from(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, open_flags) }))?;
        // SAFETY: the descriptor is new and ours alone.
        let slave = unsafe { OwnedFd::from_raw_fd(slave as i32) };
        Ok(Self { master, slave, number })
    }
}

/// Makes `terminal` the controlling terminal of this session leader.
pub fn set_controlling(terminal: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal)
}

/// A newline written to `terminal` stays one, without a carriage return before it.
pub fn keep_newlines(terminal: impl AsFd) -> Result<()> {
    let mut settings = rustix::termios::tcgetattr(&terminal)?;
    settings.output_modes.remove(rustix::termios::OutputModes::ONLCR);
    rustix::termios::tcsetattr(&terminal, rustix::termios::OptionalActions::Now, &settings)
}

/// Tells the programs on `terminal` its size in characters.
pub fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
}
