//! The spellings of networks and ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use network::ports::{Protocol, Wanted};
use stdx::{Error, Result};

use super::invalid;
use crate::containers::options::{Attachment, Network};

/// `--network`, given any number of times: `none`, `host`, `container:ID`, or names of networks, each also as
/// `name=NETWORK,alias=NAME,ip=ADDRESS,ip6=ADDRESS,mac-address=ADDRESS`.
pub fn networks(texts: &[String]) -> Result<Network> {
    let shared = |text: &str| match (text, text.strip_prefix("container:")) {
        ("none", _) => Some(Network::None),
        ("host", _) => Some(Network::Host),
        (_, Some(id)) if !id.is_empty() => Some(Network::Container(id.into())),
        _ => None,
    };
    if let [only] = texts {
        if let Some(network) = shared(only) {
            return Ok(network);
        }
    }
    if let Some(text) = texts.iter().find(|text| shared(text).is_some()) {
        return Err(Error::invalid(format!("conflicting options: network \"{text}\" goes with no other")));
    }
    texts.iter().map(|text| attachment(text)).collect::<Result<_>>().map(Network::Joined)
}

fn attachment(text: &str) -> Result<Attachment> {
    if !text.contains('=') {
        let network = text.to_owned();
        return check_name(text).map(|()| Attachment { network, ..Attachment::default() });
    }
    let mut place = Attachment::default();
    for field in text.split(',') {
        let bad = || invalid("network", text, "it must be NAME or name=NAME,alias=NAME,ip=…,ip6=…,mac-address=…");
        match field.split_once('=').ok_or_else(bad)? {
            ("name", name) => name.clone_into(&mut place.network),
            ("alias", name) => place.aliases.push(alias(name)?),
            ("ip", address) => place.ip = Some(ipv4(address)?),
            ("ip6", address) => place.ip6 = Some(ipv6(address)?),
            ("mac-address", address) => place.mac = Some(mac(address)?),
            ("link-local-ip", address) => place.link_local.push(link_local(address)?),
            _ => return Err(bad()),
        }
    }
    check_name(&place.network)?;
    Ok(place)
}

fn check_name(name: &str) -> Result<()> {
    crate::networks::check_name(name)
}

/// A name that others may call a container: what a name in the DNS can be.
pub fn alias(name: &str) -> Result<String> {
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !label.is_empty() && label.len() <= 63 && plain
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(name.to_owned());
    }
    Err(invalid("network alias", name, "it must be letters, digits, \"-\" and \"_\", in parts of at most 63"))
}

pub fn ipv4(text: &str) -> Result<Ipv4Addr> {
    text.parse().map_err(|_| invalid("address", text, "it is no IPv4 address"))
}

pub fn ipv6(text: &str) -> Result<Ipv6Addr> {
    text.parse().map_err(|_| invalid("address", text, "it is no IPv6 address"))
}

/// An address of a device alone: 169.254.x.x or fe80::x.
pub fn link_local(text: &str) -> Result<IpAddr> {
    let address: IpAddr = text.parse().map_err(|_| invalid("address", text, "it is no IP address"))?;
    let is_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if is_local {
        Ok(address)
    } else {
        Err(invalid("link-local address", text, "it is in 169.254.0.0/16 or fe80::/10"))
    }
}

/// `--mac-address`.
pub fn mac(text: &str) -> Result<[u8; 6]> {
    let bad = || invalid("mac address", text, "it must be six pairs of hexadecimal digits, as in 02:42:ac:11:00:02");
    let mut mac = [0; 6];
    let parts: Vec<&str> = text.split([':', '-']).collect();
    if parts.len() != mac.len() {
        return Err(bad());
    }
    for (byte, part) in mac.iter_mut().zip(parts) {
        let is_hex = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        *byte = u8::from_str_radix(part, 16).ok().filter(|_| is_hex).ok_or_else(bad)?;
    }
    // The lowest bit says that an address is of many.
    if mac[0] & 1 != 0 || mac == [0; 6] {
        return Err(invalid("mac address", text, "it must be of one device"));
    }
    Ok(mac)
}

