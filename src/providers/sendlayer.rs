//! SendLayer: `POST /api/v1/email`, fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Mailbox, Parts, Person, at_most};
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, Size, cannot};
use super::preset::{Provider, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "sendlayer",
    name: "SendLayer",
    aliases: &["send-layer"],
    host: "smtp.sendlayer.net",
    ports: &[starttls(587)],
    api: Some(&ENTRY),
    notes: &[
        "the SMTP user name and password come from the dashboard and are not the API key",
        "by API: 10 recipients in To, 10 in Cc, 5 in Bcc, 10 MB a message",
    ],
    unverified: &["AUTH mechanisms", "ports 465 and 2525", "images inside the text by API"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: medium
    source: Domain-Connect template of the vendor
    key: sl -> sl._domainkey.m{n}.sendlayer.net
    return-path: sl.{domain}
    bounces: sl CNAME {any}.sendlayer.net must
    shown: Settings > Domains at SendLayer
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("api_key")],
    recipients: Some(25),
    size: Some(Size::Message(10 << 20)),
    ..Entry::of::<SendLayer>()
};

/// Its error codes (github.com/SendLayer/sendlayer-api-docs, errors). Which status goes with which is not documented, so
/// the code decides.
static CODES: &Codes = &[
    ("1", Meaning::LOGIN),
    ("3", Meaning::BAD_SENDER),
    ("7", Meaning::MANY),
    ("12", Meaning::LOGIN),
    ("13", Meaning::LOGIN),
    ("14", Meaning::SUPPRESSED),
    ("17", Meaning::QUOTA),
    ("18", Meaning::BAD_RECIPIENT),
    ("19", Meaning::BAD_RECIPIENT),
    ("20", Meaning::MANY),
    ("21", Meaning::BAD_RECIPIENT),
    ("22", Meaning::BAD_RECIPIENT),
    ("23", Meaning::BAD_SENDER),
    ("25", Meaning::BAD_RECIPIENT),
    ("26", Meaning::BAD_RECIPIENT),
    ("27", Meaning::MANY),
    ("32", Meaning::SENDER),
    ("429", Meaning::RATE),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SendLayer {
    /// Words for statistics.
    #[serde(default, deserialize_with = "super::api::words")]
    tags: Vec<String>,
    #[serde(default)]
    inline_images: InlineImages,
}

/// What becomes of images inside the HTML text: the vendor's own clients contradict one another.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum InlineImages {
    /// The message is refused.
    #[default]
    Refuse,
    /// They go with their Content-ID, as the vendor's WordPress plugin has it.
    Send,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    from: Mailbox<'a>,
    to: Vec<Mailbox<'a>>,
    #[serde(rename = "CC")]
    cc: Vec<Mailbox<'a>>,
    #[serde(rename = "BCC")]
    bcc: Vec<Mailbox<'a>>,
    reply_to: Vec<Mailbox<'a>>,
    subject: &'a str,
    content_type: &'static str,
    #[serde(rename = "HTMLContent")]
    html: Option<&'a str>,
    #[serde(rename = "PlainContent")]
    text: Option<&'a str>,
    headers: BTreeMap<&'a str, &'a str>,
    tags: &'a [String],
    attachments: Vec<File<'a>>,
}

/// How a file is written.
const FILE: &FileForm = &[
    ("Content", Fact::Base64),
    ("Type", Fact::MediaType),
    ("Filename", Fact::Name),
    ("Disposition", Fact::Disposition),
    ("ContentId", Fact::InlineId),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(rename = "MessageID")]
    message_id: Option<String>,
    #[serde(default)]
    errors: Vec<Fault>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    code: u32,
    message: String,
}

