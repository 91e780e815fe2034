//! `mailchute check`: whether mail would leave this machine, and be taken by the relay. Nothing is changed, nothing is
//! sent.
//!
//! What concerns all is looked at here, what one user can do by a process with that user's rights: it reads that user's
//! files and logs in with that user's secrets, so that root opens nothing and connects nowhere because a user's file
//! says so.

mod alerts;
mod domain;
mod general;
mod json;
mod own;
mod page;
mod published;
mod relay;
mod users;

use std::time::Instant;

use nix::unistd::geteuid;

use self::general::Only;
use self::published::Asked;
use crate::caller::Caller;
use crate::cli::Speaker;
use crate::cli::check::Check;
use crate::cli::invocation::Invocation;
use crate::config::Config;
use crate::config::site::{NOBODY, Site};
use crate::door;
use crate::exit;
use crate::failure::Failure;
use crate::finding::{Finding, Next, Section, codes};
use crate::host;
use crate::machine::Machine;
use crate::plan::site::refusal;
use crate::plan::{Choice, Course};
use crate::root::Root;
use crate::tools::speaker::{self, Provision, Stand};

/// What was looked at.
struct Seen {
    /// What it says above everything: version, configuration, system.
    title: String,
    /// What concerns all, then what concerns one site each.
    sections: Vec<Section>,
    /// Name and description of each site, in the order of the configuration.
    sites: Vec<(String, String)>,
    /// What name servers were asked.
    asked: Asked,
}

/// Looks at the set-up, prints what was found and returns the status of the worst of it.
///
/// # Errors
/// This process may not become the user that was asked for, `--root` is no directory, the copy of `--message` cannot be
/// read, or standard output cannot be written.
pub(crate) fn run(invocation: &Invocation, of: &Check) -> Result<u8, Failure> {
    let mut of = Check { config: of.config.clone().or_else(|| invocation.choice.config.clone()), ..of.clone() };
    if host::is_privileged() {
        // What the caller names is not read with the binary's rights.
        (of.config, of.root) = (None, None);
    }
    of.offline |= of.root.is_some();
    let began = Instant::now();
    if of.part {
        let speaker = Speaker { user: of.user.clone(), cwd: None };
        return match speaker::turn_into(&speaker, Provision::default())? {
            Stand::There(status) => Ok(status),
            Stand::Here(caller) => {
                let text = json::of_sections(&part(&of, &caller));
                door::print(&text).map(|()| exit::OK)
            }
        };
    }
    let mut seen = match of.domains.is_empty() && of.message.is_none() {
        true => look(&of, &Root::at(of.root.as_deref())?),
        false => domain::look(&of)?,
    };
    for section in &mut seen.sections {
        section.findings.retain(|finding| !of.ignored.contains(&finding.code));
    }
    let status = exit::of_findings(seen.sections.iter().flat_map(|section| &section.findings));
    page::print(&of, &seen, began.elapsed())?;
    Ok(status)
}

fn look(of: &Check, root: &Root) -> Seen {
    let caller = Caller::current();
    let choice = Choice { site: None, config: of.config.clone(), relay: None };
    let course = Course::begin(&caller, &choice);
    let machine = Machine::look(root);
    // A copy's configuration is for the copy: its users and its secrets are not this host's.
    let config = if root.is_host() || of.config.is_some() { Some(course.config()) } else { None };
    let known = config.as_ref().and_then(|config| config.as_ref().ok()).copied();
    let asked = of.user.as_deref().and_then(|user| speaker::account(user).ok());
    let only = match (&asked, &of.sites[..]) {
        (Some(user), []) => Only::User(user),
        (None, []) => Only::All,
        (_, names) => Only::Sites(names),
    };
    let mut sections = Vec::new();
    sections.extend(config.as_ref().map(|config| general::of_files(config.as_ref().copied(), &caller, &only)));
    sections.extend(machine.sections(general::wanted(known)));
    let (mut sites, mut questions) = (Vec::new(), Asked::default());
    if let Some(config) = known {
        sections.extend(general::of_spool(config));
        let meant = |site: &&Site| only.has(site);
        for site in config.sites.iter().filter(meant) {
            sites.push((site.name.clone(), general::described(site)));
            let first = || site.users.iter().copied().find(|uid| *uid != NOBODY);
            let uid = asked.as_ref().map(|user| user.uid).or_else(first).unwrap_or(caller.uid);
            sections.push(general::of_site(config, site, uid));
            sections.push(general::of_ports(site, machine.origin.host));
        }
        if !of.offline {
            let (published, all) = published::look(of, &config.sites.iter().filter(meant).collect::<Vec<_>>());
            sections.extend(published);
            questions = all;
        }
        sections.extend(match geteuid().is_root() {
            true => users::look(of, config, &machine, &caller),
            false => part_of(of, config, &caller),
        });
        once(&mut sections);
        sections
            .retain(|section| section.site.as_ref().is_none_or(|name| sites.iter().any(|(known, _)| known == name)));
        let place = |section: &Section| {
            section.site.as_ref().map_or(0, |name| 1 + sites.iter().position(|(known, _)| known == name).unwrap_or(0))
        };
        sections.sort_by_key(place);
    }
    if let Some(config) = known {
        sections.iter_mut().for_each(|section| worded(config, &mut section.findings));
        let unknown = of.sites.iter().filter(|name| !sites.iter().any(|(known, _)| known == *name));
        sections.extend(unknown.map(|name| general::no_such_site(name)));
    }
    Seen { title: title(known, Some(&machine)), sections, sites, asked: questions }
}

