//! The words of Ruby.

use zeroize::Zeroizing;

use super::super::Refused;
use super::super::token::{Brackets, Token, sign};

const SIGNS: &[&str] = &[
    "||=", "&&=", "<=>", "===", "**", "=>", "::", "||", "&&", "==", "!=", "=~", ">=", "<=", "+=", "-=", "<<", "&.",
    "->", "(", ")", "[", "]", "{", "}", ",", ".", "=", "|", "&", "?", ":", "!", "+", "-", "*", "/", "%", "<", ">",
];

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of a file with their lines.
///
/// # Errors
/// A string or a bracket is never closed.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Refused> {
    let mut found: Vec<(Token, usize)> = Vec::new();
    let (mut at, mut line, mut brackets) = (0_usize, 1_usize, Brackets::default());
    let mut documents: Vec<String> = Vec::new();
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_line_start = at == 0 || text[..at].ends_with('\n');
        if is_line_start && rest.starts_with("__END__") {
            break;
        }
        if is_line_start && rest.starts_with("=begin") {
            let end = rest.find("\n=end").map_or(rest.len(), |end| end + 5);
            line += rest[..end].matches('\n').count();
            at += end;
            continue;
        }
        // After a word that ends a value, a slash divides; elsewhere it begins an expression.
        let is_behind_value = matches!(
            found.last(),
            Some((
                Token::Name(_)
                    | Token::Text(_)
                    | Token::Number(_)
                    | Token::Symbol(_)
                    | Token::Other
                    | Token::Sign(")" | "]" | "}"),
                _
            ))
        );
        match c {
            '\n' => {
                at += 1;
                line += 1;
                for label in documents.drain(..) {
                    while at < text.len() {
                        let end = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
                        let is_label = text[at..end].trim() == label;
                        at = end;
                        line += 1;
                        if is_label {
                            break;
                        }
                    }
                }
                let goes_on = matches!(found.last(), Some((Token::Sign(sign), _)) if !matches!(*sign, ")" | "]" | "}" | "?" | "!"))
                    || text[at..].trim_start().starts_with('.');
                if brackets.are_closed() && !goes_on {
                    found.push((Token::End, line - 1));
                }
            }
            ';' => {
                at += 1;
                found.push((Token::End, line));
            }
            '#' => at += rest.find('\n').unwrap_or(rest.len()),
            '\\' if rest[1..].starts_with('\n') => {
                at += 2;
                line += 1;
            }
            c if c.is_whitespace() => at += c.len_utf8(),
            '\'' | '"' | '`' => {
                let (token, end) =
                    string(&rest[1..], c).ok_or((line, "the string that begins here is never closed"))?;
                let is_key = rest[1 + end..].starts_with(':') && !rest[1 + end..].starts_with("::");
                match token {
                    Token::Text(text) if is_key && c != '`' => {
                        found.push((Token::Symbol(text.to_string()), line));
                        found.push((Token::Sign("=>"), line));
                        at += 1;
                    }
                    token => found.push((if c == '`' { Token::Other } else { token }, line)),
                }
                line += rest[..=end].matches('\n').count();
                at += 1 + end;
            }
            ':' if rest[1..].starts_with(|c: char| c.is_alphabetic() || c == '_') && !text[..at].ends_with(':') => {
                let end = rest[1..].find(|c| !is_name(c)).map_or(rest.len(), |end| end + 1);
                found.push((Token::Symbol(rest[1..end].to_owned()), line));
                at += end;
            }
            '%' if !is_behind_value && rest[1..].starts_with(['q', 'Q', 'w', 'i', 'r', 'W', 'I', '(', '[', '{']) => {
                let word = rest[1..].chars().next().filter(char::is_ascii_alphabetic);
                let from = 1 + usize::from(word.is_some());
                let open = rest[from..].chars().next().unwrap_or(' ');
                let close = match open {
                    '(' => ')',
                    '[' => ']',
                    '{' => '}',
                    '<' => '>',
                    other => other,
                };
                let inside = rest.get(from + open.len_utf8()..).unwrap_or("");
                let end = inside.find(close).ok_or((line, "the string that begins here is never closed"))?;
                let raw = &inside[..end];
                let is_plain = word == Some('q') && !raw.contains(['\\', open]);
                found.push((if is_plain { Token::Text(Zeroizing::new(raw.to_owned())) } else { Token::Other }, line));
                line += raw.matches('\n').count();
                at += from + open.len_utf8() + end + close.len_utf8();
            }
            '/' if !is_behind_value => {
                let (_, end) =
                    string(&rest[1..], '/').ok_or((line, "the expression that begins here is never closed"))?;
                found.push((Token::Other, line));
                at += 1 + end;
            }
            '<' if rest.starts_with("<<~") || rest.starts_with("<<-") => {
                let label: String =
                    rest[3..].trim_start_matches(['\'', '"']).chars().take_while(|c| is_name(*c)).collect();
                let end = rest.find('\n').unwrap_or(rest.len());
                let length = rest[3..end].find(&label).map_or(3, |from| 3 + from + label.len());
                at += length + usize::from(rest[length..].starts_with(['\'', '"']));
                if !label.is_empty() {
                    documents.push(label);
                }
                found.push((Token::Other, line));
            }
            c if c.is_alphabetic() || c == '_' || c == '@' || c == '$' => {
                let length = rest.find(|c| !is_name(c) && c != '@' && c != '$').unwrap_or(rest.len());
                let marked = rest[length..].starts_with(['?', '!']) && !rest[length + 1..].starts_with('=');
                let length = length + usize::from(marked && !rest[length + 1..].starts_with(':'));
                let word = &rest[..length];
                let behind = &rest[length..];
                if behind.starts_with(':')
                    && !behind.starts_with("::")
                    && behind[1..].starts_with(|c: char| c.is_whitespace())
                {
                    found.push((Token::Symbol(word.to_owned()), line));
                    found.push((Token::Sign("=>"), line));
                    at += length + 1;
                } else {
                    found.push((Token::Name(word.to_owned()), line));
                    at += length;
                }
            }
            c if c.is_ascii_digit() => {
                let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let is_float =
                    rest[length..].starts_with('.') && rest[length + 1..].starts_with(|c: char| c.is_ascii_digit());
                let digits = rest[..length].replace('_', "");
                let is_octal =
                    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
                let value = if is_octal { i64::from_str_radix(&digits, 8) } else { digits.parse() };
                found.push((value.ok().filter(|_| !is_float).map_or(Token::Other, Token::Number), line));
                at += length;
                if is_float {
                    at += 1 + rest[length + 1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - length - 1);
                }
            }
            _ => {
                let (token, length) = sign(rest, SIGNS);
                if let Token::Sign(sign) = token {
                    brackets.note(sign, line);
                }
                found.push((token, line));
                at += length;
            }
        }
    }
    brackets.end().map(|()| found)
}

/// A string up to its quote, and where it ends.
fn string(text: &str, quote: char) -> Option<(Token, usize)> {
    let mut plain = Zeroizing::new(String::new());
    let mut is_plain = true;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((if is_plain { Token::Text(plain) } else { Token::Other }, at + quote.len_utf8()));
        }
        match c {
            '#' if quote != '\'' && text[at + 1..].starts_with(['{', '@', '$']) => is_plain = false,
            '\\' => {
                let (_, next) = chars.next()?;
                match (quote, next) {
                    ('\'', '\\' | '\'') => plain.push(next),
                    ('\'', _) => plain.extend(['\\', next]),
                    (_, 'n') => plain.push('\n'),
                    (_, 't') => plain.push('\t'),
                    (_, 'r') => plain.push('\r'),
                    (_, 'e') => plain.push('\x1b'),
                    (_, 's') => plain.push(' '),
                    (_, 'a'..='d' | 'f' | 'u' | 'v' | 'x' | 'C' | 'M' | '0'..='7') => is_plain = false,
                    (_, '\n') => {}
                    (_, _) => plain.push(next),
                }
                continue;
            }
            _ => {}
        }
        plain.push(c);
    }
    None
}
