//! Follows the MIME structure of a body (RFC 2046) while it streams by.
//!
//! What is held is one line of up to [`HELD`] octets, the header section of one part and the open
//! boundaries, whatever the message measures.

use memchr::memchr;

use super::Message;
use super::content_type::ContentType;
use super::encoding::Encoding;
use super::header::{Header, begins_field};
use crate::failure::{Failure, Kind};

/// Lines up to this many octets are seen whole; a longer one is neither boundary nor field name.
const HELD: usize = 1024;
/// Octets of one part's header section.
const HEADER_LIMIT: usize = 256 << 10;
/// Parts of one message, containers included.
const PART_LIMIT: usize = 10_000;
/// How deep parts stand in parts.
const DEPTH_LIMIT: usize = 50;

/// Some or all of a line, without its CRLF.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) octets: &'a [u8],
    /// The line begins here.
    pub(super) begins: bool,
    /// The line ends here.
    pub(super) ends: bool,
}

/// A part, or the message itself.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    /// `body` for the message itself, else `part 1.2`, numbered as IMAP does (RFC 3501 6.4.5).
    pub(super) name: String,
    pub(super) nature: Nature,
}

/// What may become of an entity's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Lines of text.
    Text,
    /// Octets of any other kind.
    Octets,
    /// More parts.
    Multipart,
    /// One more message.
    Message,
    /// Stays as it is, for this reason: lower-case start, no full stop.
    Sealed(String),
}

/// A stretch of body that belongs to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Content,
    /// Before the first delimiter of a multipart.
    Preamble,
    /// Behind its last one.
    Epilogue,
}

/// Meets everything in a body, in order. Entities count from 0, the message itself.
pub(super) trait Visitor {
    /// The next entity's header section, `closed` by an empty line or not.
    fn header(&mut self, entity: Entity, header: Header, closed: bool) -> Result<(), Failure>;
    /// A section of entity `entity` begins.
    fn begin(&mut self, entity: usize, section: Section);
    /// Octets of the section.
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Failure>;
    /// The section is over; before a delimiter its last CRLF belongs to that (RFC 2046 5.1.1).
    fn end(&mut self, before_delimiter: bool) -> Result<(), Failure>;
    /// A delimiter line, without CRLF, of the multipart `entity`.
    fn delimiter(&mut self, entity: usize, line: &[u8]) -> Result<(), Failure>;
}

/// Feeds a body, given in chunks of any size, to a [`Visitor`].
pub(super) struct Scanner<'v, V> {
    visitor: &'v mut V,
    /// The line that has begun, until it ends or is longer than [`HELD`].
    line: Vec<u8>,
    /// The beginning of the present line is handed out already.
    is_long: bool,
    state: State,
    /// Multiparts and messages that are open, the whole message first.
    frames: Vec<Frame>,
    entities: usize,
}

enum State {
    /// In a part's header section: its fields, and where each ends.
    Header {
        fields: Vec<u8>,
        ends: Vec<usize>,
    },
    Section,
}

struct Frame {
    /// Empty for a message.
    boundary: Vec<u8>,
    entity: usize,
    /// Numbers of the parts on the way here, with dots.
    path: String,
    children: usize,
    /// Parts without a Content-Type are messages (RFC 2046 5.1.5).
    is_digest: bool,
}

impl<'v, V: Visitor> Scanner<'v, V> {
    /// Begins with the message whose header section is `header`.
    ///
    /// # Errors
    /// The visitor's.
    pub(super) fn new(header: &Header, visitor: &'v mut V) -> Result<Self, Failure> {
        let whole = Frame { boundary: Vec::new(), entity: 0, path: String::new(), children: 0, is_digest: false };
        let frames = vec![whole];
        let mut scanner =
            Self { visitor, line: Vec::new(), is_long: false, state: State::Section, frames, entities: 0 };
        scanner.entity(header.clone(), true)?;
        Ok(scanner)
    }

