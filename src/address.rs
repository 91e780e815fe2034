//! Mail addresses: lettre's `Address` for what goes on the wire, and the one reader of address lists in
//! header fields (RFC 5322 3.4). Whatever is judged, rewritten, put into an envelope or into an API's fields
//! was read here.

use std::borrow::Cow;
use std::fmt;

pub use lettre::Address;

use crate::encoded_word;
use crate::reply::printable;

mod domain;
mod encoded;
pub mod lexer;
mod list;
mod reader;

pub use domain::{ascii_domain, compared_domain, compared_name, with_ascii_domain};
pub use list::{List, Listed, Piece, Unreadable};
pub use reader::{read_authors, read_list};

/// The longest address that is taken, in octets; twice what RFC 5321 4.5.3.1.3 asks servers to bear.
pub const ADDRESS_LIMIT: usize = 512;

/// How much of an unreadable text an error repeats, in bytes.
const SHOWN: usize = 120;

/// An addr-spec whose domain may be missing: what header fields and command lines hold before names
/// are aliased or qualified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrSpec {
    /// Local part as it goes on the wire, quoted where it has to be.
    pub local: String,
    /// Domain, where one is written.
    pub domain: Option<String>,
}

/// An address with an optional display name (RFC 5322 3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Display name without quotes, its encoded words (RFC 2047) as they are written.
    pub name: Option<String>,
    /// The address.
    pub spec: AddrSpec,
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAddress {
    /// The text: printable, one line, cut where it is long.
    pub text: String,
    /// What is wrong with it: lower-case start, no full stop.
    pub why: &'static str,
}

impl BadAddress {
    fn new(text: &str, why: &'static str) -> Self {
        Self { text: printable(text.trim().as_bytes(), SHOWN), why }
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.why)
    }
}

impl std::error::Error for BadAddress {}

/// Reads the one mailbox that `text` holds: `Shop <orders@shop.example>`, `orders@shop.example`, or a
/// bare name.
///
/// # Errors
/// The text holds none, more than one, or something that is no address.
pub fn parse_mailbox(text: &str) -> Result<Mailbox, BadAddress> {
    let list = read_list(text);
    if let Some(error) = list.errors().next() {
        return Err(error.bad.clone());
    }
    let mut mailboxes = list.into_mailboxes();
    match (mailboxes.next(), mailboxes.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(BadAddress::new(text, "no address")),
        (Some(_), Some(_)) => Err(BadAddress::new(text, "more than one address")),
    }
}

/// Reads one address of a command line or configuration; a display name is dropped.
///
/// # Errors
/// As [`parse_mailbox`].
pub fn parse_address(text: &str) -> Result<AddrSpec, BadAddress> {
    parse_mailbox(text).map(|mailbox| mailbox.spec)
}

/// What makes two addresses the same recipient: the domain as it is compared, the local part as it is.
pub fn same_mailbox(address: &Address) -> String {
    format!("{}@{}", address.user(), compared_domain(address.domain()))
}

impl Mailbox {
    /// The display name as people read it: encoded words decoded, in one line.
    pub fn decoded_name(&self) -> Option<String> {
        let name = one_line(&encoded_word::decode(self.name.as_deref()?));
        let name = name.trim();
        (!name.is_empty()).then(|| name.to_owned())
    }
}

/// `text` in one line, whatever it was decoded from.
pub fn one_line(text: &str) -> String {
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if ends_line(c) { ' ' } else { c }).collect()
}

impl AddrSpec {
    /// The name of somebody on this host, whatever it is made of: `www-data`, `CORP\jane`, `jane doe`.
    pub fn bare(name: &str) -> Self {
        let is_dot_atom = name.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
        Self { local: if is_dot_atom { name.to_owned() } else { quoted(name) }, domain: None }
    }

    /// The local part as it is meant, without the quotes it may need on the wire.
    pub fn name(&self) -> Cow<'_, str> {
        match self.local.starts_with('"') {
            true => Cow::Owned(lexer::unquoted(&self.local)),
            false => Cow::Borrowed(&self.local),
        }
    }

    /// The address for the wire. The domain stays as it is written, UTF-8 labels included.
    ///
    /// Only what could break the envelope's syntax is refused; whether the address exists is the
    /// relay's to say, so `a..b@example.jp`, which real mail systems gave out, goes through.
    ///
    /// # Errors
    /// No domain, an empty part, white space, control or invisible characters, or more than
    /// [`ADDRESS_LIMIT`] octets.
    pub fn address(&self) -> Result<Address, BadAddress> {
        let bad = |why| Err(BadAddress { text: self.shown(), why });
        let Some(domain) = &self.domain else { return bad("has no domain") };
        if self.local.len() + domain.len() >= ADDRESS_LIMIT {
            return bad("longer than any address");
        }
        let is_visible = |text: &str| printable(text.as_bytes(), ADDRESS_LIMIT) == text;
        if !is_visible(&self.local) || !is_visible(domain) {
            return bad("characters that cannot be seen");
        }
        if !is_local(&self.local) {
            return bad("the local part is not valid");
        }
        if !is_domain(domain) {
            return bad("the domain is not valid");
        }
        // Checked above, less strictly than lettre would: it refuses local parts over 64 octets and
        // stray dots, which are the relay's to judge.
        Ok(Address::new_dangerous(&self.local, domain))
    }

    /// For messages to people: printable, one line, cut where it is long.
    pub fn shown(&self) -> String {
        printable(self.to_string().as_bytes(), SHOWN)
    }
}

