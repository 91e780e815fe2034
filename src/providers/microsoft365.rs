//! Microsoft Graph: `POST /me/sendMail` or `/users/MAILBOX/sendMail`, the message as it is in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::api::{Api, Codes, Credential, Credentials, Entry, Mail, Meaning, Piece, Request, Response, Size};
use super::preset::{Allowance, AuthorizationServer, Hint, Provider, Scopes, TokenHints, at, starttls};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::outcome::Outcome;
use crate::reply::Enhanced;
use crate::rule::{ANY, Rule};

pub(super) static PROVIDER: Provider = Provider {
    id: "microsoft365",
    name: "Microsoft 365 / Outlook.com",
    aliases: &["outlook", "office365", "microsoft", "outlook.com", "hotmail", "exchange-online", "msgraph", "o365"],
    host: "smtp.office365.com",
    regions: &[at("consumer", "smtp-mail.outlook.com"), at("legacy-tls", "smtp-legacy.office365.com")],
    ports: &[starttls(587)],
    bearer: true,
    authorization: Some(&AUTHORIZATION),
    auth: &["XOAUTH2", "LOGIN"],
    api: Some(&ENTRY),
    servers: &[".office365.com", ".outlook.com"],
    hints: HINTS,
    notes: &[
        "username is the mailbox's address; tokens by `mailchute login`, an application (client_secret), `token`",
        "password logins are being switched off and answered with 550 5.7.30",
        "by API, To, Cc and Bcc decide who receives: a message that names somebody else is refused",
        "by API, a message is accepted before addresses are checked: refusals come back as mail",
    ],
    allowance: Some(&Allowance {
        rates: &["30/minute"],
        recipients: None,
        octets: None,
        source: "Microsoft's documentation of sendMail and of Exchange Online's limits",
    }),
    unverified: &[
        "how far the switch-off of password logins has come",
        "500 recipients a message",
        "by API: that every tenant takes Bcc out",
    ],
    records: RECORDS,
    ..Provider::PRESET
};

const RECORDS: &str = "\
    sure: high
    source: zones and scripts with both forms of the targets, Domain-Connect templates
    key: selector1 -> selector1-{token}._domainkey.{any}
    and: selector2 -> selector2-{token}._domainkey.{any}
    spf: needed spf.protection.outlook.com spf.protection.office365.us spf.protection.partner.outlook.cn
    return-path: {domain}
    own: outlook.com hotmail.com live.com msn.com
    exchanges: {any}.mail.protection.outlook.com {any}.mx.microsoft
    shown: Email authentication settings > DKIM in the Defender portal, where it is to be enabled, too
";

/// Microsoft's identity platform, version 2; the addresses are those of its discovery documents.
static AUTHORIZATION: AuthorizationServer = AuthorizationServer {
    authorization_endpoint: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
    issuer: None,
    token_endpoint: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
    device_authorization_endpoint: Some("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode"),
    regions: &[],
    tenant: Some("common"),
    scope: Scopes { smtp: "https://outlook.office.com/SMTP.Send", api: "https://graph.microsoft.com/Mail.Send" },
    application: Some(Scopes {
        smtp: "https://outlook.office365.com/.default",
        api: "https://graph.microsoft.com/.default",
    }),
    offline_scope: "offline_access",
    offline_parameters: &[],
    // The port of `localhost` is ignored when it is compared with what is registered.
    self_client: false,
    loopback: "localhost",
    device_flow: true,
    service_accounts: false,
    passing: &[],
    no_permission: &["erroraccessdenied"],
    hints: TokenHints {
        person_by_smtp: "the token is new: {username} must be the mailbox it is for, and SMTP AUTH must be on for it",
        application_by_smtp: "the token is new: give the application the permission SMTP.SendAsApp, register its service \
                              principal in Exchange Online and give that the mailbox",
        application: "the application lacks the permission Mail.Send or an administrator's consent to it, or a policy \
                      keeps it from this mailbox",
        service_account: "",
    },
};

