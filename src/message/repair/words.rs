//! Encoded words (RFC 2047) for raw 8-bit text in header fields.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{charset, encoded_word};

/// The longest encoded word (RFC 2047 section 2), and the longest line that holds one.
const WORD: usize = 75;

/// The charset of raw 8-bit text, by its lower-case name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Charset(String);

impl Charset {
    /// The charset of `text`: UTF-8 where it is valid, else what the message declares, else windows-1252; `None` where it
    /// is in none of them, and a reader would find characters that are none.
    pub(super) fn of(text: &[u8], declared: Option<&str>) -> Option<Self> {
        if std::str::from_utf8(text).is_ok() {
            return Some(Self::utf_8());
        }
        let is_exact = |label: &str| {
            charset::is_known(label) && charset::decode(text, Some(label)).is_some_and(|decoded| decoded.flaw.is_none())
        };
        match declared.map(charset::canonical) {
            Some(label) if is_eight_bit(&label) && is_exact(&label) => Some(Self(label)),
            _ => is_exact("windows-1252").then(|| Self("windows-1252".to_owned())),
        }
    }

    /// UTF-8.
    pub(super) fn utf_8() -> Self {
        Self("utf-8".to_owned())
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// Octets of the character that `text` begins with; 1 at least where there is text.
    pub(super) fn width(&self, text: &[u8]) -> usize {
        let label = self.name();
        let width = match text.first() {
            Some(..128) | None => 1,
            Some(&lead) if label == "utf-8" => lead.leading_ones() as usize,
            Some(0xa1..=0xdf) if label.starts_with("shift") => 1,
            Some(_) if label == "gb18030" && text.get(1).is_some_and(u8::is_ascii_digit) => 4,
            Some(_) if ["euc-", "gb", "big5", "shift", "ks_c"].iter().any(|family| label.starts_with(family)) => 2,
            Some(_) => 1,
        };
        width.clamp(1, text.len().max(1))
    }
}

/// Whether a declared charset can be what raw 8-bit text is in, and its name stand in a header field.
fn is_eight_bit(label: &str) -> bool {
    let none = ["us-ascii", "ascii", "utf", "iso-2022-", "hz-", "unknown", "x-unknown", "default"];
    (1..=40).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:+".contains(&b))
        && !none.iter().any(|prefix| label.starts_with(prefix))
}

/// Where encoded words stand, which says what may stay beside them as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Any text.
    Text,
    /// A display name or group name.
    Phrase,
    /// Between parentheses.
    Comment,
}

impl Place {
    /// Whether `word` may stay as it is.
    fn allows(self, word: &[u8]) -> bool {
        word.is_ascii()
            && match self {
                Self::Text => true,
                Self::Phrase => is_encoded_word(word) || word.iter().all(|&b| is_atext(b)),
                Self::Comment => !word.iter().any(|b| b"()\\".contains(b)),
            }
    }
}

/// `text`, which is unfolded, in ASCII: runs of words that cannot stay become encoded words, the
/// others stay. `taken` octets of the first line are in use before it.
pub(super) fn encode(text: &[u8], charset: &Charset, place: Place, taken: usize) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut words = words(text).peekable();
    let mut behind_encoded = false;
    while let Some((space, word)) = words.next() {
        if place.allows(word) {
            push_space(&mut out, space);
            push_ascii(&mut out, word);
            behind_encoded = is_encoded_word(word);
            continue;
        }
        // White space between two encoded words is not displayed, so it goes into one of them.
        let mut run = if behind_encoded { space.to_vec() } else { Vec::new() };
        push_space(&mut out, if behind_encoded { b" " } else { space });
        run.extend_from_slice(&said(word, charset));
        while let Some((space, word)) = words.next_if(|(_, word)| !place.allows(word)) {
            run.extend_from_slice(space);
            run.extend_from_slice(&said(word, charset));
        }
        if let Some((space, _)) = words.peek().filter(|(_, next)| is_encoded_word(next)) {
            run.extend_from_slice(space);
        }
        let taken = if out.is_empty() { taken } else { 0 };
        push_encoded(&mut out, &run, charset, taken);
        behind_encoded = true;
    }
    out
}

/// What `word` says: programs write encoded words with raw octets in them, which readers decode all the same.
fn said<'a>(word: &'a [u8], charset: &Charset) -> Cow<'a, [u8]> {
    match std::str::from_utf8(word) {
        Ok(text) if !word.is_ascii() && charset.name() == "utf-8" => match encoded_word::decode(text) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        _ => Cow::Borrowed(word),
    }
}

/// Every word of `text` with the white space before it.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|&b| !is_space(b))?;
        let end = rest[start..].iter().position(|&b| is_space(b)).map_or(rest.len(), |length| start + length);
        let item = (&rest[..start], &rest[start..end]);
        rest = &rest[end..];
        Some(item)
    })
}

