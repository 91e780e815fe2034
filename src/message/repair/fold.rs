//! Fields with a line that is too long for a server: blanks where a list can be parted, and new encoded words for a
//! word that cannot.
//!
//! Folding itself is the header section's, at any blank. What is made here reads back as it was: unfolded and
//! decoded, a text is the same text, and a list has the same members.

use super::grammar::{Grammar, comment_length, string_length};
use super::json;
use super::parameters;
use super::words::{self, Charset};
use crate::encoded_word::{self, EncodedWord};
use crate::message::header::LINE_LIMIT;

/// The word that cannot be split, by its length in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsplittable(pub(super) usize);

/// Whether a word of `value`, with the blanks before it, is longer than a line of a field called `name` may be.
pub(super) fn is_needed(name: &str, value: &str) -> bool {
    let room = room(name);
    value.len() > room && !fits(value, room)
}

/// `value`, unfolded, so that every line of it can be folded to [`LINE_LIMIT`].
///
/// # Errors
/// A word can neither be parted nor encoded: an address, an identifier, a token.
pub(super) fn split(name: &str, value: &str, grammar: Grammar) -> Result<String, Unsplittable> {
    let room = room(name);
    let split = match grammar {
        Grammar::Text => text(value, room)?,
        Grammar::Parameters => parameters::split(value, room),
        Grammar::ListUrls | Grammar::Base64 => with_blanks(&parted(value, room), room),
        Grammar::Urls | Grammar::Tokens => parted(value, room),
        Grammar::Addresses | Grammar::Identifiers => list(&parted(value, room), room)?,
    };
    match longest(&split) {
        longest if longest > room => Err(Unsplittable(longest)),
        _ => Ok(split),
    }
}

/// What a word may measure with the blanks before it: the field's name stands on the line of the first one.
fn room(name: &str) -> usize {
    LINE_LIMIT.saturating_sub(name.len() + 2)
}

fn fits(value: &str, room: usize) -> bool {
    longest(value) <= room
}

fn longest(value: &str) -> usize {
    words::words(value.as_bytes()).map(|(space, word)| space.len() + word.len()).max().unwrap_or(0)
}

/// Octets of the piece that `text` begins with: a comment, a string, what is in brackets, or one character.
fn piece_length(text: &str) -> usize {
    match text.chars().next() {
        Some('(') => comment_length(text),
        Some('"') => string_length(text),
        Some('<') => text.find('>').map_or(text.len(), |end| end + 1),
        Some('[') => text.find(']').map_or(text.len(), |end| end + 1),
        Some(c) => c.len_utf8(),
        None => 0,
    }
}

/// `value` with blanks between the members of a list, where there has been none for longer than `room`: behind a
/// comma or semicolon, and around what is in angle brackets.
fn parted(value: &str, room: usize) -> String {
    let mut out = String::with_capacity(value.len() + value.len() / 64);
    // Where the last blanks begin, and where behind them there could be another.
    let (mut begun, mut seam) = (0, None);
    let mut is_blank = false;
    let mut rest = value;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(piece_length(rest));
        rest = behind;
        let start = out.len();
        if piece.starts_with('<') {
            seam = Some(start);
        }
        out.push_str(piece);
        if let Some(last) = piece.rfind(' ') {
            if !(is_blank && piece == " ") {
                begun = start + piece[..last].trim_end_matches(' ').len();
            }
            seam = None;
        }
        is_blank = piece == " ";
        if out.len() - begun > room
            && let Some(at) = seam.take()
            && at > begun
        {
            out.insert(at, ' ');
            begun = at;
        }
        if piece.starts_with([',', ';', '<']) {
            seam = Some(out.len());
        }
    }
    out
}

/// `value` with a blank wherever a word has become as long as `room`.
fn with_blanks(value: &str, room: usize) -> String {
    let mut out = String::with_capacity(value.len() + value.len() / 64);
    let mut column = 0;
    for c in value.chars() {
        if column + c.len_utf8() >= room {
            out.push(' ');
            column = 0;
        }
        out.push(c);
        column = if c == ' ' { 0 } else { column + c.len_utf8() };
    }
    out
}

