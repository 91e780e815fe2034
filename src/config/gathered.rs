//! A main file and the files of `sites.d` beside it, put together: one of these cannot stop the others.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::accounts::Accounts;
use super::alert::Alert;
use super::document::{Document, Text};
use super::scope::{Scope, Standing};
use super::{Config, DefaultSite, Origin, Skipped};
use super::{glance, log};
use crate::caller::Caller;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes::{self, Modes};
use crate::spelling;

/// The size of the largest configuration file, in octets.
pub(super) const LIMIT: usize = 1024 * 1024;

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
        };
        let default_site = main.default_site;
        Self { config, policy: main.policy, alerts, default_site, hidden: false, names, others: None }
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
        if let Some(site) = scope.sites.iter().find(|site| self.names.contains(&site.name)) {
            let why = match site.is_shown_to(caller.uid) {
                true => format!("defines site {:?}, which another file defines already", site.name),
                false => "defines a site that another file defines already".to_owned(),
            };
            return Err(Failure::new(Kind::NoPermission, file.display().to_string(), why));
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

    /// Settles `default_site` once every site is known.
    pub(super) fn finish(self, file: &Path, caller: &Caller) -> Result<Config, Failure> {
        let mut config = self.config;
        if config.sites.is_empty() && config.skipped.is_empty() {
            return Err(Failure::new(Kind::Configuration, file.display().to_string(), "no [relay.NAME] is configured")
                .hint("one table is enough: [relay.main] with provider or host, here or in a file of sites.d"));
        }
        let bound = config.sites.iter().any(|site| !site.users.is_empty()) || self.hidden;
        config.default_site = match self.default_site {
            Some((name, _)) if name == "refuse" => DefaultSite::Refuse,
            Some((name, failure)) => match config.site(&name) {
                Some(site) if site.users.is_empty() => DefaultSite::Named(name),
                Some(_) => {
                    let why = format!("\"default_site\" names {name:?}, which is bound to users");
                    return Err(Failure { why, ..failure }.hint("name a site without \"user\", or \"refuse\""));
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
        config.sites.retain(|site| site.is_shown_to(caller.uid));
        Ok(config)
    }
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
    scope.map_err(|failure| match host::is_privileged() && caller.uid != 0 {
        // The caller cannot read the file, so it is told nothing of what stands there.
        true => Failure::new(failure.kind, file.display().to_string(), "has a mistake, which only root is shown")
            .hint("sudo mailchute explain"),
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
    let file = file.display().to_string();
    let hint = format!("sudo chown root {file}");
    Err(Failure::new(Kind::NoPermission, file, why).hint(hint))
}