impl Api for SendLayer {
    fn endpoint(&self) -> String {
        "https://console.sendlayer.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        at_most(PROVIDER.name, 10, &parts.to, "To")?;
        at_most(PROVIDER.name, 10, &parts.cc, "Cc")?;
        at_most(PROVIDER.name, 5, &parts.bcc, "Bcc")?;
        if self.inline_images == InlineImages::Refuse && parts.attachments.iter().any(|file| file.is_inline) {
            return Err(cannot("an inline image"));
        }
        let request = Request::json("/api/v1/email", &self.body(&parts)?)?;
        Ok(request.bearer(keys.get("api_key")?).warn(parts.warnings()))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        let Some(answer) = response.json::<Answer>() else { return response.undocumented(envelope) };
        let Some(fault) = answer.errors.first() else {
            return match (answer.message_id, answer.error) {
                (Some(id), None) if response.is_success() => Ok(response.accepted(envelope, Some(&id))),
                (_, Some(text)) => response.by_status(envelope, &text),
                _ => response.undocumented(envelope),
            };
        };
        // Which HTTP status goes with which code is not documented: the code decides.
        match Meaning::of(CODES, &fault.code.to_string()) {
            Some(meaning) => Ok(response.told(envelope, meaning, &fault.message)),
            None => response.by_status(envelope, &fault.message),
        }
    }
}

impl SendLayer {
    fn body<'a>(&'a self, parts: &'a Parts) -> Result<Body<'a>, Failure> {
        let mailboxes = |people: &'a [Person]| people.iter().map(Mailbox::from).collect::<Vec<_>>();
        let html = parts.html.as_deref();
        Ok(Body {
            from: Mailbox::from(&parts.from),
            to: mailboxes(&parts.to),
            cc: mailboxes(&parts.cc),
            bcc: mailboxes(&parts.bcc),
            reply_to: mailboxes(&parts.reply_to),
            subject: &parts.subject,
            content_type: if html.is_some() { "HTML" } else { "Text" },
            html,
            // Without HTML there has to be text, though it be empty.
            text: parts.text.as_deref().or(html.is_none().then_some("")),
            headers: parts.header_map()?,
            tags: &self.tags,
            attachments: parts.files(FILE),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::api::trial;

    const INLINE: &str = "From: a@example.com\nTo: b@example.net\nContent-Type: multipart/related; boundary=x\n\n--x\n\
                          Content-Type: text/html\n\n<img src=\"cid:1\">\n--x\nContent-Type: image/png\n\
                          Content-ID: <1>\nContent-Disposition: inline; filename=a.png\n\nx\n--x--\n";

    #[test]
    fn inline_images_go_only_where_that_is_wanted() {
        let request = |settings| trial::request(&ENTRY, settings, INLINE, &["b@example.net"]);
        let refused = request("{}").unwrap_err();
        assert!(refused.why.contains("an inline image"), "{refused}");
        assert_eq!(refused.hint.as_deref(), Some("set via = \"smtp\" for this relay"));
        let (body, _) = request("{ inline_images = \"send\" }").unwrap();
        assert_eq!(body["Attachments"][0]["ContentId"], "1");
        assert_eq!(body["Attachments"][0]["Disposition"], "inline");
    }

    #[test]
    fn each_field_has_its_own_limit() {
        let message = "From: a@example.com\nTo: b@example.net\n\nx\n";
        let mut recipients = vec!["b@example.net".to_owned()];
        recipients.extend((0..6).map(|n| format!("hidden{n}@example.net")));
        let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
        assert!(trial::request(&ENTRY, "{}", message, &recipients[..6]).is_ok());
        let refused = trial::request(&ENTRY, "{}", message, &recipients).unwrap_err();
        assert!(refused.to_string().contains("5 recipients in Bcc, this message has 6"), "{refused}");
    }

    #[test]
    fn text_alone_is_text() {
        let message = "From: a@example.com\nTo: b@example.net\nSubject: s\n\nhello\n";
        let (body, _) = trial::request(&ENTRY, "{}", message, &["b@example.net"]).unwrap();
        assert_eq!((&body["ContentType"], &body["PlainContent"]), (&"Text".into(), &"hello\n".into()));
        assert!(body.get("HTMLContent").is_none());
    }
}
