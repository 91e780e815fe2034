//! Reads a message from its caller: line endings, header section, limits and facts in one pass.

use std::io::{self, ErrorKind, Read};

use memchr::{memchr, memchr2};

use super::commands::Watch;
use super::header::{Header, begins_field};
use super::people::is_address_field;
use super::store::Store;
use super::{Facts, MEMORY_LIMIT, Message, note};
use crate::failure::{Failure, Kind};
use crate::reply::Reply;

/// How much is read at a time, in octets: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// What a message may measure.
#[derive(Clone, Copy)]
struct Limits {
    /// Octets of the whole in CRLF form.
    message: u64,
    /// Octets of the header section in CRLF form.
    header: usize,
    /// Octets of body that are held in memory.
    memory: usize,
}

const LIMITS: Limits = Limits { message: 1 << 30, header: 1 << 20, memory: MEMORY_LIMIT };

impl Message {
    /// Reads a message to the end of `input`.
    ///
    /// LF, CRLF, bare CR and CR CR LF all become CRLF, so nothing behind this meets another line end. In a
    /// header section whose lines end in LF or CRLF a bare CR becomes a space instead, so that it can
    /// begin neither a field nor the body.
    /// The first line that is neither field nor continuation ends the header section and belongs to the
    /// body, with or without an empty line before it; empty lines before a first field that every message
    /// has are the caller's template and go. `lone_dot_ends` is for terminals only: a line
    /// with nothing but a dot ends the message.
    ///
    /// # Errors
    /// `NoInput` where there is nothing or it cannot be read to the end, 552 5.3.4 where it is larger
    /// than 1 GiB or its header section than 1 MiB, `CannotCreate` and `Io` for the temporary file.
    /// The input is drained first, so that the caller can finish writing.
    pub fn read(input: &mut impl Read, lone_dot_ends: bool) -> Result<Self, Failure> {
        if lone_dot_ends { read_within(&mut LoneDot::new(input), LIMITS) } else { read_within(input, LIMITS) }
    }
}

/// How much is thrown away at most, in octets: a caller that never ends is not waited for.
const DRAIN_LIMIT: u64 = 1 << 30;

/// Reads `input` to its end and throws it away, up to another 1 GiB. A caller that is still writing should
/// not meet a closed pipe, whatever went wrong here: its user would read "broken pipe" instead of our
/// status.
pub fn drain(input: &mut impl Read) {
    // What cannot be read has ended.
    let _ = io::copy(&mut input.take(DRAIN_LIMIT), &mut io::sink());
}

fn read_within(input: &mut impl Read, limits: Limits) -> Result<Message, Failure> {
    let mut intake = Intake::new(limits);
    match intake.take_all(input) {
        Ok(()) => intake.finish(),
        Err(failure) => {
            drain(input);
            Err(failure)
        }
    }
}

/// A message while it is read, or a body while it is rewritten.
pub(super) struct Intake {
    limits: Limits,
    /// Complete fields, then the line that is being read.
    header: Vec<u8>,
    /// Where each complete line of `header` that ends a field ends, the last one still open for
    /// continuation lines.
    ends: Vec<usize>,
    /// Where the line that is being read begins in `header`.
    line: usize,
    /// How many octets of empty lines `header` begins with, until what follows says whose they are.
    blank: usize,
    in_body: bool,
    /// Whether a CR by itself ends a line of the header section: only where no LF does. Callers take LF
    /// out of what strangers typed and forget CR, which must not begin a field then.
    cr_ends_fields: bool,
    body: Store,
    /// Length of the body line that is being read.
    column: usize,
    /// Its beginning.
    watch: Watch,
    facts: Facts,
    repairs: Vec<String>,
    converted: bool,
}

