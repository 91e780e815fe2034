//! Content transfer encodings (RFC 2045 section 6) read: which one a part names, and its octets.
//!
//! Read as mail readers read them. What they pass over is passed over and told, never handed on undecoded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::reply::printable;

/// A full line of base64 holds at least this many octets.
const BASE64_LINE: usize = 60;

/// How content is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all: 7bit, 8bit, binary, nothing, or what is written in the place of these.
    Plain,
    /// Quoted-printable.
    QuotedPrintable,
    /// Base64.
    Base64,
    /// In a way that is not known here.
    Foreign,
}

/// Content with its encoding undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Its octets.
    pub octets: Vec<u8>,
    /// What was passed over, for a record: `a bare = in quoted-printable kept`.
    pub flaw: Option<String>,
}

impl Encoding {
    /// Reads the value of a Content-Transfer-Encoding field, and says whether it is written as it should be.
    pub fn read(value: &str) -> (Self, bool) {
        let is_noise = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
        let plain = value.split(['(', ';', ',']).next().unwrap_or_default();
        let name: String = plain.chars().filter(|&c| !is_noise(c)).collect::<String>().to_ascii_lowercase();
        let encoding = match name.replace('_', "-").as_str() {
            "quoted-printable" | "quotedprintable" => Self::QuotedPrintable,
            "base64" | "base-64" => Self::Base64,
            name if name.starts_with("x-") && name != "x-unknown" || name.contains("uuencode") => Self::Foreign,
            // Readers show what they do not know as it is.
            _ => Self::Plain,
        };
        let is_standard = ["", "7bit", "8bit", "binary", "quoted-printable", "base64"].contains(&name.as_str());
        (encoding, is_standard && (value.trim().len() == name.len() || value.contains('(')))
    }

    /// Its name, for a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::QuotedPrintable => "quoted-printable",
            Self::Base64 => "base64",
            Self::Foreign => "an unknown one",
        }
    }

    /// The octets that `content`, with line ends of CRLF, stands for.
    ///
    /// # Errors
    /// Why it cannot be read: `base64 with other text in it`.
    pub fn decode(self, content: &[u8]) -> Result<Content, &'static str> {
        match self {
            Self::Plain => Ok(Content { octets: content.to_vec(), flaw: None }),
            Self::QuotedPrintable => Ok(quoted_printable(content)),
            Self::Base64 => base64(content),
            Self::Foreign => Err("a transfer encoding that is not known"),
        }
    }
}

/// `name` for a record or a failure.
pub fn shown(name: &str) -> String {
    format!("{:?}", printable(name.as_bytes(), 40))
}

/// Undoes quoted-printable. White space at the end of a line goes (RFC 2045 6.7, rule 3); a `=` that quotes nothing
/// stands for itself.
fn quoted_printable(content: &[u8]) -> Content {
    let digit = |b: Option<&u8>| b.and_then(|&b| char::from(b).to_digit(16)).map(|digit| digit as u8);
    let mut octets = Vec::with_capacity(content.len());
    let mut bare = 0_usize;
    for line in content.split_inclusive(|&b| b == b'\n') {
        let ends = line.ends_with(b"\n");
        let text = line.trim_ascii_end();
        // Without a line end, white space is the content's own.
        let text = if ends || text.ends_with(b"=") { text } else { line };
        let (mut rest, is_soft) = text.strip_suffix(b"=").map_or((text, false), |text| (text, true));
        while let [first, behind @ ..] = rest {
            rest = behind;
            match (first, digit(behind.first()), digit(behind.get(1))) {
                (b'=', Some(high), Some(low)) => {
                    octets.push(high << 4 | low);
                    rest = &behind[2..];
                }
                (octet, ..) => {
                    bare += usize::from(*octet == b'=');
                    octets.push(*octet);
                }
            }
        }
        if ends && !is_soft {
            octets.extend_from_slice(b"\r\n");
        }
    }
    let flaw = match bare {
        0 => None,
        1 => Some("a bare = in quoted-printable kept".to_owned()),
        bare => Some(format!("{bare} bare = in quoted-printable kept")),
    };
    Content { octets, flaw }
}

/// Whether `octet` stands for six bits in base64.
fn is_digit(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/')
}

/// Whether `line`, which is to be base64, is text. One stray character is none, however short its line.
pub(super) fn is_text(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let goes_on = |b: u8| matches!(b, 0x80..=0xbf);
    let others = line.iter().filter(|&&b| !is_digit(b) && b != b'=' && !goes_on(b)).count();
    others > 1 && (line.iter().any(u8::is_ascii_whitespace) || others * 10 > line.len())
}

/// Undoes base64. Octets that are no digits are passed over, and so is text that somebody, a mailing list for one, put
/// behind it. What begins as text is text, whatever it is declared as.
fn base64(content: &[u8]) -> Result<Content, &'static str> {
    let mut octets = Vec::with_capacity(content.len() / 4 * 3);
    let mut digits = Vec::with_capacity(content.len());
    let mut passed = 0_usize;
    let mut lines = content.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let mut has_footer = false;
    let mut is_first = true;
    for line in lines.by_ref() {
        if is_text(line) {
            has_footer = true;
            break;
        }
        is_first = false;
        passed += line.iter().filter(|&&b| !is_digit(b) && b != b'=').count();
        for &octet in line {
            match octet {
                b'=' => finish(&mut digits, &mut octets)?,
                octet if is_digit(octet) => digits.push(octet),
                _ => {}
            }
        }
    }
    let is_base64 = |line: &[u8]| line.len() >= BASE64_LINE && line.iter().all(|&b| is_digit(b));
    if lines.any(is_base64) {
        return Err("base64 with other text in it");
    }
    if has_footer && is_first {
        return Ok(Content {
            octets: content.to_vec(),
            flaw: Some("text declared as base64 taken as it is".to_owned()),
        });
    }
    finish(&mut digits, &mut octets)?;
    let flaw = match (has_footer, passed) {
        (true, _) => Some("text behind base64 left out".to_owned()),
        (_, 0) => None,
        (_, passed) => Some(format!("{passed} octet{} in base64 passed over", if passed == 1 { "" } else { "s" })),
    };
    Ok(Content { octets, flaw })
}

