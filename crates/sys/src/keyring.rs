//! Session keyrings, keyrings(7): the keys that a program and what it starts possess.

use std::ffi::CStr;

use crate::{Errno, Result, check};

/// The search permission of the keyring's owner, without which it cannot be joined by name.
const OWNER_SEARCH: u32 = 0x08_0000;

/// Leaves the session keyring for the one of this name, which is made if there is none. One that somebody else has put
/// there under that name is not joined: then it is a new one without a name.
pub fn join_session(name: &CStr) -> Result<()> {
    let keyring = join(name.as_ptr())?;
    let (owner, permissions) = describe(keyring)?;
    if owner != rustix::process::geteuid().as_raw() {
        return join(std::ptr::null()).map(drop);
    }
    set_permissions(keyring, permissions | OWNER_SEARCH)
}

fn join(name: *const libc::c_char) -> Result<libc::c_long> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: `name` is null or a C string that lives for the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) })
}

/// Owner and permissions of a key: `TYPE;UID;GID;PERMISSIONS;NAME`.
fn describe(key: libc::c_long) -> Result<(u32, u32)> {
    const KEYCTL_DESCRIBE: libc::c_int = 6;
    let mut buffer = [0u8; 512];
    // SAFETY: the kernel writes at most as many bytes as it is told there are.
    let len =
        check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, key, buffer.as_mut_ptr(), buffer.len()) })?;
    let text = buffer.get(..len as usize).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(Errno::INVAL)?;
    let mut fields = text.split(';').skip(1);
    let owner = fields.next().and_then(|field| field.parse().ok()).ok_or(Errno::INVAL)?;
    let permissions = fields.nth(1).and_then(|field| u32::from_str_radix(field, 16).ok()).ok_or(Errno::INVAL)?;
    Ok((owner, permissions))
}

fn set_permissions(key: libc::c_long, permissions: u32) -> Result<()> {
    const KEYCTL_SETPERM: libc::c_int = 5;
    // SAFETY: changes an attribute of a key; no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, key, permissions) }).map(drop)
}
