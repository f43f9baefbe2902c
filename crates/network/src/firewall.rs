//! The packet filter: one nftables table `inet tare` on the host.
//!
//! Its rules never change. What there is to know, which bridges there are, whose packets leave under the host's address,
//! which ports lead where, is in sets and maps, so that a network or a port is an element more or less. What others have
//! in tables of their own is never touched; and since a packet has to pass all of them, nothing here opens what they close.
//!
//! The table is made as a whole when it is not there, as after a boot or after somebody has flushed everything.

mod message;
mod rules;

use std::net::{IpAddr, Ipv4Addr};

use stdx::{Context, Error, Kind, Result};
use sys::Errno;
use sys::netlink::{Message, Protocol, Socket, attributes};

use crate::route::octets;
use crate::{Mapping, Network};
use message::{Change, Element};

/// The table's name.
pub const TABLE: &str = "tare";
/// Changes with the rules: a table of another version is replaced.
const VERSION: &str = "tare 1";

/// A connection to the packet filter of this host.
#[derive(Debug)]
pub struct Firewall {
    socket: Socket,
}

impl Firewall {
    pub fn open() -> Result<Self> {
        let socket = Socket::open(Protocol::Netfilter);
        let socket = socket.map_err(|errno| without(errno, "this kernel has no netfilter"))?;
        Ok(Self { socket })
    }

    /// Whether the table is there, in this version.
    pub fn is_there(&mut self) -> Result<bool> {
        match self.socket.ask(message::get_table(TABLE)) {
            Err(Errno::NOENT) => Ok(false),
            answers => {
                let answers = answers.map_err(|errno| without(errno, "this kernel has no nftables"))?;
                Ok(answers.iter().any(|answer| message::comment(answer).as_deref() == Some(VERSION.as_bytes())))
            }
        }
    }

    /// Makes the table anew, with all networks and all ports that are published, in one transaction.
    pub fn build(&mut self, networks: &[Network], published: &[Mapping]) -> Result<()> {
        let mut messages = rules::table(VERSION);
        messages.extend(networks.iter().flat_map(|network| elements_of(network, Change::Add)));
        messages.extend(port_elements(published, Change::Add));
        self.commit(messages).map_err(|errno| without(errno, "cannot make nftables table \"inet tare\""))
    }

