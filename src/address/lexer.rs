//! The tokens of an address list (RFC 5322 3.2, 3.4), encoded words (RFC 2047) among them: the one place that
//! says what separates, what quotes and what is text.

use std::ops::Range;

use super::{encoded, is_atext};

/// A token and its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its octets, marks included.
    pub span: Range<usize>,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// White space.
    Space,
    /// Parentheses, nested ones included, and what they hold; it may lack its end.
    Comment {
        /// The closing parenthesis is there.
        closed: bool,
    },
    /// A quoted string; it may lack its end.
    Quoted {
        /// The closing quote is there.
        closed: bool,
    },
    /// An encoded word. Whatever it holds is its own.
    Encoded,
    /// Visible characters up to the next token; dots, brackets and backslashes belong to it.
    Atom,
    /// A domain literal behind `@`, brackets included.
    Literal,
    /// One of `<>@,:;`, or a stray `)`.
    Special(u8),
    /// A control character.
    Control,
}

/// The tokens of `text`, which are all of it. The work is linear, whatever the text.
pub fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let mut at = 0;
    let mut behind_at = false;
    std::iter::from_fn(move || {
        let rest = &text[at..];
        let (kind, length) = next(rest, behind_at)?;
        let span = at..at + length;
        at += length;
        behind_at = kind == Kind::Special(b'@');
        Some(Token { kind, span })
    })
}

/// The first token of `rest` and its length in octets.
fn next(rest: &str, behind_at: bool) -> Option<(Kind, usize)> {
    let first = rest.chars().next()?;
    let run = |is_end: fn(char) -> bool| rest.find(is_end).unwrap_or(rest.len());
    Some(match first {
        '(' => comment(rest),
        '"' => quoted(rest),
        '<' | '>' | '@' | ',' | ';' | ':' | ')' => (Kind::Special(first as u8), 1),
        c if c.is_whitespace() => (Kind::Space, run(|c| !c.is_whitespace())),
        c if c.is_control() => (Kind::Control, c.len_utf8()),
        // Only behind @ is [ a domain literal; in a name it is a character like any other.
        '[' if behind_at && literal(rest).is_some() => (Kind::Literal, literal(rest)?),
        _ => match encoded::length(rest) {
            Some(length) => (Kind::Encoded, length),
            None => (Kind::Atom, atom(rest)),
        },
    })
}

/// An atom ends where an encoded word begins, too. The first character is one of an atom.
fn atom(rest: &str) -> usize {
    let is_atom = |c: char| matches!(c, '.' | '[' | ']' | '\\') || is_atext(c);
    let end = rest.find(|c| !is_atom(c)).unwrap_or(rest.len());
    let mut from = rest.chars().next().map_or(0, char::len_utf8);
    while let Some(start) = rest[from..end].find("=?").map(|start| from + start) {
        if encoded::length(&rest[start..]).is_some() {
            return start;
        }
        from = start + 2;
    }
    end
}

fn quoted(rest: &str) -> (Kind, usize) {
    let mut escaped = false;
    for (at, octet) in rest.bytes().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return (Kind::Quoted { closed: true }, at + 1),
            _ => {}
        }
    }
    (Kind::Quoted { closed: false }, rest.len())
}

fn comment(rest: &str) -> (Kind, usize) {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, octet) in rest.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return (Kind::Comment { closed: true }, at + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    (Kind::Comment { closed: false }, rest.len())
}

/// The length of the domain literal that `rest` begins with (RFC 5322 3.4.1, without white space).
fn literal(rest: &str) -> Option<usize> {
    let is_dtext = |c: char| c.is_ascii_graphic() && !matches!(c, '[' | ']' | '\\');
    let length = rest[1..].find(|c| !is_dtext(c))?;
    rest[1 + length..].starts_with(']').then_some(length + 2)
}

/// What a quoted string or a comment says: without its marks, quoted pairs undone.
pub fn unquoted(token: &str) -> String {
    let mut inner = token.chars();
    let close = if inner.next() == Some('(') { ')' } else { '"' };
    let inner = inner.as_str();
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            // Nothing stands behind an unescaped mark at the end.
            c if c == close && chars.as_str().is_empty() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).map(|token| (token.kind, &text[token.span])).collect()
    }

    #[test]
    fn an_encoded_word_is_one_token() {
        assert_eq!(
            kinds("=?utf-8?q?\"?= <a@x> (\")"),
            [
                (Kind::Encoded, "=?utf-8?q?\"?="),
                (Kind::Space, " "),
                (Kind::Special(b'<'), "<"),
                (Kind::Atom, "a"),
                (Kind::Special(b'@'), "@"),
                (Kind::Atom, "x"),
                (Kind::Special(b'>'), ">"),
                (Kind::Space, " "),
                (Kind::Comment { closed: true }, "(\")"),
            ]
        );
        assert_eq!(kinds("b=?a?q?c, d?=e"), [(Kind::Atom, "b"), (Kind::Encoded, "=?a?q?c, d?="), (Kind::Atom, "e")]);
        assert_eq!(kinds("=?a?q?b"), [(Kind::Atom, "=?a?q?b")]);
    }

    #[test]
    fn what_is_quoted_is_told() {
        for (token, says) in [
            ("\"a \\\"b\\\" c\"", "a \"b\" c"),
            ("(a (b \\) c))", "a (b ) c)"),
            ("\"open", "open"),
            ("(open", "open"),
            ("\"", ""),
            ("\"\\\"", "\""),
        ] {
            assert_eq!(unquoted(token), says, "{token}");
        }
    }

    #[test]
    fn tokens_are_all_of_the_text() {
        let pieces = ["ü", "<", ">", "(", ")", "\"", "\\", "@", "[a]", "=?a?q?", "?=", " ", "a", "\u{7}", "\u{a0}"];
        for seed in 0..pieces.len().pow(4) {
            let text: String = (0..4).map(|digit| pieces[seed / pieces.len().pow(digit) % pieces.len()]).collect();
            assert_eq!(tokens(&text).map(|token| text[token.span].to_owned()).collect::<String>(), text);
        }
    }
}
