//! python-dotenv 1.

use super::{Literal, Scope, Value};

/// Reads a file. A line that the library cannot read is passed over, as it does; its variable is then not known.
pub(super) fn read(text: &str, scope: &mut Scope<'_>) {
    let mut at = 0;
    while at < text.len() {
        let start = at + (text[at..].len() - text[at..].trim_start().len());
        if start >= text.len() {
            return;
        }
        let line = text[..start].matches('\n').count() + 1;
        let (key, value, end) = binding(text, start);
        if let Some(key) = key {
            match value {
                Read::Text(raw) => {
                    let value = interpolated(&raw, scope);
                    scope.set(key, line, value);
                }
                Read::Nothing => {}
                Read::Wrong => scope.set(key, line, Literal::Code),
            }
        }
        at = end.max(start + 1);
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
}

enum Read {
    Text(zeroize::Zeroizing<String>),
    /// A name without a value.
    Nothing,
    /// What cannot be read.
    Wrong,
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\r' && c != '\n'
}

/// Over what `is_it`.
fn skip(text: &str, at: usize, is_it: impl Fn(char) -> bool) -> usize {
    text[at..].find(|c| !is_it(c)).map_or(text.len(), |length| at + length)
}

/// One line or more from `at` on: the name, the value, and where the next begins.
fn binding(text: &str, mut at: usize) -> (Option<&str>, Read, usize) {
    let line_end = |at: usize| {
        let end = skip(text, at, |c| c != '\r' && c != '\n');
        let rest = &text[end..];
        end + if rest.starts_with("\r\n") { 2 } else { usize::from(!rest.is_empty()) }
    };
    if let Some(rest) = text[at..].strip_prefix("export")
        && rest.starts_with(is_blank)
    {
        at = skip(text, at + 6, is_blank);
    }
    let rest = &text[at..];
    let key = if rest.starts_with('#') {
        None
    } else if let Some(inside) = rest.strip_prefix('\'') {
        let Some(length) = inside.find('\'').filter(|length| *length > 0) else {
            return (None, Read::Wrong, line_end(at));
        };
        at += length + 2;
        Some(&inside[..length])
    } else {
        let end = skip(text, at, |c| c != '=' && c != '#' && !c.is_whitespace());
        if end == at {
            return (None, Read::Wrong, line_end(at));
        }
        let key = &text[at..end];
        at = end;
        Some(key)
    };
    at = skip(text, at, is_blank);
    let mut value = Read::Nothing;
    if text[at..].starts_with('=') {
        let behind = skip(text, at + 1, is_blank);
        let has_blanks = behind > at + 1;
        at = behind;
        let next = text[at..].chars().next();
        match next {
            Some('#') if has_blanks => value = Read::Text(String::new().into()),
            Some(quote @ ('\'' | '"')) => match quoted(&text[at + 1..], quote) {
                Some((inside, length)) => {
                    value = Read::Text(inside);
                    at += length + 2;
                }
                None => return (key, Read::Wrong, line_end(at)),
            },
            None | Some('\r' | '\n') => value = Read::Text(String::new().into()),
            Some(_) => {
                let end = skip(text, at, |c| c != '\r' && c != '\n');
                value = Read::Text(without_comment(&text[at..end]).to_owned().into());
                at = end;
            }
        }
    }
    let comment = skip(text, at, is_blank);
    if text[comment..].starts_with('#') {
        at = skip(text, comment, |c| c != '\r' && c != '\n');
    }
    let end = skip(text, at, is_blank);
    match text[end..].chars().next() {
        None | Some('\r' | '\n') => (key, value, line_end(end)),
        Some(_) => (key, Read::Wrong, line_end(at)),
    }
}

/// The text in quotes, and how long it was.
fn quoted(text: &str, quote: char) -> Option<(zeroize::Zeroizing<String>, usize)> {
    let mut plain = zeroize::Zeroizing::new(String::new());
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((plain, at));
        }
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let (_, next) = chars.next()?;
        let meant = match (next, quote) {
            ('\\' | '\'', _) => Some(next),
            ('"', '"') => Some('"'),
            ('a', '"') => Some('\x07'),
            ('b', '"') => Some('\x08'),
            ('f', '"') => Some('\x0c'),
            ('n', '"') => Some('\n'),
            ('r', '"') => Some('\r'),
            ('t', '"') => Some('\t'),
            ('v', '"') => Some('\x0b'),
            _ => None,
        };
        match meant {
            Some(meant) => plain.push(meant),
            None => plain.extend(['\\', next]),
        }
    }
    None
}

/// A value without quotes ends where blanks and a `#` stand.
fn without_comment(text: &str) -> &str {
    let mut from = 0;
    while let Some(at) = text[from..].find('#').map(|at| from + at) {
        if text[..at].ends_with(char::is_whitespace) {
            return text[..at].trim_end();
        }
        from = at + 1;
    }
    text.trim_end()
}

/// `${NAME}` and `${NAME:-DEFAULT}`, in quotes of any kind.
fn interpolated(raw: &str, scope: &Scope<'_>) -> Literal {
    let mut value = Value::new();
    let mut rest = raw;
    while let Some(at) = rest.find("${") {
        let inside = &rest[at + 2..];
        let end = inside.find('}');
        let colon = inside.find(':').filter(|colon| end.is_some_and(|end| *colon < end));
        let (name, default) = match (colon, end) {
            (_, None) => break,
            (None, Some(end)) => (&inside[..end], None),
            (Some(colon), Some(end)) if inside[colon..].starts_with(":-") && colon + 2 <= end => {
                (&inside[..colon], Some(&inside[colon + 2..end]))
            }
            // Nothing that is replaced.
            (Some(_), Some(_)) => {
                value.text.push_str(&rest[..at + 2]);
                rest = inside;
                continue;
            }
        };
        value.text.push_str(&rest[..at]);
        match scope.get(name) {
            // A default stands for what is not there, not for what is empty.
            known @ Some(_) => value.refer(name, known, None),
            None => value.refer(name, None, default),
        }
        rest = &inside[end.unwrap_or(0) + 1..];
    }
    value.text.push_str(rest);
    value.finish()
}
