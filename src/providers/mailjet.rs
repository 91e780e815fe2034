//! Mailjet: `POST /v3.1/send`, fields.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Parts, Person};
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response};
use super::preset::{Provider, UserName, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "mailjet",
    name: "Mailjet",
    host: "in-v3.mailjet.com",
    ports: &[starttls(587), implicit(465), starttls(25)],
    username: UserName::Given("api_key"),
    secrets: &["secret_key", "password"],
    api: Some(&ENTRY),
    unverified: &["15 MB and 50 recipients a message"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: Domain-Connect template of the vendor, zones
    key: mailjet
    spf: useless spf.mailjet.com
    return-path: bnc3.mailjet.com
    bounces: bnc3 CNAME bnc3.mailjet.com may
    shown: Account settings > Sender domains at Mailjet
";

static ENTRY: Entry =
    Entry { credentials: &[Credential::needed("api_key"), Credential::needed("secret_key")], ..Entry::of::<Mailjet>() };

/// The codes of its errors (dev.mailjet.com, Send API v3.1, "Send API errors"). Those that are not here are about the
/// message, as their status has it.
static CODES: &Codes = &[
    // A key that is suspended, and one that is none.
    ("mj-0001", Meaning::LOGIN),
    ("mj-0015", Meaning::LOGIN),
    ("send-0006", Meaning::SENDER),
    ("send-0007", Meaning::SENDER),
    ("send-0008", Meaning::SENDER),
    ("send-0015", Meaning::MANY),
    ("mj-0011", Meaning::SIZE),
    ("mj-0002", Meaning::REQUEST),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mailjet {
    /// What the provider's events call the message.
    custom_id: Option<String>,
    /// One campaign for statistics.
    campaign: Option<String>,
    /// Check, and do not deliver.
    #[serde(default)]
    sandbox: bool,
}

/// Header fields that a request is refused for (send-0006), beside its own X-MJ-*.
const RESERVED: &[&str] =
    &["domainkey-signature", "domainkey-status", "list-id", "received-spf", "user-agent", "x-feedback-id", "x-mailer"];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    messages: [Item<'a>; 1],
    sandbox_mode: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item<'a> {
    from: Mailbox<'a>,
    to: Vec<Mailbox<'a>>,
    cc: Vec<Mailbox<'a>>,
    bcc: Vec<Mailbox<'a>>,
    reply_to: Option<Mailbox<'a>>,
    subject: &'a str,
    text_part: Option<&'a str>,
    #[serde(rename = "HTMLPart")]
    html_part: Option<&'a str>,
    headers: BTreeMap<&'a str, &'a str>,
    inlined_attachments: Vec<File<'a>>,
    attachments: Vec<File<'a>>,
    #[serde(rename = "CustomID")]
    custom_id: Option<&'a str>,
    custom_campaign: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Mailbox<'a> {
    email: &'a str,
    name: Option<&'a str>,
}

impl<'a> From<&'a Person> for Mailbox<'a> {
    fn from(person: &'a Person) -> Self {
        Self { email: &person.address, name: person.name.as_deref() }
    }
}

/// How a file is written.
const FILE: &FileForm = &[
    ("ContentType", Fact::MediaType),
    ("Filename", Fact::Name),
    ("ContentID", Fact::InlineId),
    ("Base64Content", Fact::Base64),
];

/// With 200, and with the 400 that may be a partial success.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    messages: Vec<Notice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notice {
    status: String,
    #[serde(default)]
    to: Vec<Accepted>,
    #[serde(default)]
    cc: Vec<Accepted>,
    #[serde(default)]
    bcc: Vec<Accepted>,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Accepted {
    email: String,
    /// A number.
    #[serde(rename = "MessageID")]
    message_id: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    error_code: String,
    error_message: String,
    #[serde(default)]
    error_related_to: Vec<String>,
}

/// What is said about the request as a whole.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    #[serde(default)]
    error_code: String,
    error_message: String,
}

/// The request with the login.
fn signed(request: Request, keys: &Credentials) -> Result<Request, Failure> {
    let login = STANDARD.encode(format!("{}:{}", keys.get("api_key")?, keys.get("secret_key")?));
    Ok(request.header("Authorization", format!("Basic {login}")))
}

impl Api for Mailjet {
    fn endpoint(&self) -> String {
        "https://api.mailjet.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        parts.leave_out(|name| RESERVED.contains(&name) || name.starts_with("x-mj-") || name.starts_with("x-mailjet-"));
        let body = Body { messages: [self.item(&parts)?], sandbox_mode: self.sandbox.then_some(true) };
        Ok(signed(Request::json("/v3.1/send", &body)?, keys)?.warn(parts.warnings()))
    }

    // dev.mailjet.com/email/reference/settings: the user whose keys they are.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        signed(Request::get("/v3/REST/user"), keys).map(Some)
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        let Some(Answer { messages }) = response.json::<Answer>() else {
            return match response.json::<Refused>() {
                Some(Refused { error_code, error_message }) => {
                    response.by_code(envelope, Meaning::of(CODES, &error_code), &error_message)
                }
                None => response.undocumented(envelope),
            };
        };
        // One message was given, so one is told of.
        let [told] = messages.as_slice() else { return response.undocumented(envelope) };
        let accepted: Vec<&Accepted> = told.to.iter().chain(&told.cc).chain(&told.bcc).collect();
        match (told.status.as_str(), accepted.first(), told.errors.first()) {
            ("success", Some(first), fault) => {
                let id = first.message_id.to_string();
                Ok(response.each(envelope, Some(id.trim_matches('"')), |recipient| {
                    let is_accepted = accepted.iter().any(|one| one.email.eq_ignore_ascii_case(recipient));
                    let fault = fault.filter(|_| !is_accepted)?;
                    Some(response.reply(Meaning::NO_RECIPIENT, &fault.error_message))
                }))
            }
            ("success", None, None) if self.sandbox => Ok(response.accepted(envelope, None)),
            ("error", None, Some(fault)) if !response.is_success() => refusal(envelope, response, fault),
            _ => response.undocumented(envelope),
        }
    }
}

