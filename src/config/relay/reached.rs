//! What every way to a relay has: trust, proxy, source address.

use std::net::IpAddr;

use super::{ClientCert, Place, Proxy, ProxyKind, Relay, TlsMode, WEIGHT_LIMIT};
use crate::config::document::{Keys, Section};
use crate::config::limit::Limits;
use crate::config::url::Url;
use crate::config::value;
use crate::failure::Failure;
use crate::providers::Provider;
use crate::secret::{Secret, Source};

/// A relay with what every way to one has: place, trust, proxy.
pub(super) fn reached(
    name: &str,
    section: &Section<'_>,
    provider: Option<&'static Provider>,
    place: Place,
    tls: TlsMode,
) -> Result<Relay, Failure> {
    let relay = Relay::new(name, place, tls);
    Ok(Relay {
        provider,
        connect_timeout: section.duration("connect_timeout")?.unwrap_or(relay.connect_timeout),
        ca_file: section.path("ca_file")?,
        fingerprint: parsed(section, "fingerprint", "must be 64 hexadecimal digits (SHA-256)", value::fingerprint)?,
        client_cert: client_cert(section)?,
        source: parsed(section, "source", "must be an IP address", |text| text.parse().ok())?,
        proxy: proxy(section)?,
        weight: section.number("weight", WEIGHT_LIMIT)?.unwrap_or(relay.weight),
        secret_expires: section.date("secret_expires")?,
        limits: Limits::of_relay(name, section, provider)?,
        ..relay
    })
}

fn parsed<T>(
    section: &Section<'_>,
    key: &str,
    must: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let Some(text) = section.string(key)? else { return Ok(None) };
    read(text).map(Some).ok_or_else(|| section.wrong(key, must))
}

/// A host name or IP literal, brackets taken off.
pub(super) fn name_of(section: &Section<'_>, key: &str, text: &str) -> Result<String, Failure> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        // EHLO wants the literal with its brackets.
        return Ok(if key == "helo" { text.to_owned() } else { bare.to_owned() });
    }
    match value::domain(text) {
        Some(name) if !name.contains(':') => Ok(name),
        _ if text.contains("://") => {
            Err(section.wrong(key, "is a name, not a URL").hint("write the name alone; the port is a key of its own"))
        }
        Some(_) => Err(section.wrong(key, "holds a colon").hint("write the port as port = 587")),
        None => Err(section.wrong(key, "is not a host name")),
    }
}

fn client_cert(section: &Section<'_>) -> Result<Option<ClientCert>, Failure> {
    let key = "client_cert";
    if !section.has(key) {
        return Ok(None);
    }
    if let Ok(Some(both)) = section.path(key) {
        return Ok(Some(ClientCert { certificate: both.clone(), key: both }));
    }
    let must = "must be a PEM file with both, or { cert = FILE, key = FILE }";
    let table = section.section(key).map_err(|_| section.wrong(key, must))?;
    let Some(table) = table else { return Ok(None) };
    table.expect(&Keys { now: &["cert", "key"], later: &[], above: &[] })?;
    match (table.path("cert")?, table.path("key")?) {
        (Some(certificate), Some(key)) => Ok(Some(ClientCert { certificate, key })),
        _ => Err(section.wrong(key, must)),
    }
}

fn proxy(section: &Section<'_>) -> Result<Option<Proxy>, Failure> {
    let key = "proxy";
    if !section.has(key) {
        return Ok(None);
    }
    let must = "must be \"socks5://HOST:PORT\", \"http://HOST:PORT\" or { host =, port =, username =, password = }";
    let Ok(text) = section.string(key) else {
        let table = section.section(key).map_err(|_| section.wrong(key, must))?;
        let Some(table) = table else { return Ok(None) };
        table.expect(&Keys { now: &["type", "host", "port", "username", "password"], later: &[], above: &[] })?;
        let kinds = [("socks5", ProxyKind::Socks5), ("http", ProxyKind::Http)];
        let kind = table.word("type", &kinds)?.unwrap_or(ProxyKind::Socks5);
        let login = match (table.string("username")?, table.source("password")?) {
            (Some(username), Some(password)) => Some((username.to_owned(), password)),
            (None, None) => None,
            _ => return Err(section.wrong(key, "needs username and password, or neither")),
        };
        let host = table.string("host")?.ok_or_else(|| section.wrong(key, must))?;
        let port = table.number("port", u16::MAX.into())?.and_then(|port| u16::try_from(port).ok());
        let port = port.unwrap_or(kind.port());
        return Ok(Some(Proxy { kind, host: name_of(&table, "host", host)?, port, login }));
    };
    let text = text.unwrap_or_default();
    Proxy::parse(text).map(Some).ok_or_else(|| section.wrong(key, must))
}

impl ProxyKind {
    /// The usual port.
    fn port(self) -> u16 {
        match self {
            Self::Socks5 => 1080,
            Self::Http => 3128,
        }
    }
}

impl Proxy {
    /// Reads `socks5://HOST:PORT` or `http://HOST:PORT`, with `USER:PASSWORD@` where it is needed. `None`:
    /// it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let kind = match url.scheme.as_str() {
            "socks5" | "socks5h" => ProxyKind::Socks5,
            "http" => ProxyKind::Http,
            _ => return None,
        };
        if url.host.is_empty() || !url.query.is_empty() || !matches!(url.path.as_str(), "" | "/") {
            return None;
        }
        let login = url.username.map(|username| {
            let password = url.password.map_or(String::new(), |password| password.to_string());
            (username, Source::Inline(Secret::new(password)))
        });
        Some(Self { kind, host: url.host, port: url.port.unwrap_or(kind.port()), login })
    }
}
