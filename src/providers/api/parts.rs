//! A message taken apart for the APIs that want fields: addresses, subject, texts, attachments.
//!
//! What cannot be carried is refused by name, never left out; what has no field there but does not change
//! the message (Date, Message-ID, trace fields, the reverse-path) is named in `not_carried`.

mod file;
mod people;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashSet};

pub use file::{Attachment, Fact, File, FileForm};
pub use people::{Mailbox, Person, identity, joined};

use self::people::people;
use self::tree::Tree;
use super::mail::{Mail, cannot};
use crate::address::one_line;
use crate::encoded_word;
use crate::failure::Failure;
use crate::message::{Header, note};
use crate::outcome::Stage;
use crate::reply::Reply;

/// A message as fields.
#[derive(Debug, Default)]
pub struct Parts {
    /// The From field's mailbox.
    pub from: Person,
    /// The Reply-To field's.
    pub reply_to: Vec<Person>,
    /// Those of the To field that receive.
    pub to: Vec<Person>,
    /// Those of the Cc field that receive and are not in `to`.
    pub cc: Vec<Person>,
    /// Everybody else who receives.
    pub bcc: Vec<Person>,
    /// Decoded; empty where there is none.
    pub subject: String,
    /// The plain text, lines ending in LF.
    pub text: Option<String>,
    /// The HTML text, lines ending in LF.
    pub html: Option<String>,
    /// Attachments and what the HTML text refers to, in order.
    pub attachments: Vec<Attachment>,
    /// The other header fields, decoded, in order.
    pub headers: Vec<(String, String)>,
    /// What of the message and its envelope has no field, for the log record.
    pub not_carried: Vec<String>,
    /// The sender stands in To where everybody is hidden.
    pub undisclosed: bool,
    /// What was read otherwise than it is written, as mail readers read it, for the log record.
    pub flaws: Vec<String>,
}

/// Fields that have a place of their own, or that the provider writes anew.
const OWN: &[&str] = &["from", "to", "cc", "bcc", "reply-to", "subject", "mime-version"];

/// Fields that only say which program wrote the message, in lower case: an API without fields of one's own may lose
/// them.
pub const OF_THE_WRITER: &[&str] =
    &["x-mailer", "user-agent", "x-php-originating-script", "x-php-script", "x-mailchute-diverted-from"];

/// Fields that tell of the way so far, and those that every API writes itself.
const REPLACED: &[&str] = &[
    "date",
    "message-id",
    "sender",
    "received",
    "return-path",
    "delivered-to",
    "authentication-results",
    "arc-seal",
    "arc-message-signature",
    "arc-authentication-results",
];

/// What stands where a message has no text, and no subject.
const NO_TEXT: &str = "(no text)";
const NO_SUBJECT: &str = "(no subject)";

impl Parts {
    /// Takes the message of `mail` apart.
    ///
    /// # Errors
    /// `Data`: it is signed, encrypted, or holds a part that no field carries; otherwise as
    /// [`Mail::octets`].
    pub fn of(mail: &Mail<'_>) -> Result<Self, Failure> {
        mail.check_size()?;
        let header = mail.message.header();
        let mut parts = Self { undisclosed: mail.undisclosed, ..Self::default() };
        let (mut from, unread) = people(header, "From");
        parts.from = match from.len() {
            _ if !unread.is_empty() => {
                return Err(cannot(&format!("{:?} in its From field, which is not an address,", unread[0])));
            }
            1 => from.remove(0),
            0 => return Err(cannot("no From field with an address")),
            _ => return Err(cannot("more than one address in its From field")),
        };
        let (reply_to, unread) = people(header, "Reply-To");
        parts.reply_to = reply_to;
        parts.not_carried.extend(unread.iter().map(|text| format!("Reply-To {text}, which is not an address")));
        parts.share_out(mail, header);
        parts.read_fields(header)?;
        let path = mail.envelope.reverse_path.as_ref();
        if path.map(identity) != Some(parts.from.identity()) {
            parts.not_carried.insert(0, format!("reverse-path <{}>", mail.sender()));
        }
        let Tree { text, html, attachments, flaws } = Tree::of(mail.message)?;
        flaws.into_iter().for_each(|flaw| note(&mut parts.flaws, flaw));
        let mut parts = Self { text, html, attachments, ..parts };
        parts.fill_in();
        Ok(parts)
    }

