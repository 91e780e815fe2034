//! The command line: words are separated by NUL, which none can hold.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use mailchute::cli::dialect;
use mailchute::cli::invocation::{Invocation, Mode, ReversePath};

use super::{Target, assert_printable, octets};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "argv", seeds, words: WORDS, check };

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
    for recipient in &invocation.recipients {
        assert!(!recipient.trim().is_empty() && !recipient.contains(['\r', '\n', '\0']), "recipient {recipient:?}");
    }
    if let Some(ReversePath::Typed(path)) = &invocation.reverse_path {
        assert!(!path.is_empty() && !path.contains(['\r', '\n', '\0']), "reverse-path {path:?}");
    }
    for text in invocation.full_name.iter().chain(&invocation.tag).chain(&invocation.dsn.envid) {
        assert_printable(text, 512);
    }
    assert!(invocation.argv.len() <= 64 && invocation.ignored.len() <= 64, "the record would not be bounded");
    for word in invocation.argv.iter().chain(&invocation.ignored) {
        assert_printable(word, 512);
    }
}

fn check(input: &[u8]) -> u64 {
    let words: Vec<OsString> = input.split(|&byte| byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect();
    let result = dialect::parse(words.iter().cloned());
    match &result {
        Ok(invocation) => hold(invocation),
        Err(failure) => assert_printable(&failure.to_string(), 2048),
    }
    // The same words where PHP's fifth argument puts them.
    let appended = ["mailchute", "-t", "-i"].into_iter().map(OsString::from).chain(words);
    if let Ok(invocation) = dialect::parse(appended) {
        hold(&invocation);
        let Invocation { config, site, relay, mode, .. } = &invocation;
        assert!(config.is_none() && site.is_none() && relay.is_none(), "appended words reached our options");
        assert!(!matches!(mode, Mode::Tool(_) | Mode::Help(_)), "appended words became a subcommand");
    }
    match result {
        Ok(invocation) => hash(&[
            hash(format!("{:?}", std::mem::discriminant(&invocation.mode)).as_bytes()) as u8,
            invocation.recipients.len().min(3) as u8,
            invocation.ignored.len().min(3) as u8,
            u8::from(invocation.from_header)
                | u8::from(invocation.verbose) << 1
                | u8::from(invocation.tag.is_some()) << 2,
            u8::from(invocation.site.is_some()) | u8::from(invocation.config.is_some()) << 1,
            u8::from(invocation.reverse_path.is_some()) | u8::from(invocation.full_name.is_some()) << 1,
        ]),
        Err(failure) => hash(failure.why.as_bytes()),
    }
}
