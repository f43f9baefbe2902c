//! A container is joined to its networks: before it is made, everything that can be refused; once it has a network namespace,
//! its devices.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use network::ports::{self, Protocol, Reservation, Wanted};
use network::{Endpoint, Host, Live, Mapping, Network, lease};
use stdx::{Context, Error, Result};

use super::{DEFAULT, find_locked, firewall, leases, live, lock, resolver};
use crate::Engine;
use crate::containers::options::{self, Attachment};
use crate::containers::record::Record;

/// A container that has its addresses and ports, and no device yet.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) live: Live,
    networks: Vec<Network>,
    /// What keeps its ports.
    pub(crate) reservation: Option<Reservation>,
    pub(crate) warnings: Vec<String>,
    id: String,
    run_dir: PathBuf,
}

/// Takes addresses and ports, and makes what the host needs for them. `None`: the container is in no network of the engine's.
///
/// `kept` is what keeps the ports of a container that its policy starts again: they stay as they are.
pub(crate) fn prepare(
    engine: &Engine,
    record: &Record,
    run_dir: &Path,
    kept: Option<OwnedFd>,
) -> Result<Option<Joined>> {
    let options = &record.options;
    let options::Network::Joined(places) = &options.namespaces.network else { return Ok(None) };
    let _lock = lock(engine)?;
    let before = Live::load(run_dir)?;
    let networks = places.iter().map(|place| find_locked(engine, &place.network)).collect::<Result<Vec<_>>>()?;
    let (_, warnings) = firewall(engine)?;
    let mut host = Host::open()?;
    let mut endpoints = Vec::new();
    for (number, (place, network)) in places.iter().zip(&networks).enumerate() {
        Endpoint::prepare(&mut host, network)?;
        endpoints.push(endpoint(engine, record, number, place, network)?);
    }
    let wanted = wanted_ports(record);
    let target = target(&endpoints, &networks);
    let (ports, reservation) = match (kept, before) {
        _ if wanted.is_empty() => (Vec::new(), None),
        (Some(keeper), Some(before)) if before.ports.iter().all(|port| target.contains(&Some(port.target))) => {
            (before.ports, Some(Reservation { keeper }))
        }
        (kept, _) => {
            drop(kept);
            let holder = |host: IpAddr, port, protocol| holder(engine, host, port, protocol);
            let (ports, reservation) = ports::reserve(&wanted, target, &holder)?;
            (ports, Some(reservation))
        }
    };
    let has_names = has_names(&networks);
    let name_servers = record.options.dns.servers.iter().filter_map(|server| server.parse().ok()).collect();
    let live = Live { endpoints, ports, pid: None, has_names, name_servers };
    live.save(run_dir)?;
    Ok(Some(Joined { live, networks, reservation, warnings, id: record.id.clone(), run_dir: run_dir.to_owned() }))
}

impl Joined {
    /// Gives the container its devices and opens its ports. `pid` is its first process, which waits for the start.
    pub(crate) fn plug(&mut self, engine: &Engine, pid: i32) -> Result<()> {
        let mut host = Host::open()?;
        let defaults = default_routes(&self.live.endpoints);
        for ((endpoint, network), default) in self.live.endpoints.iter().zip(&self.networks).zip(defaults) {
            endpoint.join(&mut host, network, pid, default, !self.live.ports.is_empty())?;
        }
        self.live.pid = Some(pid);
        self.live.save(&self.run_dir)?;
        if self.live.has_names {
            resolver::tell(engine, &self.id)?;
        }
        if !self.live.ports.is_empty() {
            firewall(engine)?.0.publish(&self.live.ports)?;
        }
        Ok(())
    }
}

/// Containers have names in all networks but the default one, as with Docker.
pub(super) fn has_names(networks: &[Network]) -> bool {
    networks.iter().any(|network| network.name != DEFAULT)
}

