//! The environment as a configuration: variables rendered as the same TOML a file would hold, so that
//! both are read by the same code and `init --from-env` cannot disagree with sending.

use std::ffi::OsString;

use zeroize::Zeroizing;

use super::document::{Document, Text};
use super::scope::{Scope, Standing};
use super::setting::{Secrets, Setting, Value, list, typed};
use super::url::Url;
use super::{dsn, site::policy, value};
use crate::caller::Caller;
use crate::failure::{Failure, Kind};
use crate::providers::api::{self, Entry};
use crate::providers::{self, Provider, UserName, amazon_ses};

/// Environment variables by name; those set to nothing count as unset.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A configuration made of environment variables.
pub(super) struct Environment {
    /// The variable that decides: `MAILCHUTE_URL` or `MAILER_DSN`.
    pub(super) variable: &'static str,
    /// The settings of the top level.
    top: Vec<Setting>,
    /// The relays, in the order they are tried.
    relays: Vec<Vec<Setting>>,
    /// `MAILCHUTE_LOG`.
    log: Option<Setting>,
    /// What was ignored.
    pub(super) warnings: Vec<String>,
}

/// The names of one relay's variables.
struct Names {
    url: &'static str,
    username: [&'static str; 2],
    password: [&'static str; 2],
    key: [&'static str; 2],
}

const MAIN: Names = Names {
    url: "MAILCHUTE_URL",
    username: ["MAILCHUTE_USERNAME", "MAILCHUTE_USERNAME_FILE"],
    password: ["MAILCHUTE_PASSWORD", "MAILCHUTE_PASSWORD_FILE"],
    key: ["MAILCHUTE_KEY", "MAILCHUTE_KEY_FILE"],
};

const BACKUP: Names = Names {
    url: "MAILCHUTE_BACKUP_URL",
    username: ["MAILCHUTE_BACKUP_USERNAME", "MAILCHUTE_BACKUP_USERNAME_FILE"],
    password: ["MAILCHUTE_BACKUP_PASSWORD", "MAILCHUTE_BACKUP_PASSWORD_FILE"],
    key: ["MAILCHUTE_BACKUP_KEY", "MAILCHUTE_BACKUP_KEY_FILE"],
};

impl Environment {
    /// The configuration in `variables`, if there is one.
    ///
    /// # Errors
    /// `Configuration` for a URL that is none, an unknown scheme, two forms of one secret.
    pub(super) fn find(variables: Variables<'_>) -> Result<Option<Self>, Failure> {
        let variables = &|name: &str| variables(name).filter(|value| !value.is_empty());
        let mut found =
            Self { variable: MAIN.url, top: Vec::new(), relays: Vec::new(), log: None, warnings: Vec::new() };
        if let Some(url) = text(variables, MAIN.url)? {
            found.url(variables, &MAIN, &url)?;
            if let Some(url) = text(variables, BACKUP.url)? {
                found.url(variables, &BACKUP, &url)?;
            }
        } else if let Some(value) = text(variables, dsn::VARIABLE)? {
            found.variable = dsn::VARIABLE;
            found.relays = dsn::relays(&value, &mut found.warnings)?;
        }
        if found.relays.is_empty() {
            return Ok(None);
        }
        if let Some(from) = text(variables, "MAILCHUTE_FROM")? {
            found.top.push(Setting { variable: "MAILCHUTE_FROM", key: "from".into(), value: Value::Text(from) });
        }
        if let Some(log) = text(variables, "MAILCHUTE_LOG")? {
            found.log = Some(Setting { variable: "MAILCHUTE_LOG", key: "to".into(), value: list(&log) });
        }
        Ok(Some(found))
    }

    /// Adds the relay of `MAILCHUTE_URL` or `MAILCHUTE_BACKUP_URL`.
    fn url(&mut self, variables: Variables<'_>, names: &Names, text: &str) -> Result<(), Failure> {
        let mut url = Url::parse(text).map_err(|why| failure(names.url, why))?;
        let query = std::mem::take(&mut url.query);
        let mut relay = Relay::of(names.url, url, query.iter().any(|(key, _)| key == "tls"), 587)?;
        relay.replace(
            "username",
            secret(variables, &names.username)?.map(|value| match value {
                // A user name is no secret, and its address may serve as the sender.
                Value::Variable(_, text) => Value::Text(text),
                value => value,
            }),
        );
        let key = relay
            .api
            .and_then(|api| api.credentials.first())
            .map(|first| first.key)
            .or(relay.provider.map(Provider::key));
        // A client's secrets, where access tokens are got.
        let (password, key) = match query.iter().any(|(key, _)| key == "client_id") {
            true => ("client_secret", "refresh_token"),
            false => ("password", key.unwrap_or("token")),
        };
        relay.replace(password, secret(variables, &names.password)?);
        relay.replace(key, secret(variables, &names.key)?);
        for (key, value) in query {
            let value = typed(&key, value);
            match policy::KEYS.contains(&key.as_str()) && !relay.api.is_some_and(|api| api.has(&key)) {
                true => self.top.push(Setting { variable: names.url, key, value }),
                false => relay.set(&key, value),
            }
        }
        self.relays.push(relay.settings());
        Ok(())
    }

    /// The configuration as TOML, and the variable behind each of its lines.
    pub(super) fn toml(&self, secrets: Secrets) -> (Zeroizing<String>, Vec<String>) {
        let mut text = Zeroizing::new(String::with_capacity(4096));
        let mut lines = Vec::new();
        let mut put = |line: &str, variable: &str| {
            text.push_str(line);
            text.push('\n');
            lines.push(variable.to_owned());
        };
        for setting in &self.top {
            put(&setting.line(secrets), setting.variable);
        }
        for (number, relay) in self.relays.iter().enumerate() {
            let variable = relay.first().map_or(self.variable, |setting| setting.variable);
            put("", variable);
            match number {
                0 => put("[relay.main]", variable),
                1 => put("[relay.backup]", variable),
                _ => put(&format!("[relay.backup-{number}]"), variable),
            }
            for setting in relay {
                put(&setting.line(secrets), setting.variable);
            }
        }
        if let Some(log) = &self.log {
            put("", log.variable);
            put("[log]", log.variable);
            put(&log.line(secrets), log.variable);
        }
        (text, lines)
    }
}

/// One relay's settings, while they are gathered.
pub(super) struct Relay {
    variable: &'static str,
    pub(super) provider: Option<&'static Provider>,
    /// The API that the scheme asks for.
    pub(super) api: Option<&'static Entry>,
    settings: Vec<Setting>,
}

impl Relay {
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
                let implicit = provider.ports.iter().any(|port| port.tls == super::relay::TlsMode::Implicit);
                match transport {
                    "api" | "https" => {
                        relay.api = api::find(provider.id);
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
        let lone_key = self.provider.is_some_and(|p| matches!(p.username, UserName::Word(_) | UserName::Secret));
        match (url.username, url.password) {
            (Some(key), None) if lone_key => {
                let name = self.provider.map_or("token", Provider::key);
                self.set(name, Value::Text(Zeroizing::new(key)));
            }
            (username, password) => {
                if let Some(username) = username {
                    self.put("username", &username);
                }
                if let Some(password) = password {
                    let derive =
                        self.provider.is_some_and(|p| p.id == "amazon-ses") && !amazon_ses::is_smtp_password(&password);
                    self.set(if derive { "secret_access_key" } else { "password" }, Value::Text(password));
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
    fn replace(&mut self, key: &str, value: Option<Value>) {
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

/// The environment's configuration as the text of a file, for a place whose environment is cleared.
/// Secrets that are variables' values are written out; those in files stay there. `None`: there is none.
///
/// # Errors
/// `Configuration` when the environment's configuration is wrong, by the variable at fault.
pub fn init_from_environment(
    variables: &dyn Fn(&str) -> Option<OsString>,
    caller: &Caller,
) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(environment) = Environment::find(variables)? else { return Ok(None) };
    let (body, lines) = environment.toml(Secrets::Written);
    let standing = Standing { file: None, lone_site: "default", base: None, owner: None, caller };
    let text = Text::Variables(lines);
    let scope = Scope::read(&Document::parse(&text, &body)?, standing, &mut Vec::new())?;
    let remark = match scope.holds_secret {
        true => "# A secret is inside: chown root:GROUP and chmod 0640, GROUP being the group of those who send.\n",
        false => "",
    };
    let head = format!("# /etc/mailchute/config.toml, made from {}.\n{remark}", environment.variable);
    Ok(Some(Zeroizing::new(format!("{head}{}", *body))))
}

pub(super) fn failure(variable: &str, why: impl Into<String>) -> Failure {
    Failure::new(Kind::Configuration, variable, why)
}

fn unknown_scheme(variable: &str, scheme: &str) -> Failure {
    let known = ["smtp", "smtps", "lmtp"].into_iter().chain(providers::all().iter().flat_map(Provider::words));
    let failure = failure(variable, format!("unknown scheme {scheme:?}"));
    match value::nearest(scheme, known) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint("schemes: smtp, smtps, lmtp, or a provider such as postmark+smtp"),
    }
}

/// Whether the URL's host is this host, where no TLS is the default.
fn is_local(host: &str) -> bool {
    host.is_empty() || super::relay::read::is_loopback(host)
}

/// A variable's value as text.
fn text(variables: Variables<'_>, name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    match variables(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(Zeroizing::new(text))),
        Some(Err(_)) => Err(failure(name, "is not UTF-8 text")),
    }
}

/// A secret from its variable or the variable's `_FILE` twin.
fn secret(variables: Variables<'_>, [name, file]: &[&'static str; 2]) -> Result<Option<Value>, Failure> {
    match (text(variables, name)?, text(variables, file)?) {
        (Some(_), Some(_)) => Err(failure(name, format!("and {file} are both set"))),
        (Some(secret), None) => Ok(Some(Value::Variable(name, secret))),
        (None, Some(path)) => Ok(Some(Value::File(path.to_string()))),
        (None, None) => Ok(None),
    }
}
