//! Where a provider answers when nobody does at the port that a relay names: that tells a port that is closed on the way
//! from a server that is down. No name and no secret is told to anybody: connections are opened and closed.

use std::time::Duration;

use crate::attempt::Attempt;
use crate::config::relay::{Place, Relay, TlsMode};
use crate::deadline::Deadline;
use crate::process;
use crate::providers::Provider;
use crate::wire::Connection;

/// How long a port is tried.
const TIME: Duration = Duration::from_secs(3);
/// Ports that hosts close, and those that stand in for them.
const MAIL_PORTS: [u16; 5] = [25, 465, 587, 2465, 2525];
/// Where APIs are.
const WEB_PORT: u16 = 443;

/// Stands in for a setting.
const STAND_IN: &str = "stand-in";

/// Another way to the same provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// This port of the same server.
    Port(u16),
    /// Its HTTP API.
    Api,
}

/// The other way that is open to the provider of `relay`, whose own port answers nobody; another port comes first. `None`:
/// there is none, or the port is none that is closed for being mail's.
pub(super) fn elsewhere(relay: &Relay) -> Option<Elsewhere> {
    let (Place::Tcp { host, port }, provider) = (&relay.place, relay.provider?) else { return None };
    if !MAIL_PORTS.contains(port) {
        return None;
    }
    let ports = provider.ports.iter().map(|known| known.number).filter(|number| number != port);
    let mut ways: Vec<_> = ports.map(|other| (Elsewhere::Port(other), host.clone(), other)).collect();
    ways.extend(web_host(provider).map(|web| (Elsewhere::Api, web, WEB_PORT)));
    std::thread::scope(|scope| {
        let tried: Vec<_> = ways
            .into_iter()
            .map(|(way, host, port)| {
                let thread = process::start_in(scope, "port", move || answers(relay, &host, port));
                (way, thread)
            })
            .collect();
        let open = tried.into_iter().map(|(way, thread)| {
            let is_open = thread.is_ok_and(|thread| thread.join().unwrap_or(false));
            is_open.then_some(way)
        });
        open.collect::<Vec<_>>().into_iter().flatten().next()
    })
}

/// Whether somebody answers where `relay` is.
pub(super) fn is_open(relay: &Relay) -> bool {
    match &relay.place {
        Place::Tcp { host, port } => answers(relay, host, *port),
        Place::Unix(_) => true,
    }
}

/// The host of a provider's API.
fn web_host(provider: &Provider) -> Option<String> {
    // With a setting such as a domain it is the same host, but for a host of each account's own.
    let (_, api) = provider.api?.with_needed(STAND_IN).ok()?;
    let endpoint = api.endpoint();
    let host = endpoint.strip_prefix("https://")?.split(['/', ':']).next()?;
    (!host.contains(STAND_IN)).then(|| host.to_owned())
}

/// Whether somebody answers at this port.
fn answers(relay: &Relay, host: &str, port: u16) -> bool {
    let place = Place::Tcp { host: host.to_owned(), port };
    let other =
        Relay { source: relay.source, proxy: relay.proxy.clone(), ..Relay::new(&relay.name, place, TlsMode::None) };
    Connection::open(&other, &mut Attempt::new(Deadline::after(TIME))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers;

    #[test]
    fn every_api_has_a_host_to_ask() {
        let unknown = providers::all().filter(|provider| provider.api.is_some() && web_host(provider).is_none());
        let unknown: Vec<_> = unknown.map(|provider| provider.id).collect();
        // Each account has a host of its own.
        assert_eq!(unknown, ["azure-communication"]);
    }
}
