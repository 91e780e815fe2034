//! A server that mail went to, in whatever program's words, as a relay of ours.

use zeroize::Zeroizing;

use super::code::{CERTIFICATE, IMPLIED, LOGIN_METHOD, NO_COUNTERPART, PORT, TLS_MODE, TLS_REQUIRED, TLS_VERIFIED};
use super::ledger::Id;
use super::{Draft, Said, Table, Written};
use crate::config::relay::{Mechanism, is_loopback};
use crate::providers::{Provider, TlsMode, UserName};

/// When TLS began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// From the first octet.
    Implicit,
    /// After STARTTLS, without which nothing was sent.
    StartTls,
    /// After STARTTLS where it was offered.
    Opportunistic,
    /// Never.
    None,
}

/// What another program knew of a server. Nothing in it is a default of ours.
#[derive(Debug)]
pub struct Smarthost {
    /// What the program calls it.
    pub name: String,
    /// Host name, address literal or the path of a socket.
    pub host: Said<String>,
    /// The port it used; without one where the host is a socket.
    pub port: Option<Said<u16>>,
    /// When TLS began.
    pub tls: Said<TlsUse>,
    /// Whether it verified the server's certificate.
    pub verifies: bool,
    /// The user name it logged in with.
    pub username: Option<Said<String>>,
    /// What it proved that with: a secret of any kind.
    pub secret: Option<Said<Written>>,
    /// Whether that is an access token.
    pub is_token: bool,
    /// The mechanisms it used, where it did not use any that is safe.
    pub auth: Said<Vec<String>>,
    /// Whatever else there is under the same name here.
    pub more: Vec<(&'static str, Said<Written>)>,
    /// The program, for a sentence.
    pub program: &'static str,
}

impl Smarthost {
    /// A server of which nothing but its name is known.
    pub fn new(program: &'static str, name: &str, host: Said<String>) -> Self {
        Self {
            name: name.to_owned(),
            host,
            port: None,
            tls: Said::own(TlsUse::None),
            verifies: true,
            username: None,
            secret: None,
            is_token: false,
            auth: Said::own(Vec::new()),
            more: Vec::new(),
            program,
        }
    }

    /// Whether it logged in.
    pub fn logs_in(&self) -> bool {
        let is_external = matches!(&self.auth.value[..], [only] if only.eq_ignore_ascii_case("EXTERNAL"));
        is_external || (self.username.is_some() && self.secret.is_some())
    }
}

impl Draft {
    /// Makes `smarthost` a relay.
    pub fn relay(&mut self, mut smarthost: Smarthost) -> Table {
        let table = self.named(Table::Relay, &smarthost.name, &smarthost.host.from);
        self.open(&table);
        let host = smarthost.host.value.trim_matches(['[', ']']).to_ascii_lowercase();
        let mode = self.mode(&mut smarthost, &host);
        let known = Provider::at_host(&host).filter(|(provider, _)| fits(provider, &smarthost));
        let mode = self.place(&table, &smarthost, known.as_ref(), mode);
        self.login(&table, &smarthost, known.as_ref().map(|(provider, _)| *provider));
        for (key, said) in smarthost.more {
            self.set(&table, key, said.value, &said.from);
        }
        if mode != TlsMode::None && !smarthost.verifies && !self.has(&table, "fingerprint") {
            let why = format!("{} did not verify the certificate of {host}; mailchute does", smarthost.program);
            self.say_all(&smarthost.tls.from, "tls", &TLS_VERIFIED, &why);
        }
        table
    }

    /// Says the same of all settings, or as a remark where there are none.
    pub fn say_all(&mut self, ids: &[Id], key: &str, code: &'static super::code::Judgement, why: &str) {
        self.say_all_of(ids, code, why);
        if ids.is_empty() {
            self.ledger.remark(key, code, why);
        }
    }

    /// Says the same of all settings.
    pub fn say_all_of(&mut self, ids: &[Id], code: &'static super::code::Judgement, why: &str) {
        for id in ids {
            self.ledger.say(*id, code, why);
        }
    }

