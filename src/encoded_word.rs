//! Encoded words (RFC 2047) read: the one decoder for display names, texts and parameters.
//!
//! Encoding them is [`crate::message::repair`]'s. Read as mail readers read them: wherever they stand in a text,
//! with a language (RFC 2231 section 5), with blanks inside, and with a character cut in two between them.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::charset::{self, Decoded};

/// Base64 as it is found in encoded words: with padding, without, or with bits left over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One encoded word, its transfer encoding undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedWord<'a> {
    /// The charset, as it is written, without a language.
    pub charset: &'a str,
    /// The octets in that charset.
    pub octets: Vec<u8>,
}

impl<'a> EncodedWord<'a> {
    /// Reads the encoded word that `text` begins with; the text behind it comes along.
    pub fn split(text: &'a str) -> Option<(Self, &'a str)> {
        let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
        let (encoding, rest) = rest.split_once('?')?;
        let (data, rest) = split_data(rest)?;
        let charset = charset.split('*').next().unwrap_or_default();
        let is_token = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\"/[]?=".contains(&b);
        if charset.is_empty() || !charset.bytes().all(is_token) {
            return None;
        }
        let octets = match encoding {
            "b" | "B" => base64(data)?,
            "q" | "Q" => quoted(data),
            _ => return None,
        };
        Some((Self { charset, octets }, rest))
    }

    /// The encoded word that `word` is.
    pub fn read(word: &'a str) -> Option<Self> {
        Self::split(word).filter(|(_, rest)| rest.is_empty()).map(|(word, _)| word)
    }
}

/// What stands before the next `?=`, and behind it; `None` where another word begins before.
fn split_data(text: &str) -> Option<(&str, &str)> {
    let octets = text.as_bytes();
    let mut marks = memchr::memchr_iter(b'?', octets);
    let end = marks.find_map(|at| match (octets.get(at + 1), at > 0 && octets[at - 1] == b'=') {
        (Some(b'='), _) => Some(Some(at)),
        (_, true) => Some(None),
        _ => None,
    });
    end?.map(|at| (&text[..at], &text[at + 2..]))
}

/// `text` with its encoded words decoded; white space between two of them goes. What only looks like one stays.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains("=?") {
        return Cow::Borrowed(text);
    }
    Cow::Owned(decode_with_flaw(text).text)
}

/// As [`decode`], with what was not in its charset. Work is linear in `text`.
pub fn decode_with_flaw(text: &str) -> Decoded {
    let mut out = Decoded::default();
    // Encoded words that follow one another, which may share a character.
    let mut run: Vec<EncodedWord<'_>> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("=?") {
        let (before, word) = rest.split_at(at);
        if run.is_empty() || !before.bytes().all(|b| b.is_ascii_whitespace()) {
            finish(&mut run, &mut out);
            out.text.push_str(before);
        }
        match EncodedWord::split(word) {
            Some((word, behind)) => {
                run.push(word);
                rest = behind;
            }
            None => {
                if !run.is_empty() {
                    finish(&mut run, &mut out);
                    out.text.push_str(before);
                }
                out.text.push_str("=?");
                rest = &word[2..];
            }
        }
    }
    finish(&mut run, &mut out);
    out.text.push_str(rest);
    out
}

/// Writes what the words of `run` say: those of one charset together where that reads better than one by one.
fn finish(run: &mut Vec<EncodedWord<'_>>, out: &mut Decoded) {
    for words in run.chunk_by(|one, next| one.charset.eq_ignore_ascii_case(next.charset)) {
        let each: Vec<Decoded> = words.iter().map(|word| in_charset(&word.octets, word.charset)).collect();
        let apart = Decoded {
            text: each.iter().map(|decoded| decoded.text.as_str()).collect(),
            flaw: each.iter().find_map(|decoded| decoded.flaw.clone()),
        };
        let decoded = match apart.flaw.is_some() && words.len() > 1 {
            true => {
                let octets: Vec<u8> = words.iter().flat_map(|word| word.octets.iter().copied()).collect();
                in_charset(&octets, words[0].charset)
            }
            false => apart,
        };
        out.text.push_str(&decoded.text);
        out.flaw = out.flaw.take().or(decoded.flaw);
    }
    run.clear();
}

