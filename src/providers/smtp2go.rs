//! SMTP2GO: `POST /v3/email/send`, fields.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::parts::{Fact, File, FileForm, Parts, Person, joined};
use super::api::{Api, Codes, Credential, Credentials, Entry, Kept, Mail, Meaning, Request, Response, Validity};
use super::preset::{KeyForm, Provider, at, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "smtp2go",
    name: "SMTP2GO",
    host: "mail.smtp2go.com",
    regions: &[
        at("us", "mail-us.smtp2go.com"),
        at("eu", "mail-eu2.smtp2go.com"),
        at("eu-uk", "mail-eu.smtp2go.com"),
        at("au", "mail-au.smtp2go.com"),
    ],
    ports: &[
        implicit(465),
        implicit(8465),
        implicit(443),
        starttls(2525),
        starttls(8025),
        starttls(587),
        starttls(80),
        starttls(25),
    ],
    api: Some(&ENTRY),
    keys: &[KeyForm { prefix: "api-", smtp: false, api: true }],
    unverified: &["AUTH mechanisms", "50 MB and 100 recipients a message", "the API's answers about senders"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: the API's answer, zones, Domain-Connect templates
    selectors: own
    spf: useless spf.smtp2go.com
    return-path: smtp2go.com
    bounces: em{n} CNAME return.smtp2go.net must
    shown: Sending > Verified senders at SMTP2GO
";

static ENTRY: Entry = Entry { credentials: &[Credential::needed("api_key")], ..Entry::of::<Smtp2go>() };

/// Its error codes, behind `E_ApiResponseCodes.`, that are not about the message: a key without the permission comes as
/// 400 (developers.smtp2go.com/reference, the answers of its endpoints). Not checked against a page of the vendor's, but
/// quoted by users: the key that is none, the limit, the sender.
static CODES: &Codes = &[
    ("ENDPOINT_PERMISSION_DENIED", Meaning::ACCOUNT),
    ("API_KEY_INVALID", Meaning::LOGIN),
    ("RATE_LIMITED", Meaning::RATE),
    ("SENDER_NOT_VERIFIED", Meaning::SENDER),
];

/// What it says of senders and recipients (its own WordPress plugin looks for the second), and of a trial account.
static WORDS: &Codes = &[
    ("only send testing emails to your own", Meaning::ACCOUNT),
    ("unable to verify sender", Meaning::SENDER),
    ("not verified", Meaning::SENDER),
    ("unverified", Meaning::SENDER),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Smtp2go {
    /// Whose servers take the message; `None`: the nearest.
    region: Option<Region>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Region {
    Us,
    Eu,
    Au,
}

#[derive(Serialize)]
struct Body<'a> {
    sender: String,
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    subject: &'a str,
    text_body: Option<&'a str>,
    html_body: Option<&'a str>,
    custom_headers: Kept<Vec<Field<'a>>>,
    attachments: Kept<Vec<File<'a>>>,
    inlines: Kept<Vec<File<'a>>>,
}

#[derive(Serialize)]
struct Field<'a> {
    header: &'a str,
    value: String,
}

/// How a file is written.
const FILE: &FileForm = &[("filename", Fact::Name), ("fileblob", Fact::Base64), ("mimetype", Fact::ContentType)];

/// The text refers to an inline file by the name it is sent under.
const INLINE: &FileForm = &[
    ("filename", Fact::Own(|file| Some(file.content_id.as_ref().unwrap_or(&file.name).clone()))),
    ("fileblob", Fact::Base64),
    ("mimetype", Fact::ContentType),
];

#[derive(Deserialize)]
struct Accepted {
    data: Count,
}

#[derive(Deserialize)]
struct Count {
    #[serde(default)]
    failed: u32,
    #[serde(default)]
    failures: Vec<Value>,
    email_id: Option<String>,
}

/// A refusal; its parts are found under `data` or beside it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    data: Trouble,
    #[serde(flatten)]
    trouble: Trouble,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Trouble {
    error: String,
    error_code: String,
    field_validation_errors: Invalid,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Invalid {
    fieldname: String,
    message: String,
}

impl Api for Smtp2go {
    fn endpoint(&self) -> String {
        match self.region {
            None => "https://api.smtp2go.com",
            Some(Region::Us) => "https://us-api.smtp2go.com",
            Some(Region::Eu) => "https://eu-api.smtp2go.com",
            Some(Region::Au) => "https://au-api.smtp2go.com",
        }
        .into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        let request = Request::json("/v3/email/send", &body(&parts))?;
        Ok(request.header("X-Smtp2go-Api-Key", keys.get("api_key")?).warn(parts.warnings()))
    }

    // developers.smtp2go.com, "Response Codes": 401 is no valid key, 403 one that may not ask this.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        let request = Request::json("/v3/stats/email_summary", &serde_json::Map::new())?;
        Ok(Some(request.header("X-Smtp2go-Api-Key", keys.get("api_key")?)))
    }

    fn validity(&self, response: &Response) -> Validity {
        match response.status {
            403 => Validity::Accepted,
            _ => response.validity(),
        }
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let Some(Accepted { data }) = response.json() else { return Err(response.in_doubt()) };
            return accepted(envelope, response, &data);
        }
        let Some(Refused { data, trouble }) = response.json() else { return response.undocumented(envelope) };
        let Trouble { error, error_code, field_validation_errors: Invalid { fieldname, message } } =
            if data.error.is_empty() { trouble } else { data };
        if error.is_empty() {
            return response.undocumented(envelope);
        }
        let text = match (message.is_empty(), error_code.rsplit('.').next().unwrap_or_default()) {
            (false, _) => format!("{fieldname}: {message}"),
            (true, "") => error,
            (true, code) => format!("{code}: {error}"),
        };
        let code = error_code.rsplit('.').next().unwrap_or_default();
        // With 401 and 429 the status says it.
        let by_code = || Meaning::of(CODES, code).filter(|_| matches!(response.status, 400 | 403));
        if let Some(meaning) = Meaning::said(WORDS, &text).or_else(by_code) {
            return Ok(response.told(envelope, meaning, &text));
        }
        let meaning = match (response.status, fieldname.as_str()) {
            // No payment, but "the parameters were valid but the request failed" (developers.smtp2go.com, "Response Codes",
            // where 400, 401, 403, 404 and 429 mean what they say).
            (402, _) => Meaning::TROUBLE,
            (400, "sender") => Meaning::BAD_SENDER,
            (400, "to" | "cc" | "bcc") => Meaning::BAD_RECIPIENT,
            _ => return response.by_status(envelope, &text),
        };
        Ok(response.told(envelope, meaning, &text))
    }
}

/// The failures are texts; who failed is known only where each names its recipient.
fn accepted(envelope: &Envelope, response: &Response, count: &Count) -> Result<Outcome, Failure> {
    let text = |failure: &Value| failure.as_str().map_or_else(|| failure.to_string(), str::to_owned);
    let failures: Vec<String> = count.failures.iter().map(text).collect();
    let names = |recipient: &str| failures.iter().find(|text| text.to_lowercase().contains(&recipient.to_lowercase()));
    let named = envelope.forward_paths.iter().filter(|recipient| names(recipient.as_ref()).is_some()).count();
    if named != count.failed as usize || (named < envelope.forward_paths.len() && count.email_id.is_none()) {
        return Err(response.in_doubt());
    }
    let id = count.email_id.as_deref();
    Ok(response
        .each(envelope, id, |recipient| names(recipient).map(|text| response.reply(Meaning::NO_RECIPIENT, text))))
}

fn body<'a>(parts: &'a Parts) -> Body<'a> {
    let list = |people: &[Person]| people.iter().map(ToString::to_string).collect();
    let mut custom_headers: Vec<_> =
        parts.headers.iter().map(|(header, value)| Field { header, value: value.clone() }).collect();
    if !parts.reply_to.is_empty() {
        custom_headers.push(Field { header: "Reply-To", value: joined(&parts.reply_to) });
    }
    Body {
        sender: parts.from.to_string(),
        to: list(&parts.to),
        cc: list(&parts.cc),
        bcc: list(&parts.bcc),
        subject: &parts.subject,
        text_body: parts.text.as_deref(),
        html_body: parts.html.as_deref(),
        custom_headers: Kept(custom_headers),
        attachments: Kept(parts.files_inline(false, FILE)),
        inlines: Kept(parts.files_inline(true, INLINE)),
    }
}
