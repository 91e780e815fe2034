//! Resend: `POST /emails`, fields.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api::parts::{Attachment, Fact, File, FileForm, Parts, Person, at_most};
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, Size, Validity};
use super::preset::{Hint, Idempotency, KeyForm, Provider, StatusQuery, UserName, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::rule::{ANY, Rule};

/// Types with the extensions of their file names. Where the two contradict one another, Resend drops the
/// message and says nothing.
const EXTENSIONS: &[(&str, &[&str])] = &[
    ("application/gzip", &["gz"]),
    ("application/json", &["json"]),
    ("application/msword", &["doc"]),
    ("application/pdf", &["pdf"]),
    ("application/rtf", &["rtf"]),
    ("application/vnd.ms-excel", &["xls"]),
    ("application/vnd.ms-powerpoint", &["ppt"]),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", &["pptx"]),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &["xlsx"]),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", &["docx"]),
    ("application/xml", &["xml"]),
    ("application/zip", &["zip"]),
    ("audio/mpeg", &["mp3"]),
    ("image/gif", &["gif"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/svg+xml", &["svg"]),
    ("image/webp", &["webp"]),
    ("text/calendar", &["ics"]),
    ("text/css", &["css"]),
    ("text/csv", &["csv"]),
    ("text/html", &["html", "htm"]),
    ("text/plain", &["txt", "log"]),
    ("text/vcard", &["vcf"]),
    ("text/xml", &["xml"]),
    ("video/mp4", &["mp4"]),
];

/// The header field of a message by SMTP that holds its key.
const KEY_FIELD: &str = "Resend-Idempotency-Key";

pub(super) static PROVIDER: Provider = Provider {
    id: "resend",
    name: "Resend",
    host: "smtp.resend.com",
    ports: &[implicit(465), implicit(2465), starttls(587), starttls(2587), starttls(25)],
    username: UserName::Word("resend"),
    secrets: &["api_key", "password"],
    api: Some(&ENTRY),
    // resend.com/docs.
    found: "API Keys",
    // resend.com/docs/dashboard/emails/idempotency-keys: a key is checked against what was sent.
    idempotency: Some(&Idempotency {
        window: Duration::from_secs(24 * 3600),
        field: Some(KEY_FIELD),
        accepted_only: true,
    }),
    keys: &[KeyForm { prefix: "re_", smtp: true, api: true }],
    hints: &[Hint::anywhere(Rule {
        words: &["only send testing emails to your own", "testing emails to your own email"],
        hint: "this account is in test mode and reaches its owner only: verify a domain at {provider} and write as an \
               address of it",
        ..ANY
    })],
    notes: &[
        "50 recipients in To",
        "an attachment whose name does not fit its type drops the mail silently; by API the name decides",
        "the same message again within 24 hours is answered again and not sent again; a Resend-Idempotency-Key field of \
         its own decides what is the same",
    ],
    status_query: Some(&StatusQuery {
        ask: "GET https://api.resend.com/emails/{id}",
        source: "resend.com/docs/api-reference/emails/retrieve-email",
    }),
    unverified: &["what its SMTP server replies to a key it knows"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: Domain-Connect template of the vendor, resend.com/docs
    key: resend
    spf: useless amazonses.com
    return-path: send.{domain}
    bounces: send outbound bounces MX feedback-smtp.{token}.amazonses.com must
    shown: Domains at Resend
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("api_key")],
    // 40 MB after base64 (resend.com/docs/dashboard/emails/attachments).
    size: Some(Size::Message(40 << 20)),
    ..Entry::of::<Resend>()
};

/// The names of its errors (resend.com/docs/api-reference/errors); an invalid key comes as 400, 401 or 403, and
/// `security_error` with 451 is one for its support.
static CODES: &Codes = &[
    ("missing_api_key", Meaning::LOGIN),
    ("invalid_api_key", Meaning::LOGIN),
    ("restricted_api_key", Meaning::LOGIN),
    ("rate_limit_exceeded", Meaning::RATE),
    ("daily_quota_exceeded", Meaning::QUOTA),
    ("monthly_quota_exceeded", Meaning::QUOTA),
    ("security_error", Meaning::ACCOUNT),
    ("invalid_from_address", Meaning::BAD_SENDER),
    ("application_error", Meaning::TROUBLE),
    ("internal_server_error", Meaning::TROUBLE),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resend {
    /// Names and values for statistics.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Body<'a> {
    from: String,
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
    reply_to: Vec<String>,
    subject: &'a str,
    text: Option<&'a str>,
    html: Option<&'a str>,
    headers: BTreeMap<&'a str, &'a str>,
    attachments: Vec<File<'a>>,
    tags: Vec<Tag<'a>>,
}

/// How a file is written.
const FILE: &FileForm = &[
    ("content", Fact::Base64),
    ("filename", Fact::Name),
    ("content_type", Fact::Own(|file| fitting_type(file).map(str::to_owned))),
    ("content_id", Fact::InlineId),
];

#[derive(Serialize)]
struct Tag<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    message: String,
}

impl Api for Resend {
    fn endpoint(&self) -> String {
        "https://api.resend.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        at_most(PROVIDER.name, 50, &parts.to, "To")?;
        // The caller's own key goes where keys go.
        parts.headers.retain(|(name, value)| {
            !name.eq_ignore_ascii_case(KEY_FIELD) || mail.key.is_none_or(|key| key.value != *value)
        });
        parts.ascii_addresses()?;
        let request = Request::json("/emails", &self.body(&parts)?)?;
        let mut warnings = parts.warnings();
        warnings.extend(
            parts
                .attachments
                .iter()
                .filter(|file| fitting_type(file).is_none())
                .map(|file| format!("{} goes as what its name says, not as {}", file.name, file.media_type())),
        );
        let request = match mail.key {
            Some(key) => request.header("Idempotency-Key", &key.value),
            None => request,
        };
        Ok(request.bearer(keys.get("api_key")?).warn(warnings))
    }

    // resend.com/changelog/account-usage-api: any key may ask.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        Ok(Some(Request::get("/usage").bearer(keys.get("api_key")?)))
    }

    // resend.com/docs/api-reference/errors.
    fn validity(&self, response: &Response) -> Validity {
        let name = response.json().map_or_else(String::new, |Refused { name, .. }| name);
        match (response.status, name.as_str()) {
            (_, "restricted_api_key") => Validity::Accepted,
            (400 | 401 | 403, "validation_error") | (_, "missing_api_key" | "invalid_api_key") => {
                response.refused_login()
            }
            _ => response.validity(),
        }
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let Some(Accepted { id }) = response.json() else { return Err(response.in_doubt()) };
            return Ok(response.accepted(envelope, Some(&id)));
        }
        let Some(Refused { name, message: text }) = response.json() else { return response.undocumented(envelope) };
        let meaning = match name.as_str() {
            "concurrent_idempotent_requests" => return response.unfinished(envelope, &text),
            // What it knows by this key was another request, so it tells nothing of ours.
            "invalid_idempotent_request" if response.is_repeat => return Err(response.in_doubt()),
            "validation_error" if text.to_lowercase().contains("api key is invalid") => Some(Meaning::LOGIN),
            "validation_error" if text.contains("not verified") => Some(Meaning::SENDER),
            // The test mode: the account reaches its owner only.
            "validation_error" if text.contains("testing emails") => Some(Meaning::ACCOUNT),
            "validation_error" if text.contains("`from`") => Some(Meaning::BAD_SENDER),
            "validation_error" if ["`to`", "`cc`", "`bcc`"].iter().any(|field| text.contains(field)) => {
                Some(Meaning::BAD_RECIPIENT)
            }
            name => Meaning::of(CODES, name),
        };
        response.by_code(envelope, meaning, &text)
    }
}

