//! The configuration: one source, checked whole, with every default filled in.
//!
//! The source is the first that exists of: `--config` or `MAILCHUTE_CONFIG`; `/etc/mailchute/config.toml`;
//! the user's file; the environment. The files of `sites.d/` beside a file are scopes of their own that
//! belong to it. Errors name file, line and key, never the value of anything that could be a secret.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod accounts;
pub mod alert;
mod document;
pub(crate) mod dsn;
mod environment;
mod gathered;
mod glance;
mod laravel;
pub mod limit;
mod listing;
pub mod log;
mod mistake;
pub mod relay;
pub mod route;
mod scope;
mod search;
mod setting;
pub mod site;
mod url;
mod url_relay;
mod value;
mod variables;
mod wording;

#[cfg(test)]
mod tests;

pub use environment::init_from_environment;
pub use search::Search;
pub(crate) use setting::{Setting, Value, quoted};
use site::Site;
pub(crate) use url::Url;
pub use wording::Wording;

use self::alert::Alert;
use crate::caller::Caller;
use crate::modes;
use crate::secret::Source;

/// The span of time that `text` is, such as `30m`, `12h`, `5d` or `1w`: from a minute to 60 days.
pub fn days(text: &str) -> Option<Duration> {
    value::days(text)
}

/// The configuration that applies to one caller.
#[derive(Clone, Debug)]
pub struct Config {
    /// The source it comes from.
    pub origin: Origin,
    /// How hints about it are worded.
    pub wording: Wording,
    /// The other sources, in order, and why they do not count.
    pub passed_over: Vec<PassedOver>,
    /// Every site this caller may know of, the main file's first; never empty unless some were skipped.
    pub sites: Vec<Site>,
    /// Who speaks when no site fits.
    pub default_site: DefaultSite,
    /// The alerts of all files that this caller may know of, the main file's first.
    pub alerts: Vec<Arc<Alert>>,
    /// `ping` of the main file: what is asked for after each flush.
    pub ping: Option<Source>,
    /// Whether files for others only were left out, unparsed.
    pub is_part: bool,
    /// `log.to` of the main file; empty: nothing is named.
    log: Vec<LogTarget>,
    /// `log.to` of the files of `sites.d` that say so.
    logs: Vec<(PathBuf, Vec<LogTarget>)>,
    /// `log.keep`: how long the record files are kept.
    pub log_keep: Duration,
    /// Files and users that deserve a look: modes, owners, unknown names.
    pub warnings: Vec<String>,
    /// Files of `sites.d` that were left out; those with a mistake are among the warnings too.
    pub skipped: Vec<Skipped>,
    /// Whether weak file modes are refused (`strict_modes`, or a set-group-id binary).
    pub strict_modes: bool,
    /// `sites.d` beside the main file, where there is anything in it.
    pub sites_d: Option<PathBuf>,
    /// Whether some site is bound to users, one that is hidden from this caller included.
    pub is_bound: bool,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// Environment variables, named by the one that decides.
    Environment(&'static str),
}

/// A source that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// A path, or the name of a variable.
    pub place: String,
    /// Why: `does not exist`, or what came first.
    pub why: String,
}

/// A file of `sites.d` that was left out for this caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// Why; with the line where there is a mistake in it.
    pub why: String,
    /// The next step, where it is known without looking for it ([`Skipped::next_step`]).
    hint: Option<String>,
    /// There is a mistake in it; otherwise it is merely somebody else's.
    pub is_mistake: bool,
}

/// Who speaks when no site fits (section "Sites").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultSite {
    /// Nobody: 77.
    Refuse,
    /// This site, which is open to every uid.
    Named(String),
}

/// Where log records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The journal's socket.
    Journal,
    /// `/dev/log`.
    Syslog,
    /// Standard error.
    Stderr,
    /// A file; `{user}` and `{site}` in it are to be replaced.
    File(String),
}

impl Skipped {
    /// File and reason in one, the file named once.
    pub fn told(&self) -> String {
        let file = self.file.display().to_string();
        if self.why.starts_with(&file) { self.why.clone() } else { format!("{file}: {}", self.why) }
    }

    /// The next step, where there is one.
    pub fn next_step(&self) -> Option<String> {
        match (&self.hint, self.is_mistake) {
            (None, false) => modes::unreadable(&self.file, &io::ErrorKind::PermissionDenied.into()).hint,
            (hint, _) => hint.clone(),
        }
    }
}

/// Whether `file` looks like `caller`'s own: it or its directory is called like the user, is the user's, or is of the
/// user's group.
pub fn is_named_for(file: &Path, caller: &Caller) -> bool {
    is_called_after(file, caller)
        || caller.uid != 0
            && file.metadata().is_ok_and(|of| of.uid() == caller.uid || (caller.gid != 0 && of.gid() == caller.gid))
}

/// Whether `file` of `sites.d`, or the directory that it is in there, is called like `caller`.
pub fn is_called_after(file: &Path, caller: &Caller) -> bool {
    let name = caller.user.clone().unwrap_or_else(|| caller.uid.to_string());
    let above = file.parent().filter(|above| above.parent().is_some_and(|listed| listed.ends_with(listing::DIRECTORY)));
    file.file_stem().is_some_and(|stem| *stem == *name)
        || above.and_then(Path::file_name).is_some_and(|directory| *directory == *name)
}

/// As a warning.
impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: skipped: {}", self.file.display(), self.why)
    }
}

impl Config {
    /// The log targets somebody named for `site`: its own file's, else the main file's. Empty: none is
    /// named.
    pub fn log(&self, site: Option<&Site>) -> &[LogTarget] {
        let file = site.and_then(|site| site.file.as_ref());
        let own = self.logs.iter().find(|(of, _)| Some(of) == file);
        own.map_or(&self.log, |(_, targets)| targets)
    }

    /// What lies in `sites.d` and is not read, because its name does not end in `.toml`.
    pub fn unread(&self) -> Vec<PathBuf> {
        self.sites_d.as_deref().map(listing::unread).unwrap_or_default()
    }

    /// The site called `name`.
    pub fn site(&self, name: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.name == name)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Environment(variable) => write!(f, "environment ({variable})"),
        }
    }
}