/// A list with every name and comment encoded anew that holds a word which is too long.
fn list(value: &str, room: usize) -> Result<String, Unsplittable> {
    let mut out = String::with_capacity(value.len() * 2);
    let mut rest = value;
    // Octets of the name that `rest` begins with, as far as they are known.
    let mut known = 0;
    while known < rest.len() {
        let length = piece_length(&rest[known..]);
        if !rest[known..].starts_with(['(', '<', ',', ';', ':']) {
            known += length;
            continue;
        }
        name(&rest[..known], room, &mut out)?;
        let piece = &rest[known..known + length];
        match piece.strip_prefix('(') {
            Some(inner) if !fits(piece, room) => {
                out.push('(');
                encode(&unescaped(inner.strip_suffix(')').unwrap_or(inner)), 1, &mut out)?;
                out.push(')');
            }
            _ => out.push_str(piece),
        }
        rest = &rest[known + length..];
        known = 0;
    }
    name(rest, room, &mut out)?;
    Ok(out)
}

/// Writes what stands between the separators of a list: a name, or an address by itself.
fn name(name: &str, room: usize, out: &mut String) -> Result<(), Unsplittable> {
    if fits(name, room) || name.contains('@') {
        out.push_str(name);
        return Ok(());
    }
    let mut says = String::with_capacity(name.len());
    let mut rest = name.trim();
    while !rest.is_empty() {
        // A string and what stands beside it are apart: where the quotes go, no encoded word begins.
        let (text, behind) = match rest.strip_prefix('"') {
            Some(_) => {
                let (string, behind) = rest.split_at(string_length(rest));
                (unescaped(string[1..].strip_suffix('"').unwrap_or(&string[1..])), behind)
            }
            None => {
                let (text, behind) = rest.split_at(rest.find('"').unwrap_or(rest.len()));
                (text.to_owned(), behind)
            }
        };
        says.push_str(&decoded(&text)?);
        rest = behind;
    }
    out.push_str(if name.starts_with(' ') { " " } else { "" });
    let taken = if out.trim_end().is_empty() { LINE_LIMIT - room } else { 1 };
    words::push_encoded(out, says.as_bytes(), &Charset::utf_8(), taken);
    out.push_str(if name.ends_with(' ') { " " } else { "" });
    Ok(())
}

/// What a string or comment says.
fn unescaped(inner: &str) -> String {
    let mut chars = inner.chars();
    std::iter::from_fn(|| match chars.next() {
        Some('\\') => chars.next(),
        other => other,
    })
    .collect()
}

/// Writes `text`, in which there may be encoded words, in encoded words only, behind `taken` octets of the line.
fn encode(text: &str, taken: usize, out: &mut String) -> Result<(), Unsplittable> {
    words::push_encoded(out, decoded(text)?.as_bytes(), &Charset::utf_8(), taken);
    Ok(())
}

/// What `text` says, in which there may be encoded words.
fn decoded(text: &str) -> Result<String, Unsplittable> {
    match encoded_word::decode_with_flaw(text) {
        decoded if decoded.flaw.is_some() => Err(Unsplittable(text.len())),
        decoded => Ok(decoded.text),
    }
}

/// Some words of a text, on their way to another form.
struct Item<'a> {
    /// The blanks before them.
    space: &'a str,
    words: &'a str,
    /// They are encoded words.
    was_encoded: bool,
    /// What they say, where that has to be encoded anew.
    says: Option<String>,
}

/// A text whose words are short enough: one that is too long goes into encoded words, an encoded one into several.
fn text(value: &str, room: usize) -> Result<String, Unsplittable> {
    if let Some(spaced) = json::spaced(value).filter(|spaced| fits(spaced, room)) {
        return Ok(spaced);
    }
    if !are_apart(value) {
        let mut out = String::with_capacity(value.len() * 2);
        encode(value, LINE_LIMIT - room, &mut out)?;
        return Ok(out);
    }
    let mut items = items(value, room)?;
    // White space between two encoded words is not shown: what has to be goes into one of them.
    for at in 1..items.len() {
        let [before, item] = &mut items[at - 1..=at] else { continue };
        let is_shown = !(before.was_encoded && item.was_encoded);
        if !before.is_encoded() || !item.is_encoded() {
            // One blank stays outside; of more than a line of them the rest is encoded.
            if let Some(says) = &mut item.says {
                says.insert_str(0, &item.space[1..]);
                item.space = " ";
            }
            continue;
        }
        if let Some(says) = item.says.as_mut().filter(|_| is_shown) {
            says.insert_str(0, item.space);
        } else if let Some(says) = before.says.as_mut().filter(|_| is_shown) {
            says.push_str(item.space);
        }
        item.space = " ";
    }
    let mut out = String::with_capacity(value.len() * 2);
    for item in items {
        out.push_str(item.space);
        match item.says {
            Some(says) => {
                let taken = if out.is_empty() { LINE_LIMIT - room } else { 0 };
                words::push_encoded(&mut out, says.as_bytes(), &Charset::utf_8(), taken);
            }
            None => out.push_str(item.words),
        }
    }
    Ok(out)
}

