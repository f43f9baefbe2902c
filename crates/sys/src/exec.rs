//! `execve(2)` with exactly the arguments and environment given.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Errno, Result, check};

/// Replaces this process by `program`. Returns only on failure.
pub fn execve(program: &CStr, args: &[CString], env: &[CString]) -> Result<Infallible> {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer and point to strings that outlive the call.
    match check(unsafe { libc::c_long::from(libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr())) }) {
        Err(errno) => Err(errno),
        // execve does not return on success.
        Ok(_) => Err(Errno::INVAL),
    }
}

/// Replaces this process by the program that `fd` is open on.
pub fn fexecve(fd: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> Result<Infallible> {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: as for `execve`; the empty path with AT_EMPTY_PATH names the descriptor itself.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    match check(result) {
        Err(errno) => Err(errno),
        Ok(_) => Err(Errno::INVAL),
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}
