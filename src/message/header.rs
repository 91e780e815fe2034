//! The header section (RFC 5322 2.2): fields over the octets they are written in.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::charset::field_text;

/// Lines of fields we write are folded at this length, in octets (RFC 5322 2.1.1).
const LINE: usize = 78;

/// The longest line a server has to take, in octets without CRLF (RFC 5321 4.5.3.1.6).
pub(super) const LINE_LIMIT: usize = 998;

/// A header section: every field ends in CRLF, and the empty line closes it.
///
/// Only intake makes one, so that no field holds a CR or LF that is not part of folding; what is added
/// here cannot bring one in.
#[derive(Clone, Debug)]
pub struct Header {
    /// The fields, then the empty line.
    bytes: Vec<u8>,
    /// Where each field ends in `bytes`, in order.
    ends: Vec<usize>,
    /// The charset of raw octets, once somebody asked for it.
    pub(super) charset: OnceLock<Option<String>>,
}

/// One header field as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
    raw: &'a [u8],
    header: &'a Header,
}

/// What [`Header::edit`] does with a field.
pub enum Edit {
    /// It stays as it is.
    Keep,
    /// It goes.
    Remove,
    /// It gets another value; CR, LF and NUL in it become spaces.
    Value(String),
}

impl Header {
    /// The section made of `fields`, each ending in CRLF where `ends` says.
    pub(super) fn new(mut fields: Vec<u8>, ends: Vec<usize>) -> Self {
        fields.extend_from_slice(b"\r\n");
        Self { bytes: fields, ends, charset: OnceLock::new() }
    }

    /// The section that was written down as `bytes`, the empty line included; `None`: it is none, and so nothing that
    /// intake made.
    pub(super) fn read_back(bytes: Vec<u8>) -> Option<Self> {
        let mut ends = Vec::new();
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', &bytes) {
            let line = bytes[start..at].strip_suffix(b"\r")?;
            start = at + 1;
            let is_folded = matches!(line.first(), Some(b' ' | b'\t'));
            match ends.last_mut() {
                _ if line.is_empty() => break,
                _ if memchr::memchr2(b'\r', 0, line).is_some() => return None,
                Some(end) if is_folded => *end = start,
                _ if begins_field(line) && !is_folded => ends.push(start),
                _ => return None,
            }
        }
        (start == bytes.len() && bytes.ends_with(b"\r\n")).then_some(Self { bytes, ends, charset: OnceLock::new() })
    }

    /// The section of a message that is still to come.
    pub(crate) fn empty() -> Self {
        Self::new(Vec::new(), Vec::new())
    }

    /// The section as it goes on the wire, the empty line included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The longest line, in octets without CRLF; of a section that is shorter than any limit all of it.
    pub(super) fn longest_line(&self) -> usize {
        if self.bytes.len() <= LINE_LIMIT {
            return self.bytes.len();
        }
        longest_line(&self.bytes)
    }

    /// Every field in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |&end| Field::new(&self.bytes[std::mem::replace(&mut start, end)..end], self))
    }

    /// The fields called `name`, in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |field| field.is(name))
    }

    /// The first field called `name`, in any case.
    pub fn first(&self, name: &str) -> Option<Field<'_>> {
        self.fields().find(|field| field.is(name))
    }

    /// Whether a signature vouches for fields of it: DKIM-Signature (RFC 6376).
    pub(crate) fn is_signed(&self) -> bool {
        self.first("DKIM-Signature").is_some()
    }

    /// Whether a signature covers the fields called `name`, or that there is none: it lists the name in `h=`
    /// (RFC 6376 3.5, 5.4.2). What comes or goes of that name breaks it.
    pub fn signs(&self, name: &str) -> bool {
        let signatures = self.fields().filter(|field| field.is("DKIM-Signature") || field.is("ARC-Message-Signature"));
        signatures.map(|field| field.text()).any(|signature| {
            let mut tags = signature.split(';').filter_map(|tag| tag.split_once('='));
            let listed = tags.find(|(tag, _)| tag.trim() == "h").map_or("", |(_, listed)| listed);
            listed.split(':').any(|listed| listed.trim().eq_ignore_ascii_case(name))
        })
    }

    /// Adds a field at the end. CR, LF and NUL in `value` become spaces; long lines are folded.
    pub fn append(&mut self, name: &str, value: &str) {
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        write_field(&mut self.bytes, name.as_bytes(), value);
        self.ends.push(self.bytes.len());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds fields before all others, as [`Header::append`] writes them.
    pub fn prefix(&mut self, fields: &[(&str, &str)]) {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 256);
        let mut ends = Vec::with_capacity(self.ends.len() + fields.len());
        for (name, value) in fields {
            write_field(&mut bytes, name.as_bytes(), value);
            ends.push(bytes.len());
        }
        let added = bytes.len();
        bytes.extend_from_slice(&self.bytes);
        ends.extend(self.ends.iter().map(|end| end + added));
        *self = Self { bytes, ends, charset: OnceLock::new() };
    }

    /// Removes every field called `name` and says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let found = self.first(name).is_some();
        if found {
            self.edit(|field| if field.is(name) { Edit::Remove } else { Edit::Keep });
        }
        found
    }

    /// Asks for every field what becomes of it, in one pass.
    pub fn edit(&mut self, mut choose: impl FnMut(Field<'_>) -> Edit) {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut ends = Vec::with_capacity(self.ends.len());
        for field in self.fields() {
            match choose(field) {
                Edit::Keep => bytes.extend_from_slice(field.raw),
                Edit::Remove => continue,
                Edit::Value(value) => write_field(&mut bytes, field.name, &value),
            }
            ends.push(bytes.len());
        }
        *self = Self::new(bytes, ends);
    }
}

