//! Amazon SES: `POST /v2/email/outbound-emails`, the message as it is in base64, signed.

mod password;
mod signature;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::signature::Signer;
use super::api::response::names;
use super::api::{
    Api, Cloud, Codes, Credential, Credentials, Entry, Mail, Meaning, Piece, Request, Response, Size, Validity,
};
use super::preset::{Allowance, Derived, Hint, Provider, StatusQuery, UserName, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::rule::{ANY, Rule};

pub(super) static PROVIDER: Provider = Provider {
    id: "amazon-ses",
    name: "Amazon SES",
    aliases: &["ses", "aws-ses", "aws", "amazon"],
    host: "email-smtp.{region}.amazonaws.com",
    regions: password::REGIONS,
    default_region: Some("us-east-1"),
    aws_region: true,
    ports: &[implicit(465), implicit(2465), starttls(587), starttls(2587), starttls(25)],
    username: UserName::Given("access_key_id"),
    secrets: &["secret_access_key", "password"],
    derived: Some(&Derived {
        from: "secret_access_key",
        make: password::smtp_password,
        is_made: password::is_smtp_password,
        hint: "check the key id, the secret key and the region: SES passwords count in one region only, and temporary \
               keys cannot log in by SMTP",
    }),
    api: Some(&ENTRY),
    servers: &[".amazonaws.com"],
    // It says 421 "Maximum message count per session reached" after some 350.
    session_messages: Some(300),
    hints: HINTS,
    notes: &[
        "secret_access_key is a long-term IAM key; the SMTP password of the region is derived from it",
        "password takes an SMTP password made in the console",
        "50 recipients and 40 MB a message; lines over 1000 octets are refused",
        "a new account sends to verified recipients only, 200 a day",
    ],
    allowance: Some(&Allowance {
        rates: &[],
        recipients: Some(50),
        octets: Some(40 << 20),
        source: "the AWS documentation, page \"Service quotas in Amazon SES\"",
    }),
    status_query: Some(&StatusQuery {
        ask: "aws sesv2 get-message-insights --message-id {id}",
        source: "docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetMessageInsights.html; it takes the Virtual Deliverability Manager",
    }),
    unverified: &["which regions offer SMTP"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: Domain-Connect templates (27), docs.aws.amazon.com
    selectors: own
    spf: useless amazonses.com
    return-path: amazonses.com
    bounces: mail send bounce bounces ses mailfrom MX feedback-smtp.{token}.amazonses.com should
    shown: the identity's DKIM and custom MAIL FROM settings in the SES console
";

static HINTS: &[Hint] = &[
    Hint::login(Rule {
        hint: "SES wants an SMTP password, not the secret key: give secret_access_key and the password is derived \
               from it, or make SMTP credentials in the same region",
        ..ANY
    }),
    Hint::refusal(Rule {
        words: STOPPED,
        hint: "AWS has stopped this account's sending: see its mail to the account's address, and Reputation metrics in the \
               SES console",
        ..ANY
    }),
    Hint::refusal(Rule {
        words: &["not authorized to perform `ses:"],
        hint: "give the key's user ses:SendRawEmail and ses:SendEmail on what the reply names; where that is a recipient, the \
               account is in the SES sandbox",
        ..ANY
    }),
    Hint::refusal(Rule {
        words: &["identities failed the check", "address is not verified"],
        hint: "verify the address that the reply names; while the account is in the SES sandbox that includes \
               recipients, so ask AWS for production access",
        ..ANY
    }),
];

/// What SES says after it has stopped an account, by either way.
const STOPPED: &[&str] = &["sending paused", "sending suspended", "sending is paused"];

static ENTRY: Entry = Entry {
    credentials: &[
        Credential::optional("access_key_id"),
        Credential::optional("secret_access_key"),
        Credential::optional("session_token"),
    ],
    raw: true,
    recipients: Some(50),
    // 40 MB after base64.
    size: Some(Size::Request(40 << 20)),
    ..Entry::of::<AmazonSes>()
};

/// The types of its errors, without `Exception` (docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html, and
/// CommonErrors.html for those that every AWS service shares). `NotFound` is an unknown configuration set, which no other
/// relay has.
static CODES: &Codes = &[
    ("TooManyRequests", Meaning::RATE),
    ("Throttling", Meaning::RATE),
    ("RequestTimeout", Meaning::TROUBLE),
    ("SendingPaused", Meaning::ACCOUNT),
    ("LimitExceeded", Meaning::QUOTA),
    ("ServiceUnavailable", Meaning::TROUBLE),
    ("InternalFailure", Meaning::TROUBLE),
    ("AccountSuspended", Meaning::ACCOUNT),
    ("AccessDenied", Meaning::ACCOUNT),
    ("NotAuthorized", Meaning::ACCOUNT),
    ("OptInRequired", Meaning::ACCOUNT),
    ("InvalidClientTokenId", Meaning::LOGIN),
    ("SignatureDoesNotMatch", Meaning::LOGIN),
    ("UnrecognizedClient", Meaning::LOGIN),
    ("InvalidSignature", Meaning::LOGIN),
    ("ExpiredToken", Meaning::LOGIN),
    ("RequestExpired", Meaning::LOGIN),
    ("IncompleteSignature", Meaning::LOGIN),
    ("MissingAuthenticationToken", Meaning::LOGIN),
    ("MailFromDomainNotVerified", Meaning::SENDER),
    ("NotFound", Meaning::ELSEWHERE),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AmazonSes {
    /// Default: that of the AWS surroundings, else us-east-1.
    region: Option<String>,
    /// The configuration set, where not the identity's own.
    configuration_set: Option<String>,
    /// Tags of the events.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// Where the notices of bounces and complaints go; has to be verified.
    feedback_address: Option<String>,
    /// The profile of the AWS configuration and credentials files.
    profile: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    from_email_address: Option<&'a str>,
    destination: Destination<'a>,
    content: Content,
    configuration_set_name: Option<&'a str>,
    email_tags: Vec<Tag<'a>>,
    feedback_forwarding_email_address: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination<'a> {
    to_addresses: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    raw: Raw,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Accepted {
    message_id: String,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(alias = "Message")]
    message: Option<String>,
    #[serde(rename = "__type", alias = "code")]
    kind: Option<String>,
}

/// What GetAccount tells.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Account {
    production_access_enabled: bool,
    sending_enabled: bool,
}

/// The kind of a refusal: `TYPE:http://...` in the header field, `NAMESPACE#TYPE` in the body.
fn kind<'a>(response: &'a Response, refused: &'a Refused) -> &'a str {
    let named = response.header("x-amzn-errortype").or(refused.kind.as_deref()).unwrap_or_default();
    let kind = named.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default();
    kind.trim_end_matches("Exception")
}

/// The request with the header fields that sign it.
fn with(request: Request, headers: Vec<(&'static str, String)>) -> Request {
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

impl Api for AmazonSes {
    fn endpoint(&self) -> String {
        format!("https://email.{}.amazonaws.com", self.region())
    }

    fn cloud(&self) -> Option<Cloud<'_>> {
        Some(Cloud::Aws { profile: self.profile.as_deref(), region: self.region() })
    }

    fn settle(&mut self, region: String) {
        self.region.get_or_insert(region);
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let author = mail.author();
        let body = Body {
            from_email_address: author.as_ref().map(AsRef::as_ref),
            destination: Destination { to_addresses: mail.recipients().collect() },
            content: Content { raw: Raw { data: mail.base64()? } },
            configuration_set_name: self.configuration_set.as_deref(),
            email_tags: self.tags.iter().map(|(name, value)| Tag { name, value }).collect(),
            feedback_forwarding_email_address: self.feedback_address.as_deref(),
        };
        let request = Request::json("/v2/email/outbound-emails", &body)?.warn(mail.sender_warning());
        let Some(Piece::Octets(octets)) = request.body.first() else { return Ok(request) };
        let signer = Signer { region: self.region(), now: mail.now, endpoint: mail.endpoint, keys };
        let headers = signer.headers(request.method, &request.path, octets)?;
        Ok(with(request, headers))
    }

    // docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html
    fn login(&self, keys: &Credentials, endpoint: &str, now: Timestamp) -> Result<Option<Request>, Failure> {
        let request = Request::get("/v2/email/account").header("Content-Type", "application/json");
        let signer = Signer { region: self.region(), now, endpoint, keys };
        let headers = signer.headers(request.method, &request.path, b"")?;
        Ok(Some(with(request, headers)))
    }

    fn validity(&self, response: &Response) -> Validity {
        if let (true, Some(account)) = (response.is_success(), response.json::<Account>()) {
            return match account {
                Account { sending_enabled: false, .. } => Validity::Limited("the account's sending is switched off"),
                Account { production_access_enabled: false, .. } => {
                    Validity::Limited("the account is in the sandbox: it reaches verified addresses only")
                }
                _ => Validity::Accepted,
            };
        }
        let Some(refused) = response.json::<Refused>() else { return Validity::Unclear };
        match kind(response, &refused) {
            // Who asks is known, and may send without this right.
            "AccessDenied" => Validity::Accepted,
            kind if Meaning::of(CODES, kind) == Some(Meaning::LOGIN) => response.refused_login(),
            _ => Validity::Unclear,
        }
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let Some(accepted) = response.json::<Accepted>() else { return Err(response.in_doubt()) };
            return Ok(response.accepted(envelope, Some(&accepted.message_id)));
        }
        let Some(refused) = response.json::<Refused>() else { return response.undocumented(envelope) };
        let kind = kind(response, &refused);
        let text = refused.message.clone().unwrap_or_else(|| kind.to_owned());
        let lower = text.to_lowercase();
        let is_named = |address: &str| names(&text, address);
        let meaning = match kind {
            // In the sandbox, recipients have to be verified as well: the reply names who is not.
            "MessageRejected" if lower.contains("not verified") => {
                let is_sender = envelope.reverse_path.as_ref().is_some_and(|path| is_named(path.as_ref()));
                let is_recipient = envelope.forward_paths.iter().any(|path| is_named(path.as_ref()));
                Some(if is_recipient && !is_sender { Meaning::ACCOUNT } else { Meaning::SENDER })
            }
            "MessageRejected" if lower.contains("authority to send") => Some(Meaning::SENDER),
            "MessageRejected" => Meaning::of_account(&text).or(Some(Meaning::CONTENT)),
            "BadRequest" if lower.contains("too many recipients") => Some(Meaning::MANY),
            "BadRequest" if lower.contains("address") => Some(Meaning::BAD_RECIPIENT),
            kind => Meaning::of(CODES, kind),
        };
        response.by_code(envelope, meaning, &text)
    }
}

impl AmazonSes {
    fn region(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }
}
