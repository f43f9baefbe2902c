//! Network devices: what moving one into another namespace takes, and what whoever makes networks asks.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{ACKNOWLEDGE, CREATE_EXCLUSIVE, DUMP, Message, Protocol, Socket, attributes};
use crate::Result;

const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;

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

/// A connection to the devices of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
}

impl Netlink {
    pub fn open() -> Result<Self> {
        Socket::open(Protocol::Route).map(|socket| Self { socket })
    }

    /// All devices.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        const NAME: u16 = 3;
        let answers = self.socket.ask(Message::new(GET_LINK, DUMP, &[0; 16]))?;
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
        let answers = self.socket.ask(Message::new(GET_ADDRESS, DUMP, &[0; 8]))?;
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
        let message = Message::new(NEW_LINK, ACKNOWLEDGE, &link_header(index, 0));
        self.socket.ask(message.with(NAMESPACE, namespace).with(NAME, name)).map(drop)
    }

    /// Gives a device an address that another, or the same one elsewhere, has had.
    pub fn add_address(&mut self, index: i32, address: &Address) -> Result<()> {
        let mut header = address.header;
        header[4..].copy_from_slice(&index.to_ne_bytes());
        let message = Message::new(NEW_ADDRESS, ACKNOWLEDGE | CREATE_EXCLUSIVE, &header);
        let with = |message: Message, (kind, value): &(u16, Vec<u8>)| message.with(*kind, value);
        self.socket.ask(address.attributes.iter().fold(message, with)).map(drop)
    }

    /// Switches a device on.
    pub fn set_up(&mut self, index: i32) -> Result<()> {
        self.socket.ask(Message::new(NEW_LINK, ACKNOWLEDGE, &link_header(index, 1))).map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_among_the_links() {
        let links = Netlink::open().unwrap().links().unwrap();
        assert!(links.iter().any(|link| link.name == "lo" && link.index == 1), "{links:?}");
    }
}
