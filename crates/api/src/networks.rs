//! Networks, endpoints and ports as Docker's documents.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::containers::options::{Network, Options};
use engine::networks::Record;
use network::ports::{Protocol, Wanted};
use network::{Endpoint, Live, Mapping, Pool};
use serde::Serialize;

/// The networks of a container, `NetworkSettings` of `GET /containers/{id}/json`.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings {
    pub bridge: String,
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    pub sandbox_key: String,
    pub ports: Ports,
    /// The place in the default network, if it is there: the words of old.
    #[serde(flatten)]
    pub usual: Address,
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// Ports by `PORT/PROTOCOL`; `None`: exposed, and not published.
pub type Ports = BTreeMap<String, Option<Vec<PortBinding>>>;

/// Where a port is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortBinding {
    pub host_ip: String,
    pub host_port: String,
}

/// What a container has in a network.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Address {
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub ipv6_prefix: u8,
    #[serde(rename = "IPAddress")]
    pub address: String,
    #[serde(rename = "IPPrefixLen")]
    pub prefix: u8,
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    pub mac_address: String,
}

/// A place in a network.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointSettings {
    #[serde(rename = "IPAMConfig")]
    pub wanted: Option<WantedAddress>,
    pub links: Option<Vec<String>>,
    pub aliases: Option<Vec<String>>,
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    #[serde(flatten)]
    pub address: Address,
    pub driver_opts: Option<BTreeMap<String, String>>,
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// The addresses that were asked for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WantedAddress {
    #[serde(rename = "IPv4Address", skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    #[serde(rename = "IPv6Address", skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
}

/// `GET /networks/{id}`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkInspect {
    pub name: String,
    pub id: String,
    pub created: String,
    pub scope: &'static str,
    pub driver: String,
    #[serde(rename = "EnableIPv4")]
    pub ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    pub ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub containers: BTreeMap<String, NetworkContainer>,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}

/// Where a network's addresses come from.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ipam {
    pub driver: &'static str,
    pub options: Option<BTreeMap<String, String>>,
    pub config: Vec<IpamConfig>,
}

/// One range.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamConfig {
    pub subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    pub gateway: String,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<String, String>,
}

/// A running container in a network.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkContainer {
    pub name: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub mac_address: String,
    #[serde(rename = "IPv4Address")]
    pub ipv4: String,
    #[serde(rename = "IPv6Address")]
    pub ipv6: String,
}

/// What is set: `PORT/PROTOCOL` and nothing.
pub fn exposed(ports: &[(u16, Protocol)]) -> BTreeMap<String, BTreeMap<String, String>> {
    ports.iter().map(|(port, protocol)| (format!("{port}/{protocol}"), BTreeMap::new())).collect()
}

/// The ports that were asked for.
pub fn bindings(ports: &[Wanted]) -> Ports {
    let mut all = Ports::new();
    for port in ports {
        let host_port = match port.host_ports {
            (0, _) => String::new(),
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let host_ip = port.host.map(|host| host.to_string()).unwrap_or_default();
        let list = all.entry(format!("{}/{}", port.container_port, port.protocol)).or_default();
        list.get_or_insert_default().push(PortBinding { host_ip, host_port });
    }
    all
}

/// The ports as they are published, and those that are only exposed.
pub fn ports(exposed: &[(u16, Protocol)], published: &[Mapping]) -> Ports {
    let key = |port, protocol| format!("{port}/{protocol}");
    let mut all: Ports = exposed.iter().map(|(port, protocol)| (key(*port, *protocol), None)).collect();
    for mapping in published {
        let binding = PortBinding { host_ip: mapping.host.to_string(), host_port: mapping.host_port.to_string() };
        all.entry(key(mapping.container_port, mapping.protocol)).or_default().get_or_insert_default().push(binding);
    }
    all
}

/// The networks of a container with these options, that is joined like that if it runs.
pub fn settings(options: &Options, live: Option<&Live>, mode: String) -> NetworkSettings {
    let Network::Joined(places) = &options.namespaces.network else {
        return NetworkSettings {
            networks: [(mode, EndpointSettings::default())].into(),
            ..NetworkSettings::default()
        };
    };
    let endpoints = live.map_or(&[][..], |live| &live.endpoints);
    let networks = places.iter().map(|place| {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.network == place.network);
        let wanted =
            WantedAddress { ipv4: place.ip.map(|ip| ip.to_string()), ipv6: place.ip6.map(|ip| ip.to_string()) };
        let settings = EndpointSettings {
            wanted: (place.ip.is_some() || place.ip6.is_some()).then_some(wanted),
            links: None,
            aliases: (!place.aliases.is_empty()).then(|| place.aliases.clone()),
            network_id: endpoint.map(|endpoint| endpoint.network_id.clone()).unwrap_or_default(),
            address: endpoint.map(address).unwrap_or_default(),
            driver_opts: None,
            dns_names: endpoint.map(|endpoint| endpoint.names.clone()),
        };
        (place.network.clone(), settings)
    });
    let usual = endpoints.iter().find(|endpoint| endpoint.network == engine::networks::DEFAULT);
    NetworkSettings {
        sandbox_key: live.and_then(|live| live.pid).map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
        ports: if live.is_some() { ports(&options.expose, live.map_or(&[], |live| &live.ports)) } else { Ports::new() },
        usual: usual.map(address).unwrap_or_default(),
        networks: networks.collect(),
        ..NetworkSettings::default()
    }
}

