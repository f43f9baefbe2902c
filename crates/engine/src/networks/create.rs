//! `network create`: a record, whose ranges collide with nobody's. Devices are made when a container needs them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use network::firewall::Firewall;
use network::record::{Driver, IpvlanMode, MacvlanMode};
use network::{Host, Network, Pool, Subnet};
use stdx::{Error, Kind, Result};

use super::{DEFAULT, Record, all, check_name, device_name, load, lock, new_id, save, subnets};
use crate::Engine;

/// What a network is to be.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub name: String,
    /// `bridge` (also when empty), `macvlan` or `ipvlan`.
    pub driver: String,
    pub subnets: Vec<Subnet>,
    pub gateways: Vec<IpAddr>,
    pub ranges: Vec<Subnet>,
    /// Addresses that no container gets, by name.
    pub reserved: BTreeMap<String, IpAddr>,
    pub internal: bool,
    pub ipv6: bool,
    /// Without IPv4.
    pub no_ipv4: bool,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
}

/// Makes a network.
pub fn create(engine: &Engine, wanted: &Wanted) -> Result<Record> {
    check_name(&wanted.name)?;
    if matches!(wanted.name.as_str(), DEFAULT | "host" | "none" | "default" | "container") {
        return Err(Error::invalid(format!("the network name \"{}\" is reserved", wanted.name)));
    }
    let _lock = lock(engine)?;
    create_locked(engine, wanted)
}

/// The same for a caller that holds the lock of networks.
pub(super) fn create_locked(engine: &Engine, wanted: &Wanted) -> Result<Record> {
    if load(engine, &wanted.name)?.is_some() {
        return Err(Error::conflict(format!("network with name {} already exists", wanted.name)));
    }
    let records = all(engine)?;
    let id = new_id();
    let settings = Settings::read(&wanted.options)?;
    let device = settings.name.unwrap_or_else(|| device_name(&wanted.name, &id));
    check_device(&device, &records)?;
    let network = Network {
        driver: driver(wanted, settings.parent, settings.mode)?,
        device,
        pools: pools(wanted, &records, &id)?,
        internal: wanted.internal,
        labels: wanted.labels.clone(),
        options: wanted.options.clone(),
        mtu: settings.mtu,
        separate: settings.separate,
        open: settings.open,
        name: wanted.name.clone(),
        id,
    };
    let record = Record { network, created: Timestamp::now() };
    save(engine, &record)?;
    // The first container would do it, but not if the table is there already.
    let mut firewall = Firewall::open()?;
    if firewall.is_there()? {
        firewall.add_network(&record.network)?;
    }
    Ok(record)
}

/// What `-o` says.
#[derive(Debug, Default)]
struct Settings {
    mtu: Option<u32>,
    name: Option<String>,
    separate: bool,
    open: bool,
    parent: Option<String>,
    mode: Option<String>,
}

impl Settings {
    fn read(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut settings = Self::default();
        for (key, value) in options {
            let bad = |why: &str| Error::invalid(format!("invalid network option \"{key}={value}\": {why}"));
            let switch = || match value.as_str() {
                "true" | "1" | "" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(bad("true or false")),
            };
            match key.as_str() {
                "mtu" | "com.docker.network.driver.mtu" => {
                    let mtu = value.parse().ok().filter(|mtu| (68..=65_535).contains(mtu));
                    settings.mtu = Some(mtu.ok_or_else(|| bad("a number from 68 to 65535"))?);
                }
                "name" | "com.docker.network.bridge.name" => settings.name = Some(value.clone()),
                "isolate" => settings.open = !switch()?,
                "com.docker.network.bridge.enable_icc" => settings.separate = !switch()?,
                "com.docker.network.bridge.enable_ip_masquerade" if switch()? => {}
                "com.docker.network.bridge.host_binding_ipv4" if value == "0.0.0.0" => {}
                "parent" => settings.parent = Some(value.clone()),
                "mode" | "macvlan_mode" | "ipvlan_mode" => settings.mode = Some(value.clone()),
                _ => return Err(bad("mtu, name, isolate, parent, mode or com.docker.network.bridge.enable_icc")),
            }
        }
        Ok(settings)
    }
}

fn driver(wanted: &Wanted, parent: Option<String>, mode: Option<String>) -> Result<Driver> {
    let mode = mode.as_deref();
    let bad_mode =
        || Error::invalid(format!("invalid mode \"{}\" of a {} network", mode.unwrap_or_default(), wanted.driver));
    let needs = || {
        Error::invalid(format!("a {} network needs a device of the host to stand on", wanted.driver))
            .hint("name it with -o parent=DEVICE")
    };
    match wanted.driver.as_str() {
        "" | "bridge" => Ok(Driver::Bridge),
        "macvlan" => {
            let mode = match mode {
                None | Some("bridge") => MacvlanMode::Bridge,
                Some("private") => MacvlanMode::Private,
                Some("vepa") => MacvlanMode::Vepa,
                Some("passthru") => MacvlanMode::Passthru,
                Some(_) => return Err(bad_mode()),
            };
            Ok(Driver::Macvlan { parent: parent.ok_or_else(needs)?, mode })
        }
        "ipvlan" => {
            let mode = match mode {
                None | Some("l2") => IpvlanMode::L2,
                Some("l3") => IpvlanMode::L3,
                Some("l3s") => IpvlanMode::L3s,
                Some(_) => return Err(bad_mode()),
            };
            Ok(Driver::Ipvlan { parent: parent.ok_or_else(needs)?, mode })
        }
        other => {
            Err(Error::unsupported(format!("unknown network driver \"{other}\"")).hint("bridge, macvlan or ipvlan"))
        }
    }
}

