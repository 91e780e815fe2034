//! The dictionary of next steps for refusals users really meet.
//!
//! Failures bring their hint along from where they arise; a reply is the server's, so its hint is looked
//! up here, by code, stage, text and provider.

use crate::config::relay::{Place, Relay, SecretKind, TlsMode};
use crate::outcome::Stage;
use crate::reply::Reply;

/// The next step after `reply` was given at `stage` by `relay`, where one is known.
pub fn for_reply(reply: &Reply, stage: Stage, relay: &Relay) -> Option<String> {
    let text = reply.text().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let enhanced = reply.enhanced().map(|code| (code.class, code.subject, code.detail));

    if stage == Stage::Auth || reply.is_authentication() {
        return for_login(&text, enhanced, stage, relay);
    }
    if enhanced == Some((5, 7, 30)) {
        return Some(MICROSOFT_PASSWORDS.to_owned());
    }
    if says(&["sendasdenied", "not allowed to send as"]) {
        return Some(format!(
            "the mailbox that logs in may not write as this sender: set `from` to {}, or grant it Send As",
            username(relay)
        ));
    }
    if says(SENDER_NOT_VERIFIED) || (stage == Stage::MailFrom && reply.is_permanent()) {
        return Some(format!(
            "verify this sender or its domain at {}, or set `from` to one that is verified with other_sender = \"rewrite\"",
            provider_name(relay)
        ));
    }
    if reply.is_transient() && (says(&["rate", "too many", "throttl", "limit", "quota"]) || enhanced == Some((4, 7, 1)))
    {
        return Some(format!(
            "{} is limiting how fast this account sends: wait, or raise the plan",
            provider_name(relay)
        ));
    }
    if says(&["greylist", "graylist", "grey-list"]) {
        return Some("the server asks to come back later: send the message again in a few minutes".to_owned());
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
    if reply.code() == 552 || enhanced == Some((5, 3, 4)) {
        return Some(
            "the message is larger than this relay takes: link to large files instead of attaching them".to_owned(),
        );
    }
    if stage == Stage::Greeting && says(&["block", "spamhaus", "blacklist", "listed", "reputation"]) {
        return Some(
            "the server refuses this host's address: use its submission port with a login, or ask its operator"
                .to_owned(),
        );
    }
    None
}

const MICROSOFT_PASSWORDS: &str = "this tenant no longer takes passwords for SMTP: use an OAuth access token (`token`) with XOAUTH2, \
     or another provider";

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
    let says = |word: &str| text.contains(word);
    let provider = relay.provider.map_or("", |provider| provider.id);
    let host = match &relay.place {
        Place::Tcp { host, .. } => host.as_str(),
        Place::Unix(_) => "",
    };
    let is_google = provider == "google" || host.ends_with(".gmail.com") || says("gsmtp") || says("support.google.com");
    let is_microsoft = provider == "microsoft365" || host.ends_with(".office365.com") || host.ends_with(".outlook.com");
    let is_ses = provider == "amazon-ses" || host.ends_with(".amazonaws.com");

    if stage != Stage::Auth && relay.login.is_none() {
        return Some("this relay wants a login: set username and password".to_owned());
    }
    if is_google {
        return Some(if says("application-specific") || enhanced == Some((5, 7, 9)) {
            "Google wants an app password here: make one at myaccount.google.com/apppasswords and use its 16 letters"
                .to_owned()
        } else {
            "Google refuses the account's own password: use an app password (two-step verification must be on) or an \
             OAuth token"
                .to_owned()
        });
    }
    if is_microsoft {
        return Some(if enhanced == Some((5, 7, 139)) || says("smtpclientauthentication is disabled") {
            "SMTP AUTH is switched off for this tenant or mailbox: Set-CASMailbox -SmtpClientAuthenticationDisabled $false, \
             or use an OAuth token"
                .to_owned()
        } else if enhanced == Some((5, 7, 30)) || says("basic authentication is disabled") {
            MICROSOFT_PASSWORDS.to_owned()
        } else {
            "check the mailbox address and password; Microsoft is ending password logins, an OAuth token (`token`) works with \
             XOAUTH2"
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
    if relay.tls == TlsMode::None && says("encrypt") {
        return Some("the server wants TLS before the login: set tls = \"starttls\" or \"implicit\"".to_owned());
    }
    Some(format!("check the user name {} and its password or key at {}", username(relay), provider_name(relay)))
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
