//! The part of a bounce that programs read (RFC 3464 section 2).

use std::fmt::Write as _;

use jiff::Zoned;

use super::{Form, GivenUp, Last, Undelivered, date};
use crate::address::{Address, with_ascii_domain};
use crate::reply::{Enhanced, Reply, printable};

/// Lines are folded at this length, in octets (RFC 5322 2.1.1).
const LINE: usize = 78;

/// A word is split when it is longer, in octets, so that every server takes the line.
const WORD: usize = 900;

/// 4.4.7, delivery time expired (RFC 3463 3.5).
const EXPIRED: Enhanced = Enhanced::new(4, 4, 7);

/// 5.6.3, conversion required but not supported (RFC 3463 3.7).
const UNFIT: Enhanced = Enhanced::new(5, 6, 3);

/// The fields of the message, then a block of fields for each recipient.
pub(super) fn compose(given_up: &GivenUp<'_>, form: Form) -> String {
    let mut out = Fields { text: String::new(), form };
    if let Some(envid) = &given_up.envelope.dsn.envid {
        out.field("Original-Envelope-Id", &printable(envid.as_bytes(), WORD));
    }
    out.field("Reporting-MTA", &format!("dns; {}", given_up.host));
    out.field("X-Mailchute-ID", given_up.id);
    out.date("Arrival-Date", given_up.taken);
    for undelivered in given_up.recipients {
        out.text.push_str("\r\n");
        out.recipient(undelivered);
    }
    out.text
}

/// The status code of `last` (RFC 3463): what the relay said, in the class that its reply code has.
pub(super) fn code(last: &Last) -> Enhanced {
    match last {
        Last::Reply(reply) => {
            let class = if reply.is_permanent() { 5 } else { 4 };
            reply.enhanced().map_or(Enhanced::new(class, 0, 0), |said| Enhanced { class, ..said })
        }
        Last::Silence(_) => EXPIRED,
        Last::Unfit(_) => UNFIT,
        Last::Unsent => Enhanced::new(5, 0, 0),
    }
}

/// Fields while they are written.
struct Fields {
    text: String,
    form: Form,
}

impl Fields {
    fn recipient(&mut self, undelivered: &Undelivered) {
        if let Some(original) = &undelivered.original {
            let (kind, address) = original.split_once(';').unwrap_or(("rfc822", original));
            let address = self.escaped(&printable(address.trim().as_bytes(), WORD), true);
            self.field("Original-Recipient", &format!("{}; {address}", printable(kind.trim().as_bytes(), LINE)));
        }
        let recipient = self.address(&undelivered.recipient);
        self.field("Final-Recipient", &recipient);
        self.field("Action", "failed");
        self.field("Status", &code(&undelivered.last).to_string());
        if let Some(relay) = undelivered.relay.as_deref().filter(|_| matches!(undelivered.last, Last::Reply(_))) {
            self.field("Remote-MTA", &format!("dns; {}", printable(relay.as_bytes(), WORD)));
        }
        let diagnostic = match &undelivered.last {
            Last::Reply(reply) => format!("smtp; {}", one_line(reply)),
            Last::Silence(why) => format!("x-mailchute; no reply: {}", printable(why.as_bytes(), WORD)),
            Last::Unfit(why) => format!("x-mailchute; {}", printable(why.as_bytes(), WORD)),
            Last::Unsent => "x-mailchute; not sent, because another recipient was refused".to_owned(),
        };
        self.field("Diagnostic-Code", &diagnostic);
        if let Some(tried) = &undelivered.tried {
            self.date("Last-Attempt-Date", tried);
        }
    }

    /// An address with its type. One outside ASCII stands as it is where it may (RFC 6533 section 3).
    fn address(&self, address: &Address) -> String {
        let ascii = with_ascii_domain(address).unwrap_or_else(|_| address.clone()).to_string();
        match ascii.is_ascii() {
            true => format!("rfc822; {ascii}"),
            false if self.form == Form::Utf8 => format!("utf-8; {address}"),
            false => format!("utf-8; {}", self.escaped(&ascii, true)),
        }
    }

    /// `text` with what the form does not allow as `\x{HEX}` (RFC 6533 section 3); so are, in an address, the
    /// characters that have a meaning there.
    fn escaped(&self, text: &str, is_address: bool) -> String {
        if text.is_ascii() || self.form == Form::Utf8 {
            return text.to_owned();
        }
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '\\' | '+' | '=' | ' ' if is_address => write!(out, "\\x{{{:02X}}}", u32::from(c)),
                c if c.is_ascii() => write!(out, "{c}"),
                c => write!(out, "\\x{{{:02X}}}", u32::from(c)),
            }
            .unwrap_or_default();
        }
        out
    }

    fn date(&mut self, name: &str, at: &Zoned) {
        // A clock before year 0 has no date.
        if let Ok(date) = date(at) {
            self.field(name, &date);
        }
    }

    /// One field, folded between its words.
    fn field(&mut self, name: &str, value: &str) {
        let value = self.escaped(value, false);
        self.text.push_str(name);
        self.text.push(':');
        let mut column = name.len() + 1;
        for word in value.split(' ').filter(|word| !word.is_empty()) {
            let mut rest = word;
            while !rest.is_empty() {
                let cut = (0..=WORD.min(rest.len())).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(rest.len());
                let (piece, behind) = rest.split_at(cut);
                // The first word stays beside the name.
                if column + 1 + piece.len() > LINE && column > name.len() + 1 {
                    self.text.push_str("\r\n");
                    column = 0;
                }
                self.text.push(' ');
                self.text.push_str(piece);
                column += 1 + piece.len();
                rest = behind;
            }
        }
        self.text.push_str("\r\n");
    }
}

/// A reply as the wire had it, but for line ends.
fn one_line(reply: &Reply) -> String {
    printable(reply.to_string().as_bytes(), WORD)
}
