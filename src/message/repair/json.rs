//! JSON that some provider reads out of a field (`X-SMTPAPI`, `X-Mailgun-Variables`): it stays JSON, because an encoded
//! word would say nothing to its reader.

use serde::de::IgnoredAny;

/// Whether the field called `name`, whose value is `text`, holds JSON.
pub(super) fn is_written_in(name: &str, text: &str) -> bool {
    // A text for people may look like JSON.
    let is_for_programs = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    is_for_programs && looks_like_it(text) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn looks_like_it(text: &str) -> bool {
    text.starts_with('{') && text.ends_with('}') || text.starts_with('[') && text.ends_with(']')
}

/// `text` in ASCII: outside of it only strings have characters, which may be written by number (RFC 8259 section 7).
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    out
}

/// `value` with blanks behind the commas between its values, where it looks like JSON.
pub(super) fn spaced(value: &str) -> Option<String> {
    if !looks_like_it(value) {
        return None;
    }
    let mut out = String::with_capacity(value.len() + value.len() / 16);
    let (mut is_string, mut is_escaped) = (false, false);
    for c in value.chars() {
        out.push(c);
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_string = !is_string,
            ',' if !is_string => out.push(' '),
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_in_ascii() {
        let text = "{\"a\": \"Grüße 😀, \\\"x\\\"\", \"ü\": [1,2]}";
        assert!(is_written_in("X-SMTPAPI", text));
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        for written in [escaped(text), spaced(text).unwrap()] {
            assert_eq!(read(&written), read(text), "{written}");
        }
        assert!(escaped(text).is_ascii());
        for (name, text) in [("Subject", text), ("X-Title", "[ü]"), ("X-Title", "{ü}"), ("X-Title", "ü")] {
            assert!(!is_written_in(name, text), "{name}: {text}");
        }
    }
}
