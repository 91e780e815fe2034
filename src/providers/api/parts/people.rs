//! Mailboxes and decoded text of header fields.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::address::{self, Address, with_ascii_domain};
use crate::message::Header;

/// A display name, decoded, and an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The display name, where there is one.
    pub name: Option<String>,
    /// `local@domain`, the domain in A-labels.
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

impl Person {
    /// Somebody who has no name here.
    pub(super) fn of(address: &Address) -> Self {
        let address = with_ascii_domain(address).unwrap_or_else(|_| address.clone());
        Self { name: None, address: address.to_string() }
    }

    fn read(mailbox: &address::Mailbox) -> Option<Self> {
        let address = mailbox.spec.address().ok()?;
        Some(Self { name: mailbox.decoded_name(), ..Self::of(&address) })
    }

    /// As [`identity`].
    pub(super) fn identity(&self) -> String {
        self.address.to_lowercase()
    }
}

/// What makes two addresses one mailbox to a provider: the domain as A-labels, and all of it in any case.
pub fn identity(address: &Address) -> String {
    Person::of(address).identity()
}

/// The people of every field called `name`, those of groups included, each address once; and what there is beside
/// them that is no address with a domain.
pub(super) fn people(header: &Header, name: &str) -> (Vec<Person>, Vec<String>) {
    let mut people: Vec<Person> = Vec::new();
    let mut others = Vec::new();
    let mut known = HashSet::new();
    for list in header.all(name).map(|field| field.people()) {
        others.extend(list.errors().map(|error| error.bad.text.clone()));
        for listed in list.mailboxes() {
            match Person::read(&listed.mailbox) {
                Some(person) if known.insert(person.identity()) => people.push(person),
                Some(_) => {}
                None => others.push(listed.mailbox.spec.shown()),
            }
        }
    }
    (people, others)
}
