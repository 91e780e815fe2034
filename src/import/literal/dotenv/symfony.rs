//! symfony/dotenv.

use zeroize::Zeroizing;

use super::{Literal, Refused, Scope, Value};

/// Reads a file.
pub(super) fn read(text: &str, scope: &mut Scope<'_>) -> Result<(), Refused> {
    let text = Zeroizing::new(text.replace("\r\n", "\n").replace('\r', "\n"));
    let mut reader = Reader { text: &text, at: 0 };
    reader.skip_empty();
    while !reader.rest().is_empty() {
        let line = reader.line();
        let name = reader.name()?;
        let value = reader.value(scope)?;
        scope.set(name, line, value);
        reader.skip_empty();
    }
    Ok(())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// The name of a variable that `text` begins with; empty where there is none.
fn name(text: &str) -> &str {
    let start = usize::from(text.starts_with('_'));
    match text[start..].starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => {
            let end = text[start..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            &text[..end.map_or(text.len(), |end| start + end)]
        }
        false => "",
    }
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn line(&self) -> usize {
        self.text[..self.at].matches('\n').count() + 1
    }

    fn wrong<T>(&self, why: &'static str) -> Result<T, Refused> {
        Err((self.line(), why))
    }

    /// Over blank lines and comments.
    fn skip_empty(&mut self) {
        loop {
            let rest = self.rest();
            let bare = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
            let comment = if bare.starts_with('#') { bare.find('\n').unwrap_or(bare.len()) } else { 0 };
            let length = rest.len() - bare.len() + comment;
            if length == 0 {
                return;
            }
            self.at += length;
        }
    }

    fn name(&mut self) -> Result<&'a str, Refused> {
        let rest = self.rest();
        let behind = rest.strip_prefix("export").map(|rest| rest.trim_start_matches([' ', '\t']));
        let is_export = behind.is_some_and(|behind| behind.len() + 6 < rest.len() && !name(behind).is_empty());
        if let (true, Some(behind)) = (is_export, behind) {
            self.at += rest.len() - behind.len();
        }
        let found = name(self.rest());
        if found.is_empty() {
            return self.wrong("what stands there is no name of a variable");
        }
        self.at += found.len();
        match self.rest().chars().next() {
            Some('=') => self.at += 1,
            Some(' ' | '\t') => return self.wrong("blanks before = are not allowed"),
            _ => return self.wrong("= is missing behind the name"),
        }
        Ok(found)
    }

    fn value(&mut self, scope: &mut Scope<'_>) -> Result<Literal, Refused> {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let bare = line.trim_start_matches([' ', '\t']);
        if bare.is_empty() || bare.starts_with('#') {
            self.at += line.len();
            return Ok(Literal::text(""));
        }
        if bare.len() < line.len() {
            return self.wrong("blanks before the value are not allowed");
        }
        let mut value = Value::new();
        loop {
            let rest = self.rest();
            match rest.chars().next() {
                None | Some('\n') => break,
                Some('\'') => {
                    let Some(end) = rest[1..].find('\'') else { return self.wrong("the quote is never closed") };
                    value.text.push_str(&rest[1..=end]);
                    self.at += end + 2;
                }
                Some('"') => self.double(scope, &mut value)?,
                Some(_) => {
                    self.bare(scope, &mut value)?;
                    if self.rest().starts_with('#') {
                        break;
                    }
                }
            }
        }
        Ok(value.finish())
    }

    fn double(&mut self, scope: &mut Scope<'_>, value: &mut Value) -> Result<(), Refused> {
        let octets = self.text.as_bytes();
        let mut end = self.at + 1;
        loop {
            let Some(octet) = octets.get(end) else { return self.wrong("the quote is never closed") };
            let is_escaped = octets[end - 1] == b'\\' && octets[end - 2] != b'\\';
            if *octet == b'"' && !is_escaped {
                break;
            }
            end += 1;
        }
        let raw = &self.text[self.at + 1..end];
        let raw = Zeroizing::new(raw.replace("\\\"", "\"").replace("\\r", "\r").replace("\\n", "\n"));
        self.resolve(&raw, scope, value)?;
        self.at = end + 1;
        Ok(())
    }

    fn bare(&mut self, scope: &mut Scope<'_>, value: &mut Value) -> Result<(), Refused> {
        let mut raw = Zeroizing::new(String::new());
        let mut last = self.text[..self.at].chars().next_back().unwrap_or('=');
        let start = self.at;
        while let Some(c) = self.rest().chars().next() {
            let is_comment = c == '#' && matches!(last, ' ' | '\t');
            if matches!(c, '\n' | '"' | '\'') || is_comment {
                break;
            }
            let next = self.rest()[c.len_utf8()..].chars().next();
            let taken = match (c, next) {
                ('\\', Some(quote @ ('"' | '\''))) => {
                    self.at += 1;
                    quote
                }
                _ => c,
            };
            raw.push(taken);
            last = taken;
            self.at += taken.len_utf8();
            if c == '$' && next == Some('(') {
                let line = self.rest().split('\n').next().unwrap_or_default();
                let Some(end) = closing(line) else { return self.wrong("the parenthesis is never closed") };
                raw.push_str(&line[..=end]);
                self.at += end + 1;
            }
        }
        debug_assert!(self.at > start, "it goes on");
        let raw = raw.trim_end_matches([' ', '\t', '\n', '\r', '\0', '\x0b']);
        let before = value.text.len();
        let was_known = value.unknown.is_none();
        self.resolve(raw, scope, value)?;
        let is_unchanged = value.text[before..] == *raw && (value.unknown.is_none() || !was_known);
        if is_unchanged && raw.contains(|c: char| c.is_ascii_whitespace() || c == '\x0b') {
            return self.wrong("a value with blanks is not in quotes");
        }
        Ok(())
    }

    /// Puts variables in.
    fn resolve(&self, raw: &str, scope: &mut Scope<'_>, value: &mut Value) -> Result<(), Refused> {
        let start = value.text.len();
        let mut rest = raw;
        while let Some(at) = rest.find('$') {
            let (before, behind) = (&rest[..at], &rest[at + 1..]);
            let plain = before.trim_end_matches('\\');
            let slashes = before.len() - plain.len();
            value.text.push_str(plain);
            if behind.starts_with('(') {
                match slashes {
                    0 => drop(value.unknown.get_or_insert(Literal::Code)),
                    // One of them escapes the sign.
                    _ => value.text.push_str(&"\\".repeat(slashes - 1)),
                }
                value.text.push('$');
                rest = behind;
                continue;
            }
            let reference = Reference::of(behind);
            let whole = &behind[..reference.length];
            rest = &behind[reference.length..];
            if slashes % 2 == 1 {
                value.text.push_str(&"\\".repeat(slashes - 1));
                value.text.push('$');
                value.text.push_str(whole);
                continue;
            }
            value.text.push_str(&"\\".repeat(slashes));
            if reference.is_bare() {
                value.text.push('$');
                value.text.push_str(whole);
                continue;
            }
            if reference.is_open && !reference.is_closed {
                return self.wrong("a brace is never closed");
            }
            if reference.default.is_some_and(|(text, _)| text.contains(['\'', '"', '{', '$'])) {
                return self.wrong("a default holds what it may not");
            }
            let known = scope.get(reference.name).cloned();
            let is_missing = known.as_ref().is_none_or(|known| matches!(known, Literal::Text(text) if text.is_empty()));
            value.refer(reference.name, known.as_ref(), reference.default.map(|(text, _)| text));
            if let (true, Some((text, true))) = (is_missing, reference.default) {
                let line = self.line();
                scope.set(reference.name, line, Literal::text(text));
            }
            if !reference.is_open && reference.is_closed {
                value.text.push('}');
            }
        }
        value.text.push_str(rest);
        let halved = Zeroizing::new(value.text[start..].replace("\\\\", "\\"));
        value.text.truncate(start);
        value.text.push_str(&halved);
        Ok(())
    }
}

/// What stands behind a `$`.
struct Reference<'a> {
    name: &'a str,
    /// What stands for it where it is empty, and whether that is also what it is from then on.
    default: Option<(&'a str, bool)>,
    is_open: bool,
    is_closed: bool,
    length: usize,
}

impl<'a> Reference<'a> {
    fn of(text: &'a str) -> Self {
        let is_open = text.starts_with('{');
        let mut at = usize::from(is_open);
        let name = name(&text[at..]);
        at += name.len();
        let sign = [(":-", false), (":=", true)].into_iter().find(|(sign, _)| text[at..].starts_with(sign));
        let default = sign.map(|(_, is_kept)| {
            let inside = &text[at + 2..];
            let end = inside.find('}').unwrap_or(inside.len());
            at += 2 + end;
            (&inside[..end], is_kept)
        });
        let is_closed = text[at..].starts_with('}');
        Self { name, default, is_open, is_closed, length: at + usize::from(is_closed) }
    }

    /// Nothing that is replaced.
    fn is_bare(&self) -> bool {
        self.name.is_empty() && self.default.is_none() && !self.is_closed
    }
}

/// Where the parenthesis that `text` begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}
