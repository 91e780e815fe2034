//! Brevo: `POST /v3/smtp/email`, fields.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Mailbox, Parts, Person};
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, Size, cannot};
use super::preset::{Hint, Idempotency, KeyForm, Provider, StatusQuery, implicit, starttls};
use crate::attempt::IdempotencyKey;
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::rule::{ANY, Rule};

/// How many characters a display name may have.
const NAME: usize = 70;

pub(super) static PROVIDER: Provider = Provider {
    id: "brevo",
    name: "Brevo",
    aliases: &["sendinblue", "sib"],
    host: "smtp-relay.brevo.com",
    ports: &[implicit(465), starttls(587), starttls(2525)],
    secrets: &["smtp_key", "password"],
    api: Some(&ENTRY),
    found: "SMTP & API, tab SMTP",
    // 15 minutes in the changelog of the API (developers.brevo.com), 30 in its guide: the shorter one is safe.
    idempotency: Some(&Idempotency { window: Duration::from_secs(15 * 60), field: None, accepted_only: false }),
    keys: &[
        KeyForm { prefix: "xkeysib-", smtp: false, api: true },
        KeyForm { prefix: "xsmtpsib-", smtp: true, api: false },
    ],
    hints: &[Hint::anywhere(Rule {
        words: &["your smtp account is not yet activated"],
        hint: "Brevo has not activated this account for sending: ask its support to",
        ..ANY
    })],
    notes: &[
        "the SMTP key is not the API key",
        "by API: 99 recipients a message, one Reply-To address, and no images inside the text",
    ],
    status_query: Some(&StatusQuery {
        ask: "GET https://api.brevo.com/v3/smtp/statistics/events?messageId={id}",
        source: "the vendor's client @getbrevo/brevo, getEmailEventReport",
    }),
    unverified: &[
        "STARTTLS on 587 and 2525",
        "that an idempotency key is remembered only once its message was accepted",
    ],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: Domain-Connect template of the vendor, developers.brevo.com, zones
    key: brevo1 -> b1.{dashed}.dkim.brevo.com
    and: brevo2 -> b2.{dashed}.dkim.brevo.com
    key: mail
    spf: useless spf.brevo.com spf.sendinblue.com
    return-path: brevosend.com
    wants: @ TXT brevo-code:{token} must
    wants: _dmarc TXT v=DMARC1{any} must
    shown: Senders, domains, IPs > Domains at Brevo
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("api_key")],
    recipients: Some(99),
    // 20 MB with attachments (help.brevo.com, "Add an attachment to a transactional email").
    size: Some(Size::Message(20 << 20)),
    ..Entry::of::<Brevo>()
};

/// The codes of its errors that are about the account (`ErrorModel` of its own client @getbrevo/brevo); they come with
/// 400, 402 or 403.
static CODES: &Codes = &[
    ("unauthorized", Meaning::LOGIN),
    ("not_enough_credits", Meaning::ACCOUNT),
    ("account_under_validation", Meaning::ACCOUNT),
    ("permission_denied", Meaning::ACCOUNT),
    ("reseller_permission_denied", Meaning::ACCOUNT),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Brevo {
    /// Words for statistics.
    #[serde(default, deserialize_with = "super::api::words")]
    tags: Vec<String>,
    #[serde(default)]
    inline_images: InlineImages,
}

/// What becomes of images inside the HTML text, which Brevo does not have.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum InlineImages {
    /// The message is refused.
    #[default]
    Refuse,
    /// They go as attachments, and the HTML text has a gap.
    Attach,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    sender: Mailbox<'a>,
    to: Vec<Mailbox<'a>>,
    cc: Vec<Mailbox<'a>>,
    bcc: Vec<Mailbox<'a>>,
    reply_to: Option<Mailbox<'a>>,
    subject: &'a str,
    html_content: String,
    text_content: Option<&'a str>,
    headers: BTreeMap<&'a str, &'a str>,
    tags: &'a [String],
    attachment: Vec<File<'a>>,
}

/// How a file is written.
const FILE: &FileForm = &[("name", Fact::Name), ("content", Fact::Base64)];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    message_id: String,
}

#[derive(Deserialize)]
struct Refused {
    code: String,
    message: String,
}

impl Api for Brevo {
    fn endpoint(&self) -> String {
        "https://api.brevo.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        self.check(&parts)?;
        let request = Request::json("/v3/smtp/email", &self.body(&parts, mail.key)?)?;
        let mut warnings = parts.warnings();
        if parts.html.is_none() {
            warnings.push("Brevo wants an HTML text: one was made from the plain text".to_owned());
        }
        let inline = parts.attachments.iter().filter(|file| file.is_inline);
        warnings.extend(inline.map(|file| format!("{} is shown in the text and goes as an attachment", file.name)));
        let standard = parts.headers.iter().filter(|(name, _)| !name.to_ascii_lowercase().starts_with("x-"));
        warnings.extend(standard.map(|(name, _)| format!("Brevo does not promise to carry {name}")));
        Ok(request.header("api-key", keys.get("api_key")?).warn(warnings))
    }

