//! Structured fields, folded and split: the first octet chooses a field, the rest is its value, repeated if the octet
//! says so. What comes out reads as what went in, and no line of it is too long.
//!
//! It is read by the program, by the letter of the RFCs and by mail-parser: what those agree on before, they agree on
//! afterwards.

use mailchute::address::{AddrSpec, compared_domain, read_list};
use mailchute::encoded_word::decode;
use mailchute::message::Message;
use mailchute::message::repair::{self, Needs};

use super::{Target, assert_printable};
use crate::mutate::{Grammar, hash};
use crate::readers;

pub(crate) const TARGET: Target = Target { name: "fields", seeds, words: WORDS, grammar: GRAMMAR, check };

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

#[rustfmt::skip]
const GRAMMAR: Grammar = &[
    ("text", &["«word»", "«word» «text»", "«word»  «text»", "«word»«text»", "«cut» «text»"]),
    ("word", &["a", "ü", "=?utf-8?Q?«q»?=", "=?utf-8?B?w7w=?=", "=?iso-8859-1?q?«q1»?=", "=?utf-8?b?5pel5pys?=", "«long»", "\"q\\\"s\"", "(c)", "=?", "?=", "日本", "\u{a0}"]),
    ("q", &["a", "=C3=BC", "_", "x_y", "=3D=3F", "«q»«q»", "«q»«q»«q»", "=E2=82=AC"]),
    ("q1", &["=FC", "a", "_", "«q1»«q1»"]),
    ("cut", &["=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "=?utf-8?Q?a=E2=82?= =?utf-8?Q?=AC=E2?= =?utf-8?q?=82=AC?=", "=?utf-8?B?5pel5pw=?= =?utf-8?B?rA==?=", "=?utf-8?Q?«q»?= =?utf-8?Q?«q»?="]),
    ("long", &["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "«long»«long»", "«long»«long»«long»«long»", "=?utf-8?Q?«longq»?=", "«cut»«long»"]),
    ("longq", &["=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC", "«longq»«longq»", "«longq»«q»«longq»«longq»"]),
    ("list", &["«box»", "«box»,«list»", "«box», «list»", "«word»: «list»;", "«box», «box», «list»"]),
    ("box", &["a@x.example", "«name» <a@x.example>", "«name»<b@x.example>", "a@x.example («text»)", "\"a b\"@x.example", "<@r.example:a@x.example>", "a@ü.example"]),
    ("name", &["N", "«word»", "\"N, «word»\"", "«word» «word»", "\"«long»\"", "«long»", "N («text»)", "«cut»", "J. «word»"]),
    ("parameters", &["text/plain; a=b", "text/plain; «parameter»", "attachment; «parameter»; «parameter»", "application/x; «parameter»; b=c; «parameter»"]),
    ("parameter", &["name=a", "filename=\"«file»\"", "name=\"«file»\"", "filename*=utf-8''%C3%BC«long»", "filename*0*=utf-8''%C3%BCa; filename*1*=%BC%BC", "charset=utf-8", "boundary=\"b b\"", "name*0=\"«file»\"; name*1=\"«file»\"", "title=«long»"]),
    ("file", &["a.pdf", "ü", "«long»", "a;b\\\"c\\\\", "日本«file»", "«file»«file»", "«file»«file»«file»«file»", "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü", "€'% "]),
    ("ids", &["<a@x.example>", "<a@x.example><b@x.example>", "<a@x.example> «ids»", "<«long»@x.example>«ids»", "<ü@x.example>"]),
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

/// The longest value that is tried, in octets, and the longest of those that are written several times over: past every
/// limit on lines, and no more than that, because what is shorter is tried more often.
const MOST: usize = 3000;
const REPEATED: usize = 1400;

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, text) in WORDS.iter().enumerate() {
        let choices = [number as u8 % NAMES.len() as u8, 0, 1, 2].map(|name| name | 16);
        seeds.extend(choices.map(|choice| [&[choice], text.as_bytes()].concat()));
    }
    let name = format!("attachment; filename=\"{}.pdf\"", "Übergröße 日本 ".repeat(12));
    seeds.extend([8, 9].map(|choice| [&[choice], name.as_bytes()].concat()));
    seeds
}

/// What a value says when blanks and the marks of strings and comments are left aside.
fn said(value: &str) -> String {
    decode(value).chars().filter(|c| !c.is_whitespace() && !"\"\\()".contains(*c)).collect()
}

fn check(input: &[u8]) -> u64 {
    let [choice, value @ ..] = input else { return 0 };
    let name = NAMES[usize::from(choice & 15) % NAMES.len()];
    let value = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).take(MOST).collect::<Vec<u8>>();
    let times = if choice & 16 == 0 { 1 } else { (REPEATED / value.len().max(1)).max(1) };
    let value = value.repeat(times);
    let section = [name.as_bytes(), b": ", &value, b"\r\n\r\n"].concat();
    let Ok(message) = Message::read(&mut section.as_slice(), false) else { return 1 };
    let needs = Needs { eight_bit: true, utf8: choice & 32 != 0 };
    let adapted = match repair::adapt(&message, needs) {
        Ok(Some(adapted)) => adapted,
        Ok(None) => {
            let mut lines = message.header().as_bytes().split(|&octet| octet == b'\n');
            assert!(lines.all(|line| line.len() <= 999), "a long line stays");
            return 2;
        }
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
    let mut words = after.split([' ', '\t', '(', ')']).filter(|word| readers::encoded(word).is_some());
    if before.is_ascii() || !before.contains("=?") {
        let long = words.find(|word| word.len() > 75 && !before.contains(word));
        assert_eq!(long, None, "an encoded word of more than 75");
    }
    // Octets in another charset than UTF-8 are read by rules that the repair tells.
    // Nor is a raw octet inside of an encoded word everybody's.
    if std::str::from_utf8(&value).is_ok() && !before.contains('\0') && (before.is_ascii() || !before.contains("=?")) {
        match name {
            "Subject" | "X-Any" | "Keywords" if !before.starts_with(['{', '[']) => assert_text(&before, &after),
            "To" => assert_people(&before, &after),
            "Subject" | "X-Any" | "Keywords" => assert_eq!(said(&before), said(&after)),
            // White space counts for nothing, wherever it stands.
            "List-Unsubscribe" if before.is_ascii() => {
                let solid = |value: &str| value.split([' ', '\t']).collect::<String>();
                assert_eq!(solid(&before), solid(&after));
            }
            "Content-Type" | "Content-Disposition" => {
                if let Some(was) = readers::parameters(&before) {
                    assert_eq!(readers::parameters(&after), Some(was), "by the letter: {after}");
                }
            }
            // Where no encoded word may stand, nobody knows what one says.
            _ if before.is_ascii() && !name.starts_with("Content-") && !before.contains("=?") => {
                assert_eq!(said(&before), said(&after));
            }
            _ => {}
        }
    }
    let repairs = adapted.repairs()[message.repairs().len()..].concat();
    hash(repairs.split(|c: char| c.is_ascii_digit()).collect::<String>().as_bytes())
}

/// The same text to everybody who agreed on it.
fn assert_text(before: &str, after: &str) {
    let plain = |value: &str| value.trim().replace('\t', " ");
    let says = plain(&decode(before));
    assert_eq!(plain(&decode(after)), says);
    // Not everybody takes what is not ASCII as it is.
    if !before.is_ascii() {
        return;
    }
    if readers::decoded(before).is_some_and(|text| plain(&text) == says) {
        assert_eq!(readers::decoded(after).map(|text| plain(&text)), Some(says.clone()), "by the letter: {after:?}");
    }
    // mail-parser makes one blank of several, but not everywhere.
    let solid = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if readers::parsed_text(before).is_some_and(|text| solid(&text) == solid(&says)) {
        let parsed = readers::parsed_text(after).map(|text| solid(&text));
        assert_eq!(parsed, Some(solid(&says)), "others read {after:?} otherwise");
    }
}

/// The same people in the same order, to everybody who agreed on them.
fn assert_people(before: &str, after: &str) {
    let list = read_list(before);
    if list.errors().next().is_some() {
        return;
    }
    let people = |value: &str| {
        let mailboxes = read_list(value).into_mailboxes();
        mailboxes.map(|mailbox| (mailbox.decoded_name(), mailbox.spec)).collect::<Vec<_>>()
    };
    let was: Option<Vec<_>> = list.mailboxes().map(|listed| listed.mailbox.spec.address().ok()).collect();
    let Some(was) = was.filter(|was| !was.is_empty()) else { return };
    // Whether there is a blank between a string and what touches it is seen in both ways.
    let between = if before.contains('"') { "" } else { " " };
    let plain = |(name, spec): (Option<String>, AddrSpec)| {
        let name = name.map(|name| name.split_whitespace().collect::<Vec<_>>().join(between));
        (name, spec.local, spec.domain.map(|domain| compared_domain(&domain).into_owned()))
    };
    let [now, then] = [after, before].map(|value| people(value).into_iter().map(plain).collect::<Vec<_>>());
    assert_eq!(now, then);
    let was: Vec<String> = was.iter().map(ToString::to_string).collect();
    if !before.is_ascii() {
        return;
    }
    if readers::addresses(before).is_some_and(|letter| letter == was) {
        assert_eq!(readers::addresses(after), Some(was.clone()), "by the letter: {after}");
    }
    let parsed = |value: &str| readers::parsed_addresses(format!("To: {value}\r\n\r\n").as_bytes(), &["To"]);
    if parsed(before) == was {
        assert_eq!(parsed(after), was, "others read {after:?} otherwise");
    }
}