    /// The envelope decides who receives: To and Cc keep who is in it, the others of it are Bcc. Nobody is named
    /// twice, in whatever case.
    fn share_out(&mut self, mail: &Mail<'_>, header: &Header) {
        let mut known = HashSet::new();
        let everybody: Vec<_> = mail.envelope.forward_paths.iter().map(|path| (identity(path), path)).collect();
        let mut waiting: HashSet<&str> = everybody.iter().map(|(identity, _)| identity.as_str()).collect();
        for field in ["To", "Cc"] {
            let (people, unread) = people(header, field);
            let left_out = |text: &str| format!("{field} <{text}>, who does not receive");
            for person in people {
                let identity = person.identity();
                if waiting.remove(identity.as_str()) {
                    if field == "To" {
                        self.to.push(person);
                    } else {
                        self.cc.push(person);
                    }
                    known.insert(identity);
                } else if !known.contains(&identity) {
                    // Who is in To is in Cc for nothing.
                    self.not_carried.push(left_out(&person.address));
                }
            }
            self.not_carried.extend(unread.iter().map(|text| left_out(text)));
        }
        let hidden = everybody.iter().filter(|(identity, _)| waiting.remove(identity.as_str()));
        self.bcc = hidden.map(|(_, path)| Person::of(path)).collect();
        // One recipient in no field is not hidden from anybody.
        if self.to.is_empty() && self.cc.is_empty() && self.bcc.len() == 1 {
            std::mem::swap(&mut self.to, &mut self.bcc);
        }
    }

    fn read_fields(&mut self, header: &Header) -> Result<(), Failure> {
        for field in header.fields() {
            let name = field.name().into_owned();
            let lower = name.to_ascii_lowercase();
            if lower == "dkim-signature" {
                return Err(cannot("a DKIM signature"));
            }
            if lower == "subject" && self.subject.is_empty() {
                self.subject = self.said(&name, &field.text());
            }
            if OWN.contains(&lower.as_str()) || lower.starts_with("content-") {
                continue;
            }
            if REPLACED.contains(&lower.as_str()) {
                if !self.not_carried.contains(&name) {
                    self.not_carried.push(name);
                }
                continue;
            }
            // Decoded, a name could be taken for more than a name.
            let value = if field.is_address() { field.people().written() } else { self.said(&name, &field.text()) };
            self.headers.push((name, value));
        }
        Ok(())
    }

    /// The value of a field with its encoded words decoded, in one line: nothing that was encoded in it can begin another.
    fn said(&mut self, name: &str, value: &str) -> String {
        let decoded = encoded_word::decode_with_flaw(value);
        if let Some(flaw) = decoded.flaw {
            note(&mut self.flaws, format!("{name}: {flaw}"));
        }
        one_line(&decoded.text)
    }

    /// For an API that keeps header fields for itself: those go, and are named.
    pub fn leave_out(&mut self, is_reserved: impl Fn(&str) -> bool) {
        let Self { headers, not_carried, .. } = self;
        headers.retain(|(name, _)| {
            let stays = !is_reserved(&name.to_ascii_lowercase());
            if !stays && !not_carried.contains(name) {
                not_carried.push(name.clone());
            }
            stays
        });
    }

