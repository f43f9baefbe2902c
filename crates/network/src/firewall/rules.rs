//! The table's rules, as `nft list table inet tare` shows them:
//!
//! ```text
//! chain guard       { type filter hook prerouting priority raw
//!     iifname @bridges ip daddr 127.0.0.0/8 drop }
//! chain forward     { type filter hook forward priority filter
//!     iifname . oifname @within accept
//!     iifname @internal drop
//!     oifname @internal drop
//!     oifname @bridges ct state established,related accept
//!     oifname @bridges ct status dnat accept
//!     iifname @open oifname @open accept
//!     oifname @bridges drop }
//! chain prerouting  { type nat hook prerouting priority dstnat
//!     fib daddr type local jump ports }
//! chain output      { type nat hook output priority dstnat
//!     fib daddr type local jump ports }
//! chain ports       {
//!     dnat ip to ip daddr . meta l4proto . th dport map @ports4-at
//!     dnat ip to meta l4proto . th dport map @ports4
//!     ip6 daddr ::1 return
//!     … the same for IPv6 }
//! chain postrouting { type nat hook postrouting priority srcnat
//!     ct status dnat iifname . oifname @within masquerade
//!     ip saddr . ip daddr @self4 masquerade
//!     ip6 saddr . ip6 daddr @self6 masquerade
//!     ip saddr 127.0.0.0/8 oifname @bridges masquerade
//!     ip saddr @outgoing4 oifname != @bridges masquerade
//!     ip6 saddr @outgoing6 oifname != @bridges masquerade }
//! ```

use sys::netlink::Message;

use super::TABLE;
use super::message::{Expression, Hook, Set, Value, be, delete_table, new_chain, new_rule, new_set, new_table};

pub(super) const BRIDGES: &str = "bridges";
pub(super) const INTERNAL: &str = "internal";
pub(super) const OPEN: &str = "open";
pub(super) const WITHIN: &str = "within";
pub(super) const OUTGOING4: &str = "outgoing4";
pub(super) const OUTGOING6: &str = "outgoing6";
pub(super) const PORTS4: &str = "ports4";
pub(super) const PORTS4_AT: &str = "ports4-at";
pub(super) const PORTS6: &str = "ports6";
pub(super) const PORTS6_AT: &str = "ports6-at";

pub(super) const SELF4: &str = "self4";
pub(super) const SELF6: &str = "self6";

/// The table in containers.
const NAMES_TABLE: &str = "tare-names";

/// Bytes of a device's name in a register.
const NAME: u32 = 16;

/// Numbers that nft gives to types of values; of several in a row, six bits each.
mod kind {
    pub(super) const IPV4: u32 = 7;
    pub(super) const IPV6: u32 = 8;
    pub(super) const PROTOCOL: u32 = 12;
    pub(super) const PORT: u32 = 13;
    pub(super) const DEVICE: u32 = 41;

    pub(super) const fn row(kinds: &[u32]) -> u32 {
        let (mut row, mut at) = (0, 0);
        while at < kinds.len() {
            row = row << 6 | kinds[at];
            at += 1;
        }
        row
    }
}

const fn set(name: &'static str, key: (u32, u32)) -> Set {
    Set { name, interval: false, is_text: key.0 == kind::DEVICE, key, data: None }
}

const fn map(name: &'static str, key: (u32, u32), data: (u32, u32)) -> Set {
    Set { name, interval: false, is_text: false, key, data: Some(data) }
}

const fn ranges(name: &'static str, key: (u32, u32)) -> Set {
    Set { name, interval: true, is_text: false, key, data: None }
}

