//! Gmail: `POST /gmail/v1/users/me/messages/send`, the message as it is in a JSON string of base64url; a large
//! one as it is to the upload path.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Piece, Request, Response, Size};
use super::preset::{AuthorizationServer, Hint, Provider, Scopes, TokenHints, at, implicit, starttls};
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::reply::Enhanced;
use crate::rule::{ANY, Rule};

pub(super) static PROVIDER: Provider = Provider {
    id: "google",
    name: "Google Workspace / Gmail",
    aliases: &["gmail", "google-workspace", "googlemail", "gsuite"],
    host: "smtp.gmail.com",
    regions: &[at("workspace-relay", "smtp-relay.gmail.com")],
    ports: &[implicit(465), starttls(587)],
    secrets: &["app_password", "password"],
    bearer: true,
    authorization: Some(&AUTHORIZATION),
    auth: &["XOAUTH2", "PLAIN", "LOGIN"],
    api: Some(&ENTRY),
    found: "myaccount.google.com/apppasswords",
    servers: &[".gmail.com"],
    marks: &["gsmtp", "support.google.com"],
    hints: HINTS,
    notes: &[
        "username is the full address, the secret an app password (16 letters)",
        "access tokens: `mailchute login` (client_id, client_secret), a service account's key, `token`",
        "by API, To, Cc and Bcc decide who receives: a message that names somebody else is refused",
    ],
    unverified: &[
        "From is replaced by the account's address unless it is a send-as alias",
        "500 recipients a day (2000 in Workspace), 100 or 500 a message, 25 MB",
        "how smtp-relay.gmail.com authenticates",
    ],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: Domain-Connect template of the vendor, zones
    key: google google1 google2 default 20230601
    selectors: own
    spf: needed _spf.google.com
    return-path: {domain}
    own: gmail.com googlemail.com
    exchanges: smtp.google.com {any}aspmx.l.google.com aspmx{n}.googlemail.com
    shown: Apps > Google Workspace > Gmail > Authenticate email in the admin console
";

/// Google; the addresses are those of its discovery document.
static AUTHORIZATION: AuthorizationServer = AuthorizationServer {
    authorization_endpoint: "https://accounts.google.com/o/oauth2/v2/auth",
    issuer: Some("https://accounts.google.com"),
    token_endpoint: "https://oauth2.googleapis.com/token",
    device_authorization_endpoint: Some("https://oauth2.googleapis.com/device/code"),
    regions: &[],
    tenant: None,
    scope: Scopes { smtp: "https://mail.google.com/", api: "https://www.googleapis.com/auth/gmail.send" },
    application: None,
    offline_scope: "",
    offline_parameters: &[("access_type", "offline"), ("prompt", "consent")],
    self_client: false,
    loopback: "127.0.0.1",
    // "Supports a limited set of scopes", says its page, and mail is none of them.
    device_flow: false,
    service_accounts: true,
    passing: &[],
    no_permission: &["insufficient authentication scopes", "insufficientpermissions"],
    hints: TokenHints {
        person_by_smtp: "",
        application_by_smtp: "",
        application: "",
        service_account: "the service account lacks the scope {scope}: delegate it domain-wide, and enable the Gmail API",
    },
};

static HINTS: &[Hint] = &[
    Hint::login(Rule { words: &["application-specific"], hint: APP_PASSWORD, ..ANY }),
    Hint::login(Rule { enhanced: &[Enhanced::new(5, 7, 9)], hint: APP_PASSWORD, ..ANY }),
    Hint::login(Rule {
        hint: "Google refuses the account's own password: use an app password (two-step verification must be on) or \
               `{login}`",
        ..ANY
    }),
    Hint::anywhere(Rule {
        words: &["invalid credentials for relay", "ip address you've registered"],
        hint: "register this host's address under SMTP relay service in the Google Admin console, or log in with \
               username and app_password",
        ..ANY
    }),
];

const APP_PASSWORD: &str =
    "Google wants an app password here: make one at myaccount.google.com/apppasswords and use its 16 letters";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("token")],
    raw: true,
    size: Some(Size::Message(35 << 20)),
    ..Entry::of::<Google>()
};

/// A message larger than this is uploaded, in octets: the path for that takes 35 MiB by Google's own description
/// of the API, the other one says nothing.
const LARGE: usize = 1 << 20;

