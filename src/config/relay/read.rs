//! A relay from its table: preset, defaults, checks.

use std::net::IpAddr;
use std::path::PathBuf;

use super::credentials::{self, secret_keys, username_keys};
use super::{ClientCert, Mechanism, Place, Protocol, Proxy, ProxyKind, Relay, TlsMode};
use super::{interface, oauth};
use crate::config::document::{Keys, Section};
use crate::config::url::Url;
use crate::config::value;
use crate::failure::Failure;
use crate::providers::{self, Provider};
use crate::secret::{Secret, Source};

/// The keys of every relay; those of its credentials depend on the provider.
const KEYS: &[&str] = &[
    "provider",
    "via",
    "host",
    "port",
    "tls",
    "protocol",
    "region",
    "auth",
    "helo",
    "chunking",
    "connect_timeout",
    "ca_file",
    "fingerprint",
    "client_cert",
    "source",
    "proxy",
    "secret_expires",
];

/// The keys of later versions.
const LATER: &[&str] = &["limit"];

/// Reads `[relay.NAME]`.
///
/// # Errors
/// `Configuration`, with the place of the key at fault.
pub(in crate::config) fn read(name: &str, section: &Section<'_>, above: &[&str]) -> Result<Relay, Failure> {
    let provider = provider(section)?;
    if let (Some(provider), Some(entry)) = (provider, interface::chosen(section, provider)?) {
        return interface::read(name, section, provider, entry, above);
    }
    let mut keys = [KEYS, &secret_keys(provider), &username_keys(provider)].concat();
    // Some name a part of the user name as OAuth names its own.
    keys.extend(oauth::keys(provider).iter().filter(|key| !username_keys(provider).contains(key)));
    interface::refuse_keys(section, provider, &keys)?;
    credentials::refuse_foreign(section, provider, &keys)?;
    section.expect(&Keys { now: &keys, later: LATER, above })?;

    let protocols = [("smtp", Protocol::Smtp), ("lmtp", Protocol::Lmtp), ("null", Protocol::Null)];
    let protocol = section.word("protocol", &protocols)?.unwrap_or_default();
    let (place, tls) = place(section, provider, protocol)?;
    let auth = mechanisms(section)?;
    let oauth = oauth::read(section, provider, None)?;
    let login = credentials::read(section, provider, &auth, oauth.as_ref())?;
    let scram_only =
        !auth.is_empty() && auth.iter().all(|m| matches!(m, Mechanism::ScramSha256 | Mechanism::ScramSha1));
    if tls == TlsMode::None && login.is_some() && !is_local(&place) && !scram_only {
        let failure = section.wrong("tls", "would send the credentials in clear");
        return Err(failure.hint("leave \"tls\" out, or allow only SCRAM: auth = [\"SCRAM-SHA-256\"]"));
    }
    Ok(Relay {
        protocol,
        auth,
        login,
        oauth,
        helo: section.string("helo")?.map(|helo| name_of(section, "helo", helo)).transpose()?,
        chunking: section.boolean("chunking")?.unwrap_or(true),
        ..reached(name, section, provider, place, tls)?
    })
}

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
        secret_expires: section.date("secret_expires")?,
        ..relay
    })
}