/// Decodes what came before padding or the end; pieces encoded one by one stand behind one another.
fn finish(digits: &mut Vec<u8>, octets: &mut Vec<u8>) -> Result<(), &'static str> {
    // One digit says nothing, and leftover bits are nobody's.
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    if !digits.len().is_multiple_of(4) {
        let padding = 4 - digits.len() % 4;
        digits.resize(digits.len() + padding, b'A');
        let whole = STANDARD_NO_PAD.decode(&*digits).map_err(|_| "base64 that is broken")?;
        octets.extend_from_slice(&whole[..whole.len() - padding]);
    } else {
        STANDARD_NO_PAD.decode_vec(&*digits, octets).map_err(|_| "base64 that is broken")?;
    }
    digits.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_named_in_many_ways() {
        for (value, encoding, is_standard) in [
            ("", Encoding::Plain, true),
            ("7bit", Encoding::Plain, true),
            ("8BIT (raw)", Encoding::Plain, true),
            ("7 bit", Encoding::Plain, false),
            ("8-bit", Encoding::Plain, false),
            ("\"8bit\"", Encoding::Plain, false),
            ("UTF8", Encoding::Plain, false),
            ("utf-8", Encoding::Plain, false),
            ("unknown-8bit", Encoding::Plain, false),
            ("iso-8859-1", Encoding::Plain, false),
            ("BASE64", Encoding::Base64, true),
            ("base64;", Encoding::Base64, false),
            ("\"base64\"", Encoding::Base64, false),
            ("Quoted-Printable", Encoding::QuotedPrintable, true),
            ("quoted printable", Encoding::QuotedPrintable, false),
            ("quoted_printable", Encoding::QuotedPrintable, false),
            ("x-uuencode", Encoding::Foreign, false),
        ] {
            assert_eq!(Encoding::read(value), (encoding, is_standard), "{value}");
        }
    }

    #[test]
    fn content_is_read_as_readers_read_it() {
        let line = "QUJD".repeat(19);
        let lines = "ABC".repeat(19);
        for (encoding, content, octets, flaw) in [
            (Encoding::Plain, "a=3D \r\n", "a=3D \r\n".to_owned(), None),
            (Encoding::QuotedPrintable, "a=3Db=\r\nc  \r\n=C3=bc\r\n", "a=bc\r\nü\r\n".to_owned(), None),
            (Encoding::QuotedPrintable, "a= \r\nb=", "ab".to_owned(), None),
            (Encoding::QuotedPrintable, "a ", "a ".to_owned(), None),
            (Encoding::QuotedPrintable, "1 = 1\r\n", "1 = 1\r\n".to_owned(), Some("a bare = in quoted-printable kept")),
            (
                Encoding::QuotedPrintable,
                "=G1==\r\nx=3",
                "=G1=x=3".to_owned(),
                Some("3 bare = in quoted-printable kept"),
            ),
            (Encoding::Base64, "QUJD\r\nRA==\r\n", "ABCD".to_owned(), None),
            (Encoding::Base64, "QUJDRA", "ABCD".to_owned(), None),
            (Encoding::Base64, "QUJDREU", "ABCDE".to_owned(), None),
            (Encoding::Base64, "QUEA", "AA\0".to_owned(), None),
            (Encoding::Base64, "QUA", "A@".to_owned(), None),
            (Encoding::Base64, "QA", "@".to_owned(), None),
            (Encoding::Base64, "QQ==QQ==", "AA".to_owned(), None),
            (Encoding::Base64, "QU!JD\r\n", "ABC".to_owned(), Some("1 octet in base64 passed over")),
            (Encoding::Base64, "", String::new(), None),
            (
                Encoding::Base64,
                &format!("{line}\r\nQUJD\r\n\r\n-- \r\nto unsubscribe: x@y.example\r\n"),
                format!("{lines}ABC"),
                Some("text behind base64 left out"),
            ),
            (
                Encoding::Base64,
                "QQ==\r\n_______________________\r\nlist mailing list\r\n",
                "A".to_owned(),
                Some("text behind base64 left out"),
            ),
            (
                Encoding::Base64,
                "Dear Bob, all is well.\r\nAnn\r\n",
                "Dear Bob, all is well.\r\nAnn\r\n".to_owned(),
                Some("text declared as base64 taken as it is"),
            ),
        ] {
            let read = encoding.decode(content.as_bytes()).unwrap();
            assert_eq!((String::from_utf8_lossy(&read.octets).as_ref(), read.flaw.as_deref()), (octets.as_str(), flaw));
        }
        let broken = format!("{line}\r\n-- cut here --\r\n{line}\r\n");
        assert_eq!(Encoding::Base64.decode(broken.as_bytes()), Err("base64 with other text in it"));
        assert!(Encoding::Foreign.decode(b"x").is_err());
    }
}
