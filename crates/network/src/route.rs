//! Devices, addresses and routes: what is asked of the kernel by rtnetlink(7).

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use stdx::{Context, Error, Result};
use sys::Errno;
use sys::namespace::{self, flag};
use sys::netlink::{ACKNOWLEDGE, CREATE, CREATE_EXCLUSIVE, DUMP, Message, Protocol, Socket, attributes};

use crate::Subnet;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const LINK: u16 = 5;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const NAMESPACE_FD: u16 = 28;

const UP: u32 = 1;

/// A connection to the devices of one network namespace.
#[derive(Debug)]
pub struct Host {
    pub(crate) socket: Socket,
}

/// A device of this namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub index: u32,
    pub name: String,
    /// The bridge it is joined to.
    pub master: Option<u32>,
}

impl Host {
    /// A connection to the devices here.
    pub fn open() -> Result<Self> {
        let socket = Socket::open(Protocol::Route).context(|| "cannot ask for network devices".into())?;
        Ok(Self { socket })
    }

    /// A connection to the devices of another namespace; `prepare` is called in there first.
    pub(crate) fn open_in(namespace: BorrowedFd<'_>, prepare: impl FnOnce() -> Result<()> + Send) -> Result<Self> {
        inside(namespace, || prepare().and_then(|()| Self::open()))
    }

    /// All devices.
    pub fn devices(&mut self) -> Result<Vec<Device>> {
        let answers = self.socket.ask(Message::new(GET_LINK, DUMP, &[0; 16]));
        let answers = answers.context(|| "cannot list network devices".into())?;
        Ok(answers.iter().filter_map(|answer| device(answer)).collect())
    }

    /// The device of this name.
    pub fn find(&mut self, name: &str) -> Result<Option<Device>> {
        let message = Message::new(GET_LINK, ACKNOWLEDGE, &[0; 16]).with(NAME, text(name));
        match self.socket.ask(message) {
            Err(Errno::NODEV) => Ok(None),
            answers => {
                let answers = answers.context(|| format!("cannot find network device \"{name}\""))?;
                Ok(answers.iter().find_map(|answer| device(answer)))
            }
        }
    }

    /// Removes a device; one that is gone is fine.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        match self.socket.ask(Message::new(DELETE_LINK, ACKNOWLEDGE, &[0; 16]).with(NAME, text(name))) {
            Ok(_) | Err(Errno::NODEV) => Ok(()),
            Err(errno) => Err(errno).context(|| format!("cannot remove network device \"{name}\"")),
        }
    }

    /// The ranges that this host has routes for, without the one to everywhere, and those of this machine itself.
    pub fn routes(&mut self) -> Result<Vec<Subnet>> {
        let answers = self.socket.ask(Message::new(GET_ROUTE, DUMP, &[0; 12]));
        Ok(answers.context(|| "cannot list routes".into())?.iter().filter_map(|answer| route(answer)).collect())
    }
}

/// Calls `work` in another network namespace: on a thread of its own, which never comes back from there.
pub(crate) fn inside<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            namespace::enter(namespace, flag::NETWORK).context(|| "cannot enter the container's network".into())?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(Error::new(stdx::Kind::Internal, "a thread has ended early")))
    })
}

fn device(answer: &[u8]) -> Option<Device> {
    let index = u32::from_ne_bytes(answer.get(4..8)?.try_into().ok()?);
    let all = attributes(answer.get(16..)?);
    let name = all.iter().find(|(kind, _)| *kind == NAME)?.1;
    let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next()?).into_owned();
    let master = all.iter().find(|(kind, _)| *kind == MASTER).and_then(|(_, value)| number(value));
    Some(Device { index, name, master })
}

/// `struct rtmsg` and its attributes.
fn route(answer: &[u8]) -> Option<Subnet> {
    const DESTINATION: u16 = 1;
    const UNICAST: u8 = 1;
    let (prefix, kind) = (*answer.get(1)?, *answer.get(7)?);
    let destination = attributes(answer.get(12..)?).into_iter().find(|(kind, _)| *kind == DESTINATION)?.1;
    let address = match destination.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(destination).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(destination).ok()?),
    };
    (kind == UNICAST && prefix > 0).then(|| Subnet::around(address, prefix))
}

