//! Which site is speaking: a pure function of the configuration, the caller and the sender.

mod nobodys;

use self::nobodys::{own_trouble, refused};
use crate::address::Address;
use crate::caller::Caller;
use crate::config::site::{Addresses, Site};
use crate::config::{Config, DefaultSite};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::reply::Reply;

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
/// `NoPermission` when no site is this caller's; the reason names the file that looks like the caller's own.
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
            None => Err(unknown(config, caller, name)),
        };
    }
    let senders = &Addresses::of(senders.iter().copied());
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
            Some(site) if config.sites.len() == 1 => Ok(Selection { site, why: "it is the only one".into() }),
            Some(site) => Ok(Selection { site, why: "no other site fits, and it is the default".into() }),
            None => Err(refused(config, caller, &format!("may use no site {name:?}"))),
        },
        DefaultSite::Refuse if listed.is_empty() => Err(refused(config, caller, "has no site")),
        DefaultSite::Refuse => Err(elsewhere(config, caller, &listed)),
    }
}

/// Why `caller`, whom no site lists, is turned away whatever it writes, in the words that it is told then. `None`: some
/// site may speak for it.
pub fn refusal(config: &Config, caller: &Caller) -> Option<Failure> {
    let failure = select(config, caller, None, &[]).err()?;
    let is_listed = config.sites.iter().any(|site| site.users.contains(&caller.uid));
    let speaks = |site: &Site| site.users.is_empty() && !(site.paths.is_empty() && site.sender.is_empty());
    // What is wrong with a file of its own is not made good by a site that is open to all.
    let may_speak = config.sites.iter().any(speaks) && own_trouble(config, caller).is_none();
    (!is_listed && !may_speak).then_some(failure)
}

