//! Names of containers: what a query gets for an answer. Pure; [`serve`] asks and sends.

pub mod serve;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{A, AAAA, PTR, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};

use crate::Endpoint;

/// Where containers ask.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Longer queries are not answered: names have at most 255 bytes.
const LONGEST: usize = 1024;
/// Seconds for which an answer holds: a container may be gone soon.
const TIME_TO_LIVE: u32 = 5;

/// What becomes of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This is sent back.
    Reply(Vec<u8>),
    /// The name is nobody's here: the host's servers are asked.
    Forward,
}

/// Answers a query of somebody who is in networks with these places, their own among them. `outside` tells whether any of these
/// networks leads out. `None`: it is no query, and is not answered at all.
pub fn answer(query: &[u8], members: &[Endpoint], outside: bool) -> Option<Answer> {
    if query.len() > LONGEST {
        return None;
    }
    let packet = Packet::parse(query).ok()?;
    if packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let [question] = &packet.questions[..] else { return reply(&packet, Err(RCODE::FormatError)) };
    if packet.opcode() != OPCODE::StandardQuery {
        return reply(&packet, Err(RCODE::NotImplemented));
    }
    let is_internet = matches!(question.qclass, QCLASS::ANY | QCLASS::CLASS(CLASS::IN));
    let name = question.qname.to_string().to_ascii_lowercase();
    let found = if is_internet { look_up(&name, question.qtype, members) } else { None };
    match found {
        Some(data) => reply(&packet, Ok(data)),
        None if outside => Some(Answer::Forward),
        None => reply(&packet, Err(RCODE::NameError)),
    }
}

/// A packet that says no more than that it went wrong.
pub(crate) fn failure(query: &[u8]) -> Option<Vec<u8>> {
    match reply(&Packet::parse(query).ok()?, Err(RCODE::ServerFailure))? {
        Answer::Reply(bytes) => Some(bytes),
        Answer::Forward => None,
    }
}

/// What is known of a name; `None` if it is nobody's. A name that is somebody's may have nothing of the kind asked for.
fn look_up(name: &str, kind: QTYPE, members: &[Endpoint]) -> Option<Vec<RData<'static>>> {
    if let Some(address) = reverse(name) {
        let member = members.iter().find(|member| member.addresses.iter().any(|(own, _)| *own == address))?;
        let full = format!("{}.{}", member.names.first()?, member.network);
        let is_asked = matches!(kind, QTYPE::ANY | QTYPE::TYPE(TYPE::PTR));
        let name = Name::new(&full).ok()?.into_owned();
        return Some(if is_asked { vec![RData::PTR(PTR(name))] } else { Vec::new() });
    }
    let is_called = |member: &&Endpoint| {
        let is = |own: &String| {
            let own = own.to_ascii_lowercase();
            own == name || name.strip_suffix(&member.network.to_ascii_lowercase()) == Some(&format!("{own}."))
        };
        member.names.iter().any(is)
    };
    let mut called = members.iter().filter(is_called).peekable();
    called.peek()?;
    let wanted = |address: &IpAddr| match address {
        IpAddr::V4(_) => matches!(kind, QTYPE::ANY | QTYPE::TYPE(TYPE::A)),
        IpAddr::V6(_) => matches!(kind, QTYPE::ANY | QTYPE::TYPE(TYPE::AAAA)),
    };
    let addresses = called.flat_map(|member| [member.address(false), member.address(true)]).flatten().filter(wanted);
    let data = |address| match address {
        IpAddr::V4(address) => RData::A(A { address: address.to_bits() }),
        IpAddr::V6(address) => RData::AAAA(AAAA { address: address.to_bits() }),
    };
    Some(addresses.map(data).collect())
}

/// The address whose name is asked for: `2.0.17.172.in-addr.arpa`, or 32 digits before `ip6.arpa`.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<u8> = rest.split('.').rev().map(|part| part.parse().ok()).collect::<Option<_>>()?;
        return <[u8; 4]>::try_from(parts).ok().map(IpAddr::from);
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let digits: Vec<&str> = rest.split('.').rev().collect();
    let is_digit = |digit: &&str| digit.len() == 1 && digit.as_bytes()[0].is_ascii_hexdigit();
    if digits.len() != 32 || !digits.iter().all(is_digit) {
        return None;
    }
    u128::from_str_radix(&digits.concat(), 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into())
}

