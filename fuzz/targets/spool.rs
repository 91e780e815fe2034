//! Entries of the spool: behind a first octet the octets of a file; or the head of one, its message behind the first
//! line end and what happened behind the first NUL, written with the length and the checksum that belong to them; or these
//! without the head, which is a usual one.
//!
//! A file is an entry if its checksum says so, and then it says what it says; no shorter one and none with another octet
//! is.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mailchute::envelope::{Dsn, Envelope};
use mailchute::hex;
use mailchute::message::Message;
use mailchute::spool::entry::Flaw;
use mailchute::spool::{Entry, Line};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{Target, assert_printable};
use crate::mutate::{Grammar, hash};

pub(crate) const TARGET: Target = Target { name: "spool", seeds, words: WORDS, grammar: GRAMMAR, check };

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

const GRAMMAR: Grammar = &[
    ("lines", &["«line»", "«line»«line»", "«line»«lines»"]),
    (
        "line",
        &[
            "{\"event\":\"begun\",\"t\":«number»,\"relay\":\"main\"}\n",
            "{\"event\":\"end\",\"t\":«number»,\"relay\":\"main\",\"result\":\"«result»\",\"text\":\"x\"«more»}\n",
            "{\"event\":\"released\",\"t\":«number»}\n",
            "{\"event\":\"resent\",\"t\":«number»,\"id\":\"x\"}\n",
            "{\"event\":\"begun\",\"t\":«number»",
            "\n",
        ],
    ),
    ("result", &["accepted", "deferred", "refused", "in_doubt", "new"]),
    ("more", &["", ",\"waiting\":[\"c@x.org\"]", ",\"waiting\":[]", ",\"code\":451", ",\"is_of_relays\":true"]),
    ("number", &["1", "1795000000", "9223372036854775807", "-9223372036854775808"]),
];

fn seeds() -> Vec<Vec<u8>> {
    let one = [b"\x01", head(20).as_bytes(), b"\nSubject: x\r\n\r\nbody\r\n\0"].concat();
    let mut seeds = vec![[b"\x00", composed(&one[1..]).0.as_slice()].concat(), one];
    seeds.push(b"\x02\r\n\0".to_vec());
    seeds.extend(WORDS[7..12].iter().map(|line| [b"\x02Subject: x\r\n\r\nbody\r\n\0", line.as_bytes()].concat()));
    seeds
}

/// The head of a message of so many octets as the program writes it, so that every field is one that it knows.
fn head(length: usize) -> String {
    let message = Message::read(&mut &b"\n"[..], false).expect("a message");
    let envelope = Envelope {
        reverse_path: "a@x.org".parse().ok(),
        forward_paths: ["b@y.org", "c@x.org"].iter().filter_map(|text| text.parse().ok()).collect(),
        dsn: Dsn::default(),
    };
    let head = json!({
        "id": "5cc24c0a91b2", "site": "shop", "created": 1_795_000_000, "until": 1_795_432_000, "envelope": envelope,
        "route": ["main"], "facts": message.facts(), "header": length.min(14), "length": length, "why": "x",
    });
    head.to_string()
}

/// The file that `parts` come to, and how much of it the checksum is of.
fn composed(parts: &[u8]) -> (Vec<u8>, Option<usize>) {
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
    (file, Some(summed))
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
    let (octets, summed) = match choice % 4 {
        0 => (octets.to_vec(), None),
        1 => composed(octets),
        _ => {
            let length = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
            composed(&[head(length).as_bytes(), b"\n", octets].concat())
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
