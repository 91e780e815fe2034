//! SparkPost: `POST /api/v1/transmissions`, the message as it is in a JSON string.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api::response::names;
use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Request, Response, Sender, cannot};
use super::preset::{Provider, UserName, at, starttls};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::outcome::{Answer, Outcome, Stage};

pub(super) static PROVIDER: Provider = Provider {
    id: "sparkpost",
    name: "SparkPost",
    aliases: &["messagebird-sparkpost", "bird-email"],
    host: "smtp.sparkpostmail.com",
    regions: &[at("us", "smtp.sparkpostmail.com"), at("eu", "smtp.eu.sparkpostmail.com")],
    ports: &[starttls(587), starttls(2525)],
    username: UserName::Word("SMTP_Injection"),
    secrets: &["api_key", "password"],
    auth: &["LOGIN", "PLAIN"],
    api: Some(&ENTRY),
    notes: &[
        "the API key needs the grant \"Send via SMTP\"",
        "a sending domain that is not set up is answered with 550 5.7.1",
    ],
    unverified: &["20 MB"],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: the Sending Domains API, a Domain-Connect template
    selectors: own
    spf: useless _spf.sparkpostmail.com
    return-path: sparkpostmail.com
    bounces: bounce bounces sp mail CNAME {any}sparkpostmail.com should
    shown: Configuration > Domains at SparkPost
";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("api_key")],
    raw: true,
    seven_bit: true,
    sender: Sender::Carried,
    ..Entry::of::<SparkPost>()
};

/// Its error codes that their status does not tell (support.sparkpost.com/docs/tech-resources/extended-error-codes): the
/// limits of the hour, the day and the sandbox come as 420, resources that it has not at the moment and a service that was
/// not set up as 400, as do a list without a valid recipient and a domain on its blacklist.
static CODES: &Codes = &[
    ("1303", Meaning::LOGIN),
    ("1304", Meaning::LOGIN),
    ("1502", Meaning::TROUBLE),
    ("1601", Meaning::ACCOUNT),
    ("1910", Meaning::ACCOUNT),
    ("2101", Meaning::RATE),
    ("2102", Meaning::QUOTA),
    ("2103", Meaning::QUOTA),
    ("5002", Meaning::BAD_RECIPIENT),
    ("7000", Meaning::SENDER),
    ("7001", Meaning::SENDER),
    ("1301", Meaning::CONTENT),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SparkPost {
    #[serde(default)]
    region: Region,
    /// One campaign for statistics.
    campaign: Option<String>,
    /// The number of a subaccount.
    subaccount: Option<u32>,
    #[serde(default)]
    open_tracking: bool,
    #[serde(default)]
    click_tracking: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Region {
    #[default]
    Us,
    Eu,
}

#[derive(Serialize)]
struct Body<'a> {
    options: Options,
    campaign_id: Option<&'a str>,
    recipients: Vec<Recipient<'a>>,
    return_path: Option<&'a str>,
    content: Content,
}

#[derive(Serialize)]
struct Options {
    open_tracking: bool,
    click_tracking: bool,
}

#[derive(Serialize)]
struct Recipient<'a> {
    address: Address<'a>,
}

#[derive(Serialize)]
struct Address<'a> {
    email: &'a str,
}

#[derive(Serialize)]
struct Content {
    email_rfc822: String,
}

#[derive(Deserialize)]
struct Accepted {
    results: Results,
}

