//! One line of a record file, read back without being copied.
//!
//! A line is split at its top level only, and a value is decoded when somebody asks for it: a search looks into millions
//! of them. Unknown fields are passed over, so the records of newer versions are read, too.

use std::borrow::Cow;

use memchr::{memchr2, memmem};
use serde::Deserialize;

use super::moment;
use crate::journal::StatusWord;

macro_rules! fields {
    ($($field:ident $name:literal)*) => {
        /// A field of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`.")] $field,)*
        }

        impl Field {
            /// All of them, in the order of a line.
            pub const ALL: &'static [Self] = &[$(Self::$field),*];

            /// Its name in the line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$field => $name,)* }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::of(name.as_bytes())
            }

            fn of(name: &[u8]) -> Option<Self> {
                $(
                    // One comparison each, of a constant.
                    if name == $name.as_bytes() {
                        return Some(Self::$field);
                    }
                )*
                None
            }
        }
    };
}

fields! {
    Version "v"
    Time "time"
    Id "id"
    Status "status"
    By "by"
    Site "site"
    Uid "uid"
    User "user"
    Cwd "cwd"
    Parent "parent"
    Parents "parents"
    Unit "unit"
    Job "job"
    Pool "pool"
    WebHost "web_host"
    Script "script"
    Argv "argv"
    Tag "tag"
    Relay "relay"
    Provider "provider"
    From "from"
    To "to"
    DivertedFrom "diverted_from"
    MessageId "message_id"
    Size "size"
    Code "code"
    Enhanced "enhanced"
    Text "text"
    Spool "spool"
    Hint "hint"
    ProviderId "provider_id"
    Key "key"
    Stage "stage"
    Tls "tls"
    Tries "tries"
    Repairs "repairs"
    Warnings "warnings"
    Ignored "ignored"
    Retry "retry"
    Ms "ms"
    Exit "exit"
    Dialogue "dialogue"
    ResendOf "resend_of"
}

/// How many fields there are.
const COUNT: usize = Field::ALL.len();

/// Their names, in the same order.
const NAMES: [&[u8]; COUNT] = {
    let mut names: [&[u8]; COUNT] = [b""; COUNT];
    let mut number = 0;
    while number < COUNT {
        names[number] = Field::ALL[number].name().as_bytes();
        number += 1;
    }
    names
};

/// How many fields in a row are likely to be missing, and one.
const AHEAD: usize = 6;

/// How every line begins.
const BEGIN: &[u8] = b"{\"v\":";

/// A record as it stands in a line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    octets: &'a [u8],
    /// The values as they are written; empty: there is none.
    values: [&'a [u8]; COUNT],
}

/// One try of a record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tried {
    /// The relay.
    pub relay: String,
    /// The address it was reached at.
    pub peer: Option<String>,
    /// Its reply code.
    pub code: Option<u16>,
    /// What it said, or why nothing was heard.
    pub text: String,
    /// Where in the conversation.
    pub stage: Option<String>,
    /// How long it took.
    pub ms: u64,
}

impl<'a> Line<'a> {
    /// Reads `octets`, a line without its end. `None`: it is not a record, or not all of one.
    pub fn read(octets: &'a [u8]) -> Option<Self> {
        let mut values: [&[u8]; COUNT] = [&[]; COUNT];
        let mut at = Cursor { octets, at: 0 };
        at.take(b'{')?;
        // The order is nearly always that of the list.
        let mut expected = 0;
        loop {
            let found = match at.name_among(expected) {
                Some(number) => Some(number),
                None => Field::of(at.name()?).map(|field| field as usize),
            };
            at.take(b':')?;
            let value = at.value()?;
            if let Some(number) = found {
                values[number] = value;
                expected = number + 1;
            }
            match at.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        let is_whole = at.at == octets.len() && !values[Field::Version as usize].is_empty();
        is_whole.then_some(Self { octets, values })
    }

    /// Reads what stands behind a torn line on the same line: a disk was full, or the power went, and the next record
    /// came later.
    pub fn behind_torn(octets: &'a [u8]) -> Option<Self> {
        let at = memmem::rfind(octets, BEGIN).filter(|at| *at > 0)?;
        Self::read(&octets[at..])
    }

    /// The whole line.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The value of `field` as it is written; empty: there is none.
    pub(super) fn raw(&self, field: Field) -> &'a [u8] {
        self.values[field as usize]
    }

