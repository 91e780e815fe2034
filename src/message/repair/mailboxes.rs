//! Address fields (RFC 5322 3.4) in ASCII: display names, group names and comments in encoded words,
//! domains as A-labels.
//!
//! Works on the reader's tokens rather than on what they mean, so that a field which is no valid address list
//! comes out as readable as it went in; and reads what comes out, so that it names those whom the field named.

use std::borrow::Cow;

use super::words::{Charset, Place, encode, push_ascii};
use crate::address::lexer::{self, Kind, unquoted};
use crate::address::{List, Listed, Mailbox, ascii_domain, compared_domain, read_list};

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
struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

/// The value of an address field, unfolded, in ASCII. With `utf8` (SMTPUTF8 is in use) a local part
/// outside ASCII goes as UTF-8. `taken` octets of the first line are in use before the value.
///
/// # Errors
/// A local part needs SMTPUTF8, a domain has no A-labels, or the addresses would read otherwise.
pub(super) fn encode_list(value: &str, utf8: bool, taken: usize) -> Result<String, Unsayable> {
    let tokens: Vec<Token<'_>> =
        lexer::tokens(value).map(|token| Token { kind: token.kind, text: &value[token.span] }).collect();
    let mut writer = Writer { out: String::with_capacity(value.len() * 2), charset: Charset::utf_8(), utf8, taken };
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        let mut open = false;
        let end = rest.iter().position(|token| match token.kind {
            Kind::Special(b'<') => {
                open = true;
                false
            }
            Kind::Special(b'>') => {
                open = false;
                false
            }
            // Inside of brackets these belong to a route.
            Kind::Special(b',' | b';' | b':') => !open,
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
    if !named(&read_list(value)).eq(named(&read_list(&writer.out))) {
        let why = "cannot be written in ASCII so that everybody reads it alike";
        return Err(Unsayable { what: value.to_owned(), why, is_local: false });
    }
    // A field is folded at spaces, and a quoted string may hold tabs.
    Ok(writer.out.replace(['\t', '\0'], " "))
}

/// Whom a list names. A name without domain is somebody's only here, and was made an address where it could be.
fn named(list: &List) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    list.mailboxes().filter_map(|Listed { mailbox: Mailbox { spec, .. }, .. }| {
        Some((spec.local.as_str(), compared_domain(spec.domain.as_deref()?)))
    })
}

struct Writer {
    out: String,
    charset: Charset,
    utf8: bool,
    taken: usize,
}

impl Writer {
    /// What stands between two separators.
    fn element(&mut self, tokens: &[Token<'_>]) -> Result<(), Unsayable> {
        let is = |octet| move |token: &Token<'_>| token.kind == Kind::Special(octet);
        if let Some(open) = tokens.iter().position(is(b'<')) {
            let close = tokens.iter().rposition(is(b'>')).filter(|&close| close > open);
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
        if tokens.iter().any(is(b'@')) {
            return self.spec(tokens);
        }
        self.phrase(tokens);
        Ok(())
    }

    /// Words and comments: a name.
    fn phrase(&mut self, tokens: &[Token<'_>]) {
        for part in tokens.chunk_by(|a, b| a.is_comment() == b.is_comment()) {
            if part.iter().all(|token| token.text.is_ascii() || token.is_comment()) {
                part.iter().for_each(|&token| self.raw(token));
                continue;
            }
            let mut text = String::new();
            for token in part {
                match token.kind {
                    Kind::Quoted { .. } => text.push_str(&unquoted(token.text)),
                    _ => text.push_str(token.text),
                }
            }
            let behind = if text.ends_with([' ', '\t']) { " " } else { "" };
            let words = encode(text.as_bytes(), &self.charset, Place::Phrase, self.taken());
            self.out.push_str(&words);
            self.out.push_str(behind);
        }
    }

    /// An addr-spec: what touches the last `@` on its left is the local part, what follows is the domain.
    fn spec(&mut self, tokens: &[Token<'_>]) -> Result<(), Unsayable> {
        let Some(at) = tokens.iter().rposition(|token| token.kind == Kind::Special(b'@')) else {
            self.phrase(tokens);
            return Ok(());
        };
        let is_part = |token: &&Token<'_>| matches!(token.kind, Kind::Atom | Kind::Quoted { .. } | Kind::Encoded);
        let local = at - tokens[..at].iter().rev().take_while(is_part).count();
        match tokens.first().map(|token| token.kind) {
            // The hosts of a route (RFC 5322 4.4).
            Some(Kind::Special(b'@')) => tokens[..local].iter().try_for_each(|&token| self.domain(token))?,
            _ => self.phrase(&tokens[..local]),
        }
        for &token in &tokens[local..at] {
            match token {
                token if token.text.is_ascii() => self.raw(token),
                token if self.utf8 => self.out.push_str(token.text),
                token => {
                    let why = "this local part needs SMTPUTF8, which is not in use";
                    return Err(Unsayable { what: token.text.to_owned(), why, is_local: true });
                }
            }
        }
        tokens[at..].iter().try_for_each(|&token| self.domain(token))
    }

    fn domain(&mut self, token: Token<'_>) -> Result<(), Unsayable> {
        match token.kind {
            Kind::Atom if !token.text.is_ascii() => {
                let Some(labels) = ascii_domain(token.text) else {
                    let what = token.text.to_owned();
                    return Err(Unsayable { what, why: "is not a valid domain", is_local: false });
                };
                self.out.push_str(&labels);
            }
            _ => self.raw(token),
        }
        Ok(())
    }

    /// A token as it is, but for a comment that is not ASCII. White space becomes spaces, because a field is folded
    /// at spaces.
    fn raw(&mut self, token: Token<'_>) {
        match token.kind {
            Kind::Space => self.out.extend(token.text.chars().map(|_| ' ')),
            Kind::Comment { closed } => {
                self.out.push('(');
                if token.text.is_ascii() {
                    push_ascii(&mut self.out, &token.text.as_bytes()[1..token.text.len() - usize::from(closed)]);
                } else {
                    let words = encode(unquoted(token.text).as_bytes(), &self.charset, Place::Comment, self.taken());
                    self.out.push_str(&words);
                }
                if closed {
                    self.out.push(')');
                }
            }
            _ if token.text.is_ascii() => self.out.push_str(token.text),
            // Not ASCII only where the grammar has no place for it.
            _ => self.out.push_str(&encode(token.text.as_bytes(), &self.charset, Place::Phrase, self.taken())),
        }
    }

    /// Octets in use on the line where the next word goes, as far as folding cannot free them.
    fn taken(&self) -> usize {
        if self.out.trim_start().is_empty() { self.taken } else { 1 }
    }
}

impl Token<'_> {
    fn is_comment(self) -> bool {
        matches!(self.kind, Kind::Comment { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> Result<String, Unsayable> {
        encode_list(value, false, 4)
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
            assert_eq!(list(input).as_deref(), Ok(output), "{input}");
        }
    }

    #[test]
    fn what_has_no_ascii_form_is_named() {
        for (input, what) in [
            ("jürgen@x.org", "jürgen"),
            ("J <jürgen@x.org>", "jürgen"),
            ("\"jür gen\"@x.org", "\"jür gen\""),
            ("a@\u{300}.example", "\u{300}.example"),
        ] {
            assert_eq!(list(input).map_err(|error| error.what), Err(what.to_owned()), "{input}");
        }
        assert_eq!(encode_list("ü <jü@x.org>", true, 4).unwrap(), "=?utf-8?Q?=C3=BC?= <jü@x.org>");
    }

    #[test]
    fn whatever_comes_in_ascii_comes_out() {
        let pieces = ["ü", "<", ">", "(", ")", "\"", "\\", "@", ",", ":", ";", " ", "a", "."];
        for seed in 0..pieces.len().pow(4) {
            let input: String = (0..4).map(|digit| pieces[seed / pieces.len().pow(digit) % pieces.len()]).collect();
            if let Ok(output) = list(&input) {
                assert!(output.is_ascii(), "{input:?} gave {output:?}");
            }
        }
    }
}
