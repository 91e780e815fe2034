//! The dictionary of next steps for refusals users really meet.
//!
//! Most failures bring their hint along from where they arise. What a reply means is looked up here, by
//! code, stage, text and provider, and so is what a failure says about how the relay is configured.

use crate::config::relay::{Grant, Place, Relay, SecretKind, TlsMode};
use crate::failure::{Failure, Kind};
use crate::oauth::refusal::login_command;
use crate::outcome::Stage;
use crate::reply::Reply;

/// The next step after `reply` was given at `stage` by `relay`, where one is known.
pub fn for_reply(reply: &Reply, stage: Stage, relay: &Relay) -> Option<String> {
    let text = reply.text().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let enhanced = reply.enhanced().map(|code| (code.class, code.subject, code.detail));

    let wants_tls = says(&["starttls", "encrypt", "must use tls", "tls required", "requires tls"]);
    if relay.tls == TlsMode::None && wants_tls && !reply.is_positive() {
        return Some("the server wants TLS before anything else: set tls = \"starttls\" or \"implicit\"".to_owned());
    }
    if stage == Stage::Auth && reply.is_transient() {
        return Some(format!(
            "the password was not judged: {} asks to wait before the next login",
            provider_name(relay)
        ));
    }
    if stage == Stage::Auth || reply.is_authentication() {
        return for_login(&text, enhanced, stage, relay);
    }
    if enhanced == Some((5, 7, 30)) {
        return Some(no_passwords(relay));
    }
    if says(NO_PERMISSION) && relay.provider.is_some_and(|provider| provider.authorization.is_some()) {
        return Some(for_permission(relay));
    }
    // X.2.z is about the recipient's mailbox (RFC 3463 3.3): full or disabled, and nothing to do here.
    if matches!(enhanced, Some((4 | 5, 2, _))) {
        return None;
    }
    let is_about_mail_system = enhanced.is_none_or(|(_, subject, _)| subject == 3);
    if is_about_mail_system && (reply.code() == 552 || enhanced.is_some_and(|(_, _, detail)| detail == 4)) {
        return Some(
            "the message is larger than this relay takes: link to large files instead of attaching them".to_owned(),
        );
    }
    if says(&["greylist", "graylist", "grey-list"]) {
        return Some("the server asks to come back later: send the message again in a few minutes".to_owned());
    }
    let is_limit = says(&["limit exceeded", "quota exceeded", "throttl", "rate limit", "too many messages"])
        || (reply.is_transient() && (says(&[" rate", "too many", "limit", "quota"]) || enhanced == Some((4, 7, 1))));
    if is_limit {
        return Some(format!(
            "{} is limiting how fast this account sends: wait, or raise the plan",
            provider_name(relay)
        ));
    }
    if says(&["/me request is only valid"]) {
        return Some(
            "an application's token has no mailbox of its own: set mailbox to the address that sends".to_owned(),
        );
    }
    if says(&["sendasdenied", "not allowed to send as"]) {
        let own = relay.username().map_or_else(|| "its own address".to_owned(), |name| format!("`{name}`"));
        return Some(format!(
            "the mailbox that logs in may not write as this sender: set `from` to {own}, or grant it Send As"
        ));
    }
    if says(SENDER_NOT_VERIFIED) || (stage == Stage::MailFrom && matches!(reply.code(), 550 | 551 | 553 | 554)) {
        return Some(format!(
            "verify this sender or its domain at {}, or set `from` to one that is verified with other_sender = \"rewrite\"",
            provider_name(relay)
        ));
    }
    if stage == Stage::RcptTo
        && says(&["relay access denied", "relaying denied", "relay not permitted", "not permitted to relay"])
    {
        return Some(if relay.login.is_none() {
            "this relay wants a login: set username and password".to_owned()
        } else {
            "the login was accepted but may not relay: ask the server's operator".to_owned()
        });
    }
    if stage == Stage::Greeting && says(&["block", "spamhaus", "blacklist", "listed", "reputation"]) {
        return Some(
            "the server refuses this host's address: use its submission port with a login, or ask its operator"
                .to_owned(),
        );
    }
    None
}

