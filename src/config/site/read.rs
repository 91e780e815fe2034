//! The sites of one file, flattened: policy, relays and aliases filled in from the file's top level.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aliases::{Aliases, Table};
use super::policy::{self, Policy};
use super::{NOBODY, OtherSender, Site};
use crate::address::compared_name;
use crate::config::accounts::Accounts;
use crate::config::alert::Alert;
use crate::config::document::{Keys, Section};
use crate::config::limit::Limits;
use crate::config::relay::Relay;
use crate::config::route::{self, Route};
use crate::config::value::Name;
use crate::failure::Failure;
use crate::spelling;

/// The keys of a site beside its policy.
const KEYS: &[&str] = &["user", "path", "relay", "route", "disabled", "alias"];
/// The keys of later versions.
pub(in crate::config) const LATER: &[&str] = &[];

/// What the sites of one file share.
pub(in crate::config) struct Shared<'a> {
    /// The file; `None`: the environment.
    pub(in crate::config) file: Option<PathBuf>,
    /// The top-level policy.
    pub(in crate::config) policy: Policy,
    /// The relays in file order.
    pub(in crate::config) relays: Arc<[Arc<Relay>]>,
    /// Where among them each stands, by name.
    pub(in crate::config) places: HashMap<&'a str, usize>,
    /// `[[route]]`.
    pub(in crate::config) routes: Arc<[Route]>,
    /// The alerts of the main file and of this one.
    pub(in crate::config) alerts: Arc<[Arc<Alert>]>,
    /// `[alias]`.
    pub(in crate::config) alias: Arc<Table>,
    /// The uid that every site of the file is bound to.
    pub(in crate::config) owner: Option<u32>,
    /// The uid that they are bound to by the directory that the file is in.
    pub(in crate::config) holder: Option<u32>,
    /// Who calls, and the users that are named.
    pub(in crate::config) accounts: &'a Accounts<'a>,
}