fn address(endpoint: &Endpoint) -> Address {
    let find = |ipv6: bool| endpoint.addresses.iter().find(|(address, _)| address.is_ipv6() == ipv6);
    let text = |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    let spell = |ipv6| find(ipv6).map(|(address, prefix)| (address.to_string(), *prefix)).unwrap_or_default();
    let ((address, prefix), (ipv6_address, ipv6_prefix)) = (spell(false), spell(true));
    Address {
        endpoint_id: endpoint.id.clone(),
        gateway: text(endpoint.gateway(false)),
        ipv6_address,
        ipv6_prefix,
        address,
        prefix,
        ipv6_gateway: text(endpoint.gateway(true)),
        mac_address: endpoint.mac_text(),
    }
}

/// A network as `network inspect` shows it. `members` are the running containers: id, name and place.
pub fn network(record: &Record, members: &[(String, String, Endpoint)]) -> NetworkInspect {
    let network = &record.network;
    let config = |pool: &Pool| IpamConfig {
        subnet: pool.subnet.to_string(),
        range: pool.range.map(|range| range.to_string()),
        gateway: pool.gateway.to_string(),
        reserved: pool.reserved.iter().map(|(name, address)| (name.clone(), address.to_string())).collect(),
    };
    let member = |(id, name, endpoint): &(String, String, Endpoint)| {
        let with_prefix = |ipv6: bool| {
            let found = endpoint.addresses.iter().find(|(address, _)| address.is_ipv6() == ipv6);
            found.map(|(address, prefix)| format!("{address}/{prefix}")).unwrap_or_default()
        };
        let container = NetworkContainer {
            name: name.clone(),
            endpoint_id: endpoint.id.clone(),
            mac_address: endpoint.mac_text(),
            ipv4: with_prefix(false),
            ipv6: with_prefix(true),
        };
        (id.clone(), container)
    };
    NetworkInspect {
        name: network.name.clone(),
        id: network.id.clone(),
        created: format!("{:.9}", record.created),
        scope: "local",
        driver: network.driver_name().into(),
        ipv4: network.pool(false).is_some(),
        ipv6: network.pool(true).is_some(),
        ipam: Ipam { driver: "default", options: None, config: network.pools.iter().map(config).collect() },
        internal: network.internal,
        attachable: false,
        ingress: false,
        containers: members.iter().map(member).collect(),
        options: network.options.clone(),
        labels: network.labels.clone(),
    }
}

/// Published ports in a line, as `ps` shows them: `0.0.0.0:8000-8001->80-81/tcp, [::]:…`.
pub fn ports_line(exposed: &[(u16, Protocol)], published: &[Mapping]) -> String {
    let mut runs: Vec<(Mapping, u16)> = Vec::new();
    let mut sorted = published.to_vec();
    sorted.sort_by_key(|port| (port.host, port.protocol, port.host_port, port.container_port));
    for port in sorted {
        match runs.last_mut() {
            Some((first, more))
                if (first.host, first.protocol) == (port.host, port.protocol)
                    && port.host_port == first.host_port + *more + 1
                    && port.container_port == first.container_port + *more + 1 =>
            {
                *more += 1;
            }
            _ => runs.push((port, 0)),
        }
    }
    let span = |first: u16, more: u16| if more == 0 { first.to_string() } else { format!("{first}-{}", first + more) };
    let spell = |(port, more): &(Mapping, u16)| {
        let host = if port.host.is_ipv6() { format!("[{}]", port.host) } else { port.host.to_string() };
        let (outer, inner) = (span(port.host_port, *more), span(port.container_port, *more));
        format!("{host}:{outer}->{inner}/{}", port.protocol)
    };
    let only_exposed = |(port, protocol): &&(u16, Protocol)| {
        !published.iter().any(|known| known.container_port == *port && known.protocol == *protocol)
    };
    let rest = exposed.iter().filter(only_exposed).map(|(port, protocol)| format!("{port}/{protocol}"));
    runs.iter().map(spell).chain(rest).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_a_row_are_one() {
        let port = |host: &str, host_port, container_port| Mapping {
            host: host.parse().unwrap(),
            host_port,
            target: [10, 0, 0, 2].into(),
            container_port,
            protocol: Protocol::Tcp,
        };
        let published =
            [port("0.0.0.0", 8001, 81), port("0.0.0.0", 8000, 80), port("::", 8000, 80), port("0.0.0.0", 9000, 90)];
        let exposed = [(80, Protocol::Tcp), (53, Protocol::Udp)];
        assert_eq!(
            ports_line(&exposed, &published),
            "0.0.0.0:8000-8001->80-81/tcp, 0.0.0.0:9000->90/tcp, [::]:8000->80/tcp, 53/udp"
        );
    }
}
