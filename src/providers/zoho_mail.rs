//! Zoho Mail: `POST /api/accounts/ID/messages`, fields. Files are uploaded first, and without `account_id` the account
//! that may write as the sender is looked up before them.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::api::parts::{Attachment, OF_THE_WRITER, Parts, Person};
use super::api::request::segment;
use super::api::{Api, Before, Codes, Credential, Credentials, Entry, Mail, Meaning, Piece, Request, Response, cannot};
use super::preset::{AuthorizationServer, Hint, Provider, Scopes, TokenHints, at, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::outcome::{Outcome, Stage};
use crate::rule::{ANY, Rule};

pub(super) static PROVIDER: Provider = Provider {
    id: "zoho-mail",
    name: "Zoho Mail",
    aliases: &["zoho"],
    host: "smtp.zoho.com",
    regions: &[
        at("com", "smtp.zoho.com"),
        at("eu", "smtp.zoho.eu"),
        at("in", "smtp.zoho.in"),
        at("com.au", "smtp.zoho.com.au"),
        at("jp", "smtp.zoho.jp"),
        at("com.cn", "smtp.zoho.com.cn"),
        at("sa", "smtp.zoho.sa"),
        at("ca", "smtp.zohocloud.ca"),
    ],
    ports: &[implicit(465), starttls(587)],
    authorization: Some(&AUTHORIZATION),
    auth: &["LOGIN", "PLAIN"],
    api: Some(&ENTRY),
    hints: &[Hint::anywhere(Rule {
        words: &["unusual sending activity detected"],
        hint: "Zoho has blocked this account's sending for what it looked like: unblock it at mail.zoho.com/UnblockMe, and \
               send more slowly",
        ..ANY
    })],
    notes: &[
        "username is the full address; a wrong data centre looks like a wrong password",
        "From must be the account's address or one of its aliases",
        "SMTP keeps message and header fields as they are; the API is for where its ports are blocked",
        "by API, only the access token counts: `mailchute login`, or the refresh token of a Self Client",
        "by API, one text goes: the HTML where there is one; header fields of one's own are refused",
        "by API, 100 external recipients a message (150 in paid plans), and 10 new access tokens in 10 minutes",
    ],
    unverified: &[
        "smtppro.zoho.{region} for mailboxes of an organisation",
        "size limits",
        "by API: Reply-To (reply_to = \"send\"), images inside the text, display names with commas",
        "by API: what the error texts say, of which some come with 500",
        "that a Self Client's code is redeemed without a redirect URI, and scopes apart by commas",
    ],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: medium
    source: Domain-Connect template of the vendor, zones
    key: zmail zoho default mail 1
    selectors: own
    spf: needed zohomail.com zoho.com one.zoho.com zoho.eu zohomail.eu zoho.in zohomail.in zoho.com.au zoho.jp
    return-path: {domain}
    wants: @ MX mx{n}.zoho.{any} should
    own: zohomail.com zohomail.eu
    exchanges: mx{n}.zoho.{any} mx{n}.zohomail.{any}
    shown: Domains > Email configuration at Zoho Mail
";

/// The codes of its errors that public code reads; its page (zoho.com/mail/help/api/response-codes.html) has the statuses
/// 400, 401, 403, 404 and 500 only.
static CODES: &Codes = &[("INVALID_OAUTHTOKEN", Meaning::LOGIN), ("INVALID_OAUTHSCOPE", Meaning::ACCOUNT)];

/// What `moreInfo` says, some of it with 500, as its users quote it: the sentences of its SMTP server. Not checked against a
/// page of the vendor's.
static SAID: &Codes = &[
    ("unusual sending activity", Meaning::ACCOUNT),
    ("relaying disallowed", Meaning::SENDER),
    ("invalid from address", Meaning::SENDER),
];

/// What the names of the hosts end in, by data centre.
const DATA_CENTRES: &[(&str, &str)] = &[
    ("com", "zoho.com"),
    ("eu", "zoho.eu"),
    ("in", "zoho.in"),
    ("com.au", "zoho.com.au"),
    ("jp", "zoho.jp"),
    ("com.cn", "zoho.com.cn"),
    ("sa", "zoho.sa"),
    ("ca", "zohocloud.ca"),
];

/// One for each data centre; SMTP takes none of its tokens.
static AUTHORIZATION: AuthorizationServer = AuthorizationServer {
    authorization_endpoint: "https://accounts.{region}/oauth/v2/auth",
    issuer: None,
    token_endpoint: "https://accounts.{region}/oauth/v2/token",
    device_authorization_endpoint: None,
    regions: DATA_CENTRES,
    tenant: None,
    scope: Scopes { smtp: "", api: "ZohoMail.messages.CREATE,ZohoMail.accounts.READ" },
    application: None,
    offline_scope: "",
    offline_parameters: &[("access_type", "offline"), ("prompt", "consent")],
    self_client: true,
    loopback: "127.0.0.1",
    device_flow: false,
    service_accounts: false,
    passing: &["access_denied"],
    no_permission: &["oauth_scope_mismatch", "invalid_ticket"],
    hints: TokenHints { person_by_smtp: "", application_by_smtp: "", application: "", service_account: "" },
};

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("token")],
    about: &[
        (
            "account_id",
            "The number of the account, which saves a look-up for each message and the scope ZohoMail.accounts.READ.\n\
             Default: the account that may write as the sender.",
        ),
        (
            "reply_to",
            "What becomes of a message with a Reply-To field, which the API does not document: \\(dqsend\\(dq gives it \
             as Zoho's own plugin does.\nDefault: \\(dqrefuse\\(dq.",
        ),
    ],
    ..Entry::of::<ZohoMail>()
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ZohoMail {
    #[serde(default)]
    region: DataCentre,
    /// `None`: it is looked up.
    account_id: Option<String>,
    #[serde(default)]
    reply_to: ReplyTo,
    #[serde(default)]
    inline_images: InlineImages,
}

/// What becomes of the Reply-To field, which no page of the vendor's names.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReplyTo {
    /// The message is refused.
    #[default]
    Refuse,
    /// It goes where the vendor's plugin puts it.
    Send,
}

