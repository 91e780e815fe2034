//! A main file and the files of `sites.d` beside it, put together: one of these cannot stop the others.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::accounts::Accounts;
use super::alert::Alert;
use super::document::{Document, Text};
use super::listing::DIRECTORY;
use super::scope::{Scope, Standing};
use super::site::{NOBODY, OtherSender, Site};
use super::{Config, DefaultSite, Origin, Skipped, Wording, is_called_after, is_named_for};
use super::{glance, log};
use crate::caller::Caller;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes::{self, Modes};
use crate::spelling;

/// The size of the largest configuration file, in octets.
pub(super) const LIMIT: usize = 1024 * 1024;

/// What is said of a mistake that the caller may not be shown.
const KEPT: &str = "has a mistake, which only root is shown";

/// A configuration that is being put together.
pub(super) struct Gathered {
    config: Config,
    policy: super::site::policy::Policy,
    /// The alerts of the main file.
    alerts: Vec<Arc<Alert>>,
    default_site: Option<(String, Failure)>,
    /// Whether a site was left out that is somebody else's: it binds users, unseen.
    hidden: bool,
    /// The names of the sites.
    names: HashSet<String>,
    /// The names of those that were left out unparsed, where that is allowed.
    others: Option<HashSet<String>>,
}

impl Gathered {
    pub(super) fn new(origin: Origin, main: Scope, warnings: Vec<String>, strict_modes: bool) -> Self {
        let names = main.sites.iter().map(|site| site.name.clone()).collect();
        let alerts = main.alerts.clone();
        let config = Config {
            origin,
            wording: Wording::FILE,
            passed_over: Vec::new(),
            sites: main.sites,
            alerts: main.alerts,
            ping: main.ping,
            default_site: DefaultSite::Refuse,
            is_part: false,
            log: main.log.to.unwrap_or_default(),
            log_keep: main.log.keep.unwrap_or(log::KEEP),
            logs: Vec::new(),
            warnings,
            skipped: Vec::new(),
            strict_modes,
            sites_d: None,
            is_bound: false,
        };
        let default_site = main.default_site;
        Self { config, policy: main.policy, alerts, default_site, hidden: false, names, others: None }
    }

    /// Notes where the files of `sites.d` lie, of which there are some.
    pub(super) fn lies_in(&mut self, directory: PathBuf) {
        self.config.sites_d = Some(directory);
    }

    /// Leaves out, from now on, what is beyond doubt for others than the caller ([`glance`]).
    pub(super) fn leave_others_out(self) -> Self {
        Self { others: Some(HashSet::new()), ..self }
    }

    /// Whether what was left out changes nothing for `caller`: it is listed by a site, so those of others are not its
    /// either way, and no name of theirs decides anything.
    pub(super) fn is_enough_for(&self, caller: &Caller) -> bool {
        let Some(others) = self.others.as_ref().filter(|_| self.config.is_part) else { return true };
        let is_known = |name: &String| name == "refuse" || self.names.contains(name);
        self.config.sites.iter().any(|site| site.users.contains(&caller.uid))
            && others.is_disjoint(&self.names)
            && self.default_site.as_ref().is_none_or(|(name, _)| is_known(name))
    }

    /// Takes note of a directory of `sites.d` that is left out.
    pub(super) fn leave_out(&mut self, directory: Skipped) {
        self.hidden = true;
        if directory.is_mistake {
            self.config.warnings.push(directory.to_string());
        }
        self.config.skipped.push(directory);
    }

