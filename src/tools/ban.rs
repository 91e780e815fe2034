//! `mailchute ban`, `unban`: root lets a site or a user send nothing, until a time or until it is lifted.

use std::path::Path;

use crate::alert::{self, Notice};
use crate::caller::Caller;
use crate::cli::{LiftBan, SetBan, Whom};
use crate::config::Config;
use crate::config::alert::Occasion;
use crate::config::site::Site;
use crate::door;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::limit::ban::{self, Ban, Banned, Register};
use crate::plan::{Choice, Course};
use crate::spelling;
use crate::tools::{culprits, speaker};

/// Sets a ban, and says what it does not reach.
///
/// # Errors
/// `NoPermission`: this is not root. `Usage`: no such site or user. `CannotCreate`, `Io`: it cannot be kept.
pub(crate) fn set(choice: &Choice, words: &SetBan) -> Result<u8, Failure> {
    let caller = root("ban")?;
    let course = Course::begin(&caller, choice);
    let (of, site) = match &words.whom {
        Whom { user: Some(user), .. } => (Banned::User(speaker::uid(user)?), None),
        Whom { site, .. } => {
            let config = course.config()?;
            let name = site.as_deref().unwrap_or_default();
            (known(config, name)?, config.site(name).map(|site| (config, site)))
        }
    };
    let ban = Ban::new(of, words.span, words.because.as_deref());
    Register::set(&ban)?;
    tell_of(&ban, course.config().ok(), caller.uid);
    let mut text = format!("{}: {ban}\n", ban.of);
    if let Some((config, site)) = site {
        let others = others(config, site);
        if !others.is_empty() {
            text +=
                &format!("its users may still send as {}: ban these too, or the user with --user\n", others.join(", "));
        }
    }
    text += &culprits::told(&ban.of, caller.uid);
    door::print(&text)?;
    if host::binary_group().is_none() {
        door::suggest(
            "a hostile site can still read its own secret and send without this program: change it at the provider, or \
             let no site read one (set-group-id, see mailchute(8))",
        );
    }
    Ok(exit::OK)
}

/// Has whoever is to hear of bans hear of `ban`, which root has set.
fn tell_of(ban: &Ban, config: Option<&Config>, uid: u32) {
    let Some(config) = config else { return };
    let (name, terms) = match &ban.of {
        Banned::Site(name) => (name.as_str(), ban.terms()),
        Banned::User(user) => ("", format!("uid {user} {}", ban.terms())),
    };
    let notice = Notice::new(Occasion::Ban, name, ban.since, terms.trim_end(), "");
    alert::raise_for(config, &notice, uid);
}

/// Lifts a ban.
///
/// # Errors
/// `NoPermission`: this is not root. `NoInput`: there is none. `Io`: it stands.
pub(crate) fn lift(words: &LiftBan) -> Result<u8, Failure> {
    root("unban")?;
    let of = match &words.whom {
        Whom { user: Some(user), .. } => Banned::User(speaker::uid(user)?),
        Whom { site, .. } => Banned::Site(site.clone().unwrap_or_default()),
    };
    if !ban::lift(&of)? {
        let failure = Failure::new(Kind::NoInput, of.to_string(), "is not banned");
        return Err(failure.hint("`mailchute bans` lists who is"));
    }
    door::print(&format!("{of}: may send again\n"))?;
    Ok(exit::OK)
}

/// The caller, who has to be root.
fn root(what: &str) -> Result<Caller, Failure> {
    let caller = Caller::current();
    match caller.uid {
        0 => Ok(caller),
        _ => Err(Failure::new(Kind::NoPermission, what, "only root bans, and lifts a ban")
            .hint("put `sudo` in front of the command; `mailchute bans` tells whether your sites are banned")),
    }
}

/// The site `name`, which root knows, or which a file of `sites.d` that is somebody else's may define: that file is
/// banned then, whatever its sites are called.
fn known(config: &Config, name: &str) -> Result<Banned, Failure> {
    if config.site(name).is_some() {
        return Ok(Banned::Site(name.to_owned()));
    }
    let stems = || config.skipped.iter().filter_map(|skipped| stem(&skipped.file));
    let is_its =
        |stem: &String| name.strip_prefix(stem.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(stem) = stems().find(is_its) {
        return Ok(Banned::Site(stem));
    }
    let names: Vec<String> = config.sites.iter().map(|site| site.name.clone()).chain(stems()).collect();
    let failure = Failure::new(Kind::Usage, name, "no such site");
    let near = spelling::as_near(name, names.iter().map(String::as_str));
    let near: Vec<String> = near.into_iter().map(|near| format!("{near:?}")).collect();
    Err(match near.len() {
        1..=5 => failure.hint(format!("did you mean {}?", near.join(" or "))),
        _ => failure.hint(format!("sites: {}; to ban a user, --user NAME", names.join(", "))),
    })
}

fn stem(file: &Path) -> Option<String> {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned())
}

/// The sites that a user of `site` may send as although that is banned: those that list the user as well.
fn others<'c>(config: &'c Config, site: &Site) -> Vec<&'c str> {
    let shares = |other: &&Site| other.name != site.name && other.users.iter().any(|uid| site.users.contains(uid));
    config.sites.iter().filter(shares).map(|other| other.name.as_str()).collect()
}