fn in_charset(octets: &[u8], charset: &str) -> Decoded {
    charset::decode(octets, Some(charset)).unwrap_or_else(|| {
        let flaw = format!("the charset {charset} cannot be decoded");
        Decoded { text: String::from_utf8_lossy(octets).into_owned(), flaw: Some(flaw) }
    })
}

/// Base64, with or without its padding and with blanks in it; `None` where it is none.
fn base64(data: &str) -> Option<Vec<u8>> {
    let mut digits: Vec<u8> = data.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    // A digit by itself says nothing.
    if digits.iter().any(|b| !(b.is_ascii_alphanumeric() || b"+/=".contains(b))) {
        return None;
    }
    let end = digits.iter().rposition(|&b| b != b'=').map_or(0, |last| last + 1);
    if end % 4 == 1 {
        digits.truncate(end - 1);
    }
    LENIENT.decode(digits).ok()
}

/// The Q encoding (RFC 2047 4.2); what only looks like a quoted octet stays.
fn quoted(data: &str) -> Vec<u8> {
    let digit = |b: Option<&u8>| b.and_then(|&b| char::from(b).to_digit(16)).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'_' => out.push(b' '),
            b'=' => match (digit(behind.first()), digit(behind.get(1))) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = &behind[2..];
                }
                _ => out.push(b'='),
            },
            &octet => out.push(octet),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_read_as_readers_do() {
        for (text, says) in [
            ("plain", "plain"),
            ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
            ("=?ISO-8859-1?Q?a_b?= c", "a b c"),
            ("a =?utf-8?B?w7w=?= =?utf-8?B?w7w?= b", "a üü b"),
            // A character cut in two, between words and between lines.
            ("=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "ü"),
            ("=?UTF-8?B?5pel5pw=?=  =?utf-8?B?rA==?=", "日本"),
            ("=?gb2312?B?xA==?= =?GB2312?B?4w==?=", "你"),
            // Charsets that keep a state.
            ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?= =?iso-2022-jp?B?GyRCOGwbKEI=?=", "日本語"),
            ("=?utf-8?q?a?= =?iso-8859-1?q?=FC?=", "aü"),
            ("=?utf-8*de?q?=C3=BC?=", "ü"),
            ("=?utf-8?q?two words?=", "two words"),
            ("a=?utf-8?q?b?=c", "abc"),
            ("=?utf-8?q?a?==?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?=3D=zz?=", "==zz"),
            // What is none.
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=?utf 8?q?a?=", "=?utf 8?q?a?="),
            ("=?utf-8?b?*?=", "=?utf-8?b?*?="),
            ("=?utf-8?q?open", "=?utf-8?q?open"),
            ("=?=?utf-8?q?a?=", "=?a"),
            ("=?utf-8?q?a?= =?x", "a =?x"),
            ("2 =? 3 ?=", "2 =? 3 ?="),
        ] {
            assert_eq!(decode(text), says, "{text}");
            assert_eq!(decode_with_flaw(text).flaw, None, "{text}");
        }
        let flaw = decode_with_flaw("=?utf-8?q?=FC?= x");
        assert_eq!(flaw.text, "ü x");
        assert_eq!(flaw.flaw.as_deref(), Some("1 octet that is not utf-8 read as windows-1252"));
    }

    #[test]
    fn work_is_linear() {
        let begun = std::time::Instant::now();
        for unit in ["=?utf-8?q?=C3?= ", "=?", "=?utf-8?q?", "?= =?", "=?utf-8?b?w7w=?= x "] {
            decode(&unit.repeat(1 << 20 >> unit.len().ilog2()));
        }
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
