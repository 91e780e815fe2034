//! What the domain of the sender's address tells of how its mail is sent. Only the domain is told to anybody.

use std::net::SocketAddr;
use std::time::Duration;

use super::ask::say;
use super::draft;
use crate::cli::init::Init;
use crate::deadline::Deadline;
use crate::dns::Client;
use crate::http::autoconfig;
use crate::providers::{Provider, TlsMode};
use crate::records;
use crate::reply::{TEXT_LIMIT, printable};

/// The time that the domain name system has.
const TIME: Duration = Duration::from_secs(4);

/// What was found, the surest.
#[derive(Debug)]
pub(super) enum Found {
    /// A provider.
    Provider(&'static Provider),
    /// The domain's own server.
    Server {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// When TLS begins.
        tls: TlsMode,
        /// It is outside the domain, so that somebody has to say yes to it (RFC 6186 6).
        is_foreign: bool,
    },
}

impl Found {
    /// As it is answered to the question.
    pub(super) fn answer(&self) -> String {
        match self {
            Self::Provider(provider) => provider.id.to_owned(),
            Self::Server { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// Whether somebody has to say yes to it.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::Server { is_foreign: true, .. })
    }

    /// Fills in the options of it.
    pub(super) fn fill(&self, of: &mut Init) {
        match self {
            Self::Provider(provider) => of.provider = Some(provider.id.to_owned()),
            Self::Server { host, port, .. } => draft::set_host(of, host, Some(*port)),
        }
        self.begin_tls(of);
    }

    /// Says when TLS begins where the port does not.
    pub(super) fn begin_tls(&self, of: &mut Init) {
        let Self::Server { port, tls, .. } = self else { return };
        let usual = if matches!(port, 465 | 2465) { TlsMode::Implicit } else { TlsMode::StartTls };
        if *tls != usual {
            of.set.push(format!("tls={}", if *tls == TlsMode::Implicit { "implicit" } else { "starttls" }));
        }
    }

    /// Tells of the domain's own server, and by what it is named.
    fn told(self, domain: &str, by: &str) -> Self {
        let outside = if self.is_foreign() { ", which is outside of it: take it only if you know it" } else { "" };
        say(&format!("   {domain}: names {} for submissions ({by}){outside}", self.answer()));
        self
    }
}

/// Looks at `domain`: who has its mailboxes and who is set up to send for it, its own word in the domain name system, and
/// then in the file for mail programs. Tells what it finds. `server` is asked in place of the system's.
pub(super) fn look(domain: &str, server: Option<SocketAddr>) -> Option<Found> {
    let mut client = server.map_or_else(Client::system, Client::at);
    let guess = records::guess(domain, &mut client, Deadline::after(TIME));
    if let Some(provider) = guess.mailbox {
        say(&format!("   {domain}: its mailboxes are with {}", provider.name));
    }
    for provider in &guess.senders {
        say(&format!("   {domain}: looks as if {} were set up to send for it", provider.name));
    }
    if let Some(provider) = guess.senders.first().copied().or(guess.mailbox) {
        return Some(Found::Provider(provider));
    }
    if let Some(service) = guess.services.into_iter().find(|service| service.tls != TlsMode::None) {
        let found =
            Found::Server { host: service.host, port: service.port, tls: service.tls, is_foreign: service.is_foreign };
        return Some(found.told(domain, "SRV"));
    }
    let Some(server) = autoconfig::look(domain) else {
        // Not to be asked is not to have nothing.
        if let Some(why) = guess.unasked.first() {
            say(&format!("   {domain}: could not be looked up ({})", printable(why.as_bytes(), TEXT_LIMIT)));
        }
        return None;
    };
    let is_foreign = server.host != domain && !server.host.ends_with(&format!(".{domain}"));
    let found = Found::Server { host: server.host, port: server.port, tls: server.tls, is_foreign };
    Some(found.told(domain, "autoconfig"))
}
