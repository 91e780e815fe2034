//! What to do after a login was refused, and where an account may not write as somebody.

use super::{Line, Next, Said, filled, first, provider_name, shape, username};
use crate::config::relay::{Grant, Relay, SecretKind};
use crate::oauth::refusal::login_command;
use crate::outcome::Stage;
use crate::reply::Enhanced;
use crate::rule::{ANY, Rule};

/// The next step after a login was refused.
pub(super) fn refused(said: &Said<'_>) -> Option<String> {
    let relay = said.relay;
    if said.stage != Stage::Auth && relay.login.is_none() && relay.api.is_none() {
        return Some("this relay requires a login: set username and password".to_owned());
    }
    if let Some(hint) = is_clock(said) {
        return Some(hint.to_owned());
    }
    if let Some(hint) = shape::of_secret(relay) {
        return Some(hint);
    }
    let takes_token = relay.login.as_ref().is_some_and(|login| login.kind == SecretKind::Token);
    if takes_token || (relay.api.is_some() && relay.provider.is_some_and(|provider| provider.bearer)) {
        return Some(for_token(relay));
    }
    if let Some(provider) = relay.provider.filter(|_| relay.api.is_some()) {
        let wanted = provider.api_credentials();
        return Some(filled(
            &format!("check {wanted} at {{provider}}: its HTTP API does not take what SMTP takes"),
            relay,
        ));
    }
    if relay.login.as_ref().is_some_and(|login| login.secret.is_none()) {
        return Some(match &relay.client_cert {
            Some(_) => "the server does not log in the owner of this client certificate: ask its operator".to_owned(),
            None => "EXTERNAL proves who you are by a client certificate: set client_cert".to_owned(),
        });
    }
    first(TABLE, said).or_else(|| {
        Some(format!("check the user name {} and its password or key at {}", username(relay), provider_name(relay)))
    })
}

/// What AWS and others say where it is not the key that is wrong.
fn is_clock(said: &Said<'_>) -> Option<&'static str> {
    let words = ["signature expired", "signature not yet current", "requesttimetooskewed", "request time too skewed"];
    words.iter().any(|word| said.text.contains(word)).then_some("this host's clock is wrong: set it (`timedatectl`)")
}

fn is_google(said: &Said<'_>) -> bool {
    said.is_of("google")
        || said.is_at(".gmail.com")
        || said.text.contains("gsmtp")
        || said.text.contains("support.google.com")
}

fn is_microsoft(said: &Said<'_>) -> bool {
    said.is_of("microsoft365") || said.is_at(".office365.com") || said.is_at(".outlook.com")
}

fn is_ses(said: &Said<'_>) -> bool {
    said.is_of("amazon-ses") || said.is_at(".amazonaws.com")
}

const fn line(only: fn(&Said<'_>) -> bool, rule: Rule) -> Line {
    Line { rule, only, next: Next::Rule }
}

/// What single providers mean by refusing a login.
static TABLE: &[Line] = &[
    line(is_google, Rule { words: &["application-specific"], hint: APP_PASSWORD, ..ANY }),
    line(is_google, Rule { enhanced: &[Enhanced::new(5, 7, 9)], hint: APP_PASSWORD, ..ANY }),
    line(
        is_google,
        Rule {
            hint: "Google refuses the account's own password: use an app password (two-step verification must be on) or \
                   `{login}`",
            ..ANY
        },
    ),
    Line {
        rule: Rule { enhanced: &[Enhanced::new(5, 7, 30)], ..ANY },
        only: is_microsoft,
        next: Next::Made(|said| Some(no_passwords(said.relay))),
    },
    Line {
        rule: Rule { words: &["basic authentication is disabled"], ..ANY },
        only: is_microsoft,
        next: Next::Made(|said| Some(no_passwords(said.relay))),
    },
    line(is_microsoft, Rule { enhanced: &[Enhanced::new(5, 7, 139)], hint: SMTP_AUTH_IS_OFF, ..ANY }),
    line(is_microsoft, Rule { words: &["smtpclientauthentication is disabled"], hint: SMTP_AUTH_IS_OFF, ..ANY }),
    line(
        is_microsoft,
        Rule {
            hint: "check the mailbox address and password; Microsoft is ending password logins: set client_id instead \
                   and run `{login}`",
            ..ANY
        },
    ),
    line(
        |said| is_ses(said) && has_derived_password(said),
        Rule {
            hint: "check the key id, the secret key and the region: SES passwords count in one region only, and \
                   temporary keys cannot log in by SMTP",
            ..ANY
        },
    ),
    line(
        is_ses,
        Rule {
            hint: "SES wants an SMTP password, not the secret key: give secret_access_key and the password is derived \
                   from it, or make SMTP credentials in the same region",
            ..ANY
        },
    ),
];

const APP_PASSWORD: &str =
    "Google wants an app password here: make one at myaccount.google.com/apppasswords and use its 16 letters";

const SMTP_AUTH_IS_OFF: &str =
    "SMTP AUTH is switched off for this tenant or mailbox: Set-CASMailbox -SmtpClientAuthenticationDisabled $false";

fn has_derived_password(said: &Said<'_>) -> bool {
    said.relay.login.as_ref().is_some_and(|login| matches!(login.kind, SecretKind::Underived { .. }))
}

/// The next step where a tenant takes no passwords.
pub(super) fn no_passwords(relay: &Relay) -> String {
    format!(
        "this tenant no longer takes passwords for SMTP: set client_id instead of the password and run `{}`, or use \
         another provider",
        login_command(relay)
    )
}

/// The next step where a mailbox may not write as the sender.
pub(super) fn send_as(relay: &Relay) -> String {
    let own = relay.username().map_or_else(|| "its own address".to_owned(), |name| format!("`{name}`"));
    format!("the mailbox that logs in may not write as this sender: set `from` to {own}, or grant it Send As")
}

/// The next step where an account writes as its own addresses only.
pub(super) fn own_address(relay: &Relay) -> String {
    let own = relay.username().filter(|name| name.contains('@'));
    let own = own.map_or_else(|| "one of them".to_owned(), |name| format!("`{name}`"));
    filled(
        &format!(
            "{{provider}} takes mail from this account's own addresses only: set `from` to {own} with other_sender = \
             \"rewrite\""
        ),
        relay,
    )
}

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
pub(super) fn for_permission(relay: &Relay) -> String {
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
