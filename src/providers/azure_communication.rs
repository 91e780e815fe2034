//! Azure Communication Services: `POST /emails:send`, fields, signed with the resource's access key.
//!
//! The answer is 202 and an operation that goes on at Azure. It is not polled: from 202 on Azure has the
//! message, and an operation ends in seconds or minutes, which no caller of sendmail waits for. What is
//! refused later shows in the resource's logs under the operation's id, which is in the log record.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Parts, Person};
use super::api::{Api, Codes, Credential, Credentials, Entry, Kept, Mail, Meaning, Piece, Request, Response, Size};
use super::preset::{Hint, Idempotency, Provider, UserName, starttls};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::outcome::Outcome;
use crate::rule::{ANY, Rule};

pub(super) static PROVIDER: Provider = Provider {
    id: "azure-communication",
    name: "Azure Communication Services Email",
    aliases: &["acs", "azure-email", "azure"],
    host: "smtp.azurecomm.net",
    ports: &[starttls(587), starttls(25)],
    username: UserName::Joined(&["resource", "client_id", "tenant_id"]),
    secrets: &["client_secret", "password"],
    auth: &["LOGIN", "PLAIN"],
    api: Some(&ENTRY),
    // learn.microsoft.com, repeatable requests: an answer of 2xx or 4xx is given again.
    idempotency: Some(&Idempotency { window: Duration::from_secs(5 * 60), field: None, accepted_only: false }),
    hints: &[Hint::anywhere(Rule {
        words: &["repeatability-first-sent"],
        hint: "the clock of this machine is minutes away from the time: set it",
        ..ANY
    })],
    notes: &[
        "by SMTP, the user name is RESOURCE|CLIENT_ID|TENANT_ID of the Entra application",
        "by API, a message is accepted once Azure has it: refusals show in the resource's logs",
        "by API, the sender's display name is the one set at Azure",
    ],
    unverified: &["AUTH mechanisms", "user names made per resource", "50 recipients"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: zones, an answer of the API, MicrosoftDocs
    key: selector1-azurecomm-prod-net -> selector1-azurecomm-prod-net._domainkey.azurecomm.net
    and: selector2-azurecomm-prod-net -> selector2-azurecomm-prod-net._domainkey.azurecomm.net
    spf: needed spf.protection.outlook.com
    return-path: {domain}
    wants: @ TXT ms-domain-verification={any} must
    shown: Provision domains of the Email Communication Service
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("access_key")],
    url: &["resource", "access_key"],
    // 10 MB, files in base64 included (learn.microsoft.com, EmailMessage.Attachments).
    size: Some(Size::Request(10 << 20)),
    ..Entry::of::<Azure>()
};

const PATH: &str = "/emails:send?api-version=2025-09-01";

/// The codes of its errors that are not told by the status (learn.microsoft.com, Azure Communication Services, email).
static CODES: &Codes = &[("DomainNotLinked", Meaning::SENDER), ("InvalidSenderUserName", Meaning::SENDER)];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Azure {
    /// The resource: NAME or NAME.REGION of `NAME.REGION.communication.azure.com`.
    resource: String,
    /// Whether openings and clicks are tracked; `None`: as the domain has it.
    tracking: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    sender_address: &'a str,
    recipients: Recipients<'a>,
    reply_to: Vec<Mailbox<'a>>,
    headers: Kept<BTreeMap<&'a str, &'a str>>,
    content: Content<'a>,
    attachments: Kept<Vec<File<'a>>>,
    user_engagement_tracking_disabled: Option<bool>,
}

#[derive(Serialize)]
struct Recipients<'a> {
    to: Vec<Mailbox<'a>>,
    cc: Vec<Mailbox<'a>>,
    bcc: Vec<Mailbox<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mailbox<'a> {
    address: &'a str,
    display_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    subject: &'a str,
    plain_text: Option<&'a str>,
    html: Option<&'a str>,
}

/// How a file is written.
const FILE: &FileForm = &[
    ("name", Fact::Name),
    ("contentType", Fact::ContentType),
    ("contentInBase64", Fact::Base64),
    ("contentId", Fact::ContentId),
];

/// The operation, or why there is none.
#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    #[serde(default)]
    status: String,
    error: Option<Trouble>,
}

#[derive(Deserialize)]
struct Trouble {
    code: String,
    #[serde(default)]
    message: String,
}

