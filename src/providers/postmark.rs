//! Postmark: `POST /email`, fields.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Parts, Person, joined};
use super::api::response::names;
use super::api::{Api, Codes, Credential, Credentials, Entry, Kept, Mail, Meaning, Request, Response, Size};
use super::preset::{Allowance, Hint, Provider, StatusQuery, UserName, at, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::rule::{ANY, Rule};

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
    found: "the server, tab API Tokens",
    hints: &[Hint::anywhere(Rule {
        words: &["your account is pending approval"],
        hint: "this account is not approved yet and writes within its own domain only: ask Postmark for the approval",
        ..ANY
    })],
    notes: &[
        "token is the server API token; an SMTP token is a pair for username and password",
        "no implicit TLS: port 465 hangs",
        "50 recipients a message",
    ],
    allowance: Some(&Allowance {
        rates: &[],
        recipients: Some(50),
        octets: None,
        source: "Postmark's support page of ErrorCode 300",
    }),
    status_query: Some(&StatusQuery {
        ask: "GET https://api.postmarkapp.com/messages/outbound/{id}/details",
        source: "its description in OpenAPI (Server API)",
    }),
    unverified: &["AUTH mechanisms"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: Domain-Connect templates, the Domains API, zones
    selectors: own
    spf: useless spf.mtasv.net
    return-path: pm.mtasv.net
    bounces: pm-bounces pm_bounces bounces pmbounces CNAME pm.mtasv.net should
    shown: Sender Signatures > DNS settings at Postmark
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("token")],
    recipients: Some(50),
    // 10 MB in all, counted after base64 (postmarkapp.com/support/article/1056).
    size: Some(Size::Message(10 << 20)),
    ..Entry::of::<Postmark>()
};

/// Its error codes (postmarkapp.com/developer/api/overview); 405, 412 and 413 are about the account: out of credits,
/// waiting for approval, inactive.
static CODES: &Codes = &[
    ("10", Meaning::LOGIN),
    ("100", Meaning::TROUBLE),
    ("400", Meaning::SENDER),
    ("401", Meaning::SENDER),
    ("402", Meaning::REQUEST),
    ("403", Meaning::REQUEST),
    ("405", Meaning::ACCOUNT),
    ("406", Meaning::NO_RECIPIENT),
    ("409", Meaning::REQUEST),
    ("411", Meaning::FILE),
    ("412", Meaning::ACCOUNT),
    ("413", Meaning::ACCOUNT),
    ("429", Meaning::RATE),
];

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

    // postmarkapp.com/developer/api/server-api: the server whose token it is.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        Ok(Some(Request::get("/server").header("X-Postmark-Server-Token", keys.get("token")?)))
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
                (is_about_some && names(text, recipient)).then(|| response.reply(Meaning::NO_RECIPIENT, text))
            };
            return Ok(response.each(envelope, Some(id), skipped));
        }
        let is_unverified =
            ["verified sender", "sender signature"].iter().any(|word| text.to_lowercase().contains(word));
        let about_sender = ["'from'", "sender"].iter().any(|word| text.to_lowercase().contains(word));
        let meaning = match answer.error_code {
            // postmarkapp.com/support, "Troubleshooting 422": one code for both.
            300 if is_unverified => Some(Meaning::SENDER),
            300 if about_sender => Some(Meaning::BAD_SENDER),
            300 if ["'To'", "'Cc'", "'Bcc'"].iter().any(|field| text.contains(field)) => Some(Meaning::BAD_RECIPIENT),
            code => Meaning::of(CODES, &code.to_string()),
        };
        response.by_code(envelope, meaning, text)
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
