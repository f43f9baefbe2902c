//! A container's place in one network: a device, its addresses, its routes.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stdx::{Context, Error, Kind, Result, id};
use sys::Errno;

use crate::record::{Driver, IpvlanMode, MacvlanMode};
use crate::route::{self, Host, Inner};
use crate::{Network, bridge};

/// A place in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub network: String,
    pub network_id: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The device inside: `eth0` …
    pub device: String,
    /// Its other end on the host, if the network has a bridge.
    pub host_device: Option<String>,
    pub mac: [u8; 6],
    /// With the length of the prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    pub gateways: Vec<IpAddr>,
    /// What others in the network may call it.
    pub names: Vec<String>,
    /// The names given to this endpoint alone.
    pub aliases: Vec<String>,
}

impl Endpoint {
    /// A place for which nothing is made yet.
    pub fn new(network: &Network, number: usize, addresses: Vec<(IpAddr, u8)>, mac: Option<[u8; 6]>) -> Self {
        Self {
            network: network.name.clone(),
            network_id: network.id.clone(),
            id: id::random_hex(32),
            device: format!("eth{number}"),
            host_device: network.is_bridge().then(|| format!("tare{}", id::random_hex(4))),
            mac: mac.unwrap_or_else(|| mac_of(&addresses)),
            addresses,
            gateways: if network.internal {
                Vec::new()
            } else {
                network.pools.iter().map(|pool| pool.gateway).collect()
            },
            names: Vec::new(),
            aliases: Vec::new(),
        }
    }

    /// The address of that kind.
    pub fn address(&self, ipv6: bool) -> Option<IpAddr> {
        self.addresses.iter().map(|(address, _)| *address).find(|address| address.is_ipv6() == ipv6)
    }

