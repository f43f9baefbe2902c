//! Ports of the host that lead to containers.
//!
//! Whoever publishes a port has it bound, so that nobody else on the host takes it for theirs; packets never get to these
//! sockets. They are kept by lying in the queue of a socket that a container's monitor holds: nobody has to know them, and
//! however the monitor ends, they are free.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, socket_with, sockopt};
use serde::{Deserialize, Serialize};
use stdx::{Context, Error, Result};
use sys::Errno;

/// What ports belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "sctp" => Some(Self::Sctp),
            _ => None,
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A published port that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The host's address; `None`: all of them.
    pub host: Option<IpAddr>,
    /// The first and the last of the host's ports to choose from; 0: any that is free.
    pub host_ports: (u16, u16),
    pub container_port: u16,
    pub protocol: Protocol,
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The host's address, or the one that stands for all of its kind.
    pub host: IpAddr,
    pub host_port: u16,
    pub target: IpAddr,
    pub container_port: u16,
    pub protocol: Protocol,
}

/// Sockets that hold ports, in the queue of one that is to be handed on.
#[derive(Debug)]
pub struct Reservation {
    /// What keeps them, for as long as somebody has it open.
    pub keeper: OwnedFd,
}

/// How often another free port is tried when one address has it and the other not.
const ATTEMPTS: u32 = 16;

/// Binds the ports that are asked for. `target` is the container's address by kind (IPv4, IPv6): where it has none, nothing
/// can lead to it. `holder` names the one who has a port already.
pub fn reserve(
    wanted: &[Wanted],
    target: [Option<IpAddr>; 2],
    holder: &dyn Fn(IpAddr, u16, Protocol) -> Option<String>,
) -> Result<(Vec<Mapping>, Reservation)> {
    let (keeper, giver) = sys::socket::message_pair().context(|| "cannot make a socket pair".into())?;
    let mut mappings = Vec::new();
    let mut sockets = Vec::new();
    for wanted in wanted {
        let (bound, chosen) = reserve_one(wanted, target, holder)?;
        mappings.extend(chosen);
        sockets.extend(bound);
    }
    for some in sockets.chunks(sys::socket::MAX_FDS) {
        let fds: Vec<_> = some.iter().map(AsFd::as_fd).collect();
        sys::socket::send(&giver, b"p", &fds).context(|| "cannot keep ports".into())?;
    }
    Ok((mappings, Reservation { keeper }))
}

type Bound = (Vec<OwnedFd>, Vec<Mapping>);

fn reserve_one(
    wanted: &Wanted,
    target: [Option<IpAddr>; 2],
    holder: &dyn Fn(IpAddr, u16, Protocol) -> Option<String>,
) -> Result<Bound> {
    let hosts = match wanted.host {
        Some(host) => vec![host],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    };
    let targets: Vec<(IpAddr, IpAddr)> =
        hosts.iter().filter_map(|host| Some((*host, target[usize::from(host.is_ipv6())]?))).collect();
    if targets.is_empty() {
        let kind = if wanted.host.is_some_and(|host| host.is_ipv6()) { "IPv6 " } else { "" };
        return Err(Error::invalid(format!(
            "cannot publish port {}: the container has no {kind}address that is reached from outside",
            wanted.container_port
        )));
    }
    let candidates: Vec<u16> = match wanted.host_ports {
        (0, _) => vec![0; ATTEMPTS as usize],
        (first, last) => (first..=last).collect(),
    };
    let mut refused = None;
    for port in candidates {
        match bind_all(&targets, port, wanted) {
            Ok(bound) => return Ok(bound),
            Err((host, port, errno)) => refused = Some((host, port, errno)),
        }
    }
    let (host, port, errno) = refused.unwrap_or((hosts[0], 0, Errno::INVAL));
    let what = format!("cannot publish port {}/{}", SocketAddr::from((host, port)), wanted.protocol);
    if errno != Errno::ADDRINUSE {
        return Err(errno).context(|| what);
    }
    Err(Error::conflict(match holder(host, port, wanted.protocol) {
        Some(name) => format!("{what}: container {name} has it"),
        None => format!("{what}: another program of this host has it"),
    }))
}

fn bind_all(targets: &[(IpAddr, IpAddr)], port: u16, wanted: &Wanted) -> Result<Bound, (IpAddr, u16, Errno)> {
    let (mut sockets, mut mappings) = (Vec::new(), Vec::new());
    let mut port = port;
    for (host, target) in targets {
        let fail = |errno| (*host, port, errno);
        match bound(SocketAddr::from((*host, port)), wanted.protocol) {
            Ok(socket) => {
                let address = getsockname(&socket).and_then(SocketAddr::try_from).map_err(fail)?;
                port = address.port();
                sockets.push(socket);
            }
            // A kernel without SCTP passes its packets on all the same.
            Err(Errno::PROTONOSUPPORT | Errno::NOPROTOOPT) if wanted.protocol == Protocol::Sctp && port != 0 => {}
            Err(errno) => return Err(fail(errno)),
        }
        let (container_port, protocol) = (wanted.container_port, wanted.protocol);
        mappings.push(Mapping { host: *host, host_port: port, target: *target, container_port, protocol });
    }
    Ok((sockets, mappings))
}

fn bound(address: SocketAddr, protocol: Protocol) -> sys::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let (kind, protocol) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, None),
        Protocol::Udp => (SocketType::DGRAM, None),
        Protocol::Sctp => (SocketType::STREAM, Some(ipproto::SCTP)),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(port: u16) -> Wanted {
        let host = Some(Ipv4Addr::LOCALHOST.into());
        Wanted { host, host_ports: (port, port), container_port: 80, protocol: Protocol::Tcp }
    }

    #[test]
    fn a_reserved_port_is_taken_until_its_keeper_is_closed() {
        let target = [Some(Ipv4Addr::new(10, 0, 0, 2).into()), None];
        let (mappings, reservation) = reserve(&[wanted(0)], target, &|_, _, _| None).unwrap();
        let port = mappings[0].host_port;
        assert!(port > 0);
        let error = reserve(&[wanted(port)], target, &|_, _, _| Some("web".into())).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot publish port 127.0.0.1:{port}/tcp: container web has it"));
        assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_err());
        drop(reservation);
        reserve(&[wanted(port)], target, &|_, _, _| None).unwrap();
    }
}