    /// The way of TLS that is asked for here.
    fn mode(&mut self, smarthost: &mut Smarthost, host: &str) -> TlsMode {
        let is_here = host.starts_with('/') || is_loopback(host);
        match smarthost.tls.value {
            TlsUse::Implicit => TlsMode::Implicit,
            TlsUse::StartTls => TlsMode::StartTls,
            TlsUse::None if smarthost.logs_in() && !is_here => {
                let why = format!("{} logged in without encryption; mailchute asks for STARTTLS", smarthost.program);
                self.say_all(&smarthost.tls.from, "tls", &TLS_REQUIRED, &why);
                TlsMode::StartTls
            }
            TlsUse::None => TlsMode::None,
            TlsUse::Opportunistic if is_here => {
                let why = "on this host nothing is encrypted; tls = \"starttls\" would have it required";
                self.say_all(&smarthost.tls.from, "tls", &TLS_MODE, why);
                TlsMode::None
            }
            TlsUse::Opportunistic => {
                let why = format!(
                    "{} went on without STARTTLS where it was not offered; mailchute requires it",
                    smarthost.program
                );
                self.say_all(&smarthost.tls.from, "tls", &TLS_REQUIRED, &why);
                TlsMode::StartTls
            }
        }
    }

    /// Host, port and TLS, by the provider's preset where it has one.
    fn place(
        &mut self,
        table: &Table,
        smarthost: &Smarthost,
        known: Option<&(&'static Provider, Option<String>)>,
        mode: TlsMode,
    ) -> TlsMode {
        let host = smarthost.host.value.trim_matches(['[', ']']);
        let port = smarthost.port.as_ref();
        let number = port.map(|port| port.value);
        let port_ids = port.map_or(&[][..], |port| &port.from[..]);
        let listed = known.and_then(|(provider, _)| provider.tls_of(number?));
        // Where somebody else's program could not have got through, the port's own way is meant.
        let mode = match listed {
            Some(listed) if listed != mode && mode != TlsMode::None => {
                let name = known.map_or("", |(provider, _)| provider.name);
                let (now, then) = (said(listed), said(mode));
                let why = format!("port {} of {name} speaks {now}, not {then}", number.unwrap_or_default());
                self.say_all(&smarthost.tls.from, "tls", &TLS_MODE, &why);
                listed
            }
            _ => mode,
        };
        let tls_word = match mode {
            TlsMode::Implicit => "implicit",
            TlsMode::StartTls => "starttls",
            TlsMode::None => "none",
        };
        let both = [port_ids, &smarthost.tls.from].concat();
        if let Some((provider, region)) = known {
            self.set(table, "provider", provider.id, &smarthost.host.from);
            if let Some(region) = region {
                self.set(table, "region", region.as_str(), &smarthost.host.from);
            }
            match provider.ports.first() {
                Some(first) if number == Some(first.number) && mode == first.tls => {}
                _ => {
                    if let Some(number) = number {
                        self.set(table, "port", Written::Bare(number.to_string()), port_ids);
                    }
                    if number.is_none_or(|number| provider.tls_of(number) != Some(mode)) {
                        self.set(table, "tls", tls_word, &smarthost.tls.from);
                    }
                }
            }
            self.ledger.carry(&both);
            return mode;
        }
        self.set(table, "host", host, &smarthost.host.from);
        if host.starts_with('/') {
            if mode != TlsMode::None {
                self.set(table, "tls", tls_word, &smarthost.tls.from);
            }
            self.ledger.carry(&both);
            return mode;
        }
        if let Some(number) = number {
            self.set(table, "port", Written::Bare(number.to_string()), port_ids);
        }
        let usual = match number {
            _ if is_loopback(host) => TlsMode::None,
            Some(465 | 2465) | None => TlsMode::Implicit,
            Some(_) => TlsMode::StartTls,
        };
        if mode != usual {
            self.set(table, "tls", tls_word, &smarthost.tls.from);
        }
        self.ledger.carry(&both);
        mode
    }

    /// User name, secret and mechanisms.
    fn login(&mut self, table: &Table, smarthost: &Smarthost, known: Option<&'static Provider>) {
        let mut mechanisms = Vec::new();
        for word in &smarthost.auth.value {
            match Mechanism::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
                Some((name, _)) => mechanisms.push((*name).to_owned()),
                None => {
                    let why = format!("{} is not known here; any safe way to log in is taken", word.to_uppercase());
                    self.say_all(&smarthost.auth.from, "auth", &LOGIN_METHOD, &why);
                }
            }
        }
        let is_external = mechanisms == ["EXTERNAL"];
        let (Some(username), Some(secret)) = (&smarthost.username, &smarthost.secret) else {
            if is_external {
                if let Some(username) = &smarthost.username {
                    self.set(table, "username", username.value.as_str(), &username.from);
                }
                self.set(table, "auth", Written::List(mechanisms), &smarthost.auth.from);
            }
            return;
        };
        let is_secret_itself = matches!(&secret.value, Written::Secret(text) if **text == username.value);
        let is_known_word = match known.map(|provider| &provider.username) {
            Some(UserName::Word(word)) => *word == username.value,
            Some(UserName::Secret) => is_secret_itself,
            _ => false,
        };
        // Without a derivation, a provider's own word for its secret is as literal as `password`.
        let natural = known.filter(|provider| provider.derived.is_none()).and_then(|provider| provider.secrets.first());
        let is_given = known.is_some_and(|provider| matches!(provider.username, UserName::Given(_)));
        let key = match natural {
            _ if smarthost.is_token => "token",
            Some(key) if is_known_word || is_given => key,
            _ => "password",
        };
        if is_known_word {
            self.ledger.carry(&username.from);
        } else {
            self.set(table, "username", username.value.as_str(), &username.from);
        }
        self.set(table, key, secret.value.clone(), &secret.from);
        if known.is_some_and(|provider| provider.api.is_some_and(|entry| entry.has(key))) {
            // The same key would mean the HTTP API where it can.
            self.set(table, "via", "smtp", &[]);
        }
        match mechanisms.is_empty() {
            true => self.ledger.carry(&smarthost.auth.from),
            false => self.set(table, "auth", Written::List(mechanisms), &smarthost.auth.from),
        }
    }

