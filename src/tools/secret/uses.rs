//! What the configuration reads secrets for.

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::config::alert::{Alert, Means};
use crate::config::relay::{Grant, Relay, Username};
use crate::config::site::{NOBODY, Site};
use crate::hint::likeness::{self, Wanted};
use crate::reply::{TEXT_LIMIT, printable};
use crate::secret::Source;

/// A secret that a relay, an alert or the ping reads, with the sites that it is read for.
pub(in crate::tools) struct Use<'c> {
    /// The relay, where it is one's.
    pub(in crate::tools) relay: Option<&'c Relay>,
    /// What it is of: `relay main`, `alert ops`.
    whose: String,
    /// What it would be stored as.
    pub(in crate::tools) name: &'c str,
    /// The key in the configuration, or what it is.
    pub(in crate::tools) key: &'static str,
    pub(in crate::tools) source: &'c Source,
    pub(in crate::tools) wanted: Wanted,
    pub(in crate::tools) sites: Vec<&'c Site>,
}

impl Use<'_> {
    /// `relay main, password`.
    pub(in crate::tools) fn title(&self) -> String {
        printable(format!("{}, {}", self.whose, self.key).as_bytes(), TEXT_LIMIT)
    }

    /// What is wrong with `value` for it: the end of a sentence about it.
    pub(in crate::tools) fn wrong(&self, value: &str) -> Option<String> {
        likeness::wrong(value, self.wanted, self.relay)
    }

    /// The users of its sites, each once; empty where every user may send.
    pub(in crate::tools) fn users(&self) -> Vec<u32> {
        users_of(self.sites.iter().copied())
    }

    /// The users of all sites that read `file` for one of these uses, in whichever file of the configuration they are.
    pub(in crate::tools) fn users_of_file(all: &[Self], file: &Path) -> Vec<u32> {
        users_of(all.iter().filter(|using| using.is_of(file)).flat_map(|using| using.sites.iter().copied()))
    }

    /// Whether it is read from this file.
    pub(in crate::tools) fn is_of(&self, file: &Path) -> bool {
        self.source.file().is_some_and(|own| own == file)
    }
}

/// The users of `sites`, each once; empty where every user may send.
fn users_of<'c>(sites: impl Iterator<Item = &'c Site>) -> Vec<u32> {
    let mut users = Vec::new();
    for site in sites {
        if site.users.is_empty() {
            return Vec::new();
        }
        users.extend(site.users.iter().copied().filter(|uid| *uid != NOBODY));
    }
    users.sort_unstable();
    users.dedup();
    users
}

/// Every secret that a message or an alert may need, in the order of the configuration.
pub(in crate::tools) fn all(config: &Config) -> Vec<Use<'_>> {
    let mut uses: Vec<Use<'_>> = Vec::new();
    for site in &config.sites {
        for relay in site.every_relay() {
            let is_its = |known: &Use<'_>| known.relay.is_some_and(|of| std::ptr::eq(of, &**relay));
            if uses.iter().any(is_its) {
                for known in uses.iter_mut().filter(|known| is_its(known)) {
                    known.sites.push(site);
                }
                continue;
            }
            let whose = format!("relay {}", relay.name);
            uses.extend(of(relay).into_iter().map(|(key, source, wanted)| Use {
                relay: Some(&**relay),
                whose: whose.clone(),
                name: &relay.name,
                key,
                source,
                wanted,
                sites: vec![site],
            }));
        }
    }
    uses.extend(config.alerts.iter().flat_map(|alert| of_alert(config, alert)));
    let ping = config.ping.as_ref();
    let of_ping = |source| Use {
        relay: None,
        whose: "ping".to_owned(),
        name: "ping",
        key: "URL",
        source,
        wanted: Wanted::Any,
        sites: Vec::new(),
    };
    uses.extend(ping.map(of_ping));
    uses
}

/// The secrets of one alert, which whoever sends for a site that it tells of reads.
fn of_alert<'c>(config: &'c Config, alert: &'c Arc<Alert>) -> Vec<Use<'c>> {
    let Means::Post(post) = &alert.means else { return Vec::new() };
    let tells_of = |site: &&Site| site.alerts.iter().any(|other| Arc::ptr_eq(other, alert));
    let sites: Vec<&Site> = config.sites.iter().filter(tells_of).collect();
    let using = |(key, source)| Use {
        relay: None,
        whose: format!("alert {}", alert.name),
        name: &alert.name,
        key,
        source,
        wanted: Wanted::Any,
        sites: sites.clone(),
    };
    post.secrets().map(using).collect()
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
