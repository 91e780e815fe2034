//! SMTP replies as values: code, enhanced status code and text (RFC 5321 4.2, RFC 3463).
//!
//! A reply is a conversation that worked, whatever it says; every relay, HTTP APIs included, answers
//! with this one type. Foreign text becomes printable and bounded here, when the value is made, so
//! nothing later has to ask whether it may be shown.

use std::fmt;

/// The longest reply text that is kept, in bytes; the rest is cut.
pub const TEXT_LIMIT: usize = 1024;

/// An enhanced mail system status code such as `5.1.1` (RFC 3463 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhanced {
    /// 2, 4 or 5.
    pub class: u8,
    /// 0 to 999.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl Enhanced {
    /// The code made of its three numbers, which are taken as they are.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads the code at the start of `text` and returns it with the text behind it.
    ///
    /// The code counts only when a space or the end follows it, as RFC 2034 section 4 has it.
    pub fn split(text: &str) -> (Option<Self>, &str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match Self::parse(word) {
            Some(code) => (Some(code), rest.trim_start()),
            None => (None, text),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let number = |part: &str| match part.len() {
            1..=3 if part.bytes().all(|b| b.is_ascii_digit()) => part.parse::<u16>().ok(),
            _ => None,
        };
        let mut parts = word.split('.');
        let code = Self {
            class: match parts.next()? {
                "2" => 2,
                "4" => 4,
                "5" => 5,
                _ => return None,
            },
            subject: number(parts.next()?)?,
            detail: number(parts.next()?)?,
        };
        parts.next().is_none().then_some(code)
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One reply: a code from 200 to 599, perhaps an enhanced status code, and printable text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    text: String,
}

/// What is said of a command and of nothing else, in lower case.
const ABOUT_COMMAND: &[&str] = &[
    "pipelining",
    "synchronization error",
    "synchronisation error",
    "protocol error",
    "unrecognized command",
    "unrecognised command",
    "command not recognized",
    "command unrecognized",
    "unknown command",
    "command not implemented",
    "command not supported",
    "bad sequence",
    "too many errors",
];

impl Reply {
    /// A reply of our own. `code` is taken as it is; `text` is made printable and bounded.
    pub fn new(code: u16, enhanced: Option<Enhanced>, text: &str) -> Self {
        Self { code, enhanced, text: printable(text.as_bytes(), TEXT_LIMIT) }
    }

    /// A reply of our own with its enhanced status code (RFC 3463).
    pub fn own(code: u16, (class, subject, detail): (u8, u16, u16), text: &str) -> Self {
        Self::new(code, Some(Enhanced::new(class, subject, detail)), text)
    }

    /// 552 5.3.4: the message, or a part of it, is larger than somebody takes.
    pub fn too_large(text: &str) -> Self {
        Self::own(552, (5, 3, 4), text)
    }

    /// The reply that a server's `lines` make, each without its code and separator.
    ///
    /// The enhanced status code is taken off the first line and removed from every continuation line
    /// that repeats it; lines are joined by one space. Text in any charset is accepted.
    pub fn from_lines<'a>(code: u16, lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut enhanced = None;
        let mut text = String::new();
        for (index, line) in lines.into_iter().enumerate() {
            if text.len() >= TEXT_LIMIT {
                break;
            }
            let line = printable(line, TEXT_LIMIT - text.len());
            let (found, rest) = Enhanced::split(line.trim());
            let rest = match (index, found) {
                (0, Some(_)) => {
                    enhanced = found;
                    rest
                }
                (_, Some(_)) if found == enhanced => rest,
                _ => line.trim(),
            };
            if !text.is_empty() && !rest.is_empty() {
                text.push(' ');
            }
            text.push_str(rest);
        }
        Self { code, enhanced, text }
    }

    /// The reply code, 200 to 599.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, where the server gave one.
    pub fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// The text: printable, one line, at most about [`TEXT_LIMIT`] bytes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 2yz: done.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3yz: the server waits for more.
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4yz: not now.
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz: not like this.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// No: 4yz or 5yz.
    pub fn is_negative(&self) -> bool {
        self.is_transient() || self.is_permanent()
    }

    /// A reply about the login rather than the message: 530, 534, 535 and 538 (RFC 4954 section 6).
    pub fn is_authentication(&self) -> bool {
        (530..540).contains(&self.code)
    }

    /// No, to the command as such and not to what it was about: not known, not now, not in this form (RFC 5321 4.2.4,
    /// RFC 3463 3.6). Proxies and firewalls say it with many codes, and some by text alone.
    pub fn is_about_command(&self) -> bool {
        let is_coded = matches!(self.code, 500..=504);
        let is_classed = self.enhanced.is_some_and(|code| code.subject == 5 && matches!(code.detail, 1 | 2 | 4));
        let text = || self.text.to_ascii_lowercase();
        self.is_negative() && (is_coded || is_classed || ABOUT_COMMAND.iter().any(|words| text().contains(words)))
    }

    /// Whether the account that logged in may send nothing at present, whatever the code and wherever it is said: a quota
    /// is used up, a plan or an approval is missing, it is blocked. Nothing of that is about the message.
    pub fn is_about_account(&self) -> bool {
        self.is_negative() && {
            let text = self.text.to_ascii_lowercase();
            OF_ACCOUNTS.iter().any(|words| text.contains(words))
        }
    }

    /// The same reply with every occurrence of `secret` in its text replaced by stars.
    pub fn without(mut self, secret: &str) -> Self {
        if secret.len() >= 4 && self.text.contains(secret) {
            self.text = self.text.replace(secret, "***");
        }
        self
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

/// Whether a reader does not see `c`, or sees other characters moved by it: a control character (C1 included), a line
/// or bidirectional control, one without width, a byte order mark.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Foreign bytes as one printable line of at most `limit` bytes.
///
/// Valid UTF-8 stays, other bytes are read as ISO 8859-1; what [`is_hidden`] becomes `?`, a tab becomes a space.
pub fn printable(bytes: &[u8], limit: usize) -> String {
    let mut out = String::with_capacity(bytes.len().min(limit));
    let mut push = |c: char| {
        if out.len() + c.len_utf8() > limit {
            return false;
        }
        out.push(match c {
            '\t' => ' ',
            c if is_hidden(c) => '?',
            c => c,
        });
        true
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().all(&mut push),
        Err(_) => bytes.iter().all(|&byte| push(char::from(byte))),
    };
    out
}

/// What servers say of an account, in lower case and as their users quote it: Google, GoDaddy, cPanel, Mailtrap, SendGrid,
/// Amazon SES, Brevo, Zoho, Microsoft, Mailgun, Resend, Postmark, MailerSend.
const OF_ACCOUNTS: &[&str] = &[
    "daily user sending limit",
    "24-hour sending limit",
    "exceeded the max emails per hour",
    "email limit is reached",
    "too many emails per second",
    "maximum credits exceeded",
    "sending suspended for this account",
    "sending paused for this account",
    "smtp account is not yet activated",
    "unusual sending activity detected",
    "bad outbound sender",
    "tenant has exceeded threshold",
    "for test purposes only",
    "demo domains can only be used",
    "only send testing emails to your own",
    "your account is pending approval",
    "trial account unique recipients",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_taken_off_every_line() {
        let reply = Reply::from_lines(550, [&b"5.1.1 no such"[..], b"5.1.1 user here"]);
        assert_eq!(reply.enhanced(), Some(Enhanced::new(5, 1, 1)));
        assert_eq!(reply.to_string(), "550 5.1.1 no such user here");
    }

    #[test]
    fn a_version_number_is_no_enhanced_code() {
        let reply = Reply::from_lines(220, [&b"5.1.1.2 ready"[..]]);
        assert_eq!(reply.enhanced(), None);
        assert_eq!(reply.text(), "5.1.1.2 ready");
    }

    #[test]
    fn what_is_said_of_a_command_is_told_from_what_is_said_of_a_message() {
        for (line, is_about_command) in [
            ("500 what", true),
            ("501 Syntax error in parameters", true),
            ("503 5.5.1 bad sequence of commands", true),
            ("504 5.5.4 no", true),
            ("550 5.5.1 Protocol error", true),
            ("521 5.5.1 Protocol error", true),
            ("554 5.5.0 improper command pipelining", true),
            ("554 SMTP synchronization error", true),
            ("550 Unrecognized command", true),
            ("421 4.7.0 mx.example.net Error: too many errors", true),
            ("421 4.3.2 shutting down", false),
            ("250 2.5.1 unknown command, taken all the same", false),
            ("505 5.7.1 no", false),
            ("552 5.3.4 too large", false),
            ("554 5.7.1 spam", false),
            ("554 5.5.3 too many recipients", false),
            ("451 4.3.0 later", false),
        ] {
            let (code, text) = line.split_once(' ').unwrap();
            let reply = Reply::from_lines(code.parse().unwrap(), [text.as_bytes()]);
            assert_eq!(reply.is_about_command(), is_about_command, "{line}");
        }
    }

    #[test]
    fn foreign_text_is_printable_and_bounded() {
        assert_eq!(printable(b"caf\xe9 \x1b[31m\0", 100), "café ?[31m?");
        assert_eq!(printable("abc\u{202e}d".as_bytes(), 100), "abc?d");
        assert_eq!(printable(&[b'x'; 5000], TEXT_LIMIT).len(), TEXT_LIMIT);
    }

    #[test]
    fn an_echoed_secret_is_starred() {
        let reply = Reply::new(535, None, "bad password hunter22").without("hunter22");
        assert_eq!(reply.text(), "bad password ***");
    }
}