#[derive(Deserialize)]
struct Results {
    id: String,
    #[serde(default)]
    total_rejected_recipients: u32,
    total_accepted_recipients: u32,
    #[serde(default)]
    rcpt_to_errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Refused {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    description: String,
}

impl Fault {
    fn text(&self) -> String {
        if self.description.is_empty() {
            self.message.clone()
        } else {
            format!("{}: {}", self.message, self.description)
        }
    }
}

impl Api for SparkPost {
    fn endpoint(&self) -> String {
        match self.region {
            Region::Us => "https://api.sparkpost.com".into(),
            Region::Eu => "https://api.eu.sparkpost.com".into(),
        }
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let email_rfc822 = mail.text()?;
        if email_rfc822.contains("{{") {
            return Err(cannot("{{, which SparkPost takes for a template even in a finished message"));
        }
        let body = Body {
            options: Options { open_tracking: self.open_tracking, click_tracking: self.click_tracking },
            campaign_id: self.campaign.as_deref(),
            recipients: mail.recipients().map(|email| Recipient { address: Address { email } }).collect(),
            return_path: Some(mail.sender()).filter(|path| !path.is_empty()),
            content: Content { email_rfc822 },
        };
        let mut request = Request::json("/api/v1/transmissions", &body)?.header("Authorization", keys.get("api_key")?);
        if let Some(number) = self.subaccount {
            request = request.header("X-MSYS-SUBACCOUNT", number.to_string());
        }
        Ok(request)
    }

    // developers.sparkpost.com/api/account.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        Ok(Some(Request::get("/api/v1/account").header("Authorization", keys.get("api_key")?)))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let Some(Accepted { results }) = response.json() else { return Err(response.in_doubt()) };
            return accepted(envelope, response, &results);
        }
        let Some(Refused { errors }) = response.json::<Refused>() else { return response.undocumented(envelope) };
        let Some(fault) = errors.first() else { return response.undocumented(envelope) };
        let text = fault.text();
        let meaning = Meaning::of(CODES, &fault.code).or((response.status == 420).then_some(Meaning::RATE));
        response.by_code(envelope, meaning, &text)
    }
}

/// Everybody's answer, as far as those rejected are named.
fn accepted(envelope: &Envelope, response: &Response, results: &Results) -> Result<Outcome, Failure> {
    if results.total_rejected_recipients == 0 {
        return Ok(response.accepted(envelope, Some(&results.id)));
    }
    let rejected = results.total_rejected_recipients;
    let text = results.rcpt_to_errors.first().map_or_else(|| format!("{rejected} rejected"), Fault::text);
    if results.total_accepted_recipients == 0 {
        return Ok(response.told(envelope, Meaning::NO_RECIPIENT, &text));
    }
    let is_named = |recipient: &str| results.rcpt_to_errors.iter().any(|fault| names(&fault.text(), recipient));
    let refusal = |recipient: &str| is_named(recipient).then(|| response.reply(Meaning::NO_RECIPIENT, &text));
    let outcome = response.each(envelope, Some(&results.id), refusal);
    let is_refused = |answer: &&Answer| answer.reply.as_ref().is_some_and(|reply| !reply.is_positive());
    match outcome.answers.iter().filter(is_refused).count() == rejected as usize {
        true => Ok(outcome),
        false => Err(Failure::new(
            Kind::InDoubt,
            "SparkPost",
            format!("accepted as {}, but rejected {rejected} recipients without naming them: {text}", results.id),
        )
        .at(Stage::Message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Dsn;

    #[test]
    fn only_those_who_are_named_are_refused() {
        let forward_paths = ["bob@example.net", "rob.bob@example.net"].map(|text| text.parse().unwrap()).to_vec();
        let envelope = Envelope { reverse_path: None, forward_paths, dsn: Dsn::default() };
        let response = Response { status: 200, is_whole: true, ..Response::default() };
        let fault = |text: &str| Fault { message: text.to_owned(), code: String::new(), description: String::new() };
        let results = |text: &str| Results {
            id: "1".into(),
            total_rejected_recipients: 1,
            total_accepted_recipients: 1,
            rcpt_to_errors: vec![fault(text)],
        };
        let outcome = accepted(&envelope, &response, &results("invalid: rob.bob@example.net")).unwrap();
        let codes: Vec<_> = outcome.answers.iter().map(|answer| answer.reply.as_ref().unwrap().code()).collect();
        assert_eq!(codes, [250, 550]);
        for text in ["invalid", "bob@example.net, rob.bob@example.net"] {
            let failure = accepted(&envelope, &response, &results(text)).err();
            assert!(failure.is_some_and(|failure| failure.kind == Kind::InDoubt), "{text}");
        }
    }
}
