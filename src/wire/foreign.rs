//! Who answers where an SMTP server was expected.

/// The next step where `first`, the first octets that came in clear, are another protocol's; three are enough.
pub(crate) fn hint(first: &[u8]) -> Option<&'static str> {
    let word = first.get(..3)?.to_ascii_uppercase();
    Some(match word.as_slice() {
        b"HTT" | b"<HT" | b"<!D" => "a web server answers there, or a captive portal on the way: check host and port",
        b"SSH" => "an SSH server answers there: check host and port",
        b"* O" | b"* P" | b"* B" | b"+OK" | b"-ER" => {
            "mail is read there (IMAP or POP3): the server for sending has port 465 or 587, and often another name"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_known_by_their_first_octets() {
        for (first, word) in [
            ("HTTP/1.1 400 Bad Request", "web server"),
            ("<!doctype html>", "web server"),
            ("<html>", "web server"),
            ("SSH-2.0-OpenSSH_9.2", "SSH"),
            ("* OK IMAP4 ready", "IMAP"),
            ("* BYE too many", "IMAP"),
            ("+OK POP3 ready", "POP3"),
        ] {
            assert!(hint(first.as_bytes()).unwrap().contains(word), "{first}");
        }
        for first in ["220 mx ESMTP", "421 busy", "*", "", "hello"] {
            assert_eq!(hint(first.as_bytes()), None, "{first}");
        }
    }
}
