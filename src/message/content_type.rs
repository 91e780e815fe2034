//! Fields with parameters read: Content-Type and Content-Disposition (RFC 2045 5.1, RFC 2183, RFC 2231).

use std::collections::BTreeMap;

use super::header::Header;
use crate::charset::{self, Decoded, windows_1252};
use crate::encoded_word;

/// A token such as `text/plain` or `attachment`, and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContentType {
    /// `text/plain`, lower-case; empty where the field has none that can be read.
    pub(crate) essence: String,
    parameters: Vec<(String, Vec<u8>)>,
}

impl ContentType {
    /// Reads the unfolded value of the field.
    pub(crate) fn read(value: &[u8]) -> Self {
        let mut segments = segments(value);
        let first = segments.next().unwrap_or_default();
        let first = first.split(|&b| b == b'(').next().unwrap_or_default();
        let essence: Vec<u8> = first.iter().filter(|b| !b.is_ascii_whitespace()).map(u8::to_ascii_lowercase).collect();
        let parameters = segments.filter_map(|segment| {
            let (name, value) = name_and_value(segment)?;
            Some((String::from_utf8_lossy(name).to_ascii_lowercase(), value))
        });
        Self { essence: String::from_utf8(essence).unwrap_or_default(), parameters: parameters.collect() }
    }

    /// That of a part whose fields are `header`; empty where there is none.
    pub(crate) fn of(header: &Header) -> Self {
        Self::in_field(header, "Content-Type")
    }

    /// What the first field called `name` says. A no-break space, as editors put it in, is a space.
    pub(crate) fn in_field(header: &Header, name: &str) -> Self {
        let Some(field) = header.first(name) else { return Self::default() };
        let octets = field.octets();
        match std::str::from_utf8(&octets) {
            _ if octets.is_ascii() => Self::read(&octets),
            Ok(text) => Self::read(with_plain_spaces(text, true).as_bytes()),
            Err(_) => Self::read(with_plain_spaces(&windows_1252(&octets), true).as_bytes()),
        }
    }

    /// The parameter called `name` (lower-case), as it is written.
    pub(crate) fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// The charset parameter as text.
    pub(crate) fn charset(&self) -> Option<&str> {
        self.parameter("charset").and_then(|value| std::str::from_utf8(value).ok())
    }

    /// What the parameter called `name` (lower-case) says: the form of RFC 2231 before the plain one, which is for
    /// readers that do not know it; sections in their order, a character cut between two of them included.
    pub(crate) fn text(&self, name: &str) -> Option<Decoded> {
        if let Some(value) = self.parameter(&format!("{name}*")) {
            let (charset, octets) = extended(value);
            return Some(in_charset(&octets, charset));
        }
        let sections: BTreeMap<usize, (bool, &[u8])> = self
            .parameters
            .iter()
            .filter_map(|parameter| {
                let number = parameter.0.strip_prefix(name)?.strip_prefix('*')?;
                let (number, is_extended) = number.strip_suffix('*').map_or((number, false), |number| (number, true));
                Some((number.parse().ok()?, (is_extended, parameter.1.as_slice())))
            })
            .collect();
        let (mut octets, mut label) = (Vec::new(), None);
        // What is missing ends it.
        for (_, (number, (is_extended, value))) in
            sections.into_iter().enumerate().take_while(|(at, (number, _))| at == number)
        {
            match is_extended {
                true if number == 0 => {
                    let (charset, section) = extended(value);
                    label = charset;
                    octets.extend(section);
                }
                true => octets.extend(percent_decoded(value)),
                false => octets.extend_from_slice(value),
            }
        }
        if !octets.is_empty() {
            return Some(match label {
                Some(charset) => in_charset(&octets, Some(charset)),
                None => plain(&octets),
            });
        }
        self.parameter(name).map(plain)
    }
}

/// A value without a charset: perhaps in encoded words, which have no place there and are common.
fn plain(value: &[u8]) -> Decoded {
    let raw = in_charset(value, None);
    let words = encoded_word::decode_with_flaw(&raw.text);
    Decoded { text: words.text, flaw: raw.flaw.or(words.flaw) }
}

fn in_charset(octets: &[u8], charset: Option<&str>) -> Decoded {
    charset::decode(octets, charset).unwrap_or_else(|| {
        let flaw = format!("the charset {} cannot be decoded", charset.unwrap_or_default());
        Decoded { text: String::from_utf8_lossy(octets).into_owned(), flaw: Some(flaw) }
    })
}

/// `charset'language'octets`, percent-encoded (RFC 2231 section 4).
fn extended(value: &[u8]) -> (Option<&str>, Vec<u8>) {
    let mut parts = value.splitn(3, |&b| b == b'\'');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(octets)) => {
            let charset = std::str::from_utf8(charset).ok().filter(|charset| !charset.is_empty());
            (charset, percent_decoded(octets))
        }
        _ => (None, percent_decoded(value)),
    }
}