    /// The trust that another program had. A file that is the system's own is what is trusted anyway.
    pub fn ca_file(&mut self, smarthost: &mut Smarthost, file: Said<String>) {
        match SYSTEM_STORES.contains(&file.value.as_str()) {
            true => self.say_all(&file.from, "ca_file", &IMPLIED, ""),
            false => {
                let Said { value, from } = file;
                smarthost.more.push(("ca_file", Said { value: Written::Text(value), from }));
            }
        }
    }

    /// The fingerprint that another program had, hexadecimal digits with or without colons.
    pub fn fingerprint(&mut self, smarthost: &mut Smarthost, print: Said<&str>) {
        let digits: String = print.value.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_lowercase();
        let Said { from, .. } = print;
        if digits.len() == 64 {
            smarthost.more.push(("fingerprint", Said { value: Written::Text(digits), from }));
            return;
        }
        let why = "only a SHA-256 fingerprint (64 hexadecimal digits) is taken here, or ca_file";
        self.say_all(&from, "fingerprint", &CERTIFICATE, why);
    }

    /// A port that another program took for another one.
    pub fn other_port(&mut self, ids: &[Id], why: &str) {
        self.say_all(ids, "port", &PORT, why);
    }

    /// A setting that nothing here is like.
    pub fn drop(&mut self, id: Id, why: &str) {
        self.ledger.say(id, &NO_COUNTERPART, why);
    }
}

/// A secret out of another program's file.
pub fn secret(text: &str, from: Id) -> Said<Written> {
    Said::new(Written::Secret(Zeroizing::new(text.to_owned())), from)
}

/// A provider's preset asks for its own login.
fn fits(provider: &Provider, smarthost: &Smarthost) -> bool {
    let is_plain = smarthost.tls.value == TlsUse::None && !smarthost.logs_in();
    let token_fits = !smarthost.is_token || provider.bearer;
    let has_both = smarthost.username.is_some() && smarthost.secret.is_some();
    has_both && token_fits && !is_plain && !provider.host.is_empty()
}

fn said(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Implicit => "TLS from the start",
        TlsMode::StartTls => "STARTTLS",
        TlsMode::None => "plain text",
    }
}

/// Bundles of the system's own certificates, by distribution.
const SYSTEM_STORES: &[&str] = &[
    "system",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/openssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
];