/// For every endpoint, whether the routes to everywhere lead there: the first that has a router, for each kind of address.
fn default_routes(endpoints: &[Endpoint]) -> Vec<[bool; 2]> {
    let first = |ipv6| endpoints.iter().position(|endpoint| endpoint.gateway(ipv6).is_some());
    let first = [first(false), first(true)];
    (0..endpoints.len()).map(|at| first.map(|first| first == Some(at))).collect()
}

/// Decides what a container has in a network. The caller holds the lock of networks.
pub(super) fn endpoint(
    engine: &Engine,
    record: &Record,
    number: usize,
    place: &Attachment,
    network: &Network,
) -> Result<Endpoint> {
    let what = || format!("cannot join network {}", network.name);
    let idle = |holder: &str| !engine.dirs().container_run(holder).join("network.json").exists();
    let mut addresses = Vec::new();
    for ipv6 in [false, true] {
        let wanted: Option<IpAddr> = if ipv6 { place.ip6.map(IpAddr::from) } else { place.ip.map(IpAddr::from) };
        let Some(pool) = network.pool(ipv6) else {
            if let Some(address) = wanted {
                let kind = if ipv6 { "IPv6" } else { "IPv4" };
                return Err(Error::invalid(format!("{}: it has no {kind} addresses, and so not {address}", what())));
            }
            continue;
        };
        let address = lease::take(&leases(engine, network), pool, &record.id, wanted, &idle).context(what)?;
        addresses.push((address, pool.subnet.prefix()));
    }
    let further = |address: &IpAddr| (*address, if address.is_ipv6() { 64 } else { 16 });
    addresses.extend(place.link_local.iter().map(further));
    let mut endpoint = Endpoint::new(network, number, addresses, place.mac);
    endpoint.aliases.clone_from(&place.aliases);
    endpoint.names = [&[record.name.clone()][..], &place.aliases, &[record.id[..12].to_owned()]].concat();
    Ok(endpoint)
}

/// A running container is called otherwise from now on.
pub(crate) fn renamed(engine: &Engine, id: &str, old: &str, new: &str) -> Result<()> {
    let _lock = lock(engine)?;
    let Some(mut live) = super::live_of(engine, id)? else { return Ok(()) };
    let names = live.endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.names);
    names.filter(|name| *name == old).for_each(|name| new.clone_into(name));
    live.save(&engine.dirs().container_run(id))?;
    if live.has_names && live.pid.is_some() { resolver::tell(engine, id) } else { Ok(()) }
}

/// The ports to publish: those named, and with `-P` all that are exposed and not among them.
fn wanted_ports(record: &Record) -> Vec<Wanted> {
    let options = &record.options;
    let mut ports = options.ports.clone();
    if options.publish_all {
        for (port, protocol) in &options.expose {
            if !ports.iter().any(|known| known.container_port == *port && known.protocol == *protocol) {
                let (container_port, protocol) = (*port, *protocol);
                ports.push(Wanted { host: None, host_ports: (0, 0), container_port, protocol });
            }
        }
    }
    ports
}

/// Where ports of the host lead: the addresses in the first network that is reached from outside.
fn target(endpoints: &[Endpoint], networks: &[Network]) -> [Option<IpAddr>; 2] {
    let reached: Vec<&Endpoint> = endpoints
        .iter()
        .zip(networks)
        .filter(|(_, network)| network.is_bridge() && !network.internal)
        .map(|(endpoint, _)| endpoint)
        .collect();
    [false, true].map(|ipv6| reached.iter().find_map(|endpoint| endpoint.address(ipv6)))
}

/// The name of the container that has a port of the host.
fn holder(engine: &Engine, host: IpAddr, port: u16, protocol: Protocol) -> Option<String> {
    let has = |known: &Mapping| {
        let same = known.host == host || known.host.is_unspecified() || host.is_unspecified();
        known.host_port == port && known.protocol == protocol && known.host.is_ipv6() == host.is_ipv6() && same
    };
    let (id, _) = live(engine).ok()?.into_iter().find(|(_, live)| live.ports.iter().any(has))?;
    Record::load(engine, &id).ok().flatten().map(|record| record.name)
}
