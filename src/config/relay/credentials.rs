//! The credentials of a relay's table: which key is user name, which is secret, and what is too little.

use super::{LoginSource, Mechanism, OAuth, SecretKind, Username};
use crate::config::document::{Section, Text};
use crate::failure::Failure;
use crate::providers::{self, Provider, UserName};
use crate::secret::Source;

/// What a relay without preset, or any other server, takes.
const PLAIN_SECRETS: &[&str] = &["password"];

/// The keys that may hold the secret, the natural one first.
pub(super) fn secret_keys(provider: Option<&Provider>) -> Vec<&'static str> {
    let mut keys = provider.map_or(PLAIN_SECRETS, |p| p.secrets).to_vec();
    if provider.is_none_or(|p| p.bearer) {
        keys.push("token");
    }
    keys
}

/// The keys that may hold the user name or a part of it.
pub(super) fn username_keys(provider: Option<&Provider>) -> Vec<&'static str> {
    let mut keys = vec!["username"];
    match provider.map(|p| &p.username) {
        Some(UserName::Given(key)) if *key != "username" => keys.insert(0, key),
        Some(UserName::Joined(parts)) => keys.extend(*parts),
        _ => (),
    }
    keys
}

/// The key that a lone token or API key belongs to (`MAILCHUTE_KEY`).
pub(in crate::config) fn lone_key(provider: &Provider) -> &'static str {
    let natural = provider.secrets.iter().find(|key| **key != "password");
    let of_api = || provider.api.and_then(|entry| entry.url_key(0));
    natural.copied().or(provider.bearer.then_some("token")).or_else(of_api).unwrap_or("token")
}

/// What to write for `provider` in this version.
pub(super) fn wanted(provider: Option<&Provider>) -> String {
    provider.map_or_else(|| "username and password, or username and token".to_owned(), Provider::credentials)
}

/// Refuses another provider's word for a credential.
///
/// # Errors
/// `Configuration`, with what this provider takes as hint.
pub(super) fn refuse_foreign(
    section: &Section<'_>,
    provider: Option<&Provider>,
    usable: &[&str],
) -> Result<(), Failure> {
    let Some(provider) = provider else { return Ok(()) };
    let plain = |key: &str| key.replace(['_', '-'], "").to_lowercase();
    let is_credential = |key: &str| {
        let of_smtp = providers::all().flat_map(|provider| provider.secrets);
        let of_apis = providers::all()
            .filter_map(|provider| provider.api)
            .flat_map(|entry| entry.credentials)
            .map(|credential| &credential.key);
        of_smtp.chain(of_apis).any(|known| plain(known) == plain(key))
    };
    let Some(key) = section.keys().into_iter().find(|key| !usable.contains(key) && is_credential(key)) else {
        return Ok(());
    };
    let by_smtp = wanted(Some(provider));
    let by_api =
        Some(provider.api_credentials()).filter(|by_api| !by_api.is_empty() && !by_smtp.contains(by_api.as_str()));
    let by_api = by_api.map(|by_api| format!("; by its HTTP API {by_api}")).unwrap_or_default();
    let failure = section.unknown(key);
    Err(failure.hint(format!("{} takes {by_smtp}{by_api}", provider.id)))
}

/// Reads user name and secret of a relay's table, which is in the region `in_region`; with `oauth` the secret is a token that is got.
/// `None`: it has neither, and its provider needs none.
///
/// # Errors
/// One without the other, several secrets, or none where the provider needs one.
pub(super) fn read(
    section: &Section<'_>,
    provider: Option<&'static Provider>,
    in_region: Option<&str>,
    auth: &[Mechanism],
    oauth: Option<&OAuth>,
) -> Result<Option<LoginSource>, Failure> {
    let keys = secret_keys(provider);
    let mut given: Vec<_> = keys.iter().copied().filter(|key| section.has(key)).collect();
    let got = oauth.map(OAuth::key);
    given.extend(got);
    let name = username(section, provider)?;
    let needs = |key: &str, what: &str| {
        let failure = section.error(key, what.to_owned());
        let place = match (section.text(), failure.what.strip_suffix("URL")) {
            (Text::Variables(_), Some(prefix)) => format!(": in the URL, {prefix}KEY or {prefix}PASSWORD"),
            _ => String::new(),
        };
        failure.hint(format!("{} takes {}{place}", provider.map_or("a login", |p| p.id), wanted(provider)))
    };
    let (key, secret) = match given[..] {
        [] if auth == [Mechanism::External] => {
            let username = name.unwrap_or_else(|| Username::Given(String::new()));
            return Ok(Some(LoginSource { username, kind: SecretKind::Password, secret: None }));
        }
        [] if section.has("username") => return Err(needs("username", "username is set, but no password or token")),
        [] if provider.is_some_and(|p| !p.host.is_empty()) => {
            return Err(needs("provider", "the relay has no credentials"));
        }
        [] => return Ok(None),
        [key] if got.is_some() => (key, None),
        [key] => (key, section.source(key)?),
        [one, other, ..] => {
            return Err(section.error(other, format!("{one:?} and {other:?} are two secrets for one login")));
        }
    };
    let Some(username) = name else { return Err(needs(key, "a password or token is set, but no username")) };
    let kind = match key {
        _ if got.is_some() => SecretKind::Token,
        "token" if provider.is_none_or(|p| p.bearer) => SecretKind::Token,
        key if provider.and_then(|p| p.derived).is_some_and(|derived| derived.from == key) => {
            SecretKind::Underived { region: region(section, provider, in_region, key)? }
        }
        _ => SecretKind::Password,
    };
    if !auth.is_empty() && !auth.iter().any(|mechanism| mechanism.carries(Some(&kind))) {
        return Err(section.wrong("auth", format!("lists no mechanism that can carry {key:?}")));
    }
    Ok(Some(LoginSource { username, kind, secret }))
}

fn username(section: &Section<'_>, provider: Option<&Provider>) -> Result<Option<Username>, Failure> {
    let one = |key: &str| {
        Ok(section.source(key)?.map(|source| match source {
            Source::Inline(name) => Username::Given(name.expose().to_owned()),
            place => Username::Read(place),
        }))
    };
    if section.has("username") {
        return one("username");
    }
    match provider.map(|p| &p.username) {
        None => Ok(None),
        Some(UserName::Given(key)) => one(key),
        Some(UserName::Word(word)) => Ok(Some(Username::Given((*word).to_owned()))),
        Some(UserName::Secret) => Ok(Some(Username::Secret)),
        Some(UserName::Joined(keys)) => {
            let mut parts = Vec::new();
            for key in *keys {
                parts.extend(section.string(key)?);
            }
            Ok((parts.len() == keys.len()).then(|| Username::Given(parts.join("|"))))
        }
    }
}

/// The region that the password is derived for from what `key` holds.
fn region(
    section: &Section<'_>,
    provider: Option<&Provider>,
    known: Option<&str>,
    key: &str,
) -> Result<String, Failure> {
    match (known, provider.and_then(|p| p.default_region)) {
        (Some(region), _) => Ok(region.to_owned()),
        (None, Some(default)) if !section.has("host") => Ok(default.to_owned()),
        _ => Err(section.error("host", format!("{key:?} needs \"region\" beside \"host\""))),
    }
}
