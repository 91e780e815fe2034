//! A header section in ASCII: which fields need it, and by which rules each is encoded.

use super::fold;
use super::grammar::{self, Grammar};
use super::json;
use super::mailboxes::{Unsayable, encode_list};
use super::parameters;
use super::words::{self, Charset, Place};
use crate::failure::{Failure, Kind};
use crate::message::content_type::{ContentType, TYPOGRAPHIC, with_plain_spaces};
use crate::message::header::{Edit, Field, Header, LINE_LIMIT};
use crate::message::note;
use crate::reply::printable;

/// How much of a field that cannot be encoded a failure shows, in bytes.
const SHOWN: usize = 200;

/// Whether `field` has to be encoded: it is not ASCII and, with `utf8` (SMTPUTF8 is in use), not
/// UTF-8 either.
pub(super) fn is_raw(field: &Field<'_>, utf8: bool) -> bool {
    let octets = field.octets();
    let may_stay = octets.is_ascii() || (utf8 && std::str::from_utf8(&octets).is_ok() && !grammar_of(field).is_ascii());
    !may_stay
}

/// Whether an address field holds a local part outside ASCII, so that the message needs SMTPUTF8.
pub(super) fn needs_utf8(header: &Header) -> bool {
    let is_utf8 = |field: Field<'_>| {
        field.is_address() && encode_list(&field.text(), false, 0).is_err_and(|error| error.is_local)
    };
    !header.as_bytes().is_ascii() && header.fields().any(is_utf8)
}

/// Encodes what [`is_raw`], folds lines over [`LINE_LIMIT`], splits words that are longer, and says what was done.
///
/// # Errors
/// An address has no ASCII form, or a word is too long for a line and cannot be split; `what` names the field.
pub(super) fn repair(header: &mut Header, utf8: bool) -> Result<Vec<String>, Failure> {
    let content_type = ContentType::of(header);
    let mut repairs = Vec::new();
    let mut failure = None;
    header.edit(|field| match repaired(&field, content_type.charset(), utf8, &mut repairs) {
        Ok(Some(value)) => Edit::Value(value),
        Ok(None) => Edit::Keep,
        Err(error) => {
            failure.get_or_insert(error);
            Edit::Keep
        }
    });
    failure.map_or(Ok(repairs), Err)
}

/// The new value of `field`, if it needs one.
fn repaired(
    field: &Field<'_>,
    declared: Option<&str>,
    utf8: bool,
    repairs: &mut Vec<String>,
) -> Result<Option<String>, Failure> {
    let name = field.name();
    let encoded = match is_raw(field, utf8) {
        true => Some(encoded(field, declared, utf8).map_err(|Unsayable { what, why, .. }| {
            let what = format!("{what} in the {name} field");
            Failure::new(Kind::Data, printable(what.as_bytes(), SHOWN), why)
        })?),
        false => None,
    };
    let line = field.longest_line();
    let value = match encoded {
        Some((value, repair)) => {
            note(repairs, repair);
            value
        }
        None if line <= LINE_LIMIT => return Ok(None),
        // Only spaces are folded at, and those before a word stay with it.
        None => String::from_utf8_lossy(&field.octets()).replace(['\t', '\0'], " "),
    };
    if name.len() + 2 > LINE_LIMIT {
        let why = format!("has a name of {} octets, and a line may have {LINE_LIMIT}", name.len());
        return Err(Failure::new(Kind::Data, printable(name.as_bytes(), SHOWN), why));
    }
    if !fold::is_needed(&name, &value) {
        if line > LINE_LIMIT {
            note(repairs, format!("{name} folded (line of {line} octets)"));
        }
        return Ok(Some(value));
    }
    let split = fold::split(&name, &value, grammar_of(field)).map_err(|fold::Unsplittable(octets)| {
        let why = format!("holds a word of {octets} octets, which cannot be split, and a line may have {LINE_LIMIT}");
        let what = printable(format!("{name} field").as_bytes(), SHOWN);
        Failure::new(Kind::Data, what, why).hint("write it shorter, or in several words")
    })?;
    note(repairs, format!("{name} split (line of {line} octets)"));
    Ok(Some(split))
}

fn grammar_of(field: &Field<'_>) -> Grammar {
    if field.is_address() { Grammar::Addresses } else { Grammar::of(&field.name()) }
}

