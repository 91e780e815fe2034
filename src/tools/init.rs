//! `mailchute init`: the environment's configuration as a file, and the directories of those that send.

use anyhow::Context as _;
use nix::unistd::getuid;
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::cli::Init;
use crate::config::site::NOBODY;
use crate::config::{Search, init_from_environment};
use crate::door;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::keep::Place;
use crate::limit::ban;
use crate::modes::group_name;
use crate::plan::Choice;

/// Prints the file, or what was made.
///
/// # Errors
/// There is no configuration or it has a mistake, this is not root, or standard output cannot be written.
pub fn run(of: &Init, choice: &Choice) -> anyhow::Result<()> {
    let said = match of.users {
        true => door::say(&made_directories(choice)?),
        false => door::say(&from_environment()?),
    };
    said.context("standard output")
}

fn from_environment() -> Result<Zeroizing<String>, Failure> {
    init_from_environment(&host::variable, &Caller::current())?.ok_or_else(|| {
        let why = "none of MAILCHUTE_URL, MAILER_DSN and MAIL_HOST is set";
        Failure::new(Kind::Configuration, "environment", why)
            .hint("set MAILCHUTE_URL, such as smtps://mail.example.net, or postmark://default with MAILCHUTE_KEY")
    })
}

/// Fits the directories to the binary's group, or to its having none, and makes what is missing of those that the users
/// of the sites keep something in: a line each. The first needs no configuration: a package does it before there is one.
fn made_directories(choice: &Choice) -> Result<String, Failure> {
    if !getuid().is_root() {
        return Err(Failure::new(Kind::NoPermission, "init --users", "only root can make another user's directories")
            .hint("put `sudo` in front of the command"));
    }
    let mut said = String::new();
    for place in Place::ALL {
        if place.fit() {
            said += &match host::binary_group() {
                Some(group) => format!("closed {} to all but the group {}\n", place.parent(), group_name(group)),
                None => format!("opened {} to all users\n", place.parent()),
            };
        }
    }
    // Bans are read with the binary's group, too; to list them mends their modes.
    ban::all()?;
    let config = Search::new(choice.config.clone()).load(&Caller::current())?;
    let mut users: Vec<u32> = config.sites.iter().flat_map(|site| site.users.iter().copied()).collect();
    users.sort_unstable();
    users.dedup();
    let users = users.into_iter().filter(|uid| *uid != NOBODY);
    let made = users.flat_map(|uid| Place::ALL.into_iter().filter_map(move |place| place.prepare(uid)));
    said.extend(made.map(|directory| format!("made {}\n", directory.display())));
    Ok(said)
}
