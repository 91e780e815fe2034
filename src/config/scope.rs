//! One document read whole: its sites with their relays and aliases, and what it says of the program.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::accounts::Accounts;
use super::alert::{self, Alert, Means};
use super::document::{Document, Keys};
use super::log::Logging;
use super::relay::{self, Relay, Username};
use super::route;
use super::site::Site;
use super::site::policy::{self, Policy};
use super::site::read::{self as site, LATER, Shared};
use super::site::staging;
use crate::failure::Failure;
use crate::secret::Source;

/// The keys of the top level beside the policy.
const KEYS: &[&str] =
    &["default_site", "strict_modes", "relay", "route", "site", "alias", "alert", "ping", "log", staging::TABLE];

/// What one document says.
pub(super) struct Scope {
    /// Its sites, in file order.
    pub(super) sites: Vec<Site>,
    /// Its top-level policy.
    pub(super) policy: Policy,
    /// `default_site`, with the failure to answer when that site may not be it.
    pub(super) default_site: Option<(String, Failure)>,
    /// Its alerts.
    pub(super) alerts: Vec<Arc<Alert>>,
    /// `ping`.
    pub(super) ping: Option<Source>,
    /// `[log]`.
    pub(super) log: Logging,
    /// `strict_modes`.
    pub(super) strict_modes: bool,
    /// Whether a secret is written in it.
    pub(super) holds_secret: bool,
}

/// Where a document stands among the others.
pub(super) struct Standing<'a> {
    /// The file; `None`: the environment.
    pub(super) file: Option<PathBuf>,
    /// The name of its site when it has no `[site]`.
    pub(super) lone_site: &'a str,
    /// The policy of the main file, for a file of `sites.d`.
    pub(super) base: Option<&'a Policy>,
    /// The alerts of the main file, for a file of `sites.d`.
    pub(super) alerts: &'a [Arc<Alert>],
    /// The uid its sites are bound to: the owner of a `sites.d` file that is not root's.
    pub(super) owner: Option<u32>,
    /// The uid they are bound to besides: that of the user whose directory the file is in.
    pub(super) holder: Option<u32>,
    /// Whether weak file modes are refused, whatever the document says.
    pub(super) strict_modes: bool,
    /// Who calls, and the users that are named.
    pub(super) accounts: &'a Accounts<'a>,
}

impl<'a> Standing<'a> {
    /// Alone, and from the environment.
    pub(super) fn environment(accounts: &'a Accounts<'a>) -> Self {
        Self {
            file: None,
            lone_site: "default",
            base: None,
            alerts: &[],
            owner: None,
            holder: None,
            strict_modes: false,
            accounts,
        }
    }
}

