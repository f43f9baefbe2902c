//! Loading a seccomp filter. Compiling one is `runtime::seccomp`.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::{Errno, Result, check};

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: the call returns a notification descriptor.
pub const NEW_LISTENER: u32 = 1 << 3;

/// Installs a classic-BPF program given as its bytes (8 a instruction, `struct sock_filter`), for ever and for every
/// program executed later. Needs `no_new_privs` or `CAP_SYS_ADMIN`. Gives the listener if `flags` ask for one.
pub fn load(program: &[u8], flags: u32) -> Result<Option<OwnedFd>> {
    let instructions: Vec<libc::sock_filter> = program
        .chunks_exact(8)
        .map(|b| libc::sock_filter {
            code: u16::from_ne_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        })
        .collect();
    let len = u16::try_from(instructions.len()).map_err(|_| Errno::INVAL)?;
    let filter = libc::sock_fprog { len, filter: instructions.as_ptr().cast_mut() };
    // SAFETY: `filter` points to `len` instructions that live for the call; the kernel copies and verifies them.
    let result = check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, libc::c_ulong::from(flags), &raw const filter)
    })?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with this flag the result is a new descriptor that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(result as RawFd) }))
}
