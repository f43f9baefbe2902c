//! Attributes of the calling process that only system calls can set.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

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

/// Kills every process of the group that `leader`, a child that has not been reaped, leads.
pub fn kill_group(leader: i32) -> Result<()> {
    kill(-leader, crate::signal::KILL)
}

/// Reaps the children of this process that have ended, but not `kept`: whoever waits for that one finds how it ended.
pub fn reap_others(kept: i32) {
    loop {
        // SAFETY: the kernel fills in what it writes; zero stands for "nobody".
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` is valid for writing.
        let found = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) };
        // SAFETY: the field of a SIGCHLD, or zero.
        let pid = unsafe { info.si_pid() };
        if found != 0 || pid <= 0 || pid == kept {
            return;
        }
        // SAFETY: as above; a child that has ended and is nobody else's to reap.
        unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, libc::WEXITED | libc::WNOHANG) };
    }
}

/// Sends `signal` to the process a pidfd stands for; an ended one gives `ESRCH`, never another process.
pub fn kill_pidfd(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: no siginfo is passed.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<libc::siginfo_t>(), 0) };
    check(result).map(drop)
}

/// The process a pidfd stands for, as this process's procfs numbers it.
pub fn pid_of(pidfd: impl AsFd) -> Result<i32> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).map_err(|error| crate::proc::errno_of(&error))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|&pid| pid > 0).ok_or(crate::Errno::SRCH)
}

/// A copy of the descriptor that the process a pidfd stands for has under `number`; close-on-exec. Needs the right to
/// trace that process.
pub fn descriptor_of(pidfd: impl AsFd, number: i32) -> Result<OwnedFd> {
    rustix::process::pidfd_getfd(pidfd, number, rustix::process::PidfdGetfdFlags::empty())
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

/// Gives memory back that was needed to start: a process that will idle for days should weigh little. The allocator's free
/// pages go, and the program's own code and constants are unmapped until they are used again.
pub fn slim_down() {
    // SAFETY: malloc_trim has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    // SAFETY: the callback fits the type and keeps nothing of what it is given.
    unsafe { libc::dl_iterate_phdr(Some(forget_constant_pages), std::ptr::null_mut()) };
}

/// Unmaps the segments that nobody has written to; the kernel reads them from the file again when they are touched. Those
/// that were ever writable hold relocated addresses that are in no file, and stay.
///
/// # Safety
/// To be called by `dl_iterate_phdr` only, which passes a valid `info`.
unsafe extern "C" fn forget_constant_pages(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: valid for this call, by the contract.
    let info = unsafe { &*info };
    // SAFETY: the loader's table of this many headers.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
        const PAGE: u64 = 4096;
        let start = (info.dlpi_addr + header.p_vaddr) & !(PAGE - 1);
        let end = (info.dlpi_addr + header.p_vaddr + header.p_memsz) & !(PAGE - 1);
        // SAFETY: a private file mapping without changes: its content comes back as it was. The last page, which may be
        // shared with the next segment, is left out.
        unsafe { libc::madvise(start as *mut libc::c_void, end.saturating_sub(start) as usize, libc::MADV_DONTNEED) };
    }
    0
}
