//! What of a message goes out as it is, though it may not arrive so.

use super::{Facts, Header, Message};

/// Fields that may stand once (RFC 5322 3.6, RFC 2045). Where one stands twice, every reader picks another.
const ONCE: [&str; 14] = [
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Fields that come where they are missing, unless a signature covers that they are.
const ADDED: [&str; 4] = ["From", "Date", "Message-ID", "MIME-Version"];

impl Message {
    /// What goes out as it is though it may not arrive so, for the record's `warnings`.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        header_doubts(&self.header, &mut doubts);
        body_doubts(&self.header, &self.facts, &mut doubts);
        doubts
    }
}

fn header_doubts(header: &Header, doubts: &mut Vec<String>) {
    let mut counts = [0_usize; ONCE.len()];
    for field in header.fields() {
        if let Some(known) = ONCE.iter().position(|name| field.is(name)) {
            counts[known] += 1;
        }
    }
    let doubled = counts.iter().zip(ONCE).filter(|(count, _)| **count > 1);
    doubts.extend(doubled.map(|(count, name)| format!("{name} stands {count} times, where it may stand once")));
    if header.is_signed() {
        let is_missing = |name: &&str| header.first(name).is_none() && header.signs(name);
        let missing = ADDED.iter().filter(|name| is_missing(name));
        doubts.extend(missing.map(|name| format!("{name} is missing, and a DKIM-Signature covers that it is")));
    }
}

fn body_doubts(header: &Header, facts: &Facts, doubts: &mut Vec<String>) {
    if facts.eight_bit_body && header.first("Content-Type").is_none() {
        doubts.push("8-bit body without a Content-Type field".to_owned());
    }
    if facts.nul {
        doubts.push("NUL in the body".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_arrive_as_it_is_is_named() {
        for (text, expected) in [
            ("From: a@x.org\nTo: b@x.org\nSubject: x\nReceived: 1\nReceived: 2\nX-A: 1\nX-A: 2\n\nx\n", &[][..]),
            ("\né\0\n", &["8-bit body without a Content-Type field", "NUL in the body"]),
            ("Subject: x\nSUBJECT : y\n\nx\n", &["Subject stands 2 times, where it may stand once"]),
            (
                "from: a@x.org\nFrom: b@x.org\nDate: 1\nDate: 2\nDate: 3\nMessage-Id: <1@x>\nmessage-id: <2@x>\n\nx\n",
                &[
                    "Date stands 3 times, where it may stand once",
                    "From stands 2 times, where it may stand once",
                    "Message-ID stands 2 times, where it may stand once",
                ],
            ),
            (
                "DKIM-Signature: v=1; h=From:Date:mime-version\nFrom: a@x.org\nDate: 1\n\nx\n",
                &["MIME-Version is missing, and a DKIM-Signature covers that it is"],
            ),
        ] {
            assert_eq!(Message::read(&mut text.as_bytes(), false).unwrap().doubts(), expected, "{text}");
        }
    }
}
