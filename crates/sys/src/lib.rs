//! The kernel, typed: the system calls that `rustix` does not have or has untyped, and the few sequences of calls that
//! belong together (a detached mount, a resolved path, a pseudo-terminal). The only crate with `unsafe` code.
//!
//! Functions return the bare [`Errno`]; the caller knows the noun and says the sentence. No policy lives here.

pub mod binary;
pub mod bpf;
pub mod caps;
pub mod clone;
pub mod exec;
pub mod fds;
pub mod keyring;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod netlink;
pub mod proc;
pub mod process;
pub mod pty;
pub mod root;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod socket;

pub use rustix::io::Errno;

/// Result of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns the C convention (-1 and `errno`) into a `Result`.
pub(crate) fn check(result: libc::c_long) -> Result<libc::c_long> {
    if result == -1 {
        // SAFETY: reads the calling thread's errno.
        let errno = unsafe { *libc::__errno_location() };
        return Err(Errno::from_raw_os_error(errno));
    }
    Ok(result)
}