fn reply(query: &Packet<'_>, found: Result<Vec<RData<'static>>, RCODE>) -> Option<Answer> {
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    *reply.opcode_mut() = query.opcode();
    match found {
        Ok(data) => {
            let name = query.questions.first()?.qname.clone();
            let record = |data| ResourceRecord::new(name.clone(), CLASS::IN, TIME_TO_LIVE, data);
            reply.answers = data.into_iter().map(record).collect();
        }
        Err(code) => *reply.rcode_mut() = code,
    }
    reply.questions = query.questions.iter().take(1).cloned().collect();
    reply.build_bytes_vec_compressed().ok().map(Answer::Reply)
}

#[cfg(test)]
mod tests {
    use simple_dns::Question;

    use super::*;

    fn member(network: &str, names: &[&str], addresses: &[&str]) -> Endpoint {
        let addresses = addresses.iter().map(|address| (address.parse().unwrap(), 24)).collect();
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let network = network.to_owned();
        Endpoint { network, names, addresses, ..Endpoint::default() }
    }

    /// The answer in words: the code, and every record.
    fn ask(name: &str, kind: TYPE, outside: bool) -> String {
        let members = [
            member("blue", &["web", "www", "0123456789ab"], &["10.0.0.2", "fd00::2"]),
            member("blue", &["db"], &["10.0.0.3"]),
            member("blue", &["db2", "www"], &["10.0.0.4"]),
        ];
        let mut query = Packet::new_query(7);
        query.questions.push(Question::new(Name::new(name).unwrap(), kind.into(), CLASS::IN.into(), false));
        match answer(&query.build_bytes_vec().unwrap(), &members, outside).unwrap() {
            Answer::Forward => "forward".into(),
            Answer::Reply(bytes) => {
                let reply = Packet::parse(&bytes).unwrap();
                assert_eq!((reply.id(), reply.questions.len()), (7, 1));
                let record = |record: &ResourceRecord<'_>| match &record.rdata {
                    RData::A(a) => Ipv4Addr::from_bits(a.address).to_string(),
                    RData::AAAA(a) => Ipv6Addr::from_bits(a.address).to_string(),
                    RData::PTR(name) => name.0.to_string(),
                    other => format!("{other:?}"),
                };
                let records: Vec<String> = reply.answers.iter().map(record).collect();
                format!("{:?} {}", reply.rcode(), records.join(" "))
            }
        }
    }

    #[test]
    fn names_aliases_and_ids_lead_to_addresses_and_back() {
        assert_eq!(ask("web", TYPE::A, true), "NoError 10.0.0.2");
        assert_eq!(ask("WEB.blue", TYPE::A, true), "NoError 10.0.0.2");
        assert_eq!(ask("0123456789ab", TYPE::AAAA, true), "NoError fd00::2");
        assert_eq!(ask("www", TYPE::A, true), "NoError 10.0.0.2 10.0.0.4");
        assert_eq!(ask("3.0.0.10.in-addr.arpa", TYPE::PTR, true), "NoError db.blue");
        let six = format!("2.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
        assert_eq!(ask(&six, TYPE::PTR, true), "NoError web.blue");
    }

    #[test]
    fn a_name_without_such_an_address_is_known_all_the_same() {
        assert_eq!(ask("db", TYPE::AAAA, true), "NoError ");
        assert_eq!(ask("db", TYPE::MX, true), "NoError ");
    }

    #[test]
    fn other_names_are_asked_of_the_host_unless_nothing_leads_out() {
        assert_eq!(ask("example.com", TYPE::A, true), "forward");
        assert_eq!(ask("9.9.9.9.in-addr.arpa", TYPE::PTR, true), "forward");
        assert_eq!(ask("example.com", TYPE::A, false), "NameError ");
        assert_eq!(ask("web.red", TYPE::A, false), "NameError ");
    }

    #[test]
    fn what_is_no_query_is_not_answered() {
        assert_eq!(answer(b"", &[], true), None);
        assert_eq!(answer(&[0xff; 64], &[], true), None);
        assert_eq!(answer(&[0; 2000], &[], true), None);
        let reply = Packet::new_reply(1).build_bytes_vec().unwrap();
        assert_eq!(answer(&reply, &[], true), None);
    }
}