/// The whole message was refused because of `fault`.
fn refusal(envelope: &Envelope, response: &Response, fault: &Fault) -> Result<Outcome, Failure> {
    let text = fault.error_message.as_str();
    let about = |fields: &[&str]| {
        fault.error_related_to.iter().any(|place| fields.iter().any(|field| place.starts_with(field)))
    };
    let meaning = match fault.error_code.as_str() {
        "mj-0013" if about(&["From"]) => Some(Meaning::BAD_SENDER),
        "mj-0013" if about(&["To", "Cc", "Bcc"]) => Some(Meaning::BAD_RECIPIENT),
        code => Meaning::of(CODES, code),
    };
    response.by_code(envelope, meaning, text)
}

impl Mailjet {
    fn item<'a>(&'a self, parts: &'a Parts) -> Result<Item<'a>, Failure> {
        let mailboxes = |people: &'a [Person]| people.iter().map(Mailbox::from).collect::<Vec<_>>();
        Ok(Item {
            from: Mailbox::from(&parts.from),
            to: mailboxes(&parts.to),
            cc: mailboxes(&parts.cc),
            bcc: mailboxes(&parts.bcc),
            reply_to: parts.one_reply_to()?.map(Mailbox::from),
            subject: &parts.subject,
            text_part: parts.text.as_deref(),
            html_part: parts.html.as_deref(),
            headers: parts.header_map()?,
            inlined_attachments: parts.files_inline(true, FILE),
            attachments: parts.files_inline(false, FILE),
            custom_id: self.custom_id.as_deref(),
            custom_campaign: self.campaign.as_deref(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::api::trial;

    #[test]
    fn the_fields_that_mailjet_keeps_for_itself_are_left_out_and_named() {
        let message = "From: a@example.com\nTo: b@example.net\nSubject: s\nX-Mailer: PHP\nX-Note: n\nuser-agent: u\n\
                       List-Id: <l.example>\nX-MJ-CustomID: 1\n\nx\n";
        let (body, warnings) = trial::request(&ENTRY, "{}", message, &["b@example.net"]).unwrap();
        assert_eq!(body["Messages"][0]["Headers"], serde_json::json!({"X-Note": "n"}));
        assert_eq!(warnings, ["not carried by the API: X-Mailer, user-agent, List-Id, X-MJ-CustomID"]);
    }

    #[test]
    fn a_message_without_text_and_subject_gets_both() {
        let message = "From: a@example.com\nTo: b@example.net\nContent-Type: application/pdf; name=a.pdf\n\nx\n";
        let (body, warnings) = trial::request(&ENTRY, "{}", message, &["b@example.net"]).unwrap();
        let item = &body["Messages"][0];
        assert_eq!((&item["Subject"], &item["TextPart"]), (&"(no subject)".into(), &"(no text)".into()));
        assert_eq!(
            warnings,
            ["the message has no text, and got (no text)", "the message has no subject, and got (no subject)"]
        );
    }
}
