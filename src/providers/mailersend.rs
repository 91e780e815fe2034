//! MailerSend: `POST /v1/email`, fields.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Mailbox, OF_THE_WRITER, Parts, Person};
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, cannot};
use super::preset::{Hint, KeyForm, Provider, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::rule::{ANY, Rule};

pub(super) static PROVIDER: Provider = Provider {
    id: "mailersend",
    name: "MailerSend",
    host: "smtp.mailersend.net",
    ports: &[starttls(587)],
    api: Some(&ENTRY),
    keys: &[KeyForm { prefix: "mlsn.", smtp: false, api: true }],
    hints: &[Hint::anywhere(Rule {
        words: &["#ms42212", "#ms42225", "trial accounts can only send"],
        hint: "this account is on trial and reaches few recipients: verify a domain at MailerSend and choose a plan",
        ..ANY
    })],
    notes: &[
        "invalid messages are answered with 450, and never succeed when sent again",
        "by API: header fields of one's own need a plan that has them (custom_headers = true)",
    ],
    unverified: &["port 2525", "25 MB; 50 To, 10 Cc, 10 Bcc"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: medium
    source: Domain-Connect template of the vendor, zones
    key: mlsend2 -> mlsend2._domainkey.mailersend.net
    key: mlsend
    spf: needed _spf.mailersend.net
    return-path: mta.{domain}
    bounces: mta CNAME mailersend.net must
    shown: Domains > Manage at MailerSend
";

static ENTRY: Entry = Entry { credentials: &[Credential::needed("token")], ..Entry::of::<MailerSend>() };

/// What it says with 422 of what is not the message's (answers that its users quote): a number stands behind it. The
/// sender's domain; the recipient's, which has to be the account's own; the quota and the recipients of a trial; what the
/// plan has not. Its page of the statuses (developers.mailersend.com/general) has none of them; 421 is maintenance there.
static WORDS: &Codes = &[
    ("#ms42207", Meaning::SENDER),
    ("#ms42212", Meaning::ACCOUNT),
    ("#ms42222", Meaning::QUOTA),
    ("#ms42225", Meaning::ACCOUNT),
    ("#ms42235", Meaning::ACCOUNT),
    ("unique recipients limit", Meaning::ACCOUNT),
    ("trial accounts can only send", Meaning::ACCOUNT),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MailerSend {
    /// Words for statistics, five at most.
    #[serde(default, deserialize_with = "super::api::words")]
    tags: Vec<String>,
    /// Whether the account's plan has header fields of one's own.
    #[serde(default)]
    custom_headers: bool,
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
    attachments: Vec<File<'a>>,
    tags: &'a [String],
    #[serde(flatten)]
    own: &'a Own,
}

/// What has become of the header fields.
#[derive(Default, Serialize)]
struct Own {
    in_reply_to: Option<String>,
    precedence_bulk: Option<bool>,
    headers: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    value: String,
}

/// How a file is written.
const FILE: &FileForm =
    &[("content", Fact::Base64), ("filename", Fact::Name), ("disposition", Fact::Disposition), ("id", Fact::InlineId)];

/// With 202; often there is no body at all.
#[derive(Default, Deserialize)]
struct Accepted {
    #[serde(default)]
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Warning {
    r#type: String,
    #[serde(default)]
    warning: String,
    #[serde(default)]
    recipients: Vec<Suppressed>,
}

#[derive(Deserialize)]
struct Suppressed {
    email: String,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
    #[serde(default)]
    errors: BTreeMap<String, Vec<String>>,
}

impl Api for MailerSend {
    fn endpoint(&self) -> String {
        "https://api.mailersend.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        let own = self.own(&mut parts)?;
        let request = Request::json("/v1/email", &self.body(&parts, &own)?)?;
        Ok(request.bearer(keys.get("token")?).warn(parts.warnings()))
    }

    // developers.mailersend.com/general: it does not count against the quota it tells.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        Ok(Some(Request::get("/v1/api-quota").bearer(keys.get("token")?)))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            return accepted(envelope, response);
        }
        let Some(Refused { message, errors }) = response.json() else { return response.undocumented(envelope) };
        // The errors name the field: "from.email", "to.0.email".
        let Some((field, text)) = errors.iter().find_map(|(field, texts)| Some((field.as_str(), texts.first()?)))
        else {
            return response.by_code(envelope, Meaning::said(WORDS, &message), &message);
        };
        let meaning = match field.split('.').next().unwrap_or_default() {
            _ if Meaning::said(WORDS, text).is_some() => Meaning::said(WORDS, text),
            "from" if text.contains("verified") => Some(Meaning::SENDER),
            "from" => Some(Meaning::BAD_SENDER),
            "to" | "cc" | "bcc" => Some(Meaning::BAD_RECIPIENT),
            _ => None,
        };
        response.by_code(envelope, meaning, text)
    }
}

/// What a 202 comes to: its warnings may say that some or all recipients are suppressed.
fn accepted(envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
    let answer = match response.is_whole && response.body.trim_ascii().is_empty() {
        true => Some(Accepted::default()),
        false => response.json::<Accepted>(),
    };
    let Some(answer) = answer else { return Err(response.in_doubt()) };
    let warning = answer.warnings.iter().find(|warning| warning.r#type.ends_with("_SUPPRESSED"));
    match (warning, response.header("x-message-id")) {
        (None, Some(id)) => Ok(response.accepted(envelope, Some(id))),
        (Some(warning), None) if warning.r#type == "ALL_SUPPRESSED" => {
            Ok(response.told(envelope, Meaning::SUPPRESSED, &warning.warning))
        }
        (Some(warning), Some(id)) if !warning.recipients.is_empty() => {
            Ok(response.each(envelope, Some(id), |recipient| {
                let is_suppressed = warning.recipients.iter().any(|one| one.email.eq_ignore_ascii_case(recipient));
                is_suppressed.then(|| response.reply(Meaning::SUPPRESSED, &warning.warning))
            }))
        }
        _ => Err(response.in_doubt()),
    }
}

impl MailerSend {
    /// Gives the header fields the places they have, and refuses one that has none.
    fn own(&self, parts: &mut Parts) -> Result<Own, Failure> {
        let mut own = Own::default();
        for (name, value) in std::mem::take(&mut parts.headers) {
            match name.to_ascii_lowercase().as_str() {
                "in-reply-to" if own.in_reply_to.is_none() => own.in_reply_to = Some(value),
                "precedence" if value.eq_ignore_ascii_case("bulk") => own.precedence_bulk = Some(true),
                _ if self.custom_headers => own.headers.push(Field { name, value }),
                lower if OF_THE_WRITER.contains(&lower) => parts.not_carried.push(name),
                _ => {
                    let hint = "set via = \"smtp\" for this relay, or custom_headers = true where the plan has them";
                    return Err(cannot(&format!("a {name} field")).hint(hint));
                }
            }
        }
        Ok(own)
    }

    fn body<'a>(&'a self, parts: &'a Parts, own: &'a Own) -> Result<Body<'a>, Failure> {
        let mailboxes = |people: &'a [Person]| people.iter().map(Mailbox::from).collect::<Vec<_>>();
        Ok(Body {
            from: Mailbox::from(&parts.from),
            to: mailboxes(&parts.to),
            cc: mailboxes(&parts.cc),
            bcc: mailboxes(&parts.bcc),
            reply_to: parts.one_reply_to()?.map(Mailbox::from),
            subject: &parts.subject,
            text: parts.text.as_deref(),
            html: parts.html.as_deref(),
            attachments: parts.files(FILE),
            tags: &self.tags,
            own,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::api::trial;

    #[test]
    fn header_fields_go_where_they_have_a_place() {
        let message = "From: a@example.com\nTo: b@example.net\nSubject: s\nIn-Reply-To: <1@x>\nPrecedence: bulk\n\
                       X-Mailer: PHPMailer\nX-Shop: 7\n\nx\n";
        let request = |settings, message: &str| trial::request(&ENTRY, settings, message, &["b@example.net"]);
        let refused = request("{}", message).unwrap_err();
        assert!(refused.why.contains("a X-Shop field"), "{refused}");
        let (body, _) = request("{ custom_headers = true }", message).unwrap();
        assert_eq!(body["headers"][1], serde_json::json!({ "name": "X-Shop", "value": "7" }));
        let (body, warnings) = request("{}", &message.replace("X-Shop: 7\n", "")).unwrap();
        assert_eq!((&body["in_reply_to"], &body["precedence_bulk"]), (&"<1@x>".into(), &true.into()));
        assert_eq!(warnings, ["not carried by the API: X-Mailer"]);
    }
}
