//! The lines and the words of Python.

use zeroize::Zeroizing;

use super::super::Refused;
use super::super::token::{Brackets, Token, sign};

/// A line with all that belongs to it.
pub(super) struct Line {
    pub(super) indent: usize,
    pub(super) tokens: Vec<(Token, usize)>,
}

const SIGNS: &[&str] = &[
    "**=", "//=", ">>=", "<<=", "...", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", ":=",
    "->", "(", ")", "[", "]", "{", "}", ",", ":", ";", "=", ".", "+", "-", "*", "/", "%", "|", "&", "<", ">", "@", "~",
    "^",
];

/// The lines of a module.
///
/// # Errors
/// A string or a bracket is never closed.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, Refused> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found: Vec<Line> = Vec::new();
    let mut current = Line { indent: 0, tokens: Vec::new() };
    let (mut at, mut number, mut is_start) = (0_usize, 1_usize, true);
    let mut brackets = Brackets::default();
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if is_start && brackets.are_closed() {
            let bare = rest.trim_start_matches([' ', '\t', '\x0c']);
            current.indent = rest.len() - bare.len();
            at += current.indent;
            is_start = false;
            continue;
        }
        match c {
            '\n' => {
                at += 1;
                number += 1;
                if brackets.are_closed() {
                    if !current.tokens.is_empty() {
                        found.push(std::mem::replace(&mut current, Line { indent: 0, tokens: Vec::new() }));
                    }
                    is_start = true;
                }
            }
            c if c.is_whitespace() => at += c.len_utf8(),
            '#' => at += rest.find('\n').unwrap_or(rest.len()),
            '\\' if rest[1..].starts_with('\n') || rest[1..].starts_with("\r\n") => {
                at += rest.find('\n').unwrap_or(0) + 1;
                number += 1;
            }
            _ => {
                // A prefix has two letters at most: nobody looks further, or every word would be a look at the whole.
                let quote = rest.char_indices().take(3).find(|(_, c)| matches!(c, '\'' | '"'));
                let prefix = quote.map(|(at, _)| at).filter(|length| is_prefix(&rest[..*length]));
                if let Some(length) = prefix {
                    let (token, end) = string(&rest[length..], &rest[..length].to_ascii_lowercase())
                        .ok_or((number, "the string that begins here is never closed"))?;
                    current.tokens.push((token, number));
                    number += rest[..length + end].matches('\n').count();
                    at += length + end;
                } else if c.is_alphabetic() || c == '_' {
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    current.tokens.push((Token::Name(rest[..end].to_owned()), number));
                    at += end;
                } else if c.is_ascii_digit() {
                    let end =
                        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
                    current.tokens.push((number_of(&rest[..end]), number));
                    at += end;
                } else {
                    let (token, length) = sign(rest, SIGNS);
                    if let Token::Sign(sign) = token {
                        brackets.note(sign, number);
                    }
                    current.tokens.push((token, number));
                    at += length;
                }
            }
        }
    }
    brackets.end()?;
    if !current.tokens.is_empty() {
        found.push(current);
    }
    Ok(found)
}

fn is_prefix(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "" | "r" | "u" | "b" | "f" | "rb" | "br" | "rf" | "fr")
}

fn number_of(word: &str) -> Token {
    let digits = word.replace('_', "").to_ascii_lowercase();
    let value = match digits.as_bytes() {
        [b'0', b'x', ..] => i64::from_str_radix(&digits[2..], 16),
        [b'0', b'o', ..] => i64::from_str_radix(&digits[2..], 8),
        [b'0', b'b', ..] => i64::from_str_radix(&digits[2..], 2),
        _ => digits.parse(),
    };
    value.map_or(Token::Other, Token::Number)
}

/// A string from its quote on, and where it ends.
fn string(text: &str, prefix: &str) -> Option<(Token, usize)> {
    let quote = text.chars().next()?;
    let triple: String = [quote; 3].iter().collect();
    let is_long = text.starts_with(&triple);
    let start = if is_long { 3 } else { 1 };
    let mut at = start;
    let end = loop {
        let rest = &text[at..];
        let c = rest.chars().next()?;
        if c == '\\' {
            at += 1 + rest[1..].chars().next()?.len_utf8();
        } else if is_long && rest.starts_with(&triple) {
            break at + 3;
        } else if !is_long && c == quote {
            break at + 1;
        } else if !is_long && c == '\n' {
            return None;
        } else {
            at += c.len_utf8();
        }
    };
    let raw = &text[start..end - start];
    let token = match prefix {
        _ if prefix.contains('b') => Token::Other,
        _ if prefix.contains('f') && raw.contains(['{', '}']) => Token::Other,
        _ if prefix.contains('r') => Token::Text(Zeroizing::new(raw.replace("\r\n", "\n"))),
        _ => unescaped(raw).map_or(Token::Other, Token::Text),
    };
    Some((token, end))
}

/// What the escapes stand for; `None`: one names a character.
fn unescaped(raw: &str) -> Option<Zeroizing<String>> {
    let mut plain = Zeroizing::new(String::with_capacity(raw.len()));
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\r' && rest.starts_with('\n') {
            continue;
        }
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let next = rest.chars().next()?;
        let digits = |radix: u32, from: usize, most: usize| {
            rest.get(from..).unwrap_or("").bytes().take(most).take_while(|b| char::from(*b).is_digit(radix)).count()
        };
        let (length, meant) = match next {
            '\n' => (1, None),
            '\r' if rest.starts_with("\r\n") => (2, None),
            '\\' | '\'' | '"' => (1, Some(next)),
            'a' => (1, Some('\x07')),
            'b' => (1, Some('\x08')),
            'f' => (1, Some('\x0c')),
            'n' => (1, Some('\n')),
            'r' => (1, Some('\r')),
            't' => (1, Some('\t')),
            'v' => (1, Some('\x0b')),
            '0'..='7' => {
                let length = digits(8, 0, 3);
                (length, Some(u32::from_str_radix(&rest[..length], 8).ok().and_then(char::from_u32)?))
            }
            'x' | 'u' | 'U' => {
                let want = match next {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                if digits(16, 1, want) != want {
                    return None;
                }
                (1 + want, Some(u32::from_str_radix(&rest[1..=want], 16).ok().and_then(char::from_u32)?))
            }
            'N' => return None,
            _ => {
                plain.push('\\');
                continue;
            }
        };
        plain.extend(meant);
        rest = &rest[length..];
    }
    Some(plain)
}
