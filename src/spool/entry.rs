//! One waiting message as a file: version line, head, message, checksum, and then a line for each thing that happened.
//!
//! ```text
//! mailchute spool 1
//! {"id":"5cc24c0a91b2","site":"shop",..,"length":2134}
//! <length octets of the message in CRLF form, made fit>
//! {"sha256":".."}
//! {"event":"begun","t":1795000000,"relay":"main"}
//! {"event":"end","t":1795000001,"relay":"main","result":"deferred","code":451,"text":".."}
//! ```
//!
//! No secret stands in it and no address of a relay: site and relays are names, looked up again at each flush, so a
//! mended password works at the next one.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::config::site::Site;
use crate::envelope::{self, Envelope};
use crate::hex;
use crate::message::{Extent, Facts, Message};

/// The first line.
const VERSION: &[u8] = b"mailchute spool 1\n";
/// What the first line of every version begins with.
const MAGIC: &[u8] = b"mailchute spool ";
/// The largest head, in octets: 100,000 recipients have 3 MB.
const HEAD_LIMIT: u64 = 16 << 20;
/// The most that is read of what happened, in octets.
const LINES_LIMIT: u64 = 16 << 20;
/// Octets of the checksum's line with the line end before it.
const TRAILER: u64 = 79;
/// How much is read and written at a time, in octets.
const CHUNK: usize = 64 << 10;

/// What is known of an entry when it is made. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The identifier of the log record: 12 hexadecimal digits.
    pub id: String,
    /// The site that spoke, by name.
    pub site: String,
    /// When it was taken.
    pub created: i64,
    /// When it is given up.
    pub until: i64,
    /// Who sends, and who is still to receive.
    pub envelope: Envelope,
    /// The relays of its route, by name, in order.
    pub route: Vec<String>,
    /// What intake learned of the message.
    pub facts: Facts,
    /// What was changed in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<String>,
    /// Octets of its header section, the empty line included.
    pub header: u64,
    /// Octets of it.
    pub length: u64,
    /// The idempotency key of its submissions, where a relay takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When the key was first used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyed: Option<i64>,
    /// Why it waits, in the words the caller would have been told.
    #[serde(default)]
    pub why: String,
    /// It may have been accepted already, and the record said so: only a person or a key decides what becomes of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt: bool,
    /// It is over a limit of its site, and is counted when there is room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unadmitted: bool,
    /// It is a bounce, of which there is no bounce.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_bounce: bool,
    /// Whom it was written to, where the site's guard had it go to others. Empty: it goes to whom it was written.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "envelope::write_paths",
        deserialize_with = "envelope::read_some_paths"
    )]
    pub diverted_from: Vec<Address>,
}

impl Head {
    /// That of `message`, which `site` sends, as it is taken now: nothing is known of it yet but why it waits.
    pub fn new(id: String, site: &Site, envelope: Envelope, message: &Message, why: String) -> Self {
        let created = Timestamp::now().as_second();
        let span = i64::try_from(site.spooling.give_up_after.as_secs()).unwrap_or(i64::MAX);
        let (header, body) = message.lengths();
        Self {
            id,
            site: site.name.clone(),
            created,
            until: created.saturating_add(span),
            envelope,
            route: Vec::new(),
            facts: message.facts(),
            repairs: message.repairs().to_vec(),
            header,
            length: header + body,
            key: None,
            keyed: None,
            why,
            in_doubt: false,
            is_unadmitted: false,
            is_bounce: false,
            diverted_from: Vec::new(),
        }
    }
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Everybody who waited was accepted.
    Accepted,
    /// Somebody still waits.
    Deferred,
    /// Nobody waits any more, and somebody was refused for good.
    Refused,
    /// It was handed over, and no valid final reply came.
    InDoubt,
}

/// Something that happened to an entry. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    /// A hand-over is about to begin. Durable before the last octet leaves.
    Begun {
        /// When.
        t: i64,
        /// To which relay.
        relay: String,
    },
    /// What came of a try.
    End {
        /// When.
        t: i64,
        /// The relay that decided.
        relay: String,
        /// How it ended.
        result: Ended,
        /// The reply code, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
        /// The reply or the failure, printable.
        text: String,
        /// Who still waits, where that are no longer all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waiting: Option<Waiting>,
        /// It tells of the relays and nothing of this message, which may go as soon as one of them answers.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_of_relays: bool,
    },
    /// A person decided that it is sent again, whatever became of it.
    Released {
        /// When.
        t: i64,
    },
    /// Its bounce is an entry of its own.
    Bounced {
        /// When.
        t: i64,
    },
    /// There was room for it, and it is counted.
    Admitted {
        /// When.
        t: i64,
    },
    /// A key was first used.
    Keyed {
        /// When.
        t: i64,
        /// The idempotency key.
        key: String,
    },
    /// A person had it sent once more, which has a record of its own.
    Resent {
        /// When.
        t: i64,
        /// The identifier of that record.
        id: String,
    },
    /// Something a newer version wrote.
    #[serde(other)]
    Other,
}