fn provider(section: &Section<'_>) -> Result<Option<&'static Provider>, Failure> {
    let Some(word) = section.string("provider")? else { return Ok(None) };
    Provider::find(word).map(Some).ok_or_else(|| {
        let failure = section.error("provider", format!("unknown provider {word:?}"));
        match value::nearest(&word.to_lowercase(), providers::all().iter().flat_map(Provider::words)) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None => failure.hint("see mailchute providers, or use host = \"...\""),
        }
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

fn place(
    section: &Section<'_>,
    provider: Option<&'static Provider>,
    protocol: Protocol,
) -> Result<(Place, TlsMode), Failure> {
    let port = section.number("port", u16::MAX.into())?.and_then(|port| u16::try_from(port).ok());
    let modes = [("implicit", TlsMode::Implicit), ("starttls", TlsMode::StartTls), ("none", TlsMode::None)];
    let tls = section.word("tls", &modes).map_err(|failure| {
        failure.hint("leave it out: port 465 speaks TLS from the start (\"implicit\"), 587 STARTTLS (\"starttls\")")
    })?;
    if protocol == Protocol::Null {
        return Ok((Place::Unix(PathBuf::from("/dev/null")), TlsMode::None));
    }
    let host = host(section, provider)?;
    if host.starts_with('/') {
        return Ok((Place::Unix(PathBuf::from(host)), tls.unwrap_or(TlsMode::None)));
    }
    let default_tls = is_loopback(&host).then_some(TlsMode::None);
    let (port, tls) = match (port, tls.or(default_tls)) {
        (Some(port), Some(tls)) => (port, tls),
        (Some(port), None) => {
            let listed = provider.and_then(|p| p.tls_of(port));
            let usual = if matches!(port, 465 | 2465) { TlsMode::Implicit } else { TlsMode::StartTls };
            (port, listed.unwrap_or(usual))
        }
        (None, tls) => match provider {
            Some(provider) => preset_port(section, provider, tls)?,
            // 465 speaks TLS from the first octet, so the other modes have another usual port.
            None => match tls {
                None | Some(TlsMode::Implicit) => (465, TlsMode::Implicit),
                Some(TlsMode::StartTls) => (587, TlsMode::StartTls),
                Some(TlsMode::None) if protocol == Protocol::Lmtp => (24, TlsMode::None),
                Some(TlsMode::None) => (25, TlsMode::None),
            },
        },
    };
    Ok((Place::Tcp { host, port }, tls))
}

/// The provider's first port, or the first that speaks TLS in the wanted way.
fn preset_port(section: &Section<'_>, provider: &Provider, tls: Option<TlsMode>) -> Result<(u16, TlsMode), Failure> {
    match provider.ports.iter().find(|port| tls.is_none_or(|tls| tls == port.tls)) {
        Some(port) => Ok((port.number, port.tls)),
        None => {
            let ports: Vec<_> = provider.ports.iter().map(|port| port.number.to_string()).collect();
            let failure = section.wrong("tls", format!("fits no port that {} is known to have", provider.id));
            Err(failure.hint(format!("leave \"tls\" out, or say which \"port\"; known: {}", ports.join(", "))))
        }
    }
}

fn host(section: &Section<'_>, provider: Option<&Provider>) -> Result<String, Failure> {
    let region = section.string("region")?;
    if let Some(host) = section.string("host")? {
        return if host.starts_with('/') { Ok(host.to_owned()) } else { name_of(section, "host", host) };
    }
    let Some(provider) = provider else {
        return Err(section.error("", "the relay has neither \"provider\" nor \"host\""));
    };
    provider.host(region).ok_or_else(|| match region {
        Some(region) if !provider.regions.is_empty() => {
            let names: Vec<_> = provider.regions.iter().map(|region| region.name).collect();
            section
                .error("region", format!("{} has no region {region:?}", provider.id))
                .hint(format!("regions: {}", names.join(", ")))
        }
        Some(_) if !provider.host.is_empty() => section.error("region", format!("{} has no regions", provider.id)),
        _ => section.error("provider", format!("provider {:?} needs \"host\"", provider.id)),
    })
}

/// A host name or IP literal, brackets taken off.
fn name_of(section: &Section<'_>, key: &str, text: &str) -> Result<String, Failure> {
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

pub(in crate::config) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

fn is_local(place: &Place) -> bool {
    match place {
        Place::Unix(_) => true,
        Place::Tcp { host, .. } => is_loopback(host),
    }
}

fn mechanisms(section: &Section<'_>) -> Result<Vec<Mechanism>, Failure> {
    let mut mechanisms = Vec::new();
    for name in section.strings("auth")?.unwrap_or_default() {
        match Mechanism::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, mechanism)) => mechanisms.push(*mechanism),
            None => {
                let known: Vec<_> = Mechanism::ALL.iter().map(|(known, _)| *known).collect();
                return Err(section.wrong("auth", format!("takes {}, not {name:?}", known.join(", "))));
            }
        }
    }
    Ok(mechanisms)
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