/// The value of a raw field in ASCII, and what the record says of it.
fn encoded(field: &Field<'_>, declared: Option<&str>, utf8: bool) -> Result<(String, String), Unsayable> {
    let (octets, charset) = match Charset::of(&field.octets(), declared) {
        Some(charset) if !field.is_address() => (field.octets(), charset),
        // Addresses are text already, and so is what is in no charset as it is.
        _ => (field.text().into_owned().into_bytes(), Charset::utf_8()),
    };
    let name = field.name();
    let taken = name.len() + 2;
    let value = match grammar_of(field) {
        // Its text is read in the charset of the message, and needs no other than UTF-8 then.
        Grammar::Addresses => encode_list(&field.text(), utf8, taken)?,
        Grammar::Text if json::is_written_in(&name, &field.text()) => {
            return Ok((json::escaped(&field.text()), format!("{name} encoded (JSON)")));
        }
        Grammar::Text => words::encode(&octets, &charset, Place::Text, taken),
        grammar => {
            let text = field.text();
            if grammar == Grammar::Parameters
                && let Some((value, rule)) = with_parameters(&octets, &text, &charset)
            {
                return Ok((value, format!("{name} encoded ({rule})")));
            }
            let (value, rules) = grammar::encode(&text, grammar, taken);
            return Ok((value, format!("{name} encoded ({rules})")));
        }
    };
    let words = |text: &[u8]| memchr::memmem::find_iter(text, b"=?").count();
    let rule = match words(value.as_bytes()) > words(&octets) {
        true => format!("RFC 2047, {}", charset.name()),
        // Nothing but domains was not ASCII.
        false => "A-labels".to_owned(),
    };
    Ok((value, format!("{name} encoded ({rule})")))
}

