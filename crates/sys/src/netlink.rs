//! Netlink, netlink(7): requests of typed attributes, one at a time or many in one system call, and their answers.
//!
//! The kernel handles a request while it is being sent, so its answers are there when sending returns.

mod devices;

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

pub use devices::{Address, Link, Netlink};

use crate::{Errno, Result};

const REQUEST: u16 = 0x1;
/// The answer is an acknowledgement.
pub const ACKNOWLEDGE: u16 = 0x4;
/// The answer is everything there is.
pub const DUMP: u16 = 0x300;
/// Make it; it must not be there yet.
pub const CREATE_EXCLUSIVE: u16 = 0x600;
/// Make it, if it is not there.
pub const CREATE: u16 = 0x400;
/// Put it behind what is there.
pub const APPEND: u16 = 0x800;
/// The value consists of attributes.
const NESTED: u16 = 0x8000;

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Which part of the kernel answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Devices, addresses and routes: rtnetlink(7).
    Route,
    /// Packet filtering.
    Netfilter,
}

/// A request being composed.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of type `kind` with its fixed part. The flags are those of `linux/netlink.h`.
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((REQUEST | flags).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Self { bytes }
    }

    /// The same with one more attribute: at most 65,531 bytes.
    #[must_use]
    pub fn with(self, kind: u16, value: impl AsRef<[u8]>) -> Self {
        self.nested_as(kind, |message| {
            message.bytes.extend(value.as_ref());
        })
    }

    /// The same with an attribute that consists of those that `fill` adds.
    #[must_use]
    pub fn nested(self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        self.nested_as(kind | NESTED, |message| {
            let inner = Self { bytes: std::mem::take(&mut message.bytes) };
            message.bytes = fill(inner).bytes;
        })
    }

    /// The same with more bytes, for attributes that begin with a fixed part.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    fn nested_as(mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(&mut self);
        let len = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn numbered(mut self, sequence: u32) -> Vec<u8> {
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A connection to the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub fn open(protocol: Protocol) -> Result<Self> {
        let protocol = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(netlink::NETFILTER),
        };
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request that asks for an acknowledgement or for everything, and gives the bodies of what is answered.
    pub fn ask(&mut self, message: Message) -> Result<Vec<Vec<u8>>> {
        self.sequence += 1;
        send(&self.socket, &message.numbered(self.sequence), SendFlags::empty())?;
        let mut bodies = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let (len, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())?;
            let mut rest = &buffer[..len];
            while let Some((kind, sequence, body)) = message_of(&mut rest) {
                match kind {
                    _ if sequence != self.sequence => {}
                    DONE => return Ok(bodies),
                    ERROR => return result_of(body).map(|()| bodies),
                    _ => bodies.push(body.to_vec()),
                }
            }
        }
    }

    /// Sends requests in one system call. The first that fails is told by its place; the others are carried out all the
    /// same, unless they are a transaction.
    pub fn send(&mut self, messages: Vec<Message>) -> std::result::Result<(), (usize, Errno)> {
        let first = self.sequence + 1;
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence += 1;
            bytes.extend(message.numbered(self.sequence));
        }
        send(&self.socket, &bytes, SendFlags::empty()).map_err(|errno| (0, errno))?;
        let mut failed: Option<(usize, Errno)> = None;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let len = match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) => return failed.map_or(Ok(()), Err),
                received => received.map_err(|errno| (0, errno))?.0,
            };
            let mut rest = &buffer[..len];
            while let Some((kind, sequence, body)) = message_of(&mut rest) {
                if kind != ERROR || sequence < first {
                    continue;
                }
                if let Err(errno) = result_of(body) {
                    failed = failed.or(Some(((sequence - first) as usize, errno)));
                }
            }
        }
    }
}

/// Takes the first message off `rest`: its type, its sequence number and its body.
fn message_of<'a>(rest: &mut &'a [u8]) -> Option<(u16, u32, &'a [u8])> {
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
pub fn attributes(mut rest: &[u8]) -> Vec<(u16, &[u8])> {
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
    fn nested_attributes_have_the_length_of_what_is_in_them() {
        let message = Message::new(1, 0, &[9, 9]).nested(2, |inner| inner.with(3, [1]));
        assert_eq!(message.bytes[16..], [9, 9, 0, 0, 12, 0, 2, 128, 5, 0, 3, 0, 1, 0, 0, 0]);
    }
}
