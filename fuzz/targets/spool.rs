//! Entries of the spool: the octets of a file, or, behind a first octet, the head of one, its message behind the first
//! line end and what happened behind the first NUL, written with the length and the checksum that belong to them.
//!
//! A file is an entry if its checksum says so, and then it says what it says; no shorter one and none with another octet
//! is.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mailchute::hex;
use mailchute::spool::entry::Flaw;
use mailchute::spool::{Entry, Line};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::{Target, assert_printable};
use crate::mutate::hash;

pub(crate) const TARGET: Target = Target { name: "spool", seeds, words: WORDS, grammar: &[], check };

const VERSION: &[u8] = b"mailchute spool 1\n";

const WORDS: &[&str] = &[
    "mailchute spool 1\n",
    "mailchute spool 2\n",
    "\"length\":18446744073709551615",
    "\"header\":18446744073709551615",
    "\"until\":-9223372036854775808",
    "\"created\":9223372036854775807",
    "\n{\"sha256\":\"",
    "{\"event\":\"begun\",\"t\":1,\"relay\":\"main\"}\n",
    "{\"event\":\"end\",\"t\":2,\"relay\":\"main\",\"result\":\"deferred\",\"code\":451,\"text\":\"x\"}\n",
    "{\"event\":\"end\",\"t\":2,\"relay\":\"main\",\"result\":\"accepted\",\"text\":\"\",\"waiting\":[\"c@x.org\"]}\n",
    "{\"event\":\"released\",\"t\":9223372036854775807}\n",
    "{\"event\":\"keyed\",\"t\":1,\"key\":\"k\"}\n",
    "{\"event\":\"admitted\",\"t\":1}\n",
    "{\"event\":\"something\"}\n",
    "\"a@x.org\\r\\nRCPT TO:<b@y.org>\"",
    "\"a@x.org\"",
    "[]",
];

const HEAD: &str = "{\"id\":\"5cc24c0a91b2\",\"site\":\"shop\",\"created\":1795000000,\"until\":1795432000,\
    \"envelope\":{\"reverse_path\":\"a@x.org\",\"forward_paths\":[\"b@y.org\",\"c@x.org\"]},\"route\":[\"main\"],\
    \"facts\":{},\"header\":14,\"length\":20,\"why\":\"x\"}";

fn seeds() -> Vec<Vec<u8>> {
    let message = "Subject: x\r\n\r\nbody\r\n";
    let head = mailchute_head();
    let one = [b"\x01", head.as_bytes(), b"\n", message.as_bytes(), b"\0"].concat();
    let mut seeds = vec![[b"\x00", composed(&one[1..]).0.as_slice()].concat(), one.clone()];
    seeds.extend(WORDS[7..12].iter().map(|line| [one.as_slice(), line.as_bytes()].concat()));
    seeds
}

/// A head as the program writes it, so that every field is one it knows.
fn mailchute_head() -> String {
    let mut head: Value = serde_json::from_str(HEAD).expect("JSON");
    let message = mailchute::message::Message::read(&mut &b"Subject: x\r\n\r\nbody\r\n"[..], false).expect("a message");
    let envelope = mailchute::envelope::Envelope {
        reverse_path: "a@x.org".parse().ok(),
        forward_paths: ["b@y.org", "c@x.org"].iter().filter_map(|text| text.parse().ok()).collect(),
        dsn: mailchute::envelope::Dsn::default(),
    };
    head["facts"] = serde_json::to_value(message.facts()).expect("JSON");
    head["envelope"] = serde_json::to_value(&envelope).expect("JSON");
    head.to_string()
}

/// The file that `parts` come to, and how much of it the checksum is of.
fn composed(parts: &[u8]) -> (Vec<u8>, usize) {
    let (head, rest) = parts.split_at(parts.iter().position(|octet| *octet == b'\n').unwrap_or(parts.len()));
    let rest = rest.get(1..).unwrap_or_default();
    let (message, lines) = rest.split_at(rest.iter().position(|octet| *octet == 0).unwrap_or(rest.len()));
    let mut head = head.to_vec();
    if let Ok(mut value) = serde_json::from_slice::<Value>(&head)
        && let Some(fields) = value.as_object_mut()
    {
        fields.insert("length".to_owned(), message.len().into());
        head = value.to_string().into_bytes();
    }
    let mut file = [VERSION, &head, b"\n", message].concat();
    let summed = file.len();
    let sum = hex::encode(digest(&SHA256, &file));
    file.extend(format!("\n{{\"sha256\":\"{sum}\"}}\n").into_bytes());
    file.extend(lines.get(1..).unwrap_or_default());
    (file, summed)
}

