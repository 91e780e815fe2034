//! Where something listens: URLs of HTTP endpoints, and which hosts are this one.

use std::net::IpAddr;

use super::{Endpoint, Place, TlsMode};
use crate::config::document::Section;
use crate::config::url::Url;
use crate::failure::Failure;

/// The value of `key`, or `own` where it is not there.
pub(super) fn endpoint(section: &Section<'_>, key: &str, own: &str) -> Result<Endpoint, Failure> {
    let url = section.string(key)?.unwrap_or(own).trim_end_matches('/').to_owned();
    let must = "must be a URL such as \"https://api.example.com\"";
    let parsed = Url::parse(&url).map_err(|why| section.wrong(key, why))?;
    let plain = url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'@' | b'?' | b'#' | b'\\' | b'"'));
    if parsed.host.is_empty() || parsed.username.is_some() || !plain {
        return Err(section.wrong(key, must));
    }
    let (tls, port) = match parsed.scheme.as_str() {
        "https" => (TlsMode::Implicit, 443),
        "http" if is_loopback(&parsed.host) => (TlsMode::None, 80),
        "http" => return Err(section.wrong(key, "would send the credentials unencrypted").hint("write https://")),
        _ => return Err(section.wrong(key, must)),
    };
    let place = Place::Tcp { host: parsed.host.to_lowercase(), port: parsed.port.unwrap_or(port) };
    Ok(Endpoint { url, place, tls })
}

/// Whether `host` names this host, where no TLS is the default.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

/// Whether what is said to `place` stays on this host.
pub(super) fn is_local(place: &Place) -> bool {
    match place {
        Place::Unix(_) => true,
        Place::Tcp { host, .. } => is_loopback(host),
    }
}
