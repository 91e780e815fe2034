//! The HTTP side of a relay's table: whether it is meant, and its settings.

use std::sync::Arc;

use super::aws;
use super::credentials::{self, secret_keys, username_keys};
use super::endpoint::endpoint;
use super::oauth;
use super::reached::reached;
use super::{Endpoint, Interface, Relay, Way};
use crate::attempt::Attempt;
use crate::config::document::Section;
use crate::failure::Failure;
use crate::providers::Provider;
use crate::providers::api::{Credential, Credentials, Entry};

/// The keys of every relay that is spoken to over HTTP.
const KEYS: &[&str] = &[
    "provider",
    "via",
    "endpoint",
    "connect_timeout",
    "ca_file",
    "fingerprint",
    "client_cert",
    "source",
    "proxy",
    "secret_expires",
    "weight",
    "limit",
    "undisclosed",
];

/// The keys that only SMTP has a meaning for.
const SMTP_ONLY: &[&str] = &["host", "port", "tls", "protocol", "auth", "helo", "chunking", "pipelining"];

/// The API that the table means; `None`: SMTP.
///
/// `via` decides. Without it, SMTP is taken wherever these credentials can log in by SMTP.
///
/// # Errors
/// `Configuration`: `via = "api"` where there is none.
pub(super) fn chosen(section: &Section<'_>, provider: Option<&Provider>) -> Result<Option<&'static Entry>, Failure> {
    let entry = provider.and_then(|provider| provider.api);
    match section.word("via", &[("smtp", false), ("api", true)])? {
        Some(false) => Ok(None),
        Some(true) if entry.is_some() => Ok(entry),
        Some(true) => {
            let name = provider.map_or("a relay without provider", |p| p.id);
            Err(section
                .error("via", format!("{name} has no HTTP API in this version"))
                .hint(format!("by SMTP, {name} takes {}", credentials::wanted(provider))))
        }
        None => Ok(entry.filter(|entry| wants_api(section, provider, entry))),
    }
}

/// Whether a credential is there that only the API takes, and none that only SMTP takes.
fn wants_api(section: &Section<'_>, provider: Option<&Provider>, entry: &Entry) -> bool {
    let smtp: Vec<_> = secret_keys(provider).into_iter().chain(username_keys(provider)).collect();
    // Tokens that are got count where SMTP takes none.
    let of_oauth = provider.filter(|provider| !provider.bearer).map_or_else(Vec::new, |p| oauth::keys(Some(p), true));
    let of_api = || entry.credentials.iter().map(|credential| credential.key).chain(of_oauth.iter().copied());
    let is_of_api = |key: &str| of_api().any(|known| known == key);
    of_api().any(|key| section.has(key) && !smtp.contains(&key))
        && !smtp.iter().any(|key| section.has(key) && !is_of_api(key))
}

/// Refuses, in a table that means SMTP, what only the provider's API takes.
pub(super) fn refuse_keys(section: &Section<'_>, provider: Option<&Provider>, usable: &[&str]) -> Result<(), Failure> {
    let Some(provider) = provider else { return Ok(()) };
    let by_smtp = || format!("by SMTP, {} takes {}", provider.id, credentials::wanted(Some(provider)));
    let Some(entry) = provider.api else { return Ok(()) };
    let of_oauth = oauth::keys(Some(provider), true);
    let is_of_api = |key: &str| entry.has(key) || key == "endpoint" || of_oauth.contains(&key);
    match section.keys().into_iter().find(|key| !usable.contains(key) && is_of_api(key)) {
        None => Ok(()),
        Some(key) => Err(section
            .error(key, format!("{key:?} is for {}'s HTTP API, and this relay uses SMTP", provider.id))
            .hint(format!("set via = \"api\" with {}, or leave it out: {}", provider.api_credentials(), by_smtp()))),
    }
}

/// Reads a table that means the API of `entry`.
///
/// # Errors
/// `Configuration`, with the place of the key at fault.
pub(super) fn read(
    name: &str,
    section: &Section<'_>,
    provider: &'static Provider,
    entry: &'static Entry,
    above: &[&str],
) -> Result<Relay, Failure> {
    let oauth = oauth::read(section, Some(provider), Some(entry))?;
    let mut credentials = Vec::new();
    for credential in entry.credentials {
        if let Some(source) = section.source(credential.key)? {
            credentials.push((credential.key, source));
        }
    }
    refuse_smtp(section, provider, entry)?;
    let of_oauth = oauth::keys(Some(provider), true);
    let credential_keys = entry.credentials.iter().map(|credential| credential.key);
    let keys: Vec<_> = credential_keys.chain(KEYS.iter().copied()).chain(of_oauth.iter().copied()).collect();
    credentials::refuse_foreign(section, Some(provider), &[keys.as_slice(), entry.keys()].concat())?;
    let mut api = section.settings(&keys, entry.keys(), above, |table| entry.read(table))?;
    if provider.aws_region && !section.has("region") {
        let region = aws::region(section.string("profile")?);
        if let (Some(api), Some(region)) = (Arc::get_mut(&mut api), region) {
            api.settle(region);
        }
    }
    let is_missing = |credential: &&Credential| credential.needed && oauth.is_none() && !section.has(credential.key);
    if let Some(missing) = entry.credentials.iter().find(is_missing) {
        return Err(section.error("provider", format!("the relay has no {:?}", missing.key)).hint(format!(
            "by its HTTP API, {} takes {}",
            provider.id,
            provider.api_credentials()
        )));
    }
    let Endpoint { url, place, tls } = endpoint(section, "endpoint", &api.endpoint())?;
    let undisclosed = section.word("undisclosed", &[("sender", true), ("refuse", false)])?.unwrap_or(false);
    if undisclosed && entry.raw {
        let failure = section.error("undisclosed", format!("{} takes the message as it is", provider.id));
        return Err(failure.hint("leave it out: hidden recipients need nobody in To there"));
    }
    let way = Way::Api(Interface { entry, api, endpoint: url, credentials, undisclosed });
    Ok(Relay { way, oauth, ..reached(name, section, Some(provider), place, tls)? })
}

/// A credential or setting that SMTP takes and the API does not.
fn refuse_smtp(section: &Section<'_>, provider: &'static Provider, entry: &Entry) -> Result<(), Failure> {
    let smtp: Vec<_> = secret_keys(Some(provider)).into_iter().chain(username_keys(Some(provider))).collect();
    let of_oauth = oauth::keys(Some(provider), true);
    let is_ours = |key: &str| entry.has(key) || of_oauth.contains(&key);
    let is_smtp = |key: &str| (smtp.contains(&key) || SMTP_ONLY.contains(&key)) && !is_ours(key);
    let Some(key) = section.keys().into_iter().find(|key| is_smtp(key)) else { return Ok(()) };
    let failure = section.error(key, format!("{key:?} is for SMTP, and this relay uses {}'s HTTP API", provider.id));
    Err(match key {
        "host" | "port" | "tls" => failure.hint("the API's address is endpoint = \"https://...\""),
        _ if smtp.contains(&key) => {
            failure.hint(format!("the API takes {}; or set via = \"smtp\"", provider.api_credentials()))
        }
        _ => failure.hint("leave it out, or set via = \"smtp\""),
    })
}

impl Interface {
    /// Reads the credentials. What is weak about a file's owner or mode is named in the attempt's warnings, or
    /// refused with `strict_modes`.
    ///
    /// # Errors
    /// As [`Source::read`](crate::secret::Source::read); nothing has been sent then.
    pub fn keys(&self, strict_modes: bool, attempt: &mut Attempt) -> Result<Credentials, Failure> {
        let mut keys = Credentials::default();
        for (key, source) in &self.credentials {
            keys.insert(key, source.read_key(key, strict_modes, attempt)?);
        }
        Ok(keys)
    }
}