/// What becomes of images inside the HTML text: it would have to name them by addresses that nobody has tried.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum InlineImages {
    /// The message is refused.
    #[default]
    Refuse,
    /// They go as attachments, and the HTML text has a gap.
    Attach,
}

/// A data centre, by what the names of its hosts end in.
#[derive(Debug)]
struct DataCentre(&'static str);

impl Default for DataCentre {
    fn default() -> Self {
        Self(DATA_CENTRES[0].1)
    }
}

impl<'de> Deserialize<'de> for DataCentre {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = String::deserialize(deserializer)?;
        let found = DATA_CENTRES.iter().find(|(name, _)| *name == said).map(|(_, host)| Self(host));
        let known = || DATA_CENTRES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| D::Error::custom(format!("unknown data centre {said:?}, expected one of {}", known())))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    from_address: String,
    to_address: String,
    cc_address: Option<String>,
    bcc_address: Option<String>,
    reply_to: Option<String>,
    subject: &'a str,
    content: &'a str,
    mail_format: &'static str,
    attachments: Vec<Stored>,
}

/// Where an uploaded file is.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    store_name: String,
    attachment_path: String,
    attachment_name: String,
}

/// What every answer holds, whatever the status.
#[derive(Deserialize)]
struct Answer<T> {
    status: Status,
    data: T,
}

#[derive(Deserialize)]
struct Status {
    code: u16,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    message_id: Value,
}

/// Why not.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Trouble {
    error_code: String,
    more_info: String,
}

/// A mailbox, and whom it may write as.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    /// A number of 64 bits, in quotes or not.
    account_id: Value,
    #[serde(default)]
    send_mail_details: Vec<Identity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    from_address: String,
}

