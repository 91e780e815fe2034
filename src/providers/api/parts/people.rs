//! Mailboxes and decoded text of header fields.

use std::collections::HashSet;
use std::fmt;

use mail_parser::{Address, HeaderValue};
use serde::Serialize;

/// A display name, decoded, and an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The display name, where there is one.
    pub name: Option<String>,
    /// `local@domain`.
    pub address: String,
}

/// A [`Person`] as most APIs write one: `{"email": ..., "name": ...}`, without a name where there is none.
#[derive(Serialize)]
pub struct Mailbox<'a> {
    email: &'a str,
    name: Option<&'a str>,
}

impl<'a> From<&'a Person> for Mailbox<'a> {
    fn from(person: &'a Person) -> Self {
        Self { email: &person.address, name: person.name.as_deref() }
    }
}

impl fmt::Display for Person {
    /// `Name <address>`, the name quoted where it has to be (RFC 5322 3.2.4), not encoded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = &self.name else { return f.write_str(&self.address) };
        let plain = |c: char| c.is_alphanumeric() || !c.is_ascii() || " !#$%&'*+-/=?^_`{|}~".contains(c);
        if name.chars().all(plain) {
            write!(f, "{name} <{}>", self.address)
        } else {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "\"{quoted}\" <{}>", self.address)
        }
    }
}

/// A list of them, apart by comma and space.
pub fn joined(people: &[Person]) -> String {
    people.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The mailboxes of address fields, those of groups included, each address once.
pub(super) fn mailboxes<'a>(fields: impl Iterator<Item = &'a HeaderValue<'a>>) -> Vec<Person> {
    let mut people: Vec<Person> = Vec::new();
    let mut known = HashSet::new();
    for field in fields {
        let Some(address) = field.as_address() else { continue };
        let listed: Vec<_> = match address {
            Address::List(list) => list.iter().collect(),
            Address::Group(groups) => groups.iter().flat_map(|group| &group.addresses).collect(),
        };
        for mailbox in listed {
            let Some(address) = mailbox.address.as_deref().filter(|address| !address.is_empty()) else { continue };
            let name = mailbox.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
            if known.insert(address.to_ascii_lowercase()) {
                people.push(Person { name: name.map(one_line), address: address.to_owned() });
            }
        }
    }
    people
}

/// No decoded character can begin another line.
pub(super) fn one_line(text: &str) -> String {
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if ends_line(c) { ' ' } else { c }).collect()
}
