//! Which site is speaking: a pure function of the configuration, the caller and the sender.

use crate::address::Address;
use crate::caller::Caller;
use crate::config::site::Site;
use crate::config::{Config, DefaultSite};
use crate::failure::{Failure, Kind};
use crate::reply::{Enhanced, Reply};

/// The site that speaks, and why it is this one.
#[derive(Debug)]
pub struct Selection<'c> {
    /// The site.
    pub site: &'c Site,
    /// Why, for `explain`: `uid 1042 (shop) is listed, and /srv/www/shop holds the working directory`.
    pub why: String,
}

/// Chooses the site.
///
/// `wanted` is `--site` or `MAILCHUTE_SITE`; `senders` are the reverse-path and the From addresses, as far
/// as they are known. The sites that list the uid come before those that are open to every uid. Among
/// them the longest `path` that holds the working directory decides, then `sender`, then the order of the
/// file. A sender that no site lists does not turn a listed caller away: `other_sender` answers it.
///
/// # Errors
/// `NoPermission` when no site is this caller's; the hint names the files that were skipped.
pub fn select<'c>(
    config: &'c Config,
    caller: &Caller,
    wanted: Option<&str>,
    senders: &[&Address],
) -> Result<Selection<'c>, Failure> {
    if let Some(name) = wanted {
        return match config.site(name) {
            Some(site) if site.is_open_to(caller.uid) => {
                Ok(Selection { site, why: format!("site {name} was asked for, and {} may use it", told(caller)) })
            }
            Some(_) => Err(refused(config, caller, &format!("may not use site {name}"))),
            None => Err(refused(config, caller, &format!("may use no site {name:?}"))),
        };
    }
    let listed: Vec<_> = config.sites.iter().filter(|site| site.users.contains(&caller.uid)).collect();
    if let Some((site, why)) = pick(&listed, caller, senders, true) {
        return Ok(Selection { site, why: format!("{} is listed, and {why}", told(caller)) });
    }
    let open: Vec<_> = config.sites.iter().filter(|site| site.is_open_to(caller.uid)).collect();
    if let Some((site, why)) = pick(&open, caller, senders, false) {
        return Ok(Selection { site, why: format!("it is open to {}, and {why}", told(caller)) });
    }
    match &config.default_site {
        DefaultSite::Named(name) => match config.site(name) {
            Some(site) => Ok(Selection { site, why: "no other site fits, and it is the default".into() }),
            None => Err(refused(config, caller, &format!("may use no site {name:?}"))),
        },
        DefaultSite::Refuse => Err(refused(config, caller, "has no site")),
    }
}

/// The site among `sites`. Those `listed` for the uid need nothing else to be chosen; of those that are
/// open to everybody, one that lists neither path nor sender speaks only as the default site.
fn pick<'c>(sites: &[&'c Site], caller: &Caller, senders: &[&Address], listed: bool) -> Option<(&'c Site, String)> {
    let length = |site: &Site| {
        let cwd = caller.cwd.as_deref()?;
        site.paths.iter().filter(|path| cwd.starts_with(path)).map(|path| path.components().count()).max()
    };
    let longest = sites.iter().filter_map(|site| length(site)).max();
    let near: Vec<_> = match longest {
        Some(_) => sites.iter().copied().filter(|site| length(site) == longest).collect(),
        None => sites.to_vec(),
    };
    if let [only] = near[..]
        && longest.is_some()
    {
        return Some((only, "its path holds the working directory".into()));
    }
    let speaks =
        |site: &&Site| site.sender.iter().any(|pattern| senders.iter().any(|address| pattern.matches(address)));
    if let Some(site) = near.iter().copied().find(speaks) {
        return Some((site, "its sender matches".into()));
    }
    if longest.is_some() {
        let site = near.iter().copied().find(|site| site.sender.is_empty()).or(near.first().copied())?;
        return Some((site, "its path holds the working directory".into()));
    }
    if !listed {
        return None;
    }
    // A site bound to another directory stays out; a sender that nobody lists is for other_sender to answer.
    let general = near.iter().copied().find(|site| site.paths.is_empty() && site.sender.is_empty());
    let site = general.or_else(|| near.iter().copied().find(|site| site.paths.is_empty()))?;
    Some((site, "it is the first that asks for no path".into()))
}

impl Site {
    /// Whether a caller of this uid may use it: root may use all.
    pub fn is_open_to(&self, uid: u32) -> bool {
        uid == 0 || self.users.is_empty() || self.users.contains(&uid)
    }

    /// Refuses everything while the site is `disabled`.
    ///
    /// # Errors
    /// `550 5.7.1` with the reason that is configured.
    pub fn check_enabled(&self) -> Result<(), Failure> {
        match &self.disabled {
            None => Ok(()),
            Some(reason) => {
                let reply = Reply::new(550, Some(Enhanced::new(5, 7, 1)), &format!("site disabled: {reason}"));
                Err(Failure::refused(format!("site {}", self.name), reply))
            }
        }
    }
}

/// `uid 1042 (shop)`.
fn told(caller: &Caller) -> String {
    match &caller.user {
        Some(user) => format!("uid {} ({user})", caller.uid),
        None => format!("uid {}", caller.uid),
    }
}

fn refused(config: &Config, caller: &Caller, why: &str) -> Failure {
    let failure = Failure::new(Kind::NoPermission, told(caller), format!("{why} in {}", config.origin));
    if config.skipped.is_empty() {
        return failure.hint("list the user in a site, or name a site without \"user\" as default_site");
    }
    let skipped: Vec<_> = config.skipped.iter().map(|s| format!("{} ({})", s.file.display(), s.why)).collect();
    failure.hint(format!("skipped: {}", skipped.join(", ")))
}