impl Api for Azure {
    fn endpoint(&self) -> String {
        format!("https://{}.communication.azure.com", self.resource)
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        if parts.from.name.is_some() {
            // It is set at Azure, for each sender.
            parts.not_carried.push("the From field's display name".into());
        }
        let request = Request::json(PATH, &self.body(&parts)?)?.warn(parts.warnings());
        let mut request = sign(request, mail.endpoint, mail.now, keys.get("access_key")?)?;
        if let Some(operation) = mail.own_id()?.or_else(|| Some(mail.key?.value.clone())) {
            request = request.header("Operation-Id", operation);
        }
        if let Some(key) = mail.key {
            request = request
                .header("Repeatability-Request-ID", &key.value)
                .header("Repeatability-First-Sent", http_date(key.since));
        }
        Ok(request)
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        // The first request is still under way, or longer ago than Azure remembers.
        match response.status {
            409 if response.is_repeat => return response.unfinished(envelope, "the first request is still under way"),
            412 if response.is_repeat => return Err(response.in_doubt()),
            _ => {}
        }
        let Some(Answer { id, status, error }) = response.json() else { return response.undocumented(envelope) };
        let text = error.as_ref().map_or_else(
            || format!("the operation is {}", status.to_lowercase()),
            |Trouble { code, message }| format!("{code}: {message}"),
        );
        if response.is_success() {
            return match (status.as_str(), id) {
                ("Failed" | "Canceled", _) => Ok(response.told(envelope, Meaning::CONTENT, &text)),
                (_, Some(id)) => Ok(response.accepted(envelope, Some(&id))),
                (_, None) => Err(response.in_doubt()),
            };
        }
        match error.as_ref().map(|error| error.code.as_str()) {
            None => response.undocumented(envelope),
            Some(code) => response.by_code(envelope, Meaning::of(CODES, code), &text),
        }
    }
}

impl Azure {
    fn body<'a>(&'a self, parts: &'a Parts) -> Result<Body<'a>, Failure> {
        let list = |people: &'a [Person]| people.iter().map(mailbox).collect();
        Ok(Body {
            sender_address: &parts.from.address,
            recipients: Recipients { to: list(&parts.to), cc: list(&parts.cc), bcc: list(&parts.bcc) },
            reply_to: list(&parts.reply_to),
            headers: Kept(parts.header_map()?),
            content: Content {
                subject: &parts.subject,
                plain_text: parts.text.as_deref(),
                html: parts.html.as_deref(),
            },
            attachments: Kept(parts.files(FILE)),
            user_engagement_tracking_disabled: self.tracking.map(|is_on| !is_on),
        })
    }
}

fn mailbox(person: &Person) -> Mailbox<'_> {
    Mailbox { address: &person.address, display_name: person.name.as_deref() }
}

/// `time` as HTTP has it (RFC 9110 5.6.7).
fn http_date(time: jiff::Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The request with the header fields that sign it: time, host and the hash of its body.
fn sign(request: Request, endpoint: &str, now: jiff::Timestamp, key: &str) -> Result<Request, Failure> {
    let key = STANDARD.decode(key.trim()).map_err(|_| {
        Failure::new(Kind::Configuration, "access_key", "is not base64")
            .hint("take the key alone, not the connection string it is part of")
    })?;
    let mut body = digest::Context::new(&digest::SHA256);
    for piece in &request.body {
        if let Piece::Octets(octets) = piece {
            body.update(octets);
        }
    }
    let hash = STANDARD.encode(body.finish());
    let date = http_date(now);
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default().to_owned();
    let prefix = &rest[host.len()..];
    let text = format!("{}\n{prefix}{}\n{date};{host};{hash}", request.method, request.path);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    let signature = STANDARD.encode(signature.as_ref());
    Ok(request.header("Host", host).header("x-ms-date", date).header("x-ms-content-sha256", hash).header(
        "Authorization",
        format!("HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand with Python's hmac and hashlib.
    #[test]
    fn a_request_is_signed() {
        let request = Request::post(PATH, "application/json", vec![Piece::Octets(b"{}".to_vec())]);
        let now = "2026-11-02T10:00:00Z".parse().expect("a time");
        let signed = sign(request, "https://contoso.communication.azure.com", now, "secretsecretsecretsecret");
        let headers = signed.unwrap_or_else(|failure| panic!("{failure}")).headers;
        let value = |name: &str| headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
        assert_eq!(value("x-ms-date"), Some("Mon, 02 Nov 2026 10:00:00 GMT"));
        assert_eq!(value("Host"), Some("contoso.communication.azure.com"));
        assert_eq!(value("x-ms-content-sha256"), Some("RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o="));
        let signature = value("Authorization").and_then(|value| value.split_once("&Signature="));
        assert_eq!(signature.map(|(_, signature)| signature), Some("Gu6KHzhGg+hEOLsW4yUBE0JghBUUEieSymnSP5lWj9s="));
    }

    #[test]
    fn a_connection_string_is_no_key() {
        let request = Request::post(PATH, "application/json", Vec::new());
        let now = jiff::Timestamp::UNIX_EPOCH;
        let key = "endpoint=https://contoso.communication.azure.com/;accesskey=c2VjcmV0";
        let failure = sign(request, "https://contoso.communication.azure.com", now, key).err();
        assert_eq!(failure.map(|failure| failure.kind), Some(Kind::Configuration));
    }
}