/// Whether every encoded word is a word of `value` by itself. One that has blanks in it, or stands beside other letters, is
/// read all the same, and then words are no words here: nor are the blanks before such a one always shown.
fn are_apart(value: &str) -> bool {
    let mut rest = value;
    let mut is_begin = true;
    while let Some(at) = rest.find("=?") {
        is_begin = if at > 0 { rest[..at].ends_with(' ') } else { is_begin };
        rest = &rest[at..];
        match EncodedWord::split(rest) {
            Some((_, behind)) => {
                let word = &rest[..rest.len() - behind.len()];
                if !is_begin || word.contains(' ') || !(behind.is_empty() || behind.starts_with(' ')) {
                    return false;
                }
                rest = behind;
            }
            None => rest = &rest[2..],
        }
        is_begin = false;
    }
    true
}

impl Item<'_> {
    fn is_encoded(&self) -> bool {
        self.was_encoded || self.says.is_some()
    }
}

/// The words of `value`; those that are too long say what they are to say. Encoded words that follow one another may
/// share a character, so they stay together where one of them is too long.
fn items(value: &str, room: usize) -> Result<Vec<Item<'_>>, Unsplittable> {
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut rest = value;
    loop {
        let (space, behind) = rest.split_at(rest.len() - rest.trim_start_matches(' ').len());
        let (words, behind) = behind.split_at(behind.find(' ').unwrap_or(behind.len()));
        if words.is_empty() {
            break;
        }
        rest = behind;
        let was_encoded = EncodedWord::read(words).is_some();
        items.push(Item { space, words, was_encoded, says: None });
    }
    let mut merged: Vec<Item<'_>> = Vec::with_capacity(items.len());
    for run in items.chunk_by(|item, next| item.was_encoded && next.was_encoded) {
        let is_long = run.iter().any(|item| item.space.len() + item.words.len() > room);
        let Some(first) = run.first().filter(|_| is_long) else {
            merged.extend(run.iter().map(|item| Item { says: None, ..*item }));
            continue;
        };
        let together: String = run.iter().map(|item| item.words).collect::<Vec<_>>().join(" ");
        let decoded = encoded_word::decode_with_flaw(&together);
        if decoded.flaw.is_some() {
            return Err(Unsplittable(together.len()));
        }
        merged.push(Item { says: Some(decoded.text), ..*first });
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits(name: &str, value: &str) -> String {
        let grammar = if name == "To" { Grammar::Addresses } else { Grammar::of(name) };
        assert!(is_needed(name, value), "{name}");
        let split = split(name, value, grammar).unwrap();
        assert!(!is_needed(name, &split), "{name}: {split}");
        split
    }

    #[test]
    fn lists_are_parted_between_their_members() {
        let address = "somebody@example.org";
        assert_eq!(splits("To", &[address; 90].join(",")).replace(' ', ""), [address; 90].join(","));
        let names = [r#""Doe,J.(x)"<a@x.org>"#; 90].join(",");
        assert_eq!(splits("To", &names).replace(' ', ""), names);
        let ids = "<1234567890@example.org>".repeat(90);
        assert_eq!(splits("References", &ids).replace(' ', ""), ids);
        let url = format!("<https://x.example/{}>", "x".repeat(1500));
        assert_eq!(splits("List-Unsubscribe", &url).replace(' ', ""), url);
        let key = format!("addr=a@x.org; keydata={}", "QUJD".repeat(500));
        assert_eq!(splits("Autocrypt", &key).replace(' ', ""), key.replace(' ', ""));
        let parameters = format!("text/plain;{}", (0..200).map(|n| format!("a{n}=b")).collect::<Vec<_>>().join(";"));
        assert_eq!(splits("Content-Type", &parameters).replace(' ', ""), parameters);
        let json = format!("{{{}}}", ["\"a,b\":[1,2]"; 200].join(","));
        assert_eq!(splits("X-SMTPAPI", &json).replace(", ", ","), json);
    }

    #[test]
    fn words_that_are_too_long_are_encoded_and_read_the_same() {
        let long = "x".repeat(2000);
        let word = format!("=?utf-8?Q?{}?=", "=C3=BC".repeat(500));
        for value in [
            long.clone(),
            format!("a {long} b"),
            format!("a  {long}  {long} b"),
            word.clone(),
            format!("a {word} b"),
            format!("=?utf-8?Q?a?= {word} =?utf-8?Q?b?="),
            format!("=?utf-8?Q?a?= {long} =?utf-8?Q?b?= c"),
            format!("{word} {long} {word}"),
            format!("a {} b", " ".repeat(2000)),
            format!("=?utf-8?Q?a{long}=C3?= =?utf-8?Q?=BC?="),
            format!("a{word}{word}b"),
            format!("=?iso-8859-1?Q?{}?=", "=FC".repeat(500)),
            format!("=?utf-8?Q?{}?=", "ü".repeat(600)),
            format!("a =?utf-8?Q?b {long} ?= {long}"),
            // Beside other letters, where no blank before it is shown.
            format!("=?utf-8?Q?a?= =?utf-8?Q?b?={long}"),
            format!("=?utf-8?Q?a?= =?utf-8?Q?b?=c {long}"),
            format!("a,=?utf-8?Q?b?= {long}"),
            format!("=?utf-8?B?w7w=?=  =?utf-8?Q?=?={long}"),
            format!("=?a=?utf-8?Q?=C3?= =?utf-8?Q?=BC?= {long}"),
            "日本".repeat(500),
        ] {
            let split = splits("Subject", &value);
            assert_eq!(encoded_word::decode(&split), encoded_word::decode(&value), "{split}");
            assert!(split.split(' ').all(|word| word.len() <= 75), "{split}");
        }
        for (value, reads) in [
            (format!("{long} <a@x.org>"), format!("{long} <a@x.org>")),
            (
                format!("\"{long}\\\" y\" <a@x.org>, b@x.org ({long})"),
                format!("{long}\" y <a@x.org>, b@x.org ({long})"),
            ),
            (format!("{word} <a@x.org>"), format!("{} <a@x.org>", "ü".repeat(500))),
            // No quotes that go make an encoded word, nor do those that stay unmake one.
            (
                format!("=?is{}o-8859-1?B?/A==?= <a@x.org>", "\"\"".repeat(500)),
                "=?iso-8859-1?B?/A==?= <a@x.org>".to_owned(),
            ),
            (format!("=?utf-8?Q?a?=\"{long}\"=?utf-8?Q?b?= <a@x.org>"), format!("a{long}b <a@x.org>")),
            (format!("\"=?utf-8\"\"?Q?a?= {long}\" <a@x.org>"), format!("=?utf-8?Q?a?= {long} <a@x.org>")),
        ] {
            assert_eq!(encoded_word::decode(&splits("To", &value)), reads);
        }
        let name = format!("attachment; filename=\"{long}.pdf\"");
        let split = splits("Content-Disposition", &name);
        let raw = format!("Content-Disposition: {split}\r\n\r\nx\r\n");
        let judge = mail_parser::MessageParser::default().parse(raw.as_bytes()).unwrap();
        use mail_parser::MimeHeaders;
        assert_eq!(judge.attachment_name(), Some(format!("{long}.pdf").as_str()));
    }

    #[test]
    fn what_cannot_be_split_is_said() {
        let long = "x".repeat(2000);
        for (name, value) in [
            ("To", format!("{long}@example.org")),
            ("To", format!("B <{long}@example.org>")),
            ("Message-ID", format!("<{long}@example.org>")),
            ("MIME-Version", long.clone()),
            ("Content-Type", format!("multipart/mixed; boundary={long}")),
            ("Subject", format!("=?utf-8?Q?{}?=", "=FC".repeat(500))),
        ] {
            let grammar = if name == "To" { Grammar::Addresses } else { Grammar::of(name) };
            assert!(split(name, &value, grammar).is_err(), "{name}");
        }
    }

    #[test]
    fn work_is_linear() {
        let begun = std::time::Instant::now();
        for unit in ["<a@x>", " ", "=?utf-8?q?a?= ", "a,", "(", "\"", "<", "[", "x", "{,"] {
            let value = format!("{}{}", unit.repeat((1 << 18) / unit.len()), "x".repeat(1200));
            for grammar in
                [Grammar::Text, Grammar::Addresses, Grammar::Identifiers, Grammar::ListUrls, Grammar::Parameters]
            {
                let _ = split("X", &value, grammar);
            }
        }
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }
}