/// The next step after `failure` with `relay`, where the way it is configured may explain it: TLS in the
/// wrong mode for the port, or a port that is not for submission.
pub fn for_failure(failure: &Failure, relay: &Relay) -> Option<String> {
    let port = match &relay.place {
        Place::Tcp { port, .. } => *port,
        Place::Unix(_) => return None,
    };
    let hint = match (failure.stage?, &failure.kind, relay.tls) {
        // A server that waits for a TLS handshake says nothing, or hangs up after a while.
        (Stage::Greeting, Kind::Unavailable, TlsMode::StartTls | TlsMode::None) => {
            format!("does port {port} speak TLS from the start? Then set tls = \"implicit\"")
        }
        // One that means to greet first may wait or hang up, too.
        (Stage::Tls, Kind::Unavailable, TlsMode::Implicit) => {
            format!("does port {port} speak STARTTLS? Then set tls = \"starttls\"")
        }
        (Stage::StartTls, Kind::Protocol, TlsMode::StartTls) => {
            "use the port that speaks TLS from the start (often 465), and beware: something on the way may have \
             taken STARTTLS out"
                .to_owned()
        }
        (Stage::Auth, Kind::Protocol, TlsMode::None) if relay.login.is_some() => {
            "servers often offer AUTH, or more of it, only over TLS: set tls = \"starttls\" or \"implicit\"".to_owned()
        }
        (Stage::Auth, Kind::Protocol, _) if port == 25 => "logins belong to port 465 or 587, not 25".to_owned(),
        _ => return None,
    };
    Some(hint)
}

fn no_passwords(relay: &Relay) -> String {
    format!(
        "this tenant no longer takes passwords for SMTP: set client_id instead of the password and run `{}`, or use \
         another provider",
        login_command(relay)
    )
}

/// What Graph and Gmail say of a token without the permission to send.
const NO_PERMISSION: &[&str] = &["erroraccessdenied", "insufficient authentication scopes", "insufficientpermissions"];

const SENDER_NOT_VERIFIED: &[&str] = &[
    "not verified",
    "unverified",
    "not authorized to send from",
    "not allowed to send from",
    "sender address rejected: not owned",
    "unconfigured sending domain",
    "sender signature",
    "does not match a verified sender",
    "sender not allowed",
    "domain is not verified",
];

fn for_login(text: &str, enhanced: Option<(u8, u16, u16)>, stage: Stage, relay: &Relay) -> Option<String> {
    let takes_token = relay.login.as_ref().is_some_and(|login| login.kind == SecretKind::Token);
    if takes_token || (relay.api.is_some() && relay.provider.is_some_and(|provider| provider.bearer)) {
        return Some(for_token(relay));
    }
    if let Some(interface) = &relay.api {
        let wanted = interface.entry.wanted();
        return Some(format!("check {wanted} at {}: the API takes them, not what SMTP takes", provider_name(relay)));
    }
    let says = |word: &str| text.contains(word);
    let provider = relay.provider.map_or("", |provider| provider.id);
    let host = match &relay.place {
        Place::Tcp { host, .. } => host.as_str(),
        Place::Unix(_) => "",
    };
    let is_google = provider == "google" || host.ends_with(".gmail.com") || says("gsmtp") || says("support.google.com");
    let is_microsoft = provider == "microsoft365" || host.ends_with(".office365.com") || host.ends_with(".outlook.com");
    let is_ses = provider == "amazon-ses" || host.ends_with(".amazonaws.com");

    if relay.login.as_ref().is_some_and(|login| login.secret.is_none()) {
        return Some(match &relay.client_cert {
            Some(_) => "the server does not log in the owner of this client certificate: ask its operator".to_owned(),
            None => "EXTERNAL proves who you are by a client certificate: set client_cert".to_owned(),
        });
    }
    if stage != Stage::Auth && relay.login.is_none() {
        return Some("this relay wants a login: set username and password".to_owned());
    }
    if is_google {
        return Some(if says("application-specific") || enhanced == Some((5, 7, 9)) {
            "Google wants an app password here: make one at myaccount.google.com/apppasswords and use its 16 letters"
                .to_owned()
        } else {
            "Google refuses the account's own password: use an app password (two-step verification must be on) or \
             `mailchute login`"
                .to_owned()
        });
    }
    if is_microsoft {
        return Some(if enhanced == Some((5, 7, 30)) || says("basic authentication is disabled") {
            no_passwords(relay)
        } else if enhanced == Some((5, 7, 139)) || says("smtpclientauthentication is disabled") {
            SMTP_AUTH_IS_OFF.to_owned()
        } else {
            "check the mailbox address and password; Microsoft is ending password logins: set client_id instead and run \
             `mailchute login`"
                .to_owned()
        });
    }
    if is_ses {
        let derived = relay.login.as_ref().is_some_and(|login| matches!(login.kind, SecretKind::AwsSecretKey { .. }));
        return Some(if derived {
            "check the key id, the secret key and the region: SES passwords count in one region only, and temporary keys \
             cannot log in by SMTP"
                .to_owned()
        } else {
            "SES wants an SMTP password, not the secret key: give secret_access_key and the password is derived from it, or \
             make SMTP credentials in the same region"
                .to_owned()
        });
    }
    Some(format!("check the user name {} and its password or key at {}", username(relay), provider_name(relay)))
}

