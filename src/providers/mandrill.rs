//! Mandrill (Mailchimp Transactional): `POST /api/1.0/messages/send-raw.json`, the message as it is.
//!
//! `from_email` stays away: it would stand in for the From field's address, and the return path is
//! Mandrill's own either way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, Validity};
use super::preset::{Hint, KeyForm, Provider, StatusQuery, UserName, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::reply::Reply;
use crate::rule::{ANY, Rule};

pub(super) static PROVIDER: Provider = Provider {
    id: "mandrill",
    name: "Mandrill (Mailchimp Transactional)",
    aliases: &["mailchimp-transactional", "mailchimp"],
    host: "smtp.mandrillapp.com",
    ports: &[starttls(587)],
    username: UserName::Word("mailchute"),
    secrets: &["api_key", "password"],
    api: Some(&ENTRY),
    keys: &[KeyForm { prefix: "md-", smtp: true, api: true }],
    hints: &[Hint::refusal(Rule {
        words: &["rejected: unsigned", "rejected: invalid-sender"],
        hint: "verify this sender's domain at Mandrill, or set `from` to an address of one that is verified there",
        ..ANY
    })],
    notes: &[
        "without X-MC-PreserveRecipients the account's default decides whether recipients see one another",
        "by API, a message to more than 10 recipients is only queued: refusals come later",
    ],
    status_query: Some(&StatusQuery {
        ask: "POST https://mandrillapp.com/api/1.0/messages/info.json with the id {id}",
        source: "its description in OpenAPI (messages/info)",
    }),
    unverified: &["any user name will do", "ports 465, 25, 2525", "25 MB", "the API's error names"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: zones, Domain-Connect template of the vendor
    key: mte1 -> dkim1.mandrillapp.com
    and: mte2 -> dkim2.mandrillapp.com
    key: mandrill
    spf: useless spf.mandrillapp.com
    return-path: mandrillapp.com
    wants: @ TXT mandrill_verify.{token} must
    wants: _dmarc TXT v=DMARC1{any} must
    shown: Settings > Domains at Mandrill
";

static ENTRY: Entry =
    Entry { credentials: &[Credential::needed("api_key")], raw: true, seven_bit: true, ..Entry::of::<Mandrill>() };

/// The names of its errors (Mandrill's API reference, messages/send): whatever went wrong, the status is mostly 500.
static CODES: &Codes = &[
    ("Invalid_Key", Meaning::LOGIN),
    ("PaymentRequired", Meaning::ACCOUNT),
    ("Unknown_Subaccount", Meaning::ACCOUNT),
    ("ValidationError", Meaning::CONTENT),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mandrill {
    /// The pool of addresses to send from.
    ip_pool: Option<String>,
    /// The domain of the return path.
    return_path_domain: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    key: &'a str,
    raw_message: String,
    to: Vec<&'a str>,
    ip_pool: Option<&'a str>,
    return_path_domain: Option<&'a str>,
}

#[derive(Serialize)]
struct Ping<'a> {
    key: &'a str,
}

/// What became of one recipient.
#[derive(Deserialize)]
struct Sent {
    email: String,
    status: String,
    #[serde(default)]
    reject_reason: Option<String>,
    #[serde(rename = "_id", default)]
    id: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    message: String,
}

impl Api for Mandrill {
    fn endpoint(&self) -> String {
        "https://mandrillapp.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let body = Body {
            key: keys.get("api_key")?,
            raw_message: mail.text()?,
            to: mail.recipients().collect(),
            ip_pool: self.ip_pool.as_deref(),
            return_path_domain: self.return_path_domain.as_deref(),
        };
        Ok(Request::json("/api/1.0/messages/send-raw.json", &body)?.warn(mail.sender_warning()))
    }

    // mailchimp.com/developer/transactional/api/users: a ping that a valid key gets an answer to.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        Ok(Some(Request::json("/api/1.0/users/ping2.json", &Ping { key: keys.get("api_key")? })?))
    }

    fn validity(&self, response: &Response) -> Validity {
        match response.json::<Refused>() {
            Some(refused) if refused.name == "Invalid_Key" => response.refused_login(),
            _ => response.validity(),
        }
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if !response.is_success() {
            let Some(Refused { name, message }) = response.json() else { return response.undocumented(envelope) };
            let text = format!("{name}: {message}");
            return response.by_code(envelope, Meaning::of(CODES, &name), &text);
        }
        let Some(sent) = response.json::<Vec<Sent>>() else { return Err(response.in_doubt()) };
        let of = |recipient: &str| sent.iter().find(|sent| sent.email.eq_ignore_ascii_case(recipient));
        let known = ["sent", "queued", "scheduled", "rejected", "invalid"];
        let is_known = |recipient: &str| of(recipient).is_some_and(|sent| known.contains(&sent.status.as_str()));
        if !envelope.forward_paths.iter().all(|recipient| is_known(recipient.as_ref())) {
            return Err(response.in_doubt());
        }
        // Where nobody has it for a reason of the account's, it is not about them.
        let account = sent.iter().map(Sent::of_account).collect::<Option<Vec<_>>>();
        if let Some((meaning, text)) = account.and_then(|all| all.into_iter().next()) {
            return Ok(response.told(envelope, meaning, &text));
        }
        let id = sent.iter().find(|sent| sent.refusal(response).is_none()).or(sent.first());
        let id = id.and_then(|sent| sent.id.as_deref());
        Ok(response.each(envelope, id, |recipient| of(recipient).and_then(|sent| sent.refusal(response))))
    }
}

/// Reasons of `reject_reason` that are the account's or the sender's (mailchimp.com/developer/transactional/api/messages):
/// beyond what a test key or the plan sends, and a domain that is not verified.
static REASONS: &Codes =
    &[("test-mode-limit", Meaning::ACCOUNT), ("unsigned", Meaning::SENDER), ("invalid-sender", Meaning::SENDER)];

impl Sent {
    /// What this refusal says that holds for every recipient.
    fn of_account(&self) -> Option<(Meaning, String)> {
        let reason = self.reject_reason.as_deref().filter(|_| self.status == "rejected")?;
        Meaning::of(REASONS, reason).map(|meaning| (meaning, format!("{}: {reason}", self.status)))
    }

    fn refusal(&self, response: &Response) -> Option<Reply> {
        let reason = self.reject_reason.as_deref().unwrap_or("no reason given");
        let meaning = match (self.status.as_str(), reason) {
            ("invalid", _) | (_, "invalid") => Meaning::BAD_RECIPIENT,
            ("rejected", "hard-bounce" | "soft-bounce") => Meaning::NO_RECIPIENT,
            ("rejected", _) => Meaning::SUPPRESSED,
            _ => return None,
        };
        Some(response.reply(meaning, &format!("{}: {reason}", self.status)))
    }
}
