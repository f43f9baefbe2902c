//! Reading procfs without being fooled by what is mounted on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, fstatfs, openat2};

use crate::{Errno, Result};

const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// The root of every procfs; a directory of it mounted alone has another.
const PROC_ROOT_INO: u64 = 1;

/// A procfs whose files are really the kernel's: the magic number was checked, and no mount is crossed below it.
#[derive(Debug)]
pub struct Procfs {
    root: OwnedFd,
}

impl Procfs {
    /// The procfs at `/proc` of the current root.
    pub fn open() -> Result<Self> {
        let root = rustix::fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Self::from_fd(root)
    }

    /// A procfs given by its root directory, such as a detached mount.
    pub fn from_fd(root: OwnedFd) -> Result<Self> {
        if fstatfs(&root)?.f_type as i64 != PROC_SUPER_MAGIC || fstat(&root)?.st_ino != PROC_ROOT_INO {
            return Err(Errno::NOTDIR);
        }
        Ok(Self { root })
    }

    /// Opens `path` (relative, `self/attr/exec`), following no link out of procfs and crossing no mount.
    pub fn open_file(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Writes `text` to `path` in one `write(2)`, as procfs wants it.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let mut file = File::from(self.open_file(path, OFlags::WRONLY)?);
        file.write_all(text.as_bytes()).map_err(|error| errno_of(&error))
    }
}

impl AsFd for Procfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// When process `pid` was started, in clock ticks since boot. Together with the pid it names one process for ever.
pub fn start_time(pid: i32) -> Result<u64> {
    stat_field(pid, 22)
}

/// Whether process `pid` has ended and only waits to be reaped.
pub fn is_zombie(pid: i32) -> Result<bool> {
    let text = read_stat(pid)?;
    let state = text.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    Ok(matches!(state, Some('Z' | 'X')))
}

/// What `/proc/PID/stat` tells of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its name: what it executed, cut to 15 bytes, or what it calls itself.
    pub name: String,
    pub parent: i32,
    /// Device number of its terminal; 0: none.
    pub terminal: i32,
    /// Seconds on a CPU, in user mode and in the kernel.
    pub cpu_seconds: u64,
    /// Seconds after boot at which it was started.
    pub start_seconds: u64,
}

/// How process `pid` is.
pub fn stat(pid: i32) -> Result<Stat> {
    let text = read_stat(pid)?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let (head, rest) = text.rsplit_once(')').ok_or(Errno::INVAL)?;
    let name = head.split_once('(').map_or(head, |(_, name)| name).to_owned();
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Numbered as in proc_pid_stat(5): the first after the name is the third.
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<i64>().ok()).ok_or(Errno::INVAL);
    Ok(Stat {
        name,
        parent: field(4)? as i32,
        terminal: field(7)? as i32,
        cpu_seconds: (field(14)? + field(15)?) as u64 / ticks,
        start_seconds: field(22)? as u64 / ticks,
    })
}

/// When this machine was started, in seconds since 1970.
pub fn boot_time() -> std::io::Result<i64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let time = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    time.ok_or_else(|| std::io::Error::other("/proc/stat does not tell when the machine was started"))
}

fn stat_field(pid: i32, number: usize) -> Result<u64> {
    let text = read_stat(pid)?;
    // The second field is the command in parentheses and may itself hold spaces and parentheses.
    let rest = text.rsplit_once(')').ok_or(Errno::INVAL)?.1;
    rest.split_ascii_whitespace().nth(number - 3).and_then(|field| field.parse().ok()).ok_or(Errno::INVAL)
}

fn read_stat(pid: i32) -> Result<String> {
    let mut bytes = Vec::with_capacity(512);
    let file = File::open(format!("/proc/{pid}/stat")).map_err(|error| errno_of(&error))?;
    file.take(4096).read_to_end(&mut bytes).map_err(|error| errno_of(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The errno inside an `io::Error` that came from a system call.
pub fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
