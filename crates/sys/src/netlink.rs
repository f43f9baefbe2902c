//! Network devices over route netlink, rtnetlink(7): only what moving one into another namespace takes. One request at a
//! time, answered before the next.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::{Errno, Result};

const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const CREATE_EXCLUSIVE: u16 = 0x600;

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A network device of the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: i32,
    pub name: String,
}

/// An address of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// As it is set again: family, length of the prefix, flags, scope and the device's index, `struct ifaddrmsg`.
    header: [u8; 8],
    /// What is kept, in the form that the kernel gave it.
    attributes: Vec<(u16, Vec<u8>)>,
}

/// A connection to the network namespace in which it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub fn open() -> Result<Self> {
        // The protocol of number 0 is the one for routes and links.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// All devices.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        const NAME: u16 = 3;
        let answers = self.ask(GET_LINK, DUMP, &[0; 16], &[])?;
        let link = |message: &Vec<u8>| {
            let index = i32::from_ne_bytes(message.get(4..8)?.try_into().ok()?);
            let name = attributes(message.get(16..)?).into_iter().find(|(kind, _)| *kind == NAME)?.1;
            Some(Link { index, name: String::from_utf8_lossy(name.split(|byte| *byte == 0).next()?).into_owned() })
        };
        Ok(answers.iter().filter_map(link).collect())
    }

    /// The permanent addresses of global scope that a device has, of every family.
    pub fn addresses(&mut self, index: i32) -> Result<Vec<Address>> {
        const FLAGS: u16 = 8;
        const PERMANENT: u32 = 0x80;
        // Address, local, label, broadcast; not the cache information, which only the kernel sets.
        const KEPT: [u16; 4] = [1, 2, 3, 4];
        let answers = self.ask(GET_ADDRESS, DUMP, &[0; 8], &[])?;
        let address = |message: &Vec<u8>| {
            let header: [u8; 8] = message.get(..8)?.try_into().ok()?;
            let all = attributes(message.get(8..)?);
            let wide =
                all.iter().find(|(kind, _)| *kind == FLAGS).and_then(|(_, value)| value.get(..4)?.try_into().ok());
            let flags = wide.map_or(u32::from(header[2]), u32::from_ne_bytes);
            let wanted = header[4..] == index.to_ne_bytes() && header[3] == 0 && flags & PERMANENT != 0;
            let kept =
                all.into_iter().filter(|(kind, _)| KEPT.contains(kind)).map(|(kind, value)| (kind, value.to_vec()));
            wanted.then(|| Address { header, attributes: kept.collect() })
        };
        Ok(answers.iter().filter_map(address).collect())
    }

    /// Moves a device into another network namespace under a name, in which `%d` stands for the first free number. It is
    /// down afterwards, and without addresses.
    pub fn move_link(&mut self, index: i32, namespace: BorrowedFd<'_>, name: &str) -> Result<()> {
        const NAME: u16 = 3;
        const NAMESPACE: u16 = 28;
        let name = [name.as_bytes(), &[0]].concat();
        let namespace = namespace.as_raw_fd().to_ne_bytes();
        let attributes = [(NAMESPACE, namespace.as_slice()), (NAME, name.as_slice())];
        self.ask(NEW_LINK, 0, &link_header(index, 0), &attributes).map(drop)
    }

    /// Gives a device an address that another, or the same one elsewhere, has had.
    pub fn add_address(&mut self, index: i32, address: &Address) -> Result<()> {
        let mut header = address.header;
        header[4..].copy_from_slice(&index.to_ne_bytes());
        let attributes: Vec<(u16, &[u8])> =
            address.attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        self.ask(NEW_ADDRESS, CREATE_EXCLUSIVE, &header, &attributes).map(drop)
    }

    /// Switches a device on.
    pub fn set_up(&mut self, index: i32) -> Result<()> {
        self.ask(NEW_LINK, 0, &link_header(index, 1), &[]).map(drop)
    }

    /// Sends a request and gives the bodies of what is answered.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8], attributes: &[(u16, &[u8])]) -> Result<Vec<Vec<u8>>> {
        self.sequence += 1;
        let acknowledge = if flags & DUMP == DUMP { 0 } else { ACKNOWLEDGE };
        let mut message = vec![0; 4];
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST | acknowledge | flags).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        for (kind, value) in attributes {
            message.extend((value.len() as u16 + 4).to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(*value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        let len = message.len() as u32;
        message[..4].copy_from_slice(&len.to_ne_bytes());
        send(&self.socket, &message, SendFlags::empty())?;
        self.answers()
    }

    fn answers(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut bodies = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let (len, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())?;
            let mut rest = &buffer[..len];
            while let Some((kind, sequence, body)) = message(&mut rest) {
                match kind {
                    _ if sequence != self.sequence => {}
                    DONE => return Ok(bodies),
                    ERROR => return result_of(body).map(|()| bodies),
                    _ => bodies.push(body.to_vec()),
                }
            }
        }
    }
}

/// `struct ifinfomsg`, with the flag `IFF_UP` set or left alone.
fn link_header(index: i32, up: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&up.to_ne_bytes());
    header[12..].copy_from_slice(&up.to_ne_bytes());
    header
}

/// Takes the first message off `rest`: its type, its sequence number and its body.
fn message<'a>(rest: &mut &'a [u8]) -> Option<(u16, u32, &'a [u8])> {
    let bytes = *rest;
    let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let len = number(0)? as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER..len)?;
    *rest = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, number(8)?, body))
}

fn result_of(body: &[u8]) -> Result<()> {
    let code =
        body.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(Errno::IO.raw_os_error(), i32::from_ne_bytes);
    if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code.abs())) }
}

/// Types and values of the attributes that follow a message's fixed part.
fn attributes(mut rest: &[u8]) -> Vec<(u16, &[u8])> {
    // The upper bits say how a value is to be read.
    const KIND: u16 = 0x3fff;
    let mut all = Vec::new();
    while let Some((len, kind)) = rest.first_chunk::<4>().map(|b| ([b[0], b[1]], [b[2], b[3]])) {
        let len = usize::from(u16::from_ne_bytes(len));
        let Some(value) = rest.get(4..len) else { break };
        all.push((u16::from_ne_bytes(kind) & KIND, value));
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_to_the_first_broken_one() {
        let bytes = [5, 0, 3, 0, b'x', 0, 0, 0, 8, 0, 8, 128, 1, 2, 3, 4, 99, 0, 1, 0];
        assert_eq!(attributes(&bytes), [(3, &b"x"[..]), (8, &[1, 2, 3, 4][..])]);
    }

    #[test]
    fn the_loopback_device_is_among_the_links() {
        let links = Netlink::open().unwrap().links().unwrap();
        assert!(links.iter().any(|link| link.name == "lo" && link.index == 1), "{links:?}");
    }
}