impl Intake {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            header: Vec::new(),
            ends: Vec::new(),
            line: 0,
            blank: 0,
            in_body: false,
            cr_ends_fields: false,
            body: Store::new(limits.memory),
            column: 0,
            watch: Watch::default(),
            facts: Facts::default(),
            repairs: Vec::new(),
            converted: false,
        }
    }

    /// One that takes a rewritten body.
    pub(super) fn of_body() -> Self {
        Self { in_body: true, ..Self::new(LIMITS) }
    }

    /// The message whose header section is `header` and whose body was taken.
    pub(super) fn under(self, header: Header, repairs: Vec<String>) -> Message {
        let mut facts = self.facts;
        facts.eight_bit_header = !header.as_bytes().is_ascii();
        facts.leading_dot |= header.fields().any(|field| field.name().starts_with('.'));
        Message { header, body: self.body.finish(), facts, repairs }
    }

    fn take_all(&mut self, input: &mut impl Read) -> Result<(), Failure> {
        let mut buffer = vec![0; CHUNK];
        let mut filled = 0;
        // Until the first LF: it decides whether CR by itself ends lines.
        while memchr(b'\n', &buffer[..filled]).is_none() {
            match read(input, &mut buffer[filled..])? {
                0 => break,
                octets => filled += octets,
            }
        }
        self.cr_ends_fields = memchr(b'\n', &buffer[..filled]).is_none();
        loop {
            // One or two CR at the end of what was read wait for what follows them.
            let waiting = buffer[..filled].iter().rev().take(2).take_while(|&&b| b == b'\r').count();
            self.take(&buffer[..filled - waiting])?;
            buffer.copy_within(filled - waiting..filled, 0);
            match read(input, &mut buffer[waiting..])? {
                0 => return self.take(&buffer[..waiting]),
                octets => filled = waiting + octets,
            }
        }
    }

    /// Takes octets of which no trailing CR is undecided.
    ///
    /// # Errors
    /// As [`Message::read`] for limits and the temporary file.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let taken = if self.in_body { 0 } else { self.take_header(chunk)? };
        self.take_body(&chunk[taken..])?;
        if self.header.len() as u64 + self.body.length() > self.limits.message {
            return Err(too_large("message", self.limits.message));
        }
        Ok(())
    }

    /// Takes header lines and returns how much of `chunk` they are.
    fn take_header(&mut self, chunk: &[u8]) -> Result<usize, Failure> {
        let mut at = 0;
        while !self.in_body && at < chunk.len() {
            let end = if self.cr_ends_fields { line_end(chunk, at) } else { lf_end(chunk, at) };
            let (content, next) = end.map_or((chunk.len(), chunk.len()), |end| (end.at, end.next));
            self.header.extend_from_slice(&chunk[at..content]);
            at = next;
            if let Some(end) = end {
                self.converted |= !end.is_crlf;
                self.header_line()?;
            }
            if self.header.len() > self.limits.header {
                // A body without line ends, and no header section before it, is no long field.
                if self.is_field_line() {
                    return Err(too_large("header section", self.limits.header as u64));
                }
                self.end_header(true)?;
            }
        }
        Ok(at)
    }

    /// Whether the line that is being read can belong to the header section.
    fn is_field_line(&self) -> bool {
        let line = &self.header[self.line..];
        begins_field(line) || (!self.ends.is_empty() && matches!(line.first(), None | Some(b' ' | b'\t')))
    }

    /// Removes NUL from the line that is being read. In the value of an address field it stays, for the plan to refuse:
    /// without it, two addresses could be one.
    fn remove_nul(&mut self) {
        let is_continuation = matches!(self.header[self.line..].first(), Some(b' ' | b'\t'));
        let start = match is_continuation {
            true => self.ends.len().checked_sub(2).map_or(0, |last| self.ends[last]),
            false => self.line,
        };
        let name = self.header[start..].split(|&octet| octet == b':').next().unwrap_or_default();
        let name: Vec<u8> = name.iter().copied().filter(|&octet| octet != 0).collect();
        let line = self.header.split_off(self.line);
        let length = line.len();
        let value = match is_address_field(name.trim_ascii_end()) {
            false => length,
            true if is_continuation => 0,
            true => memchr(b':', &line).unwrap_or(length),
        };
        let kept =
            line.into_iter().enumerate().filter(|&(at, octet)| octet != 0 || at >= value).map(|(_, octet)| octet);
        self.header.extend(kept);
        if self.header.len() - self.line < length {
            note(&mut self.repairs, "NUL removed from the header section");
        }
    }

    /// Judges the header line that is complete but for its CRLF.
    fn header_line(&mut self) -> Result<(), Failure> {
        let is_first = self.line == self.blank;
        if self.line == 0 && self.header.starts_with(b"\xef\xbb\xbf") {
            self.header.drain(..3);
            note(&mut self.repairs, "byte order mark removed");
        }
        let line = &self.header[self.line..];
        if self.line == 0 && line.iter().all(|octet| matches!(octet, b' ' | b'\t')) {
            // There is no field that it could continue. Behind an empty line it may be the body's.
            self.header.truncate(self.line);
        }
        let line = &self.header[self.line..];
        // A CR before the first field ends an empty line, as it does in the body.
        let returns = line.iter().take_while(|&&octet| octet == b'\r').count();
        if returns > 0 && self.ends.is_empty() {
            if begins_usual_field(&line[returns..]) {
                self.header.drain(self.line..self.line + returns);
                note(&mut self.repairs, "empty line before the header section removed");
            } else if is_first && returns == line.len() {
                self.header.truncate(self.line);
                self.header.extend(b"\r\n".repeat(returns));
                self.line = self.header.len();
                self.blank = self.line;
            }
        }
        let line = &self.header[self.line..];
        if self.blank > 0 && !line.is_empty() && !begins_usual_field(line) {
            return self.end_header(false);
        }
        if memchr(0, line).is_some() {
            self.remove_nul();
        }
        let line = &self.header[self.line..];
        let is_continuation = matches!(line.first(), Some(b' ' | b'\t'));
        if line.is_empty() && is_first {
            self.header.extend_from_slice(b"\r\n");
            self.line = self.header.len();
            self.blank = self.line;
        } else if line.is_empty() {
            self.in_body = true;
        } else if self.line == 0 && !begins_field(line) && is_mbox_from(line) {
            self.header.clear();
            note(&mut self.repairs, "mbox From line removed");
        } else if self.is_field_line() {
            self.facts.leading_dot |= line.first() == Some(&b'.');
            if self.blank > 0 && is_first {
                self.header.drain(..self.blank);
                (self.line, self.blank) = (0, 0);
                note(&mut self.repairs, "empty line before the header section removed");
            }
            let line = &self.header[self.line..];
            if memchr(b'\r', line).is_some() {
                self.header[self.line..].iter_mut().filter(|b| **b == b'\r').for_each(|b| *b = b' ');
                note(&mut self.repairs, "CR in the header section made a space");
            }
            self.header.extend_from_slice(b"\r\n");
            self.line = self.header.len();
            match self.ends.last_mut() {
                Some(end) if is_continuation => *end = self.line,
                _ => self.ends.push(self.line),
            }
        } else {
            return self.end_header(false);
        }
        Ok(())
    }

    /// Ends the header section before the line that is being read, which belongs to the body;
    /// `open`: that line goes on.
    fn end_header(&mut self, open: bool) -> Result<(), Failure> {
        // Of empty lines at the beginning the first one ends a header section without fields.
        match (self.blank, self.line) {
            (0, 0) => note(&mut self.repairs, "empty header section added"),
            (0, _) => note(&mut self.repairs, "empty line added behind the header section"),
            _ => self.line = 2,
        }
        self.in_body = true;
        let mut line = self.header.split_off(self.line);
        self.header.truncate(if self.blank > 0 { 0 } else { self.line });
        self.blank = 0;
        if !open {
            line.extend_from_slice(b"\r\n");
        }
        self.take_body(&line)
    }

    /// Takes octets of the body. Runs of lines that end in CRLF already are copied in one piece.
    fn take_body(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.facts.eight_bit_body = self.facts.eight_bit_body || !chunk.is_ascii();
        self.facts.nul = self.facts.nul || memchr(0, chunk).is_some();
        let mut copied = 0;
        let mut at = 0;
        while let Some(end) = line_end(chunk, at) {
            self.body_octets(&chunk[at..end.at]);
            self.facts.longest_line = self.facts.longest_line.max(self.column);
            self.column = 0;
            self.facts.command |= self.watch.end_line();
            if !end.is_crlf {
                self.converted = true;
                self.body.put(&chunk[copied..end.at]);
                self.body.put(b"\r\n");
                copied = end.next;
            }
            at = end.next;
        }
        self.body_octets(&chunk[at..]);
        self.body.put(&chunk[copied..]);
        self.body.settle()
    }

    fn body_octets(&mut self, octets: &[u8]) {
        self.facts.leading_dot |= self.column == 0 && octets.first() == Some(&b'.');
        self.facts.command |= self.watch.take(octets);
        self.column += octets.len();
    }

    fn finish(mut self) -> Result<Message, Failure> {
        if !self.in_body && self.line < self.header.len() {
            self.header_line()?;
            note(&mut self.repairs, "final line end added");
        }
        if self.blank > 0 {
            // Nothing followed the empty lines.
            self.end_header(true)?;
        }
        if self.column > 0 {
            self.take_body(b"\r\n")?;
            note(&mut self.repairs, "final line end added");
        }
        if self.ends.is_empty() && self.body.length() == 0 && !self.in_body {
            return Err(Failure::new(Kind::NoInput, "standard input", "is empty").hint("a message was expected there"));
        }
        if self.converted {
            note(&mut self.repairs, "line ends made CRLF");
        }
        self.facts.eight_bit_header = !self.header.is_ascii();
        let header = Header::new(self.header, self.ends);
        Ok(Message { header, body: self.body.finish(), facts: self.facts, repairs: self.repairs })
    }
}

