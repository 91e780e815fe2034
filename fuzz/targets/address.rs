//! Addresses: lists as header fields and command lines hold them.

use mailchute::address::{List, parse_address, read_list};

use super::{Target, assert_printable, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "address", seeds, words: WORDS, check };

const WORDS: &[&str] =
    &["=?utf-8?Q?", "?=", "undisclosed-recipients:;", "@[IPv6:", "<@a,@b:", "\"quoted\\\"\"", "(comment", "xn--"];

fn seeds() -> Vec<Vec<u8>> {
    octets(&[
        "Shop <orders@shop.example>, \"Doe, John\" <john@example.org>, root",
        "friends: a@example.org, B <b@example.org>;, =?utf-8?Q?J=C3=BCrgen?= <j@example.org> (comment (nested))",
        "\"quoted local\"@example.org, <@relay.example:user@example.org>, user@[192.0.2.1]",
        "undisclosed-recipients:;",
        "root (Cron Daemon)",
        "jürgen@bücher.example,\r\n\tfolded@example.org,, ,",
    ])
}

fn check(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let List { mailboxes, errors } = read_list(&text);
    assert!(mailboxes.len() + errors.len() <= text.len() + 1, "more addresses than octets");
    let mut path = vec![mailboxes.len().min(8) as u8, errors.len().min(8) as u8];
    for error in &errors {
        assert_printable(&error.to_string(), 512);
        path.push(hash(error.why.as_bytes()) as u8);
    }
    for listed in mailboxes {
        let spec = listed.mailbox.spec;
        path.extend([u8::from(spec.domain.is_some()), u8::from(listed.mailbox.name.is_some())]);
        let Ok(address) = spec.address() else { continue };
        let written = address.to_string();
        assert!(!written.contains(['\r', '\n', '\0']), "{written:?} would end a command");
        assert!(!written.contains(['<', '>']) || written.contains('"'), "{written:?} would end a path");
        assert_eq!(parse_address(&written).as_ref(), Ok(&spec), "{written:?} reads otherwise when read again");
    }
    hash(&path)
}
