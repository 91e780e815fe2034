//! What an alert is about: the facts, as they are kept and as a program is told them.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::config::alert::{Occasion, Occasions};
use crate::hex;
use crate::reply::printable;

/// The version of the facts' form.
const VERSION: u8 = 1;
/// The most that is kept of a reason, in bytes.
const REASON: usize = 400;
/// The most that is kept of a name, in bytes.
const NAME: usize = 120;
/// The most that a name takes in a file's name, in bytes.
const PART: usize = 80;

/// What happened, at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    v: u8,
    /// What.
    pub event: Occasion,
    /// What else it is: a refused login is a message that was not sent, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Occasion>,
    /// The site that it happened to; empty: to none.
    pub site: String,
    /// The relay that is in trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// The provider behind it, by the name people know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The relay that took the message instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// When, in seconds since 1970.
    pub time: i64,
    /// Why, in the words of whoever said so; one printable line.
    pub reason: String,
    /// The record that tells the rest.
    pub id: String,
}

impl Notice {
    /// `event` of `site` at `time`, in seconds since 1970, because of `reason`; the record is `id`.
    pub fn new(event: Occasion, site: &str, time: i64, reason: &str, id: &str) -> Self {
        Self {
            v: VERSION,
            event,
            also: Vec::new(),
            site: printable(site.as_bytes(), NAME),
            relay: None,
            provider: None,
            instead: None,
            time,
            reason: printable(reason.as_bytes(), REASON),
            id: printable(id.as_bytes(), NAME),
        }
    }

    /// The same about the relay of this name.
    pub fn of_relay(mut self, name: &str, provider: Option<&str>) -> Self {
        self.relay = Some(printable(name.as_bytes(), NAME));
        self.provider = provider.map(str::to_owned);
        self
    }

    /// Whether any of it is among `on`.
    pub fn is_in(&self, on: Occasions) -> bool {
        on.has(self.event) || self.also.iter().any(|occasion| on.has(*occasion))
    }

    /// The name of the file that all of the same kind, site and relay share: `login.shop.main`.
    pub(super) fn file_name(&self) -> String {
        let relay = self.relay.as_deref().unwrap_or_default();
        format!("{}.{}.{}", self.event.word(), part(&self.site), part(relay))
    }

    /// What is known of a file that holds no facts: its name says what is the matter.
    pub(super) fn of_file_name(name: &str, time: i64) -> Option<Self> {
        let [word, site, relay] = name.split('.').collect::<Vec<_>>()[..] else { return None };
        let (_, event) = Occasion::ALL.into_iter().find(|(known, _)| *known == word)?;
        let notice = Self::new(event, &whole(site), time, "", "");
        Some(if relay.is_empty() { notice } else { notice.of_relay(&whole(relay), None) })
    }

    /// One that was read again is as bounded and printable as one that was made.
    pub(super) fn checked(self) -> Self {
        let name = |text: String| printable(text.as_bytes(), NAME);
        Self {
            site: name(self.site),
            relay: self.relay.map(name),
            provider: self.provider.map(name),
            instead: self.instead.map(name),
            reason: printable(self.reason.as_bytes(), REASON),
            id: name(self.id),
            ..self
        }
    }
}

/// `text` as a part of a file's name: letters, digits, hyphens and underscores as they are. What is long keeps its
/// beginning, and a digest of the rest.
fn part(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match plain(octet) {
            true => out.push(char::from(octet)),
            false => out.push_str(&format!("%{octet:02X}")),
        }
    }
    if out.len() > PART {
        let rest = hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8]);
        out.truncate(PART - rest.len() - 1);
        out = format!("{out}~{rest}");
    }
    out
}

/// What [`part`] was made of, as far as that can be told.
fn whole(part: &str) -> String {
    let mut octets = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| part_of_escape(tail)).flatten();
        octets.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    printable(&octets, NAME)
}

fn part_of_escape(tail: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_event_site_and_relay() {
        let notice = |site: &str, relay: &str| Notice::new(Occasion::InDoubt, site, 1, "x", "y").of_relay(relay, None);
        for (site, relay, name) in [
            ("shop", "main", "in_doubt.shop.main"),
            ("shop.example", "../a", "in_doubt.shop%2Eexample.%2E%2E%2Fa"),
            ("b\u{fc}cher", "", "in_doubt.b%C3%BCcher."),
        ] {
            let made = notice(site, relay);
            assert_eq!(made.file_name(), name);
            let read = Notice::of_file_name(name, 7).unwrap();
            assert_eq!((read.site.as_str(), read.relay.as_deref().unwrap_or_default(), read.time), (site, relay, 7));
        }
        let (one, other) = (notice(&"%".repeat(90), "m").file_name(), notice(&"%".repeat(91), "m").file_name());
        assert!(one != other && one.len() < 200, "{one} {other}");
        for name in ["", "failed", "failed.a", "failed.a.b.c", "other.a.b", ".lock"] {
            assert_eq!(Notice::of_file_name(name, 0), None, "{name}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_printable() {
        let notice = Notice::new(Occasion::Failed, "a\nb", 1, &format!("x\u{202e}\r\n{}", "y".repeat(5000)), "i");
        assert_eq!((notice.site.as_str(), notice.reason.len()), ("a?b", REASON));
        let text = serde_json::to_string(&Notice { reason: "a\nb".to_owned(), ..notice }).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap().checked().reason, "a?b");
    }
}
