//! SendGrid: `POST /v3/mail/send`, fields.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Parts, Person};
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, Size, Validity};
use super::preset::{Allowance, KeyForm, Provider, UserName, at, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "sendgrid",
    name: "SendGrid",
    aliases: &["twilio-sendgrid"],
    host: "smtp.sendgrid.net",
    regions: &[at("global", "smtp.sendgrid.net"), at("eu", "smtp.eu.sendgrid.net")],
    ports: &[starttls(587), implicit(465), starttls(2525), starttls(25)],
    username: UserName::Word("apikey"),
    secrets: &["api_key", "password"],
    api: Some(&ENTRY),
    found: "Settings, API Keys",
    keys: &[KeyForm { prefix: "SG.", smtp: true, api: true }],
    notes: &["1000 recipients a message", "10 connections at a time from one host"],
    allowance: Some(&Allowance { rates: &[], recipients: Some(1000), octets: None, source: "sendgrid/sendgrid-oai" }),
    unverified: &["smtp.eu.sendgrid.net"],
    session_messages: Some(5000),
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: Domain-Connect template of the vendor, zones
    key: s1 -> s1.domainkey.u{n}.wl{n}.sendgrid.net
    and: s2 -> s2.domainkey.u{n}.wl{n}.sendgrid.net
    key: m1
    spf: useless sendgrid.net
    return-path: sendgrid.net
    bounces: em{n} CNAME u{n}.wl{n}.sendgrid.net must
    shown: Settings > Sender Authentication at SendGrid
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("api_key")],
    recipients: Some(1000),
    // 30 MB, counted over the whole JSON (github.com/sendgrid/sendgrid-php/issues/491, the vendor's).
    size: Some(Size::Request(30 << 20)),
    ..Entry::of::<SendGrid>()
};

/// What it says with 400, 401 and 403 (support.sendgrid.com, "4XX API Errors and Troubleshooting Suggestions"): used-up
/// credits come as 401. Not checked against a page of the vendor's: messaging limits, the suspended and the disabled
/// account.
static WORDS: &Codes = &[
    ("verified sender", Meaning::SENDER),
    ("credits exceeded", Meaning::QUOTA),
    ("exceeded your messaging limits", Meaning::QUOTA),
    ("account is suspended", Meaning::ACCOUNT),
    ("account is disabled", Meaning::ACCOUNT),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SendGrid {
    #[serde(default)]
    region: Region,
    /// Categories for statistics.
    #[serde(default, deserialize_with = "super::api::words")]
    tags: Vec<String>,
    /// Check, and do not deliver.
    #[serde(default)]
    sandbox: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Region {
    #[default]
    Global,
    Eu,
}

#[derive(Serialize)]
struct Body<'a> {
    personalizations: [Recipients<'a>; 1],
    from: Email<'a>,
    reply_to: Option<Email<'a>>,
    reply_to_list: Vec<Email<'a>>,
    subject: &'a str,
    content: Vec<Content<'a>>,
    attachments: Vec<File<'a>>,
    headers: BTreeMap<&'a str, &'a str>,
    categories: &'a [String],
    mail_settings: Option<MailSettings>,
}

#[derive(Serialize)]
struct Recipients<'a> {
    to: Vec<Email<'a>>,
    cc: Vec<Email<'a>>,
    bcc: Vec<Email<'a>>,
}

#[derive(Serialize)]
struct Email<'a> {
    email: &'a str,
    name: Option<&'a str>,
}

impl<'a> From<&'a Person> for Email<'a> {
    fn from(person: &'a Person) -> Self {
        Self { email: &person.address, name: person.name.as_deref() }
    }
}

#[derive(Serialize)]
struct Content<'a> {
    r#type: &'static str,
    value: &'a str,
}

/// How a file is written.
const FILE: &FileForm = &[
    ("content", Fact::Base64),
    ("type", Fact::MediaType),
    ("filename", Fact::Name),
    ("disposition", Fact::Disposition),
    ("content_id", Fact::ContentId),
];

#[derive(Serialize)]
struct MailSettings {
    sandbox_mode: Enable,
}

#[derive(Serialize)]
struct Enable {
    enable: bool,
}

#[derive(Deserialize)]
struct Refused {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
    field: Option<String>,
}

/// What a key may do.
#[derive(Deserialize)]
struct Scopes {
    scopes: Vec<String>,
}