impl<'a> Field<'a> {
    fn new(raw: &'a [u8], header: &'a Header) -> Self {
        // Intake takes a line for a field only where it has a colon.
        let colon = memchr::memchr(b':', raw).unwrap_or(raw.len());
        let value = raw.get(colon + 1..).unwrap_or_default();
        Self { name: raw[..colon].trim_ascii_end(), value, raw, header }
    }

    /// Whether the field is called `name`, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The name as it is written, without obsolete white space before the colon.
    pub fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name)
    }

    /// The name as it is written.
    pub(super) fn name_octets(&self) -> &'a [u8] {
        self.name
    }

    /// The value as it is written, folded.
    pub(super) fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The octets of the value, unfolded and trimmed.
    pub(super) fn octets(&self) -> Vec<u8> {
        self.value.trim_ascii().iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect()
    }

    /// The longest line it is written in, in octets without CRLF.
    pub(super) fn longest_line(&self) -> usize {
        longest_line(self.raw)
    }

    /// The value unfolded and trimmed, in the charset that [`field_text`] finds.
    pub fn text(&self) -> Cow<'a, str> {
        let value = self.value.trim_ascii();
        if memchr::memchr2(b'\r', b'\n', value).is_none() {
            return field_text(value, || self.header.charset());
        }
        Cow::Owned(field_text(&self.octets(), || self.header.charset()).into_owned())
    }
}

/// The longest line of `text`, in octets without CRLF.
fn longest_line(text: &[u8]) -> usize {
    let mut start = 0;
    let mut longest = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        longest = longest.max((end - start).saturating_sub(1));
        start = end + 1;
    }
    longest.max(text.len() - start)
}

