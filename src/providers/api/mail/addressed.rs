//! The envelope in the header section, for APIs that have no other: To, Cc and Bcc decide who receives.

use std::collections::HashSet;

use super::super::parts::identity;
use super::{Mail, cannot};
use crate::address::with_ascii_domain;
use crate::failure::{Failure, Kind};
use crate::outcome::Stage;

impl Mail<'_> {
    /// The whole message, in memory, whose To, Cc and Bcc fields name the recipients of the envelope and
    /// nobody else: who is in neither To nor Cc is put into a Bcc field, which the provider removes.
    ///
    /// # Errors
    /// `Data`: To or Cc names somebody who is not to receive the message, or cannot be read, or a recipient
    /// has no form in ASCII; otherwise as [`Mail::octets`].
    pub fn addressed(&self) -> Result<Vec<u8>, Failure> {
        let recipients = &self.envelope.forward_paths;
        let receiving: HashSet<String> = recipients.iter().map(identity).collect();
        let mut header = self.message.header().clone();
        let mut named = HashSet::new();
        for field in ["To", "Cc"] {
            for list in header.all(field).map(|found| found.people()) {
                if let Some(error) = list.errors().next() {
                    return Err(cannot(&format!(
                        "{:?} in its {field} field, which is not an address,",
                        error.bad.text
                    )));
                }
                for spec in list.mailboxes().map(|listed| &listed.mailbox.spec) {
                    match spec.address().map(|address| identity(&address)) {
                        Ok(address) if receiving.contains(&address) => named.insert(address),
                        _ => return Err(outsider(&spec.shown(), field)),
                    };
                }
            }
        }
        // Whoever a Bcc field names, the envelope knows better.
        header.remove("Bcc");
        let mut hidden = Vec::new();
        for recipient in recipients.iter().filter(|recipient| named.insert(identity(recipient))) {
            match with_ascii_domain(recipient) {
                Ok(address) if address.user().is_ascii() => hidden.push(address.to_string()),
                _ => return Err(cannot(&format!("the recipient {recipient} outside ASCII"))),
            }
        }
        if !hidden.is_empty() {
            header.append("Bcc", &hidden.join(", "));
        }
        let body = self.octets()?.split_off(self.message.header().as_bytes().len());
        Ok([header.as_bytes(), &body].concat())
    }
}

fn outsider(address: &str, field: &str) -> Failure {
    let why = format!("names {address} in its {field} field, who is not to receive it: this API sends to all it names");
    Failure::new(Kind::Data, "message", why).hint("set via = \"smtp\" for this relay").at(Stage::Message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::envelope::{Dsn, Envelope};
    use crate::message::Message;

    /// The header section sent for one of `fields` and these recipients.
    fn sent(fields: &str, recipients: &[&str]) -> Result<String, Failure> {
        let forward_paths = recipients.iter().map(|text| {
            let (local, domain) = text.split_once('@').unwrap();
            Address::new_dangerous(local, domain)
        });
        let envelope = Envelope { reverse_path: None, forward_paths: forward_paths.collect(), dsn: Dsn::default() };
        let message = Message::read(&mut format!("{fields}\nbody\n").as_bytes(), false).unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let octets = Mail {
            envelope: &envelope,
            message: &message,
            endpoint: "",
            now,
            undisclosed: false,
            key: None,
            before: &[],
        }
        .addressed()?;
        let text = String::from_utf8(octets).unwrap().replace("\r\n", "\n");
        Ok(text.strip_suffix("\n\nbody\n").expect("the body as it was").to_owned())
    }

    #[test]
    fn the_fields_name_the_envelope_and_nobody_else() {
        for (fields, recipients, header) in [
            ("To: a@x.org\n", &["a@x.org"][..], "To: a@x.org"),
            ("To: A <A@X.org>\nCc: G: b@x.org;\n", &["a@x.org", "b@x.org"], "To: A <A@X.org>\nCc: G: b@x.org;"),
            ("To: a@x.org\nTo: b@x.org\n", &["b@x.org", "a@x.org"], "To: a@x.org\nTo: b@x.org"),
            ("Subject: x\n", &["a@x.org", "b@x.org", "B@x.org"], "Subject: x\nBcc: a@x.org, b@x.org"),
            ("To: undisclosed-recipients:;\n", &["a@x.org"], "To: undisclosed-recipients:;\nBcc: a@x.org"),
            ("Bcc: e@x.org, b@x.org\nTo: a@x.org\n", &["a@x.org", "b@x.org"], "To: a@x.org\nBcc: b@x.org"),
            ("To: a@xn--bcher-kva.example\n", &["a@bücher.example"], "To: a@xn--bcher-kva.example"),
            ("Subject: x\n", &["a@bücher.example"], "Subject: x\nBcc: a@xn--bcher-kva.example"),
        ] {
            assert_eq!(sent(fields, recipients).unwrap(), header, "{fields}");
        }
    }

    #[test]
    fn what_would_reach_others_is_refused() {
        for (fields, recipients, why) in [
            ("To: a@x.org, e@x.org\n", ["a@x.org"], "names e@x.org in its To field"),
            ("Cc: G: e@x.org;\n", ["a@x.org"], "names e@x.org in its Cc field"),
            ("To: a@x.org\nTo: e@x.org\n", ["a@x.org"], "names e@x.org in its To field"),
            ("To: root\n", ["a@x.org"], "names root in its To field"),
            ("To: a@x.org, two words\n", ["a@x.org"], "in its To field, which is not an address"),
            ("Subject: x\n", ["jörg@x.org"], "outside ASCII"),
        ] {
            let failure = sent(fields, &recipients).unwrap_err();
            assert!(failure.kind == Kind::Data && failure.why.contains(why), "{fields}: {failure}");
        }
    }
}
