//! vlucas/phpdotenv 5.

use zeroize::Zeroizing;

use super::{Literal, Refused, Scope};

/// What the library trims.
const BLANKS: &[char] = &[' ', '\t', '\n', '\r', '\0', '\x0b'];

/// Reads a file. Of one name the last counts.
pub(super) fn read(text: &str, scope: &mut Scope<'_>) -> Result<(), Refused> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut open: Option<(usize, Zeroizing<String>)> = None;
    for (number, line) in text.split('\n').enumerate() {
        let number = number + 1;
        let starts = line.contains("=\"") && !ends(line, true);
        let (number, whole) = match open.take() {
            Some((first, mut before)) => {
                before.push('\n');
                before.push_str(line);
                if !ends(line, starts) {
                    open = Some((first, before));
                    continue;
                }
                (first, before)
            }
            None if starts => {
                open = Some((number, Zeroizing::new(line.to_owned())));
                continue;
            }
            None => (number, Zeroizing::new(line.to_owned())),
        };
        let trimmed = whole.trim_matches(BLANKS);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        entry(&whole, number, scope)?;
    }
    match open {
        Some((number, _)) => Err((number, "the quote that begins here is never closed")),
        None => Ok(()),
    }
}

/// Whether a line ends a value that began in it or before.
fn ends(line: &str, begins: bool) -> bool {
    if line == "\"" {
        return true;
    }
    let plain = Zeroizing::new(line.replace("\\\\", ""));
    let mut quotes = 0;
    let mut last = None;
    for c in plain.chars() {
        quotes += usize::from(c == '"' && last.is_some_and(|last| last != '\\'));
        last = Some(c);
    }
    if begins { quotes > 1 } else { quotes >= 1 }
}

fn entry(line: &str, number: usize, scope: &mut Scope<'_>) -> Result<(), Refused> {
    let (name, text) = match line.split_once('=') {
        Some((name, text)) => (name.trim_matches(BLANKS), Some(text.trim_matches(BLANKS))),
        None => (line, None),
    };
    let is_export = name.chars().count() > 8
        && name.starts_with("export")
        && name[6..].starts_with(|c: char| c.is_ascii_whitespace());
    let name = if is_export { name[6..].trim_start_matches(BLANKS) } else { name };
    let quoted = |quote: char| name.strip_prefix(quote)?.strip_suffix(quote).filter(|name| !name.is_empty());
    let name = quoted('"').or_else(|| quoted('\'')).unwrap_or(name);
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    if !is_name {
        return Err((number, "what stands there is no name of a variable"));
    }
    let Some(text) = text else {
        // A name alone is taken out again, if it was set here.
        scope.found.retain(|entry| entry.key != name);
        return Ok(());
    };
    let value = value(text, number, scope)?;
    scope.set(name, number, value);
    Ok(())
}

enum State {
    Start,
    Bare,
    Single,
    Double,
    Escape,
    Behind,
    Comment,
}

fn value(text: &str, number: usize, scope: &Scope<'_>) -> Result<Literal, Refused> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut signs: Vec<usize> = Vec::new();
    let mut state = State::Start;
    for c in text.chars() {
        state = match (state, c) {
            (State::Start, '\'') => State::Single,
            (State::Start, '"') => State::Double,
            (State::Start | State::Bare | State::Behind, '#') | (State::Comment, _) => State::Comment,
            (State::Bare | State::Behind, c) if c.is_ascii_whitespace() || c == '\x0b' => State::Behind,
            (State::Behind, _) => return Err((number, "a value with blanks is not in quotes")),
            (State::Start | State::Bare, c) => {
                if c == '$' {
                    signs.push(plain.len());
                }
                plain.push(c);
                State::Bare
            }
            (State::Single, '\'') | (State::Double, '"') => State::Behind,
            (State::Single, c) => {
                plain.push(c);
                State::Single
            }
            (State::Double, '\\') => State::Escape,
            (State::Double, c) => {
                if c == '$' {
                    signs.push(plain.len());
                }
                plain.push(c);
                State::Double
            }
            (State::Escape, c) => {
                plain.push(match c {
                    '"' | '\\' | '$' => c,
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\x0b',
                    _ => return Err((number, "a backslash stands before what it does not escape")),
                });
                State::Double
            }
        };
    }
    if matches!(state, State::Single | State::Double | State::Escape) {
        return Err((number, "the quote that begins here is never closed"));
    }
    // From the last one on, as the library does it.
    let mut unknown = None;
    for at in signs.into_iter().rev() {
        let Some(inside) = plain[at..].strip_prefix("${") else { continue };
        let Some((name, _)) = inside.split_once('}') else { continue };
        let name = name.to_owned();
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
        if !is_name {
            continue;
        }
        match scope.get(&name) {
            Some(Literal::Text(text)) => plain.replace_range(at..at + name.len() + 3, text),
            Some(other) => unknown = Some(other.clone()),
            None => unknown = Some(Literal::Variable(name, None)),
        }
    }
    Ok(unknown.unwrap_or(Literal::Text(plain)))
}