impl fmt::Display for AddrSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local)?;
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

impl From<&Address> for AddrSpec {
    fn from(address: &Address) -> Self {
        Self { local: address.user().to_owned(), domain: Some(address.domain().to_owned()) }
    }
}

/// As a header field holds it: the name quoted where RFC 5322 asks for it, in encoded words where it is
/// not ASCII. Encoded words that are there stay, unless somebody could take what they hold for syntax.
impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_deref().map(phrase) {
            Some(name) if !name.is_empty() => write!(f, "{name} <{}>", self.spec),
            _ => write!(f, "{}", self.spec),
        }
    }
}

/// A local part as it goes on the wire: a dot-string (stray dots allowed) or one quoted string.
fn is_local(local: &str) -> bool {
    match local.strip_prefix('"') {
        None => !local.is_empty() && local.chars().all(|c| c == '.' || is_atext(c)),
        Some(rest) => {
            let mut chars = rest.chars();
            loop {
                match chars.next() {
                    Some('"') => return chars.next().is_none(),
                    Some('\\') if chars.next().is_some_and(|c| !c.is_control()) => {}
                    Some(c) if c != '\\' && !c.is_control() => {}
                    _ => return false,
                }
            }
        }
    }
}

/// A domain name, UTF-8 labels and underscores included, or an address literal.
fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|inner| {
            !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b))
        });
    }
    let is_ldh = |c: char| c == '-' || c == '_' || c.is_alphanumeric() || (!c.is_ascii() && is_atext(c));
    domain.split('.').all(|label| !label.is_empty() && label.chars().all(is_ldh))
}

/// RFC 5322 3.2.3 with RFC 6532: any visible character that is not a special.
fn is_atext(c: char) -> bool {
    !c.is_control() && !c.is_whitespace() && !"()<>[]:;@\\,.\"".contains(c)
}

/// A phrase as it is written before `<` or the colon of a group.
fn phrase(text: &str) -> String {
    let text = one_line(text);
    let text = encoded::made_safe(text.trim());
    if !text.contains("=?") {
        return plain_phrase(&text);
    }
    let is_encoded = |word: &&str| encoded::length(word) == Some(word.len());
    let words: Vec<&str> = text.split(' ').collect();
    let mut out: Vec<String> = Vec::new();
    let mut behind_encoded = false;
    for run in words.chunk_by(|a, b| !is_encoded(a) && !is_encoded(b)) {
        let text = run.join(" ");
        if is_encoded(&run[0]) {
            behind_encoded = true;
            out.push(text);
            continue;
        }
        // White space between two encoded words is nothing, so it goes into this one.
        let is_last = out.len() + 1 == words.chunk_by(|a, b| !is_encoded(a) && !is_encoded(b)).count();
        out.push(match text.is_ascii() && !text.contains("=?") {
            true => plain_phrase(&text),
            false => {
                // What stands beside other letters is an encoded word to most readers all the same, and so is the blank
                // between it and the next.
                let has_before = encoded_word::decode(&format!("=?utf-8?Q?x?= {text}")).starts_with("x ");
                let has_behind = encoded_word::decode(&format!("{text} =?utf-8?Q?x?=")).ends_with(" x");
                let before = if behind_encoded && has_before { " " } else { "" };
                let behind = if is_last || !has_behind { "" } else { " " };
                encoded::encode(&format!("{before}{}{behind}", encoded_word::decode(&text)))
            }
        });
        behind_encoded = false;
    }
    out.join(" ")
}

/// A phrase without encoded words.
fn plain_phrase(text: &str) -> String {
    if !text.is_ascii() {
        return encoded::encode(text);
    }
    if text.split(' ').all(|word| !word.is_empty() && word.chars().all(is_atext)) || text.is_empty() {
        return text.to_owned();
    }
    quoted(text)
}

