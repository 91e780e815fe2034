//! Intake and the header section: any octets become a message that cannot end its own transfer early.

use std::io::{self, Read};

use mailchute::message::Message;

use super::{Target, assert_printable, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "message", seeds, words: WORDS, grammar: &[], check };

const WORDS: &[&str] = &[
    "\r\n.\r\n",
    "\n.\n",
    "\r.\r",
    "\r\r\n",
    "\n\r",
    "\r\n\r\n",
    "\r\nBcc: x@example.org\r\n",
    "\nFrom ",
    "\r\n ",
    "\n\t",
    "Subject: ",
    "MAIL FROM:<a@b>\r\n",
    "\u{feff}",
    "=?utf-8?B?",
    "\r\nTo:",
];

fn seeds() -> Vec<Vec<u8>> {
    octets(&[
        "From: a@example.org\nTo: b@example.org\nSubject: x\n\nbody\n",
        "To: b@example.org,\r\n\tc@example.org\r\nX-Long: a\r\n b\r\n\r\n.\r\n..\r\nline\r\r\nend",
        "From root Sat Nov 21 10:00:00 2026\nFrom: root (Cron Daemon)\nTo: root\n\noutput\r.\r",
        "no header section at all",
        "Subject: =?utf-8?Q?J=C3=BCrgen?=\n\n\u{fc}\0\n",
        "\u{feff}Subject: x\n\n",
        "",
    ])
}

/// Hands out one octet at a time.
struct Drop<'a>(&'a [u8]);

impl Read for Drop<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}

fn octets_of(message: &Message) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunks = message.chunks();
    while let Some(piece) = chunks.advance().expect("what is in memory can be read") {
        assert!(!piece.is_empty(), "an empty piece");
        all.extend_from_slice(piece);
    }
    all
}

fn check(input: &[u8]) -> u64 {
    let message = match Message::read(&mut &input[..], false) {
        Ok(message) => message,
        Err(failure) => {
            assert_printable(&failure.to_string(), 512);
            assert!(Message::read(&mut Drop(input), false).is_err(), "pieces change the meaning");
            return hash(failure.why.as_bytes());
        }
    };
    let all = octets_of(&message);
    let dripped = Message::read(&mut Drop(input), false).map(|message| octets_of(&message));
    assert_eq!(dripped.ok().as_ref(), Some(&all), "pieces change the meaning");

    assert_eq!(message.size(), all.len() as u64, "the size announced is not the size sent");
    assert!(all.ends_with(b"\r\n"), "no line end at the end");
    let pairs = all.windows(2).filter(|pair| pair == b"\r\n").count();
    let [returns, feeds] = [b'\r', b'\n'].map(|end| all.iter().filter(|&&octet| octet == end).count());
    assert_eq!((returns, feeds), (pairs, pairs), "a bare CR or LF: {}", all.escape_ascii());
    let facts = message.facts();
    let dotted = all.starts_with(b".") || all.windows(3).any(|three| three == b"\r\n.");
    assert!(facts.leading_dot || !dotted, "a line begins with a dot, and nobody will stuff it");
    assert!(facts.eight_bit_body || facts.eight_bit_header || all.is_ascii(), "8-bit, and nobody knows");

    let fields = message.header().fields().count();
    for field in message.header().fields() {
        assert_printable(&field.name(), all.len());
    }
    // Once fit, always fit.
    let again = Message::read(&mut all.as_slice(), false).expect("what was read once is a message");
    assert_eq!(octets_of(&again), all, "reading the result changes it");
    assert_eq!(again.header().fields().count(), fields, "reading the result finds other fields");
    // No value of ours brings a field or the end of the section in.
    let mut header = message.header().clone();
    header.append("X-Value", &String::from_utf8_lossy(input));
    let grown = Message::read(&mut header.as_bytes(), false).expect("a header section is a message");
    assert_eq!(grown.header().fields().count(), fields + 1, "a value of ours became a field");
    assert!(grown.header().first("X-Value").is_some());
    hash(&[
        fields.min(8) as u8,
        pairs.min(8) as u8,
        u8::from(facts.leading_dot) | u8::from(facts.nul) << 1 | u8::from(facts.eight_bit_body) << 2,
        u8::from(facts.eight_bit_header) | u8::from(facts.longest_line > 998) << 1,
        message.repairs().iter().fold(0, |sum, repair| sum ^ hash(repair.as_bytes()) as u8),
    ])
}