/// Recipients who wait; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting(
    #[serde(serialize_with = "envelope::write_paths", deserialize_with = "envelope::read_paths")] pub Vec<Address>,
);

/// What an entry has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Tries that came to a hand-over or an end.
    pub tries: u32,
    /// The hand-over that is under way, or was cut off: when, and to which relay.
    pub begun: Option<(i64, String)>,
    /// How the last try ended.
    pub ended: Option<Ended>,
    /// What was said last, and the code of it.
    pub said: Option<(Option<u16>, String)>,
    /// The relay that said so.
    pub relay: Option<String>,
    /// That was of the relays, and nothing of this message.
    pub is_of_relays: bool,
    /// When the last thing happened.
    pub last: Option<i64>,
    /// It has been bounced.
    pub is_bounced: bool,
    /// The identifiers of those that it was sent once more as.
    pub resent: Vec<String>,
}

impl State {
    /// Whether somebody may have the message and nobody has decided yet.
    pub fn is_in_doubt(&self) -> bool {
        self.begun.is_some() || self.ended == Some(Ended::InDoubt)
    }

    /// Whether everybody has it.
    pub fn is_accepted(&self) -> bool {
        self.begun.is_none() && self.ended == Some(Ended::Accepted)
    }
}

/// An entry that was read.
#[derive(Debug)]
pub struct Entry {
    /// What was known when it was made; the envelope names who still waits.
    pub head: Head,
    /// What it has come to.
    pub state: State,
    /// Where the message begins.
    start: u64,
}

/// What is wrong with a file that should be an entry.
#[derive(Debug)]
pub enum Flaw {
    /// It is not whole: never finished, never acknowledged.
    Torn(&'static str),
    /// A newer version of this program made it.
    Newer,
    /// It cannot be read.
    Unreadable(io::Error),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Torn("it ends too early"),
            _ => Self::Unreadable(error),
        }
    }
}

impl Entry {
    /// Reads the entry in `file` and, with `is_verified`, its message against the checksum.
    ///
    /// # Errors
    /// The file is not an entry, or no whole one.
    pub fn read(file: &File, is_verified: bool) -> Result<Self, Flaw> {
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(8 << 10, file);
        reader.seek(SeekFrom::Start(0))?;
        let mut first = Vec::new();
        (&mut reader).take(64).read_until(b'\n', &mut first)?;
        if first != VERSION {
            let is_newer = first.starts_with(MAGIC) && first.ends_with(b"\n");
            return Err(if is_newer { Flaw::Newer } else { Flaw::Torn("it has no version line") });
        }
        let mut text = Vec::new();
        (&mut reader).take(HEAD_LIMIT).read_until(b'\n', &mut text)?;
        let mut head: Head = match text.last() {
            Some(b'\n') => {
                serde_json::from_slice(&text).map_err(|_| Flaw::Torn("its head is not what it should be"))?
            }
            _ => return Err(Flaw::Torn("its head is not whole")),
        };
        let start = (first.len() + text.len()) as u64;
        let end = start.checked_add(head.length).and_then(|end| end.checked_add(TRAILER));
        let Some(end) = end.filter(|end| *end <= length && head.header <= head.length) else {
            return Err(Flaw::Torn("it ends too early"));
        };
        if is_verified && trailer(&digest_of(file, end - TRAILER)?) != read_trailer(file, end)? {
            return Err(Flaw::Torn("its checksum is wrong"));
        }
        let state = fold(file, end, &mut head)?;
        Ok(Self { head, state, start })
    }

    /// The message in `file`, from which the entry was read.
    ///
    /// # Errors
    /// As [`Message::in_file`].
    pub fn message(&self, file: Arc<File>) -> io::Result<Message> {
        let Head { header, length, facts, ref repairs, .. } = self.head;
        let extent = Extent { start: self.start, header, body: length - header };
        Message::in_file(file, extent, facts, repairs.clone())
    }
}