    /// Adds a file of `sites.d`, or the reason why it is left out: one site cannot stop the others. Where it is in a user's
    /// directory, its sites are bound to that `holder`.
    pub(super) fn add(&mut self, file: PathBuf, holder: Option<u32>, accounts: &Accounts<'_>) {
        let read = modes::read(&file, LIMIT);
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            // As every other site's file of a shared host: whoever asks for the next step has it looked for.
            self.hidden = true;
            let why = "permission denied".to_owned();
            self.config.skipped.push(Skipped { file, why, hint: None, is_mistake: false });
            return;
        }
        match read_site(&file, read, accounts.caller) {
            Ok((source, modes)) => {
                if let Err(failure) = self.try_add(&file, holder, &source, &modes, accounts) {
                    self.skip(file, &failure, true);
                }
            }
            Err(failure) => self.skip(file, &failure, failure.kind != Kind::NoPermission),
        }
    }

    /// Leaves `file` out. What is merely somebody else's is no mistake: every other site of a shared host
    /// is like that, and a warning for each would fill every record.
    pub(super) fn skip(&mut self, file: PathBuf, failure: &Failure, is_mistake: bool) {
        let why = match failure.what == file.display().to_string() {
            true => failure.why.clone(),
            false => failure.to_string(),
        };
        self.hidden |= failure.kind == Kind::NoPermission;
        let skipped = Skipped { file, why, hint: failure.hint.clone(), is_mistake };
        if is_mistake {
            self.config.warnings.push(skipped.to_string());
        }
        self.config.skipped.push(skipped);
    }

    fn try_add(
        &mut self,
        file: &Path,
        holder: Option<u32>,
        source: &str,
        modes: &Modes,
        accounts: &Accounts<'_>,
    ) -> Result<(), Failure> {
        let caller = accounts.caller;
        modes.judge(file, caller.uid, false, false)?;
        // A file that is not root's is its owner's, whatever it says, and root may use every site.
        if let Some(left_out) = self.others.as_mut().filter(|_| modes.uid == 0 && caller.uid != 0 && holder.is_none())
            && let Some(names) = glance::others(source, accounts)
        {
            left_out.extend(names.into_iter().map(str::to_owned));
            (self.hidden, self.config.is_part) = (true, true);
            return Ok(());
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let standing = Standing {
            file: Some(file.to_owned()),
            lone_site: &name,
            base: Some(&self.policy),
            alerts: &self.alerts,
            owner: (modes.uid != 0).then_some(modes.uid),
            holder,
            strict_modes: self.config.strict_modes,
            accounts,
        };
        let mut warnings = Vec::new();
        let scope = read_scope(file, source, standing, &mut warnings)?;
        let judged = modes.judge(file, caller.uid, scope.holds_secret, self.config.strict_modes)?;
        if self.names.contains(&*name) && scope.sites.iter().any(|site| site.name == *name) {
            self.make_way(&name, file, caller);
        }
        if let Some(site) = scope.sites.iter().find(|site| self.names.contains(&site.name)) {
            let what = file.display().to_string();
            if is_kept_from(caller) {
                return Err(Failure::new(Kind::NoPermission, what, KEPT).hint(asked_by_root(caller)));
            }
            let first = self.config.sites.iter().find(|known| known.name == site.name);
            let first = first.and_then(|known| known.file.as_ref()).map(|first| first.display().to_string());
            let first = first.unwrap_or_else(|| "another file".to_owned());
            let why = format!("defines site {:?}, which {first} defines already", site.name);
            let failure = Failure::new(Kind::NoPermission, what, why);
            return Err(match renamed(file) {
                Some(hint) => failure.hint(hint),
                None => failure,
            });
        }
        self.config.warnings.extend(warnings.into_iter().chain(judged));
        self.names.extend(scope.sites.iter().map(|site| site.name.clone()));
        if scope.sites.iter().any(|site| site.is_shown_to(caller.uid)) {
            self.config.alerts.extend(scope.alerts);
        }
        self.config.sites.extend(scope.sites);
        self.config.logs.extend(scope.log.to.map(|log| (file.to_owned(), log)));
        self.default_site = self.default_site.take().or(scope.default_site);
        Ok(())
    }

    /// Leaves out the site `name` of another file of `sites.d`, as `file` is called after it: which of two comes first in the
    /// directory does not say whose it is.
    fn make_way(&mut self, name: &str, file: &Path, caller: &Caller) {
        let is_strange = |site: &Site| {
            let other = site.file.as_deref().filter(|other| site.name == name && other.parent() == file.parent());
            other.is_some_and(|other| other.file_stem() != file.file_stem())
        };
        let Some(place) = self.config.sites.iter().position(is_strange) else { return };
        let site = self.config.sites.remove(place);
        let stray = site.file.map(|other| stray(name, &other, file, caller));
        self.names.remove(name);
        self.config.warnings.extend(stray.iter().map(Skipped::to_string));
        self.config.skipped.extend(stray);
    }

    /// Settles `default_site` once every site is known.
    pub(super) fn finish(self, file: &Path, caller: &Caller) -> Result<Config, Failure> {
        let mut config = self.config;
        if config.sites.is_empty() && config.skipped.is_empty() {
            return Err(Failure::new(Kind::Configuration, file.display().to_string(), "no [relay.NAME] is configured")
                .hint("one table is enough: [relay.main] with provider or host, here or in a file of sites.d"));
        }
        let says = |site: &Site| site.other_sender != OtherSender::Pass;
        if config.sites.iter().any(says)
            && config.sites.iter().filter(|site| says(site)).all(|site| site.sender.is_empty())
        {
            let what = file.display();
            let why = "other_sender has no effect without `sender`, the addresses that are written as";
            config.warnings.push(format!("{what}: {why}"));
        }
        let bound = config.sites.iter().any(|site| !site.users.is_empty()) || self.hidden;
        config.default_site = match self.default_site {
            Some((name, _)) if name == "refuse" => DefaultSite::Refuse,
            Some((name, failure)) => match config.site(&name) {
                Some(site) if site.users.is_empty() => DefaultSite::Named(name),
                Some(_) => {
                    let why = format!("\"default_site\" names {name:?}, which is bound to users");
                    return Err(Failure { why, ..failure }
                        .hint("say \"refuse\", or leave it out: who has no site is refused then"));
                }
                // It may be in a file that this caller cannot read.
                None if !config.skipped.is_empty() => DefaultSite::Refuse,
                None => {
                    let near = spelling::nearest(&name, config.sites.iter().map(|site| site.name.as_str()));
                    return Err(match near {
                        Some(near) => failure.hint(format!("did you mean {near:?}?")),
                        None => failure,
                    });
                }
            },
            None if bound => DefaultSite::Refuse,
            None => {
                let general = config.sites.iter().find(|site| site.paths.is_empty() && site.sender.is_empty());
                match general.or(config.sites.first()) {
                    Some(site) => DefaultSite::Named(site.name.clone()),
                    None => DefaultSite::Refuse,
                }
            }
        };
        config.is_bound = bound;
        if bound {
            close_ownerless(&mut config, file, caller);
        }
        leave_out_strays(&mut config, file, caller);
        if host::is_privileged() && caller.uid != 0 {
            keep_to_itself(&mut config, caller);
        }
        Ok(config)
    }
}

