//! Cloudflare Email Service: `POST /accounts/ID/email/sending/send_raw`, the message as it is under an
//! envelope of its own.

use serde::{Deserialize, Serialize};

use super::api::request::segment;
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, Sender, Size, cannot};
use super::preset::{Allowance, Provider, UserName, implicit};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;

pub(super) static PROVIDER: Provider = Provider {
    id: "cloudflare",
    name: "Cloudflare Email Service",
    aliases: &["cloudflare-email"],
    host: "smtp.mx.cloudflare.net",
    ports: &[implicit(465)],
    username: UserName::Word("api_token"),
    secrets: &["token", "password"],
    api: Some(&ENTRY),
    notes: &[
        "50 recipients and 5 MB a message, 25 MB to verified addresses",
        "a 250 reply without a Message-ID can mean that every recipient is suppressed",
    ],
    allowance: Some(&Allowance {
        rates: &[],
        recipients: Some(50),
        octets: Some(5 << 20),
        source: "cloudflare-docs, pages of the Email Service",
    }),
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: cloudflare/cloudflare-docs, email-service/configuration/domains
    key: cf-bounce
    spf: useless _spf.mx.cloudflare.net
    return-path: cf-bounce.{domain}
    bounces: cf-bounce MX route{n}.mx.cloudflare.net must
    wants: _dmarc TXT v=DMARC1{any} must
    shown: Email > Email Sending of the domain at Cloudflare, where its records are locked
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("token")],
    url: &["account_id", "token"],
    raw: true,
    seven_bit: true,
    sender: Sender::Carried,
    recipients: Some(50),
    // What verified addresses may be sent; for all others the service itself says no beyond 5 MiB.
    size: Some(Size::Message(25 << 20)),
    ..Entry::of::<Cloudflare>()
};

/// Its error codes (developers.cloudflare.com, Email Service, REST API); 10203: sending is disabled, for this domain or
/// all of the account.
static CODES: &Codes = &[
    ("10002", Meaning::TROUBLE),
    ("10003", Meaning::TROUBLE),
    ("10004", Meaning::RATE),
    ("10100", Meaning::TROUBLE),
    ("10101", Meaning::LOGIN),
    ("10102", Meaning::ACCOUNT),
    ("10103", Meaning::LOGIN),
    ("10105", Meaning::ACCOUNT),
    ("10200", Meaning::SIZE),
    ("10203", Meaning::ACCOUNT),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cloudflare {
    account_id: String,
}

#[derive(Serialize)]
struct Body<'a> {
    from: &'a str,
    recipients: Vec<&'a str>,
    mime_message: String,
}

/// What every answer holds, whatever the status.
#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default)]
    errors: Vec<Trouble>,
    result: Option<Sent>,
}

#[derive(Deserialize)]
struct Trouble {
    code: u32,
    message: String,
}

/// Addresses by what became of them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sent {
    message_id: Option<String>,
    delivered: Vec<String>,
    queued: Vec<String>,
    permanent_bounces: Vec<String>,
    suppressed_recipients: Vec<String>,
}

impl Api for Cloudflare {
    fn endpoint(&self) -> String {
        "https://api.cloudflare.com/client/v4".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let from = mail.sender();
        if from.is_empty() {
            return Err(cannot("the null reverse-path <>"));
        }
        let body = Body { from, recipients: mail.recipients().collect(), mime_message: mail.text()? };
        let path = format!("/accounts/{}/email/sending/send_raw", segment("account_id", &self.account_id)?);
        Ok(Request::json(path, &body)?.bearer(keys.get("token")?))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        let Some(answer) = response.json::<Answer>() else { return response.undocumented(envelope) };
        match answer.result {
            Some(sent) if response.is_success() && answer.success => sent.outcome(envelope, response),
            _ => refused(envelope, response, &answer.errors),
        }
    }
}

fn refused(envelope: &Envelope, response: &Response, errors: &[Trouble]) -> Result<Outcome, Failure> {
    let Some(Trouble { code, message }) = errors.first() else { return response.undocumented(envelope) };
    let text = format!("{message} ({code})");
    let meaning = Meaning::of(CODES, &code.to_string());
    response.by_code(envelope, meaning, &text)
}

impl Sent {
    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        let holds = |list: &[String], recipient: &str| list.iter().any(|one| one.eq_ignore_ascii_case(recipient));
        let lists = [&self.delivered, &self.queued, &self.permanent_bounces, &self.suppressed_recipients];
        let is_told = |recipient: &str| lists.iter().any(|list| holds(list, recipient));
        // No id is given where all are suppressed; no word about a recipient is no acceptance then.
        if self.message_id.is_none() && !envelope.forward_paths.iter().all(|recipient| is_told(recipient.as_ref())) {
            return Err(response.in_doubt());
        }
        Ok(response.each(envelope, self.message_id.as_deref(), |recipient| {
            if holds(&self.suppressed_recipients, recipient) {
                Some(response.reply(Meaning::SUPPRESSED, "is on the suppression list"))
            } else if holds(&self.permanent_bounces, recipient) {
                Some(response.reply(Meaning::NO_RECIPIENT, "bounced"))
            } else {
                None
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Dsn;
    use crate::failure::Kind;
    use crate::message::Message;

    #[test]
    fn the_null_reverse_path_is_refused() {
        let forward_paths = vec!["b@example.net".parse().expect("an address")];
        let envelope = Envelope { reverse_path: None, forward_paths, dsn: Dsn::default() };
        let message = Message::read(&mut "Subject: x\n\nx\n".as_bytes(), false).expect("a message");
        let now = jiff::Timestamp::UNIX_EPOCH;
        let mail = Mail {
            envelope: &envelope,
            message: &message,
            endpoint: "",
            now,
            undisclosed: false,
            key: None,
            before: &[],
        };
        let failure = Cloudflare { account_id: "1".into() }.request(&mail, &Credentials::default()).err();
        assert!(failure.is_some_and(|failure| failure.kind == Kind::Data && failure.why.contains("null reverse-path")));
    }
}