/// Whether `line` is what an mbox file has between two messages, quoted by any number of hands.
fn is_mbox_from(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|&&b| b == b'>').count();
    line[quotes..].starts_with(b"From ")
}

/// Whether `line` begins a field that no text is likely to begin with: those of a message's beginning.
fn begins_usual_field(line: &[u8]) -> bool {
    const NAMES: [&str; 16] = [
        "From",
        "To",
        "Cc",
        "Bcc",
        "Subject",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Reply-To",
        "Sender",
        "Return-Path",
        "Received",
        "Delivered-To",
        "In-Reply-To",
        "References",
        "DKIM-Signature",
    ];
    const FAMILIES: [&[u8]; 4] = [b"Content-", b"List-", b"Resent-", b"X-"];
    let name = &line[..memchr(b':', line).unwrap_or(0)];
    let name = name.trim_ascii_end();
    let begins = |family: &&[u8]| name.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family));
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) || FAMILIES.iter().any(begins)
}

/// A line end in a chunk.
#[derive(Clone, Copy)]
struct LineEnd {
    at: usize,
    next: usize,
    is_crlf: bool,
}

/// The first line end of `chunk` from `from` on: LF, CRLF, CR CR LF, or a CR by itself.
fn line_end(chunk: &[u8], from: usize) -> Option<LineEnd> {
    let at = from + memchr2(b'\r', b'\n', &chunk[from..])?;
    let length = match chunk[at..] {
        [b'\r', b'\n', ..] => 2,
        [b'\r', b'\r', b'\n', ..] => 3,
        _ => 1,
    };
    Some(LineEnd { at, next: at + length, is_crlf: length == 2 })
}