/// `text` as a quoted string (RFC 5322 3.2.4).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Result<String, BadAddress> {
        parse_address(text)?.address().map(|address| address.to_string())
    }

    #[test]
    fn a_name_written_anew_says_the_same_where_encoded_words_stand_beside_letters() {
        for text in [
            "\u{fffd}=?u?Q?xample.or\u{fffd}>zzzzzzzzxample.org>, uBl\u{fffd}er,_J.?= <j@x.org>",
            "\u{e9}=?utf-8?Q?a,?= =?utf-8?Q?b?= <j@x.org>",
            "=?utf-8?Q?a,?= =?utf-8?Q?b,?=\u{e9} =?utf-8?Q?c?= <j@x.org>",
            "=?utf-8?Q?a,?= \u{e9} =?utf-8?Q?c,?= <j@x.org>",
        ] {
            let name = |text: &str| read_list(text).into_mailboxes().next().and_then(|mailbox| mailbox.decoded_name());
            let written = read_list(text).written();
            assert_eq!(name(&written), name(text), "{written}");
            assert!(name(text).is_some(), "{text}");
        }
    }

    #[test]
    fn addresses_for_the_wire() {
        let long = format!("{}@example.org", "v".repeat(200));
        for (text, expected) in [
            ("bob@example.org", "bob@example.org"),
            ("Bob <bob@example.org>", "bob@example.org"),
            ("\"b o b\"@example.org", "\"b o b\"@example.org"),
            ("\"bob\"@example.org", "bob@example.org"),
            ("bob@[192.0.2.1]", "bob@[192.0.2.1]"),
            ("bob@[IPv6:2001:db8::1]", "bob@[IPv6:2001:db8::1]"),
            ("a..b.@docomo.example", "a..b.@docomo.example"),
            ("bob@bücher.example", "bob@bücher.example"),
            ("bob+tag=x/y@a_b.example", "bob+tag=x/y@a_b.example"),
            (&long, &long),
        ] {
            assert_eq!(wire(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "bob",
            "@example.org",
            "bob@",
            "bob@a..b",
            "bob@.example.org",
            "bob@exa mple.org",
            "bob@example.org\r\nRCPT TO:<eve@example.org>",
            "\"a\nb\"@example.org",
            "bob@example.org>",
            "bob@ex\u{1}.org",
            "b\u{a0}b@example.org",
            "a@b@example.org",
            "bob@gro.elpmaxe\u{202e}",
            "b\u{200b}ob@example.org",
            "a@x.org, b@x.org",
            &format!("{}@example.org", "v".repeat(ADDRESS_LIMIT)),
        ] {
            assert!(wire(text).is_err(), "{text:?} gave {:?}", wire(text));
        }
    }

    #[test]
    fn display_names_are_written_so_that_they_read_back() {
        let spec = AddrSpec { local: "a".into(), domain: Some("x.org".into()) };
        for (name, written) in [
            ("Cron Daemon", "Cron Daemon <a@x.org>"),
            ("John Q. Public", "\"John Q. Public\" <a@x.org>"),
            ("a \"b\" \\ c", "\"a \\\"b\\\" \\\\ c\" <a@x.org>"),
            ("=?utf-8?Q?J=C3=BCrgen?=", "=?utf-8?Q?J=C3=BCrgen?= <a@x.org>"),
            ("Jürgen", "=?utf-8?B?SsO8cmdlbg==?= <a@x.org>"),
            ("x\r\nBcc: eve@x.org", "\"x  Bcc: eve@x.org\" <a@x.org>"),
            ("", "a@x.org"),
        ] {
            let mailbox = Mailbox { name: Some(name.into()), spec: spec.clone() };
            assert_eq!(mailbox.to_string(), written);
        }
        let long = Mailbox { name: Some("ü".repeat(200)), spec };
        assert!(long.to_string().split(' ').all(|word| word.len() <= 75));
    }

    #[test]
    fn encoded_words_stay_encoded_words() {
        let spec = AddrSpec { local: "a".into(), domain: Some("x.org".into()) };
        for (name, written) in [
            ("=?UTF-8?Q?J._M=C3=BCller?=", "=?UTF-8?Q?J._M=C3=BCller?="),
            ("J. =?UTF-8?Q?M=C3=BCller?=", "\"J.\" =?UTF-8?Q?M=C3=BCller?="),
            ("=?utf-8?Q?M=C3=BC?= =?utf-8?Q?ller?= & Co.", "=?utf-8?Q?M=C3=BC?= =?utf-8?Q?ller?= \"& Co.\""),
            ("=?utf-8?Q?a?= ü =?utf-8?Q?b?=", "=?utf-8?Q?a?= =?utf-8?B?IMO8IA==?= =?utf-8?Q?b?="),
            ("=?utf-8?q?\"?=", "=?utf-8?B?Ig==?="),
            ("=?utf-8?Q?Shop, Inc?=", "=?utf-8?B?U2hvcCwgSW5j?="),
            ("what=?", "=?utf-8?B?d2hhdD0/?="),
            ("Q=?utf-8?Q?=C3=BC?=", "=?utf-8?B?UcO8?="),
        ] {
            let mailbox = Mailbox { name: Some(name.into()), spec: spec.clone() };
            assert_eq!(mailbox.to_string(), format!("{written} <a@x.org>"));
            let again = parse_mailbox(&mailbox.to_string()).unwrap();
            assert_eq!(again.decoded_name(), mailbox.decoded_name(), "{name}");
        }
    }

    #[test]
    fn the_domain_decides_in_any_form_the_local_part_as_it_is() {
        let key = |text: &str| same_mailbox(&parse_address(text).unwrap().address().unwrap());
        assert_eq!(key("Bob@bücher.example"), key("Bob@XN--bcher-kva.example"));
        assert_eq!(key("Bob@bu\u{308}cher.example."), key("Bob@bücher.example"));
        assert_eq!(key("Bob@EXAMPLE.org"), key("Bob@example.ORG"));
        assert_ne!(key("Bob@example.org"), key("bob@example.org"));
    }
}
