//! A relay from its table: preset, defaults, checks.

use std::path::PathBuf;

use super::aws;
use super::credentials::{self, secret_keys, username_keys};
use super::endpoint::{is_local, is_loopback};
use super::reached::{name_of, reached};
use super::{Mechanism, Place, Protocol, Relay, Smtp, TlsMode, Way};
use super::{SESSION_MESSAGES, SESSION_MESSAGES_HERE, SESSION_MESSAGES_LIMIT};
use super::{interface, oauth};
use crate::config::document::{Keys, Section};
use crate::failure::Failure;
use crate::providers::{self, Provider};
use crate::spelling;

/// The keys of every relay; those of its credentials depend on the provider.
pub(in crate::config) const KEYS: &[&str] = &[
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
    "pipelining",
    "session_messages",
    "connect_timeout",
    "ca_file",
    "fingerprint",
    "client_cert",
    "source",
    "proxy",
    "secret_expires",
    "weight",
    "limit",
];

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
    keys.extend(oauth::keys(provider, false).iter().filter(|key| !username_keys(provider).contains(key)));
    interface::refuse_keys(section, provider, &keys)?;
    credentials::refuse_foreign(section, provider, &keys)?;
    section.expect(&Keys { now: &keys, later: &[], above })?;

    let protocols = [("smtp", Some(Protocol::Smtp)), ("lmtp", Some(Protocol::Lmtp)), ("null", None)];
    let protocol = section.word("protocol", &protocols)?.unwrap_or(Some(Protocol::Smtp));
    let region = match section.string("region")? {
        None if provider.is_some_and(|provider| provider.aws_region) => aws::region(None),
        region => region.map(str::to_owned),
    };
    let (place, tls) = place(section, provider, protocol, region.as_deref())?;
    let auth = mechanisms(section)?;
    let oauth = oauth::read(section, provider, None)?;
    let login = credentials::read(section, provider, region.as_deref(), &auth, oauth.as_ref())?;
    let scram_only =
        !auth.is_empty() && auth.iter().all(|m| matches!(m, Mechanism::ScramSha256 | Mechanism::ScramSha1));
    if tls == TlsMode::None && login.is_some() && !is_local(&place) && !scram_only {
        let failure = section.wrong("tls", "would send the credentials unencrypted");
        return Err(failure.hint(
            "a test server such as Mailpit takes no login: leave username and password out; others have TLS: leave \"tls\" \
             out, or allow only SCRAM: auth = [\"SCRAM-SHA-256\"]",
        ));
    }
    let helo = section.string("helo")?.map(|helo| name_of(section, "helo", helo)).transpose()?;
    let chunking = section.boolean("chunking")?.unwrap_or(true);
    let pipelining = section.boolean("pipelining")?.unwrap_or(true);
    let known = provider.and_then(|provider| provider.session_messages);
    let usual = if is_local(&place) { SESSION_MESSAGES_HERE } else { known.unwrap_or(SESSION_MESSAGES) };
    let session_messages = section.number("session_messages", SESSION_MESSAGES_LIMIT)?.unwrap_or(usual);
    let way = match protocol {
        Some(protocol) => Way::Smtp(Smtp { protocol, auth, login, helo, chunking, pipelining, session_messages }),
        None => Way::Null("this relay is null://"),
    };
    Ok(Relay { way, oauth, ..reached(name, section, provider, place, tls)? })
}

fn provider(section: &Section<'_>) -> Result<Option<&'static Provider>, Failure> {
    let Some(word) = section.string("provider")? else { return Ok(None) };
    Provider::find(word).map(Some).ok_or_else(|| {
        let failure = section.error("provider", format!("unknown provider {word:?}"));
        match spelling::nearest(&word.to_lowercase(), providers::all().flat_map(Provider::words)) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None => failure.hint("see mailchute providers, or use host = \"...\""),
        }
    })
}

fn place(
    section: &Section<'_>,
    provider: Option<&'static Provider>,
    protocol: Option<Protocol>,
    region: Option<&str>,
) -> Result<(Place, TlsMode), Failure> {
    let port = section.number("port", u16::MAX.into())?.and_then(|port| u16::try_from(port).ok());
    let modes = [("implicit", TlsMode::Implicit), ("starttls", TlsMode::StartTls), ("none", TlsMode::None)];
    let tls = section.word("tls", &modes).map_err(|failure| {
        failure.hint("leave it out: port 465 speaks TLS from the start (\"implicit\"), 587 STARTTLS (\"starttls\")")
    })?;
    if protocol.is_none() {
        return Ok((Place::Unix(PathBuf::from("/dev/null")), TlsMode::None));
    }
    let host = host(section, provider, region)?;
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
                Some(TlsMode::None) if protocol == Some(Protocol::Lmtp) => (24, TlsMode::None),
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
            let failure = section.wrong("tls", format!("matches no known port of {}", provider.id));
            Err(failure.hint(format!("leave \"tls\" out, or say which \"port\"; known: {}", ports.join(", "))))
        }
    }
}

fn host(section: &Section<'_>, provider: Option<&Provider>, region: Option<&str>) -> Result<String, Failure> {
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
