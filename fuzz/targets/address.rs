//! Addresses: lists as header fields and command lines hold them.

use mailchute::address::{parse_address, read_list};

use super::{Target, assert_printable, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "address", seeds, words: WORDS, grammar: &[], check };

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
        "=?ISO-8859-1?Q?M=FCller,_J.?= <j@example.org>",
        "Shop, Inc. <j@example.org>",
        "=?utf-8?q?\"?= <ceo@bank.example> (\" <ok@ok.example>)",
    ])
}

fn check(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let list = read_list(&text);
    let (mailboxes, errors) = (list.mailboxes().count(), list.errors().count());
    assert!(mailboxes + errors <= text.len() + 1, "more addresses than octets");
    let mut path = vec![mailboxes.min(8) as u8, errors.min(8) as u8, u8::from(list.is_doubtful)];
    for error in list.errors() {
        assert_printable(&error.bad.to_string(), 512);
        path.push(hash(error.bad.why.as_bytes()) as u8);
    }
    let names = |text: &str| {
        let mailboxes = read_list(text).into_mailboxes();
        mailboxes.map(|mailbox| (mailbox.spec.to_string(), mailbox.decoded_name())).collect::<Vec<_>>()
    };
    if errors == 0 {
        let (written, named) = (list.written(), names(&text));
        assert_eq!(names(&written), named, "written anew as {written:?}");
        assert!(!read_list(&written).is_doubtful, "{written:?} is as doubtful as before");
    }
    for mailbox in list.into_mailboxes() {
        let spec = mailbox.spec;
        path.extend([u8::from(spec.domain.is_some()), u8::from(mailbox.name.is_some())]);
        let Ok(address) = spec.address() else { continue };
        let written = address.to_string();
        assert!(!written.contains(['\r', '\n', '\0']), "{written:?} would end a command");
        assert!(!written.contains(['<', '>']) || written.contains('"'), "{written:?} would end a path");
        assert_eq!(parse_address(&written).as_ref(), Ok(&spec), "{written:?} reads otherwise when read again");
    }
    hash(&path)
}
