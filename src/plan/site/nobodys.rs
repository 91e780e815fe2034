//! Why a caller has no site, and what to do about it. The caller's own file comes first; of the others only their
//! number is of interest.

use std::path::Path;

use super::told;
use crate::caller::Caller;
use crate::config::site::Site;
use crate::config::{Config, Origin, is_named_for};
use crate::failure::{Failure, Kind};
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
    let user = caller.user.clone().map_or_else(|| caller.uid.to_string(), |user| format!("{user:?}"));
    failure.hint(match (sites_d(config), &caller.user) {
        (Some(directory), Some(name)) => format!(
            "write {}/{name}.toml (root:{} 0640) with user = [{user}] in its [site.{name}]{others}",
            directory.display(),
            crate::modes::group_name(nix::unistd::getegid().as_raw()),
        ),
        (Some(directory), None) => {
            format!("list the user, user = [{user}], in a site of {}{others}", directory.display())
        }
        (None, _) => {
            format!(
                "list the user, user = [{user}], in a site, or name a site without \"user\" as default_site{others}"
            )
        }
    })
}

/// What is wrong with the file or site that looks like the caller's own, and the next step.
fn own_trouble(config: &Config, caller: &Caller) -> Option<(String, Option<String>)> {
    if let Some(own) = config.skipped.iter().find(|skipped| is_named_for(&skipped.file, caller)) {
        return Some((own.told(), own.next_step()));
    }
    let user = caller.user.as_deref()?;
    let is_own = |site: &Site| {
        site.name == user || site.file.as_ref().is_some_and(|file| !is_main(config, file) && is_named_for(file, caller))
    };
    let misspelt = |site: &Site| spelling::nearest(user, site.unknown_users.iter().map(String::as_str)).is_some();
    let site = config.sites.iter().find(|site| misspelt(site)).or_else(|| {
        let own = config.sites.iter().find(|site| is_own(site))?;
        (!own.users.contains(&caller.uid)).then_some(own)
    })?;
    let place = match &site.file {
        Some(file) => format!("site {} in {}", site.name, file.display()),
        None => format!("site {}", site.name),
    };
    Some(match site.unknown_users.first() {
        Some(unknown) => (
            format!("{place} names the user {unknown:?}, who does not exist"),
            Some(format!("write user = [{user:?}] there")),
        ),
        None if site.users.is_empty() => {
            (format!("{place} has no \"user\""), Some(format!("add user = [{user:?}] to [site.{}]", site.name)))
        }
        None => (format!("{place} is for other users"), Some(format!("add {user:?} to its \"user\""))),
    })
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

/// The directory of the sites' own files, where there are any.
fn sites_d(config: &Config) -> Option<&Path> {
    let of_sites = config.sites.iter().filter_map(|site| site.file.as_deref()).filter(|file| !is_main(config, file));
    config.skipped.iter().map(|skipped| skipped.file.as_path()).chain(of_sites).find_map(Path::parent)
}

fn is_main(config: &Config, file: &Path) -> bool {
    matches!(&config.origin, Origin::File(main) if main == file)
}