    /// The values as they are written, of the fields that are known.
    pub(super) fn every_raw(&self) -> impl Iterator<Item = &'a [u8]> {
        self.values.into_iter().filter(|value| !value.is_empty())
    }

    /// Whether there is a value.
    pub fn has(&self, field: Field) -> bool {
        !self.raw(field).is_empty()
    }

    /// Whether the message had waited, and was tried again by a flush.
    pub fn is_again(&self) -> bool {
        self.raw(Field::Retry) == b"true"
    }

    /// The value of `field`, where it is a text.
    pub fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        text(self.raw(field))
    }

    /// The value of `field`, where it is a number.
    pub fn number(&self, field: Field) -> Option<u64> {
        std::str::from_utf8(self.raw(field)).ok()?.parse().ok()
    }

    /// The items of `field`, where it is a list of texts.
    pub fn list(&self, field: Field) -> Vec<Cow<'a, str>> {
        let Some(inner) = self.raw(field).strip_prefix(b"[") else { return Vec::new() };
        let mut at = Cursor { octets: inner, at: 0 };
        let mut items = Vec::new();
        while let Some(value) = at.value() {
            items.extend(text(value));
            if at.next() != Some(b',') {
                break;
            }
        }
        items
    }

    /// The tries, in order.
    pub fn tries(&self) -> Vec<Tried> {
        serde_json::from_slice(self.raw(Field::Tries)).unwrap_or_default()
    }

    /// When the record was made, in milliseconds since 1970.
    pub fn time(&self) -> Option<i64> {
        moment::read(inside(self.raw(Field::Time))?)
    }

    /// The reply code that decided.
    pub fn code(&self) -> Option<u16> {
        self.number(Field::Code).and_then(|code| u16::try_from(code).ok())
    }

    /// The exit status.
    pub fn exit(&self) -> u8 {
        self.number(Field::Exit).and_then(|exit| u8::try_from(exit).ok()).unwrap_or(u8::MAX)
    }

    /// What has become of the message.
    pub fn status(&self) -> StatusWord {
        let said = inside(self.raw(Field::Status)).and_then(|name| std::str::from_utf8(name).ok());
        said.and_then(StatusWord::named).unwrap_or_else(|| {
            let spool = inside(self.raw(Field::Spool)).and_then(|name| std::str::from_utf8(name).ok());
            StatusWord::of(self.code(), self.exit(), spool)
        })
    }
}

/// What stands between the quotation marks.
fn inside(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = inside(value)?;
    if memchr::memchr(b'\\', inner).is_none() {
        return Some(String::from_utf8_lossy(inner));
    }
    match serde_json::from_slice::<String>(value) {
        Ok(text) => Some(Cow::Owned(text)),
        // Somebody else wrote it.
        Err(_) => Some(String::from_utf8_lossy(inner)),
    }
}

