//! Attributes of the calling process that only system calls can set.

use std::os::fd::{AsFd, AsRawFd};

use rustix::process::{Pid, Signal};
use rustix::thread::{Gid, Uid};

use crate::{Result, check};

/// Ends the process at once: no destructors, no flushing of what was copied from a parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Sends `signal` (a number, real-time ones included) to process `pid`.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: sending a signal touches no memory of ours.
    check(libc::c_long::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// Sends `signal` to the process a pidfd stands for; an ended one gives `ESRCH`, never another process.
pub fn kill_pidfd(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: no siginfo is passed.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<libc::siginfo_t>(), 0) };
    check(result).map(drop)
}

/// Orphaned descendants become children of this process instead of the system's init.
pub fn become_subreaper() -> Result<()> {
    rustix::process::set_child_subreaper(Pid::from_raw(1))
}

/// The kernel kills this process with `signal` when its parent ends. Cleared by a change of credentials and by
/// executing a set-id program, so set it last.
pub fn die_with_parent(signal: Signal) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(signal))
}

/// Sets real, effective and saved user id of this (single-threaded) process.
pub fn set_uid(uid: u32) -> Result<()> {
    let uid = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Sets real, effective and saved group id of this (single-threaded) process.
pub fn set_gid(gid: u32) -> Result<()> {
    let gid = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
}

/// Replaces the supplementary groups of this (single-threaded) process.
pub fn set_groups(groups: &[u32]) -> Result<()> {
    let groups: Vec<Gid> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    rustix::thread::set_thread_groups(&groups)
}

/// A new, empty session keyring, so that the keys of whoever started us stay theirs.
pub fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) }).map(drop)
}

/// Gives the allocator's free pages back to the kernel: a process that will idle for days should weigh little.
pub fn trim_heap() {
    // SAFETY: glibc's malloc_trim has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
