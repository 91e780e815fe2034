//! The words of PHP.

use memchr::memmem;
use zeroize::Zeroizing;

use super::super::Refused;
use super::super::token::{Token, sign};

/// The signs that matter, the long ones first; every other octet is one that does not.
const SIGNS: &[&str] = &[
    "??=", "...", "=>", "->", "::", "??", "?:", "==", ".=", "+=", "-=", "*=", "/=", "&&", "||", "(", ")", "[", "]",
    "{", "}", ",", ";", "=", ".", "?", ":", "!", "-", "+", "&",
];

/// The tokens of a file with their lines.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Refused> {
    let mut found = Vec::new();
    let mut lexer = Lexer { text, at: 0, line: 1 };
    lexer.skip_page();
    while let Some(token) = lexer.next()? {
        found.push(token);
    }
    Ok(found)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self, octets: usize) {
        self.line += self.rest().as_bytes()[..octets].iter().filter(|octet| **octet == b'\n').count();
        self.at += octets;
    }

    /// What stands outside of PHP.
    fn skip_page(&mut self) {
        let rest = self.rest();
        let length = |at: usize| match rest.as_bytes()[at + 2..].first() {
            Some(b'=') => Some(3),
            Some(_) => rest.as_bytes().get(at + 2..at + 5).filter(|name| name.eq_ignore_ascii_case(b"php")).map(|_| 5),
            None => None,
        };
        let begin = memmem::find_iter(rest.as_bytes(), b"<?").find_map(|at| Some(at + length(at)?));
        self.skip(begin.unwrap_or(rest.len()));
    }

    fn next(&mut self) -> Result<Option<(Token, usize)>, Refused> {
        loop {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return Ok(None) };
            let line = self.line;
            if first.is_ascii_whitespace() {
                self.skip(1);
            } else if rest.starts_with("//") || (first == '#' && !rest.starts_with("#[")) {
                let end = rest.find('\n').unwrap_or(rest.len());
                self.skip(rest[..end].find("?>").unwrap_or(end));
            } else if let Some(comment) = rest.strip_prefix("/*") {
                self.skip(comment.find("*/").map_or(rest.len(), |at| at + 4));
            } else if rest.starts_with("?>") {
                self.skip(2);
                self.skip_page();
                return Ok(Some((Token::Sign(";"), line)));
            } else if first == '\'' {
                return self.single().map(|token| Some((token, line)));
            } else if first == '"' || first == '`' {
                return self.double(first).map(|token| Some((token, line)));
            } else if rest.starts_with("<<<") {
                return self.document().map(|token| Some((token, line)));
            } else if first == '$' && rest[1..].starts_with(is_name_start) {
                let name = name(&rest[1..], false);
                self.skip(1 + name.len());
                return Ok(Some((Token::Variable(name.to_owned()), line)));
            } else if is_name_start(first) || first == '\\' {
                let name = name(rest, true);
                self.skip(name.len().max(1));
                return Ok(Some((Token::Name(name.trim_start_matches('\\').to_owned()), line)));
            } else if first.is_ascii_digit() {
                return Ok(Some((self.number(), line)));
            } else {
                let (token, length) = sign(rest, SIGNS);
                self.skip(length);
                return Ok(Some((token, line)));
            }
        }
    }

    /// A string in single quotes: only those and the backslash are escaped.
    fn single(&mut self) -> Result<Token, Refused> {
        let line = self.line;
        let mut text = Zeroizing::new(String::new());
        let mut chars = self.rest()[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.skip(at + 2);
                    return Ok(Token::Text(text));
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('\'' | '\\'))) => text.push(c),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err((line, "the string that begins here is never closed"))
    }

    fn double(&mut self, quote: char) -> Result<Token, Refused> {
        let line = self.line;
        let inside = &self.rest()[1..];
        let mut escaped = false;
        let end = inside.find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.ok_or((line, "the string that begins here is never closed"))?;
        self.skip(end + 2);
        Ok(if quote == '`' { Token::Other } else { interpreted(&inside[..end], true) })
    }

    /// A heredoc or a nowdoc.
    fn document(&mut self) -> Result<Token, Refused> {
        let line = self.line;
        let refused = (line, "the text that begins here is never closed");
        let rest = &self.rest()[3..];
        if !rest.trim_start_matches([' ', '\t']).starts_with(|c| matches!(c, '\'' | '"') || is_name(c)) {
            self.skip(3);
            return Ok(Token::Sign(""));
        }
        let (first, body) = rest.split_once('\n').ok_or(refused)?;
        let label = first.trim();
        let is_raw = label.starts_with('\'');
        let label = label.trim_matches(['\'', '"']);
        if label.is_empty() || !label.chars().all(is_name) {
            self.skip(3);
            return Ok(Token::Sign(""));
        }
        let mut lines: Vec<&str> = Vec::new();
        let mut at = 3 + first.len() + 1;
        for whole in body.split_inclusive('\n') {
            let bare = whole.trim_start_matches([' ', '\t']);
            if let Some(behind) = bare.strip_prefix(label)
                && !behind.starts_with(is_name)
            {
                let indent = whole.len() - bare.len();
                self.skip(at + indent + label.len());
                let cut = |line: &&str| line.get(indent..).unwrap_or("").trim_end_matches('\r').to_owned();
                let text = Zeroizing::new(lines.iter().map(cut).collect::<Vec<_>>().join("\n"));
                return Ok(if is_raw { Token::Text(text) } else { interpreted(&text, false) });
            }
            at += whole.len();
            lines.push(whole.strip_suffix('\n').unwrap_or(whole));
        }
        Err(refused)
    }

    fn number(&mut self) -> Token {
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        // "1 .": the point puts strings together.
        let is_end = |(at, c): &(usize, char)| !is_part(*c) || rest[*at..].starts_with("..");
        let word = &rest[..rest.char_indices().find(is_end).map_or(rest.len(), |(at, _)| at)];
        self.skip(word.len());
        let digits = word.replace('_', "").to_ascii_lowercase();
        let value = match digits.as_bytes() {
            [b'0', b'x', ..] => i64::from_str_radix(&digits[2..], 16),
            [b'0', b'b', ..] => i64::from_str_radix(&digits[2..], 2),
            [b'0', b'o', ..] => i64::from_str_radix(&digits[2..], 8),
            [b'0', _, ..] => i64::from_str_radix(&digits[1..], 8),
            _ => digits.parse(),
        };
        value.map_or(Token::Other, Token::Number)
    }
}

