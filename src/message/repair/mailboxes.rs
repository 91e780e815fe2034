//! Address fields (RFC 5322 3.4) in ASCII: display names, group names and comments in encoded words,
//! domains as A-labels.
//!
//! Works on tokens rather than on what they mean, so that a field which is no valid address list
//! comes out as readable as it went in.

use super::words::{Charset, Place, encode, is_space, push_ascii, push_space};
use crate::address::ascii_domain;
use crate::message::content_type::{quoted_length, unescaped, unquoted};

/// Why an address cannot be written in ASCII: the address, and the reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsayable {
    /// The local part or domain, as text.
    pub(super) what: String,
    /// Lower-case start, no full stop.
    pub(super) why: &'static str,
    /// SMTPUTF8 would carry it.
    pub(super) is_local: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Space(&'a [u8]),
    /// What is between the outer parentheses.
    Comment(&'a [u8]),
    /// A quoted string with its quotes.
    Quoted(&'a [u8]),
    Atom(&'a [u8]),
    /// One of `<>@,;:` or a stray `)`.
    Special(u8),
}

/// The value of an address field, unfolded, in ASCII. With `utf8` (SMTPUTF8 is in use) a local part
/// outside ASCII goes as UTF-8. `taken` octets of the first line are in use before the value.
///
/// # Errors
/// A local part needs SMTPUTF8, or a domain has no A-labels.
pub(super) fn encode_list(value: &[u8], charset: &Charset, utf8: bool, taken: usize) -> Result<String, Unsayable> {
    let tokens = tokens(value);
    let mut writer = Writer { out: String::with_capacity(value.len() * 2), charset, utf8, taken };
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        let mut open = false;
        let end = rest.iter().position(|token| match token {
            Token::Special(b'<') => {
                open = true;
                false
            }
            Token::Special(b'>') => {
                open = false;
                false
            }
            // Inside of brackets these belong to a route.
            Token::Special(b',' | b';' | b':') => !open,
            _ => false,
        });
        let (element, behind) = rest.split_at(end.unwrap_or(rest.len()));
        writer.element(element)?;
        if let Some((separator, behind)) = behind.split_first() {
            writer.raw(*separator);
            rest = behind;
        } else {
            rest = behind;
        }
    }
    Ok(writer.out)
}

struct Writer<'a> {
    out: String,
    charset: &'a Charset,
    utf8: bool,
    taken: usize,
}

impl Writer<'_> {
    /// What stands between two separators.
    fn element(&mut self, tokens: &[Token<'_>]) -> Result<(), Unsayable> {
        if let Some(open) = tokens.iter().position(|&token| token == Token::Special(b'<')) {
            let close = tokens.iter().rposition(|&token| token == Token::Special(b'>')).filter(|&close| close > open);
            let close = close.unwrap_or(tokens.len());
            self.phrase(&tokens[..open]);
            self.raw(tokens[open]);
            self.spec(&tokens[open + 1..close])?;
            if let Some((bracket, behind)) = tokens[close..].split_first() {
                self.raw(*bracket);
                self.phrase(behind);
            }
            return Ok(());
        }
        if tokens.contains(&Token::Special(b'@')) {
            return self.spec(tokens);
        }
        self.phrase(tokens);
        Ok(())
    }

    /// Words and comments: a name.
    fn phrase(&mut self, tokens: &[Token<'_>]) {
        for part in tokens.chunk_by(|a, b| matches!(a, Token::Comment(_)) == matches!(b, Token::Comment(_))) {
            if part.iter().all(|token| token.is_ascii() || matches!(token, Token::Comment(_))) {
                part.iter().for_each(|&token| self.raw(token));
                continue;
            }
            let mut text = Vec::new();
            for token in part {
                match token {
                    Token::Quoted(quoted) => text.extend(unquoted(quoted)),
                    Token::Space(octets) | Token::Atom(octets) | Token::Comment(octets) => {
                        text.extend_from_slice(octets);
                    }
                    Token::Special(octet) => text.push(*octet),
                }
            }
            let behind = if text.last().is_some_and(|&b| is_space(b)) { " " } else { "" };
            let words = encode(&text, self.charset, Place::Phrase, self.taken());
            self.out.push_str(&words);
            self.out.push_str(behind);
        }
    }

    /// An addr-spec: what touches the last `@` on its left is the local part, what follows is the domain.
    fn spec(&mut self, tokens: &[Token<'_>]) -> Result<(), Unsayable> {
        let Some(at) = tokens.iter().rposition(|&token| token == Token::Special(b'@')) else {
            self.phrase(tokens);
            return Ok(());
        };
        let is_part = |token: &&Token<'_>| matches!(token, Token::Atom(_) | Token::Quoted(_));
        let local = at - tokens[..at].iter().rev().take_while(is_part).count();
        match tokens.first() {
            // The hosts of a route (RFC 5322 4.4).
            Some(Token::Special(b'@')) => tokens[..local].iter().try_for_each(|&token| self.domain(token))?,
            _ => self.phrase(&tokens[..local]),
        }
        for &token in &tokens[local..at] {
            match token {
                token if token.is_ascii() => self.raw(token),
                token if self.utf8 => self.out.push_str(&as_text(token.octets())),
                token => {
                    let why = "this local part needs SMTPUTF8, which is not in use";
                    return Err(Unsayable { what: as_text(token.octets()), why, is_local: true });
                }
            }
        }
        tokens[at..].iter().try_for_each(|&token| self.domain(token))
    }

    fn domain(&mut self, token: Token<'_>) -> Result<(), Unsayable> {
        match token {
            Token::Atom(domain) if !domain.is_ascii() => {
                let domain = as_text(domain);
                let Some(labels) = ascii_domain(&domain) else {
                    return Err(Unsayable { what: domain, why: "is not a valid domain", is_local: false });
                };
                self.out.push_str(&labels);
            }
            token => self.raw(token),
        }
        Ok(())
    }

    /// A token as it is, but for a comment that is not ASCII.
    fn raw(&mut self, token: Token<'_>) {
        match token {
            Token::Space(space) => push_space(&mut self.out, space),
            Token::Comment(inner) => {
                self.out.push('(');
                if inner.is_ascii() {
                    push_ascii(&mut self.out, inner);
                } else {
                    let text: Vec<u8> = unescaped(inner).collect();
                    let words = encode(&text, self.charset, Place::Comment, self.taken());
                    self.out.push_str(&words);
                }
                self.out.push(')');
            }
            Token::Special(octet) => self.out.push(char::from(octet)),
            token if token.is_ascii() => push_ascii(&mut self.out, token.octets()),
            // Not ASCII only where the grammar has no place for it.
            token => self.out.push_str(&encode(token.octets(), self.charset, Place::Phrase, self.taken())),
        }
    }

    /// Octets in use on the line where the next word goes, as far as folding cannot free them.
    fn taken(&self) -> usize {
        if self.out.trim_start().is_empty() { self.taken } else { 1 }
    }
}

impl<'a> Token<'a> {
    fn octets(self) -> &'a [u8] {
        match self {
            Self::Space(octets) | Self::Comment(octets) | Self::Quoted(octets) | Self::Atom(octets) => octets,
            Self::Special(_) => b"",
        }
    }

    fn is_ascii(self) -> bool {
        self.octets().is_ascii()
    }
}

/// Every token of `value`; what is not closed goes on to the end.
fn tokens(value: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = value;
    while let Some(&first) = rest.first() {
        let run = |is_in: fn(u8) -> bool| rest.iter().position(|&b| !is_in(b)).unwrap_or(rest.len());
        let (token, length) = match first {
            b' ' | b'\t' => {
                let length = run(is_space);
                (Token::Space(&rest[..length]), length)
            }
            b'"' => {
                let length = quoted_length(rest);
                (Token::Quoted(&rest[..length]), length)
            }
            b'(' => {
                let (length, closed) = comment_length(rest);
                (Token::Comment(&rest[1..length - usize::from(closed)]), length)
            }
            b'<' | b'>' | b'@' | b',' | b';' | b':' | b')' => (Token::Special(first), 1),
            _ => {
                let length = run(|b| !is_space(b) && !b"\"()<>@,;:".contains(&b));
                (Token::Atom(&rest[..length]), length)
            }
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens
}

/// Octets of the comment that `text` begins with, and whether it is closed.
fn comment_length(text: &[u8]) -> (usize, bool) {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return (at + 1, true),
            b')' => depth -= 1,
            _ => {}
        }
    }
    (text.len(), false)
}

/// `octets` as text, read like every field: what is not UTF-8 as ISO 8859-1.
fn as_text(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().map(|&octet| char::from(octet)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &[u8]) -> Result<String, Unsayable> {
        encode_list(value, &Charset::of(value, None), false, 4)
    }

    #[test]
    fn names_groups_comments_and_domains() {
        for (input, output) in [
            ("Jürgen <a@x.org>", "=?utf-8?Q?J=C3=BCrgen?= <a@x.org>"),
            ("Hans Müller <a@x.org>, b@y.org", "Hans =?utf-8?Q?M=C3=BCller?= <a@x.org>, b@y.org"),
            ("\"Müller, Hans\" <a@x.org>", "=?utf-8?Q?M=C3=BCller=2C?= Hans <a@x.org>"),
            ("\"Hans, \\\"ü\\\"\"<a@x.org>", "=?utf-8?Q?Hans=2C_=22=C3=BC=22?=<a@x.org>"),
            ("\"A. B.\" <a@x.org>, Jö<b@y.org>", "\"A. B.\" <a@x.org>, =?utf-8?Q?J=C3=B6?=<b@y.org>"),
            ("a@x.org (Jürgen M.)", "a@x.org (=?utf-8?Q?J=C3=BCrgen?= M.)"),
            ("a (x (ü) y) @ x.org (z)", "a (x =?utf-8?Q?=28=C3=BC=29?= y) @ x.org (z)"),
            ("Freunde für immer: a@x.org, b@y.org;", "Freunde =?utf-8?Q?f=C3=BCr?= immer: a@x.org, b@y.org;"),
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("Bü <a@bücher.example>", "=?utf-8?Q?B=C3=BC?= <a@xn--bcher-kva.example>"),
            ("<@bücher.example:a@x.org>", "<@xn--bcher-kva.example:a@x.org>"),
            ("Bücher", "=?utf-8?Q?B=C3=BCcher?="),
            ("ü \"open", "=?utf-8?Q?=C3=BC?= open"),
        ] {
            assert_eq!(list(input.as_bytes()).as_deref(), Ok(output), "{input}");
        }
        assert_eq!(
            list(b"J\xfcrgen <a@b\xfccher.example>").unwrap(),
            "=?windows-1252?Q?J=FCrgen?= <a@xn--bcher-kva.example>"
        );
    }

    #[test]
    fn what_has_no_ascii_form_is_named() {
        for (input, what) in [
            ("jürgen@x.org", "jürgen"),
            ("J <jürgen@x.org>", "jürgen"),
            ("\"jür gen\"@x.org", "\"jür gen\""),
            ("a@\u{300}.example", "\u{300}.example"),
        ] {
            assert_eq!(list(input.as_bytes()).map_err(|error| error.what), Err(what.to_owned()), "{input}");
        }
        let charset = Charset::of(b"\xfc", None);
        assert_eq!(encode_list(b"\xfc <j\xfc@x.org>", &charset, true, 4).unwrap(), "=?windows-1252?Q?=FC?= <jü@x.org>");
    }

    #[test]
    fn whatever_comes_in_ascii_comes_out() {
        let pieces = ["ü", "<", ">", "(", ")", "\"", "\\", "@", ",", ":", ";", " ", "a", "."];
        for seed in 0..pieces.len().pow(4) {
            let input: String = (0..4).map(|digit| pieces[seed / pieces.len().pow(digit) % pieces.len()]).collect();
            if let Ok(output) = list(input.as_bytes()) {
                assert!(output.is_ascii(), "{input:?} gave {output:?}");
            }
        }
    }
}
