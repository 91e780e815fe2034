//! `HTTPS_PROXY`, for relays that are spoken to over HTTPS and name no proxy themselves.
//!
//! Never `HTTP_PROXY`: where a CGI program runs us, a visitor's `Proxy:` header field sets it.

use crate::config::relay::{Place, Proxy, Relay, TlsMode};
use crate::failure::{Failure, Kind};
use crate::host;

/// The relay behind the environment's proxy, if there is one for it.
///
/// # Errors
/// `Configuration`: the variable names no proxy.
pub(super) fn from_environment(relay: &Relay) -> Result<Option<Relay>, Failure> {
    let Place::Tcp { host: of, .. } = &relay.place else { return Ok(None) };
    if relay.proxy.is_some() || relay.tls == TlsMode::None {
        return Ok(None);
    }
    let variable = |name: &str| host::variable(name)?.into_string().ok().filter(|value| !value.is_empty());
    let either = |lower: &'static str, upper: &'static str| {
        variable(lower).map(|value| (lower, value)).or_else(|| variable(upper).map(|value| (upper, value)))
    };
    let Some((name, text)) = either("https_proxy", "HTTPS_PROXY") else { return Ok(None) };
    if either("no_proxy", "NO_PROXY").is_some_and(|(_, list)| is_excepted(of, &list)) {
        return Ok(None);
    }
    let text = if text.contains("://") { text } else { format!("http://{text}") };
    let proxy = Proxy::parse(&text)
        .ok_or_else(|| Failure::new(Kind::Configuration, name, "must be http://HOST:PORT or socks5://HOST:PORT"))?;
    Ok(Some(Relay { proxy: Some(proxy), ..relay.clone() }))
}

/// Whether `list` (names apart by commas, `*` for all) names `host` or a domain above it.
fn is_excepted(host: &str, list: &str) -> bool {
    list.split(',').map(|name| name.trim().trim_start_matches('.')).filter(|name| !name.is_empty()).any(|name| {
        let below = host.len().checked_sub(name.len() + 1);
        name == "*"
            || host.eq_ignore_ascii_case(name)
            || below.is_some_and(|at| host.as_bytes()[at] == b'.' && host[at + 1..].eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_names_and_the_domains_above() {
        for (list, excepted) in [
            ("*", true),
            ("example.com", true),
            (".example.com, other.example", true),
            ("API.example.COM", true),
            ("ple.com", false),
            ("api.example.com.evil", false),
            ("", false),
            (" , ", false),
        ] {
            assert_eq!(is_excepted("api.example.com", list), excepted, "{list}");
        }
    }
}
