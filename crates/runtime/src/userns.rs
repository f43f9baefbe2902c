//! User namespaces: writing the id maps of a child.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};

use oci::runtime_spec::{IdMapping, Linux};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use stdx::{Context, Error, Result};
use sys::clone::{Cloned, clone3};
use sys::namespace::flag;

/// Writes the id maps of process `pid`, whose user namespace is new.
pub(crate) fn write_maps(pid: i32, linux: &Linux) -> Result<()> {
    if linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty() {
        return Err(Error::invalid("a new user namespace needs uid and gid mappings"));
    }
    for (file, map) in [("uid_map", &linux.uid_mappings), ("gid_map", &linux.gid_mappings)] {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, lines(map)).context(|| format!("cannot write the {file} of the user namespace"))?;
    }
    Ok(())
}

/// A user namespace with these maps and nobody inside, for a mount. The caller must be single-threaded.
pub(crate) fn with_maps(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd> {
    let what = || "cannot make a user namespace for a mount".to_owned();
    match clone3(flag::USER, None).context(what)? {
        Cloned::Child => loop {
            rustix::event::pause();
        },
        Cloned::Parent { pid, pidfd } => {
            let linux = Linux { uid_mappings: uids.to_vec(), gid_mappings: gids.to_vec(), ..Linux::default() };
            let namespace = write_maps(pid, &linux).and_then(|()| of(pid));
            // It lives as long as it is held open; its only process has done its part.
            sys::process::kill_pidfd(&pidfd, sys::signal::KILL).context(what)?;
            waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).context(what)?;
            namespace
        }
    }
}

fn lines(map: &[IdMapping]) -> String {
    map.iter().map(|range| format!("{} {} {}\n", range.container_id, range.host_id, range.size)).collect()
}

/// A handle on the user namespace of process `pid`.
pub(crate) fn of(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/user");
    Ok(File::open(&path).context(|| format!("cannot open {path:?}"))?.into())
}

/// The host's id of container id `id`; itself where nothing is mapped.
pub fn to_host(map: &[IdMapping], id: u32) -> u32 {
    let inside = |range: &&IdMapping| id.checked_sub(range.container_id).is_some_and(|offset| offset < range.size);
    map.iter().find(inside).map_or(id, |range| range.host_id + (id - range.container_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shifted_by_their_range() {
        let map = [
            IdMapping { container_id: 0, host_id: 100_000, size: 10 },
            IdMapping { container_id: 10, host_id: 5, size: 1 },
        ];
        assert_eq!(
            (to_host(&map, 0), to_host(&map, 9), to_host(&map, 10), to_host(&map, 11)),
            (100_000, 100_009, 5, 11)
        );
        assert_eq!(lines(&map), "0 100000 10\n10 5 1\n");
    }
}