/// The first LF of `chunk` from `from` on, with one or two CR in front of it.
fn lf_end(chunk: &[u8], from: usize) -> Option<LineEnd> {
    let lf = from + memchr(b'\n', &chunk[from..])?;
    let returns = chunk[from..lf].iter().rev().take(2).take_while(|&&b| b == b'\r').count();
    Some(LineEnd { at: lf - returns, next: lf + 1, is_crlf: returns == 1 })
}

/// Reads what there is; 0 at the end of `input`.
fn read(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Failure> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.map_err(|error| unreadable(&error)),
        }
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(Kind::NoInput, "standard input", format!("cannot be read: {error}"))
}

fn too_large(what: &str, limit: u64) -> Failure {
    let text = format!("larger than {} MiB", limit >> 20);
    Failure::refused(what, Reply::too_large(&text)).hint("link to large files instead of attaching them")
}

/// Ends a terminal's input at a line that holds nothing but a dot.
///
/// A terminal hands out whole lines, so a dot and its line end come in one piece.
struct LoneDot<'a, R> {
    input: &'a mut R,
    at_line_start: bool,
    over: bool,
}

impl<'a, R: Read> LoneDot<'a, R> {
    fn new(input: &'a mut R) -> Self {
        Self { input, at_line_start: true, over: false }
    }
}

