//! Messages of nftables (`linux/netfilter/nf_tables.h`): tables, chains, rules, sets and their elements.

use sys::netlink::{ACKNOWLEDGE, APPEND, CREATE, DUMP, Message, attributes};

use super::TABLE;

/// Tables that see IPv4 and IPv6.
const INET: u8 = 1;
const ANY: u8 = 0;

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;

/// Whether elements come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Delete,
}

fn message(kind: u16, flags: u16) -> Message {
    const SUBSYSTEM: u16 = 10;
    Message::new(SUBSYSTEM << 8 | kind, flags, &[INET, 0, 0, 0])
}

pub(super) fn begin() -> Message {
    boundary(0x10)
}

pub(super) fn end() -> Message {
    boundary(0x11)
}

fn boundary(kind: u16) -> Message {
    const SUBSYSTEM: u8 = 10;
    Message::new(kind, 0, &[ANY, 0, 0, SUBSYSTEM])
}

/// A number as this part of the kernel wants it.
pub(super) fn be(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn text(name: &str) -> Vec<u8> {
    crate::route::text(name)
}

pub(super) fn get_table(name: &str) -> Message {
    message(GET_TABLE, ACKNOWLEDGE).with(1, text(name))
}

pub(super) fn delete_table(name: &str) -> Message {
    message(DELETE_TABLE, 0).with(1, text(name))
}

/// A table with a comment.
pub(super) fn new_table(name: &str, comment: &str) -> Message {
    // Of user data the first kind is the comment: kind, length, text.
    let comment = [&[0, comment.len() as u8 + 1], comment.as_bytes(), &[0]].concat();
    message(NEW_TABLE, CREATE).with(1, text(name)).with(6, comment)
}

/// The comment in a kernel's description of a table.
pub(super) fn comment(answer: &[u8]) -> Option<Vec<u8>> {
    let data = attributes(answer.get(4..)?).into_iter().find(|(kind, _)| *kind == 6)?.1;
    let text = data.get(2..)?;
    (data[0] == 0).then(|| text.iter().copied().take_while(|byte| *byte != 0).collect())
}

/// Where a chain hangs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hook {
    pub(super) kind: &'static str,
    /// 0 prerouting, 2 forward, 3 output, 4 postrouting.
    pub(super) number: u32,
    pub(super) priority: i32,
}

pub(super) fn new_chain(table: &str, name: &str, hook: Option<Hook>) -> Message {
    let message = message(NEW_CHAIN, CREATE).with(1, text(table)).with(3, text(name));
    let Some(hook) = hook else { return message };
    const ACCEPT: u32 = 1;
    message
        .nested(4, |inner| inner.with(1, be(hook.number)).with(2, hook.priority.to_be_bytes()))
        .with(5, be(ACCEPT))
        .with(7, text(hook.kind))
}

/// All chains of all tables.
pub(super) fn get_chains() -> Message {
    const SUBSYSTEM: u16 = 10;
    Message::new(SUBSYSTEM << 8 | GET_CHAIN, DUMP, &[ANY, 0, 0, 0])
}

/// Table and name of a chain that drops what it does not know on its way through the host.
pub(super) fn dropping_forward(chain: Vec<(u16, &[u8])>) -> Option<String> {
    const FORWARD: u32 = 2;
    const DROP: u32 = 0;
    let find = |list: &[(u16, &[u8])], kind: u16| list.iter().find(|(own, _)| *own == kind).map(|(_, v)| v.to_vec());
    let number = |value: Vec<u8>| Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?));
    let name = |kind| {
        find(&chain, kind).map(|name| String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(&name)).into_owned())
    };
    let hook = number(find(&attributes(&find(&chain, 4)?), 1)?)?;
    let policy = number(find(&chain, 5)?)?;
    let table = name(1)?;
    (hook == FORWARD && policy == DROP && table != TABLE).then(|| Some(format!("{table} {}", name(3)?))).flatten()
}