    /// The router of that kind.
    pub fn gateway(&self, ipv6: bool) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|address| address.is_ipv6() == ipv6)
    }

    /// The hardware address in its usual spelling.
    pub fn mac_text(&self) -> String {
        self.mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
    }

    /// Makes the network's bridge, if it has one and it is not there. The caller holds the lock of networks.
    pub fn prepare(host: &mut Host, network: &Network) -> Result<()> {
        if network.is_bridge() { bridge::ensure(host, network).map(drop) } else { Ok(()) }
    }

    /// Joins the network namespace of process `pid` to the network. `default` tells for which kinds of address its routes to
    /// everywhere lead here (IPv4, IPv6); `hairpin`, that it may reach itself by a port of the host.
    pub fn join(&self, host: &mut Host, network: &Network, pid: i32, default: [bool; 2], hairpin: bool) -> Result<()> {
        let what = || format!("cannot join network {}", network.name);
        let namespace = route::namespace_of(pid)?;
        let (ipv6, device) = (self.address(true).is_some(), self.device.clone());
        let mut inner = Host::open_in(namespace.as_fd(), || prepare_inside(ipv6)).context(what)?;
        let wanted = Inner { namespace: namespace.as_fd(), name: &device, mac: self.mac, mtu: network.mtu };
        self.make(host, network, &wanted).context(what)?;
        let gone = || Error::not_found(format!("network device \"{device}\" did not arrive"));
        let index = inner.find(&device)?.ok_or_else(gone).context(what)?.index;
        let mut messages = vec![route::set_up(index)];
        messages.extend(self.addresses.iter().map(|(address, prefix)| route::new_address(index, *address, *prefix)));
        for (ipv6, _) in default.into_iter().enumerate().filter(|(_, wanted)| *wanted) {
            let ipv6 = ipv6 == 1;
            let direct = matches!(network.driver, Driver::Ipvlan { mode: IpvlanMode::L3 | IpvlanMode::L3s, .. });
            let gateway = self.gateway(ipv6).filter(|_| !direct);
            messages.push(route::default_route(index, gateway, ipv6));
        }
        let set = inner.socket.send(messages).map_err(|(_, errno)| errno);
        set.context(|| "cannot set addresses and routes".into()).context(what)?;
        if hairpin && network.is_bridge() {
            bridge::allow_loopback(network).context(what)?;
        }
        if hairpin || network.separate {
            self.set_port(host, hairpin, network.separate).context(what)?;
        }
        Ok(())
    }

    fn make(&self, host: &mut Host, network: &Network, wanted: &Inner<'_>) -> Result<()> {
        let (message, parent) = match (&network.driver, &self.host_device) {
            (Driver::Bridge, Some(outer)) => {
                let bridge = bridge::ensure(host, network)?;
                (route::new_pair(outer, bridge, wanted), &network.device)
            }
            (Driver::Macvlan { parent, mode }, _) => {
                let mode = match mode {
                    MacvlanMode::Private => 1u32,
                    MacvlanMode::Vepa => 2,
                    MacvlanMode::Bridge => 4,
                    MacvlanMode::Passthru => 8,
                };
                let index = parent_index(host, parent)?;
                (route::new_upon("macvlan", index, &[(1, mode.to_ne_bytes().to_vec())], wanted), parent)
            }
            (Driver::Ipvlan { parent, mode }, _) => {
                let mode = *mode as u16;
                let index = parent_index(host, parent)?;
                (route::new_upon("ipvlan", index, &[(1, mode.to_ne_bytes().to_vec())], wanted), parent)
            }
            (Driver::Bridge, None) => return Err(Error::new(Kind::Internal, "an endpoint without a device")),
        };
        match host.socket.ask(message) {
            Ok(_) => Ok(()),
            Err(Errno::OPNOTSUPP) => Err(Error::unsupported(format!(
                "this kernel has no devices of kind \"{}\"",
                if network.is_bridge() { "veth" } else { network.driver_name() }
            ))),
            Err(errno) => Err(errno).context(|| format!("cannot make a device upon \"{parent}\"")),
        }
    }

    fn set_port(&self, host: &mut Host, hairpin: bool, isolated: bool) -> Result<()> {
        let Some(name) = &self.host_device else { return Ok(()) };
        let gone = || Error::not_found(format!("network device \"{name}\" is gone"));
        let index = host.find(name)?.ok_or_else(gone)?.index;
        let set = host.socket.ask(route::port_flags(index, hairpin, isolated)).map(drop);
        set.context(|| format!("cannot set up the bridge's port \"{name}\""))
    }

    /// Takes the device out of the container, whose first process is `pid`.
    pub fn leave(&self, pid: i32) -> Result<()> {
        let namespace = route::namespace_of(pid)?;
        let mut inner = Host::open_in(namespace.as_fd(), || Ok(()))?;
        inner.remove(&self.device).context(|| format!("cannot leave network {}", self.network))
    }
}

fn parent_index(host: &mut Host, parent: &str) -> Result<u32> {
    let device = host.find(parent)?;
    device.map(|device| device.index).ok_or_else(|| Error::not_found(format!("the host has no device \"{parent}\"")))
}

/// A container without IPv6 addresses has no IPv6 at all on its new devices.
fn prepare_inside(ipv6: bool) -> Result<()> {
    let path = Path::new("/proc/sys/net/ipv6/conf/default/disable_ipv6");
    // A kernel without IPv6 has no such file.
    let _ = std::fs::write(path, if ipv6 { "0" } else { "1" });
    Ok(())
}

/// The same address always means the same hardware: whoever remembers it is not wrong after a restart.
fn mac_of(addresses: &[(IpAddr, u8)]) -> [u8; 6] {
    let bytes = addresses.first().map(|(address, _)| route::octets(*address)).unwrap_or_default();
    let last: Vec<u8> = bytes.iter().rev().take(4).rev().copied().collect();
    let byte = |at: usize| last.get(at).copied().unwrap_or_default();
    [0x02, 0x42, byte(0), byte(1), byte(2), byte(3)]
}
