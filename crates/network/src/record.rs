//! What a network is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Subnet;

/// A network that containers can be joined to, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    pub name: String,
    pub driver: Driver,
    /// The device on the host.
    pub device: String,
    /// Where its addresses come from: one pool of IPv4, of IPv6, or of each.
    pub pools: Vec<Pool>,
    /// Nothing leads out of it, and nothing in.
    pub internal: bool,
    pub labels: BTreeMap<String, String>,
    /// As given: `mtu`, `isolate` and their kind.
    pub options: BTreeMap<String, String>,
    /// Bytes of a packet; `None`: the kernel's choice.
    pub mtu: Option<u32>,
    /// Containers in it do not reach each other.
    pub separate: bool,
    /// Containers in it and in other networks that say so too reach each other.
    pub open: bool,
}

/// How containers are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// By pairs of devices to a bridge of its own.
    #[default]
    Bridge,
    /// By devices of their own upon one of the host's.
    Macvlan { parent: String, mode: MacvlanMode },
    /// The same, sharing its hardware address.
    Ipvlan { parent: String, mode: IpvlanMode },
}

/// Who reaches whom upon one device, `ip-link(8)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    Private,
    Vepa,
    #[default]
    Bridge,
    Passthru,
}

/// At which layer packets are passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    #[default]
    L2,
    L3,
    L3s,
}

/// A range of addresses, and who has which for certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub subnet: Subnet,
    /// The host's address in it, or the router's.
    pub gateway: IpAddr,
    /// Containers get their addresses from this part.
    pub range: Option<Subnet>,
    /// Addresses of others, by name: no container gets them.
    pub reserved: BTreeMap<String, IpAddr>,
}

impl Network {
    /// The pool of IPv6 addresses, or of IPv4.
    pub fn pool(&self, ipv6: bool) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.is_ipv6() == ipv6)
    }

    /// Whether the host has a bridge for it.
    pub fn is_bridge(&self) -> bool {
        self.driver == Driver::Bridge
    }

    /// The driver's name.
    pub fn driver_name(&self) -> &'static str {
        match self.driver {
            Driver::Bridge => "bridge",
            Driver::Macvlan { .. } => "macvlan",
            Driver::Ipvlan { .. } => "ipvlan",
        }
    }
}

impl Pool {
    /// A pool of which only the range is given: the host has the first address.
    pub fn of(subnet: Subnet) -> Self {
        let gateway = subnet.addresses().nth(1).unwrap_or(subnet.first());
        Self { subnet, gateway, range: None, reserved: BTreeMap::new() }
    }

    /// Whether a container may have this address.
    pub fn is_free_to_give(&self, address: IpAddr) -> bool {
        let broadcast = !self.subnet.is_ipv6() && self.subnet.prefix() < 31 && address == self.subnet.last();
        self.subnet.contains(address)
            && address != self.subnet.first()
            && !broadcast
            && address != self.gateway
            && !self.reserved.values().any(|reserved| *reserved == address)
    }
}