/// Writes an entry of `message` to `file`, which is empty. What is small leaves in one write.
///
/// # Errors
/// As writing, or as reading the message.
pub(super) fn write(file: &mut File, head: &Head, message: &Message) -> io::Result<()> {
    let mut pending = Vec::with_capacity(message.size().min(2 * CHUNK as u64) as usize + 1024);
    pending.extend_from_slice(VERSION);
    serde_json::to_writer(&mut pending, head)?;
    if pending.len() as u64 >= HEAD_LIMIT {
        return Err(io::Error::other("its head is larger than what is read of one"));
    }
    pending.push(b'\n');
    let mut sum = Context::new(&SHA256);
    let mut chunks = message.chunks();
    let mut length = 0;
    while let Some(piece) = chunks.advance()? {
        length += piece.len() as u64;
        pending.extend_from_slice(piece);
        // What is in memory goes out at once, what is in a file as it is read.
        if pending.len() > crate::message::MEMORY_LIMIT {
            sum.update(&pending);
            file.write_all(&pending)?;
            pending.clear();
        }
    }
    if length != head.length {
        return Err(io::Error::other("the message has another length than it says"));
    }
    sum.update(&pending);
    pending.extend_from_slice(&trailer(&hex::encode(sum.finish())));
    file.write_all(&pending)
}

/// Appends `line` to the entry in `file`, behind whatever a crash left of the one before.
///
/// # Errors
/// As writing.
pub(super) fn append(file: &mut File, line: &Line) -> io::Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if end > 0 {
        file.read_exact_at(&mut last, end - 1)?;
    }
    let mut text = if last == *b"\n" { Vec::new() } else { vec![b'\n'] };
    serde_json::to_writer(&mut text, line)?;
    text.push(b'\n');
    file.write_all(&text)
}

fn trailer(sum: &str) -> Vec<u8> {
    format!("\n{{\"sha256\":\"{sum}\"}}\n").into_bytes()
}

fn read_trailer(file: &File, end: u64) -> io::Result<Vec<u8>> {
    let mut found = vec![0; TRAILER as usize];
    file.read_exact_at(&mut found, end - TRAILER)?;
    Ok(found)
}

/// The checksum of the first `length` octets of `file`.
fn digest_of(file: &File, length: u64) -> io::Result<String> {
    let mut sum = Context::new(&SHA256);
    let mut buffer = vec![0; CHUNK.min(length as usize)];
    let mut at = 0;
    while at < length {
        let some = buffer.len().min((length - at) as usize);
        file.read_exact_at(&mut buffer[..some], at)?;
        sum.update(&buffer[..some]);
        at += some as u64;
    }
    Ok(hex::encode(sum.finish()))
}

/// What the lines behind the message come to; who still waits is entered into `head`.
fn fold(file: &File, start: u64, head: &mut Head) -> Result<State, Flaw> {
    let mut reader = file;
    reader.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(4 << 10, reader.take(LINES_LIMIT));
    let mut state = State { ended: head.in_doubt.then_some(Ended::InDoubt), ..State::default() };
    let mut text = Vec::new();
    loop {
        text.clear();
        reader.read_until(b'\n', &mut text)?;
        if text.is_empty() {
            return Ok(state);
        }
        // What a crash cut off has not happened; what was lost of a `begun` was not handed over.
        if let Ok(line) = serde_json::from_slice(&text) {
            enter(line, &mut state, head);
        }
    }
}

fn enter(line: Line, state: &mut State, head: &mut Head) {
    match line {
        Line::Begun { t, relay } => {
            state.tries += 1;
            state.last = Some(t);
            state.begun = Some((t, relay));
        }
        Line::End { t, relay, result, code, text, waiting, is_of_relays } => {
            // A try that was not begun is one all the same.
            state.tries += u32::from(state.begun.take().is_none());
            state.ended = Some(result);
            state.said = Some((code, text));
            state.relay = Some(relay);
            state.is_of_relays = is_of_relays;
            state.last = Some(t);
            if let Some(Waiting(waiting)) = waiting {
                head.envelope.forward_paths = waiting;
            }
        }
        Line::Released { t } => {
            state.begun = None;
            state.ended = None;
            state.is_bounced = false;
            state.last = Some(t);
            // One that was given up has as long as it had at first.
            if head.until <= t {
                head.until = t.saturating_add(head.until.saturating_sub(head.created).max(0));
            }
        }
        Line::Bounced { t } => {
            state.is_bounced = true;
            state.last = Some(t);
        }
        Line::Admitted { t } => {
            head.is_unadmitted = false;
            state.last = Some(t);
        }
        Line::Keyed { t, key } => {
            head.key = Some(key);
            head.keyed = Some(t);
        }
        Line::Resent { t, id } => {
            state.last = Some(t);
            state.resent.push(id);
        }
        Line::Other => {}
    }
}