/// A rule: what a packet is asked, step by step.
pub(super) fn new_rule(table: &str, chain: &str, expressions: Vec<Expression>) -> Message {
    let message = message(NEW_RULE, CREATE | APPEND).with(1, text(table)).with(2, text(chain));
    message.nested(4, |list| {
        expressions.into_iter().fold(list, |list, (name, fill)| {
            list.nested(1, |expression| {
                expression.with(1, text(name)).nested(2, |data| {
                    fill.into_iter().fold(data, |data, (kind, value)| match value {
                        Value::Plain(bytes) => data.with(kind, bytes),
                        Value::Data(bytes) => data.nested(kind, |data| data.with(1, bytes)),
                        Value::Verdict(code, chain) => data.nested(kind, |data| {
                            data.nested(2, |verdict| {
                                let verdict = verdict.with(1, be(code as u32));
                                chain.into_iter().fold(verdict, |verdict, chain| verdict.with(2, text(chain)))
                            })
                        }),
                    })
                })
            })
        })
    })
}

/// One step of a rule: its kind and its attributes.
pub(super) type Expression = (&'static str, Vec<(u16, Value)>);

/// What an attribute of an expression holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Plain(Vec<u8>),
    /// Bytes to compare with.
    Data(Vec<u8>),
    /// What becomes of the packet, and the chain it goes to.
    Verdict(i32, Option<&'static str>),
}

/// A set, or with `data` a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) interval: bool,
    /// The key is a device's name.
    pub(super) is_text: bool,
    /// Type and bytes; the type is for those who list the set.
    pub(super) key: (u32, u32),
    pub(super) data: Option<(u32, u32)>,
}

pub(super) fn new_set(set: &Set, id: u32) -> Message {
    const INTERVAL: u32 = 4;
    const MAP: u32 = 8;
    let flags = if set.interval { INTERVAL } else { 0 } | if set.data.is_some() { MAP } else { 0 };
    let message = message(NEW_SET, CREATE).with(1, text(TABLE)).with(2, text(set.name)).with(3, be(flags));
    let message = message.with(4, be(set.key.0)).with(5, be(set.key.1)).with(10, be(id));
    // For those who list it: names of devices are text, from the first letter to the last.
    const HOST_ORDER: [u8; 6] = [0, 4, 1, 0, 0, 0];
    let message = if set.is_text { message.with(13, HOST_ORDER) } else { message };
    match set.data {
        Some((kind, len)) => message.with(6, be(kind)).with(7, be(len)),
        None => message,
    }
}

/// An element of a set or map.
#[derive(Debug, Clone)]
pub(super) struct Element {
    key: Vec<u8>,
    data: Option<Vec<u8>>,
    is_end: bool,
}

impl Element {
    pub(super) fn of(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), data: None, is_end: false }
    }

    pub(super) fn to(self, data: Vec<u8>) -> Self {
        Self { data: Some(data), ..self }
    }

    /// All from `first` to `last`. The second element is the first that is no longer in; after the very last there is none.
    pub(super) fn range(first: Vec<u8>, last: &[u8]) -> Vec<Self> {
        let mut end = last.to_vec();
        for byte in end.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return vec![Self::of(first), Self { is_end: true, ..Self::of(end) }];
            }
        }
        vec![Self::of(first)]
    }
}

pub(super) fn elements(set: &str, change: Change, elements: impl IntoIterator<Item = Element>) -> Message {
    let message = match change {
        Change::Add => message(NEW_ELEMENT, CREATE),
        Change::Delete => message(DELETE_ELEMENT, 0),
    };
    let message = message.with(1, text(TABLE)).with(2, text(set));
    message.nested(3, |list| {
        elements.into_iter().fold(list, |list, element| list.nested(1, |one| describe(one, element, change)))
    })
}

fn describe(message: Message, element: Element, change: Change) -> Message {
    const INTERVAL_END: u32 = 1;
    let message = if element.is_end { message.with(3, be(INTERVAL_END)) } else { message };
    let message = message.nested(1, |key| key.with(1, element.key));
    match element.data {
        Some(data) if change == Change::Add => message.nested(2, |value| value.with(1, data)),
        _ => message,
    }
}
