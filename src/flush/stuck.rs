//! What waits for so long that somebody is to hear of it.

use std::time::SystemTime;

use super::unix;
use crate::conclude::Dossier;
use crate::config::alert::Occasion;
use crate::config::site::Site;
use crate::spool::Entry;

/// How long a message waits until somebody is to hear of it, in seconds.
const LONG: i64 = 3600;

/// An entry that has waited for long.
pub(super) struct Stuck {
    /// Why it began to.
    why: String,
    /// The relay it waits for.
    relay: Option<String>,
}

impl Stuck {
    /// `entry`, if it has.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let is_one = unix(SystemTime::now()) - entry.head.created > LONG;
        let relay = || entry.state.relay.clone().or_else(|| entry.head.route.first().cloned());
        is_one.then(|| Self { why: entry.head.why.clone(), relay: relay() })
    }

    /// Has somebody hear of it, if an alert of `site` tells of that.
    pub(super) fn tell(&self, site: &Site, dossier: &Dossier) {
        let all = site.every_relay();
        let relay = all.into_iter().find(|relay| self.relay.as_ref() == Some(&relay.name));
        dossier.alarm(Occasion::Stuck, relay.map(|relay| &**relay), &self.why);
    }
}
