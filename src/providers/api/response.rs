//! A response, and what it means in the words of SMTP.

use serde::de::DeserializeOwned;

use super::codes::Meaning;
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::outcome::{Answer, Outcome, Stage};
use crate::reply::{Enhanced, Reply, printable};

/// How much of a body that is not what the provider documents is quoted, in bytes.
const QUOTED: usize = 120;

/// One HTTP response, its body bounded.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Header fields; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, or the beginning of it.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub is_whole: bool,
    /// Whether the request had gone out before, with the same idempotency key, and nobody knows what came of it.
    pub is_repeat: bool,
}

impl Response {
    /// The first header field called `name`, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON of the documented shape.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        self.is_whole.then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.status / 100 == 2
    }

    /// Accepted for everybody; `id` is the provider's own for the message.
    pub fn accepted(&self, envelope: &Envelope, id: Option<&str>) -> Outcome {
        let text = id.map_or_else(|| format!("HTTP {}", self.status), |id| format!("accepted as {id}"));
        let reply = Reply::own(250, (2, 0, 0), &text);
        let mut outcome = Outcome::same_for_all(&envelope.forward_paths, &reply, Stage::Message);
        outcome.provider_id = id.map(|id| printable(id.as_bytes(), 200));
        outcome
    }

    /// Accepted for everybody when the request was made before: the provider says only that it knows the key.
    pub fn known(&self, envelope: &Envelope, text: &str) -> Outcome {
        let reply = Reply::own(250, (2, 0, 0), &format!("accepted before: {text} (HTTP {})", self.status));
        Outcome::same_for_all(&envelope.forward_paths, &reply, Stage::Message)
    }

    /// The provider is still at a request with the same key, so that it cannot tell yet.
    ///
    /// # Errors
    /// `InDoubt` where this was the first request: somebody else makes the same one.
    pub fn unfinished(&self, envelope: &Envelope, text: &str) -> Result<Outcome, Failure> {
        match self.is_repeat {
            true => Ok(self.told(envelope, Meaning::TROUBLE, text)),
            false => Err(self.in_doubt()),
        }
    }

    /// Refused for everybody, as `meaning` has it, else as the status has it. `text` is the provider's own words.
    ///
    /// # Errors
    /// As [`Response::by_status`].
    pub fn by_code(&self, envelope: &Envelope, meaning: Option<Meaning>, text: &str) -> Result<Outcome, Failure> {
        match meaning {
            Some(meaning) if !self.is_success() => Ok(self.told(envelope, meaning, text)),
            _ => self.by_status(envelope, text),
        }
    }

    /// Refused for everybody, as the status has it: the one table for all providers. `text` is the
    /// provider's own words.
    ///
    /// # Errors
    /// `InDoubt` where the status is 2xx: the caller did not find what the provider documents.
    pub fn by_status(&self, envelope: &Envelope, text: &str) -> Result<Outcome, Failure> {
        let meaning = match self.status {
            200..=299 => return Err(self.in_doubt()),
            300..=399 => {
                let to = self.header("location").unwrap_or("nowhere");
                return Ok(self.told(envelope, Meaning::TROUBLE, &format!("redirected to {to}, not followed")));
            }
            401 => Meaning::LOGIN,
            402 | 403 => Meaning::ACCOUNT,
            404 => Meaning::ELSEWHERE,
            413 => Meaning::SIZE,
            429 => Meaning::RATE,
            400 | 409 | 410 | 422 => Meaning::of_account(text).unwrap_or(Meaning::CONTENT),
            405 | 406 | 411 | 414 | 415 => Meaning::REQUEST,
            _ => Meaning::TROUBLE,
        };
        Ok(self.told(envelope, meaning, text))
    }

    /// An answer that is no success and not of the documented shape: a proxy's page, half an answer. Only
    /// the status counts, and of what it says only a lasting refusal of the login or the size.
    ///
    /// # Errors
    /// `InDoubt` where the status is 2xx.
    pub fn undocumented(&self, envelope: &Envelope) -> Result<Outcome, Failure> {
        let text = self.quoted();
        match self.status {
            400 | 403 | 404 | 422 => Ok(self.told(envelope, Meaning::TROUBLE, &text)),
            _ => self.by_status(envelope, &text),
        }
    }

    /// Refused for everybody as `meaning` has it. The text names the HTTP status, and the Retry-After field
    /// where there is one.
    pub fn told(&self, envelope: &Envelope, meaning: Meaning, text: &str) -> Outcome {
        let reply = self.reply(meaning, text);
        Outcome::same_for_all(&envelope.forward_paths, &reply, meaning.stage.unwrap_or_else(|| stage_of(&reply)))
    }

    /// A reply for one recipient or all.
    pub fn reply(&self, meaning: Meaning, text: &str) -> Reply {
        let Meaning { code, enhanced: (class, subject, detail), .. } = meaning;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut text = match text.as_str() {
            "" => format!("HTTP {}", self.status),
            text => format!("{text} (HTTP {})", self.status),
        };
        if let Some(when) = self.header("retry-after").filter(|_| code / 100 == 4) {
            text += &match when.parse::<u32>() {
                Ok(seconds) => format!(", retry after {seconds} s"),
                Err(_) => format!(", retry after {when}"),
            };
        }
        Reply::new(code, Some(Enhanced::new(class, subject, detail)), &text)
    }

    /// One answer per recipient: `refusal` says why one is refused, `None` that it is accepted.
    pub fn each(
        &self,
        envelope: &Envelope,
        id: Option<&str>,
        mut refusal: impl FnMut(&str) -> Option<Reply>,
    ) -> Outcome {
        let mut outcome = self.accepted(envelope, id);
        for Answer { recipient, reply, stage } in &mut outcome.answers {
            if let Some(refused) = refusal(recipient.as_ref()) {
                *stage = stage_of(&refused);
                *reply = Some(refused);
            }
        }
        outcome
    }

    /// An answer that does not tell whether the message was accepted: a 2xx one that is not what the provider documents,
    /// or a word about another request for the same message.
    pub fn in_doubt(&self) -> Failure {
        let how = match self.is_whole {
            true if self.is_success() => "is not what the API documents",
            true => "does not tell what became of it",
            false => "breaks off",
        };
        let why = format!("the answer {how}: the message may have been accepted ({})", self.quoted());
        Failure::new(Kind::InDoubt, format!("HTTP {}", self.status), why).at(Stage::Message)
    }

    /// The first line of the body for a reader.
    pub(super) fn quoted(&self) -> String {
        let text = printable(&self.body, 4 * QUOTED).replace('?', " ");
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTED).collect();
        if text.is_empty() { "no body".into() } else { text }
    }
}

