//! Lines that an SMTP server could take for commands, if it ever read the message as such.
//!
//! No mail is begun without MAIL, sent to anybody without RCPT, nor told what it holds without DATA or BDAT; where the
//! envelope stands already the last two are enough. Lines with those four are all there is to know of.

/// The commands; all but DATA say nothing without a parameter.
const VERBS: [&[u8; 4]; 4] = [b"MAIL", b"RCPT", b"DATA", b"BDAT"];

/// Watches for a line that begins with one of these commands and a blank, or is DATA alone: in any case, blanks before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// The first word of the line as far as it was seen, and the octet behind it.
    word: [u8; 5],
    seen: usize,
    /// The line is no command, whatever follows.
    is_text: bool,
}

impl Watch {
    /// Takes the next octets of the line, which end it nowhere; whether it turned out to be a command.
    pub(super) fn take(&mut self, octets: &[u8]) -> bool {
        if self.is_text {
            return false;
        }
        for &octet in octets {
            if self.seen == 0 && is_blank(octet) {
                continue;
            }
            self.word[self.seen] = octet;
            self.seen += 1;
            let word = &self.word[..self.seen.min(4)];
            let may_be = VERBS.iter().any(|verb| verb[..word.len()].eq_ignore_ascii_case(word));
            self.is_text = !may_be || self.seen == 5;
            if self.is_text {
                return may_be && is_blank(octet);
            }
        }
        false
    }

    /// The line ends, and another one begins; whether it turned out to be a command.
    pub(super) fn end_line(&mut self) -> bool {
        let is_alone = self.seen == 4 && self.word[..4].eq_ignore_ascii_case(b"DATA");
        (self.seen, self.is_text) = (0, false);
        is_alone
    }
}

/// Whether a line of `lines` could be such a command.
pub(super) fn are_in(lines: &[u8]) -> bool {
    lines.split(|&octet| octet == b'\n').any(|line| {
        let mut watch = Watch::default();
        watch.take(line.strip_suffix(b"\r").unwrap_or(line)) || watch.end_line()
    })
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_seen_across_every_seam() {
        for (line, is_command) in [
            ("MAIL FROM:<a@example.org>", true),
            ("mail\tfrom:<a@example.org>", true),
            (" \t MaiL x", true),
            ("RCPT TO:<b@example.org>", true),
            ("rcpt ", true),
            ("MAIL", false),
            ("MAIL:", false),
            ("MAILS are here", false),
            ("E-MAIL from me", false),
            ("> MAIL FROM:<a@example.org>", false),
            ("RCPX TO", false),
            ("DATA", true),
            (" data", true),
            ("Data \t", true),
            ("Data of last week", true),
            ("DATABASE", false),
            ("DATA: 5", false),
            ("x DATA", false),
            ("BDAT 20 LAST", true),
            ("BDAT", false),
            ("", false),
            (" ", false),
        ] {
            for seam in 0..=line.len() {
                let mut watch = Watch::default();
                let (before, behind) = line.as_bytes().split_at(seam);
                let is_found = watch.take(before) | watch.take(behind) | watch.end_line();
                assert_eq!(is_found, is_command, "{line:?} {seam}");
                assert!(watch.take(b"mail x"), "{line:?}");
            }
            assert_eq!(are_in(format!("Subject: x\r\n{line}\r\n\r\n").as_bytes()), is_command, "{line:?}");
        }
    }
}
