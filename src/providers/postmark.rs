//! Postmark: `POST /email`, fields.

use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Parts, Person, joined};
use super::api::response::names;
use super::api::{Api, Credential, Credentials, Entry, Kept, Mail, Request, Response};
use super::preset::{Provider, UserName, at, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "postmark",
    name: "Postmark",
    aliases: &["postmarkapp"],
    host: "smtp.postmarkapp.com",
    regions: &[at("broadcast", "smtp-broadcasts.postmarkapp.com")],
    ports: &[starttls(587), starttls(2525), starttls(25)],
    username: UserName::Secret,
    secrets: &["token", "password"],
    api: Some(&ENTRY),
    notes: &[
        "token is the server API token; an SMTP token is a pair for username and password",
        "no implicit TLS: port 465 hangs",
        "50 recipients a message",
    ],
    unverified: &["AUTH mechanisms", "10 MB"],
    ..Provider::PRESET
};

static ENTRY: Entry =
    Entry { credentials: &[Credential::needed("token")], recipients: Some(50), ..Entry::of::<Postmark>() };

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Postmark {
    /// The stream the message belongs to; `None`: the server's own transactional one.
    message_stream: Option<String>,
    /// One tag for statistics.
    tag: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    from: String,
    to: String,
    cc: Option<String>,
    bcc: Option<String>,
    reply_to: Option<String>,
    subject: &'a str,
    text_body: Option<&'a str>,
    html_body: Option<&'a str>,
    message_stream: Option<&'a str>,
    tag: Option<&'a str>,
    headers: Kept<Vec<Field<'a>>>,
    attachments: Kept<Vec<File<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Field<'a> {
    name: &'a str,
    value: &'a str,
}

/// How a file is written.
const FILE: &FileForm = &[
    ("Name", Fact::Name),
    ("Content", Fact::Base64),
    ("ContentType", Fact::ContentType),
    ("ContentID", Fact::Own(|file| file.content_id.as_ref().map(|id| format!("cid:{id}")))),
];

/// What every answer holds, whatever the status.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    error_code: u32,
    message: String,
    #[serde(rename = "MessageID")]
    message_id: Option<String>,
}

impl Api for Postmark {
    fn endpoint(&self) -> String {
        "https://api.postmarkapp.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        let body = self.body(&parts);
        let request = Request::json("/email", &body)?;
        Ok(request.header("X-Postmark-Server-Token", keys.get("token")?).warn(parts.warnings()))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        let Some(answer) = response.json::<Answer>() else { return response.undocumented(envelope) };
        let text = answer.message.as_str();
        if response.is_success() {
            // A message id is given only where somebody receives; the text may name some who do not.
            let (0, Some(id)) = (answer.error_code, answer.message_id.as_deref()) else {
                return Err(response.in_doubt());
            };
            let is_about_some = text.to_lowercase().contains("inactive");
            let skipped = |recipient: &str| {
                (is_about_some && names(text, recipient)).then(|| response.reply(550, (5, 1, 1), text))
            };
            return Ok(response.each(envelope, Some(id), skipped));
        }
        let about_sender = ["'from'", "sender"].iter().any(|word| text.to_lowercase().contains(word));
        let (code, enhanced) = match answer.error_code {
            10 => (535, (5, 7, 8)),
            100 => (451, (4, 3, 0)),
            402 | 403 | 409 => (554, (5, 5, 4)),
            300 if about_sender => (553, (5, 1, 7)),
            300 if ["'To'", "'Cc'", "'Bcc'"].iter().any(|field| text.contains(field)) => (553, (5, 1, 3)),
            400 | 401 => return Ok(response.sender_refused(envelope, text)),
            406 => (550, (5, 1, 1)),
            411 => (554, (5, 7, 1)),
            405 | 412 | 413 => (550, (5, 7, 1)),
            429 => (451, (4, 7, 1)),
            _ => return response.by_status(envelope, text),
        };
        Ok(response.refused(envelope, code, enhanced, text))
    }
}

impl Postmark {
    fn body<'a>(&'a self, parts: &'a Parts) -> Body<'a> {
        let list = |people: &[Person]| Some(joined(people)).filter(|list| !list.is_empty());
        Body {
            from: parts.from.to_string(),
            to: joined(&parts.to),
            cc: list(&parts.cc),
            bcc: list(&parts.bcc),
            reply_to: list(&parts.reply_to),
            subject: &parts.subject,
            text_body: parts.text.as_deref(),
            html_body: parts.html.as_deref(),
            message_stream: self.message_stream.as_deref(),
            tag: self.tag.as_deref(),
            headers: Kept(parts.headers.iter().map(|(name, value)| Field { name, value }).collect()),
            attachments: Kept(parts.files(FILE)),
        }
    }
}