const SETS: [Set; 12] = {
    use kind::{DEVICE, IPV4, IPV6, PORT, PROTOCOL, row};
    let (to4, to6) = ((row(&[IPV4, PORT]), 8), (row(&[IPV6, PORT]), 20));
    [
        set(BRIDGES, (DEVICE, NAME)),
        set(INTERNAL, (DEVICE, NAME)),
        set(OPEN, (DEVICE, NAME)),
        set(WITHIN, (row(&[DEVICE, DEVICE]), 2 * NAME)),
        ranges(OUTGOING4, (IPV4, 4)),
        ranges(OUTGOING6, (IPV6, 16)),
        set(SELF4, (row(&[IPV4, IPV4]), 8)),
        set(SELF6, (row(&[IPV6, IPV6]), 32)),
        map(PORTS4, (row(&[PROTOCOL, PORT]), 8), to4),
        map(PORTS4_AT, (row(&[IPV4, PROTOCOL, PORT]), 12), to4),
        map(PORTS6, (row(&[PROTOCOL, PORT]), 8), to6),
        map(PORTS6_AT, (row(&[IPV6, PROTOCOL, PORT]), 24), to6),
    ]
};

/// A device's name as it stands in a register.
pub(super) fn device(name: &str) -> [u8; NAME as usize] {
    let mut bytes = [0; NAME as usize];
    let len = name.len().min(bytes.len() - 1);
    bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
    bytes
}

/// Everything but elements, in place of whatever table of that name there is.
pub(super) fn table(version: &str) -> Vec<Message> {
    let hook = |kind, number, priority| Some(Hook { kind, number, priority });
    let mut messages = vec![new_table(TABLE, version), delete_table(TABLE), new_table(TABLE, version)];
    messages.extend(SETS.iter().enumerate().map(|(at, set)| new_set(set, at as u32 + 1)));
    messages.extend([
        new_chain(TABLE, "guard", hook("filter", 0, -300)),
        new_chain(TABLE, "forward", hook("filter", 2, 0)),
        new_chain(TABLE, "ports", None),
        new_chain(TABLE, "prerouting", hook("nat", 0, -100)),
        new_chain(TABLE, "output", hook("nat", 3, -100)),
        new_chain(TABLE, "postrouting", hook("nat", 4, 100)),
    ]);
    let rules = guard().into_iter().map(|rule| ("guard", rule));
    let rules = rules.chain(forward().into_iter().map(|rule| ("forward", rule)));
    let rules = rules.chain(ports().into_iter().map(|rule| ("ports", rule)));
    let local = || [vec![fib_type(), equal(REG, &LOCAL.to_ne_bytes())], vec![jump("ports")]].concat();
    let rules = rules.chain([("prerouting", local()), ("output", local())]);
    let rules = rules.chain(postrouting().into_iter().map(|rule| ("postrouting", rule)));
    messages.extend(rules.map(|(chain, rule)| new_rule(TABLE, chain, rule)));
    messages
}

/// The table in a container's namespace that leads questions for port 53 of `address` to the ports that answer.
pub(super) fn questions(address: [u8; 4], udp: u16, tcp: u16) -> Vec<Message> {
    let rule = |protocol: u8, to: u16| {
        let asked =
            [vec![address4(16, WORD), equal(WORD, &address)], vec![meta(TRANSPORT, WORD), equal(WORD, &[protocol])]];
        let asked = [ipv4(), asked.concat(), vec![port(WORD), equal(WORD, &[0, 53])]].concat();
        let to = vec![value(WORD, &address), value(WORD + 1, &to.to_be_bytes()), dnat(2, WORD, WORD + 1)];
        new_rule(NAMES_TABLE, "output", [asked, to].concat())
    };
    let hook = Some(Hook { kind: "nat", number: 3, priority: -100 });
    let comment = "names of containers";
    vec![
        new_table(NAMES_TABLE, comment),
        delete_table(NAMES_TABLE),
        new_table(NAMES_TABLE, comment),
        new_chain(NAMES_TABLE, "output", hook),
        rule(17, udp),
        rule(6, tcp),
    ]
}

/// 16 bytes; the next 16; and the same in words of four bytes.
const REG: u32 = 1;
const REG_2: u32 = 2;
const WORD: u32 = 8;

const LOCAL: u32 = 2;
const LOOPBACK: [u8; 4] = [127, 0, 0, 0];
const DROP: i32 = 0;
const ACCEPT: i32 = 1;