impl Api for ZohoMail {
    fn endpoint(&self) -> String {
        format!("https://mail.{}", self.region.0)
    }

    fn before(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Before, Failure> {
        let parts = self.parts(mail)?;
        let (looked_up, uploaded) = self.answers(mail);
        let account = match (&self.account_id, looked_up) {
            (Some(id), _) => id.clone(),
            (None, None) => return Ok(Before::Ask(vec![signed(Request::get("/api/accounts"), keys)?])),
            (None, Some(answer)) if !answer.is_success() => return refusal(mail.envelope, answer).map(Before::Refused),
            (None, Some(answer)) => match account_of(answer, &parts.from)? {
                Some(id) => id,
                None => {
                    let text = format!("no account of this login may write as {}", parts.from.address);
                    return Ok(Before::Refused(answer.told(mail.envelope, Meaning::SENDER, &text)));
                }
            },
        };
        if let Some(refused) = uploaded.iter().find(|answer| !answer.is_success()) {
            return refusal(mail.envelope, refused).map(Before::Refused);
        }
        if !uploaded.is_empty() || parts.attachments.is_empty() {
            return Ok(Before::Nothing);
        }
        let account = segment("account_id", &account)?;
        let uploads = parts.attachments.into_iter().map(|file| upload(account, file, keys));
        uploads.collect::<Result<_, _>>().map(Before::Ask)
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let parts = self.parts(mail)?;
        let (looked_up, uploaded) = self.answers(mail);
        let found = looked_up.map(|answer| account_of(answer, &parts.from)).transpose()?.flatten();
        let Some(account) = self.account_id.clone().or(found) else {
            return Err(Failure::new(Kind::Configuration, "account_id", "is not configured"));
        };
        let attachments = uploaded.iter().map(stored).collect::<Result<_, _>>()?;
        let list = |people: &[Person]| {
            let addresses: Vec<_> = people.iter().map(|person| person.address.as_str()).collect();
            Some(addresses.join(",")).filter(|list| !list.is_empty())
        };
        let body = Body {
            from_address: parts.from.to_string(),
            to_address: list(&parts.to).unwrap_or_default(),
            cc_address: list(&parts.cc),
            bcc_address: list(&parts.bcc),
            reply_to: list(&parts.reply_to),
            subject: &parts.subject,
            content: parts.html.as_deref().or(parts.text.as_deref()).unwrap_or_default(),
            mail_format: if parts.html.is_some() { "html" } else { "plaintext" },
            attachments,
        };
        let request = Request::json(format!("/api/accounts/{}/messages", segment("account_id", &account)?), &body)?;
        signed(request.warn(parts.warnings()), keys)
    }

    // The answer repeats the message: nothing of it is told but the number.
    // The accounts, which are looked up before a message, too.
    fn login(&self, keys: &Credentials, _: &str, _: Timestamp) -> Result<Option<Request>, Failure> {
        signed(Request::get("/api/accounts"), keys).map(Some)
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if !response.is_success() {
            return refusal(envelope, response);
        }
        match response.json() {
            Some(Answer { status: Status { code: 200..=299, .. }, data: Sent { message_id } }) => {
                Ok(response.accepted(envelope, Some(&plain(&message_id))))
            }
            _ => Err(Failure {
                why: "the answer is not what the API documents: the message may have been accepted".to_owned(),
                ..response.in_doubt()
            }),
        }
    }
}

impl ZohoMail {
    /// The message taken apart, and what has no field either refused or named.
    fn parts(&self, mail: &Mail<'_>) -> Result<Parts, Failure> {
        let mut parts = Parts::of(mail)?;
        parts.need_to()?;
        for (name, _) in std::mem::take(&mut parts.headers) {
            if !OF_THE_WRITER.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(cannot(&format!("a {name} field")));
            }
            parts.not_carried.push(name);
        }
        if self.reply_to == ReplyTo::Refuse && !parts.reply_to.is_empty() {
            return Err(cannot("a Reply-To field").hint("set reply_to = \"send\" to try it, or via = \"smtp\""));
        }
        let has_inline = parts.attachments.iter().any(|file| file.is_inline);
        if self.inline_images == InlineImages::Refuse && has_inline {
            return Err(cannot("an inline image"));
        }
        if parts.text.is_some() && parts.html.is_some() {
            parts.not_carried.push("the plain text beside the HTML".to_owned());
        }
        if parts.everybody().chain(&parts.reply_to).any(|person| person.name.is_some()) {
            parts.not_carried.push("the recipients' display names".to_owned());
        }
        Ok(parts)
    }

