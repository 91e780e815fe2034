//! A relay as a URL names it (`MAILCHUTE_URL`, one part of `MAILER_DSN`).

use zeroize::Zeroizing;

use super::relay::credentials::lone_key;
use super::relay::endpoint::is_loopback;
use super::setting::{Setting, Value};
use super::url::Url;
use crate::failure::{Failure, Kind};
use crate::providers::api::Entry;
use crate::providers::{self, Provider, TlsMode, UserName};
use crate::spelling;

/// One relay's settings, while they are gathered.
pub(super) struct UrlRelay {
    variable: &'static str,
    pub(super) provider: Option<&'static Provider>,
    /// The API that the scheme asks for.
    pub(super) api: Option<&'static Entry>,
    settings: Vec<Setting>,
}

impl UrlRelay {
    /// Scheme, place and credentials of `url`; its query is the caller's to read. `port` is the usual
    /// port of the scheme `smtp`.
    ///
    /// # Errors
    /// `Configuration` for a scheme that is neither a protocol nor a provider.
    pub(super) fn of(variable: &'static str, url: Url, tls_is_given: bool, port: u16) -> Result<Self, Failure> {
        let mut relay = Self { variable, provider: None, api: None, settings: Vec::new() };
        let (word, transport) = url.scheme.split_once('+').unwrap_or((&url.scheme, ""));
        match (word, transport) {
            ("smtp", "") if url.port.is_none() && !tls_is_given && !is_local(&url.host) => {
                relay.set("port", Value::Bare(port.to_string()));
            }
            ("smtp", "") => (),
            ("smtps", "") if tls_is_given => (),
            ("smtps", "") => relay.put("tls", "implicit"),
            ("lmtp", "") => relay.put("protocol", "lmtp"),
            ("null", "") => {
                relay.put("protocol", "null");
                return Ok(relay);
            }
            (word, "" | "smtp" | "smtps" | "api" | "https") => {
                let provider = Provider::find(word).ok_or_else(|| unknown_scheme(variable, word))?;
                relay.provider = Some(provider);
                relay.put("provider", provider.id);
                let implicit = provider.ports.iter().any(|port| port.tls == TlsMode::Implicit);
                match transport {
                    "api" | "https" => {
                        relay.api = provider.api;
                        relay.put("via", "api");
                    }
                    "smtps" if implicit && url.port.is_none() && !tls_is_given => relay.put("tls", "implicit"),
                    _ => (),
                }
            }
            _ => return Err(unknown_scheme(variable, &url.scheme)),
        }
        relay.place(&url)?;
        relay.credentials(url);
        Ok(relay)
    }

    fn place(&mut self, url: &Url) -> Result<(), Failure> {
        match (url.host.as_str(), url.path.as_str()) {
            ("" | "default", "" | "/") if self.provider.is_some() => (),
            (host, path) if self.api.is_some() => {
                let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
                self.put("endpoint", &format!("https://{host}{port}{path}"));
                return Ok(());
            }
            ("", path) if path.len() > 1 => self.put("host", path),
            (host, "" | "/") => self.put("host", host),
            _ => return Err(failure(self.variable, "has a path behind the host")),
        }
        if let Some(port) = url.port {
            self.set("port", Value::Bare(port.to_string()));
        }
        Ok(())
    }

    fn credentials(&mut self, url: Url) {
        if let Some(api) = self.api {
            let given = [url.username.map(Zeroizing::new), url.password];
            for (position, value) in given.into_iter().enumerate() {
                if let Some(value) = value {
                    // More than the API takes goes under a key that says so.
                    let key = api.url_key(position).unwrap_or("password");
                    self.set(key, Value::Text(value));
                }
            }
            return;
        }
        let is_lone = self.provider.is_some_and(|p| matches!(p.username, UserName::Word(_) | UserName::Secret));
        match (url.username, url.password) {
            (Some(key), None) if is_lone => {
                let name = self.provider.map_or("token", lone_key);
                self.set(name, Value::Text(Zeroizing::new(key)));
            }
            (username, password) => {
                if let Some(username) = username {
                    self.put("username", &username);
                }
                if let Some(password) = password {
                    let derived = self.provider.and_then(|provider| provider.derived);
                    let other = derived.filter(|derived| !(derived.is_made)(&password)).map(|derived| derived.from);
                    self.set(other.unwrap_or("password"), Value::Text(password));
                }
            }
        }
    }

    /// Sets `key` to a string.
    pub(super) fn put(&mut self, key: &str, text: &str) {
        self.set(key, Value::Text(Zeroizing::new(text.to_owned())));
    }

    /// Sets `key`; what is said twice is found when the rendered text is read.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.settings.push(Setting { variable: self.variable, key: key.to_owned(), value });
    }

    /// Sets `key` to what a variable of its own says, which goes before the URL.
    pub(super) fn replace(&mut self, key: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.settings.retain(|setting| setting.key != key);
            self.set(key, value);
        }
    }

    /// The settings gathered.
    pub(super) fn settings(self) -> Vec<Setting> {
        self.settings
    }
}

/// What is wrong with `variable`.
pub(super) fn failure(variable: &str, why: impl Into<String>) -> Failure {
    Failure::new(Kind::Configuration, variable, why)
}

fn unknown_scheme(variable: &str, scheme: &str) -> Failure {
    let known = ["smtp", "smtps", "lmtp"].into_iter().chain(providers::all().flat_map(Provider::words));
    let failure = failure(variable, format!("unknown scheme {scheme:?}"));
    match spelling::nearest(scheme, known) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint("schemes: smtp, smtps, lmtp, or a provider such as postmark+smtp"),
    }
}

/// Whether the URL's host is this host, where no TLS is the default.
fn is_local(host: &str) -> bool {
    host.is_empty() || is_loopback(host)
}