impl Api for SendGrid {
    fn endpoint(&self) -> String {
        match self.region {
            Region::Global => "https://api.sendgrid.com".into(),
            Region::Eu => "https://api.eu.sendgrid.com".into(),
        }
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        // A request is refused for its own fields: x-sg-id, x-sg-eid.
        parts.leave_out(|name| name.starts_with("x-sg-"));
        let request = Request::json("/v3/mail/send", &self.body(&parts)?)?;
        Ok(request.bearer(keys.get("api_key")?).warn(parts.warnings()))
    }

    // twilio.com/docs/sendgrid/api-reference/api-key-permissions: what the key itself may do.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        Ok(Some(Request::get("/v3/scopes").bearer(keys.get("api_key")?)))
    }

    fn validity(&self, response: &Response) -> Validity {
        match response.json::<Scopes>() {
            _ if !response.is_success() => response.validity(),
            Some(Scopes { scopes }) if scopes.iter().any(|scope| scope == "mail.send") => Validity::Accepted,
            Some(_) => Validity::Limited("the key may not send: it needs the permission Mail Send"),
            None => Validity::Unclear,
        }
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        // The answer has no body: 202 with the id in a header field; 200 in the sandbox.
        if response.is_success() {
            return match response.header("x-message-id") {
                Some(id) => Ok(response.accepted(envelope, Some(id))),
                None if self.sandbox && response.status == 200 => Ok(response.accepted(envelope, None)),
                None => Err(response.in_doubt()),
            };
        }
        let Some(Refused { errors }) = response.json::<Refused>() else { return response.undocumented(envelope) };
        let Some(fault) = errors.first() else { return response.undocumented(envelope) };
        let (field, text) = (fault.field.as_deref().unwrap_or_default(), fault.message.as_str());
        let meaning = match response.status {
            400 if field.starts_with("personalizations") && field.contains("email") => Some(Meaning::BAD_RECIPIENT),
            400 if field.starts_with("from") => Some(Meaning::BAD_SENDER),
            400 | 401 | 403 => None,
            _ => return response.by_status(envelope, text),
        };
        response.by_code(envelope, Meaning::said(WORDS, text).or(meaning), text)
    }
}

impl SendGrid {
    fn body<'a>(&'a self, parts: &'a Parts) -> Result<Body<'a>, Failure> {
        let emails = |people: &'a [Person]| people.iter().map(Email::from).collect::<Vec<_>>();
        let text = parts.text.as_deref().map(|value| Content { r#type: "text/plain", value });
        let html = parts.html.as_deref().map(|value| Content { r#type: "text/html", value });
        let one = parts.reply_to.len() == 1;
        Ok(Body {
            personalizations: [Recipients { to: emails(&parts.to), cc: emails(&parts.cc), bcc: emails(&parts.bcc) }],
            from: Email::from(&parts.from),
            reply_to: parts.reply_to.first().filter(|_| one).map(Email::from),
            reply_to_list: if one { Vec::new() } else { emails(&parts.reply_to) },
            subject: &parts.subject,
            content: text.into_iter().chain(html).collect(),
            attachments: parts.files(FILE),
            headers: parts.header_map()?,
            categories: &self.tags,
            mail_settings: self.sandbox.then_some(MailSettings { sandbox_mode: Enable { enable: true } }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::api::trial;

    #[test]
    fn sendgrids_own_fields_are_left_out_and_named() {
        let message =
            "From: a@example.com\nTo: b@example.net\nSubject: s\nX-SG-EID: 1\nx-sg-id: 2\nX-SMTPAPI: {}\n\nx\n";
        let (body, warnings) = trial::request(&ENTRY, "{}", message, &["b@example.net"]).unwrap();
        assert_eq!(body["headers"], serde_json::json!({"X-SMTPAPI": "{}"}));
        assert_eq!(warnings, ["not carried by the API: X-SG-EID, x-sg-id"]);
    }

    #[test]
    fn no_content_is_empty() {
        let text =
            "From: a@example.com\nTo: b@example.net\nSubject:\nContent-Type: multipart/alternative; boundary=b\n\n";
        for (parts, content) in [
            (
                "--b\n\n\n--b\nContent-Type: text/html\n\n<p>x\n--b--\n",
                serde_json::json!([{"type": "text/html", "value": "<p>x"}]),
            ),
            ("--b\n\n \n--b--\n", serde_json::json!([{"type": "text/plain", "value": "(no text)"}])),
        ] {
            let (body, _) = trial::request(&ENTRY, "{}", &format!("{text}{parts}"), &["b@example.net"]).unwrap();
            assert_eq!((&body["content"], &body["subject"]), (&content, &"(no subject)".into()), "{parts}");
        }
    }
}
