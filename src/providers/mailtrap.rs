//! Mailtrap: `POST /api/send`, fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Mailbox, Parts, at_most};
use super::api::request::segment;
use super::api::{Api, Codes, Credential, Credentials, Entry, Kept, Mail, Meaning, Request, Response};
use super::preset::{Provider, UserName, at, starttls};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "mailtrap",
    name: "Mailtrap",
    host: "live.smtp.mailtrap.io",
    regions: &[at("live", "live.smtp.mailtrap.io"), at("sandbox", "sandbox.smtp.mailtrap.io")],
    ports: &[starttls(587)],
    username: UserName::Word("api"),
    secrets: &["token", "password"],
    api: Some(&ENTRY),
    // mailtrap/mailtrap-skills, the vendor's.
    found: "Settings, API Tokens",
    notes: &["by API, region = \"bulk\" is the bulk stream; region = \"sandbox\" wants inbox_id"],
    unverified: &["ports 2525 and 25", "limits", "the API's sandbox path"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: a Domain-Connect template with the full set, zones
    key: rwmt1 -> rwmt1.dkim.smtp.mailtrap.live
    and: rwmt2 -> rwmt2.dkim.smtp.mailtrap.live
    spf: useless _spf.smtp.mailtrap.live
    return-path: smtp.mailtrap.live
    wants: _dmarc TXT v=DMARC1{any} must
    shown: Sending Domains at Mailtrap
";

static ENTRY: Entry = Entry { credentials: &[Credential::needed("token")], ..Entry::of::<Mailtrap>() };

/// What it says: of addresses by its own description of the API (mailtrap/mailtrap-openapi, email-sending-transactional),
/// which names 400, 401, 403 and 500 beside it; 429 is a rate (mailtrap/mailtrap-docs, rate-limits). Not checked against a
/// page of the vendor's, but quoted by users: senders, demo domains, and the limits, of which one comes with 429, too.
static SAID: &Codes = &[
    ("demo domains can only", Meaning::ACCOUNT),
    ("email limit is reached", Meaning::QUOTA),
    ("too many emails per second", Meaning::RATE),
    ("sending from domain", Meaning::SENDER),
    ("'from' address is invalid", Meaning::BAD_SENDER),
    ("'to' address is invalid", Meaning::BAD_RECIPIENT),
    ("'cc' address is invalid", Meaning::BAD_RECIPIENT),
    ("'bcc' address is invalid", Meaning::BAD_RECIPIENT),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mailtrap {
    /// The stream, or the place for tests; `None`: transactional mail.
    region: Option<Region>,
    /// The sandbox's inbox.
    inbox_id: Option<String>,
    /// One category for statistics.
    category: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Region {
    Live,
    Bulk,
    Sandbox,
}

#[derive(Serialize)]
struct Body<'a> {
    from: Mailbox<'a>,
    to: Vec<Mailbox<'a>>,
    cc: Vec<Mailbox<'a>>,
    bcc: Vec<Mailbox<'a>>,
    reply_to: Option<Mailbox<'a>>,
    subject: &'a str,
    text: Option<&'a str>,
    html: Option<&'a str>,
    category: Option<&'a str>,
    headers: Kept<BTreeMap<&'a str, &'a str>>,
    attachments: Kept<Vec<File<'a>>>,
}

/// How a file is written.
const FILE: &FileForm = &[
    ("filename", Fact::Name),
    ("content", Fact::Base64),
    ("type", Fact::ContentType),
    ("disposition", Fact::Disposition),
    ("content_id", Fact::ContentId),
];

#[derive(Deserialize)]
struct Accepted {
    success: bool,
    /// One for each recipient.
    message_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(alias = "error")]
    errors: Errors,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Errors {
    One(String),
    Many(Vec<String>),
}

impl Api for Mailtrap {
    fn endpoint(&self) -> String {
        match self.region.unwrap_or(Region::Live) {
            Region::Live => "https://send.api.mailtrap.io",
            Region::Bulk => "https://bulk.api.mailtrap.io",
            Region::Sandbox => "https://sandbox.api.mailtrap.io",
        }
        .into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let parts = Parts::of(mail)?;
        // maxItems of each list in its own description of the API.
        for (people, field) in [(&parts.to, "To"), (&parts.cc, "Cc"), (&parts.bcc, "Bcc")] {
            at_most(PROVIDER.name, 1000, people, field)?;
        }
        let request = Request::json(self.path()?, &self.body(&parts)?)?;
        Ok(request.bearer(keys.get("token")?).warn(parts.warnings()))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            return match response.json() {
                Some(Accepted { success: true, message_ids }) if !message_ids.is_empty() => {
                    Ok(response.accepted(envelope, message_ids.first().map(String::as_str)))
                }
                _ => Err(response.in_doubt()),
            };
        }
        match response.json() {
            Some(Refused { errors }) => {
                let text = match errors {
                    Errors::One(text) => text,
                    Errors::Many(list) => list.join("; "),
                };
                response.by_code(envelope, Meaning::said(SAID, &text), &text)
            }
            None => response.undocumented(envelope),
        }
    }
}

impl Mailtrap {
    fn path(&self) -> Result<String, Failure> {
        let wrong = |why: &str| Failure::new(Kind::Configuration, "inbox_id", why);
        match (&self.inbox_id, self.region) {
            (Some(id), Some(Region::Sandbox)) => Ok(format!("/api/send/{}", segment("inbox_id", id)?)),
            (None, Some(Region::Sandbox)) => Err(wrong("is missing: region = \"sandbox\" wants it")),
            (Some(_), _) => Err(wrong("is for region = \"sandbox\" only")),
            (None, _) => Ok("/api/send".into()),
        }
    }

    fn body<'a>(&'a self, parts: &'a Parts) -> Result<Body<'a>, Failure> {
        Ok(Body {
            from: Mailbox::from(&parts.from),
            to: parts.to.iter().map(Mailbox::from).collect(),
            cc: parts.cc.iter().map(Mailbox::from).collect(),
            bcc: parts.bcc.iter().map(Mailbox::from).collect(),
            reply_to: parts.one_reply_to()?.map(Mailbox::from),
            subject: &parts.subject,
            text: parts.text.as_deref(),
            html: parts.html.as_deref(),
            category: self.category.as_deref(),
            headers: Kept(parts.header_map()?),
            attachments: Kept(parts.files(FILE)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_goes_with_the_sandbox() {
        let path = |region, inbox: Option<&str>| {
            Mailtrap { region, inbox_id: inbox.map(str::to_owned), category: None }.path().ok()
        };
        assert_eq!(path(Some(Region::Sandbox), Some("42")).as_deref(), Some("/api/send/42"));
        assert_eq!(path(Some(Region::Bulk), None).as_deref(), Some("/api/send"));
        assert_eq!((path(Some(Region::Sandbox), None), path(None, Some("42"))), (None, None));
    }
}