/// Keys of `meta`.
const IN_NAME: u32 = 6;
const OUT_NAME: u32 = 7;
const FAMILY: u32 = 15;
const TRANSPORT: u32 = 16;

type Rule = Vec<Expression>;

fn guard() -> Vec<Rule> {
    // A bridge whose host may send from 127.0.0.1 would also let its containers send there.
    vec![[in_in(BRIDGES), ipv4(), vec![address4(16, WORD)], loopback(WORD), vec![verdict(DROP)]].concat()]
}

fn forward() -> Vec<Rule> {
    // Connections that exist, and what belongs to them.
    const KNOWN: u32 = 2 | 4;
    vec![
        [within(), vec![verdict(ACCEPT)]].concat(),
        [in_in(INTERNAL), vec![verdict(DROP)]].concat(),
        [out_in(INTERNAL), vec![verdict(DROP)]].concat(),
        [out_in(BRIDGES), vec![ct(0), any_of(&KNOWN.to_ne_bytes()), not_zero(), verdict(ACCEPT)]].concat(),
        [out_in(BRIDGES), translated(), vec![verdict(ACCEPT)]].concat(),
        [in_in(OPEN), out_in(OPEN), vec![verdict(ACCEPT)]].concat(),
        [out_in(BRIDGES), vec![verdict(DROP)]].concat(),
    ]
}

fn ports() -> Vec<Rule> {
    const IPV6_LOOPBACK: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let to4 = |set| vec![lookup(set, WORD, Some(REG)), dnat(2, WORD, WORD + 1)];
    let to6 = |set| vec![lookup(set, WORD, Some(REG)), dnat(10, WORD, WORD + 4)];
    vec![
        [ipv4(), vec![address4(16, WORD), meta(TRANSPORT, WORD + 1), port(WORD + 2)], to4(PORTS4_AT)].concat(),
        [ipv4(), vec![meta(TRANSPORT, WORD), port(WORD + 1)], to4(PORTS4)].concat(),
        // Packets from ::1 never leave the host.
        [ipv6(), vec![address6(24, REG), equal(REG, &IPV6_LOOPBACK), verdict(-5)]].concat(),
        [ipv6(), vec![address6(24, WORD), meta(TRANSPORT, WORD + 4), port(WORD + 5)], to6(PORTS6_AT)].concat(),
        [ipv6(), vec![meta(TRANSPORT, WORD), port(WORD + 1)], to6(PORTS6)].concat(),
    ]
}

fn postrouting() -> Vec<Rule> {
    vec![
        // Otherwise the answer would not come back through the host.
        [translated(), within(), vec![masquerade()]].concat(),
        // A container that asks for itself. Where bridges pass packets through the filter, nobody tells whence they come.
        [ipv4(), vec![address4(12, WORD), address4(16, WORD + 1), lookup(SELF4, WORD, None), masquerade()]].concat(),
        [ipv6(), vec![address6(8, WORD), address6(24, WORD + 4), lookup(SELF6, WORD, None), masquerade()]].concat(),
        [ipv4(), vec![address4(12, WORD)], loopback(WORD), out_in(BRIDGES), vec![masquerade()]].concat(),
        [ipv4(), vec![address4(12, WORD), lookup(OUTGOING4, WORD, None)], out_not_in(BRIDGES), vec![masquerade()]]
            .concat(),
        [ipv6(), vec![address6(8, REG), lookup(OUTGOING6, REG, None)], out_not_in(BRIDGES), vec![masquerade()]]
            .concat(),
    ]
}

fn in_in(set: &'static str) -> Rule {
    vec![meta(IN_NAME, REG), lookup(set, REG, None)]
}

fn out_in(set: &'static str) -> Rule {
    vec![meta(OUT_NAME, REG), lookup(set, REG, None)]
}

fn out_not_in(set: &'static str) -> Rule {
    const INVERTED: u32 = 1;
    let (name, mut fields) = lookup(set, REG, None);
    fields.push((5, plain(INVERTED)));
    vec![meta(OUT_NAME, REG), (name, fields)]
}

