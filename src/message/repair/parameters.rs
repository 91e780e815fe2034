//! Content-Type and Content-Disposition (RFC 2045 5.1, RFC 2183) written in ASCII by RFC 2231.

use std::collections::HashSet;

use super::words::{Charset, push_ascii, words};
use crate::message::content_type::{name_and_value, segments};

/// The unfolded value of a field with parameters in ASCII; `None` where something else than a
/// parameter's value is not ASCII.
pub(super) fn encode(value: &[u8], charset: &Charset) -> Option<String> {
    let mut segments = segments(value);
    let mut out = String::with_capacity(value.len() * 2);
    let first = segments.next().filter(|first| first.is_ascii())?;
    push_ascii(&mut out, first.trim_ascii());
    let segments: Vec<&[u8]> = segments.map(<[u8]>::trim_ascii).filter(|segment| !segment.is_empty()).collect();
    // A parameter that is there in its RFC 2231 form already is not needed twice.
    let starred = segments.iter().filter_map(|segment| {
        let name = segment.split(|&b| b == b'=').next()?;
        Some(name[..memchr::memchr(b'*', name)?].to_ascii_lowercase())
    });
    let extended: HashSet<Vec<u8>> = starred.collect();
    for segment in &segments {
        if segment.is_ascii() {
            out.push_str("; ");
            push_ascii(&mut out, segment);
            continue;
        }
        let (name, text) = name_and_value(segment).filter(|(name, _)| name.is_ascii())?;
        if !extended.contains(&name.to_ascii_lowercase()) {
            push_extended(&mut out, name, &text, charset);
        }
    }
    Some(out)
}

/// The unfolded value of a field with parameters so that no word of it is longer than `room`, as far as that can be:
/// a boundary and a charset stay.
pub(super) fn split(value: &str, room: usize) -> String {
    let mut out = String::with_capacity(value.len() * 2);
    for segment in segments(value.as_bytes()).map(<[u8]>::trim_ascii).filter(|segment| !segment.is_empty()) {
        let is_first = out.is_empty();
        let longest = words(segment).map(|(space, word)| space.len() + word.len()).max().unwrap_or(0);
        if longest + 2 > room
            && !is_first
            && let Some((name, text)) = name_and_value(segment)
            && !name.contains(&b'*')
            && !["boundary", "charset"].iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()))
        {
            push_extended(&mut out, name, &text, &Charset::of(&text, None).unwrap_or_else(Charset::utf_8));
            continue;
        }
        out.push_str(if is_first { "" } else { "; " });
        out.push_str(&String::from_utf8_lossy(segment));
    }
    out
}

/// Writes `; name*=charset''text`, in numbered sections where it is long (RFC 2231 sections 3 and 4).
fn push_extended(out: &mut String, name: &[u8], text: &[u8], charset: &Charset) {
    /// What a section may measure, so that it fits on a line of its own beside a name like `filename*10*=`.
    const SECTION: usize = 56;
    let mut sections = vec![format!("{}''", charset.name())];
    let mut rest = text;
    while !rest.is_empty() {
        let (character, behind) = rest.split_at(charset.width(rest));
        let written: String = character.iter().map(|&octet| percent(octet)).collect();
        match sections.last_mut() {
            Some(last) if last.len() + written.len() <= SECTION => last.push_str(&written),
            _ => sections.push(written),
        }
        rest = behind;
    }
    let is_one = sections.len() == 1;
    for (number, section) in sections.iter().enumerate() {
        out.push_str("; ");
        push_ascii(out, name);
        out.push_str(&if is_one { format!("*={section}") } else { format!("*{number}*={section}") });
    }
}

/// RFC 2231 attribute-char, or `%XX`.
fn percent(octet: u8) -> String {
    if octet.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&octet) {
        char::from(octet).to_string()
    } else {
        format!("%{octet:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_ascii_go_by_rfc_2231() {
        for (input, output) in [
            ("attachment; filename=\"Größe.pdf\"", "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf"),
            ("attachment; filename=Größe 1.pdf; x=y", "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe%201.pdf; x=y"),
            (
                "application/pdf;name=\"ü;\\\"'\"; charset=utf-8",
                "application/pdf; name*=utf-8''%C3%BC%3B%22%27; charset=utf-8",
            ),
            ("attachment; filename=\"ü.pdf\"; filename*=UTF-8''%C3%BC.pdf", "attachment; filename*=UTF-8''%C3%BC.pdf"),
        ] {
            assert_eq!(encode(input.as_bytes(), &Charset::utf_8()).as_deref(), Some(output), "{input}");
        }
        for hopeless in ["täxt/plain; a=b", "attachment; größe=3", "attachment; ü"] {
            assert_eq!(encode(hopeless.as_bytes(), &Charset::utf_8()), None, "{hopeless}");
        }
    }

    #[test]
    fn long_values_go_in_sections_that_read_back() {
        let name = format!("{}.pdf", "Übergröße und 'mehr' ".repeat(9));
        let value = encode(format!("attachment; filename=\"{name}\"").as_bytes(), &Charset::utf_8()).unwrap();
        assert!(value.split(' ').all(|word| word.len() < 77), "{value}");
        let raw = format!("Content-Disposition: {value}\r\n\r\nx\r\n");
        let judge = mail_parser::MessageParser::default().parse(raw.as_bytes()).unwrap();
        use mail_parser::MimeHeaders;
        assert_eq!(judge.attachment_name(), Some(name.as_str()));
    }
}