/// White space in an unfolded value (RFC 5322 2.2.2).
pub(super) fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Writes `run` in encoded words with a space between them: Q where most of it stays legible, else B.
pub(super) fn push_encoded(out: &mut String, run: &[u8], charset: &Charset, taken: usize) {
    let is_q = run.iter().map(|&b| q_width(b)).sum::<usize>() <= run.len() * 2 + 4;
    let room = WORD - "=??Q??=".len() - charset.name().len();
    // However long the field's name, some octets go on its line: it cannot be folded before them.
    let mut left = room.saturating_sub(taken).max(12);
    let mut rest = run;
    while !rest.is_empty() {
        let (mut length, mut width) = (0, 0);
        while length < rest.len() {
            let next = length + charset.width(&rest[length..]);
            let more = rest[length..next].iter().map(|&b| q_width(b)).sum::<usize>();
            let fits = if is_q { width + more <= left } else { next.div_ceil(3) * 4 <= left };
            if !fits && length > 0 {
                break;
            }
            (length, width) = (next, width + more);
        }
        if rest.len() < run.len() {
            out.push(' ');
        }
        let (word, behind) = rest.split_at(length);
        out.push_str(&format!("=?{}?{}?", charset.name(), if is_q { 'Q' } else { 'B' }));
        if is_q {
            push_q(out, word);
        } else {
            STANDARD.encode_string(word, out);
        }
        out.push_str("?=");
        (rest, left) = (behind, room);
    }
}

fn push_q(out: &mut String, word: &[u8]) {
    for &octet in word {
        match octet {
            b' ' => out.push('_'),
            octet if q_width(octet) == 1 => out.push(char::from(octet)),
            octet => out.push_str(&format!("={octet:02X}")),
        }
    }
}

/// Characters for one octet in a Q word; only what is safe in a phrase stays (RFC 2047 section 5).
fn q_width(octet: u8) -> usize {
    if octet == b' ' || octet.is_ascii_alphanumeric() || b"!*+-/".contains(&octet) { 1 } else { 3 }
}

/// Whether `word` looks like an encoded word.
fn is_encoded_word(word: &[u8]) -> bool {
    word.len() > 7
        && word.starts_with(b"=?")
        && word.ends_with(b"?=")
        && word.iter().all(u8::is_ascii_graphic)
        && word.iter().filter(|&&b| b == b'?').count() == 4
}

/// RFC 5322 3.2.3.
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

/// Appends white space; tabs become spaces, because a field is folded at spaces.
pub(super) fn push_space(out: &mut String, space: &[u8]) {
    out.extend(space.iter().map(|_| ' '));
}

/// Appends `text`, of which the caller knows that it is ASCII.
pub(super) fn push_ascii(out: &mut String, text: &[u8]) {
    out.extend(text.iter().map(|&octet| char::from(octet)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &[u8]) -> String {
        encode(text, &Charset::of(text, None).unwrap(), Place::Text, 9)
    }

    #[test]
    fn words_that_need_it_are_encoded() {
        for (input, output) in [
            ("plain words", "plain words"),
            ("Grüße aus Köln", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus =?utf-8?Q?K=C3=B6ln?="),
            ("zwei Straße  Maß", "zwei =?utf-8?Q?Stra=C3=9Fe__Ma=C3=9F?="),
            ("=?utf-8?Q?a?= ü =?utf-8?Q?b?=", "=?utf-8?Q?a?= =?utf-8?Q?_=C3=BC_?= =?utf-8?Q?b?="),
            ("=?utf-8?Q?Grüße?= a", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= a"),
            ("Привет", "=?utf-8?B?0J/RgNC40LLQtdGC?="),
            ("[ü] (a_b?)", "=?utf-8?Q?=5B=C3=BC=5D?= (a_b?)"),
        ] {
            assert_eq!(text(input.as_bytes()), output, "{input}");
        }
        assert_eq!(text(b"M\xfcller 5 \x80"), "=?windows-1252?Q?M=FCller?= 5 =?windows-1252?Q?=80?=");
    }

    #[test]
    fn the_declared_charset_counts_where_it_is_not_utf_8() {
        let name = |text: &[u8], declared| Charset::of(text, declared).unwrap().name().to_owned();
        assert_eq!(name(b"\xc3\xbc", Some("ISO-8859-1")), "utf-8");
        assert_eq!(name(b"\xf0\xd2", Some("KOI8-R")), "koi8-r");
        for useless in [None, Some("us-ascii"), Some("utf-8"), Some(""), Some("a?b"), Some("iso-2022-jp")] {
            assert_eq!(name(b"\xfc", useless), "windows-1252", "{useless:?}");
        }
        assert_eq!(name(b"\xfc!", Some("shift_jis")), "windows-1252");
        assert_eq!(name(b"\xfc", Some("x-unheard-of")), "windows-1252");
        assert_eq!(Charset::of(b"\x81", None), None);
    }

    #[test]
    fn words_are_short_and_cut_between_characters() {
        for input in ["ü".repeat(300), "日本語の件名".repeat(20), "a😀".repeat(90), "ä ".repeat(200)] {
            let out = text(input.trim().as_bytes());
            assert!(out.split(' ').all(|word| word.len() <= WORD), "{out}");
            assert!(out.split(' ').next().unwrap().len() + 9 <= WORD + 9);
            let raw = format!("Subject: {out}\r\n\r\n");
            let judge = mail_parser::MessageParser::default().parse(raw.as_bytes()).unwrap();
            assert_eq!(judge.subject(), Some(input.trim()));
            for word in out.split(' ') {
                let raw = format!("Subject: {word}\r\n\r\n");
                let judge = mail_parser::MessageParser::default().parse(raw.as_bytes()).unwrap();
                assert!(!judge.subject().unwrap().contains('\u{fffd}'), "{word}");
            }
        }
        let gbk = Charset::of(b"\xc4\xe3", Some("gb2312")).unwrap();
        let out = encode(&b"\xc4\xe3".repeat(100), &gbk, Place::Text, 0);
        assert!(out.split(' ').all(|word| word.len() <= WORD && word.starts_with("=?gb2312?B?xOPE")), "{out}");
    }
}