fn within() -> Rule {
    vec![meta(IN_NAME, REG), meta(OUT_NAME, REG_2), lookup(WITHIN, REG, None)]
}

fn translated() -> Rule {
    const STATUS: u32 = 2;
    const DESTINATION: u32 = 0x20;
    vec![ct(STATUS), any_of(&DESTINATION.to_ne_bytes()), not_zero()]
}

fn ipv4() -> Rule {
    vec![meta(FAMILY, REG), equal(REG, &[2])]
}

fn ipv6() -> Rule {
    vec![meta(FAMILY, REG), equal(REG, &[10])]
}

/// Whether the address in a register is 127.x.
fn loopback(register: u32) -> Rule {
    vec![masked(register, &[255, 0, 0, 0]), equal(register, &LOOPBACK)]
}

fn plain(number: u32) -> Value {
    Value::Plain(be(number).to_vec())
}

fn meta(key: u32, into: u32) -> Expression {
    ("meta", vec![(1, plain(into)), (2, plain(key))])
}

fn ct(key: u32) -> Expression {
    ("ct", vec![(1, plain(REG)), (2, plain(key))])
}

fn payload(base: u32, offset: u32, len: u32, into: u32) -> Expression {
    ("payload", vec![(1, plain(into)), (2, plain(base)), (3, plain(offset)), (4, plain(len))])
}

fn address4(offset: u32, into: u32) -> Expression {
    payload(1, offset, 4, into)
}

fn address6(offset: u32, into: u32) -> Expression {
    payload(1, offset, 16, into)
}

/// The port a packet goes to: at the same place in TCP, UDP and SCTP.
fn port(into: u32) -> Expression {
    payload(2, 2, 2, into)
}

fn equal(register: u32, bytes: &[u8]) -> Expression {
    ("cmp", vec![(1, plain(register)), (2, plain(0)), (3, Value::Data(bytes.to_vec()))])
}

fn not_zero() -> Expression {
    ("cmp", vec![(1, plain(REG)), (2, plain(1)), (3, Value::Data(vec![0; 4]))])
}

fn any_of(bits: &[u8; 4]) -> Expression {
    masked(REG, bits)
}

fn masked(register: u32, mask: &[u8; 4]) -> Expression {
    let fields = vec![
        (1, plain(register)),
        (2, plain(register)),
        (3, plain(4)),
        (4, Value::Data(mask.to_vec())),
        (5, Value::Data(vec![0; 4])),
    ];
    ("bitwise", fields)
}

fn lookup(set: &'static str, from: u32, into: Option<u32>) -> Expression {
    let mut fields = vec![(1, Value::Plain(crate::route::text(set))), (2, plain(from))];
    fields.extend(into.map(|register| (3, plain(register))));
    ("lookup", fields)
}

/// What kind of address a packet goes to.
fn fib_type() -> Expression {
    const ADDRESS_TYPE: u32 = 3;
    const DESTINATION: u32 = 2;
    ("fib", vec![(1, plain(REG)), (2, plain(ADDRESS_TYPE)), (3, plain(DESTINATION))])
}

fn dnat(family: u32, address: u32, port: u32) -> Expression {
    const DESTINATION: u32 = 1;
    ("nat", vec![(1, plain(DESTINATION)), (2, plain(family)), (3, plain(address)), (5, plain(port))])
}

fn masquerade() -> Expression {
    ("masq", Vec::new())
}

fn value(into: u32, bytes: &[u8]) -> Expression {
    ("immediate", vec![(1, plain(into)), (2, Value::Data(bytes.to_vec()))])
}

fn verdict(code: i32) -> Expression {
    ("immediate", vec![(1, plain(0)), (2, Value::Verdict(code, None))])
}

fn jump(chain: &'static str) -> Expression {
    const JUMP: i32 = -3;
    ("immediate", vec![(1, plain(0)), (2, Value::Verdict(JUMP, Some(chain)))])
}
