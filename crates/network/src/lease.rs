//! Who has which address: a symbolic link a lease, `ADDRESS → CONTAINER`.
//!
//! Making the link is taking the lease: it is there or not, whoever is killed when. A container keeps its lease for as long as
//! it exists, so that it has the same address when it runs again; when no other is left, one of a container that does not run
//! is taken over.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use stdx::{Context, Error, Kind, Result};

use crate::Pool;

/// All leases in the directory `dir`: address and container. None if there is no such directory.
pub fn all(dir: &Path) -> Result<Vec<(IpAddr, String)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(|| format!("cannot list leases {dir:?}"))?,
    };
    let lease = |entry: fs::DirEntry| {
        let address = entry.file_name().to_str()?.parse().ok()?;
        Some((address, fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
    };
    Ok(entries.flatten().filter_map(lease).collect())
}

/// Gives `container` an address of `pool`: `wanted`, or the one it has, or the first that nobody has. `idle` tells whether a
/// container's lease may be taken over.
///
/// The caller holds the lock of leases.
pub fn take(
    dir: &Path,
    pool: &Pool,
    container: &str,
    wanted: Option<IpAddr>,
    idle: &dyn Fn(&str) -> bool,
) -> Result<IpAddr> {
    let taken: Vec<(IpAddr, String)> =
        all(dir)?.into_iter().filter(|(address, _)| address.is_ipv6() == pool.subnet.is_ipv6()).collect();
    let holder = |address: IpAddr| taken.iter().find(|(taken, _)| *taken == address).map(|(_, holder)| holder.as_str());
    if let Some(address) = wanted {
        if !pool.is_free_to_give(address) {
            return Err(Error::invalid(format!("address {address} cannot be given in subnet {}", pool.subnet))
                .hint("it must be in the subnet, and not be its first, its last or its gateway"));
        }
        return match holder(address) {
            Some(holder) if holder == container => Ok(address),
            Some(holder) if !idle(holder) => {
                Err(Error::conflict(format!("address {address} is in use by container {}", short(holder))))
            }
            _ => write(dir, address, container),
        };
    }
    if let Some((address, _)) = taken.iter().find(|(_, holder)| holder == container) {
        if pool.is_free_to_give(*address) {
            return Ok(*address);
        }
    }
    let held: std::collections::HashSet<IpAddr> = taken.iter().map(|(address, _)| *address).collect();
    let range = pool.range.unwrap_or(pool.subnet);
    let free = range.addresses().find(|address| pool.is_free_to_give(*address) && !held.contains(address));
    let is_usable = |address: IpAddr| range.contains(address) && pool.is_free_to_give(address);
    let given_up = || taken.iter().find(|(address, holder)| is_usable(*address) && idle(holder)).map(|lease| lease.0);
    match free.or_else(given_up) {
        Some(address) => write(dir, address, container),
        None => Err(Error::new(Kind::NoSpace, format!("no address is left in subnet {}", pool.subnet))),
    }
}

fn write(dir: &Path, address: IpAddr, container: &str) -> Result<IpAddr> {
    let what = || format!("cannot lease address {address}");
    fs::create_dir_all(dir).context(what)?;
    let path = dir.join(address.to_string());
    match symlink(container, &path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(&path).and_then(|()| symlink(container, &path)).context(what)?;
        }
        made => made.context(what)?,
    }
    Ok(address)
}

/// Gives up the leases of `container`.
pub fn release(dir: &Path, container: &str) -> Result<()> {
    for (address, _) in all(dir)?.into_iter().filter(|(_, holder)| holder == container) {
        match fs::remove_file(dir.join(address.to_string())) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context(|| format!("cannot give up address {address}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of leases, removed at the end.
    struct Leases(std::path::PathBuf, Pool);

    impl Leases {
        fn of(subnet: &str) -> Self {
            Self(
                std::env::temp_dir().join(format!("tare-leases-{}", stdx::id::random_hex(6))),
                Pool::of(subnet.parse().unwrap()),
            )
        }

        fn take(&self, container: &str, wanted: Option<&str>, idle: &[&str]) -> Result<String> {
            let wanted = wanted.map(|text| text.parse().unwrap());
            take(&self.0, &self.1, container, wanted, &|holder| idle.contains(&holder))
                .map(|address| address.to_string())
        }
    }

    impl Drop for Leases {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn everybody_gets_another_address_and_keeps_it() {
        let leases = Leases::of("10.1.0.0/29");
        assert_eq!(leases.take("a", None, &[]).unwrap(), "10.1.0.2");
        assert_eq!(leases.take("b", None, &[]).unwrap(), "10.1.0.3");
        assert_eq!(leases.take("a", None, &[]).unwrap(), "10.1.0.2");
        release(&leases.0, "a").unwrap();
        assert_eq!(leases.take("c", None, &[]).unwrap(), "10.1.0.2");
    }

    #[test]
    fn a_full_range_takes_from_those_that_do_not_run() {
        let leases = Leases::of("10.1.0.0/30");
        assert_eq!(leases.take("a", None, &[]).unwrap(), "10.1.0.2");
        assert_eq!(leases.take("b", None, &[]).unwrap_err().kind(), Kind::NoSpace);
        assert_eq!(leases.take("b", None, &["a"]).unwrap(), "10.1.0.2");
        assert_eq!(all(&leases.0).unwrap().len(), 1);
    }

    #[test]
    fn an_address_that_is_asked_for_must_be_there_to_give() {
        let leases = Leases::of("10.1.0.0/24");
        assert_eq!(leases.take("a", Some("10.1.0.77"), &[]).unwrap(), "10.1.0.77");
        assert!(leases.take("b", Some("10.1.0.77"), &[]).unwrap_err().to_string().contains("in use by container a"));
        for bad in ["10.1.0.0", "10.1.0.1", "10.1.0.255", "10.2.0.1", "fd00::1"] {
            assert!(leases.take("b", Some(bad), &[]).is_err(), "{bad}");
        }
    }
}
