//! Every user that sends, each looked at by a process with that user's rights.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::unistd::User;

use super::general::shown;
use super::{json, part_of};
use crate::caller::Caller;
use crate::cli::check::Check;
use crate::config::Config;
use crate::config::site::{NOBODY, Site};
use crate::exit;
use crate::finding::{Finding, Section, codes};
use crate::machine::Machine;
use crate::process;
use crate::tools::speaker;

/// How many users are looked at by a process; the first ones, those of sites before others.
const USERS: usize = 64;
/// The same of users whom no site names, who are all alike.
const OTHERS: usize = 8;
/// How many processes run at once.
const AT_ONCE: usize = 8;
/// The most that one process may say, in octets.
const SAID: u64 = 4 << 20;

/// What all of them can do. Sites that are open to everybody are root's to ask relays for: no user's file defines one.
pub(super) fn look(of: &Check, config: &Config, machine: &Machine<'_>, root: &Caller) -> Vec<Section> {
    let open: Vec<String> =
        config.sites.iter().filter(|site| site.users.is_empty()).map(|site| site.name.clone()).collect();
    let mut sections = Vec::new();
    let is_meant = |name: &String| of.sites.is_empty() || of.sites.contains(name);
    if of.user.is_none() && open.iter().any(is_meant) {
        sections.extend(part_of(
            &Check { sites: open.into_iter().filter(is_meant).collect(), ..of.clone() },
            config,
            root,
        ));
    }
    let (users, passed_by) = users(of, config, machine);
    let turn = AtomicUsize::new(0);
    let said: Mutex<Vec<(usize, Vec<Section>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(users.len()) {
            let work = || {
                while let Some((index, user)) = next(&turn, &users) {
                    let sections = ask(of, user).unwrap_or_else(|error| vec![silent(user.uid, &error)]);
                    if let Ok(mut said) = said.lock() {
                        said.push((index, sections));
                    }
                }
            };
            let _ = process::start_in(scope, "user", work);
        }
    });
    let mut said = said.into_inner().unwrap_or_default();
    said.sort_by_key(|(index, _)| *index);
    sections.extend(said.into_iter().flat_map(|(_, sections)| sections));
    if passed_by > 0 {
        let mut section = Section::new("files");
        let sentence = format!("{passed_by} more were not looked at one by one");
        let finding = Finding::new(&codes::CONFIG_NOT_LOOKED_AT, "users", sentence);
        section.findings.push(finding.advise("mailchute check --as USER looks at one"));
        sections.push(section);
    }
    sections
}

fn next<'u>(turn: &AtomicUsize, users: &'u [Asked]) -> Option<(usize, &'u Asked)> {
    let index = turn.fetch_add(1, Ordering::Relaxed);
    users.get(index).map(|user| (index, user))
}

/// A user who is asked.
struct Asked {
    uid: u32,
    /// Relays are asked by this one for all of a site's users.
    asks_relays: bool,
}

/// Whom to ask, and how many are left out.
fn users(of: &Check, config: &Config, machine: &Machine<'_>) -> (Vec<Asked>, usize) {
    if let Some(user) = &of.user {
        let uid = speaker::uid(user).ok();
        return (uid.into_iter().map(|uid| Asked { uid, asks_relays: true }).collect(), 0);
    }
    let mut all: Vec<Asked> = Vec::new();
    let is_meant = |site: &&Site| of.sites.is_empty() || of.sites.contains(&site.name);
    for site in config.sites.iter().filter(is_meant) {
        let users = site.users.iter().copied().filter(|uid| *uid != NOBODY);
        for (index, uid) in users.enumerate() {
            match all.iter_mut().find(|known| known.uid == uid) {
                Some(known) => known.asks_relays |= index == 0,
                None => all.push(Asked { uid, asks_relays: index == 0 }),
            }
        }
    }
    // What a user's own file of `sites.d` says is for that user's process to read.
    let own =
        config.skipped.iter().filter(|skipped| !skipped.is_mistake).filter_map(|skipped| skipped.file.metadata().ok());
    for uid in own.map(|file| file.uid()).filter(|uid| *uid != 0) {
        if !all.iter().any(|known| known.uid == uid) {
            all.push(Asked { uid, asks_relays: true });
        }
    }
    let of_sites = all.len();
    if of.sites.is_empty() {
        let pools = machine.pool_users().into_iter().filter_map(|name| User::from_name(name).ok().flatten());
        for uid in pools.map(|user| user.uid.as_raw()) {
            if !all.iter().any(|known| known.uid == uid) {
                all.push(Asked { uid, asks_relays: false });
            }
        }
    }
    let count = all.len();
    all.truncate((of_sites + OTHERS).min(USERS));
    let passed_by = count - all.len();
    (all, passed_by)
}

/// What the process of one user says.
fn ask(of: &Check, user: &Asked) -> io::Result<Vec<Section>> {
    let mut command = process::again()?;
    command.args(of.config.iter().flat_map(|file| [OsStr::new("--config"), file.as_os_str()]));
    command.args(["check", "--part", "--as", &user.uid.to_string()]);
    command.args(of.sites.iter().flat_map(|site| [OsString::from("--site"), site.into()]));
    command.args((of.offline || !user.asks_relays).then_some("--offline"));
    // Pipes on all sides: then it is apart from root's terminal.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = process::spawn(&mut command)?;
    let mut said = String::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(SAID).read_to_string(&mut said)?;
    }
    let status = child.wait()?;
    match (status.code(), json::sections(&said)) {
        (Some(code), Some(sections)) if code == i32::from(exit::OK) => Ok(sections),
        (code, _) => Err(io::Error::other(format!("its process ended with {}", code.unwrap_or(-1)))),
    }
}

fn silent(uid: u32, error: &io::Error) -> Section {
    let mut section = Section::new(format!("as uid {uid}"));
    let finding = Finding::new(&codes::CONFIG_NOT_LOOKED_AT, format!("uid {uid}"), shown(&error.to_string()));
    section.findings.push(finding);
    section
}