impl<R: Read> Read for LoneDot<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.over {
            return Ok(0);
        }
        let read = self.input.read(buffer)?;
        let mut at = 0;
        for line in buffer[..read].split_inclusive(|&b| b == b'\n') {
            if self.at_line_start && matches!(line, b".\n" | b".\r\n") {
                self.over = true;
                return Ok(at);
            }
            at += line.len();
            self.at_line_start = line.ends_with(b"\n");
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out one octet, then two, then three... so that every seam between reads is met.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 5 + 1;
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn bytes(message: &Message) -> Vec<u8> {
        let mut out = Vec::new();
        let mut chunks = message.chunks();
        while let Some(chunk) = chunks.advance().unwrap() {
            out.extend_from_slice(chunk);
        }
        assert_eq!(out.len() as u64, message.size());
        out
    }

    fn read(input: &[u8]) -> Message {
        let whole = Message::read(&mut &input[..], false).unwrap();
        let pieces = Message::read(&mut Dribble(input, 0), false).unwrap();
        let spilled = read_within(&mut Dribble(input, 0), Limits { memory: 0, ..LIMITS }).unwrap();
        for other in [pieces, spilled] {
            assert_eq!(bytes(&other).escape_ascii().to_string(), bytes(&whole).escape_ascii().to_string());
            assert_eq!((other.facts, other.repairs), (whole.facts, whole.repairs.clone()));
        }
        whole
    }

    #[test]
    fn octets_in_octets_out() {
        for (input, output, repairs) in [
            ("A: 1\r\n\r\nx\r\n", "A: 1\r\n\r\nx\r\n", &[][..]),
            ("A: 1\n\nx\ny\n", "A: 1\r\n\r\nx\r\ny\r\n", &["line ends made CRLF"]),
            ("A: 1\r\rx\ry\r", "A: 1\r\n\r\nx\r\ny\r\n", &["line ends made CRLF"]),
            ("A: 1\r\r\n\r\r\nx\r\r\n", "A: 1\r\n\r\nx\r\n", &["line ends made CRLF"]),
            ("A: 1\r\n\r\nx\r\r\r\ny\r\n", "A: 1\r\n\r\nx\r\n\r\ny\r\n", &["line ends made CRLF"]),
            ("A: 1\r\n\nx\ry\nz\r\n", "A: 1\r\n\r\nx\r\ny\r\nz\r\n", &["line ends made CRLF"]),
            ("A: 1\r\n\r\nx", "A: 1\r\n\r\nx\r\n", &["final line end added"]),
            ("A: 1\r\n\r\nx\r", "A: 1\r\n\r\nx\r\n", &["line ends made CRLF"]),
            ("A: 1", "A: 1\r\n\r\n", &["final line end added"]),
            ("A: 1\r\n", "A: 1\r\n\r\n", &[]),
            ("A: 1\r\n 2\r\nB: 3\r\n\r\n", "A: 1\r\n 2\r\nB: 3\r\n\r\n", &[]),
            ("\r\nA: 1\r\n", "\r\nA: 1\r\n", &[]),
            ("\r\n", "\r\n", &[]),
            ("\r\n\r\n\r\n", "\r\n\r\n\r\n", &[]),
            ("\r\n\r\nbody\r\n", "\r\n\r\nbody\r\n", &[]),
            // Behind an empty line, a line of blanks is the body's unless a field follows.
            ("\r\n\t\r\n", "\r\n\t\r\n", &[]),
            ("\r\n\r\n\t\r\n", "\r\n\r\n\t\r\n", &[]),
            ("\r\n\0x\r\n", "\r\n\0x\r\n", &[]),
            ("\r\nbody", "\r\nbody\r\n", &["final line end added"]),
            ("\r\nWarning: disk full\r\n", "\r\nWarning: disk full\r\n", &[]),
            (
                "\r\nTo: a@x.org\r\n\r\nbody\r\n",
                "To: a@x.org\r\n\r\nbody\r\n",
                &["empty line before the header section removed"],
            ),
            (
                "\u{feff}\r\n\r\nx-a: 1\r\n 2\r\nB: 3\r\n\r\n\r\nbody\r\n",
                "x-a: 1\r\n 2\r\nB: 3\r\n\r\n\r\nbody\r\n",
                &["byte order mark removed", "empty line before the header section removed"],
            ),
            (">>From bob 10:00\r\n>From bob 10:00\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n", &["mbox From line removed"]),
            (
                "From bob Mon Jan  1 10:00:00 2024\r\n\r\nTo: x@x.org\r\n\r\nx\r\n",
                "To: x@x.org\r\n\r\nx\r\n",
                &["mbox From line removed", "empty line before the header section removed"],
            ),
            ("\u{feff}A: 1\r\n\r\n\u{feff}\r\n", "A: 1\r\n\r\n\u{feff}\r\n", &["byte order mark removed"]),
            (
                "From bob Mon Jan  1 10:00:00 2024\r\nA: 1\r\n\r\nFrom x\r\n",
                "A: 1\r\n\r\nFrom x\r\n",
                &["mbox From line removed"],
            ),
            (">From bob 10:00\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n", &["mbox From line removed"]),
            ("From : a@x.org\r\n\r\n", "From : a@x.org\r\n\r\n", &[]),
            (
                "\r\rTo: x\n\n",
                "To: x\r\n\r\n",
                &["empty line before the header section removed", "line ends made CRLF"],
            ),
            (
                "\n\rTo: x\n\n",
                "To: x\r\n\r\n",
                &["empty line before the header section removed", "line ends made CRLF"],
            ),
            (
                "\r\r\r\nTo: x\n",
                "To: x\r\n\r\n",
                &["empty line before the header section removed", "line ends made CRLF"],
            ),
            ("\r\r\r\nhello\n", "\r\n\r\nhello\r\n", &["line ends made CRLF"]),
            ("\rhello\n", "\r\n\r\nhello\r\n", &["empty header section added", "line ends made CRLF"]),
            ("hello\r\nA: 1\r\n", "\r\nhello\r\nA: 1\r\n", &["empty header section added"]),
            (" x\r\nA: 1\r\n", "\r\n x\r\nA: 1\r\n", &["empty header section added"]),
            (
                "A: 1\r\nhello\r\nB: 2\r\n",
                "A: 1\r\n\r\nhello\r\nB: 2\r\n",
                &["empty line added behind the header section"],
            ),
            (
                "A: 1\r\nhello",
                "A: 1\r\n\r\nhello\r\n",
                &["empty line added behind the header section", "final line end added"],
            ),
            (
                "A: 1\rB: 2\r\rx\nC: 3\n\nx\ry\n",
                "A: 1 B: 2  x\r\nC: 3\r\n\r\nx\r\ny\r\n",
                &["CR in the header section made a space", "line ends made CRLF"],
            ),
            ("x\ry\nA: 1\n", "\r\nx\r\ny\r\nA: 1\r\n", &["empty header section added", "line ends made CRLF"]),
            ("A: \0 1\0\r\n\r\n\0\r\n", "A:  1\r\n\r\n\0\r\n", &["NUL removed from the header section"]),
            (
                "cc : a\0\r\n\tb\0\r\nX:\r\n \0c\r\n",
                "cc : a\0\r\n\tb\0\r\nX:\r\n c\r\n\r\n",
                &["NUL removed from the header section"],
            ),
            ("T\0o: a\0\r\n\r\n", "To: a\0\r\n\r\n", &["NUL removed from the header section"]),
        ] {
            let message = read(input.as_bytes());
            assert_eq!(
                bytes(&message).escape_ascii().to_string(),
                output.as_bytes().escape_ascii().to_string(),
                "{input:?}"
            );
            assert_eq!(message.repairs(), repairs, "{input:?}");
        }
    }

    #[test]
    fn no_input_can_bring_a_bare_line_end_or_end_the_data() {
        let parts: [&[u8]; 8] = [b"\r", b"\n", b".", b"\r\n.\r\n", b"a: b", b"\0", b"\n.\n", b"\xff"];
        for seed in 0..8_usize.pow(4) {
            let input: Vec<u8> = (0..4).flat_map(|digit| parts[seed / 8_usize.pow(digit) % 8].to_vec()).collect();
            let out = bytes(&Message::read(&mut Dribble(&input, seed), false).unwrap());
            assert!(out.ends_with(b"\r\n"));
            let lines: Vec<_> = out.split(|&b| b == b'\n').collect();
            let (last, lines) = lines.split_last().unwrap();
            assert!(last.is_empty());
            for line in lines {
                assert_eq!(memchr(b'\r', line), line.len().checked_sub(1), "{input:?} gave {out:?}");
            }
        }
    }

    #[test]
    fn facts() {
        let plain = Facts { longest_line: 3, ..Facts::default() };
        for (input, facts) in [
            (&b"A: 1\n\nx\nabc\n"[..], plain),
            (b"A: long line of header\n\nabc", plain),
            (b"A: \xe9\n\nabc\n", Facts { eight_bit_header: true, ..plain }),
            (b"A: 1\n\nab\xe9\n", Facts { eight_bit_body: true, ..plain }),
            (b"A: 1\n\n\tmail a\n", Facts { longest_line: 7, command: true, ..plain }),
            (b"A: \0\n\na\0c\n", Facts { nul: true, ..plain }),
            (b"A: 1\n\nabc\n.\n", Facts { leading_dot: true, ..plain }),
            (b"A: 1\n\na.c\n", plain),
            (b".A: 1\n\nabc\n", Facts { leading_dot: true, ..plain }),
            (b".bc\n", Facts { leading_dot: true, ..plain }),
        ] {
            assert_eq!(read(input).facts(), facts, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn a_dot_ends_only_what_a_terminal_sends() {
        let input = b"A: 1\n\nx\n..\nlong line.\n.\ny\n";
        assert_eq!(bytes(&Message::read(&mut &input[..], true).unwrap()), b"A: 1\r\n\r\nx\r\n..\r\nlong line.\r\n");
        assert!(bytes(&Message::read(&mut &input[..], false).unwrap()).ends_with(b"\r\n.\r\ny\r\n"));
    }

    #[test]
    fn too_much_is_refused_once_all_of_it_is_read() {
        let limits = Limits { message: 100, header: 20, memory: 10 };
        let code = |input: &mut &[u8]| match read_within(input, limits).map_err(|failure| failure.kind) {
            Ok(_) => 250,
            Err(Kind::Refused(reply)) => reply.code(),
            Err(other) => panic!("{other:?}"),
        };
        let body = "x".repeat(200);
        for (input, expected) in [
            (format!("A: 1\r\n\r\n{}", &body[..88]), 250),
            (format!("A: 1\r\n\r\n{body}"), 552),
            (format!("A: {body}\r\n\r\nx"), 552),
            (format!("A: {}\r\n {}\r\n\r\nx", &body[..10], &body[..10]), 552),
            // One long line that is no field is a body.
            (body[..90].to_owned(), 250),
            (body.clone(), 552),
        ] {
            let mut rest = input.as_bytes();
            assert_eq!(code(&mut rest), expected, "{input}");
            assert!(rest.is_empty(), "{input} was not drained");
        }
    }

    #[test]
    fn nothing_and_what_cannot_be_read_are_no_input() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        assert_eq!(Message::read(&mut &b""[..], false).unwrap_err().kind, Kind::NoInput);
        assert_eq!(Message::read(&mut (&b"A: 1\n\nhalf"[..]).chain(Broken), false).unwrap_err().kind, Kind::NoInput);
    }
}