/// Closes what root put into `sites.d` without saying whose it is, where other sites have users: there `user` was
/// forgotten, and would have let every user of the host send with that site's credentials. Who means it to be open to all
/// makes it the `default_site`.
fn close_ownerless(config: &mut Config, main: &Path, caller: &Caller) {
    for site in &mut config.sites {
        let Some(file) = site.file.as_deref().filter(|file| *file != main && site.users.is_empty()) else { continue };
        if matches!(&config.default_site, DefaultSite::Named(name) if *name == site.name) {
            continue;
        }
        let is_told = caller.uid == 0 || is_named_for(file, caller);
        (site.is_ownerless, site.users) = (true, vec![NOBODY]);
        config.warnings.extend(site.ownerless_warning().filter(|_| is_told));
    }
}

/// Leaves out the sites that are called like a file of somebody else's: what they send would be counted, banned and
/// recorded as that one's, which whoever cannot read that file does not find out otherwise.
fn leave_out_strays(config: &mut Config, main: &Path, caller: &Caller) {
    let Some(directory) = config.sites_d.clone() else { return };
    let unread = |file: &Path| config.skipped.iter().any(|skipped| !skipped.is_mistake && skipped.file == *file);
    let strays: Vec<(String, Skipped)> = config
        .sites
        .iter()
        .filter_map(|site| {
            let file = site.file.as_deref().filter(|file| *file != main)?;
            let other = directory.join(format!("{}.toml", site.name));
            if other == *file || !unread(&other) {
                return None;
            }
            Some((site.name.clone(), stray(&site.name, file, &other, caller)))
        })
        .collect();
    for (name, skipped) in strays {
        config.sites.retain(|site| site.name != name || site.file.as_ref() != Some(&skipped.file));
        config.warnings.push(skipped.to_string());
        config.skipped.push(skipped);
    }
}

/// That `file` defines a site that is called after the file `other`.
fn stray(name: &str, file: &Path, other: &Path, caller: &Caller) -> Skipped {
    let (why, hint) = match is_kept_from(caller) {
        true => (KEPT.to_owned(), Some(asked_by_root(caller))),
        false => (format!("defines site {name:?}, which {} is for", other.display()), renamed(file)),
    };
    Skipped { file: file.to_owned(), why, hint, is_mistake: true }
}