/// The site among `sites`. Those `listed` for the uid need nothing else to be chosen; of those that are
/// open to everybody, one that lists neither path nor sender speaks only as the default site.
fn pick<'c>(sites: &[&'c Site], caller: &Caller, senders: &Addresses, listed: bool) -> Option<(&'c Site, String)> {
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
    let speaks = |site: &&Site| site.sender.iter().any(|pattern| senders.have(pattern));
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
    /// Refuses everything while the site is `disabled`.
    ///
    /// # Errors
    /// `550 5.7.1` with the reason that is configured.
    pub fn check_enabled(&self) -> Result<(), Failure> {
        match &self.disabled {
            None => Ok(()),
            Some(reason) => {
                let reply = Reply::own(550, (5, 7, 1), &format!("site disabled: {reason}"));
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

/// No site is called `name`, as far as this caller can see.
fn unknown(config: &Config, caller: &Caller, name: &str) -> Failure {
    let own: Vec<_> = config.sites.iter().filter(|site| site.is_open_to(caller.uid)).collect();
    if own.is_empty() {
        return refused(config, caller, &format!("may use no site {name:?}"));
    }
    let failure =
        Failure::new(Kind::NoPermission, told(caller), format!("may use no site {name:?} in {}", config.origin));
    let names: Vec<_> = own.iter().map(|site| site.name.as_str()).collect();
    failure.hint(format!("it may use {}", names.join(", ")))
}

/// All of the caller's sites are bound to other directories.
fn elsewhere(config: &Config, caller: &Caller, listed: &[&Site]) -> Failure {
    let cwd = caller.cwd.as_ref().map_or("no directory".to_owned(), |cwd| cwd.display().to_string());
    let mut said: Vec<String> = Vec::new();
    for site in listed {
        let paths = site.paths.iter().map(|path| match path.exists() {
            true => path.display().to_string(),
            false => format!("{}, which is not there", path.display()),
        });
        said.push(format!("{}: {}", site.name, paths.collect::<Vec<_>>().join(", ")));
    }
    let mut files: Vec<String> =
        listed.iter().filter_map(|site| site.file.as_ref()).map(|file| file.display().to_string()).collect();
    files.dedup();
    let place = if files.is_empty() { config.origin.to_string() } else { files.join(", ") };
    let why = format!("working directory {cwd} is outside its sites' paths ({}) in {place}", said.join("; "));
    let there = listed.iter().flat_map(|site| &site.paths).find(|path| path.exists());
    Failure::new(Kind::NoPermission, told(caller), why).hint(match there.filter(|_| host::stands_in()) {
        // Whoever asks in a user's stead rarely stands where the site's programs do.
        Some(path) => format!("if programs of the site run in {0}, add --cwd {0}", path.display()),
        None => "add the directory to a site's `path`, or give the user a site without `path`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(toml: &str) -> Config {
        let source = format!("{toml}\n[relay.main]\nhost = 'mx.example'\n");
        Config::parse(Path::new("/config.toml"), &source, &caller(0, "/")).unwrap()
    }

    fn caller(uid: u32, cwd: &str) -> Caller {
        let cwd = Some(cwd.into());
        Caller { uid, gid: uid, user: None, home: None, cwd }
    }

    /// The chosen site, or the reason why there is none.
    fn chosen(config: &Config, uid: u32, cwd: &str, sender: &str) -> String {
        let sender: Option<Address> = (!sender.is_empty()).then(|| sender.parse().unwrap());
        match select(config, &caller(uid, cwd), None, sender.as_ref().as_slice()) {
            Ok(selection) => selection.site.name.clone(),
            Err(failure) => format!("{:?}", failure.kind),
        }
    }

    #[test]
    fn uid_then_path_then_sender_then_order_decide() {
        let config = config(
            "[site.shop]\nuser = 1042\npath = '/srv/www/shop'\n\
             [site.blog]\nuser = 1042\npath = '/srv/www/shop/blog'\n\
             [site.news]\nuser = 1042\nsender = '*@news.example'\n\
             [site.rest]\nuser = 1042\n\
             [site.other]\nuser = 1043\nsender = '*@other.example'\n\
             [site.open]\n[site.world]\npath = '/srv/world'\n",
        );
        for (uid, cwd, sender, site) in [
            (1042, "/srv/www/shop/public", "", "shop"),
            (1042, "/srv/www/shop/blog/wp", "a@news.example", "blog"),
            (1042, "/srv/www/shopping", "", "rest"),
            (1042, "/", "a@news.example", "news"),
            (1042, "/", "a@b.example", "rest"),
            (1043, "/", "a@b.example", "other"),
            (1043, "/srv/www/shop", "", "other"),
            (1044, "/", "", "NoPermission"),
            (1044, "/srv/www/shop", "a@news.example", "NoPermission"),
            (1044, "/srv/world/x", "", "world"),
            (0, "/srv/www/shop", "", "shop"),
        ] {
            assert_eq!(chosen(&config, uid, cwd, sender), site, "{uid} {cwd} {sender}");
        }
    }

    #[test]
    fn without_users_everybody_speaks_for_the_sites_of_the_host() {
        let sites = "[site.a]\npath = '/srv/a'\n[site.b]\nsender = '*@b.example'\n[site.c]\n";
        let all = config(sites);
        assert_eq!(chosen(&all, 33, "/srv/a/public", "x@b.example"), "a");
        assert_eq!(chosen(&all, 33, "/", "x@b.example"), "b");
        assert_eq!(chosen(&all, 33, "/", "x@c.example"), "c");
        let refused = config(&format!("default_site = 'refuse'\n{sites}"));
        assert_eq!(chosen(&refused, 33, "/", "x@c.example"), "NoPermission");
        let named = config(&format!("default_site = 'b'\n{sites}"));
        assert_eq!(chosen(&named, 33, "/", "x@c.example"), "b");
    }

    #[test]
    fn who_is_in_no_directory_of_its_sites_is_told_so() {
        let config = config("[site.a]\nuser = 7\npath = '/srv/a'\n[site.b]\nuser = 7\npath = '/srv/b'\n");
        let failure = select(&config, &caller(7, "/tmp"), None, &[]).unwrap_err();
        assert_eq!(failure.kind, Kind::NoPermission);
        assert_eq!(
            failure.to_string(),
            "uid 7: working directory /tmp is outside its sites' paths (a: /srv/a, which is not there; b: /srv/b, which is \
             not there) in /config.toml"
        );
        assert!(failure.hint.unwrap().contains("site without `path`"));
    }

    #[test]
    fn a_site_that_is_asked_for_has_to_be_open_to_the_uid() {
        let config = config("[site.shop]\nuser = 1042\n[site.open]\n");
        let asked = |uid, name| select(&config, &caller(uid, "/"), Some(name), &[]).map(|s| s.site.name.as_str());
        assert_eq!(asked(1042, "shop").unwrap(), "shop");
        assert_eq!(asked(0, "shop").unwrap(), "shop");
        assert_eq!(asked(1043, "open").unwrap(), "open");
        let failure = asked(1043, "shop").unwrap_err();
        assert_eq!(failure.kind, Kind::NoPermission);
        assert!(failure.to_string().starts_with("uid 1043: may not use site shop in "), "{failure}");
        assert_eq!(asked(1043, "nowhere").unwrap_err().kind, Kind::NoPermission);
    }

    #[test]
    fn paths_are_compared_with_links_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("releases/7");
        std::fs::create_dir_all(&real).unwrap();
        let link = dir.path().join("current");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let config = config(&format!("default_site = 'refuse'\n[site.app]\npath = '{}'\n", link.display()));
        assert_eq!(chosen(&config, 33, real.join("web").to_str().unwrap(), ""), "app");
        assert_eq!(chosen(&config, 33, "/", ""), "NoPermission");
    }

    #[test]
    fn a_disabled_site_refuses_with_its_reason() {
        let config = config("[site.shop]\ndisabled = 'spam, 21 Nov'\n");
        let failure = config.sites[0].check_enabled().unwrap_err();
        assert_eq!(failure.to_string(), "site shop: 550 5.7.1 site disabled: spam, 21 Nov");
    }
}