    // developers.brevo.com/docs/api-key-authentication: asking for the account shows whether a key is valid.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        Ok(Some(Request::get("/v3/account").header("api-key", keys.get("api_key")?)))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let Some(Accepted { message_id }) = response.json() else { return Err(response.in_doubt()) };
            return Ok(response.accepted(envelope, Some(&message_id)));
        }
        let Some(Refused { code, message: text }) = response.json() else { return response.undocumented(envelope) };
        // All it says of a request that it has carried out already.
        if response.is_repeat && code == "duplicate_parameter" {
            return Ok(response.known(envelope, &text));
        }
        if response.status != 400 || code != "invalid_parameter" {
            return response.by_code(envelope, Meaning::of(CODES, &code), &text);
        }
        // One code stands for every parameter; the text says which.
        let lower = text.to_lowercase();
        let meaning = match lower.as_str() {
            _ if lower.contains("sender") => Some(Meaning::SENDER),
            _ if ["in to", "in cc", "in bcc"].iter().any(|field| lower.ends_with(field)) => {
                Some(Meaning::BAD_RECIPIENT)
            }
            _ if lower.contains("attachment") => Some(Meaning::FILE),
            _ => None,
        };
        response.by_code(envelope, meaning, &text)
    }
}

impl Brevo {
    /// Refuses what Brevo is known to drop or to spoil.
    fn check(&self, parts: &Parts) -> Result<(), Failure> {
        let people = parts.everybody().chain(&parts.reply_to).chain([&parts.from]);
        if people.filter_map(|person| person.name.as_ref()).any(|name| name.chars().count() > NAME) {
            return Err(cannot(&format!("a display name of more than {NAME} characters")));
        }
        if let Some((name, _)) = parts.headers.iter().find(|(_, value)| !value.is_ascii()) {
            return Err(cannot(&format!("a {name} field that is not ASCII")));
        }
        if parts.attachments.iter().any(|file| !file.name.is_ascii()) {
            return Err(cannot("an attachment whose name is not ASCII"));
        }
        if self.inline_images == InlineImages::Refuse && parts.attachments.iter().any(|file| file.is_inline) {
            return Err(cannot("an inline image"));
        }
        Ok(())
    }

    fn body<'a>(&'a self, parts: &'a Parts, key: Option<&'a IdempotencyKey>) -> Result<Body<'a>, Failure> {
        let mut headers = parts.header_map()?;
        headers.extend(key.map(|key| ("idempotencyKey", key.value.as_str())));
        let mailboxes = |people: &'a [Person]| people.iter().map(Mailbox::from).collect::<Vec<_>>();
        Ok(Body {
            sender: Mailbox::from(&parts.from),
            to: mailboxes(&parts.to),
            cc: mailboxes(&parts.cc),
            bcc: mailboxes(&parts.bcc),
            reply_to: parts.one_reply_to()?.map(Mailbox::from),
            subject: &parts.subject,
            html_content: parts.html.clone().unwrap_or_else(|| html(parts.text.as_deref().unwrap_or_default())),
            text_content: parts.text.as_deref(),
            headers,
            tags: &self.tags,
            attachment: parts.files(FILE),
        })
    }
}

/// Plain text as HTML. Without it Brevo turns the text into HTML of its own and drops the text.
fn html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<pre style=\"white-space: pre-wrap\">{text}</pre>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::api::trial;

    fn request(message: &str) -> Result<(serde_json::Value, Vec<String>), Failure> {
        let message = format!("From: a@example.com\nTo: b@example.net\nSubject: s\n{message}");
        trial::request(&ENTRY, "{}", &message, &["b@example.net"])
    }

    #[test]
    fn plain_text_stays_and_gets_html_beside_it() {
        let (body, warnings) = request("\n1 < 2 & 3\n").unwrap();
        assert_eq!(body["textContent"], "1 < 2 & 3\n");
        assert_eq!(body["htmlContent"], "<pre style=\"white-space: pre-wrap\">1 &lt; 2 &amp; 3\n</pre>");
        assert_eq!(warnings, ["Brevo wants an HTML text: one was made from the plain text"]);
    }

    #[test]
    fn what_brevo_spoils_is_refused_by_name() {
        let part = "--x\nContent-Type: image/png\nContent-ID: <1>\nContent-Disposition";
        let multipart =
            format!("Content-Type: multipart/related; boundary=x\n\n--x\nContent-Type: text/html\n\nx\n{part}");
        for (message, part) in [
            ("X-Note: =?utf-8?b?w6Q=?=\n\nx\n".to_owned(), "a X-Note field that is not ASCII"),
            (
                format!("Reply-To: {} <c@example.com>\n\nx\n", "n".repeat(71)),
                "a display name of more than 70 characters",
            ),
            ("Reply-To: c@example.com, d@example.com\n\nx\n".to_owned(), "more than one Reply-To address"),
            ("X-A: 1\nx-a: 2\n\nx\n".to_owned(), "more than one x-a field"),
            (format!("{multipart}: inline; filename=a.png\n\nx\n--x--\n"), "an inline image"),
            (
                format!("{multipart}: attachment; filename*=utf-8''%C3%A4.png\n\nx\n--x--\n"),
                "an attachment whose name is not ASCII",
            ),
        ] {
            let refused = request(&message).unwrap_err();
            assert!(refused.why.contains(part), "{refused}");
        }
    }

    #[test]
    fn fields_that_are_not_promised_are_named() {
        let (body, warnings) = request("In-Reply-To: <1@x>\nContent-Type: text/html\n\nx\n").unwrap();
        assert_eq!(body["headers"]["In-Reply-To"], "<1@x>");
        assert_eq!(warnings, ["Brevo does not promise to carry In-Reply-To"]);
    }
}