/// Whether `caller` cannot read what this process reads. Root, who stands in for a user, is not meant.
fn is_kept_from(caller: &Caller) -> bool {
    host::is_privileged() && caller.uid != 0 && !host::stands_in()
}

/// What the site of `file` should be called.
fn renamed(file: &Path) -> Option<String> {
    let own = file.file_stem()?.to_str()?;
    Some(format!("call it [site.{own}] in {}, and see that the rest is its own, too", file.display()))
}

/// Takes out of what a privileged process has read all that its caller is not to know: what others' files are called,
/// and what is wrong with them. Of one that is called after the caller it is told that it is not its, and root, who
/// stands in for that user, is told why.
fn keep_to_itself(config: &mut Config, caller: &Caller) {
    let strange: Vec<Skipped> = config.skipped.extract_if(.., |skipped| !is_named_for(&skipped.file, caller)).collect();
    config.warnings.retain(|warning| !strange.iter().any(|skipped| *warning == skipped.to_string()));
    let is_called_so = |site: &Site| site.file.as_deref().is_some_and(|file| is_called_after(file, caller));
    let own = config.sites.iter().find(|site| !site.is_shown_to(caller.uid) && is_called_so(site));
    if let Some(file) = own.and_then(|site| site.file.clone()).filter(|_| is_kept_from(caller)) {
        let hint = Some(asked_by_root(caller));
        config.skipped.push(Skipped { file, why: "is not for this user".to_owned(), hint, is_mistake: false });
    }
    config.sites.retain(|site| site.is_shown_to(caller.uid) || host::stands_in() && is_called_so(site));
}

/// The command by which root learns what a set-group-id binary does not show `caller`.
fn asked_by_root(caller: &Caller) -> String {
    let user = caller.user.clone().unwrap_or_else(|| caller.uid.to_string());
    format!("sudo mailchute check --as {user}")
}

pub(super) fn read_scope(
    file: &Path,
    source: &str,
    standing: Standing<'_>,
    warnings: &mut Vec<String>,
) -> Result<Scope, Failure> {
    let text = Text::File(file.to_owned());
    let caller = standing.accounts.caller;
    let scope = Document::parse(&text, source).and_then(|document| Scope::read(&document, standing, warnings));
    scope.map_err(|failure| match is_kept_from(caller) {
        // It is told nothing of what stands there.
        true => Failure::new(failure.kind, file.display().to_string(), KEPT).hint(asked_by_root(caller)),
        false => failure,
    })
}

/// What was `read` of `file`, as text.
pub(super) fn text(
    file: &Path,
    read: io::Result<(Zeroizing<Vec<u8>>, Modes)>,
) -> Result<(Zeroizing<String>, Modes), Failure> {
    let (mut bytes, modes) = read.map_err(|e| modes::unreadable(file, &e))?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok((Zeroizing::new(text), modes)),
        Err(e) => {
            drop(Zeroizing::new(e.into_bytes()));
            Err(Failure::new(Kind::Configuration, file.display().to_string(), "is not UTF-8 text"))
        }
    }
}

/// What was `read` of a file of `sites.d` that is root's or the caller's.
///
/// What the caller wrote is not read with a group that the caller has not: it could name another site's
/// secret, and a server of its own to tell it to.
fn read_site(
    file: &Path,
    read: io::Result<(Zeroizing<Vec<u8>>, Modes)>,
    caller: &Caller,
) -> Result<(Zeroizing<String>, Modes), Failure> {
    let (source, modes) = text(file, read)?;
    let why = match modes.uid {
        0 => return Ok((source, modes)),
        uid if uid != caller.uid => format!("is owned by uid {uid}, neither root nor the caller"),
        uid if host::is_privileged() => {
            format!("is owned by uid {uid}, and a set-group-id binary takes root's files only")
        }
        _ => return Ok((source, modes)),
    };
    let site = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let is_in_users_directory = !file.parent().is_some_and(|above| above.ends_with(DIRECTORY));
    let file = file.display().to_string();
    let hint = match (is_in_users_directory, &caller.user) {
        // What its owner could leave out is what binds root's file to its user.
        (false, Some(user)) if caller.uid != 0 => {
            format!("sudo chown root {file}, and see that its [site.{site}] has user = [{user:?}]")
        }
        _ => format!("sudo chown root {file}"),
    };
    Err(Failure::new(Kind::NoPermission, file, why).hint(hint))
}
