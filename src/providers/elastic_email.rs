//! Elastic Email: `POST /v4/emails/transactional`, fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Parts, Person};
use super::api::{Api, Codes, Credential, Credentials, Entry, Kept, Mail, Meaning, Request, Response, Size, cannot};
use super::preset::{Provider, implicit};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "elastic-email",
    name: "Elastic Email",
    aliases: &["elasticemail", "elastic"],
    host: "smtp.elasticemail.com",
    ports: &[implicit(465)],
    api: Some(&ENTRY),
    notes: &["by API: no images inside the text"],
    unverified: &["other ports (2525 is commonly used)", "the API's error texts"],
    records: RECORDS,
    ..Provider::PRESET
};

/// The record of the domain is wanted by the panel; the reverse-path's host is a guess.
const RECORDS: &str = "\
    sure: medium
    source: zones and panels, the vendor's SDK
    key: api
    spf: needed _spf.elasticemail.com
    return-path: bounces.elasticemail.net
    shown: Settings > Domains at Elastic Email
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("api_key")],
    // 20 MB, the message with its files (github.com/ElasticEmail/elasticemail-skills, the vendor's).
    size: Some(Size::Message(20 << 20)),
    ..Entry::of::<ElasticEmail>()
};

/// What it says. Its description of the API names the statuses only (github.com/ElasticEmail/elasticemail-skills: 401 is
/// no key, 403 one without the access level, 429 over 20 connections); not checked against a page of the vendor's is what
/// the text says of senders.
static SAID: &Codes = &[("from address is not verified", Meaning::SENDER), ("not a verified sender", Meaning::SENDER)];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ElasticEmail {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    recipients: Recipients,
    content: Content<'a>,
}

#[derive(Serialize)]
struct Recipients {
    #[serde(rename = "To")]
    to: Vec<String>,
    #[serde(rename = "CC")]
    cc: Vec<String>,
    #[serde(rename = "BCC")]
    bcc: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content<'a> {
    from: String,
    reply_to: Option<String>,
    subject: &'a str,
    headers: Kept<BTreeMap<&'a str, &'a str>>,
    body: Kept<Vec<Text<'a>>>,
    attachments: Kept<Vec<File<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Text<'a> {
    content_type: &'static str,
    content: &'a str,
    charset: &'static str,
}

/// How a file is written.
const FILE: &FileForm = &[("BinaryContent", Fact::Base64), ("Name", Fact::Name), ("ContentType", Fact::ContentType)];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Accepted {
    #[serde(rename = "MessageID")]
    message_id: Option<String>,
    #[serde(rename = "TransactionID")]
    transaction_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    error: String,
}

impl Api for ElasticEmail {
    fn endpoint(&self) -> String {
        "https://api.elasticemail.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        if parts.attachments.iter().any(|file| file.is_inline) {
            return Err(cannot("an inline image"));
        }
        let request = Request::json("/v4/emails/transactional", &body(&parts)?)?;
        Ok(request.header("X-ElasticEmail-ApiKey", keys.get("api_key")?).warn(parts.warnings()))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let accepted: Option<Accepted> = response.json();
            let id = accepted.and_then(|accepted| accepted.message_id.or(accepted.transaction_id));
            let id = id.ok_or_else(|| response.in_doubt())?;
            return Ok(response.accepted(envelope, Some(&id)));
        }
        match response.json() {
            Some(Refused { error }) => response.by_code(envelope, Meaning::said(SAID, &error), &error),
            None => response.undocumented(envelope),
        }
    }
}

fn body(parts: &Parts) -> Result<Body<'_>, Failure> {
    let list = |people: &[Person]| people.iter().map(ToString::to_string).collect();
    let texts = [("PlainText", &parts.text), ("HTML", &parts.html)]
        .into_iter()
        .filter_map(|(kind, text)| text.as_deref().map(|text| (kind, text)))
        .map(|(content_type, content)| Text { content_type, content, charset: "utf-8" });
    Ok(Body {
        recipients: Recipients { to: list(&parts.to), cc: list(&parts.cc), bcc: list(&parts.bcc) },
        content: Content {
            from: parts.from.to_string(),
            reply_to: parts.one_reply_to()?.map(ToString::to_string),
            subject: &parts.subject,
            headers: Kept(parts.header_map()?),
            body: Kept(texts.collect()),
            attachments: Kept(parts.files(FILE)),
        },
    })
}
