//! Questions to the domain name system, for `check` and `init`; no message on its way asks any here.
//!
//! Whoever judges records is a pure function over what is [`Known`]: it answers, or says that something is still to be
//! asked ([`Unresolved`]). [`Client::settle`] asks all of that at once and has it judge again, so that a whole set-up takes
//! as many waits as its longest chain of questions, without a thread. Messages are read and written by `simple-dns`; what is believed of
//! them is decided here.

mod client;
mod flight;
mod known;
mod message;
mod servers;

use std::fmt;
use std::net::IpAddr;

pub use client::Client;
pub use known::{Known, Unresolved, settle};
pub use message::{Reading, read};
pub use servers::{Servers, server};

use crate::reply::printable;

/// The longest name that can be asked for, in octets without a final dot (RFC 1035 2.3.4).
const NAME_LIMIT: usize = 253;
/// The longest label of a name, in octets (RFC 1035 2.3.4).
const LABEL_LIMIT: usize = 63;
/// How much of a foreign text is shown, in octets.
const SHOWN: usize = 300;

/// What kind of record is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Qtype {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses (RFC 3596).
    Aaaa,
    /// Another name that stands for this one.
    Cname,
    /// Mail exchanges.
    Mx,
    /// The name of an address.
    Ptr,
    /// Where a service is (RFC 2782).
    Srv,
    /// Text.
    Txt,
}

impl fmt::Display for Qtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        })
    }
}

/// A name and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    name: String,
    kind: Qtype,
}

impl Question {
    /// Asks for the `kind` of `name`; `None`: no name can be written like this (RFC 1035 2.3.4).
    pub fn new(name: &str, kind: Qtype) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_name = name.len() <= NAME_LIMIT && name.split('.').all(|label| matches!(label.len(), 1..=LABEL_LIMIT));
        is_name.then_some(Self { name, kind })
    }

    /// The name, in lower case and without a final dot.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is asked of it.
    pub fn kind(&self) -> Qtype {
        self.kind
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", printable(self.name.as_bytes(), SHOWN), self.kind)
    }
}

/// One record. Names are in lower case and without a final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rdata {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME.
    Alias(String),
    /// MX; an empty host says that no mail is taken (RFC 7505).
    Exchange {
        /// The lowest goes first.
        preference: u16,
        /// Its name.
        host: String,
    },
    /// PTR.
    Pointer(String),
    /// SRV; an empty host says that there is no such service.
    Service {
        /// The lowest goes first.
        priority: u16,
        /// The share among equals.
        weight: u16,
        /// Where it listens.
        port: u16,
        /// Its name.
        host: String,
    },
    /// TXT, its strings joined.
    Text(Vec<u8>),
}

impl fmt::Display for Rdata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: &str| if name.is_empty() { ".".to_owned() } else { printable(name.as_bytes(), SHOWN) };
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Alias(host) | Self::Pointer(host) => f.write_str(&name(host)),
            Self::Exchange { preference, host } => write!(f, "{preference} {}", name(host)),
            Self::Service { priority, weight, port, host } => write!(f, "{priority} {weight} {port} {}", name(host)),
            Self::Text(text) => write!(f, "\"{}\"", printable(text, SHOWN)),
        }
    }
}

/// What was said to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The names that stand for the one that was asked for, in order (CNAME); empty: there are none.
    pub aliases: Vec<String>,
    /// What is said of the last of them.
    pub said: Said,
}

/// What is said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// These are its records; never empty.
    Records(Vec<Rdata>),
    /// There is no such name.
    NoName,
    /// The name is there, and has no such record.
    NoRecord,
    /// Nobody could be asked, with the reason. It says nothing about the name.
    Unasked(String),
}

impl Resolved {
    /// These records, of the name itself.
    pub fn records(records: Vec<Rdata>) -> Self {
        Self { aliases: Vec::new(), said: if records.is_empty() { Said::NoRecord } else { Said::Records(records) } }
    }

    /// That there is no such name.
    pub fn no_name() -> Self {
        Self { aliases: Vec::new(), said: Said::NoName }
    }

    /// That nobody could be asked, because of `why`.
    pub fn unasked(why: impl Into<String>) -> Self {
        Self { aliases: Vec::new(), said: Said::Unasked(why.into()) }
    }

    /// What was found; empty for everything else.
    pub fn found(&self) -> &[Rdata] {
        if let Said::Records(records) = &self.said { records } else { &[] }
    }

    /// The texts that were found, as text; octets that are none are replaced.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.found().iter().filter_map(|record| match record {
            Rdata::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
    }

    /// The addresses that were found.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.found().iter().filter_map(|record| match record {
            Rdata::Address(address) => Some(*address),
            _ => None,
        })
    }

    /// The reason, where nobody could be asked.
    pub fn why_unasked(&self) -> Option<&str> {
        if let Said::Unasked(why) = &self.said { Some(why) } else { None }
    }

    /// Whether it is known that there is nothing: no such name, or no such record.
    pub fn is_void(&self) -> bool {
        matches!(self.said, Said::NoName | Said::NoRecord)
    }
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for alias in &self.aliases {
            write!(f, "-> {} ", printable(alias.as_bytes(), SHOWN))?;
        }
        match &self.said {
            Said::Records(records) => {
                let records: Vec<_> = records.iter().map(ToString::to_string).collect();
                f.write_str(&records.join(", "))
            }
            Said::NoName => f.write_str("no such name"),
            Said::NoRecord => f.write_str("no such record"),
            Said::Unasked(why) => write!(f, "could not be asked: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_a_name_that_can_be_written() {
        let name = |text: &str| Question::new(text, Qtype::A).map(|question| question.name);
        assert_eq!(name("Shop.Example.").as_deref(), Some("shop.example"));
        assert_eq!(name(&format!("{}.example", "a".repeat(63))).map(|name| name.len()), Some(71));
        for text in ["", ".", "a..b", ".a", "a.b..", &format!("{}.b", "a".repeat(64)), &"a.".repeat(128)] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn foreign_text_is_shown_on_one_line() {
        let answer = Resolved {
            aliases: vec!["b\n.example".into()],
            said: Said::Records(vec![Rdata::Text(b"v=spf1\r\n\x1b[31m".to_vec()), Rdata::Alias(String::new())]),
        };
        assert!(!answer.to_string().chars().any(char::is_control), "{answer}");
    }
}
