//! Scaleway Transactional Email: `POST /transactional-email/v1alpha1/regions/REGION/emails`, fields.

use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Mailbox, Parts, joined};
use super::api::request::segment;
use super::api::{Api, Codes, Credential, Credentials, Entry, Kept, Mail, Meaning, Request, Response, cannot};
use super::preset::{Provider, StatusQuery, UserName, implicit};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "scaleway",
    name: "Scaleway Transactional Email",
    aliases: &["scaleway-tem", "tem"],
    host: "smtp.tem.scw.cloud",
    ports: &[implicit(465)],
    username: UserName::Given("project_id"),
    secrets: &["secret_key", "password"],
    api: Some(&ENTRY),
    notes: &["the API takes no inline images and no addresses outside ASCII"],
    status_query: Some(&StatusQuery {
        ask: "GET https://api.scaleway.com/transactional-email/v1alpha1/regions/fr-par/emails?message_id={id}",
        source: "scaleway.com/en/developers/api/transactional-email/emails",
    }),
    unverified: &["ports 587, 2465, 2587", "size and attachment limits", "a least length of subject and text"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: scaleway.com how-to/authenticate-domain, zones
    selectors: own
    spf: needed _spf.tem.scaleway.com _spf.scw-tem.cloud
    return-path: {domain}
    wants: @ MX {any} should
    wants: _dmarc TXT v=DMARC1{any} must
    shown: Transactional Email > Domains in the Scaleway console
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("secret_key")],
    url: &["project_id", "secret_key"],
    ..Entry::of::<Scaleway>()
};

/// The types of its errors (those its own client tells apart): a used-up quota comes as 403. Not checked against a page
/// of the vendor's: `transient_state`.
static CODES: &Codes = &[
    ("denied_authentication", Meaning::LOGIN),
    ("permissions_denied", Meaning::ACCOUNT),
    ("quotas_exceeded", Meaning::QUOTA),
    ("too_many_requests", Meaning::RATE),
    ("transient_state", Meaning::TROUBLE),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scaleway {
    project_id: String,
    #[serde(default = "paris")]
    region: String,
}

fn paris() -> String {
    "fr-par".into()
}

#[derive(Serialize)]
struct Body<'a> {
    project_id: &'a str,
    from: Mailbox<'a>,
    to: Vec<Mailbox<'a>>,
    cc: Vec<Mailbox<'a>>,
    bcc: Vec<Mailbox<'a>>,
    subject: &'a str,
    text: Option<&'a str>,
    html: Option<&'a str>,
    additional_headers: Kept<Vec<Field<'a>>>,
    attachments: Kept<Vec<File<'a>>>,
}

#[derive(Serialize)]
struct Field<'a> {
    key: &'a str,
    value: String,
}

/// How a file is written.
const FILE: &FileForm = &[("name", Fact::Name), ("type", Fact::ContentType), ("content", Fact::Base64)];

#[derive(Deserialize)]
struct Accepted {
    /// One for each recipient.
    emails: Vec<Email>,
}

#[derive(Deserialize)]
struct Email {
    message_id: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
    #[serde(default, rename = "type")]
    kind: String,
    /// What is wrong with which argument.
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    argument_name: String,
    reason: String,
    help_message: String,
}

impl Api for Scaleway {
    fn endpoint(&self) -> String {
        "https://api.scaleway.com".into()
    }

    // Short subjects and texts were refused once (under 10 characters); whether they still are is the
    // service's to say.
    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let parts = Parts::of(mail)?;
        if parts.attachments.iter().any(|file| file.is_inline) {
            return Err(cannot("an inline image"));
        }
        parts.ascii_addresses()?;
        let path = format!("/transactional-email/v1alpha1/regions/{}/emails", segment("region", &self.region)?);
        let request = Request::json(path, &self.body(&parts))?;
        Ok(request.header("X-Auth-Token", keys.get("secret_key")?).warn(parts.warnings()))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let accepted: Option<Accepted> = response.json();
            let id = accepted.and_then(|accepted| accepted.emails.into_iter().find_map(|email| email.message_id));
            let id = id.ok_or_else(|| response.in_doubt())?;
            return Ok(response.accepted(envelope, Some(&id)));
        }
        let Some(Refused { message, kind, details }) = response.json() else { return response.undocumented(envelope) };
        let detail = details.iter().find(|detail| !detail.argument_name.is_empty());
        let text = detail.map_or_else(
            || message.clone(),
            |Detail { argument_name, reason, help_message }| {
                format!("{message}: {argument_name} {reason} {help_message}")
            },
        );
        response.by_code(envelope, Meaning::of(CODES, &kind), &text)
    }
}

impl Scaleway {
    fn body<'a>(&'a self, parts: &'a Parts) -> Body<'a> {
        let reply_to = (!parts.reply_to.is_empty()).then(|| Field { key: "Reply-To", value: joined(&parts.reply_to) });
        let fields = parts.headers.iter().map(|(key, value)| Field { key, value: value.clone() });
        Body {
            project_id: &self.project_id,
            from: Mailbox::from(&parts.from),
            to: parts.to.iter().map(Mailbox::from).collect(),
            cc: parts.cc.iter().map(Mailbox::from).collect(),
            bcc: parts.bcc.iter().map(Mailbox::from).collect(),
            subject: &parts.subject,
            text: parts.text.as_deref(),
            html: parts.html.as_deref(),
            additional_headers: Kept(reply_to.into_iter().chain(fields).collect()),
            attachments: Kept(parts.files(FILE)),
        }
    }
}
