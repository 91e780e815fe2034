//! `mailchute secret`: stores secrets with the modes they need, and looks at those that are there.

pub(crate) mod check;
pub(super) mod files;
pub(super) mod put;
mod readers;
pub(super) mod typed;
pub(super) mod uses;

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::cli::secret::SecretTask;
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::secret::STORED;

/// The longest name, in octets.
const NAME: usize = 64;

/// Does it, and returns the exit status.
///
/// # Errors
/// This is not root, a word is wrong, the value is none, or it cannot be stored.
pub(crate) fn run(task: &SecretTask) -> Result<u8, Failure> {
    if !geteuid().is_root() {
        return Err(Failure::new(Kind::NoPermission, "secret", "only root looks after secrets")
            .hint("put `sudo` in front of the command"));
    }
    let (text, is_broken) = match task {
        SecretTask::Put(of) => (put::run(of)?, false),
        SecretTask::Check(of) => check::run(of)?,
    };
    door::print(&text)?;
    Ok(if is_broken { exit::of_kind(&Kind::Configuration, Scheme::Reply) } else { exit::OK })
}

/// The file of this name. The name is not repeated where it is none: it may be the secret.
///
/// # Errors
/// `Usage`: it is no name.
fn file(name: &str) -> Result<PathBuf, Failure> {
    match is_name(name) {
        true => Ok(Path::new(STORED).join(name)),
        false => Err(Failure::new(
            Kind::Usage,
            "NAME",
            "a name has letters, digits, dots, dashes and underscores, and is not the secret",
        )
        .hint(format!("for example `mailchute secret put smtp`, which stores {STORED}/smtp"))),
    }
}

/// Whether a secret's file, or a site's, can be called so.
pub(super) fn is_name(name: &str) -> bool {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.len() <= NAME && !name.starts_with(['.', '-']) && name.chars().all(is_usual)
}