    /// What every API of fields demands and a message need not have: a text, and a subject. Files alone, as scanners send
    /// them, and empty mail would be refused for want of one.
    fn fill_in(&mut self) {
        let is_blank = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
        if is_blank(&self.text) && is_blank(&self.html) {
            (self.text, self.html) = (Some(NO_TEXT.to_owned()), None);
            note(&mut self.flaws, format!("the message has no text, and got {NO_TEXT}"));
        }
        // One of two may be missing, but not be empty.
        self.text.take_if(|text| text.is_empty());
        self.html.take_if(|html| html.is_empty());
        if self.subject.trim().is_empty() {
            self.subject = NO_SUBJECT.to_owned();
            note(&mut self.flaws, format!("the message has no subject, and got {NO_SUBJECT}"));
        }
    }

    /// The files in the form that an API wants.
    pub fn files(&self, form: &'static FileForm) -> Vec<File<'_>> {
        self.attachments.iter().map(|file| File::new(file, form)).collect()
    }

    /// Those that are shown inside the text, or those that are not.
    pub fn files_inline(&self, is_inline: bool, form: &'static FileForm) -> Vec<File<'_>> {
        let files = self.attachments.iter().filter(|file| file.is_inline == is_inline);
        files.map(|file| File::new(file, form)).collect()
    }

    /// Everybody who receives: To, Cc, Bcc.
    pub fn everybody(&self) -> impl Iterator<Item = &Person> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// For an API that wants somebody in To: who is in Cc moves there when nobody else is.
    ///
    /// # Errors
    /// `Data`: all recipients are hidden.
    pub fn need_to(&mut self) -> Result<(), Failure> {
        if self.to.is_empty() {
            std::mem::swap(&mut self.to, &mut self.cc);
        }
        match (self.to.is_empty(), self.undisclosed) {
            (true, true) => self.to.push(self.from.clone()),
            (true, false) => {
                let hint = "set undisclosed = \"sender\" for this relay to have the sender in To, who then gets a copy";
                return Err(cannot("several recipients of whom none is in To or Cc").hint(hint));
            }
            (false, _) => {}
        }
        Ok(())
    }

    /// For an API that takes one Reply-To address only.
    ///
    /// # Errors
    /// `Data`: there are several.
    pub fn one_reply_to(&self) -> Result<Option<&Person>, Failure> {
        match self.reply_to.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(cannot("more than one Reply-To address")),
        }
    }

    /// For an API that takes ASCII addresses only.
    ///
    /// # Errors
    /// `Data`: one of sender, recipients or Reply-To is not.
    pub fn ascii_addresses(&self) -> Result<(), Failure> {
        let mut people = self.everybody().chain(&self.reply_to).chain([&self.from]);
        match people.find(|person| !person.address.is_ascii()) {
            Some(person) => Err(cannot(&format!("an address outside ASCII ({})", person.address))),
            None => Ok(()),
        }
    }

    /// For an API that takes the other header fields as an object: each name once.
    ///
    /// # Errors
    /// `Data`: a field is there twice.
    pub fn header_map(&self) -> Result<BTreeMap<&str, &str>, Failure> {
        let mut names = BTreeSet::new();
        match self.headers.iter().find(|(name, _)| !names.insert(name.to_ascii_lowercase())) {
            Some((name, _)) => Err(cannot(&format!("more than one {name} field"))),
            None => Ok(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()),
        }
    }

    /// What has no field, and what was read otherwise than it is written, as warnings for the log record.
    pub fn warnings(&self) -> Vec<String> {
        let not_carried = match self.not_carried.as_slice() {
            [] => None,
            list => Some(format!("not carried by the API: {}", list.join(", "))),
        };
        not_carried.into_iter().chain(self.flaws.iter().cloned()).collect()
    }
}

/// For the API of `provider` (its name), which takes `most` recipients in one field.
///
/// # Errors
/// A refusal (550 5.5.3): there are more.
pub fn at_most(provider: &str, most: usize, people: &[Person], field: &str) -> Result<(), Failure> {
    if people.len() <= most {
        return Ok(());
    }
    let text = format!("{provider} accepts {most} recipients in {field}, this message has {}", people.len());
    Err(Failure::refused("message", Reply::own(550, (5, 5, 3), &text)).at(Stage::Message))
}

#[cfg(test)]
mod tests;
