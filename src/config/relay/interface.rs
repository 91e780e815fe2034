//! The HTTP side of a relay's table: whether it is meant, and its settings.

use super::credentials::{self, secret_keys, username_keys};
use super::read::{OAUTH, is_loopback, reached};
use super::{Interface, Place, Relay, TlsMode};
use crate::api::{self, Entry, Keys};
use crate::config::document::Section;
use crate::config::url::Url;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::provider::Provider;

/// The keys of every relay that is spoken to over HTTP.
const KEYS: &[&str] =
    &["provider", "via", "endpoint", "connect_timeout", "ca_file", "fingerprint", "client_cert", "source", "proxy"];

/// The keys that only SMTP has a meaning for.
const SMTP_ONLY: &[&str] = &["host", "port", "tls", "protocol", "auth", "helo", "chunking"];

/// The API that the table means; `None`: SMTP.
///
/// `via` decides. Without it, SMTP is taken wherever these credentials can log in by SMTP.
///
/// # Errors
/// `Configuration`: `via = "api"` where there is none.
pub(super) fn chosen(section: &Section<'_>, provider: Option<&Provider>) -> Result<Option<&'static Entry>, Failure> {
    let entry = provider.and_then(|provider| api::find(provider.id));
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
    let is_of_api = |key: &str| entry.credentials.iter().any(|credential| credential.key == key);
    entry.credentials.iter().any(|credential| section.has(credential.key) && !smtp.contains(&credential.key))
        && !smtp.iter().any(|key| section.has(key) && !is_of_api(key))
}

/// Refuses, in a table that means SMTP, what only the provider's API takes.
pub(super) fn refuse_keys(section: &Section<'_>, provider: Option<&Provider>, usable: &[&str]) -> Result<(), Failure> {
    let Some(provider) = provider else { return Ok(()) };
    refuse_renewal(section, provider)?;
    let by_smtp = || format!("by SMTP, {} takes {}", provider.id, credentials::wanted(Some(provider)));
    let Some(entry) = api::find(provider.id) else {
        let Some(key) = provider.api_keys.iter().find(|key| section.has(key) && !usable.contains(key)) else {
            return Ok(());
        };
        let why = format!("{key:?} is for {}'s HTTP interface, which is not in this version", provider.id);
        return Err(section.error(key, why).hint(by_smtp()));
    };
    match section.keys().into_iter().find(|key| !usable.contains(key) && (entry.has(key) || *key == "endpoint")) {
        None => Ok(()),
        Some(key) => Err(section
            .error(key, format!("{key:?} is for {}'s HTTP API, and this relay uses SMTP", provider.id))
            .hint(format!("set via = \"api\" with {}, or leave it out: {}", entry.wanted(), by_smtp()))),
    }
}

/// Refuses what a provider with access tokens would renew them by.
fn refuse_renewal(section: &Section<'_>, provider: &Provider) -> Result<(), Failure> {
    let is_meant = provider.bearer && api::find(provider.id).is_some();
    let Some(key) = OAUTH.iter().find(|key| is_meant && section.has(key)) else { return Ok(()) };
    Err(section.wrong(key, "is not in this version, which does not renew access tokens").hint(format!(
        "by SMTP, {} takes {}; its HTTP API an access token as token",
        provider.id,
        credentials::wanted(Some(provider))
    )))
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
    refuse_renewal(section, provider)?;
    let mut credentials = Vec::new();
    for credential in entry.credentials {
        if let Some(source) = section.source(credential.key)? {
            credentials.push((credential.key, source));
        }
    }
    refuse_smtp(section, provider, entry)?;
    let keys: Vec<_> = entry.credentials.iter().map(|credential| credential.key).chain(KEYS.iter().copied()).collect();
    let api = section.settings(&keys, entry.keys(), above, |table| entry.read(table))?;
    if let Some(missing) = entry.credentials.iter().find(|credential| credential.needed && !section.has(credential.key))
    {
        return Err(section.error("provider", format!("the relay has no {:?}", missing.key)).hint(format!(
            "by its HTTP API, {} takes {}",
            provider.id,
            entry.wanted()
        )));
    }
    let (endpoint, place, tls) = endpoint(section, api.endpoint())?;
    let api = Some(Interface { entry, api, endpoint, credentials });
    Ok(Relay { api, ..reached(name, section, Some(provider), place, tls)? })
}

/// A credential or setting that SMTP takes and the API does not.
fn refuse_smtp(section: &Section<'_>, provider: &'static Provider, entry: &Entry) -> Result<(), Failure> {
    let smtp: Vec<_> = secret_keys(Some(provider)).into_iter().chain(username_keys(Some(provider))).collect();
    let is_smtp = |key: &str| (smtp.contains(&key) || SMTP_ONLY.contains(&key)) && !entry.has(key);
    let Some(key) = section.keys().into_iter().find(|key| is_smtp(key)) else { return Ok(()) };
    let failure = section.error(key, format!("{key:?} is for SMTP, and this relay uses {}'s HTTP API", provider.id));
    Err(match key {
        "host" | "port" | "tls" => failure.hint("the API's address is endpoint = \"https://...\""),
        _ if smtp.contains(&key) => failure.hint(format!("the API takes {}; or set via = \"smtp\"", entry.wanted())),
        _ => failure.hint("leave it out, or set via = \"smtp\""),
    })
}

/// Where requests go, and the same as a place to connect to.
fn endpoint(section: &Section<'_>, own: String) -> Result<(String, Place, TlsMode), Failure> {
    let key = "endpoint";
    let text = section.string(key)?.map_or(own, str::to_owned);
    let text = text.trim_end_matches('/').to_owned();
    let must = "must be a URL such as \"https://api.example.com\"";
    let url = Url::parse(&text).map_err(|why| section.wrong(key, why))?;
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'@' | b'?' | b'#' | b'\\' | b'"'));
    if url.host.is_empty() || url.username.is_some() || !plain {
        return Err(section.wrong(key, must));
    }
    let (tls, port) = match url.scheme.as_str() {
        "https" => (TlsMode::Implicit, 443),
        "http" if is_loopback(&url.host) => (TlsMode::None, 80),
        "http" => return Err(section.wrong(key, "would send the credentials in clear").hint("write https://")),
        _ => return Err(section.wrong(key, must)),
    };
    let place = Place::Tcp { host: url.host.to_lowercase(), port: url.port.unwrap_or(port) };
    Ok((text, place, tls))
}

impl Interface {
    /// Reads the credentials. What is weak about a file's owner or mode is added to `warnings`, or refused
    /// with `strict_modes`.
    ///
    /// # Errors
    /// As [`Source::read`](crate::secret::Source::read); nothing has been sent then.
    pub fn keys(&self, strict_modes: bool, deadline: Deadline, warnings: &mut Vec<String>) -> Result<Keys, Failure> {
        let mut keys = Keys::default();
        for (key, source) in &self.credentials {
            keys.insert(key, source.read(strict_modes, deadline, warnings)?);
        }
        Ok(keys)
    }
}