    /// Takes the next octets of the body.
    ///
    /// # Errors
    /// The visitor's, and `Data` where there are too many parts or one's header section is too large.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            let mut line = std::mem::take(&mut self.line);
            let begins = !std::mem::replace(&mut self.is_long, false);
            if line.is_empty() {
                // Every line end is CRLF since intake.
                self.piece(Piece { octets: &rest[..end.saturating_sub(1)], begins, ends: true })?;
            } else {
                line.extend_from_slice(&rest[..end]);
                line.pop();
                self.piece(Piece { octets: &line, begins, ends: true })?;
                line.clear();
                self.line = line;
            }
            rest = &rest[end + 1..];
        }
        self.line.extend_from_slice(rest);
        if self.line.len() > HELD {
            let mut line = std::mem::take(&mut self.line);
            let begins = !std::mem::replace(&mut self.is_long, true);
            // A CR waits for its LF.
            let cr = line.pop_if(|last| *last == b'\r');
            self.piece(Piece { octets: &line, begins, ends: false })?;
            line.clear();
            line.extend(cr);
            self.line = line;
        }
        Ok(())
    }

    /// The body is over.
    ///
    /// # Errors
    /// As [`Scanner::take`].
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.end_header()?;
        self.visitor.end(false)
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Failure> {
        if let Some((frame, is_last)) = self.delimiter(piece) {
            return self.delimit(frame, is_last, piece.octets);
        }
        let State::Header { fields, ends } = &mut self.state else { return self.visitor.piece(piece) };
        if piece.begins {
            let is_continuation = matches!(piece.octets.first(), Some(b' ' | b'\t')) && !ends.is_empty();
            if !is_continuation && !begins_field(&piece.octets[..piece.octets.len().min(HELD)]) {
                let header = Header::new(std::mem::take(fields), std::mem::take(ends));
                let closed = piece.octets.is_empty();
                self.state = State::Section;
                self.entity(header, closed)?;
                // What is neither field nor empty line belongs to the content.
                return if closed { Ok(()) } else { self.piece(piece) };
            }
            if !is_continuation {
                ends.push(fields.len());
            }
        }
        fields.extend_from_slice(piece.octets);
        if piece.ends {
            fields.extend_from_slice(b"\r\n");
        }
        if let Some(end) = ends.last_mut() {
            *end = fields.len();
        }
        if fields.len() > HEADER_LIMIT {
            return Err(unfollowable(&format!("a part's header section is larger than {} KiB", HEADER_LIMIT >> 10)));
        }
        Ok(())
    }

    /// The frame whose delimiter line `piece` is, and whether it is the last one.
    fn delimiter(&self, piece: Piece<'_>) -> Option<(usize, bool)> {
        if !piece.begins || !piece.ends || piece.octets.len() > HELD {
            return None;
        }
        let line = piece.octets.strip_prefix(b"--")?;
        self.frames.iter().enumerate().rev().find_map(|(index, frame)| {
            let rest = line.strip_prefix(frame.boundary.as_slice()).filter(|_| !frame.boundary.is_empty())?;
            let (padding, is_last) = rest.strip_prefix(b"--").map_or((rest, false), |padding| (padding, true));
            padding.iter().all(|b| matches!(b, b' ' | b'\t')).then_some((index, is_last))
        })
    }

    fn delimit(&mut self, frame: usize, is_last: bool, line: &[u8]) -> Result<(), Failure> {
        self.end_header()?;
        self.visitor.end(true)?;
        let entity = self.frames[frame].entity;
        self.visitor.delimiter(entity, line)?;
        if is_last {
            self.frames.truncate(frame);
            self.visitor.begin(entity, Section::Epilogue);
        } else {
            self.frames.truncate(frame + 1);
            self.state = State::Header { fields: Vec::new(), ends: Vec::new() };
        }
        Ok(())
    }

    /// A part is over before its content began; under the header section of a message there is one more.
    fn end_header(&mut self) -> Result<(), Failure> {
        while let State::Header { fields, ends } = std::mem::replace(&mut self.state, State::Section) {
            self.entity(Header::new(fields, ends), false)?;
        }
        Ok(())
    }

    /// The header section of the next entity is complete.
    fn entity(&mut self, header: Header, closed: bool) -> Result<(), Failure> {
        let number = self.entities;
        self.entities += 1;
        if self.entities > PART_LIMIT {
            return Err(unfollowable(&format!("it has more than {PART_LIMIT} parts")));
        }
        if self.frames.len() > DEPTH_LIMIT {
            return Err(unfollowable(&format!("its parts are nested more than {DEPTH_LIMIT} deep")));
        }
        // The frame of the whole message has no boundary to close it.
        let depth = self.frames.len() - 1;
        let parent = &mut self.frames[depth];
        parent.children += 1;
        let (nature, boundary) = nature(&header, parent.is_digest);
        let is_digest = nature == Nature::Multipart && ContentType::of(&header).essence == "multipart/digest";
        let path = match (nature == Nature::Multipart && parent.boundary.is_empty(), parent.path.as_str()) {
            (true, path) => path.to_owned(),
            (false, "") => parent.children.to_string(),
            (false, path) => format!("{path}.{}", parent.children),
        };
        let name = if depth == 0 { "body".to_owned() } else { format!("part {path}") };
        self.visitor.header(Entity { name, nature: nature.clone() }, header, closed)?;
        match nature {
            Nature::Multipart => self.visitor.begin(number, Section::Preamble),
            Nature::Message => {}
            Nature::Text | Nature::Octets | Nature::Sealed(_) => {
                self.visitor.begin(number, Section::Content);
                return Ok(());
            }
        }
        if nature == Nature::Message {
            self.state = State::Header { fields: Vec::new(), ends: Vec::new() };
        }
        self.frames.push(Frame { boundary, entity: number, path, children: 0, is_digest });
        Ok(())
    }
}

