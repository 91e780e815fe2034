//! The record as terms (RFC 7208 4.6, 5, 6, 12).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::expand::Template;

/// A record that was read. What is wrong anywhere in it makes all of it void, so nothing is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The directives in order.
    pub directives: Vec<Directive>,
    /// Where to go on if none matches.
    pub redirect: Option<Template>,
    /// Where the explanation of a failure is.
    pub explanation: Option<Template>,
}

/// What a match means, and what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// What a match means.
    pub qualifier: Qualifier,
    /// What matches.
    pub mechanism: Mechanism,
    /// As it is written.
    pub text: String,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    /// `+` or nothing.
    Pass,
    /// `-`.
    Fail,
    /// `~`.
    SoftFail,
    /// `?`.
    Neutral,
}

/// What matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Everybody.
    All,
    /// Whoever passes there.
    Include(Template),
    /// The addresses of a name; of the domain itself where none is given.
    A(Option<Template>, Lengths),
    /// The addresses of its mail exchanges.
    Mx(Option<Template>, Lengths),
    /// Whoever has a name below it.
    Ptr(Option<Template>),
    /// Addresses.
    Ip(Network),
    /// Everybody, if the name has an address.
    Exists(Template),
}

impl Mechanism {
    /// Whether it counts against the limit on look-ups.
    pub fn asks(&self) -> bool {
        !matches!(self, Self::All | Self::Ip(_))
    }
}

/// How many leading bits count, of IPv4 and IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Of IPv4, 0 to 32.
    pub v4: u8,
    /// Of IPv6, 0 to 128.
    pub v6: u8,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// One of them.
    pub address: IpAddr,
    /// How many leading bits they share.
    pub length: u8,
}

impl Network {
    /// Whether `address` is one of them.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                let differing = one.to_bits() ^ other.to_bits();
                self.length == 0 || differing >> (32 - u32::from(self.length.min(32))) == 0
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let differing = one.to_bits() ^ other.to_bits();
                self.length == 0 || differing >> (128 - u32::from(self.length.min(128))) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Reads a record.
///
/// # Errors
/// What is wrong, beginning with the term that is; receivers then end with a permanent error.
pub fn parse(record: &[u8]) -> Result<Policy, String> {
    let text = std::str::from_utf8(record).ok().filter(|text| text.is_ascii());
    let text = text.ok_or("it holds characters outside ASCII")?;
    if text.bytes().any(|octet| octet.is_ascii_control()) {
        return Err("it holds control characters".to_owned());
    }
    let mut policy = Policy { directives: Vec::new(), redirect: None, explanation: None };
    for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
        take(&mut policy, term).map_err(|why| format!("`{term}` {why}"))?;
    }
    Ok(policy)
}

fn take(policy: &mut Policy, term: &str) -> Result<(), String> {
    if let Some((name, value)) = modifier(term) {
        let place = match name.to_ascii_lowercase().as_str() {
            "redirect" => &mut policy.redirect,
            "exp" => &mut policy.explanation,
            // What nobody knows is passed over, if it is written well (RFC 7208 6).
            _ => return Template::text(value, false).map(drop),
        };
        if place.is_some() {
            return Err("is there twice".to_owned());
        }
        *place = Some(Template::domain(value)?);
        return Ok(());
    }
    let (qualifier, rest) = match term.as_bytes()[0] {
        b'+' => (Qualifier::Pass, &term[1..]),
        b'-' => (Qualifier::Fail, &term[1..]),
        b'~' => (Qualifier::SoftFail, &term[1..]),
        b'?' => (Qualifier::Neutral, &term[1..]),
        _ => (Qualifier::Pass, term),
    };
    let mechanism = mechanism(rest)?;
    policy.directives.push(Directive { qualifier, mechanism, text: term.to_owned() });
    Ok(())
}

/// `name=value`; a mechanism has no `=` before its first `:` or `/`.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut letters = name.bytes();
    let is_name = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet));
    is_name.then_some((name, value))
}