/// `-p [ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]`.
pub fn publish(text: &str) -> Result<Vec<Wanted>> {
    let bad = |why: &str| invalid("published port", text, why);
    let (ports, protocol) = protocol(text)?;
    let (host, rest) = match ports.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) =
                rest.split_once("]:").ok_or_else(|| bad("after an address in brackets comes \":\""))?;
            (Some(address), rest)
        }
        None => match ports.match_indices(':').map(|(at, _)| at).collect::<Vec<_>>()[..] {
            [at, _] => (Some(&ports[..at]), &ports[at + 1..]),
            [] | [_] => (None, ports),
            _ => return Err(bad("an IPv6 address stands in brackets")),
        },
    };
    let host: Option<IpAddr> = match host {
        None | Some("") => None,
        Some(address) => Some(address.parse().map_err(|_| bad("the host's address is no IP address"))?),
    };
    let (host_ports, container) = rest.split_once(':').unwrap_or(("", rest));
    let container = range(container).ok_or_else(|| bad("the container's port is a number from 1 to 65535"))?;
    let host_ports = match host_ports {
        "" | "0" => (0, 0),
        text => range(text).ok_or_else(|| bad("the host's port is a number from 0 to 65535"))?,
    };
    let wanted = |container_port, host_ports| Wanted { host, host_ports, container_port, protocol };
    let (count, hosts) = (container.1 - container.0, host_ports.1 - host_ports.0);
    if host_ports.0 == 0 {
        return Ok((container.0..=container.1).map(|port| wanted(port, (0, 0))).collect());
    }
    if count == 0 {
        return Ok(vec![wanted(container.0, host_ports)]);
    }
    if count != hosts {
        return Err(bad("the ranges of the host and of the container are not equally long"));
    }
    Ok((0..=count).map(|at| wanted(container.0 + at, (host_ports.0 + at, host_ports.0 + at))).collect())
}

/// `--expose PORT[-PORT][/PROTOCOL]`, as images say it too.
pub fn expose(text: &str) -> Result<Vec<(u16, Protocol)>> {
    let (ports, protocol) = protocol(text)?;
    let (first, last) =
        range(ports).ok_or_else(|| invalid("exposed port", text, "it must be PORT[-PORT][/PROTOCOL]"))?;
    Ok((first..=last).map(|port| (port, protocol)).collect())
}

fn protocol(text: &str) -> Result<(&str, Protocol)> {
    let (ports, name) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = Protocol::parse(name).ok_or_else(|| invalid("port", text, "the protocol is tcp, udp or sctp"))?;
    Ok((ports, protocol))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| is_number && *port > 0)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((port(first)?, port(last)?)).filter(|(first, last)| first <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `HOST PORT-PORT CONTAINER/PROTOCOL` of each.
    fn published(text: &str) -> Vec<String> {
        let spell = |wanted: &Wanted| {
            let host = wanted.host.map_or("*".into(), |host| host.to_string());
            let (first, last) = wanted.host_ports;
            format!("{host} {first}-{last} {}/{}", wanted.container_port, wanted.protocol)
        };
        publish(text).unwrap().iter().map(spell).collect()
    }

    #[test]
    fn ports_are_spelled_as_dockers_are() {
        assert_eq!(published("80"), ["* 0-0 80/tcp"]);
        assert_eq!(published("8080:80"), ["* 8080-8080 80/tcp"]);
        assert_eq!(published("127.0.0.1:8080:80/udp"), ["127.0.0.1 8080-8080 80/udp"]);
        assert_eq!(published("127.0.0.1::80"), ["127.0.0.1 0-0 80/tcp"]);
        assert_eq!(published("[::1]:8080:80"), ["::1 8080-8080 80/tcp"]);
        assert_eq!(published("8000-8001:80-81"), ["* 8000-8000 80/tcp", "* 8001-8001 81/tcp"]);
        assert_eq!(published("8000-8009:80"), ["* 8000-8009 80/tcp"]);
        assert_eq!(published("80-81/sctp"), ["* 0-0 80/sctp", "* 0-0 81/sctp"]);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        let bad = [
            "",
            "x",
            "0",
            "65536",
            "80:",
            "80/icmp",
            "1:2:3:4",
            "::1:80:80",
            "[::1]80",
            "2-1",
            "1-3:1-2",
            "a:80:80",
            "+80",
            "80 ",
        ];
        for text in bad {
            assert!(publish(text).is_err(), "{text}");
        }
        assert!(expose("80-90/udp").unwrap().len() == 11 && expose("80:90").is_err());
    }

    #[test]
    fn networks_go_together_or_alone() {
        let of = |texts: &[&str]| networks(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["none"]).unwrap(), Network::None);
        assert!(of(&["none", "a1"]).is_err() && of(&["a1", "container:x"]).is_err());
        let Network::Joined(places) = of(&["a1", "name=b1,alias=x,ip=10.0.0.2"]).unwrap() else { panic!() };
        assert_eq!((places[0].network.as_str(), places[1].network.as_str()), ("a1", "b1"));
        assert_eq!((&places[1].aliases[..], places[1].ip), (&["x".to_owned()][..], Some([10, 0, 0, 2].into())));
        for bad in ["", "../x", "a b", "name=", "alias=x", "name=a,nope=1", "name=a,ip=::1"] {
            assert!(of(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn hardware_addresses_are_of_one_device() {
        assert_eq!(mac("02:42:AC:11:00:02").unwrap(), [2, 0x42, 0xac, 0x11, 0, 2]);
        for bad in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "03:42:ac:11:00:02",
            "00:00:00:00:00:00",
            "02:42:ac:11:00:+2",
        ] {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }
}