/// What the entity under `header` is, and its boundary if it is a multipart.
fn nature(header: &Header, in_digest: bool) -> (Nature, Vec<u8>) {
    let sealed = |reason: String| (Nature::Sealed(reason), Vec::new());
    if header.is_signed() {
        return sealed("what a DKIM-Signature vouches for is never re-encoded".to_owned());
    }
    let content_type = ContentType::of(header);
    let is_encoded = header
        .first("Content-Transfer-Encoding")
        .is_some_and(|field| matches!(Encoding::read(&field.text()).0, Encoding::Base64 | Encoding::QuotedPrintable));
    let essence = match content_type.essence.as_str() {
        "" if in_digest => "message/rfc822",
        essence => essence,
    };
    let nature = match essence {
        "multipart/signed" | "multipart/encrypted" | "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
            return sealed(format!("{essence} content is never re-encoded"));
        }
        "message/partial" | "message/external-body" => {
            return sealed(format!("{essence} content cannot be re-encoded"));
        }
        "message/rfc822" | "message/global" | "message/news" if !is_encoded => Nature::Message,
        _ if essence.starts_with("multipart/") => {
            return match content_type.parameter("boundary") {
                Some(boundary) if boundary.is_ascii() && (1..HELD - 8).contains(&boundary.len()) => {
                    (Nature::Multipart, boundary.to_vec())
                }
                _ => sealed("multipart content without a usable boundary cannot be re-encoded".to_owned()),
            };
        }
        "message/rfc822" | "message/global" | "message/news" => Nature::Octets,
        "" => Nature::Text,
        _ if essence.starts_with("text/") || essence.starts_with("message/") => Nature::Text,
        _ => Nature::Octets,
    };
    (nature, Vec::new())
}

fn unfollowable(why: &str) -> Failure {
    Failure::new(Kind::Data, "message", format!("{why}, so its parts cannot be re-encoded"))
}

/// Shows the body of `message` to `visitor`.
///
/// # Errors
/// As [`Scanner::take`], and `Io` where the temporary file cannot be read.
pub(super) fn visit(message: &Message, visitor: &mut impl Visitor) -> Result<(), Failure> {
    let mut scanner = Scanner::new(&message.header, visitor)?;
    let mut chunks = message.chunks();
    let mut is_header = true;
    loop {
        let chunk = chunks.advance().map_err(|error| {
            Failure::new(Kind::Io, "message", format!("cannot be read back from its temporary file: {error}"))
        })?;
        match chunk {
            None => return scanner.finish(),
            // The first chunk is the header section.
            Some(_) if is_header => is_header = false,
            Some(chunk) => scanner.take(chunk)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts octets of content.
    #[derive(Default)]
    struct Count(usize);

    impl Visitor for Count {
        fn header(&mut self, _: Entity, _: Header, _: bool) -> Result<(), Failure> {
            Ok(())
        }
        fn begin(&mut self, _: usize, _: Section) {}
        fn piece(&mut self, piece: Piece<'_>) -> Result<(), Failure> {
            self.0 += piece.octets.len() + if piece.ends { 2 } else { 0 };
            Ok(())
        }
        fn end(&mut self, _: bool) -> Result<(), Failure> {
            Ok(())
        }
        fn delimiter(&mut self, _: usize, _: &[u8]) -> Result<(), Failure> {
            Ok(())
        }
    }

    #[test]
    fn what_is_held_does_not_grow_with_the_message() {
        const CHUNK: usize = 64 << 10;
        for unit in ["x", "xy\r\n", "--xx\r\n", "\r\n", &"x".repeat(1500)] {
            let chunk = unit.repeat(CHUNK / unit.len());
            let mut count = Count::default();
            let mut header = Header::new(Vec::new(), Vec::new());
            header.append("Content-Type", "multipart/mixed; boundary=b");
            let mut scanner = Scanner::new(&header, &mut count).unwrap();
            for _ in 0..24 {
                scanner.take(chunk.as_bytes()).unwrap();
                assert!(scanner.line.capacity() <= 2 * (CHUNK + HELD), "{}", scanner.line.capacity());
            }
            scanner.take(b"\r\n").unwrap();
            scanner.finish().unwrap();
            assert_eq!(count.0, 24 * chunk.len() + 2);
        }
    }
}
