//! `clone3(2)`: a new process with new namespaces.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Result, check};

/// Where the caller finds itself after [`clone3`].
#[derive(Debug)]
pub enum Cloned {
    /// In the new process. It must end in `execve` or [`crate::process::exit_now`], never by returning from `main`.
    Child,
    /// In the caller.
    Parent {
        /// The child's process id in the caller's pid namespace.
        pid: i32,
        /// A handle on the child that cannot come to mean another process.
        pidfd: OwnedFd,
    },
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Clones the calling process as `fork` does, with the `CLONE_NEW*` bits in `namespaces`; the child is born in the
/// cgroup v2 directory `cgroup` is open on.
///
/// The caller must be single-threaded: the child is a copy of this thread alone, so a lock that another thread held
/// would never be released in it. That is asserted, because forgetting it shows as a rare deadlock.
pub fn clone3(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    clone_with(CloneArgs {
        flags: namespaces | if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 },
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArgs::default()
    })
}

/// As [`clone3`], but the new process is a child of the caller's parent, as the caller is.
pub fn clone_sibling(namespaces: u64) -> Result<Cloned> {
    clone_with(CloneArgs { flags: namespaces | libc::CLONE_PARENT as u64, ..CloneArgs::default() })
}

fn clone_with(mut args: CloneArgs) -> Result<Cloned> {
    assert!(single_threaded(), "clone3 from a process with several threads");
    let mut pidfd: libc::c_int = -1;
    args.flags |= libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    // SAFETY: `args` is a valid `struct clone_args` of the given size, without CLONE_VM and with no new stack: the child
    // runs on a copy of this one, as after fork. The pidfd pointer outlives the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: the kernel has just stored a new descriptor there, and nobody else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { pid: pid as i32, pidfd })
}

fn single_threaded() -> bool {
    // A directory's link count is two and one for each entry below it.
    rustix::fs::stat("/proc/self/task").map_or(true, |stat| stat.st_nlink <= 3)
}