/// The value of a field with parameters in ASCII, and by what rule; `text` is what `octets` say. `None` where more than
/// values of parameters is outside ASCII.
fn with_parameters(octets: &[u8], text: &str, charset: &Charset) -> Option<(String, String)> {
    let plain = with_plain_spaces(text, true);
    if plain == text {
        let value = parameters::encode(octets, charset)?;
        return Some((value, format!("RFC 2231, {}", charset.name())));
    }
    if plain.is_ascii() {
        let is_space = !text.contains(TYPOGRAPHIC);
        let rule = if is_space { "no-break space made a space" } else { "typographic quotes made plain" };
        return Some((plain, rule.to_owned()));
    }
    let value = parameters::encode(plain.as_bytes(), &Charset::utf_8())?;
    Some((value, "RFC 2231, utf-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn repaired(fields: &[u8], utf8: bool) -> Result<(String, Vec<String>), Failure> {
        let mut header = Message::read(&mut [fields, b"\r\n"].concat().as_slice(), false).unwrap().header().clone();
        let repairs = repair(&mut header, utf8)?;
        Ok((String::from_utf8_lossy(header.as_bytes()).into_owned(), repairs))
    }

    #[test]
    fn every_field_by_its_own_rules() {
        for (input, output, repair) in [
            (
                &b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n"[..],
                "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n",
                "Subject encoded (RFC 2047, utf-8)",
            ),
            (
                b"Subject: Gr\xfc\xdfe\r\n",
                "Subject: =?windows-1252?Q?Gr=FC=DFe?=\r\n",
                "Subject encoded (RFC 2047, windows-1252)",
            ),
            (b"To: J\xfc\r\n <a@x.org>\r\n", "To: =?utf-8?Q?J=C3=BC?= <a@x.org>\r\n", "To encoded (RFC 2047, utf-8)"),
            (b"cc: a@b\xc3\xbc.org\r\n", "cc: a@xn--b-eha.org\r\n", "cc encoded (A-labels)"),
            (
                b"Content-Disposition: inline; filename=\xc3\xbc\r\n",
                "Content-Disposition: inline; filename*=utf-8''%C3%BC\r\n",
                "Content-Disposition encoded (RFC 2231, utf-8)",
            ),
            (b"Date: 1 M\xc3\xa4r 2024\r\n", "Date: 1 M%C3%A4r 2024\r\n", "Date encoded (percent-encoding)"),
            (b"To: j@b\xfccher.example\r\n", "To: j@xn--bcher-kva.example\r\n", "To encoded (A-labels)"),
            (b"Message-ID: <\xfc@x>\r\n", "Message-ID: <%C3%BC@x>\r\n", "Message-ID encoded (percent-encoding)"),
            (
                b"Content-Type: text/html;\xc2\xa0charset=utf-8\r\n",
                "Content-Type: text/html; charset=utf-8\r\n",
                "Content-Type encoded (no-break space made a space)",
            ),
            (
                b"Content-Type: text/html;\xa0name=\"a\xa0\xfc\"\r\n",
                "Content-Type: text/html; name*=utf-8''a%C2%A0%C3%BC\r\n",
                "Content-Type encoded (RFC 2231, utf-8)",
            ),
            (
                b"Content-Type: t\xc3\xa4xt/html\r\n",
                "Content-Type: t%C3%A4xt/html\r\n",
                "Content-Type encoded (percent-encoding)",
            ),
            (b"Subject: a\x81\xfc\r\n", "Subject: =?utf-8?Q?a=3F=C3=BC?=\r\n", "Subject encoded (RFC 2047, utf-8)"),
            (
                "Content-Type: text/html; charset=“utf-8”\r\n".as_bytes(),
                "Content-Type: text/html; charset=\"utf-8\"\r\n",
                "Content-Type encoded (typographic quotes made plain)",
            ),
            (
                "Content-Type: a/b;\u{a0}name=„Größe\u{a0}1“; x=\"“\"\r\n".as_bytes(),
                "Content-Type: a/b; name*=utf-8''Gr%C3%B6%C3%9Fe%C2%A01; x*=utf-8''%E2%80%9C\r\n",
                "Content-Type encoded (RFC 2231, utf-8)",
            ),
            (
                "X-SMTPAPI: {\"category\": \"Grüße 😀\"}\r\n".as_bytes(),
                "X-SMTPAPI: {\"category\": \"Gr\\u00fc\\u00dfe \\ud83d\\ude00\"}\r\n",
                "X-SMTPAPI encoded (JSON)",
            ),
            (
                "Subject: [\"ü\"]\r\n".as_bytes(),
                "Subject: =?utf-8?B?WyLDvCJd?=\r\n",
                "Subject encoded (RFC 2047, utf-8)",
            ),
            (
                b"MIME-Version: 1.0\xa0\r\n",
                "MIME-Version: 1.0\r\n",
                "MIME-Version encoded (no-break space made a space)",
            ),
        ] {
            let (text, repairs) = repaired(input, false).unwrap();
            assert_eq!(text, format!("{output}\r\n"));
            assert_eq!(repairs, [repair]);
        }
        let (text, _) = repaired(b"Subject: \xf0\xd2\r\nContent-Type: text/plain; charset=koi8-r\r\n", false).unwrap();
        assert!(text.starts_with("Subject: =?koi8-r?"), "{text}");
    }

    #[test]
    fn with_smtputf8_only_what_is_no_utf_8_is_encoded() {
        let raw = "Subject: ü\r\nTo: ü <ü@ü.org>\r\n";
        assert_eq!(repaired(raw.as_bytes(), true).unwrap(), (format!("{raw}\r\n"), vec![]));
        let (text, _) = repaired(b"Subject: \xfc\r\nTo: \xfc <\xfc@x.org>\r\n", true).unwrap();
        assert_eq!(text, "Subject: =?windows-1252?Q?=FC?=\r\nTo: =?utf-8?Q?=C3=BC?= <ü@x.org>\r\n\r\n");
    }

    #[test]
    fn a_local_part_outside_ascii_needs_smtputf8() {
        let failure = repaired("To: J <jürgen@x.org>\r\n".as_bytes(), false).unwrap_err();
        assert_eq!(failure.kind, Kind::Data);
        assert_eq!(failure.to_string(), "jürgen in the To field: this local part needs SMTPUTF8, which is not in use");
        for (fields, expected) in [
            ("To: jürgen@x.org\r\n", true),
            ("Reply-To: J <jürgen@x.org>\r\n", true),
            ("To: Jürgen <a@ü.org>\r\nSubject: ü@x.org\r\n", false),
            ("To: a@x.org\r\n", false),
        ] {
            let message = Message::read(&mut format!("{fields}\r\n").as_bytes(), false).unwrap();
            assert_eq!(needs_utf8(message.header()), expected, "{fields}");
        }
    }

    #[test]
    fn lines_stay_below_78_and_over_long_ones_are_folded() {
        let subject = format!("Subject: {}\r\n", "Größenwahn im Büro ".repeat(40));
        let (text, _) = repaired(subject.as_bytes(), false).unwrap();
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
        let (text, repairs) = repaired(format!("To: {}\r\n", ["a@x.org"; 200].join(", ")).as_bytes(), false).unwrap();
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
        assert_eq!(repairs, ["To folded (line of 1802 octets)"]);
        let blob = format!("X-Blob: {}\r\n", "x".repeat(2000));
        let (text, repairs) = repaired(blob.as_bytes(), false).unwrap();
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
        assert_eq!(repairs, ["X-Blob split (line of 2008 octets)"]);
        let id = format!("Message-ID: <{}@x>\r\n", "x".repeat(2000));
        let failure = repaired(id.as_bytes(), false).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "Message-ID field: holds a word of 2004 octets, which cannot be split, and a line may have 998"
        );
    }
}
