//! Encoded words (RFC 2047) among addresses: where they end, and how they are written so that nobody can take what
//! they hold for syntax.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::encoded_word::{EncodedWord, decode};

/// The length in octets of the encoded word that `text` begins with. White space and specials that have no place in
/// one are part of it all the same.
pub(super) fn length(text: &str) -> Option<usize> {
    EncodedWord::split(text).map(|(_, behind)| text.len() - behind.len())
}

/// Whether everybody reads `word`, an encoded word, as one: it holds nothing that separates or quotes.
pub(super) fn is_safe(word: &str) -> bool {
    word.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>[]:;@\\,\"".contains(&octet))
}

/// Whether every reader finds the same encoded words in `text`, if any.
pub(super) fn is_settled(text: &str) -> bool {
    let mut rest = text;
    while let Some(start) = rest.find("=?") {
        rest = &rest[start..];
        match length(rest) {
            Some(length) if is_safe(&rest[..length]) => rest = &rest[length..],
            _ => return false,
        }
    }
    true
}

/// `text` with every encoded word in it written so that [`is_safe`] holds.
pub(super) fn made_safe(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(start) = text[at..].find("=?").map(|start| at + start) {
        let Some(length) = length(&text[start..]) else {
            at = start + 2;
            continue;
        };
        at = start + length;
        let word = &text[start..at];
        if !is_safe(word) {
            out.push_str(&text[copied..start]);
            out.push_str(&encode(&decode(word)));
            copied = at;
        }
    }
    match copied {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(out + &text[copied..]),
    }
}

/// `text` in encoded words of at most 75 characters, UTF-8 and base64, cut between characters
/// (RFC 2047 section 2 and 5).
pub(super) fn encode(text: &str) -> String {
    /// 75 less `=?utf-8?B?` and `?=`, in groups of four characters for three octets.
    const OCTETS: usize = 45;
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        // A character has at most four octets, so the search never reaches 0.
        let cut = (0..=OCTETS.min(rest.len())).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(rest.len());
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(&rest[..cut])));
        rest = &rest[cut..];
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_taken_for_something_else_is_written_anew() {
        for (text, safe) in [
            ("=?utf-8?Q?J._M=C3=BCller?= x", "=?utf-8?Q?J._M=C3=BCller?= x"),
            ("a =?utf-8?q?\"?= b", "a =?utf-8?B?Ig==?= b"),
            ("=?ISO-8859-1?Q?M=FCller,_J.?=", "=?utf-8?B?TcO8bGxlciwgSi4=?="),
        ] {
            assert_eq!(made_safe(text), safe);
            assert_eq!(decode(&made_safe(text)), decode(text));
        }
    }

    #[test]
    fn many_beginnings_cost_linear_time() {
        for piece in ["=?", "=?a", "=?a?q?", "=?a?b?!", "=?a?q??=", "=?a?q? ", "\u{e9}=?"] {
            let text = piece.repeat((1 << 18) / piece.len());
            assert!(made_safe(&text).len() <= text.len() * 12);
        }
    }
}
