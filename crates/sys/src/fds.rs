//! Descriptors: what a new program may inherit.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{Result, check};

/// Marks every descriptor from `first` on close-on-exec, known to us or not.
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    let first = first as libc::c_uint;
    // SAFETY: changes flags only; no descriptor is closed under its owner.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) })?;
    Ok(())
}

/// Closes every descriptor from `first` on. For the beginning of a program, before it owns any: what is open then was
/// left by whoever started it, and would be kept open for as long as it lives.
pub fn close_inherited_from(first: RawFd) -> Result<()> {
    // SAFETY: by the contract above nobody in this process owns one of them.
    check(unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0) }).map(drop)
}

/// Makes `target` (0, 1 or 2, or a number agreed on with the next program) a copy of `fd` that survives exec.
pub fn inherit_as(fd: BorrowedFd<'_>, target: RawFd) -> Result<()> {
    if fd.as_raw_fd() == target {
        // dup2 onto itself would leave close-on-exec as it is.
        // SAFETY: sets the flags of a descriptor the caller lends us.
        return check(unsafe { libc::c_long::from(libc::fcntl(target, libc::F_SETFD, 0)) }).map(drop);
    }
    // SAFETY: replaces `target`, which the caller hands over by naming it.
    check(unsafe { libc::c_long::from(libc::dup2(fd.as_raw_fd(), target)) }).map(drop)
}

/// Takes ownership of a descriptor that the program before us left open under an agreed number. `None` if it is not open.
pub fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD on a number that may be closed only fails.
    check(unsafe { libc::c_long::from(libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC)) }).ok()?;
    // SAFETY: it is open, and by the agreement nobody else in this process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