fn mechanism(text: &str) -> Result<Mechanism, String> {
    let end = text.find([':', '/']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    // `a:` has an argument that is empty, which no domain is.
    let argument = rest.strip_prefix(':');
    let needed = || argument.ok_or_else(|| "needs a value after a colon".to_owned());
    match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Ok(Mechanism::All),
        "all" => Err("takes no value".to_owned()),
        "include" => Ok(Mechanism::Include(Template::domain(needed()?)?)),
        "exists" => Ok(Mechanism::Exists(Template::domain(needed()?)?)),
        "a" => domain_and_lengths(rest).map(|(domain, lengths)| Mechanism::A(domain, lengths)),
        "mx" => domain_and_lengths(rest).map(|(domain, lengths)| Mechanism::Mx(domain, lengths)),
        "ptr" if rest.is_empty() => Ok(Mechanism::Ptr(None)),
        "ptr" => Ok(Mechanism::Ptr(Some(Template::domain(needed()?)?))),
        "ip4" => {
            let (address, length) = needed()?.split_once('/').map_or((needed()?, None), |(a, l)| (a, Some(l)));
            let address: Ipv4Addr = address.parse().map_err(|_| "has no IPv4 address".to_owned())?;
            Ok(Mechanism::Ip(Network { address: address.into(), length: length_of(length, 32)? }))
        }
        "ip6" => {
            let (address, length) = needed()?.split_once('/').map_or((needed()?, None), |(a, l)| (a, Some(l)));
            let address: Ipv6Addr = address.parse().map_err(|_| "has no IPv6 address".to_owned())?;
            Ok(Mechanism::Ip(Network { address: address.into(), length: length_of(length, 128)? }))
        }
        _ => Err("is no mechanism".to_owned()),
    }
}

/// `[:domain][/length][//length]`.
fn domain_and_lengths(rest: &str) -> Result<(Option<Template>, Lengths), String> {
    // A slash may stand in a macro, so the lengths are read from the end.
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let (rest, v6) = match rest.rsplit_once("//") {
        Some((before, after)) if digits(after) => (before, Some(after)),
        _ => (rest, None),
    };
    let (rest, v4) = match rest.rsplit_once('/') {
        Some((before, after)) if digits(after) => (before, Some(after)),
        _ => (rest, None),
    };
    let lengths = Lengths { v4: length_of(v4, 32)?, v6: length_of(v6, 128)? };
    let domain = match rest.strip_prefix(':') {
        Some(domain) => Some(Template::domain(domain)?),
        None if rest.is_empty() => None,
        None => return Err("has no prefix length after the slash".to_owned()),
    };
    Ok((domain, lengths))
}

fn length_of(text: Option<&str>, most: u8) -> Result<u8, String> {
    let Some(text) = text else { return Ok(most) };
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let length = text.parse().ok().filter(|length| is_number && *length <= most);
    length.ok_or_else(|| format!("has a prefix length that is none of 0 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_term() {
        for (record, why) in [
            ("v=spf1 include", "`include` needs a value after a colon"),
            ("v=spf1 a: -all", "`a:` is no domain"),
            ("v=spf1 ip4:192.0.2.1/33", "`ip4:192.0.2.1/33` has a prefix length that is none of 0 to 32"),
            ("v=spf1 ip4:192.0.2.1/08", "`ip4:192.0.2.1/08` has a prefix length that is none of 0 to 32"),
            ("v=spf1 ip6:192.0.2.1", "`ip6:192.0.2.1` has no IPv6 address"),
            ("v=spf1 all:x.example", "`all:x.example` takes no value"),
            ("v=spf1 inculde:x.example", "`inculde:x.example` is no mechanism"),
            ("v=spf1 redirect=a.example redirect=b.example", "`redirect=b.example` is there twice"),
            ("v=spf1 exists:%{x}.example", "`exists:%{x}.example` has a macro that is none: %{x}"),
            ("v=spf1 \"include:x.example\"", "`\"include:x.example\"` is no mechanism"),
            ("v=spf1 \u{e4}", "it holds characters outside ASCII"),
            ("v=spf1\tall", "it holds control characters"),
        ] {
            assert_eq!(parse(record.as_bytes()).unwrap_err(), why, "{record}");
        }
    }

    #[test]
    fn networks_hold_what_begins_alike() {
        let network = |address: &str, length| Network { address: address.parse().unwrap(), length };
        for (network, address, holds) in [
            (network("192.0.2.0", 24), "192.0.2.255", true),
            (network("192.0.2.0", 24), "192.0.3.0", false),
            (network("192.0.2.1", 32), "192.0.2.1", true),
            (network("192.0.2.1", 0), "203.0.113.1", true),
            (network("192.0.2.1", 0), "2001:db8::1", false),
            (network("2001:db8::", 32), "2001:db8:ffff::1", true),
            (network("2001:db8::1", 128), "2001:db8::2", false),
            (network("::", 0), "2001:db8::2", true),
        ] {
            assert_eq!(network.holds(address.parse().unwrap()), holds, "{network} {address}");
        }
    }
}
