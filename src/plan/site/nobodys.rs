//! Why a caller has no site, and what to do about it. The caller's own file comes first; of the others only their
//! number is of interest.

use std::path::Path;

use nix::unistd::{Uid, User, getegid};

use super::told;
use crate::caller::Caller;
use crate::config::site::Site;
use crate::config::{Config, Origin, is_called_after, is_named_for};
use crate::failure::{Failure, Kind};
use crate::modes::group_name;
use crate::spelling;

/// How many files with a mistake are named where none of them is known to be the caller's.
const NAMED: usize = 3;

/// `why` there is no site, `has no site` or `may use no site "x"`, with what is wrong with the caller's own.
pub(super) fn refused(config: &Config, caller: &Caller, why: &str) -> Failure {
    let about = |why: String| Failure::new(Kind::NoPermission, told(caller), why);
    if let Some((cause, step)) = own_trouble(config, caller) {
        let failure = about(format!("{why}: {cause}"));
        return match step {
            Some(step) => failure.hint(step),
            None => failure,
        };
    }
    let failure = about(format!("{why} in {}", config.origin));
    let mistakes: Vec<_> = config.skipped.iter().filter(|skipped| skipped.is_mistake).collect();
    let others = others(config, caller).map(|others| format!("; {others}")).unwrap_or_default();
    if !mistakes.is_empty() {
        let named: Vec<_> = mistakes.iter().take(NAMED).map(|skipped| skipped.told()).collect();
        let more = mistakes.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        return failure.hint(format!("skipped for a mistake: {}{more}{others}", named.join(", ")));
    }
    let user = listed(caller);
    let advice = match (&config.sites_d, &caller.user) {
        (Some(directory), Some(name)) => format!(
            "write {}/{name}.toml (root:{} 0640) with user = [{user}] in its [site.{name}]",
            directory.display(),
            group_name(getegid().as_raw()),
        ),
        (Some(directory), None) => format!("list the user, user = [{user}], in a site of {}", directory.display()),
        // Where sites have users, one that is open to all would give its credentials to every user of the host.
        (None, _) if config.is_bound => format!("list the user, user = [{user}], in a site of {}", config.origin),
        (None, _) => {
            format!("list the user, user = [{user}], in a site, or name a site without \"user\" as default_site")
        }
    };
    failure.hint(format!("{advice}{others}{}", own_file(config, caller).unwrap_or_default()))
}

/// The caller as `user` lists it.
fn listed(caller: &Caller) -> String {
    caller.user.clone().map_or_else(|| caller.uid.to_string(), |user| format!("{user:?}"))
}

/// What is wrong with the file or site that looks like the caller's own, and the next step.
pub(super) fn own_trouble(config: &Config, caller: &Caller) -> Option<(String, Option<String>)> {
    if let Some(own) = config.skipped.iter().find(|skipped| is_named_for(&skipped.file, caller)) {
        return Some((own.told(), own.next_step()));
    }
    of_site(config, caller).or_else(|| {
        let own = config.unread().into_iter().find(|file| is_called_after(file, caller))?;
        let file = own.display();
        let cause = format!("{file} is not read: its name does not end in .toml");
        Some((cause, Some(format!("sudo mv {file} {}", own.with_extension("toml").display()))))
    })
}

/// The same of a site that could be read.
fn of_site(config: &Config, caller: &Caller) -> Option<(String, Option<String>)> {
    let name = caller.user.as_deref()?;
    let is_own = |site: &Site| {
        site.name == name || site.file.as_ref().is_some_and(|file| !is_main(config, file) && is_named_for(file, caller))
    };
    let misspelt = |site: &Site| spelling::nearest(name, site.unknown_users.iter().map(String::as_str)).is_some();
    let site = config.sites.iter().find(|site| misspelt(site)).or_else(|| {
        let own = config.sites.iter().find(|site| is_own(site))?;
        (!own.users.contains(&caller.uid)).then_some(own)
    })?;
    let place = match &site.file {
        Some(file) => format!("site {} in {}", site.name, file.display()),
        None => format!("site {}", site.name),
    };
    let write = format!("write user = [{}] there", listed(caller));
    if let Some(unknown) = site.unknown_users.first() {
        return Some((format!("{place} names the user {unknown:?}, who does not exist"), Some(write)));
    }
    if site.users.is_empty() || site.is_ownerless {
        let add = format!("add user = [{}] to [site.{}]", listed(caller), site.name);
        return Some((format!("{place} has no \"user\""), Some(add)));
    }
    let known: Vec<(u32, Option<String>)> = site.users.iter().map(|uid| (*uid, name_of(*uid))).collect();
    if let [(uid, None)] = known[..] {
        return Some((format!("{place} is for uid {uid}, and no user has that"), Some(write)));
    }
    let names: Vec<String> = known.into_iter().map(|(uid, name)| name.unwrap_or_else(|| uid.to_string())).collect();
    let cause = format!("{place} is for {}", names.join(", "));
    let step =
        format!("if it is {name}'s alone, {write}; if {name} is to send as it, too, add {name:?} to its \"user\"");
    Some((cause, Some(step)))
}

/// The name of a user.
fn name_of(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// That the caller has a file of its own that does not count.
fn own_file(config: &Config, caller: &Caller) -> Option<String> {
    let home = caller.home.as_deref().filter(|home| home.parent().is_some())?;
    let own = config.passed_over.iter().find(|other| {
        let place = Path::new(&other.place);
        place.starts_with(home) && place.exists()
    })?;
    Some(format!("; {} does not count beside {}", own.place, config.origin))
}

/// `39 files belong to other users`.
fn others(config: &Config, caller: &Caller) -> Option<String> {
    let hidden = config.skipped.iter().filter(|skipped| !skipped.is_mistake).map(|skipped| &skipped.file);
    let bound = config.sites.iter().filter(|site| !site.is_open_to(caller.uid)).filter_map(|site| site.file.as_ref());
    let mut files: Vec<_> = hidden.chain(bound.filter(|file| !is_main(config, file))).collect();
    files.sort_unstable();
    files.dedup();
    match files.len() {
        0 => None,
        1 => Some("one file belongs to another user".to_owned()),
        count => Some(format!("{count} files belong to other users")),
    }
}

fn is_main(config: &Config, file: &Path) -> bool {
    matches!(&config.origin, Origin::File(main) if main == file)
}