/// A place in a line. Blanks between the parts are allowed, as another program may have written it anew.
struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next octet that is no blank.
    fn next(&mut self) -> Option<u8> {
        loop {
            let octet = *self.octets.get(self.at)?;
            self.at += 1;
            if !matches!(octet, b' ' | b'\t' | b'\r') {
                return Some(octet);
            }
        }
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    /// One of the names that come next in the list, from `expected` on: goes behind it where it is one.
    fn name_among(&mut self, expected: usize) -> Option<usize> {
        let rest = self.octets.get(self.at..)?.strip_prefix(b"\"")?;
        let names = NAMES.get(expected..)?.iter().take(AHEAD);
        let is_it = |name: &&[u8]| rest.starts_with(name) && rest.get(name.len()) == Some(&b'"');
        let ahead = names.copied().position(|name| is_it(&name))?;
        self.at += NAMES[expected + ahead].len() + 2;
        Some(expected + ahead)
    }

    /// A name with its quotation marks, which are not part of what is returned.
    fn name(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let start = self.at;
        self.end_string()?;
        Some(&self.octets[start..self.at - 1])
    }

    /// A value of any kind.
    fn value(&mut self) -> Option<&'a [u8]> {
        let first = self.next()?;
        let start = self.at - 1;
        match first {
            b'"' => self.end_string()?,
            b'{' | b'[' => self.end_nested()?,
            b'0'..=b'9' | b'-' | b't' | b'f' | b'n' => {
                while matches!(self.octets.get(self.at)?, b'0'..=b'9' | b'a'..=b'z' | b'.' | b'+' | b'-' | b'E') {
                    self.at += 1;
                }
            }
            _ => return None,
        }
        Some(&self.octets[start..self.at])
    }

    /// Goes behind the quotation mark that ends the string.
    fn end_string(&mut self) -> Option<()> {
        loop {
            let rest = self.octets.get(self.at..)?;
            let found = memchr2(b'"', b'\\', rest)?;
            self.at += found + 1;
            if rest[found] == b'"' {
                return Some(());
            }
            // What is escaped ends nothing.
            self.at += 1;
        }
    }

    fn end_nested(&mut self) -> Option<()> {
        let mut depth = 1_usize;
        while depth > 0 {
            let octet = *self.octets.get(self.at)?;
            self.at += 1;
            match octet {
                b'"' => self.end_string()?,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Record;

    #[test]
    fn what_was_written_is_read() {
        let mut record = Record::new(1042);
        record.site = Some("shop \"x\" \\ ü".to_owned());
        record.to = vec!["a@b.example".to_owned(), "\"q,]}\"@b.example".to_owned()];
        record.from = Some(String::new());
        record.size = Some(7);
        record.finish(150, std::time::Duration::from_millis(12));
        let text = record.line();
        let line = Line::read(text.as_bytes()).expect("a record");
        assert_eq!(line.text(Field::Site).as_deref(), Some("shop \"x\" \\ ü"));
        assert_eq!(line.list(Field::To), ["a@b.example", "\"q,]}\"@b.example"]);
        assert_eq!(line.text(Field::From).as_deref(), Some(""));
        assert_eq!(line.text(Field::Relay), None);
        let numbers = [Field::Size, Field::Ms, Field::Uid, Field::Exit].map(|field| line.number(field));
        assert_eq!(numbers, [Some(7), Some(12), Some(1042), Some(150)]);
        let age = jiff::Timestamp::now().as_millisecond() - line.time().expect("a time");
        assert!((0..60_000).contains(&age), "{age}");
        assert_eq!(line.status(), StatusWord::Failed);
    }

    #[test]
    fn every_field_of_a_record_is_known() {
        let record: serde_json::Value = {
            let mut record = Record::new(1);
            record.site = Some(String::new());
            serde_json::from_str(&record.line()).expect("JSON")
        };
        for name in record.as_object().expect("an object").keys() {
            assert!(Field::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn other_versions_and_orders_are_read_and_what_is_torn_is_not() {
        let newer = br#"{ "exit" : 0, "v":99, "new":{"a":["}",{"b":null}]},"to":[],"more":-1.5e3,"id":"x","tries":[{"relay":"a","what":1}]}"#;
        let line = Line::read(newer).expect("a record");
        assert_eq!((line.exit(), line.text(Field::Id).as_deref(), line.list(Field::To).len()), (0, Some("x"), 0));
        assert_eq!(line.tries()[0].relay, "a");
        assert_eq!(line.status(), StatusWord::Accepted);
        for end in 0..newer.len() {
            assert!(Line::read(&newer[..end]).is_none(), "{end}");
        }
        for wrong in ["", "{}", "{\"v\":1}}", "[1]", "{\"v\":1,}", "{\"v\" 1}", "{\"exit\":1}", "null", "{\"v\":1} x"] {
            assert!(Line::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
        let torn = br#"{"v":1,"time":"2026-{"v":1,"id":"behind"}"#;
        assert!(Line::read(torn).is_none());
        assert_eq!(Line::behind_torn(torn).and_then(|line| line.text(Field::Id)).as_deref(), Some("behind"));
        assert!(Line::behind_torn(br#"{"v":1,"time":"2026-"#).is_none());
    }

    #[test]
    fn hostile_octets_are_texts_all_the_same() {
        let line = Line::read(
            b"{\"v\":1,\"site\":\"a\xff\\q\",\"id\":\"\\ud800\",\"to\":[\"\xfe\"],\"uid\":-1,\"code\":99999}",
        );
        let line = line.expect("a record");
        assert_eq!(line.text(Field::Site).as_deref(), Some("a\u{fffd}\\q"));
        assert!(line.text(Field::Id).is_some());
        assert_eq!(line.list(Field::To), ["\u{fffd}"]);
        assert_eq!((line.number(Field::Uid), line.code()), (None, None));
    }
}
