//! Mailgun: `POST /v3/DOMAIN/messages.mime`, the message as it is in a form.

use std::fmt::Write as _;

use base64::Engine as _;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use super::api::request::segment;
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Piece, Request, Response, Size, Validity};
use super::preset::{Allowance, Hint, KeyForm, Provider, StatusQuery, at, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::hex;
use crate::outcome::Outcome;
use crate::rule::{ANY, Rule};

pub(super) static PROVIDER: Provider = Provider {
    id: "mailgun",
    name: "Mailgun",
    aliases: &["mg"],
    host: "smtp.mailgun.org",
    regions: &[at("us", "smtp.mailgun.org"), at("eu", "smtp.eu.mailgun.org")],
    ports: &[starttls(587), implicit(465), starttls(2525), starttls(25)],
    api: Some(&ENTRY),
    keys: &[
        KeyForm { prefix: "key-", smtp: false, api: true },
        // The validation key, which is for browsers.
        KeyForm { prefix: "pubkey-", smtp: false, api: false },
    ],
    servers: &[".mailgun.org"],
    hints: &[Hint::refusal(Rule {
        words: &["authorized recipient", "sandbox", "test purposes only"],
        hint: "a Mailgun sandbox domain writes to authorized recipients only: authorize this one, or use a domain of \
               your own",
        ..ANY
    })],
    notes: &["username is the domain's SMTP login (postmaster@mg.example.com)", "1000 recipients, 25 MB a message"],
    allowance: Some(&Allowance {
        rates: &[],
        recipients: Some(1000),
        octets: Some(25 << 20),
        source: "mailgun/documentation",
    }),
    status_query: Some(&StatusQuery {
        ask: "GET https://api.mailgun.net/v3/DOMAIN/events?message-id={id}",
        source: "documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events; the EU's host is api.eu.mailgun.net",
    }),
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: Mailgun's help text, Domain-Connect templates, zones
    key: pdk1 -> pdk1._domainkey.{token}.dkim1.{any}mailgun.com
    and: pdk2 -> pdk2._domainkey.{token}.dkim1.{any}mailgun.com
    key: mx k1 pic smtp mailo krs s1 mg
    selectors: own
    spf: needed mailgun.org eu.mailgun.org
    return-path: {domain}
    registered: by login
    shown: Sending > Domain settings > DNS records at Mailgun
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("api_key")],
    url: &["api_key", "domain"],
    raw: true,
    recipients: Some(1000),
    size: Some(Size::Message(25 << 20)),
    ..Entry::of::<Mailgun>()
};

/// What it says with 400, 401, 403 and 420, as users of mailgun-java and Ghost quote it. Not checked against a page of
/// the vendor's: the disabled account.
static WORDS: &Codes = &[
    ("limit exceeded", Meaning::RATE),
    ("rate limit", Meaning::RATE),
    ("try again after", Meaning::RATE),
    ("on probation", Meaning::RATE),
    ("test purposes only", Meaning::ACCOUNT),
    ("activate your account", Meaning::ACCOUNT),
    ("account disabled", Meaning::ACCOUNT),
    ("domain was disabled", Meaning::ACCOUNT),
    ("not a valid address", Meaning::BAD_RECIPIENT),
    ("too many recipients", Meaning::MANY),
    ("not allowed to send", Meaning::SENDER),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mailgun {
    /// The sending domain; the key and the region have to be its own.
    domain: String,
    #[serde(default)]
    region: Region,
    /// Tags for statistics.
    #[serde(default, deserialize_with = "super::api::words")]
    tags: Vec<String>,
    /// Accept, and do not deliver.
    #[serde(default)]
    sandbox: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Region {
    #[default]
    Us,
    Eu,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

/// The request with the login.
fn signed(request: Request, keys: &Credentials) -> Result<Request, Failure> {
    let login = base64::engine::general_purpose::STANDARD.encode(format!("api:{}", keys.get("api_key")?));
    Ok(request.header("Authorization", format!("Basic {login}")))
}

impl Api for Mailgun {
    fn endpoint(&self) -> String {
        match self.region {
            Region::Us => "https://api.mailgun.net".into(),
            Region::Eu => "https://api.eu.mailgun.net".into(),
        }
    }

    fn domain(&self) -> Option<&str> {
        Some(&self.domain)
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let boundary = boundary(mail);
        let mut form = String::new();
        let mut field = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(form, "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        };
        mail.recipients().for_each(|recipient| field("to", recipient));
        self.tags.iter().for_each(|tag| field("o:tag", tag));
        if self.sandbox {
            field("o:testmode", "yes");
        }
        let _ = write!(
            form,
            "--{boundary}\r\nContent-Disposition: form-data; name=\"message\"; filename=\"message.eml\"\r\n\
             Content-Type: message/rfc822\r\n\r\n"
        );
        let end = format!("\r\n--{boundary}--\r\n").into_bytes();
        let body = vec![Piece::Octets(form.into_bytes()), Piece::Message, Piece::Octets(end)];
        let path = format!("/v3/{}/messages.mime", segment("domain", &self.domain)?);
        let request = Request::post(path, format!("multipart/form-data; boundary={boundary}"), body);
        Ok(signed(request, keys)?.warn(mail.sender_warning()))
    }

    // documentation.mailgun.com, "Domains": the domain, which an account's key may see.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        let path = format!("/v4/domains/{}", segment("domain", &self.domain)?);
        signed(Request::get(path), keys).map(Some)
    }

    // A domain sending key may do nothing but send (documentation.mailgun.com, "Authentication").
    fn validity(&self, response: &Response) -> Validity {
        if response.is_success() { Validity::Accepted } else { Validity::Unclear }
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let Some(accepted) = response.json::<Accepted>() else { return Err(response.in_doubt()) };
            return Ok(response.accepted(envelope, Some(&accepted.id)));
        }
        let Some(Refused { message }) = response.json::<Refused>() else { return response.undocumented(envelope) };
        // A limit is told of as a domain that "is not allowed to send", too, and passes.
        let meaning = Meaning::said(WORDS, &message).filter(|_| response.status / 100 == 4);
        response.by_code(envelope, meaning, &message)
    }
}

/// A delimiter that depends on message and time, so that nobody can have put it into the message.
fn boundary(mail: &Mail<'_>) -> String {
    let now = mail.now.as_nanosecond().to_be_bytes();
    let seed = digest(&SHA256, &[mail.message.header().as_bytes(), &now].concat());
    format!("mailchute-{}", hex::encode(&seed.as_ref()[..16]))
}
