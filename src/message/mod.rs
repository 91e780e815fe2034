//! The message: read once, held once, streamed from there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

mod attachments;
mod commands;
pub(crate) mod content_type;
mod doubts;
pub mod encoding;
pub mod header;
mod input;
mod intake;
mod named;
pub mod people;
pub mod repair;
mod scan;
mod store;
pub(crate) mod tree;

pub use header::{Field, Header};
pub use input::StandardInput;
pub use intake::drain;
pub use named::Extent;

use ring::digest;
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::hex;
use crate::reply::printable;

/// Bodies up to this many octets stay in memory.
pub const MEMORY_LIMIT: usize = 1 << 20;

/// How much of a body in a file is handed out at a time, in octets.
const CHUNK: usize = 64 << 10;

/// The mail object (RFC 5321 2.3.1): an envelope, and the content that goes with it.
#[derive(Clone, Copy, Debug)]
pub struct MailObject<'a> {
    /// Reverse-path, forward-paths and DSN wishes.
    pub envelope: &'a Envelope,
    /// The message, made fit.
    pub message: &'a Message,
}

impl MailObject<'_> {
    /// A UUID (RFC 9562 5.8) that is the same for the same message, its Date and Message-ID included, to the same
    /// recipients: by it a message can be told that its caller submits again. `None`: it has no Message-ID, and two
    /// that are meant to be two may be alike.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn own_id(&self) -> io::Result<Option<String>> {
        let Self { envelope, message } = self;
        if message.header().first("Message-ID").is_none_or(|field| field.text().is_empty()) {
            return Ok(None);
        }
        let mut hash = digest::Context::new(&digest::SHA256);
        let reverse_path = envelope.reverse_path.as_ref().map_or("", AsRef::as_ref);
        for address in std::iter::once(reverse_path).chain(envelope.forward_paths.iter().map(AsRef::as_ref)) {
            hash.update(address.as_bytes());
            hash.update(b"\n");
        }
        let mut chunks = message.chunks();
        while let Some(chunk) = chunks.advance()? {
            hash.update(chunk);
        }
        let mut octets = [0; 16];
        octets.copy_from_slice(&hash.finish().as_ref()[..16]);
        Ok(Some(hex::uuid(octets, 8)))
    }
}

/// What intake learned in its one pass. Lengths are octets of the CRLF form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Octets above 127 in the header section.
    pub eight_bit_header: bool,
    /// Octets above 127 in the body.
    pub eight_bit_body: bool,
    /// NUL in the body; intake removes it from header fields, those that hold addresses apart.
    pub nul: bool,
    /// The longest body line without its CRLF.
    pub longest_line: usize,
    /// A line begins with a dot (a header field may, too), so DATA has to stuff.
    pub leading_dot: bool,
    /// A line of the body begins with MAIL, RCPT, DATA or BDAT and a blank, or is DATA alone; in any case and behind any
    /// blanks.
    pub command: bool,
}

/// One message in CRLF form: the header section in memory, the body in memory up to
/// [`MEMORY_LIMIT`] and in an unlinked temporary file beyond it, or in the file it was kept in.
#[derive(Debug)]
pub struct Message {
    header: Header,
    body: Body,
    facts: Facts,
    repairs: Vec<String>,
}

/// Shared by what is made of a message without a change to its body.
#[derive(Clone, Debug)]
enum Body {
    Memory(Arc<Vec<u8>>),
    /// `length` octets of a file, from `start` on.
    File {
        file: Arc<File>,
        start: u64,
        length: u64,
    },
}

impl Message {
    /// Octets on the wire, without dot-stuffing.
    pub fn size(&self) -> u64 {
        let body = match &self.body {
            Body::Memory(bytes) => bytes.len() as u64,
            Body::File { length, .. } => *length,
        };
        self.header.as_bytes().len() as u64 + body
    }

    /// What intake learned.
    pub fn facts(&self) -> Facts {
        self.facts
    }

    /// Whether a server that took the message for commands could find one in it that leads to mail: a line
    /// that begins with MAIL, RCPT, DATA or BDAT and a blank, or is DATA alone.
    pub fn holds_commands(&self) -> bool {
        self.facts.command || commands::are_in(self.header.as_bytes())
    }

    /// The header section.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The octets of a body that is held in memory, which one up to [`MEMORY_LIMIT`] is.
    pub fn body_in_memory(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Memory(octets) => Some(octets),
            Body::File { .. } => None,
        }
    }

    /// What was changed so far, in the log record's words: `Bcc removed`, `Date added`.
    pub fn repairs(&self) -> &[String] {
        &self.repairs
    }

    /// Changes the header section; what `edit` does to it is told to the repairs ([`note`]).
    pub(crate) fn edit_header<T>(&mut self, edit: impl FnOnce(&mut Header, &mut Vec<String>) -> T) -> T {
        let result = edit(&mut self.header, &mut self.repairs);
        self.facts.eight_bit_header = !self.header.as_bytes().is_ascii();
        result
    }

    /// The same message with one more header field; its body is shared with this one.
    pub(crate) fn with_field(&self, name: &str, value: &str) -> Self {
        let mut header = self.header.clone();
        header.append(name, value);
        Self { header, body: self.body.clone(), facts: self.facts, repairs: self.repairs.clone() }
    }

    /// The whole message, piece by piece, from its first octet; it always ends in CRLF.
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks { message: self, next: Some(0), buffer: Vec::new() }
    }
}

/// Hands out a message in pieces: what is in memory at once, what is in a file 64 KiB at a time.
pub struct Chunks<'a> {
    message: &'a Message,
    /// `Some(0)` before the header section, then 1 + the octets of body handed out.
    next: Option<u64>,
    buffer: Vec<u8>,
}

impl Chunks<'_> {
    /// The next piece, never empty; `None` at the end.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn advance(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(next) = self.next else { return Ok(None) };
        if next == 0 {
            self.next = Some(1);
            return Ok(Some(self.message.header.as_bytes()));
        }
        match &self.message.body {
            Body::Memory(bytes) => {
                self.next = None;
                Ok((!bytes.is_empty()).then_some(bytes.as_slice()))
            }
            Body::File { file, start, length } => {
                let offset = next - 1;
                let size = (CHUNK as u64).min(length - offset) as usize;
                if size == 0 {
                    self.next = None;
                    return Ok(None);
                }
                self.buffer.resize(size, 0);
                file.read_exact_at(&mut self.buffer, start + offset)?;
                self.next = Some(next + size as u64);
                Ok(Some(&self.buffer))
            }
        }
    }
}

/// How many repairs of one message are named; a header section can hold a hundred thousand.
const REPAIRS_LIMIT: usize = 32;

/// How long the name of one repair may be, in bytes: it can hold addresses as the message has them.
const REPAIR_LIMIT: usize = 256;

/// Notes a repair once.
pub(crate) fn note(repairs: &mut Vec<String>, what: impl AsRef<str>) {
    let what = match repairs.len() {
        REPAIRS_LIMIT.. => return,
        last if last + 1 == REPAIRS_LIMIT => "more of the same".to_owned(),
        _ => printable(what.as_ref().as_bytes(), REPAIR_LIMIT),
    };
    if !repairs.contains(&what) {
        repairs.push(what);
    }
}
