//! Entering and leaving namespaces.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Result, check};

/// The `CLONE_NEW*` bits.
pub mod flag {
    pub const MOUNT: u64 = libc::CLONE_NEWNS as u64;
    pub const UTS: u64 = libc::CLONE_NEWUTS as u64;
    pub const IPC: u64 = libc::CLONE_NEWIPC as u64;
    pub const USER: u64 = libc::CLONE_NEWUSER as u64;
    pub const PID: u64 = libc::CLONE_NEWPID as u64;
    pub const NETWORK: u64 = libc::CLONE_NEWNET as u64;
    pub const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
    pub const TIME: u64 = 0x80;
}

/// Moves this process into new namespaces; for [`flag::PID`] and [`flag::TIME`] only its later children.
pub fn unshare(flags: u64) -> Result<()> {
    // SAFETY: changes which namespaces this process sees; memory is not touched.
    check(unsafe { libc::c_long::from(libc::unshare(flags as libc::c_int)) }).map(drop)
}

/// Moves this process (for pid and time: its later children) into the namespace `fd` is open on, which must be of the
/// kind in `flags`.
pub fn enter(fd: BorrowedFd<'_>, flags: u64) -> Result<()> {
    // SAFETY: as for `unshare`.
    check(unsafe { libc::c_long::from(libc::setns(fd.as_raw_fd(), flags as libc::c_int)) }).map(drop)
}
