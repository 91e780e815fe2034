//! SPF (RFC 7208): who may send with a domain in the reverse-path.
//!
//! [`evaluate()`] is the whole of `check_host()` for one client, as a receiver does it. [`survey()`] walks the tree that every
//! message makes a receiver walk, for nobody's address in particular: what is named there, what it costs, what is wrong.

mod evaluate;
mod expand;
mod parse;
mod survey;

pub use evaluate::{Evaluation, Peer, Verdict, evaluate};
pub use parse::{Directive, Mechanism, Network, Policy, Qualifier, parse};
pub use survey::{Cost, Fault, Survey, survey};

use crate::dns::{Rdata, Resolved};

/// How many terms of one evaluation may ask (RFC 7208 4.6.4).
pub const LOOKUPS: usize = 10;
/// How many of their questions may find nothing.
pub const VOIDS: usize = 2;
/// How many mail exchanges of one `mx`, and names of one `ptr`, may be looked at.
const NAMES: usize = 10;

/// The texts of `answer` that are SPF records (RFC 7208 4.5): a receiver wants exactly one.
pub fn records(answer: &Resolved) -> Vec<&[u8]> {
    let texts = answer.found().iter().filter_map(|record| match record {
        Rdata::Text(text) => Some(text.as_slice()),
        _ => None,
    });
    texts.filter(|text| is_record(text)).collect()
}

/// Whether `text` begins as a record does; `v=spf10` does not.
fn is_record(text: &[u8]) -> bool {
    let version = text.split(|octet| *octet == b' ').next().unwrap_or_default();
    version.eq_ignore_ascii_case(b"v=spf1")
}

/// Whether `name` is one that policies are looked up at: of two labels or more, none of them empty or too long.
fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.contains('.') && !name.starts_with('[') && crate::dns::Question::new(name, crate::dns::Qtype::Txt).is_some()
}