impl Resend {
    fn body<'a>(&'a self, parts: &'a Parts) -> Result<Body<'a>, Failure> {
        let mailboxes = |people: &[Person]| people.iter().map(ToString::to_string).collect::<Vec<_>>();
        Ok(Body {
            from: parts.from.to_string(),
            to: mailboxes(&parts.to),
            cc: mailboxes(&parts.cc),
            bcc: mailboxes(&parts.bcc),
            reply_to: mailboxes(&parts.reply_to),
            subject: &parts.subject,
            text: parts.text.as_deref(),
            html: parts.html.as_deref(),
            headers: parts.header_map()?,
            attachments: parts.files(FILE),
            tags: self.tags.iter().map(|(name, value)| Tag { name, value }).collect(),
        })
    }
}

/// The type of `file`; `None` where its name says another, which Resend then takes from the name.
fn fitting_type(file: &Attachment) -> Option<&str> {
    let extension = file.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let said: Vec<_> = EXTENSIONS
        .iter()
        .filter(|(_, extensions)| extension.as_deref().is_some_and(|one| extensions.contains(&one)))
        .map(|(kind, _)| *kind)
        .collect();
    (said.is_empty() || said.contains(&file.media_type())).then(|| file.media_type())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::api::trial;

    #[test]
    fn a_file_never_goes_with_a_type_that_its_name_contradicts() {
        let message = |name: &str, kind: &str| {
            format!(
                "From: a@example.com\nTo: b@example.net\nContent-Type: {kind}\n\
                 Content-Disposition: attachment; filename={name}\n\nx\n"
            )
        };
        for (name, kind, expected) in [
            ("a.pdf", "application/pdf", Some("application/pdf")),
            ("a.JPEG", "image/jpeg", Some("image/jpeg")),
            ("a.pdf", "application/octet-stream", None),
            ("a.unknown", "application/octet-stream", Some("application/octet-stream")),
            ("a", "image/png", Some("image/png")),
        ] {
            let (body, warnings) = trial::request(&ENTRY, "{}", &message(name, kind), &["b@example.net"]).unwrap();
            assert_eq!(body["attachments"][0]["content_type"].as_str(), expected, "{name} {kind}");
            // Text and subject, which it has not, are named, too.
            assert_eq!(warnings.len(), 2 + usize::from(expected.is_none()), "{warnings:?}");
        }
    }

    #[test]
    fn addresses_are_ascii_and_to_has_room_for_fifty() {
        let recipients: Vec<_> = (0..51).map(|n| format!("b{n}@example.net")).collect();
        let message = format!("From: a@example.com\nTo: {}\n\nx\n", recipients.join(", "));
        let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
        let refused = trial::request(&ENTRY, "{}", &message, &recipients).unwrap_err();
        assert!(refused.to_string().contains("50 recipients in To, this message has 51"), "{refused}");
        let message = "From: a@example.com\nReply-To: jos\u{e9}@example.com\nTo: b@example.net\n\nx\n";
        let refused = trial::request(&ENTRY, "{}", message, &["b@example.net"]).unwrap_err();
        assert!(refused.why.contains("an address outside ASCII (jos\u{e9}@example.com)"), "{refused}");
    }
}