const SMTP_AUTH_IS_OFF: &str =
    "SMTP AUTH is switched off for this tenant or mailbox: Set-CASMailbox -SmtpClientAuthenticationDisabled $false";

/// The next step after an access token was refused. One that we got is as new as can be.
fn for_token(relay: &Relay) -> String {
    let server = relay.provider.and_then(|provider| provider.authorization);
    let Some(oauth) = &relay.oauth else {
        return match server {
            Some(_) => format!(
                "get a new access token with the permission to send, it may have expired; with client_id and `{}` it is \
                 renewed",
                login_command(relay)
            ),
            None => "get a new access token with the permission to send: it may have expired".to_owned(),
        };
    };
    match (&oauth.grant, relay.api.is_some()) {
        (_, true) => for_permission(relay),
        (Grant::ClientCredentials, false) => {
            "the token is new: give the application the permission SMTP.SendAsApp, register its service principal in \
             Exchange Online and give that the mailbox"
                .to_owned()
        }
        (Grant::RefreshToken(_) | Grant::ServiceAccount(_), false) => match server {
            Some(server) if server.tenant.is_some() => {
                format!(
                    "the token is new: {} must be the mailbox it is for, and SMTP AUTH must be on for it",
                    username(relay)
                )
            }
            _ => format!("the token is new: {} must be the account it is for, with {}", username(relay), oauth.scope),
        },
    }
}

/// The next step where an access token lacks the permission to send.
fn for_permission(relay: &Relay) -> String {
    match relay.oauth.as_ref().map(|oauth| (&oauth.grant, oauth.scope.as_str())) {
        Some((Grant::ClientCredentials, _)) => {
            "the application lacks the permission Mail.Send or an administrator's consent to it, or a policy keeps it from \
             this mailbox"
                .to_owned()
        }
        Some((Grant::ServiceAccount(_), scope)) => {
            format!("the service account lacks the scope {scope}: delegate it domain-wide, and enable the Gmail API")
        }
        Some((Grant::RefreshToken(_), scope)) => {
            format!("the login does not cover {scope}: run `{}` and consent to it", login_command(relay))
        }
        None => "the access token lacks the permission to send: get one with the scope the provider names".to_owned(),
    }
}

/// The provider's name, or the host's.
fn provider_name(relay: &Relay) -> String {
    match (relay.provider, &relay.place) {
        (Some(provider), _) if provider.id != "smtp" => provider.name.to_owned(),
        (_, Place::Tcp { host, .. }) => host.clone(),
        (_, Place::Unix(path)) => path.display().to_string(),
    }
}

fn username(relay: &Relay) -> String {
    match relay.username() {
        Some(name) => format!("`{name}`"),
        None => "of the login".to_owned(),
    }
}