/// Leaves out what several users' processes say of all sites alike, and their steps for a secret that root has looked at for
/// all who send with it: what mends it for one may take it from another.
fn once(sections: &mut [Section]) {
    let is_unreadable = |finding: &&mut Finding| finding.code == &codes::SECRET_UNREADABLE;
    let files = sections.iter().filter(|section| section.label == "files").flat_map(|section| &section.findings);
    let looked_at: Vec<String> = files.map(|finding| finding.subject.clone()).collect();
    let of_users = sections.iter_mut().filter(|section| section.label != "files");
    for finding in of_users.flat_map(|section| &mut section.findings).filter(is_unreadable) {
        let whole = format!("{} (", finding.subject);
        if looked_at.iter().any(|subject| subject.starts_with(&whole)) {
            finding.next = None;
        }
    }

    let mut said: Vec<Finding> = Vec::new();
    for section in sections.iter_mut().filter(|section| section.label == "alerts") {
        section.findings.retain(|finding| !said.contains(finding));
        said.extend(section.findings.iter().cloned());
    }
}

/// What is found about `site` without asking anybody, as this process, which is `caller`'s: `explain` says it in the same
/// words.
pub(crate) fn known(config: &Config, site: &Site, caller: &Caller) -> Vec<Finding> {
    let sections = [general::of_site(config, site, caller.uid), own::look(site, caller)];
    let mut found: Vec<Finding> =
        sections.into_iter().flat_map(|section| section.findings).chain(published::without_domain(site)).collect();
    worded(config, &mut found);
    found
}

/// Has the next steps of `findings` in the words of this configuration.
pub(crate) fn worded<'f>(config: &Config, findings: impl IntoIterator<Item = &'f mut Finding>) {
    for finding in findings {
        let relay = finding.subject.strip_prefix("relay ");
        if let Some(Next::Do(next) | Next::Run(next)) = &finding.next {
            let told = config.wording.told(next, relay);
            if told != *next {
                finding.next = Some(Next::Do(told));
            }
        }
    }
}

/// What `caller` can do, as a process of that user's tells root's.
fn part(of: &Check, caller: &Caller) -> Vec<Section> {
    let choice = Choice { site: None, config: of.config.clone(), relay: None };
    let course = Course::begin(caller, &choice);
    match course.config() {
        Ok(config) => part_of(of, config, caller),
        Err(failure) => vec![own::without_configuration(&failure, caller)],
    }
}

fn part_of(of: &Check, config: &Config, caller: &Caller) -> Vec<Section> {
    let refusal = refusal(config, caller).filter(|_| of.sites.is_empty());
    let sites: Vec<&Site> = match refusal {
        Some(_) => Vec::new(),
        None => own::sites(config, caller)
            .into_iter()
            .filter(|site| of.sites.is_empty() || of.sites.contains(&site.name))
            .collect(),
    };
    let mut sections: Vec<Section> = sites.iter().map(|site| own::look(site, caller)).collect();
    sections.extend(refusal.map(|refusal| own::without_site(caller, &refusal)));
    sections.extend(own::waiting(caller));
    sections.push(alerts::look(config, &sites, caller));
    if !of.offline {
        sections.extend(relay::look(&sites));
    }
    sections
}

/// `mailchute 0.2.0, /etc/mailchute/config.toml, Debian GNU/Linux 12 (bookworm), Hetzner`.
fn title(config: Option<&Config>, machine: Option<&Machine<'_>>) -> String {
    let mut words = vec![format!("mailchute {}", env!("CARGO_PKG_VERSION"))];
    words.extend(config.map(|config| config.origin.to_string()));
    words.extend(machine.into_iter().flat_map(|machine| machine.origin.words()));
    if host::binary_group().is_some() {
        words.push("set-group-id".to_owned());
    }
    words.join(", ")
}
