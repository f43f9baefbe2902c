//! This program's own file, executed so that nothing it starts can write to it.
//!
//! Whoever gets hold of `/proc/PID/exe` of a process can open the file behind it for writing once nobody executes it any
//! more: a container that does so with its runtime's file has the host the next time that is called.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatvfs};

use crate::mount::{Attributes, attribute, clone_path, set_attributes};
use crate::{Errno, Result};

const OWN: &str = "/proc/self/exe";

/// The file of this program behind a read-only mount of its own. Without the right to mount, a copy in memory that is sealed.
/// It is executed through its descriptor.
pub fn protected() -> Result<OwnedFd> {
    let mounted = || {
        let path = rustix::fs::readlink(OWN, Vec::new())?.into_string().map_err(|_| Errno::ILSEQ)?;
        let tree = clone_path(path.as_ref(), false)?;
        set_attributes(&tree, &Attributes { set: attribute::RDONLY, ..Attributes::default() }, false)?;
        Ok(tree)
    };
    mounted().or_else(|_: Errno| sealed_copy())
}

fn sealed_copy() -> Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, memfd_create, sendfile};
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Where memory must be said to be executable; before 6.3 the flag is unknown.
    let copy = memfd_create("tare", flags | MemfdFlags::EXEC).or_else(|_| memfd_create("tare", flags))?;
    let mut left = fstat(&own)?.st_size as usize;
    while left > 0 {
        match sendfile(&copy, &own, None, left)? {
            0 => return Err(Errno::IO),
            sent => left -= sent,
        }
    }
    fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(copy)
}

/// Whether this process executes a file that cannot be written through it.
pub fn is_protected() -> Result<bool> {
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mounted = fstatvfs(&own)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    Ok(mounted || fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}