impl Scope {
    /// Reads `document`.
    ///
    /// # Errors
    /// `Configuration`, with the place of the first thing at fault.
    pub(super) fn read(
        document: &Document<'_>,
        standing: Standing<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let root = document.root();
        let above = [KEYS, policy::KEYS].concat();
        root.expect(&Keys { now: &above, later: LATER, above: &[] })?;
        if standing.owner.is_some() {
            // What reaches beyond the file is root's to say.
            if let Some(key) = ["default_site", "log", "strict_modes"].into_iter().find(|key| root.has(key)) {
                let failure = root.wrong(key, "may not be set in a file that root does not own");
                return Err(failure.hint(format!("leave {key:?} out: config.toml says it for the whole host")));
            }
        }
        let is_main = standing.base.is_none();
        let strict_modes = root.boolean("strict_modes")?.unwrap_or(false);
        // Only the main file decides for its own.
        let are_strict = standing.strict_modes || (strict_modes && is_main);
        let (mut relays, mut places) = (Vec::new(), HashMap::new());
        for (name, section) in root.sections("relay")? {
            let relay = relay::read::read(name, &section, &above)?;
            places.insert(name, relays.len());
            relays.push(Arc::new(Relay { strict_modes: are_strict, ..relay }));
        }
        let policy = Policy::read(&root)?;
        let policy = match (standing.base, standing.owner) {
            (Some(base), Some(_)) => policy.within(base),
            (Some(base), None) => policy.over(base),
            (None, _) => policy,
        };
        let mut shared = Shared {
            file: standing.file,
            policy,
            relays: relays.into(),
            places,
            routes: Arc::default(),
            alerts: Arc::default(),
            alias: Arc::new(site::aliases(&root)?),
            owner: standing.owner,
            holder: standing.holder,
            accounts: standing.accounts,
        };
        shared.routes = route::read::routes(&root, &shared, &above, warnings)?.unwrap_or_default();
        let alerts =
            alert::read::alerts(&root, &shared, standing.base.map(|_| standing.lone_site), &above, are_strict)?;
        shared.alerts = standing.alerts.iter().chain(&alerts).map(Arc::clone).collect();
        let ping = root.source("ping")?;
        if standing.base.is_some() && ping.is_some() {
            return Err(root.wrong("ping", "belongs into the main file: it tells of all users' messages"));
        }
        let mut sites = Vec::new();
        for (name, section) in root.sections("site")? {
            if standing.owner.is_some() && !is_named_after(name, standing.lone_site) {
                // Its records and log files would be taken for those of the site that has the name.
                let why = "a file that root does not own names its sites after itself";
                let own = standing.lone_site;
                return Err(section.error(name, why).hint(format!("write [site.{own}], or [site.\"{own}/{name}\"]")));
            }
            let mut said = Vec::new();
            let site = shared.read(name, &section, &above, &mut said)?;
            if site.is_shown_to(standing.accounts.caller.uid) {
                warnings.append(&mut said);
            }
            sites.push(site);
        }
        if shared.relays.is_empty() && !sites.is_empty() {
            return Err(root
                .error("site", "no [relay.NAME] is configured")
                .hint("a relay is [relay.main] with provider or host"));
        }
        if sites.is_empty() && !shared.relays.is_empty() {
            sites.push(shared.lone(standing.lone_site, &root)?);
        }
        let default_site = root.string("default_site")?.map(|name| {
            let why = format!("\"default_site\" names {name:?}, which is not a site");
            (name.to_owned(), root.error("default_site", why))
        });
        Ok(Self {
            sites,
            default_site,
            log: Logging::read(&root, is_main, &above)?,
            strict_modes,
            holds_secret: shared.relays.iter().any(|relay| holds_secret(relay))
                || alerts.iter().any(|alert| tells_secret(alert))
                || matches!(ping, Some(Source::Inline(_))),
            alerts,
            ping,
            policy: shared.policy,
        })
    }
}

/// Whether the site `name` is one that only the file called `own` can have.
fn is_named_after(name: &str, own: &str) -> bool {
    name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn holds_secret(relay: &Relay) -> bool {
    let inline = |source: &Source| matches!(source, Source::Inline(_));
    let api = relay.api().is_some_and(|api| api.credentials.iter().any(|(_, source)| inline(source)));
    let login = relay.smtp_login().is_some_and(|login| {
        login.secret.as_ref().is_some_and(inline) || matches!(&login.username, Username::Read(source) if inline(source))
    });
    let proxy = relay.proxy.as_ref().and_then(|proxy| proxy.login.as_ref());
    let oauth = relay.oauth.as_ref().is_some_and(|oauth| oauth.secrets().any(|(_, source)| inline(source)));
    api || oauth || login || proxy.is_some_and(|(_, password)| inline(password))
}

/// Whether a secret of `alert` is written in the file.
fn tells_secret(alert: &Alert) -> bool {
    match &alert.means {
        Means::Post(post) => post.secrets().any(|(_, source)| matches!(source, Source::Inline(_))),
        Means::Command(_) | Means::Mail { .. } => false,
    }
}
