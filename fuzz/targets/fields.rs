//! Structured fields, folded and split: the first octet chooses a field, the rest is its value, repeated if the octet
//! says so. What comes out reads as what went in, and no line of it is too long.

use mailchute::address::read_list;
use mailchute::encoded_word::decode;
use mailchute::message::Message;
use mailchute::message::repair::{self, Needs};

use super::{Target, assert_printable};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "fields", seeds, words: WORDS, check };

const WORDS: &[&str] = &[
    "=?utf-8?Q?a?= ",
    "=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=",
    "=?iso-8859-1?B?/A==?=",
    "=?x?q?\u{fc}?=",
    "<a@x.example>,",
    "<a@x.example>",
    "\"a, b\" <a@x.example>, ",
    "(\u{fc} (a) \\))",
    "https://\u{fc}.example/\u{fc}?a=\u{fc}",
    "mailto:\u{fc}@\u{fc}.example",
    "; name=\"\u{fc}\"",
    "; filename*0*=utf-8''%C3; filename*1*=%BC",
    "{\"a\":[1,2],\"b,c\":\"d\"}",
    "\u{a0}",
    "\u{fc}",
    "\u{65e5}\u{672c}",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "        ",
];

const NAMES: [&str; 13] = [
    "Subject",
    "X-Any",
    "To",
    "References",
    "Message-ID",
    "List-Unsubscribe",
    "List-Id",
    "Content-Location",
    "Content-Type",
    "Content-Disposition",
    "Received",
    "MIME-Version",
    "Keywords",
];

/// How often the value of some inputs is written: past every limit on lines.
const TIMES: usize = 64;

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, text) in WORDS.iter().enumerate() {
        let choices = [number as u8 % NAMES.len() as u8, 0, 1, 2].map(|name| name | 16);
        seeds.extend(choices.map(|choice| [&[choice], text.as_bytes()].concat()));
    }
    seeds
}

/// What a value says when blanks and the marks of strings and comments are left aside.
fn said(value: &str) -> String {
    decode(value).chars().filter(|c| !c.is_whitespace() && !"\"\\()".contains(*c)).collect()
}

fn check(input: &[u8]) -> u64 {
    let [choice, value @ ..] = input else { return 0 };
    let name = NAMES[usize::from(choice & 15) % NAMES.len()];
    let value: Vec<u8> = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n' | 0)).collect();
    let times = if choice & 16 == 0 { 1 } else { TIMES.min(4096 / value.len().max(1)).max(1) };
    let value = value.repeat(times);
    let section = [name.as_bytes(), b": ", &value, b"\r\n\r\n"].concat();
    let Ok(message) = Message::read(&mut section.as_slice(), false) else { return 1 };
    let needs = Needs { eight_bit: true, utf8: choice & 32 != 0 };
    let adapted = match repair::adapt(&message, needs) {
        Ok(Some(adapted)) => adapted,
        Ok(None) => return 2,
        Err(failure) => {
            assert_printable(&failure.to_string(), 1024);
            return hash(failure.why.bytes().filter(u8::is_ascii_lowercase).collect::<Vec<_>>().as_slice());
        }
    };
    let header = adapted.header();
    assert_eq!(header.fields().count(), 1, "another field");
    for line in header.as_bytes().split(|&octet| octet == b'\n') {
        assert!(line.len() <= 999, "a line of {} octets", line.len());
    }
    assert!(matches!(repair::adapt(&adapted, needs), Ok(None)), "not fit after all");
    let (before, after) = match (message.header().first(name), header.first(name)) {
        (Some(before), Some(after)) => (before.text().into_owned(), after.text().into_owned()),
        _ => panic!("the field is gone"),
    };
    // Octets in another charset than UTF-8 are read by rules that the repair tells.
    // Nor is a raw octet inside of an encoded word everybody's.
    if std::str::from_utf8(&value).is_ok() && (before.is_ascii() || !before.contains("=?")) {
        match name {
            "Subject" | "X-Any" | "Keywords" if !before.starts_with(['{', '[']) => {
                let said = |value: &str| decode(value).trim().replace('\t', " ");
                assert_eq!(said(&before), said(&after));
            }
            "To" => assert_people(&before, &after),
            "Subject" | "X-Any" | "Keywords" => assert_eq!(said(&before), said(&after)),
            // White space counts for nothing, wherever it stands.
            "List-Unsubscribe" if before.is_ascii() => {
                let solid = |value: &str| value.split([' ', '\t']).collect::<String>();
                assert_eq!(solid(&before), solid(&after));
            }
            _ if before.is_ascii() && !name.starts_with("Content-") => assert_eq!(said(&before), said(&after)),
            _ => {}
        }
    }
    let repairs = adapted.repairs()[message.repairs().len()..].concat();
    hash(repairs.split(|c: char| c.is_ascii_digit()).collect::<String>().as_bytes())
}

/// The same addresses in the same order.
fn assert_people(before: &str, after: &str) {
    let addresses = |value: &str| {
        let list = read_list(value);
        let specs = list.mailboxes().map(|listed| listed.mailbox.spec.clone());
        (
            list.errors().next().is_none(),
            specs.map(|spec| spec.address().map(|address| address.to_string()).ok()).collect::<Vec<_>>(),
        )
    };
    let (is_sound, was) = addresses(before);
    if is_sound && before.is_ascii() && !was.is_empty() && was.iter().all(Option::is_some) {
        assert_eq!(addresses(after).1, was);
    }
}