static HINTS: &[Hint] = &[
    Hint::login(Rule { enhanced: &[x(5, 7, 30)], hint: NO_PASSWORDS, ..ANY }),
    Hint::login(Rule { words: &["basic authentication is disabled"], hint: NO_PASSWORDS, ..ANY }),
    // One code for three things.
    Hint::login(Rule {
        words: &["did not meet the criteria", "security defaults policy"],
        hint: "a Conditional Access policy or the security defaults keep this login out: exempt the mailbox from it, or set \
               client_id and run `{login}`",
        ..ANY
    }),
    Hint::login(Rule { words: &["user credentials were incorrect"], hint: CHECK, ..ANY }),
    Hint::login(Rule { enhanced: &[x(5, 7, 139)], hint: SMTP_AUTH_IS_OFF, ..ANY }),
    Hint::login(Rule { words: &["smtpclientauthentication is disabled"], hint: SMTP_AUTH_IS_OFF, ..ANY }),
    Hint::login(Rule { hint: CHECK, ..ANY }),
    Hint::anywhere(Rule { enhanced: &[x(5, 7, 30)], hint: NO_PASSWORDS, ..ANY }),
    Hint::anywhere(Rule {
        words: &["sendasdenied", "not allowed to send as", "does not have permissions to send as"],
        hint: SEND_AS,
        ..ANY
    }),
    Hint::anywhere(Rule { enhanced: &[x(5, 7, 60), x(5, 2, 252)], hint: SEND_AS, ..ANY }),
    Hint::anywhere(Rule { words: &["bad outbound sender", "outboundspamexception"], hint: BLOCKED, ..ANY }),
    Hint::anywhere(Rule {
        enhanced: &[x(5, 7, 708), x(5, 7, 705), x(5, 7, 750)],
        hint: "Microsoft does not accept mail from this tenant at present: its domain has to be verified, or its \
               support has to lift the block",
        ..ANY
    }),
    Hint::refusal(Rule {
        words: &["/me request is only valid"],
        hint: "an application's token has no mailbox of its own: set `mailbox` to the address that sends",
        ..ANY
    }),
];

const fn x(class: u8, subject: u16, detail: u16) -> Enhanced {
    Enhanced::new(class, subject, detail)
}

const NO_PASSWORDS: &str = "this tenant no longer takes passwords for SMTP: set client_id instead of the password and run \
                            `{login}`, or use another provider";

const CHECK: &str = "check the mailbox address and password; Microsoft is ending password logins: set client_id instead and \
                     run `{login}`";

const BLOCKED: &str = "Microsoft has blocked this mailbox for what it sent: change its password, and have an administrator \
                       unblock it under Restricted entities in the Defender portal";

const SMTP_AUTH_IS_OFF: &str =
    "SMTP AUTH is switched off for this tenant or mailbox: Set-CASMailbox -SmtpClientAuthenticationDisabled $false";

const SEND_AS: &str = "the mailbox that logs in may not write as this sender: set `from` to {own}, or grant it Send As";

static ENTRY: Entry = Entry {
    credentials: &[Credential::needed("token")],
    raw: true, // A request of 4 MB (learn.microsoft.com, "Use the Microsoft Graph API"), the message in it as base64.
    size: Some(Size::Request(4 << 20)),
    ..Entry::of::<Microsoft365>()
};