    /// What the look-up answered, where there is one, and the uploads.
    fn answers<'m>(&self, mail: &Mail<'m>) -> (Option<&'m Response>, &'m [Response]) {
        match (&self.account_id, mail.before.split_first()) {
            (None, Some((first, rest))) => (Some(first), rest),
            _ => (None, mail.before),
        }
    }
}

/// The request with the login.
fn signed(request: Request, keys: &Credentials) -> Result<Request, Failure> {
    Ok(request.header("Authorization", format!("Zoho-oauthtoken {}", keys.get("token")?)))
}

fn upload(account: &str, file: Attachment, keys: &Credentials) -> Result<Request, Failure> {
    let name: String = form_urlencoded::byte_serialize(file.name.as_bytes()).collect();
    let path =
        format!("/api/accounts/{account}/messages/attachments?fileName={}&isInline=false", name.replace('+', "%20"));
    signed(Request::post(path, "application/octet-stream", vec![Piece::Octets(file.content)]), keys)
}

/// The account that may write as `from`.
fn account_of(answer: &Response, from: &Person) -> Result<Option<String>, Failure> {
    let Some(Answer { data, .. }) = answer.json::<Answer<Vec<Account>>>() else { return Err(undocumented("accounts")) };
    let may = |account: &&Account| {
        account.send_mail_details.iter().any(|identity| identity.from_address.eq_ignore_ascii_case(&from.address))
    };
    Ok(data.iter().find(may).map(|account| plain(&account.account_id)))
}

/// Where an upload was put.
fn stored(answer: &Response) -> Result<Stored, Failure> {
    answer.json::<Answer<Stored>>().map(|answer| answer.data).ok_or_else(|| undocumented("an upload"))
}

/// An answer to what comes before the message, so that nobody has it.
fn undocumented(what: &str) -> Failure {
    Failure::new(Kind::Protocol, format!("the question for {what}"), "was answered with what the API does not document")
        .at(Stage::Message)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What an answer that is no success says.
fn refusal(envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
    let Some(Answer { status, data }) = response.json::<Answer<Trouble>>() else {
        return response.undocumented(envelope);
    };
    let said = [data.error_code.as_str(), data.more_info.as_str(), status.description.as_str()];
    let text = said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    response.by_code(envelope, Meaning::of(CODES, &data.error_code).or_else(|| Meaning::said(SAID, &text)), &text)
}

#[cfg(test)]
mod tests {
    use toml::de::ValueDeserializer;

    use super::*;

    fn api(settings: &str) -> Result<std::sync::Arc<dyn Api>, toml::de::Error> {
        ENTRY.read(ValueDeserializer::parse(settings).unwrap())
    }

    #[test]
    fn each_data_centre_has_its_host() {
        assert_eq!(api("{}").unwrap().endpoint(), "https://mail.zoho.com");
        assert_eq!(api("{ region = \"ca\" }").unwrap().endpoint(), "https://mail.zohocloud.ca");
        assert!(api("{ region = \"us\" }").unwrap_err().to_string().contains("com.au"));
        let smtp: Vec<_> = PROVIDER.regions.iter().map(|region| region.name).collect();
        assert_eq!(smtp, DATA_CENTRES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