/// What the file with these octets is.
fn read(octets: &[u8], is_verified: bool) -> (Arc<File>, Result<Entry, Flaw>) {
    static FILE: OnceLock<Mutex<Arc<File>>> = OnceLock::new();
    let file = FILE.get_or_init(|| Mutex::new(Arc::new(tempfile::tempfile().expect("a temporary file"))));
    let file = Arc::clone(&file.lock().unwrap_or_else(PoisonError::into_inner));
    file.set_len(0).expect("a file");
    (&mut &*file).seek(SeekFrom::Start(0)).expect("a file");
    (&mut &*file).write_all(octets).expect("a file");
    let entry = Entry::read(&file, is_verified);
    (file, entry)
}

fn check(input: &[u8]) -> u64 {
    let [choice, octets @ ..] = input else { return 0 };
    let (octets, summed) = match choice % 2 {
        0 => (octets.to_vec(), None),
        _ => {
            let (octets, summed) = composed(octets);
            (octets, Some(summed))
        }
    };
    let (file, entry) = read(&octets, true);
    let is_sound = is_whole(&octets);
    let entry = match entry {
        Ok(entry) => entry,
        Err(flaw) => {
            let why = match &flaw {
                Flaw::Torn(why) => *why,
                Flaw::Newer => "newer",
                Flaw::Unreadable(error) => panic!("a file that can be read: {error}"),
            };
            assert_printable(why, 100);
            // Without the checksum it may pass, and nothing else may happen.
            if let Ok(entry) = read(&octets, false).1 {
                assert_entry(&entry);
            }
            return hash(why.as_bytes());
        }
    };
    assert!(is_sound, "a damaged file is taken as whole");
    assert_entry(&entry);
    let Some(summed) = summed else { return 1 };
    let start = summed - entry.head.length as usize;
    if let Ok(message) = entry.message(file) {
        let mut all = Vec::new();
        let mut chunks = message.chunks();
        while let Some(piece) = chunks.advance().expect("what is in a file can be read") {
            all.extend_from_slice(piece);
        }
        assert_eq!(all, octets[start..summed], "another message");
    }
    // Whether a hand-over is under way is what the last line that tells of one says.
    let lines = octets[summed + 79..].split(|octet| *octet == b'\n');
    let mut is_begun = false;
    for line in lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok()) {
        is_begun = match line {
            Line::Begun { .. } => true,
            Line::End { .. } | Line::Released { .. } => false,
            _ => is_begun,
        };
    }
    assert_eq!(entry.state.begun.is_some(), is_begun, "a hand-over is lost, or made up");
    // No shorter file is an entry, nor one with another octet. Where that is depends on the input.
    let at = hash(input) as usize % (summed + 79);
    assert!(read(&octets[..at], true).1.is_err(), "{at} octets of an entry are one");
    let mut other = octets.clone();
    other[at] ^= 1 << (hash(input) >> 61);
    assert!(read(&other, true).1.is_err(), "with another octet at {at} it is an entry");
    hash(&[u8::from(is_begun), entry.state.tries.min(9) as u8, entry.head.envelope.forward_paths.len().min(9) as u8])
}

/// Whether `octets` begin with an entry, as its description has it.
fn is_whole(octets: &[u8]) -> bool {
    let Some(rest) = octets.strip_prefix(VERSION) else { return false };
    let Some(end) = rest.iter().position(|octet| *octet == b'\n') else { return false };
    let length = serde_json::from_slice::<Value>(&rest[..end]).ok().and_then(|head| head["length"].as_u64());
    let summed = length.and_then(|length| (VERSION.len() + end + 1).checked_add(usize::try_from(length).ok()?));
    let Some((first, trailer)) = summed.and_then(|summed| octets.split_at_checked(summed)) else { return false };
    trailer.starts_with(format!("\n{{\"sha256\":\"{}\"}}\n", hex::encode(digest(&SHA256, first))).as_bytes())
}

/// What holds of every entry, also of one whose checksum nobody looked at.
fn assert_entry(entry: &Entry) {
    let envelope = &entry.head.envelope;
    assert!(!envelope.forward_paths.is_empty(), "nobody receives it");
    for address in envelope.forward_paths.iter().chain(&envelope.reverse_path).chain(&entry.head.diverted_from) {
        assert_printable(address.as_ref(), 512);
    }
    assert!(entry.head.header <= entry.head.length);
}