/// Codes of Graph and of Exchange behind it, as users and Outlook on the web have them (the name without a vowel is theirs);
/// `ErrorExceededMessageLimit` and the suspension come with 400, 403 or 429. Not checked against a page of the vendor's.
static CODES: &Codes = &[
    ("ErrorExceededMessageLimit", Meaning::QUOTA),
    ("ErrorExceededHourlyMessageLimit", Meaning::RATE),
    ("ErrorSubmissionQuotaExceeded", Meaning::QUOTA),
    ("ErrorQuotaExceeded", Meaning::QUOTA),
    ("ErrorServerBusy", Meaning::RATE),
    ("ErrorMessageThrottled", Meaning::RATE),
    ("ActivityLimitReached", Meaning::RATE),
    ("ErrorExceededConnectionCount", Meaning::RATE),
    ("ErrorTooManyObjectsOpened", Meaning::RATE),
    ("ApplicationThrottled", Meaning::RATE),
    ("MailboxConcurrency", Meaning::RATE),
    ("ErrorMailboxMoveInProgress", Meaning::TROUBLE),
    ("ErrorMailboxStoreUnavailable", Meaning::TROUBLE),
    ("ErrorMailboxStoreUnavaiable", Meaning::TROUBLE),
    ("ErrorMessageTransientError", Meaning::TROUBLE),
    ("ErrorMessageTimeout", Meaning::TROUBLE),
    ("ErrorInternalServerTransientError", Meaning::TROUBLE),
    ("ErrorAccountDisabled", Meaning::ACCOUNT),
    ("ErrorAccountSuspend", Meaning::ACCOUNT),
    ("ErrorMessageSubmissionBlocked", Meaning::ACCOUNT),
    ("ErrorAccessDenied", Meaning::ACCOUNT),
    ("MailboxNotEnabledForRESTAPI", Meaning::ACCOUNT),
    ("ErrorSendAsDenied", Meaning::SENDER),
    ("ErrorInvalidRecipients", Meaning::BAD_RECIPIENT),
    ("ErrorExceededMaxRecipientLimit", Meaning::MANY),
    ("ErrorMessageBlocked", Meaning::CONTENT),
    ("ErrorMessageSizeExceeded", Meaning::SIZE),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Microsoft365 {
    /// Whose mailbox sends: an address or an id. Without it, that of the user the token is for.
    mailbox: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: Trouble,
}

#[derive(Deserialize)]
struct Trouble {
    code: String,
    #[serde(default)]
    message: String,
}

impl Api for Microsoft365 {
    fn endpoint(&self) -> String {
        "https://graph.microsoft.com/v1.0".into()
    }

    fn request(&self, mail: &Mail<'_>, keys: &Credentials) -> Result<Request, Failure> {
        let path = match self.mailbox.as_deref() {
            None => "/me/sendMail".into(),
            Some("" | "." | "..") => return Err(Failure::new(Kind::Configuration, "mailbox", "is no address or id")),
            Some(mailbox) => format!("/users/{}/sendMail", segment(mailbox)),
        };
        let body = vec![Piece::Octets(STANDARD.encode(mail.addressed()?).into_bytes())];
        Ok(Request::post(path, "text/plain", body).bearer(keys.get("token")?).warn(mail.sender_warning()))
    }

    fn outcome(&self, envelope: &Envelope, response: &Response) -> Result<Outcome, Failure> {
        if response.is_success() {
            // There is no body; only Graph itself names its request.
            let id = response.header("request-id").filter(|_| response.status == 202);
            return id.map(|id| response.accepted(envelope, Some(id))).ok_or_else(|| response.in_doubt());
        }
        let Some(Refused { error }) = response.json::<Refused>() else { return response.undocumented(envelope) };
        let text = format!("{}: {}", error.code, error.message);
        let meaning = match error.code.trim_end_matches("ShowTierUpgrade") {
            code if code.starts_with("ErrorMimeContent") => Some(Meaning::CONTENT),
            code => Meaning::of(CODES, code),
        };
        response.by_code(envelope, meaning, &text)
    }
}

/// `text` as one segment of a path (RFC 3986 3.3): `#EXT#` is in the names of guests.
fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut path, octet| {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => path.push(char::from(octet)),
            _ => path += &format!("%{octet:02X}"),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Dsn;
    use crate::message::Message;
    use crate::secret::Secret;

    #[test]
    fn the_mailbox_is_one_segment_of_the_path() {
        let forward_paths = vec!["b@example.net".parse().unwrap()];
        let envelope = Envelope { reverse_path: None, forward_paths, dsn: Dsn::default() };
        let message = Message::read(&mut "Subject: x\n\nx\n".as_bytes(), false).unwrap();
        let mail = Mail {
            envelope: &envelope,
            message: &message,
            endpoint: "",
            now: jiff::Timestamp::UNIX_EPOCH,
            undisclosed: false,
            key: None,
            before: &[],
        };
        let mut keys = Credentials::default();
        keys.insert("token", Secret::new("key".to_owned()));
        let path = |mailbox: &str| {
            let api = Microsoft365 { mailbox: Some(mailbox.to_owned()) };
            api.request(&mail, &keys).map(|request| request.path)
        };
        assert_eq!(path("shop@example.com").unwrap(), "/users/shop@example.com/sendMail");
        assert_eq!(path("a_b#EXT#@x.example/../me?").unwrap(), "/users/a_b%23EXT%23@x.example%2F..%2Fme%3F/sendMail");
        for none in ["", ".."] {
            assert!(path(none).is_err_and(|failure| failure.kind == Kind::Configuration), "{none:?}");
        }
    }
}