    /// Takes the table away; one that is not there is fine.
    pub fn remove(&mut self) -> Result<()> {
        match self.commit(vec![message::delete_table(TABLE)]) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).context(|| "cannot remove nftables table \"inet tare\"".into()),
        }
    }

    /// Tells the rules of a network.
    pub fn add_network(&mut self, network: &Network) -> Result<()> {
        let added = self.commit(elements_of(network, Change::Add));
        added.context(|| format!("cannot add network {} to the packet filter", network.name))
    }

    /// Lets the rules forget a network. What is gone already is fine.
    pub fn remove_network(&mut self, network: &Network) -> Result<()> {
        self.delete(elements_of(network, Change::Delete))
            .context(|| format!("cannot remove network {} from the packet filter", network.name))
    }

    /// Lets ports of the host lead to containers.
    pub fn publish(&mut self, ports: &[Mapping]) -> Result<()> {
        let add = || port_elements(ports, Change::Add);
        let added = match self.commit(add()) {
            // Somebody who is dead had them: whoever reserves a port has it.
            Err(Errno::EXIST | Errno::BUSY) => {
                self.unpublish(ports)?;
                self.commit(add())
            }
            added => added,
        };
        added.context(|| "cannot publish ports".into())
    }

    /// Ends that. What is gone already is fine.
    pub fn unpublish(&mut self, ports: &[Mapping]) -> Result<()> {
        self.delete(port_elements(ports, Change::Delete)).context(|| "cannot take published ports back".into())
    }

    /// The chains of others that drop packets on their way through the host which nobody has accepted: table and chain.
    pub fn strangers(&mut self) -> Result<Vec<String>> {
        let answers = self.socket.ask(message::get_chains()).context(|| "cannot list the packet filter".into())?;
        Ok(answers.iter().filter_map(|answer| message::dropping_forward(attributes(answer.get(4..)?))).collect())
    }

    /// A transaction: everything or nothing.
    fn commit(&mut self, messages: Vec<Message>) -> sys::Result<()> {
        // The kernel takes no more than fits into a socket's buffer at once; a whole table does.
        const MOST: usize = 128 << 10;
        let mut rest = messages.into_iter().peekable();
        while rest.peek().is_some() {
            let mut size = 0;
            let mut batch = vec![message::begin()];
            while let Some(message) = rest.next_if(|message| size == 0 || size + message.size() <= MOST) {
                size += message.size();
                batch.push(message);
            }
            batch.push(message::end());
            self.socket.send(batch).map_err(|(_, errno)| errno)?;
        }
        Ok(())
    }

    /// Deletes together, or if something is not there, one by one.
    fn delete(&mut self, messages: Vec<Message>) -> sys::Result<()> {
        match self.commit(messages.clone()) {
            Err(Errno::NOENT) => {}
            done => return done,
        }
        for message in messages {
            match self.commit(vec![message]) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// In the namespace that this thread is in, questions for port 53 of `address` are led to these ports.
pub(crate) fn lead_questions(address: Ipv4Addr, udp: u16, tcp: u16) -> Result<()> {
    let made = Firewall::open()?.commit(rules::questions(address.octets(), udp, tcp));
    made.context(|| "cannot lead questions to the resolver".into())
}

/// What the rules know of a network.
fn elements_of(network: &Network, change: Change) -> Vec<Message> {
    if !network.is_bridge() {
        return Vec::new();
    }
    let device = rules::device(&network.device);
    let pair = [device, device].concat();
    let mut messages = vec![message::elements(rules::BRIDGES, change, [Element::of(device)])];
    if !network.separate {
        messages.push(message::elements(rules::WITHIN, change, [Element::of(pair)]));
    }
    if network.internal {
        messages.push(message::elements(rules::INTERNAL, change, [Element::of(device)]));
        return messages;
    }
    if network.open {
        messages.push(message::elements(rules::OPEN, change, [Element::of(device)]));
    }
    for pool in &network.pools {
        let set = if pool.subnet.is_ipv6() { rules::OUTGOING6 } else { rules::OUTGOING4 };
        let (first, last) = (octets(pool.subnet.first()), octets(pool.subnet.last()));
        messages.push(message::elements(set, change, Element::range(first, &last)));
    }
    messages
}

/// The elements of ports, many in a message.
fn port_elements(ports: &[Mapping], change: Change) -> Vec<Message> {
    const AT_ONCE: usize = 256;
    let of = |set: &'static str| {
        let wanted: Vec<Element> = ports.iter().filter(|port| map_of(port) == set).map(port_element).collect();
        let message = |elements: &[Element]| message::elements(set, change, elements.iter().cloned());
        wanted.chunks(AT_ONCE).map(message).collect::<Vec<_>>()
    };
    let mut targets: Vec<IpAddr> = ports.iter().map(|port| port.target).collect();
    targets.sort_unstable();
    targets.dedup();
    let own = targets.into_iter().map(|target| {
        let set = if target.is_ipv6() { rules::SELF6 } else { rules::SELF4 };
        message::elements(set, change, [Element::of([octets(target), octets(target)].concat())])
    });
    let maps = [rules::PORTS4, rules::PORTS4_AT, rules::PORTS6, rules::PORTS6_AT];
    maps.into_iter().flat_map(of).chain(own).collect()
}

fn map_of(port: &Mapping) -> &'static str {
    match (port.host, port.host.is_unspecified()) {
        (IpAddr::V4(_), true) => rules::PORTS4,
        (IpAddr::V4(_), false) => rules::PORTS4_AT,
        (IpAddr::V6(_), true) => rules::PORTS6,
        (IpAddr::V6(_), false) => rules::PORTS6_AT,
    }
}

fn port_element(port: &Mapping) -> Element {
    let address = if port.host.is_unspecified() { Vec::new() } else { octets(port.host) };
    let key = [address, vec![port.protocol.number(), 0, 0, 0], padded(port.host_port)].concat();
    let data = [octets(port.target), padded(port.container_port)].concat();
    Element::of(key).to(data)
}

/// A port as it stands in a register.
fn padded(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![high, low, 0, 0]
}

fn without(errno: Errno, what: &str) -> Error {
    let error = Err::<(), _>(errno).context(|| what.to_owned()).expect_err("made of an error");
    match errno {
        Errno::PERM => error.hint("networks need CAP_NET_ADMIN; use --network=none"),
        Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::NOENT => error
            .kinded(Kind::Unsupported)
            .hint("load the modules nf_tables, nft_nat, nft_masq and nft_fib_inet, or use --network=none or host"),
        _ => error,
    }
}