/// The reasons of its errors (developers.google.com/workspace/gmail/api/guides/handle-errors). Not checked against a page
/// of the vendor's: `quotaExceeded`, `limitExceeded`, `accessNotConfigured`, `insufficientPermissions`, and
/// `failedPrecondition`, which is a service account without a person or one without a mailbox.
static REASONS: &Codes = &[
    ("rateLimitExceeded", Meaning::RATE),
    ("userRateLimitExceeded", Meaning::RATE),
    ("dailyLimitExceeded", Meaning::QUOTA),
    ("quotaExceeded", Meaning::QUOTA),
    ("limitExceeded", Meaning::QUOTA),
    ("authError", Meaning::LOGIN),
    ("accessNotConfigured", Meaning::ACCOUNT),
    ("domainPolicy", Meaning::ACCOUNT),
    ("failedPrecondition", Meaning::ACCOUNT),
    ("insufficientPermissions", Meaning::ACCOUNT),
    ("backendError", Meaning::TROUBLE),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Google {}

#[derive(Serialize)]
struct Body {
    raw: String,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

#[derive(Deserialize)]
struct Refused {
    error: Trouble,
}

#[derive(Deserialize)]
struct Trouble {
    message: String,
    #[serde(default)]
    errors: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    reason: String,
}

impl Api for Google {
    fn endpoint(&self) -> String {
        "https://gmail.googleapis.com".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let octets = mail.addressed()?;
        let path = "/gmail/v1/users/me/messages/send";
        let request = if octets.len() > LARGE {
            Request::post(format!("/upload{path}?uploadType=media"), "message/rfc822", vec![Piece::Octets(octets)])
        } else {
            Request::json(path, &Body { raw: URL_SAFE_NO_PAD.encode(octets) })?
        };
        Ok(request.bearer(keys.get("token")?).warn(mail.sender_warning()))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            let Some(accepted) = response.json::<Accepted>() else { return Err(response.in_doubt()) };
            return Ok(response.accepted(envelope, Some(&accepted.id)));
        }
        let Some(Refused { error }) = response.json::<Refused>() else { return response.undocumented(envelope) };
        let reason = error.errors.first().map_or("", |detail| detail.reason.as_str());
        let text = if reason.is_empty() { error.message.clone() } else { format!("{}: {reason}", error.message) };
        let meaning = match response.status {
            400 if is_about_recipients(&error.message) => Some(Meaning::BAD_RECIPIENT),
            // A limit is a 403 too, and passes.
            _ => Meaning::of(REASONS, reason),
        };
        response.by_code(envelope, meaning, &text)
    }
}

/// Whether this is what is said of addresses that cannot be: `Invalid To header`.
fn is_about_recipients(message: &str) -> bool {
    ["invalid to header", "invalid cc header", "invalid bcc header"].contains(&message.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Dsn;
    use crate::message::Message;
    use crate::secret::Secret;

    #[test]
    fn a_large_message_is_uploaded_as_it_is() {
        let mut keys = Credentials::default();
        keys.insert("token", Secret::new("key".to_owned()));
        let forward_paths = vec!["b@example.net".parse().unwrap()];
        let envelope = Envelope { reverse_path: None, forward_paths, dsn: Dsn::default() };
        let request = |lines: usize| {
            let text = format!("To: b@example.net\r\n\r\n{}", "sixteen octets.\r\n".repeat(lines));
            let message = Message::read(&mut text.as_bytes(), false).unwrap();
            let mail = Mail {
                envelope: &envelope,
                message: &message,
                endpoint: "",
                now: jiff::Timestamp::UNIX_EPOCH,
                undisclosed: false,
                key: None,
                before: &[],
            };
            (Google {}.request(&mail, &keys).unwrap(), text)
        };
        let (small, _) = request(10);
        assert_eq!(small.path, "/gmail/v1/users/me/messages/send");
        let (large, text) = request(LARGE / 16);
        assert_eq!(large.path, "/upload/gmail/v1/users/me/messages/send?uploadType=media");
        assert!(large.headers.contains(&("Content-Type", "message/rfc822".to_owned())));
        assert!(matches!(&large.body[..], [Piece::Octets(octets)] if octets == text.as_bytes()));
    }
}
