//! `[log]`: where records go, and how long they are kept.

use std::time::Duration;

use super::LogTarget;
use super::document::{Keys, Section};
use crate::failure::Failure;
use crate::spelling;

/// How long the record files are kept, unless `keep` says otherwise.
pub const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);

/// The table as written.
#[derive(Debug, Default)]
pub(super) struct Logging {
    /// `to`.
    pub(super) to: Option<Vec<LogTarget>>,
    /// `keep`.
    pub(super) keep: Option<Duration>,
}

impl Logging {
    /// Reads it from the document `root`, which is the host's own (`is_main`) or a file of `sites.d`;
    /// `above` are the keys of its top level.
    ///
    /// # Errors
    /// `Configuration`.
    pub(super) fn read(root: &Section<'_>, is_main: bool, above: &[&str]) -> Result<Self, Failure> {
        let Some(section) = root.section("log")? else { return Ok(Self::default()) };
        section.expect(&Keys { now: &["to", "keep"], later: &[], above })?;
        let keep = section.age("keep")?;
        // One file holds what all sites of a user sent.
        if keep.is_some() && !is_main {
            let why = "\"keep\" is for the whole host, and stands in config.toml alone";
            return Err(section.error("keep", why));
        }
        let to = section.strings("to")?.map(|words| words.into_iter().map(|word| target(&section, word)).collect());
        Ok(Self { to: to.transpose()?, keep })
    }
}

fn target(section: &Section<'_>, word: &str) -> Result<LogTarget, Failure> {
    Ok(match word {
        "journal" => LogTarget::Journal,
        "syslog" => LogTarget::Syslog,
        "stderr" => LogTarget::Stderr,
        // The terminal of a container, by whatever name.
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => LogTarget::Stderr,
        word if word == "stdout" || word.starts_with("/dev/") || word.starts_with("/proc/") => {
            let why = format!("takes \"stderr\" for what a container prints, and not {word:?}");
            return Err(section.wrong("to", why).hint("set to = \"stderr\": standard output is the caller's"));
        }
        path if path.starts_with('/') => LogTarget::File(path.to_owned()),
        other => {
            let why = format!("takes \"journal\", \"syslog\", \"stderr\" or an absolute path, not {other:?}");
            let failure = section.wrong("to", why);
            return Err(match spelling::nearest(other, ["journal", "syslog", "stderr"].into_iter()) {
                Some(near) => failure.hint(format!("did you mean {near:?}?")),
                None => failure,
            });
        }
    })
}
