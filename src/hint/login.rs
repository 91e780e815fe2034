//! What to do after a login was refused, and where an account may not write as somebody.

use super::{Said, filled, provider_name, shape, username};
use crate::config::relay::{Grant, Relay, SecretKind};
use crate::oauth::refusal::login_command;
use crate::outcome::Stage;
use crate::providers::{Provider, When};

/// The next step after a login was refused.
pub(super) fn refused(said: &Said<'_>) -> Option<String> {
    let relay = said.relay;
    if said.stage != Stage::Auth && relay.smtp_login().is_none() && relay.api().is_none() {
        return Some("this relay requires a login: set username and password".to_owned());
    }
    if let Some(hint) = is_clock(said) {
        return Some(hint.to_owned());
    }
    if let Some(hint) = shape::of_secret(relay) {
        return Some(hint);
    }
    let takes_token = relay.smtp_login().is_some_and(|login| login.kind == SecretKind::Token);
    let has_tokens = |provider: &Provider| provider.bearer || provider.authorization.is_some();
    if takes_token || (relay.api().is_some() && relay.provider.is_some_and(has_tokens)) {
        return Some(for_token(relay));
    }
    if let Some(provider) = relay.provider.filter(|_| relay.api().is_some()) {
        let wanted = provider.api_credentials();
        return Some(filled(
            &format!("check {wanted} at {{provider}}: its HTTP API does not take what SMTP takes"),
            relay,
        ));
    }
    if relay.smtp_login().is_some_and(|login| login.secret.is_none()) {
        return Some(match &relay.client_cert {
            Some(_) => "the server does not accept this client certificate as a login: ask its operator".to_owned(),
            None => "EXTERNAL proves who you are by a client certificate: set client_cert".to_owned(),
        });
    }
    let derived = relay.provider.and_then(|provider| provider.derived);
    if let Some(derived) = derived.filter(|_| has_derived_password(relay)) {
        return Some(filled(derived.hint, relay));
    }
    let is_from =
        |provider: &Provider| said.is_of(provider) || provider.marks.iter().any(|mark| said.text.contains(mark));
    said.among(|provider, when| when == When::Login && is_from(provider)).or_else(|| {
        Some(format!("check the user name {} and its password or key at {}", username(relay), provider_name(relay)))
    })
}

/// What AWS and others say where it is not the key that is wrong.
fn is_clock(said: &Said<'_>) -> Option<&'static str> {
    let words = ["signature expired", "signature not yet current", "requesttimetooskewed", "request time too skewed"];
    words.iter().any(|word| said.text.contains(word)).then_some("this host's clock is wrong: set it (`timedatectl`)")
}

fn has_derived_password(relay: &Relay) -> bool {
    relay.smtp_login().is_some_and(|login| matches!(login.kind, SecretKind::Underived { .. }))
}

/// The next step where an account writes as its own addresses only.
pub(super) fn own_address(relay: &Relay) -> String {
    let own = relay.username().filter(|name| name.contains('@'));
    let (own, sender) = match own {
        Some(name) => (format!("`{name}`"), name),
        None => ("one of them".to_owned(), "ADDRESS"),
    };
    filled(
        &format!(
            "{{provider}} takes mail from this account's own addresses only: set `from` to {own}, and set sender = \
             [\"{sender}\"] and other_sender = \"rewrite\""
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
    let own = server.map(|server| &server.hints);
    let hint = match (&oauth.grant, relay.api().is_some()) {
        (_, true) => return for_permission(relay),
        (Grant::ClientCredentials, false) => own.map(|hints| hints.application_by_smtp),
        (Grant::RefreshToken(_) | Grant::ServiceAccount(_), false) => own.map(|hints| hints.person_by_smtp),
    };
    let usual = "the token is new: {username} must be the account it is for, with {scope}";
    filled(hint.filter(|hint| !hint.is_empty()).unwrap_or(usual), relay)
}

/// The next step where an access token lacks the permission to send.
pub(super) fn for_permission(relay: &Relay) -> String {
    let own = relay.provider.and_then(|provider| provider.authorization).map(|server| &server.hints);
    let (hint, usual) = match relay.oauth.as_ref().map(|oauth| &oauth.grant) {
        Some(Grant::ClientCredentials) => {
            (own.map(|hints| hints.application), "the application lacks the permission to send, or a consent to it")
        }
        Some(Grant::ServiceAccount(_)) => {
            (own.map(|hints| hints.service_account), "the service account lacks the scope {scope}")
        }
        Some(Grant::RefreshToken(_)) => (None, "the login does not cover {scope}: run `{login}` and consent to it"),
        None => (None, "the access token lacks the permission to send: get one with the scope the provider names"),
    };
    filled(hint.filter(|hint| !hint.is_empty()).unwrap_or(usual), relay)
}
