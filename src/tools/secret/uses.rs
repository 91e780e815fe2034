//! What the configuration reads secrets for.

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::config::relay::{Grant, Relay, Username};
use crate::config::site::{NOBODY, Site};
use crate::hint::likeness::Wanted;
use crate::reply::{TEXT_LIMIT, printable};
use crate::secret::Source;

/// A secret that a relay reads, with the sites that may send through it.
pub(super) struct Use<'c> {
    pub(super) relay: &'c Arc<Relay>,
    /// The key in the configuration, or what it is.
    pub(super) key: &'static str,
    pub(super) source: &'c Source,
    pub(super) wanted: Wanted,
    pub(super) sites: Vec<&'c Site>,
}

impl Use<'_> {
    /// `relay main, password`.
    pub(super) fn title(&self) -> String {
        printable(format!("relay {}, {}", self.relay.name, self.key).as_bytes(), TEXT_LIMIT)
    }

    /// The users of its sites, each once; empty where every user may send.
    pub(super) fn users(&self) -> Vec<u32> {
        if self.sites.iter().any(|site| site.users.is_empty()) {
            return Vec::new();
        }
        let mut users: Vec<u32> = self.sites.iter().flat_map(|site| site.users.iter().copied()).collect();
        users.sort_unstable();
        users.dedup();
        users.retain(|uid| *uid != NOBODY);
        users
    }

    /// Whether it is read from this file.
    pub(super) fn is_of(&self, file: &Path) -> bool {
        self.source.file().is_some_and(|own| own == file)
    }
}

/// Every secret that a message may need, in the order of the configuration.
pub(super) fn all(config: &Config) -> Vec<Use<'_>> {
    let mut uses: Vec<Use<'_>> = Vec::new();
    for site in &config.sites {
        for relay in site.every_relay() {
            if uses.iter().any(|known| Arc::ptr_eq(known.relay, relay)) {
                for known in uses.iter_mut().filter(|known| Arc::ptr_eq(known.relay, relay)) {
                    known.sites.push(site);
                }
                continue;
            }
            let of_relay = of(relay).into_iter();
            uses.extend(of_relay.map(|(key, source, wanted)| Use { relay, key, source, wanted, sites: vec![site] }));
        }
    }
    uses
}

/// The secrets of one relay.
fn of(relay: &Relay) -> Vec<(&'static str, &Source, Wanted)> {
    let mut found = Vec::new();
    if let Some(api) = relay.api() {
        found.extend(api.credentials.iter().map(|(key, source)| (*key, source, Wanted::Key)));
    }
    if let Some(login) = relay.smtp_login() {
        let key = relay.provider.and_then(|provider| provider.secrets.first().copied()).unwrap_or("password");
        found.extend(login.secret.as_ref().map(|source| (key, source, Wanted::of_login(relay))));
        if let Username::Read(source) = &login.username {
            found.push(("username", source, Wanted::Any));
        }
    }
    if let Some(oauth) = &relay.oauth {
        let is_account = matches!(oauth.grant, Grant::ServiceAccount(_));
        let wanted = if is_account { Wanted::ServiceAccount } else { Wanted::Key };
        found.extend(oauth.secrets().map(|(key, source)| (key, source, wanted)));
    }
    let of_proxy = relay.proxy.as_ref().and_then(|proxy| proxy.login.as_ref());
    found.extend(of_proxy.map(|(_, source)| ("proxy password", source, Wanted::Any)));
    found
}