impl Shared<'_> {
    /// The one site of a file without `[site]`.
    pub(in crate::config) fn lone(&self, name: &str, root: &Section<'_>) -> Result<Site, Failure> {
        let site = self.site(name, &self.policy, root)?;
        Ok(Site { relays: Arc::clone(&self.relays), alias: Aliases::new(Table::new(), &self.alias), ..site })
    }

    /// Reads `[site.NAME]`.
    ///
    /// # Errors
    /// `Configuration`, with the place of the key at fault.
    pub(in crate::config) fn read(
        &self,
        name: &str,
        section: &Section<'_>,
        above: &[&str],
        warnings: &mut Vec<String>,
    ) -> Result<Site, Failure> {
        section.expect(&Keys { now: &[KEYS, policy::KEYS].concat(), later: LATER, above })?;
        let policy = Policy::read(section)?;
        let policy = if self.owner.is_some() { policy.within(&self.policy) } else { policy.over(&self.policy) };
        let alias = Aliases::new(aliases(section)?, &self.alias);
        let (users, unknown_users) = match self.owner {
            Some(_) if section.has("user") => {
                return Err(section
                    .wrong("user", "may not be set in a file that root does not own")
                    .hint("leave it out: the file speaks for its owner; or make it root's with chown root"));
            }
            None if section.has("user") && self.holder.is_some() => {
                return Err(section
                    .wrong("user", "may not be set in a user's directory of sites.d")
                    .hint("leave it out: the directory says whose site it is; or move the file up"));
            }
            None if self.holder.is_some() => (self.bound(), Vec::new()),
            Some(_) => (self.bound(), Vec::new()),
            None => self.users(section, "user", warnings)?,
        };
        Ok(Site {
            users,
            unknown_users,
            paths: paths(section)?,
            relays: if section.has("relay") { self.relays_of(section)? } else { Arc::clone(&self.relays) },
            routes: route::read::routes(section, self, above, warnings)?.unwrap_or_else(|| Arc::clone(&self.routes)),
            disabled: section.string("disabled")?.map(str::to_owned),
            alias,
            ..self.site(name, &policy, section)?
        })
    }

    /// The uid that all of it is bound to, if there is one.
    fn bound(&self) -> Vec<u32> {
        self.owner.or(self.holder).into_iter().collect()
    }

    /// A site with this policy, open to its owner or to everybody.
    fn site(&self, name: &str, policy: &Policy, section: &Section<'_>) -> Result<Site, Failure> {
        let sender = policy.sender.clone().unwrap_or_default();
        let fallback = if sender.is_empty() { OtherSender::Pass } else { OtherSender::Refuse };
        let other_sender = policy.other_sender.unwrap_or(fallback);
        if other_sender == OtherSender::Rewrite && policy.from.is_none() {
            return Err(section.error("other_sender", "other_sender = \"rewrite\" needs \"from\""));
        }
        // Whoever names the sites of its file gets no more by naming more of them.
        let counted = match (self.owner, self.file.as_deref().and_then(Path::file_stem)) {
            (Some(_), Some(stem)) => stem.to_string_lossy(),
            _ => name.into(),
        };
        Ok(Site {
            name: name.to_owned(),
            file: self.file.clone(),
            users: self.bound(),
            unknown_users: Vec::new(),
            is_ownerless: false,
            paths: Vec::new(),
            sender,
            other_sender,
            from: policy.from.clone(),
            relays: Arc::default(),
            routes: Arc::clone(&self.routes),
            strategy: policy.strategy(),
            disabled: None,
            domain: policy.domain.clone(),
            local_domains: policy.local_domains.clone(),
            alias: Aliases::default(),
            terms: policy.terms(),
            spooling: policy.spooling(),
            staging: policy.staging(),
            keeping: policy.keeping(),
            limits: Limits::of("site", &counted, self.file.as_deref(), policy.limits()),
            over_limit: policy.over_limit(),
            exit_status: policy.exit_status(),
            alerts: Arc::clone(&self.alerts),
        })
    }

    /// The uids under `key`, and the names there that nobody has.
    pub(in crate::config) fn users(
        &self,
        section: &Section<'_>,
        key: &str,
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<u32>, Vec<String>), Failure> {
        let (mut users, mut unknown) = (Vec::new(), Vec::new());
        let Some(names) = section.names(key)? else { return Ok((users, unknown)) };
        if names.is_empty() {
            return Err(section.wrong(key, "is empty").hint("leave it out where every user is meant"));
        }
        for name in names {
            users.push(match name {
                Name::Number(uid) => uid,
                Name::Word(word) => match self.accounts.uid(word) {
                    Some(uid) => uid,
                    None => {
                        // One deleted account must not stop the other sites; the site stays bound.
                        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
                        let why = if digits { "; a uid has no quotes" } else { "" };
                        let why = format!("names {word:?}, who does not exist{why}");
                        warnings.push(section.wrong(key, why).to_string());
                        unknown.push(word.to_owned());
                        NOBODY
                    }
                },
            });
        }
        Ok((users, unknown))
    }

    /// The relays that `section` names.
    pub(in crate::config) fn relays_of(&self, section: &Section<'_>) -> Result<Arc<[Arc<Relay>]>, Failure> {
        let names = section.strings("relay")?.unwrap_or_default();
        if names.is_empty() {
            return Err(section.wrong("relay", "is empty"));
        }
        let mut route: Vec<Arc<Relay>> = Vec::with_capacity(names.len());
        let (only, mut taken) = (names.len() == 1, HashSet::new());
        for name in names {
            let Some(&place) = self.places.get(name) else {
                let failure = section.wrong("relay", format!("names {name:?}, which this file does not define"));
                return Err(match spelling::nearest(name, self.relays.iter().map(|relay| relay.name.as_str())) {
                    Some(near) => failure.hint(format!("did you mean {near:?}?")),
                    None => failure.hint(format!("add a [relay.{name}] table")),
                });
            };
            if only || taken.insert(place) {
                route.push(Arc::clone(&self.relays[place]));
            }
        }
        Ok(route.into())
    }
}

fn paths(section: &Section<'_>) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for text in section.strings("path")?.unwrap_or_default() {
        if !text.starts_with('/') {
            return Err(section.wrong("path", format!("holds {text:?}, which is not absolute")));
        }
        let path = PathBuf::from(text);
        paths.push(path.canonicalize().unwrap_or(path));
    }
    Ok(paths)
}

/// Reads the `alias` table of the top level or of a site.
///
/// # Errors
/// `Configuration` for a value that is no name or address.
pub(in crate::config) fn aliases(section: &Section<'_>) -> Result<Table, Failure> {
    let mut aliases = Table::new();
    let Some(table) = section.section("alias")? else { return Ok(aliases) };
    for name in table.keys() {
        // What is written behind [alias] for the whole file would silently become an alias.
        if policy::KEYS.contains(&name) || ["default_site", "strict_modes"].contains(&name) {
            return Err(table
                .wrong(name, "is a setting, not an alias")
                .hint(format!("{name:?} belongs at the top, before the first [table]")));
        }
        let targets = table.strings(name)?.unwrap_or_default();
        if targets.is_empty() {
            return Err(table.wrong(name, "is empty").hint("leave it out, or say who gets the mail"));
        }
        if let Some(target) = targets.iter().find(|t| t.starts_with(['|', '/', ':']) || t.contains(char::is_whitespace))
        {
            return Err(table.wrong(name, format!("holds {target:?}; an alias takes names and addresses only")));
        }
        aliases.insert(compared_name(name), targets.into_iter().map(str::to_owned).collect());
    }
    Ok(aliases)
}