fn number(value: &[u8]) -> Option<u32> {
    value.get(..4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// A name as the kernel wants it.
pub(crate) fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// `struct ifinfomsg`.
pub(crate) fn link_header(index: u32, up: bool) -> [u8; 16] {
    let mut header = [0; 16];
    let flags = if up { UP } else { 0 };
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// A new bridge that is up.
pub(crate) fn new_bridge(name: &str, mac: [u8; 6]) -> Message {
    const KIND: u16 = 1;
    let message = Message::new(NEW_LINK, ACKNOWLEDGE | CREATE_EXCLUSIVE, &link_header(0, true));
    let message = message.with(NAME, text(name)).with(ADDRESS, mac);
    message.nested(LINK_INFO, |info| info.with(KIND, "bridge"))
}

/// What a container's device is to be.
#[derive(Debug)]
pub(crate) struct Inner<'a> {
    pub(crate) namespace: BorrowedFd<'a>,
    pub(crate) name: &'a str,
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: Option<u32>,
}

impl Inner<'_> {
    fn describe(&self, message: Message) -> Message {
        let message = message.with(NAME, text(self.name)).with(ADDRESS, self.mac);
        let message = message.with(NAMESPACE_FD, self.namespace.as_raw_fd().to_ne_bytes());
        match self.mtu {
            Some(mtu) => message.with(MTU, mtu.to_ne_bytes()),
            None => message,
        }
    }
}

/// A pair of devices: `outer` here, up and joined to a bridge, the other made where the container is.
pub(crate) fn new_pair(outer: &str, bridge: u32, inner: &Inner<'_>) -> Message {
    const KIND: u16 = 1;
    const DATA: u16 = 2;
    const PEER: u16 = 1;
    let message = Message::new(NEW_LINK, ACKNOWLEDGE | CREATE_EXCLUSIVE, &link_header(0, true));
    let message = message.with(NAME, text(outer)).with(MASTER, bridge.to_ne_bytes());
    let message = match inner.mtu {
        Some(mtu) => message.with(MTU, mtu.to_ne_bytes()),
        None => message,
    };
    message.nested(LINK_INFO, |info| {
        info.with(KIND, "veth").nested(DATA, |data| {
            // It cannot be up before there is the other one.
            data.nested(PEER, |peer| inner.describe(peer.raw(&link_header(0, false))))
        })
    })
}

/// A device upon one of the host's: `mode` is the attribute of its kind that says how.
pub(crate) fn new_upon(kind: &str, parent: u32, mode: &[(u16, Vec<u8>)], inner: &Inner<'_>) -> Message {
    const KIND: u16 = 1;
    const DATA: u16 = 2;
    let message = Message::new(NEW_LINK, ACKNOWLEDGE | CREATE_EXCLUSIVE, &link_header(0, false));
    let message = inner.describe(message).with(LINK, parent.to_ne_bytes());
    message.nested(LINK_INFO, |info| {
        let add = |data: Message| mode.iter().fold(data, |data, (kind, value)| data.with(*kind, value));
        info.with(KIND, kind).nested(DATA, add)
    })
}

/// A bridge's port sends back where a packet came from (`hairpin`), or not to other such ports (`isolated`).
pub(crate) fn port_flags(index: u32, hairpin: bool, isolated: bool) -> Message {
    const PROTOCOL_INFO: u16 = 12;
    const MODE: u16 = 4;
    const ISOLATED: u16 = 33;
    const AF_BRIDGE: u8 = 7;
    let mut header = link_header(index, false);
    header[0] = AF_BRIDGE;
    Message::new(SET_LINK, ACKNOWLEDGE, &header)
        .nested(PROTOCOL_INFO, |info| info.with(MODE, [u8::from(hairpin)]).with(ISOLATED, [u8::from(isolated)]))
}

/// Switches a device on.
pub(crate) fn set_up(index: u32) -> Message {
    Message::new(NEW_LINK, ACKNOWLEDGE, &link_header(index, true))
}

/// Says how large packets may be.
pub(crate) fn set_mtu(index: u32, mtu: u32) -> Message {
    Message::new(NEW_LINK, ACKNOWLEDGE, &link_header(index, true)).with(MTU, mtu.to_ne_bytes())
}

/// An address of a device.
pub(crate) fn new_address(index: u32, address: IpAddr, prefix: u8) -> Message {
    const LOCAL: u16 = 2;
    const BROADCAST: u16 = 4;
    const FLAGS: u16 = 8;
    // Whoever gives addresses knows that nobody else has them.
    const NO_DETECTION: u32 = 2;
    let mut header = [family(address), prefix, 0, 0, 0, 0, 0, 0];
    header[4..].copy_from_slice(&index.to_ne_bytes());
    let bytes = octets(address);
    let message = Message::new(NEW_ADDRESS, ACKNOWLEDGE | CREATE, &header);
    let message = message.with(LOCAL, &bytes).with(ADDRESS, &bytes);
    match address {
        IpAddr::V4(_) if prefix < 31 => message.with(BROADCAST, octets(Subnet::around(address, prefix).last())),
        IpAddr::V4(_) => message,
        IpAddr::V6(_) => message.with(FLAGS, NO_DETECTION.to_ne_bytes()),
    }
}

/// The route to everywhere: by a router, or directly upon the device.
pub(crate) fn default_route(index: u32, gateway: Option<IpAddr>, ipv6: bool) -> Message {
    const OUT: u16 = 4;
    const GATEWAY: u16 = 5;
    const MAIN_TABLE: u8 = 254;
    const STATIC: u8 = 4;
    const LINK_SCOPE: u8 = 253;
    const UNICAST: u8 = 1;
    let scope = if gateway.is_some() { 0 } else { LINK_SCOPE };
    let header = [family_of(ipv6), 0, 0, 0, MAIN_TABLE, STATIC, scope, UNICAST, 0, 0, 0, 0];
    let message = Message::new(NEW_ROUTE, ACKNOWLEDGE | CREATE, &header).with(OUT, index.to_ne_bytes());
    match gateway {
        Some(gateway) => message.with(GATEWAY, octets(gateway)),
        None => message,
    }
}

fn family(address: IpAddr) -> u8 {
    family_of(address.is_ipv6())
}

fn family_of(ipv6: bool) -> u8 {
    const INET: u8 = 2;
    const INET6: u8 = 10;
    if ipv6 { INET6 } else { INET }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The network namespace of a process.
pub(crate) fn namespace_of(pid: i32) -> Result<std::fs::File> {
    std::fs::File::open(format!("/proc/{pid}/ns/net")).context(|| "cannot open the container's network".into())
}