/// A name of a device, and not that of another network's.
fn check_device(name: &str, records: &[Record]) -> Result<()> {
    let plain = name.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':' && c != '%');
    if name.is_empty() || name.len() > 15 || !plain || [".", "..", "lo", "all", "default"].contains(&name) {
        return Err(Error::invalid(format!("invalid name of a network device \"{name}\"")));
    }
    match records.iter().find(|record| record.network.device == name) {
        Some(other) => {
            Err(Error::conflict(format!("network {} has the device \"{name}\" already", other.network.name)))
        }
        None => Ok(()),
    }
}

/// The pools: those asked for, and where nothing is said, ranges that are free.
fn pools(wanted: &Wanted, records: &[Record], id: &str) -> Result<Vec<Pool>> {
    let mut pools: Vec<Pool> = wanted.subnets.iter().copied().map(Pool::of).collect();
    let has = |pools: &[Pool], ipv6: bool| pools.iter().any(|pool| pool.subnet.is_ipv6() == ipv6);
    let routes = Host::open()?.routes()?;
    if !has(&pools, false) && !wanted.no_ipv4 {
        let taken: Vec<Subnet> = routes.iter().copied().chain(subnets(records).map(|(_, pool)| pool.subnet)).collect();
        let free = network::free_subnet(&taken);
        let none = || Error::new(Kind::NoSpace, "no range of addresses is free").hint("choose one with --subnet");
        pools.insert(0, Pool::of(free.ok_or_else(none)?));
    }
    if !has(&pools, true) && wanted.ipv6 {
        pools.push(Pool::of(unique_local(id)?));
    }
    if has(&pools, true) && !wanted.ipv6 {
        return Err(Error::invalid("an IPv6 subnet needs --ipv6"));
    }
    for (at, pool) in pools.iter().enumerate() {
        if pools[..at].iter().any(|other| other.subnet.is_ipv6() == pool.subnet.is_ipv6()) {
            return Err(Error::unsupported("a network has one subnet of each kind"));
        }
        check_free(pool, records, &routes)?;
    }
    place(wanted, pools)
}

fn check_free(pool: &Pool, records: &[Record], routes: &[Subnet]) -> Result<()> {
    let most = if pool.subnet.is_ipv6() { 126 } else { 30 };
    if pool.subnet.prefix() > most || pool.subnet.prefix() < 8 {
        return Err(Error::invalid(format!("subnet {} must have a prefix from 8 to {most}", pool.subnet)));
    }
    if let Some((name, other)) = subnets(records).find(|(_, other)| other.subnet.overlaps(&pool.subnet)) {
        return Err(Error::conflict(format!("subnet {} overlaps {} of network {name}", pool.subnet, other.subnet)));
    }
    if let Some(route) = routes.iter().find(|route| route.overlaps(&pool.subnet)) {
        return Err(Error::conflict(format!(
            "subnet {} overlaps {route}, for which this host has a route",
            pool.subnet
        )));
    }
    Ok(())
}

/// Gives gateways, ranges and reserved addresses to the pools they belong to.
fn place(wanted: &Wanted, mut pools: Vec<Pool>) -> Result<Vec<Pool>> {
    let strange = |what: &str, value: &dyn std::fmt::Display| {
        Error::invalid(format!("{what} {value} is in no subnet of network {}", wanted.name))
    };
    for gateway in &wanted.gateways {
        let pool = pools.iter_mut().find(|pool| pool.subnet.contains(*gateway));
        pool.ok_or_else(|| strange("gateway", gateway))?.gateway = *gateway;
    }
    for range in &wanted.ranges {
        let inside = |pool: &&mut Pool| pool.subnet.contains(range.first()) && pool.subnet.contains(range.last());
        pools.iter_mut().find(inside).ok_or_else(|| strange("range", range))?.range = Some(*range);
    }
    for (name, address) in &wanted.reserved {
        let pool = pools.iter_mut().find(|pool| pool.subnet.contains(*address));
        pool.ok_or_else(|| strange("address", address))?.reserved.insert(name.clone(), *address);
    }
    Ok(pools)
}

/// A range of IPv6 addresses that nobody else is likely to have (RFC 4193): from the network's random id.
fn unique_local(id: &str) -> Result<Subnet> {
    let group = |at: usize| id.get(at..at + 4).unwrap_or("0");
    format!("fd{}:{}:{}::/64", &group(0)[..2], group(4), group(8)).parse::<Subnet>().or_else(|_| {
        // Groups of zeros are spelled differently; the number is the same.
        let address: IpAddr = format!("fd{}:{}:{}::", &group(0)[..2], group(4), group(8))
            .parse()
            .map_err(|_| Error::new(Kind::Internal, "a network id is not hexadecimal"))?;
        Ok(Subnet::around(address, 64))
    })
}
