//! What the command line chooses among what is configured.

use std::path::PathBuf;

/// `--site`, `--config` and `--relay`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The site to speak as, if this caller may.
    pub site: Option<String>,
    /// The only file to read.
    pub config: Option<PathBuf>,
    /// The only relay to try.
    pub relay: Option<String>,
}
