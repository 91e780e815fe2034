//! `mailchute lint < message`: what would be changed in a message, and why.

use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::message::Message;
use crate::message::repair::{self, Needs};

/// What becomes of `message` on its way to each kind of relay, a line per change, and what may not arrive as it is.
///
/// # Errors
/// The message cannot be read back from its temporary file.
pub fn page(message: &Message) -> Result<String, Failure> {
    let with = Needs { eight_bit: true, utf8: false };
    let mut relays = vec![("with 8BITMIME:", with), ("without 8BITMIME:", Needs::default())];
    if repair::needs_utf8(message) {
        relays.push(("with SMTPUTF8:", Needs { utf8: true, ..with }));
    }
    let mut page = String::new();
    section(&mut page, "as it was read:", message.repairs());
    for (label, needs) in relays {
        match repair::plan(message, needs) {
            Ok(plan) => section(&mut page, label, plan.as_ref().map_or(&[], |plan| plan.repairs())),
            Err(failure) if failure.kind == Kind::Data => {
                let status = exit::of_kind(&failure.kind, Scheme::Reply);
                section(&mut page, label, &[format!("refused with exit status {status}: {failure}")]);
            }
            Err(failure) => return Err(failure),
        }
    }
    let doubts = message.doubts();
    if !doubts.is_empty() {
        section(&mut page, "warnings:", &doubts);
    }
    Ok(page)
}

fn section(page: &mut String, label: &str, lines: &[String]) {
    let nothing = ["nothing to do".to_owned()];
    let lines = if lines.is_empty() { &nothing } else { lines };
    for (index, line) in lines.iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        page.push_str(&format!("{label:<18} {line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_relay_has_its_lines() {
        for (input, expected) in [
            (
                "A: b\r\n\r\nx\r\n",
                "as it was read:    nothing to do\n\
                 with 8BITMIME:     nothing to do\n\
                 without 8BITMIME:  nothing to do\n",
            ),
            (
                "Subject: ü\nTo: ü@x.org\nMIME-Version: 1.0\nContent-Type: text/plain\n\nü\n",
                "as it was read:    line ends made CRLF\n\
                 with 8BITMIME:     refused with exit status 65: ü in the To field: this local part needs SMTPUTF8, \
                 which is not in use\n\
                 without 8BITMIME:  refused with exit status 65: ü in the To field: this local part needs SMTPUTF8, \
                 which is not in use\n\
                 with SMTPUTF8:     nothing to do\n",
            ),
            (
                "Subject: x\r\nSubject: y\r\n\r\n\0\r\n",
                "as it was read:    nothing to do\n\
                 with 8BITMIME:     nothing to do\n\
                 without 8BITMIME:  nothing to do\n\
                 warnings:          Subject stands 2 times, where it may stand once\n                   \
                 NUL in the body\n",
            ),
            (
                "Subject: ü\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nü\r\n",
                "as it was read:    nothing to do\n\
                 with 8BITMIME:     Subject encoded (RFC 2047, utf-8)\n\
                 without 8BITMIME:  Subject encoded (RFC 2047, utf-8)\n                   \
                 body re-encoded as quoted-printable (8-bit for a relay without 8BITMIME)\n",
            ),
        ] {
            assert_eq!(page(&Message::read(&mut input.as_bytes(), false).unwrap()).unwrap(), expected);
        }
    }
}
