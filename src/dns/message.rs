//! One question and its answer as octets (RFC 1035 4, RFC 6891).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Label, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};

use super::{Qtype, Question, Rdata, Resolved, Said};

/// The largest answer asked for in one datagram, in octets: what passes every network unfragmented (RFC 9715).
pub(super) const DATAGRAM: u16 = 1232;

/// How many names may stand for one another.
pub(super) const CHAIN: usize = 8;

/// The octets before the first question.
const HEADER: usize = 12;

/// What octets that came from a server turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The answer.
    Answer(Resolved),
    /// A name that stands for another, of which nothing is said: that one is to be asked for. With all that were passed.
    Further(Vec<String>),
    /// Part of the answer: it is to be asked for over TCP.
    Truncated,
    /// The server does not take the question in this form (without EDNS it may).
    Unsuitable,
    /// The server does not answer the question, and another one may.
    Refused(String),
    /// Not an answer to this question: somebody else's, or forged.
    Foreign,
}

/// The octets of a question; `edns`: with the size of a datagram (RFC 6891).
pub(super) fn write(id: u16, question: &Question, edns: bool) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let labels: Vec<_> = question.name().split('.').map(|label| Label::new_unchecked(label.as_bytes())).collect();
    let name = Name::new_with_labels(&labels);
    packet.questions.push(simple_dns::Question::new(name, code(question.kind()), QCLASS::CLASS(CLASS::IN), false));
    if edns {
        *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: DATAGRAM, version: 0 });
    }
    packet.build_bytes_vec().ok()
}

fn code(kind: Qtype) -> QTYPE {
    QTYPE::TYPE(match kind {
        Qtype::A => TYPE::A,
        Qtype::Aaaa => TYPE::AAAA,
        Qtype::Cname => TYPE::CNAME,
        Qtype::Mx => TYPE::MX,
        Qtype::Ptr => TYPE::PTR,
        Qtype::Srv => TYPE::SRV,
        Qtype::Txt => TYPE::TXT,
    })
}

/// What `octets` are as the answer to `question`, which was sent with `id`.
pub fn read(octets: &[u8], id: u16, question: &Question) -> Reading {
    let garbled = || Reading::Refused("its answer cannot be read".to_owned());
    if octets.len() < HEADER || octets[..2] != id.to_be_bytes() || octets[2] & 0x80 == 0 {
        return Reading::Foreign;
    }
    // An answer that was cut need not be whole, and says no more than that.
    if octets[2] & 0x02 != 0 {
        return Reading::Truncated;
    }
    // Room is made for as many records as are announced, so they have to fit into what came.
    let announced: usize =
        octets[4..HEADER].chunks(2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    if announced > octets.len() / 5 {
        return garbled();
    }
    let Ok(packet) = Packet::parse(octets) else { return garbled() };
    if packet.opcode() != OPCODE::StandardQuery {
        return Reading::Foreign;
    }
    match (&packet.questions[..], packet.rcode()) {
        ([asked], _) if is_same(asked, question) => {}
        // A server that does not understand a question need not repeat it.
        ([], RCODE::FormatError | RCODE::NotImplemented) => {}
        _ => return Reading::Foreign,
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => {}
        RCODE::FormatError | RCODE::NotImplemented | RCODE::BADVERS => return Reading::Unsuitable,
        RCODE::ServerFailure => return Reading::Refused("server failure (SERVFAIL)".to_owned()),
        RCODE::Refused => return Reading::Refused("the question is refused (REFUSED)".to_owned()),
        other => return Reading::Refused(format!("the answer is an error ({other:?})")),
    }
    let is_absent = packet.rcode() == RCODE::NameError;
    // A referral: the server knows somebody who may know, and is no resolver.
    let has_nothing = packet.answers.is_empty() && !is_absent;
    if has_nothing && !packet.has_flags(PacketFlag::AUTHORITATIVE_ANSWER) && is_referral(&packet) {
        return Reading::Refused("it only refers to other servers and is no resolver".to_owned());
    }
    answer(&packet.answers, question, is_absent)
}

fn is_referral(packet: &Packet<'_>) -> bool {
    let has = |kind: TYPE| packet.name_servers.iter().any(|record| record.rdata.type_code() == kind);
    !packet.has_flags(PacketFlag::RECURSION_AVAILABLE) && has(TYPE::NS) && !has(TYPE::SOA)
}

fn is_same(asked: &simple_dns::Question<'_>, question: &Question) -> bool {
    let is_class = matches!(asked.qclass, QCLASS::CLASS(CLASS::IN));
    is_class && asked.qtype == code(question.kind()) && is_name(&asked.qname, question.name())
}

fn is_name(name: &Name<'_>, text: &str) -> bool {
    let labels = name.get_labels();
    let same =
        labels.iter().zip(text.split('.')).all(|(label, text)| label.as_ref().eq_ignore_ascii_case(text.as_bytes()));
    same && labels.len() == text.split('.').count()
}

/// The name as the rest of the program has it.
fn text(name: &Name<'_>) -> String {
    name.to_string().to_ascii_lowercase()
}

/// Follows the names that stand for the one that was asked for, then takes its records.
fn answer(records: &[ResourceRecord<'_>], question: &Question, is_absent: bool) -> Reading {
    let mut aliases: Vec<String> = Vec::new();
    loop {
        let name = aliases.last().map_or(question.name(), String::as_str);
        let of_it = || records.iter().filter(|record| record.class == CLASS::IN && is_name(&record.name, name));
        let found: Vec<_> = of_it().filter_map(|record| taken(&record.rdata, question.kind())).collect();
        if !found.is_empty() {
            return Reading::Answer(Resolved { aliases, said: Said::Records(found) });
        }
        let next = of_it().find_map(|record| match &record.rdata {
            RData::CNAME(target) => Some(text(&target.0)),
            _ => None,
        });
        match next {
            Some(next) if next == question.name() || aliases.contains(&next) || aliases.len() == CHAIN => {
                return Reading::Answer(Resolved::unasked("names that stand for one another lead nowhere (CNAME)"));
            }
            Some(next) => aliases.push(next),
            None if is_absent => return Reading::Answer(Resolved { aliases, said: Said::NoName }),
            None if aliases.is_empty() => return Reading::Answer(Resolved { aliases, said: Said::NoRecord }),
            None => return Reading::Further(aliases),
        }
    }
}

/// The record, if it is of this kind.
fn taken(data: &RData<'_>, kind: Qtype) -> Option<Rdata> {
    Some(match (data, kind) {
        (RData::A(a), Qtype::A) => Rdata::Address(IpAddr::V4(Ipv4Addr::from(a.address))),
        (RData::AAAA(a), Qtype::Aaaa) => Rdata::Address(IpAddr::V6(Ipv6Addr::from(a.address))),
        (RData::CNAME(name), Qtype::Cname) => Rdata::Alias(text(&name.0)),
        (RData::MX(mx), Qtype::Mx) => Rdata::Exchange { preference: mx.preference, host: text(&mx.exchange) },
        (RData::PTR(name), Qtype::Ptr) => Rdata::Pointer(text(&name.0)),
        (RData::SRV(srv), Qtype::Srv) => {
            Rdata::Service { priority: srv.priority, weight: srv.weight, port: srv.port, host: text(&srv.target) }
        }
        // The strings are private to the package; what is no UTF-8 comes back with the error.
        (RData::TXT(strings), Qtype::Txt) => Rdata::Text(match String::try_from(strings.clone()) {
            Ok(text) => text.into_bytes(),
            Err(error) => error.into_bytes(),
        }),
        _ => return None,
    })
}