/// What a string in double quotes, or a heredoc, comes to: it has escapes, and a variable in it makes it code.
fn interpreted(raw: &str, is_quoted: bool) -> Token {
    let mut octets = Zeroizing::new(Vec::with_capacity(raw.len()));
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        let is_variable = c == '$' && behind.starts_with(|next| is_name_start(next) || next == '{');
        if is_variable || rest.starts_with("{$") {
            return Token::Other;
        }
        if c != '\\' {
            octets.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
            rest = behind;
            continue;
        }
        let simple = |c: u8| match c {
            b'n' => Some(b'\n'),
            b't' => Some(b'\t'),
            b'r' => Some(b'\r'),
            b'v' => Some(0x0b),
            b'e' => Some(0x1b),
            b'f' => Some(0x0c),
            b'\\' | b'$' => Some(c),
            b'"' if is_quoted => Some(c),
            _ => None,
        };
        let next = behind.bytes().next().unwrap_or(0);
        let digits = |radix: u32, from: usize, most: usize| {
            let part = behind.get(from..).unwrap_or("");
            part.bytes().take(most).take_while(|b| char::from(*b).is_digit(radix)).count()
        };
        let (octal, hex) = (digits(8, 0, 3), digits(16, 1, 2));
        if let Some(octet) = simple(next) {
            octets.push(octet);
            rest = &behind[1..];
        } else if octal > 0 {
            let value = u32::from_str_radix(&behind[..octal], 8).unwrap_or(0);
            octets.push((value & 0xff) as u8);
            rest = &behind[octal..];
        } else if matches!(next, b'x' | b'X') && hex > 0 {
            octets.push(u8::from_str_radix(&behind[1..=hex], 16).unwrap_or(0));
            rest = &behind[1 + hex..];
        } else if behind.starts_with("u{") {
            let Some(end) = behind.find('}') else { return Token::Other };
            let c = u32::from_str_radix(&behind[2..end], 16).ok().and_then(char::from_u32);
            let Some(c) = c else { return Token::Other };
            octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &behind[end + 1..];
        } else {
            octets.push(b'\\');
            rest = behind;
        }
    }
    match String::from_utf8(std::mem::take(&mut *octets)) {
        Ok(text) => Token::Text(Zeroizing::new(text)),
        Err(_) => Token::Other,
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_name(c: char) -> bool {
    is_name_start(c) || c.is_ascii_digit()
}

/// The name that `text` begins with.
fn name(text: &str, with_namespace: bool) -> &str {
    let is_part = |c| is_name(c) || (with_namespace && c == '\\');
    &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())]
}
