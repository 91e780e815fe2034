//! The command line: words are separated by NUL, which none can hold.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use mailchute::cli::invocation::{Errand, Invocation};
use mailchute::cli::parse;
use mailchute::envelope::ReversePath;
use mailchute::plan::Choice;

use super::{Target, assert_printable, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "argv", seeds, words: WORDS, grammar: &[], check };

const WORDS: &[&str] = &[
    "\0--config\0/x",
    "\0--config=/x",
    "\0--site\0x",
    "\0--relay\0x",
    "\0-t",
    "\0-i",
    "\0-f\0",
    "\0-F\0",
    "\0--\0",
    "\0-C/x",
    "\0-X\0/x",
    "\0-OQueueDirectory=/x",
    "\0explain",
    "\0test\0--to\0a@b",
    "\0-bp",
    "\0-bs",
    "\0-q15m",
    "\0-N\0never",
];

fn seeds() -> Vec<Vec<u8>> {
    octets(&[
        "sendmail\0-t\0-i\0-fx@y.example",
        "mailchute\0--site\0shop\0--config=/etc/x\0-ti\0-F\0Full Name\0a@example.org\0--\0-b@example.org",
        "mailchute\0explain\0--as\0shop\0-t\0-i",
        "mailchute\0test\0--to\0a@example.org",
        "mailchute\0status\x00154",
        "/usr/bin/mailq",
        "newaliases\0-v",
        "sendmail\0-bs\0-N\0success,failure\0-R\0hdrs\0-V\0id\0-B8BITMIME\0-G\0-U\0-h3\0-L\0tag",
    ])
}

/// What every command line that was understood keeps.
fn hold(invocation: &Invocation) {
    assert!(invocation.argv.len() <= 64, "the record would not be bounded");
    for word in &invocation.argv {
        assert_printable(word, 512);
    }
    let Errand::Sendmail(said) = &invocation.errand else { return };
    for recipient in &said.wishes.recipients {
        assert!(!recipient.trim().is_empty() && !recipient.contains(['\r', '\n', '\0']), "recipient {recipient:?}");
    }
    if let Some(ReversePath::Typed(path)) = &said.wishes.reverse_path {
        assert!(!path.is_empty() && !path.contains(['\r', '\n', '\0']), "reverse-path {path:?}");
    }
    for text in said.wishes.full_name.iter().chain(&said.tag).chain(&said.wishes.dsn.envid) {
        assert_printable(text, 512);
    }
    assert!(said.ignored.len() <= 64, "the record would not be bounded");
    for word in &said.ignored {
        assert_printable(word, 512);
    }
}

fn check(input: &[u8]) -> u64 {
    let words: Vec<OsString> = input.split(|&byte| byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect();
    let result = parse::parse(words.iter().cloned());
    match &result {
        Ok(invocation) => hold(invocation),
        Err(failure) => assert_printable(&failure.to_string(), 2048),
    }
    // The same words where PHP's fifth argument puts them.
    let appended = ["mailchute", "-t", "-i"].into_iter().map(OsString::from).chain(words);
    if let Ok(invocation) = parse::parse(appended) {
        hold(&invocation);
        assert!(invocation.choice == Choice::default(), "appended words reached our options");
        assert!(matches!(invocation.errand, Errand::Sendmail(_)), "appended words became a subcommand");
    }
    match result {
        Ok(Invocation { errand: Errand::Sendmail(said), choice, .. }) => hash(&[
            said.mode as u8,
            said.wishes.recipients.len().min(3) as u8,
            said.ignored.len().min(3) as u8,
            u8::from(said.wishes.from_header) | u8::from(said.verbose) << 1 | u8::from(said.tag.is_some()) << 2,
            u8::from(choice.site.is_some()) | u8::from(choice.config.is_some()) << 1,
            u8::from(said.wishes.reverse_path.is_some()) | u8::from(said.wishes.full_name.is_some()) << 1,
        ]),
        Ok(invocation) => hash(format!("{:?}", std::mem::discriminant(&invocation.errand)).as_bytes()),
        Err(failure) => hash(failure.why.as_bytes()),
    }
}
