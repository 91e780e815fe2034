//! The environment as a configuration: variables rendered as the same TOML a file would hold, so that
//! both are read by the same code and `init --from-env` cannot disagree with sending.

use std::ffi::OsString;

use zeroize::Zeroizing;

use super::accounts::Accounts;
use super::document::{Document, Text};
use super::relay::credentials::lone_key;
use super::scope::{Scope, Standing};
use super::setting::{Secrets, Setting, Value, list, typed};
use super::url::Url;
use super::url_relay::{UrlRelay, failure};
use super::variables::{Variables, secret, text, username};
use super::wording::Wording;
use super::{dsn, laravel, site::policy};
use crate::caller::Caller;
use crate::failure::Failure;

/// A configuration made of environment variables.
pub(super) struct Environment {
    /// The variable that decides: `MAILCHUTE_URL`, `MAILER_DSN` or `MAIL_HOST`.
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
            if dsn::is_spread(&value) {
                let spread = Value::Text(Zeroizing::new("spread".to_owned()));
                found.top.push(Setting { variable: dsn::VARIABLE, key: "strategy".into(), value: spread });
            }
        }
        if found.relays.is_empty() {
            let Some(laravel::Laravel { relay, from }) = laravel::read(variables)? else { return Ok(None) };
            found.variable = laravel::VARIABLE;
            found.relays.push(relay);
            found.top.extend(from);
        }
        if let Some(from) = text(variables, "MAILCHUTE_FROM")? {
            found.top.retain(|setting| setting.key != "from");
            found.top.push(Setting { variable: "MAILCHUTE_FROM", key: "from".into(), value: Value::Text(from) });
        }
        if let Some(log) = text(variables, "MAILCHUTE_LOG")? {
            found.log = Some(Setting { variable: "MAILCHUTE_LOG", key: "to".into(), value: list(&log) });
        }
        Ok(Some(found))
    }

    /// Adds the relay of `MAILCHUTE_URL` or `MAILCHUTE_BACKUP_URL`.
    fn url(&mut self, variables: Variables<'_>, names: &Names, text: &str) -> Result<(), Failure> {
        let mut url = Url::parse(text).map_err(|why| {
            failure(names.url, why).hint(
                "write smtps://HOST (port 465), smtp://HOST:587 (STARTTLS), or a provider such as postmark://default",
            )
        })?;
        if url.scheme == "smtps" && url.port == Some(587) && !url.query.iter().any(|(key, _)| key == "tls") {
            let why = "says smtps, TLS from the start, on port 587, where STARTTLS is spoken";
            return Err(failure(names.url, why).hint("write smtp://HOST:587, or smtps://HOST for port 465"));
        }
        let query = std::mem::take(&mut url.query);
        let mut relay = UrlRelay::of(names.url, url, query.iter().any(|(key, _)| key == "tls"), 587)?;
        relay.replace("username", username(variables, &names.username)?);
        let key =
            relay.api.and_then(|api| api.credentials.first()).map(|first| first.key).or(relay.provider.map(lone_key));
        // A client's secrets, where access tokens are got.
        let (password, key) = match query.iter().any(|(key, _)| key == "client_id") {
            true => ("client_secret", "refresh_token"),
            false => ("password", key.unwrap_or("token")),
        };
        relay.replace(password, secret(variables, &names.password)?);
        relay.replace(key, secret(variables, &names.key)?);
        for (key, value) in query {
            if ["verify_peer", "verify_peer_name", "allow_self_signed"].contains(&key.as_str()) {
                let why = format!("has {key}, and certificates are always verified");
                return Err(failure(names.url, why).hint(
                    "leave it out; to trust the server's own certificate, write ?ca_file=FILE or ?fingerprint=SHA256",
                ));
            }
            let value = typed(&key, value);
            match policy::KEYS.contains(&key.as_str()) && !relay.api.is_some_and(|api| api.has(&key)) {
                true => self.top.push(Setting { variable: names.url, key, value }),
                false => relay.set(&key, value),
            }
        }
        self.relays.push(relay.settings());
        Ok(())
    }

    /// How hints about it are worded.
    pub(super) fn wording(&self) -> Wording {
        let tls = self.relays.first().and_then(|relay| relay.iter().find(|setting| setting.key == "tls"));
        Wording { tls: tls.map(|setting| setting.variable), ..Wording::of_variable(self.variable) }
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
    let accounts = &Accounts::of(caller);
    let standing = Standing::environment(accounts);
    let text = Text::Variables(lines);
    let scope = Scope::read(&Document::parse(&text, &body)?, standing, &mut Vec::new())?;
    let remark = match scope.holds_secret {
        true => "# A secret is inside: chown root:GROUP and chmod 0640, GROUP being the group of those who send.\n",
        false => "",
    };
    let head = format!("# /etc/mailchute/config.toml, made from {}.\n{remark}", environment.variable);
    Ok(Some(Zeroizing::new(format!("{head}{}", *body))))
}
