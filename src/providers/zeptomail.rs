//! Zoho ZeptoMail: `POST /v1.1/email`, fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::parts::{Fact, File, FileForm, Parts, Person};
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, Size};
use super::preset::{Provider, UserName, at, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "zeptomail",
    name: "Zoho ZeptoMail",
    aliases: &["zoho-zeptomail", "transmail"],
    host: "smtp.zeptomail.com",
    regions: &[at("com", "smtp.zeptomail.com"), at("eu", "smtp.zeptomail.eu"), at("in", "smtp.zeptomail.in")],
    ports: &[starttls(587), implicit(465)],
    username: UserName::Word("emailapikey"),
    secrets: &["token", "password"],
    api: Some(&ENTRY),
    notes: &["token is the send-mail token of one agent", "transactional mail only"],
    unverified: &["SMTP hosts of other data centres", "API hosts: endpoint takes another"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: zones and notes
    selectors: own
    return-path: bounce-zem.{domain}
    bounces: bounce-zem bounce bounces CNAME cluster{n}.zeptomail.{any} must
    shown: Mail Agents > Domains at ZeptoMail
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("token")],
    // 15 MB, header section, text and files (the vendor's connector for Power Automate, "Known Issues and Limitations").
    size: Some(Size::Message(15 << 20)),
    ..Entry::of::<ZeptoMail>()
};

/// Its error codes (zoho.com/zeptomail/help/api/error-codes.html), those of the detail before those of the group: the
/// limit of a day and of a trial; then credits that have ended, a host that is not on the list, a blocked account.
static CODES: &Codes = &[
    ("SERR_157", Meaning::LOGIN),
    ("SM_111", Meaning::SENDER),
    ("SMI_115", Meaning::QUOTA),
    ("SM_133", Meaning::QUOTA),
    ("LE_101", Meaning::ACCOUNT),
    ("LE_102", Meaning::ACCOUNT),
    ("AE_101", Meaning::ACCOUNT),
    ("SERR_156", Meaning::ACCOUNT),
    ("SM_128", Meaning::ACCOUNT),
    ("SM_120", Meaning::CONTENT),
    ("GE_102", Meaning::REQUEST),
    ("SM_101", Meaning::REQUEST),
    ("TM_3601", Meaning::ACCOUNT),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZeptoMail {
    #[serde(default)]
    region: Region,
    /// What the provider's webhooks call the message.
    client_reference: Option<String>,
    /// `None`: as the agent has it.
    open_tracking: Option<bool>,
    /// `None`: as the agent has it.
    click_tracking: Option<bool>,
}

/// The data centre of the account.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Region {
    #[default]
    Com,
    Eu,
    In,
    #[serde(rename = "com.au")]
    Au,
    Jp,
    #[serde(rename = "com.cn")]
    Cn,
    Ca,
    Sa,
}

#[derive(Serialize)]
struct Body<'a> {
    from: Mailbox<'a>,
    to: Vec<Recipient<'a>>,
    cc: Vec<Recipient<'a>>,
    bcc: Vec<Recipient<'a>>,
    reply_to: Vec<Mailbox<'a>>,
    subject: &'a str,
    textbody: Option<&'a str>,
    htmlbody: Option<&'a str>,
    mime_headers: BTreeMap<&'a str, &'a str>,
    inline_images: Vec<File<'a>>,
    attachments: Vec<File<'a>>,
    client_reference: Option<&'a str>,
    track_opens: Option<bool>,
    track_clicks: Option<bool>,
}

#[derive(Serialize)]
struct Mailbox<'a> {
    address: &'a str,
    name: Option<&'a str>,
}

impl<'a> From<&'a Person> for Mailbox<'a> {
    fn from(person: &'a Person) -> Self {
        Self { address: &person.address, name: person.name.as_deref() }
    }
}

#[derive(Serialize)]
struct Recipient<'a> {
    email_address: Mailbox<'a>,
}

/// How a file is written.
const FILE: &FileForm =
    &[("content", Fact::Base64), ("mime_type", Fact::MediaType), ("name", Fact::Name), ("cid", Fact::InlineId)];