/// Whether `line` begins a header field: a name of visible characters, perhaps obsolete white space,
/// and a colon (RFC 5322 3.6.8, 4.5).
pub(super) fn begins_field(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// Writes `name: value` and CRLF, folded before white space where a line would become too long.
fn write_field(out: &mut Vec<u8>, name: &[u8], value: &str) {
    let value: String = value.chars().map(|c| if matches!(c, '\r' | '\n' | '\0') { ' ' } else { c }).collect();
    let mut line = out.len();
    out.extend_from_slice(name);
    out.push(b':');
    let value_start = out.len();
    // A run of spaces stays in front of the word behind it, so that no line is white space alone.
    let mut spaces = 1;
    for word in value.trim().split(' ') {
        if word.is_empty() {
            spaces += 1;
            continue;
        }
        if out.len() - line + spaces + word.len() > LINE && out.len() > value_start {
            out.extend_from_slice(b"\r\n");
            line = out.len();
        }
        out.extend(std::iter::repeat_n(b' ', spaces));
        out.extend_from_slice(word.as_bytes());
        spaces = 1;
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(fields: &[&str]) -> Header {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for field in fields {
            bytes.extend_from_slice(field.as_bytes());
            ends.push(bytes.len());
        }
        Header::new(bytes, ends)
    }

    fn text(header: &Header) -> &str {
        std::str::from_utf8(header.as_bytes()).unwrap()
    }

    #[test]
    fn fields_are_found_in_any_case_and_unfolded() {
        let header = header(&["Subject : one\r\n two\r\n", "TO: a@x.org\r\n", "to:\r\n b@x.org\r\n", "X:\r\n"]);
        assert_eq!(header.first("subject").unwrap().text(), "one two");
        assert_eq!(header.first("subject").unwrap().name(), "Subject");
        let to: Vec<_> = header.all("To").map(|field| field.text().into_owned()).collect();
        assert_eq!(to, ["a@x.org", "b@x.org"]);
        assert_eq!(header.first("X").unwrap().text(), "");
        assert!(header.first("Sub").is_none());
    }

    #[test]
    fn raw_octets_are_read() {
        let header = Header::new(b"From: J\xfcrgen <a@x.org>\r\n".to_vec(), vec![25]);
        assert_eq!(header.first("from").unwrap().text(), "Jürgen <a@x.org>");
    }

    #[test]
    fn edits_leave_the_other_fields_as_they_are() {
        let mut header = header(&["A:  1\r\n", "bcc: x@x.org,\r\n\ty@x.org\r\n", "B :2\r\n", "BCC: z@x.org\r\n"]);
        assert!(header.remove("Bcc"));
        assert!(!header.remove("Bcc"));
        assert_eq!(text(&header), "A:  1\r\nB :2\r\n\r\n");
        header.append("C", "3");
        header.edit(|field| if field.is("a") { Edit::Value("one".into()) } else { Edit::Keep });
        assert_eq!(text(&header), "A: one\r\nB :2\r\nC: 3\r\n\r\n");
        assert_eq!(header.fields().count(), 3);
    }

    #[test]
    fn a_signature_covers_what_it_lists() {
        let header = header(&[
            "DKIM-Signature: v=1; a=rsa-sha256; d=x.org; h=From : to:\r\n\tMessage-ID:Date;\r\n bh=x; b=h\r\n",
            "dkim-signature: v=1; bh=Cc; H=Bcc; h = Subject\r\n",
            "ARC-Message-Signature: i=1; h=MIME-Version\r\n",
        ]);
        for name in ["From", "To", "message-id", "Date", "Subject", "MIME-Version"] {
            assert!(header.signs(name), "{name}");
        }
        for name in ["Cc", "Bcc", "x", "", "Mess"] {
            assert!(!header.signs(name), "{name}");
        }
    }

    #[test]
    fn nothing_we_add_can_begin_another_field_or_the_body() {
        let mut header = header(&[]);
        header.append("From", "x\r\nBcc: eve@x.org\r\n\r\nbody\0\n.\r\n");
        assert_eq!(text(&header), "From: x  Bcc: eve@x.org    body  .\r\n\r\n");
        assert_eq!(header.fields().count(), 1);
    }

    #[test]
    fn long_values_are_folded_before_white_space() {
        let mut header = header(&[]);
        let list = ["somebody@example.org"; 9].join(",  ");
        header.append("To", &list);
        assert!(text(&header).lines().all(|line| line.len() <= LINE), "{}", text(&header));
        assert_eq!(header.first("to").unwrap().text(), list);
        header.append("Subject", &"Re: ".repeat(40));
        assert!(text(&header).lines().all(|line| line.len() <= LINE), "{}", text(&header));
    }

    #[test]
    fn what_begins_a_field() {
        for line in ["a:", "Subject: x", "From : x", "X-\u{21}~: y", ".dot: z"] {
            assert!(begins_field(line.as_bytes()), "{line}");
        }
        for line in ["", ":", " a: b", "no colon", "From bob@x Mon Jan 1 10:00:00", "ü: x", "a\tb: c"] {
            assert!(!begins_field(line.as_bytes()), "{line}");
        }
    }
}