/// Whether `text` names `address`, and not only a longer one that it is part of.
pub(in crate::providers) fn names(text: &str, address: &str) -> bool {
    let (text, address) = (text.to_lowercase(), address.to_lowercase());
    let is_part = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    // A dot or a quote may also stand behind the address, at the end of a sentence.
    let goes_on = |rest: &str| {
        let rest = rest.trim_start_matches('.');
        rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    text.match_indices(&address).any(|(at, _)| {
        let before = text[..at].trim_end_matches(['\'', '`']);
        !before.ends_with(|c| is_part(c) || c == '.') && !goes_on(&text[at + address.len()..])
    })
}

/// The stage that a refusal stands for, so that hints and the next relay are chosen as over SMTP.
fn stage_of(reply: &Reply) -> Stage {
    let subject = reply.enhanced().map(|code| (code.subject, code.detail));
    match (reply.code(), subject) {
        (530..540, _) => Stage::Auth,
        (_, Some((1, 7 | 8))) => Stage::MailFrom,
        (_, Some((1, _))) => Stage::RcptTo,
        _ => Stage::Message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_only_by_itself() {
        for (text, is_named) in [
            ("inactive: bob@example.net.", true),
            ("'Bob@Example.NET', other@example.net", true),
            ("<bob@example.net>", true),
            ("rob.bob@example.net", false),
            ("x+bob@example.net", false),
            ("bob@example.network", false),
            ("bob@example.net.au", false),
            ("x-bob@example.net and bob@example.net", true),
            ("\u{e9}bob@example.net", false),
        ] {
            assert_eq!(names(text, "bob@example.net"), is_named, "{text}");
        }
    }
}
