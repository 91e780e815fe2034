//! How a relay comes by its access tokens (RFC 6749): the grant, the client, the authorization server.

use super::Endpoint;
use super::credentials::secret_keys;
use super::endpoint::endpoint;
use crate::config::document::Section;
use crate::failure::Failure;
use crate::providers::api::Entry;
use crate::providers::{AuthorizationServer, Provider};
use crate::secret::Source;

/// The client, and what it asks which server for.
#[derive(Clone, Debug)]
pub struct OAuth {
    /// What access tokens are given for.
    pub grant: Grant,
    /// The client identifier; empty with a service account, whose key names it.
    pub client_id: String,
    /// The client's secret, where it has one.
    pub client_secret: Option<Source>,
    /// Where tokens are asked for.
    pub token_endpoint: Endpoint,
    /// Where a login without a browser begins.
    pub device_authorization_endpoint: Option<Endpoint>,
    /// Where a browser is sent for a login.
    pub authorization_endpoint: Option<String>,
    /// What an access token shall be good for; empty: whatever the server thinks.
    pub scope: String,
    /// The account that sends, or is sent for; may be empty.
    pub account: String,
    /// What is known of the server.
    pub server: Option<&'static AuthorizationServer>,
}

/// What access tokens are given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A refresh token (RFC 6749 6): the one `mailchute login` keeps, or a given one.
    RefreshToken(Option<Source>),
    /// The client's own credentials (RFC 6749 4.4).
    ClientCredentials,
    /// A service account's key, in Google's JSON form (RFC 7523).
    ServiceAccount(Source),
}

impl OAuth {
    /// The key that says tokens are got.
    pub fn key(&self) -> &'static str {
        match self.grant {
            Grant::ServiceAccount(_) => "service_account",
            _ => "client_id",
        }
    }

    /// Whether a person has to grant it.
    pub fn needs_person(&self) -> bool {
        matches!(self.grant, Grant::RefreshToken(None))
    }

    /// The secrets that are read from the configuration, by their keys.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        let granted = match &self.grant {
            Grant::RefreshToken(given) => given.as_ref().map(|source| ("refresh_token", source)),
            Grant::ServiceAccount(key) => Some(("service_account", key)),
            Grant::ClientCredentials => None,
        };
        self.client_secret.as_ref().map(|source| ("client_secret", source)).into_iter().chain(granted)
    }
}

/// The keys that make [`OAuth`] of a relay, by the provider's HTTP API or by SMTP; there are none where that takes no
/// access tokens.
pub(super) fn keys(provider: Option<&Provider>, by_api: bool) -> Vec<&'static str> {
    let mut keys = vec![
        "client_id",
        "client_secret",
        "refresh_token",
        "scope",
        "token_endpoint",
        "authorization_endpoint",
        "device_authorization_endpoint",
        "grant",
    ];
    let has_server = |provider: &&Provider| by_api || provider.bearer;
    let Some(server) = provider.filter(has_server).and_then(|provider| provider.authorization) else {
        return if provider.is_none_or(|provider| provider.bearer) { keys } else { Vec::new() };
    };
    keys.extend(server.application.is_some().then_some("tenant"));
    keys.extend(server.service_accounts.then_some("service_account"));
    keys.push("username");
    keys
}

/// The words for many tenants at once, in which no application has rights of its own.
const SHARED_TENANTS: &[&str] = &["common", "organizations", "consumers"];

