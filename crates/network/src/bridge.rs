//! A network's bridge on the host, made when the first container needs it.

use std::net::IpAddr;
use std::path::Path;

use stdx::{Context, Kind, Result};
use sys::Errno;

use crate::route::{self, Host};
use crate::{Network, Subnet};

/// The number of the network's bridge on the host; it is made if it is not there.
///
/// The caller holds the lock of networks.
pub(crate) fn ensure(host: &mut Host, network: &Network) -> Result<u32> {
    if let Some(device) = host.find(&network.device)? {
        return Ok(device.index);
    }
    let what = || format!("cannot make bridge \"{}\" of network {}", network.device, network.name);
    let made = host.socket.ask(route::new_bridge(&network.device, mac(network)));
    made.context(what).map_err(|error| match error.errno() {
        Some(Errno::OPNOTSUPP) => {
            error.kinded(Kind::Unsupported).hint("this kernel has no bridges; use --network=none or host")
        }
        Some(Errno::PERM) => error.hint("networks need CAP_NET_ADMIN; use --network=none"),
        _ => error,
    })?;
    let set_up = set_up(host, network).context(what);
    if set_up.is_err() {
        // Half of it is worth nothing; the first error is the one to report.
        let _ = host.remove(&network.device);
    }
    set_up
}

fn set_up(host: &mut Host, network: &Network) -> Result<u32> {
    let gone = || stdx::Error::not_found("it is gone already");
    let index = host.find(&network.device)?.ok_or_else(gone)?.index;
    // Only an internal network needs no way through the host.
    if network.pool(true).is_none() {
        sysctl(&format!("ipv6/conf/{}/disable_ipv6", network.device), "1", false)?;
    }
    let addresses = network.pools.iter().map(|pool| route::new_address(index, pool.gateway, pool.subnet.prefix()));
    // Otherwise the ports that come and go decide.
    let messages = network.mtu.map(|mtu| route::set_mtu(index, mtu)).into_iter().chain(addresses);
    host.socket.send(messages.collect()).map_err(|(_, errno)| errno).context(|| "cannot set its address".into())?;
    if !network.internal {
        sysctl("ipv4/ip_forward", "1", true)?;
        if network.pool(true).is_some() {
            sysctl("ipv6/conf/all/forwarding", "1", true)?;
        }
    }
    Ok(index)
}

/// Lets the host's own programs reach published ports by 127.0.0.1. The packet filter keeps others from doing the same.
pub(crate) fn allow_loopback(network: &Network) -> Result<()> {
    sysctl(&format!("ipv4/conf/{}/route_localnet", network.device), "1", true)
}

/// Sets a kernel parameter of the network this thread is in, unless it has that value.
fn sysctl(name: &str, value: &str, needed: bool) -> Result<()> {
    let path = Path::new("/proc/sys/net").join(name);
    if std::fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    match std::fs::write(&path, value) {
        Err(error) if needed => {
            let what = || format!("cannot set net.{} to {value}", name.replace('/', "."));
            Err(error).context(what).map_err(|error| error.hint("set it yourself, or use --network=none"))
        }
        _ => Ok(()),
    }
}

/// An address of the bridge's own, always the same: otherwise it has that of whichever port has the lowest.
fn mac(network: &Network) -> [u8; 6] {
    let byte = |at: usize| network.id.get(at * 2..at * 2 + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    let byte = |at| byte(at).unwrap_or_default();
    [0x02, 0x42, byte(0), byte(1), byte(2), byte(3)]
}

/// A range for a new network that collides with no route of the host and no other network.
pub fn free_subnet(taken: &[Subnet]) -> Option<Subnet> {
    let of = |text: [u8; 4], prefix| Subnet::around(IpAddr::from(text), prefix);
    let wide = (1..16).map(|index| of([172, 16, 0, 0], 12).part(16, index));
    let small = (0..16).map(|index| of([192, 168, 0, 0], 16).part(20, index));
    let last = (0..=255).map(|index| of([10, 0, 0, 0], 8).part(16, index));
    wide.chain(small).chain(last).find(|subnet| !taken.iter().any(|taken| taken.overlaps(subnet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_network_collides_with_nothing() {
        let taken = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Subnet>>();
        assert_eq!(free_subnet(&[]).unwrap().to_string(), "172.17.0.0/16");
        assert_eq!(free_subnet(&taken(&["172.17.3.0/24", "172.18.0.0/16"])).unwrap().to_string(), "172.19.0.0/16");
        assert_eq!(free_subnet(&taken(&["172.16.0.0/12"])).unwrap().to_string(), "192.168.0.0/20");
        assert_eq!(free_subnet(&taken(&["128.0.0.0/1", "10.0.0.0/16"])).unwrap().to_string(), "10.1.0.0/16");
        assert_eq!(free_subnet(&taken(&["0.0.0.0/1", "128.0.0.0/1"])), None);
    }
}
