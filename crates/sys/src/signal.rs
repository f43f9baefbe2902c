//! Signals as events, and their names.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Result, check, proc::errno_of};

/// The signal of a child that has ended.
pub const CHLD: i32 = libc::SIGCHLD;
/// The signal a program may not refuse.
pub const KILL: i32 = libc::SIGKILL;
/// The terminal is gone.
pub const HUP: i32 = libc::SIGHUP;
/// The keyboard's interrupt.
pub const INT: i32 = libc::SIGINT;
/// The keyboard's request to end with a core.
pub const QUIT: i32 = libc::SIGQUIT;
/// A system call that a filter does not allow.
pub const SYS: i32 = libc::SIGSYS;
/// The request to end.
pub const TERM: i32 = libc::SIGTERM;
/// The size of the terminal has changed.
pub const WINCH: i32 = libc::SIGWINCH;

/// A set of signals, delivered by reading instead of interrupting.
#[derive(Debug)]
pub struct SignalFd {
    file: std::fs::File,
}

impl SignalFd {
    /// Blocks `signals` for this thread and collects them here.
    pub fn new(signals: &[i32]) -> Result<Self> {
        let set = set_of(signals);
        // SAFETY: `set` is initialised; the old mask is not asked for.
        check(libc::c_long::from(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) }))?;
        // SAFETY: creates a new descriptor from an initialised set.
        let fd = check(libc::c_long::from(unsafe {
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        }))?;
        // SAFETY: the descriptor is new and ours alone.
        let file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd as i32) });
        Ok(Self { file })
    }

    /// The next pending signal's number; `None` if there is none now.
    pub fn read(&mut self) -> Result<Option<i32>> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        match self.file.read(&mut info) {
            // The number is the structure's first field.
            Ok(_) => Ok(Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(errno_of(&error)),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Lets these signals through to this thread again, those that wait first.
pub fn unblock(signals: &[i32]) {
    let set = set_of(signals);
    // SAFETY: `set` is initialised; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Lets the child that `command` starts begin with no signal blocked, whatever this process blocks for a [`SignalFd`].
pub fn unblock_in_child(command: &mut std::process::Command) {
    let unblock = || {
        let set = set_of(&[]);
        // SAFETY: `set` is initialised, and sigprocmask may be called between fork and exec.
        check(libc::c_long::from(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) }))
            .map(drop)
            .map_err(std::io::Error::from)
    };
    // SAFETY: the closure only calls sigprocmask, which is async-signal-safe.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, unblock) };
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set before it is read; a bad number makes sigaddset fail without effect.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// Puts every signal back to its default action and unblocks all, as a program expects to be started.
pub fn reset() {
    for signal in 1..=64 {
        // SAFETY: installs a default disposition; the kernel refuses the numbers that cannot be changed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an empty mask is always valid.
    unsafe {
        let set = set_of(&[]);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Makes this process survive `signal`.
pub fn ignore(signal: i32) {
    // SAFETY: installs SIG_IGN, which runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Reads `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`. `None` if there is no such signal.
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let offset = if rest.is_empty() { 0 } else { rest.strip_prefix('+')?.parse::<i32>().ok()? };
        return (0..=RTMAX - RTMIN).contains(&offset).then(|| RTMIN + offset);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        let offset = if rest.is_empty() { 0 } else { rest.strip_prefix('-')?.parse::<i32>().ok()? };
        return (0..=RTMAX - RTMIN).contains(&offset).then(|| RTMAX - offset);
    }
    let name = match name {
        "POLL" => "IO",
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        other => other,
    };
    NAMES.iter().find(|(known, _)| *known == name).map(|&(_, number)| number)
}

#[cfg(test)]
mod tests {
    #[test]
    fn signals_are_read_in_every_usual_spelling() {
        for (text, number) in
            [("9", 9), ("KILL", 9), ("SIGTERM", 15), ("sigint", 2), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)]
        {
            assert_eq!(super::parse(text), Some(number), "{text}");
        }
        for text in ["", "0", "65", "SIGNOPE", "RTMIN+99", "-1"] {
            assert_eq!(super::parse(text), None, "{text}");
        }
    }
}