fn percent_decoded(value: &[u8]) -> Vec<u8> {
    let digit = |b: Option<&u8>| b.and_then(|&b| char::from(b).to_digit(16)).map(|digit| digit as u8);
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, digit(behind.first()), digit(behind.get(1))) {
            (b'%', Some(high), Some(low)) => {
                octets.push(high << 4 | low);
                rest = &behind[2..];
            }
            (octet, ..) => octets.push(*octet),
        }
    }
    octets
}

/// The quotes that editors put in the place of plain ones.
pub(super) const TYPOGRAPHIC: [char; 3] = ['“', '”', '„'];

/// `text` with the spaces of editors and of other scripts as plain ones, and without those that have no width; where
/// `has_strings`, quoted strings keep theirs, and typographic quotes around them become plain.
pub(super) fn with_plain_spaces(text: &str, has_strings: bool) -> String {
    // The quote that is open.
    let mut open = None;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let is_typographic = TYPOGRAPHIC.contains(&c);
        match (c, open) {
            ('"', None | Some('"')) if has_strings => {
                open = if open.is_none() { Some(c) } else { None };
                out.push(c);
                continue;
            }
            (_, None | Some('“')) if has_strings && is_typographic => {
                open = if open.is_none() { Some('“') } else { None };
                out.push('"');
                continue;
            }
            _ => {}
        }
        match c {
            c if open.is_some() => out.push(c),
            '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
            c if c.is_whitespace() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// What stands between semicolons outside of quoted strings.
pub(super) fn segments(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut at = 0;
        while at < text.len() {
            match text[at] {
                b';' => break,
                b'"' => at += quoted_length(&text[at..]),
                _ => at += 1,
            }
        }
        rest = text.get(at + 1..);
        Some(&text[..at.min(text.len())])
    })
}

/// `name=value` taken apart, the value without its quotes.
pub(super) fn name_and_value(segment: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let at = segment.iter().position(|&b| b == b'=')?;
    let value = segment[at + 1..].trim_ascii();
    let value = match value.first() {
        Some(b'"') => unquoted(&value[..quoted_length(value)]).collect(),
        _ => value.split(|&b| b == b'(').next().unwrap_or_default().trim_ascii_end().to_vec(),
    };
    Some((segment[..at].trim_ascii(), value))
}

/// Octets of the quoted string that `text` begins with, quotes included.
pub(super) fn quoted_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &octet) in text.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// What a quoted string says.
pub(super) fn unquoted(quoted: &[u8]) -> impl Iterator<Item = u8> {
    let inner = quoted.strip_prefix(b"\"").unwrap_or(quoted);
    unescaped(inner.strip_suffix(b"\"").unwrap_or(inner))
}

pub(super) fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut octets = text.iter().copied();
    std::iter::from_fn(move || match octets.next() {
        Some(b'\\') => octets.next(),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read() {
        for (value, essence, boundary) in [
            ("text/plain", "text/plain", None),
            ("Multipart / Mixed ; boundary=abc", "multipart/mixed", Some("abc")),
            ("multipart/mixed; Boundary = \"a;b \\\"c\"; x=y", "multipart/mixed", Some("a;b \"c")),
            ("multipart/mixed (x); boundary=abc (y)", "multipart/mixed", Some("abc")),
            ("multipart/mixed; boundary=\"open", "multipart/mixed", Some("open")),
            ("; boundary", "", None),
            ("", "", None),
        ] {
            let read = ContentType::read(value.as_bytes());
            assert_eq!(read.essence, essence, "{value}");
            assert_eq!(read.parameter("boundary"), boundary.map(str::as_bytes), "{value}");
        }
        assert_eq!(ContentType::read(b"a/b; CHARSET=\"UTF-8\"").charset(), Some("UTF-8"));
    }

    #[test]
    fn parameters_say_what_their_rfc_2231_form_says() {
        for (value, says) in [
            ("attachment; filename=plain.txt", "plain.txt"),
            ("attachment; filename=\"ü.txt\"", "ü.txt"),
            ("attachment; filename=\"Gr__e.txt\"; filename*=utf-8''Gr%C3%B6%C3%9Fe.txt", "Größe.txt"),
            ("attachment; filename*=iso-8859-1'de'%FC.txt; filename=u.txt", "ü.txt"),
            ("attachment; filename*0*=utf-8''%C3; filename*1*=%BC; filename*2=\".txt\"", "ü.txt"),
            ("attachment; filename*1=b; filename*0=\"a \"; filename*3=d", "a b"),
            ("attachment; filename=\"=?utf-8?Q?=C3?= =?utf-8?Q?=BC.txt?=\"", "ü.txt"),
            ("attachment; filename*=%C3%BC", "ü"),
            ("attachment; filename*=''a%", "a%"),
        ] {
            assert_eq!(ContentType::read(value.as_bytes()).text("filename"), Some(Decoded::exact(says)), "{value}");
        }
        assert_eq!(ContentType::read(b"attachment; name=x").text("filename"), None);
        let flawed = ContentType::read(b"attachment; filename*=utf-8''%FC").text("filename").unwrap();
        assert_eq!((flawed.text.as_str(), flawed.flaw.is_some()), ("ü", true));
    }
}