/// Reads the keys of `section` that say how tokens are got; `entry` is the API the relay uses, `None`: SMTP.
/// `None`: there are none.
///
/// # Errors
/// One without those it needs, or beside another secret.
pub(super) fn read(
    section: &Section<'_>,
    provider: Option<&'static Provider>,
    entry: Option<&Entry>,
) -> Result<Option<OAuth>, Failure> {
    let takes = keys(provider, entry.is_some());
    let has = |key: &str| takes.contains(&key) && section.has(key);
    let Some(first) = takes.iter().copied().find(|key| *key != "username" && has(key)) else { return Ok(None) };
    let Some(first) = ["client_id", "service_account"].into_iter().find(|key| has(key)) else {
        return Err(section.error(first, format!("{first:?} needs \"client_id\"")));
    };
    let mut secrets = secret_keys(provider);
    secrets.push("token");
    if let Some(other) = secrets.into_iter().find(|key| section.has(key)) {
        return Err(section.error(first, format!("{other:?} and {first:?} are two secrets for one login")));
    }
    let server = provider.and_then(|provider| provider.authorization);
    let given = |key: &str| if has(key) { section.source(key) } else { Ok(None) };
    let service_account = given("service_account")?;
    let client_id = section.string("client_id")?.unwrap_or_default().to_owned();
    let client_secret = given("client_secret")?;
    let tenant = tenant(section, server)?;
    let region = region(section, server)?;
    let grant = match service_account {
        Some(source) => {
            if let Some(other) = ["client_id", "client_secret", "refresh_token"].into_iter().find(|key| has(key)) {
                return Err(section.wrong(other, "has no meaning beside \"service_account\", whose key says it"));
            }
            Grant::ServiceAccount(source)
        }
        None => grant(section, server, given("refresh_token")?, client_secret.is_some())?,
    };
    let needs = |key: &str, what: &str| Err(section.error(first, format!("{what} needs {key:?}")));
    // Who logs in may write from the mailbox of somebody else.
    let has_mailbox = entry.is_some_and(|entry| entry.has("mailbox"));
    let account_key = if has_mailbox && !section.has("username") { "mailbox" } else { "username" };
    let account = section.string(account_key).ok().flatten().unwrap_or_default().to_owned();
    match grant {
        Grant::ServiceAccount(_) if !section.has(account_key) => {
            return Err(
                section.error(first, format!("a service account needs {account_key:?}, the mailbox it sends as"))
            );
        }
        Grant::ClientCredentials if client_secret.is_none() => return needs("client_secret", "client_credentials"),
        Grant::ClientCredentials if tenant.is_some_and(|tenant| SHARED_TENANTS.contains(&tenant)) => {
            return needs("tenant", "an application's own login");
        }
        Grant::ClientCredentials if has_mailbox && !section.has("mailbox") => {
            return Err(section.error(first, "an application needs \"mailbox\", the mailbox it sends from"));
        }
        _ => {}
    }
    let scopes = match (&grant, server) {
        (Grant::ClientCredentials, Some(server)) => server.application.as_ref(),
        (_, server) => server.map(|server| &server.scope),
    };
    let usual = scopes.map_or("", |scopes| if entry.is_some() { scopes.api } else { scopes.smtp });
    let at = |key: &str, own: Option<&str>| {
        let own = own.map(|own| own.replace("{tenant}", tenant.unwrap_or_default()).replace("{region}", region));
        match own.is_some() || section.has(key) {
            true => endpoint(section, key, &own.unwrap_or_default()).map(Some),
            false => Ok(None),
        }
    };
    let Some(token_endpoint) = at("token_endpoint", server.map(|server| server.token_endpoint))? else {
        return needs("token_endpoint", &format!("{first:?}"));
    };
    Ok(Some(OAuth {
        grant,
        client_id,
        client_secret,
        token_endpoint,
        device_authorization_endpoint: at(
            "device_authorization_endpoint",
            server.and_then(|server| server.device_authorization_endpoint),
        )?,
        authorization_endpoint: at("authorization_endpoint", server.map(|server| server.authorization_endpoint))?
            .map(|endpoint| endpoint.url),
        scope: section.string("scope")?.unwrap_or(usual).to_owned(),
        account,
        server,
    }))
}

/// `grant`, or what the credentials say: an application with a secret in a tenant of its own speaks for itself.
fn grant(
    section: &Section<'_>,
    server: Option<&AuthorizationServer>,
    refresh_token: Option<Source>,
    has_secret: bool,
) -> Result<Grant, Failure> {
    let words = [("refresh_token", false), ("client_credentials", true)];
    let is_usual = server.is_some_and(|server| server.application.is_some())
        && has_secret
        && section.has("tenant")
        && refresh_token.is_none();
    let is_application = section.word("grant", &words)?.unwrap_or(is_usual);
    if is_application && server.is_some_and(|server| server.application.is_none()) {
        return Err(section.wrong("grant", "is not what this provider gives tokens for").hint("use service_account"));
    }
    if is_application && refresh_token.is_some() {
        return Err(section.wrong("refresh_token", "has no meaning with grant = \"client_credentials\""));
    }
    Ok(if is_application { Grant::ClientCredentials } else { Grant::RefreshToken(refresh_token) })
}

/// What stands for `region` in the server's addresses.
fn region(section: &Section<'_>, server: Option<&'static AuthorizationServer>) -> Result<&'static str, Failure> {
    let Some([(usual, _), ..]) = server.map(|server| server.regions) else { return Ok("") };
    let said = section.string("region")?.unwrap_or(usual);
    let place = server.and_then(|server| server.regions.iter().find(|(region, _)| *region == said));
    place
        .map(|(_, place)| *place)
        .ok_or_else(|| section.wrong("region", "is no region that access tokens are known from"))
}

/// `tenant`, or the server's usual one.
fn tenant<'d>(section: &Section<'d>, server: Option<&'static AuthorizationServer>) -> Result<Option<&'d str>, Failure> {
    let Some(usual) = server.and_then(|server| server.tenant) else { return Ok(None) };
    let said = section.string("tenant")?.unwrap_or(usual);
    match said.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) && said.contains(|c| c != '.') {
        true => Ok(Some(said)),
        false => Err(section.wrong("tenant", "must be the directory's id or one of its domains")),
    }
}