#[derive(Deserialize)]
struct Accepted {
    request_id: String,
}

#[derive(Deserialize)]
struct Refused {
    error: Fault,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    target: String,
}

impl Api for ZeptoMail {
    fn endpoint(&self) -> String {
        match self.region {
            Region::Com => "https://api.zeptomail.com",
            Region::Eu => "https://zeptomail.zoho.eu",
            Region::In => "https://zeptomail.zoho.in",
            Region::Au => "https://zeptomail.zoho.com.au",
            Region::Jp => "https://zeptomail.zoho.jp",
            Region::Cn => "https://zeptomail.zoho.com.cn",
            Region::Ca => "https://zeptomail.zohocloud.ca",
            Region::Sa => "https://zeptomail.zoho.sa",
        }
        .into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let parts = Parts::of(mail)?;
        let request = Request::json("/v1.1/email", &self.body(&parts)?)?;
        let token = format!("Zoho-enczapikey {}", keys.get("token")?);
        Ok(request.header("Authorization", token).warn(parts.warnings()))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let Some(Accepted { request_id }) = response.json() else { return Err(response.in_doubt()) };
            return Ok(response.accepted(envelope, Some(&request_id)));
        }
        let Some(Refused { error: fault }) = response.json() else { return response.undocumented(envelope) };
        let Some(detail) = fault.details.first() else { return response.by_status(envelope, &fault.message) };
        let text = match (detail.message.as_str(), detail.target.as_str()) {
            ("", _) => fault.message,
            (text, "") => text.to_owned(),
            (text, target) => format!("{text}: {target}"),
        };
        let is_about =
            |field: &str| detail.target.starts_with(field) || detail.message.contains(&format!("\"{field}\""));
        let meaning = match detail.code.as_str() {
            "SM_113" if is_about("from") => Some(Meaning::BAD_SENDER),
            "SM_113" if ["to", "cc", "bcc"].into_iter().any(is_about) => Some(Meaning::BAD_RECIPIENT),
            code => Meaning::of(CODES, code).or_else(|| Meaning::of(CODES, &fault.code)),
        };
        response.by_code(envelope, meaning, &text)
    }
}

impl ZeptoMail {
    fn body<'a>(&'a self, parts: &'a Parts) -> Result<Body<'a>, Failure> {
        let recipients = |people: &'a [Person]| {
            people.iter().map(|person| Recipient { email_address: Mailbox::from(person) }).collect::<Vec<_>>()
        };
        Ok(Body {
            from: Mailbox::from(&parts.from),
            to: recipients(&parts.to),
            cc: recipients(&parts.cc),
            bcc: recipients(&parts.bcc),
            reply_to: parts.reply_to.iter().map(Mailbox::from).collect(),
            subject: &parts.subject,
            textbody: parts.text.as_deref(),
            htmlbody: parts.html.as_deref(),
            mime_headers: parts.header_map()?,
            inline_images: parts.files_inline(true, FILE),
            attachments: parts.files_inline(false, FILE),
            client_reference: self.client_reference.as_deref(),
            track_opens: self.open_tracking,
            track_clicks: self.click_tracking,
        })
    }
}

#[cfg(test)]
mod tests {
    use toml::de::ValueDeserializer;

    use super::*;
    use crate::providers::api::trial;

    #[test]
    fn each_data_centre_has_its_host() {
        let endpoint = |settings| ENTRY.read(ValueDeserializer::parse(settings).unwrap()).unwrap().endpoint();
        assert_eq!(endpoint("{}"), "https://api.zeptomail.com");
        assert_eq!(endpoint("{ region = \"com.au\" }"), "https://zeptomail.zoho.com.au");
    }

    #[test]
    fn hidden_recipients_alone_will_do() {
        let recipients = ["b@example.net", "c@example.net"];
        let (body, _) = trial::request(&ENTRY, "{}", "From: a@example.com\n\nx\n", &recipients).unwrap();
        assert!(body.get("to").is_none());
        assert_eq!(body["bcc"][1]["email_address"]["address"], "c@example.net");
    }
}
