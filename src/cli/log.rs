//! The words of `mailchute log` and `mailchute show`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::plan::Choice;

/// What the words of a search are.
pub(super) const SEARCH: &str = "\
Words, of which all must hold; -WORD must not:
  ann@example.org            anywhere in a record; capitals count where there are any
  to:ann@ from:shop@         in the recipients, in the sender (from:<> is the empty one)
  site:shop relay:backup     the site, the relay that decided
  status:deferred            or accepted, refused, in-doubt, failed, spooled, held
  status:550 status:5yz      the reply code; below 200 the exit status
  id:5cc24c                  how the message's ID begins
  message-id:<x@y>           in the Message-ID field
  larger:5M smaller:10K      the message's size
  slower:2s                  how long it took
  user:www-data              name or uid
  script: cwd: unit: job: pool: web-host: tag: text: provider-id: ... any field of the record

Times: 2h, 3d, today, yesterday, 2026-11-20, \"2026-11-20 14:30\", 14:30, or RFC 3339; a day means its beginning.
Exit status: 0 something was found, 1 nothing was, 64 a word that cannot be understood.";

/// `mailchute log`.
#[derive(Args, Clone, Debug, Default)]
pub struct Log {
    /// What to look for, such as to:ann@ or status:refused [default: everything]
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
    /// Not older than this: 2h, yesterday, 2026-11-20
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Older than this
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Of this site
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// To this recipient, or a part of it
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
    /// From this sender, or a part of it
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
    /// Of which this relay decided
    #[arg(long, value_name = "RELAY")]
    pub relay: Option<String>,
    /// With this status word, reply code or exit status
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// At most so many, the newest
    #[arg(long, short = 'n', value_name = "NUMBER", conflicts_with = "summary")]
    pub lines: Option<usize>,
    /// Wait for more, and show it as it comes
    #[arg(long, conflicts_with_all = ["summary", "until", "lines"])]
    pub follow: bool,
    /// The records themselves, one JSON object a line; with --summary the figures
    #[arg(long, group = "form")]
    pub json: bool,
    /// Comma-separated values (RFC 4180)
    #[arg(long, group = "form", conflicts_with = "summary")]
    pub csv: bool,
    /// Figures: how many were accepted, deferred, refused, how long it took, why not
    #[arg(long)]
    pub summary: bool,
    /// The figures for each value of this field: script, site, relay, user, cwd, unit, ... [default: site and relay]
    #[arg(long, value_name = "FIELD", requires = "summary")]
    pub by: Option<String>,
}

/// `mailchute report`.
#[derive(Args, Clone, Debug)]
pub struct Report {
    /// Not older than this: 7d, yesterday, 2026-11-20
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub since: String,
    /// Older than this
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only what this site sent; a report by mail is sent as this site
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// Send it to this address instead, as text and HTML; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = super::commands::address)]
    pub to: Vec<String>,
    /// Write it to this file instead, as a page for a browser; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub output: Option<PathBuf>,
}

/// The words with `-WORD`, what must not hold, as `!WORD`: the dash makes options of them otherwise.
pub(super) fn negated(words: Vec<OsString>) -> Vec<OsString> {
    let is_option = |text: &str| {
        let rest = text.trim_start_matches('-');
        text.starts_with("--") || rest.is_empty() || rest == "h" || rest == "n" || is_number(rest.strip_prefix('n'))
    };
    let negated = |word: OsString| match word.to_str().and_then(|text| text.strip_prefix('-').map(|rest| (text, rest)))
    {
        Some((text, rest)) if !is_option(text) => OsString::from(format!("!{rest}")),
        _ => word,
    };
    words.into_iter().map(negated).collect()
}

fn is_number(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()))
}

impl Report {
    /// With what stands before the subcommand.
    pub(super) fn within(mut self, choice: &Choice) -> Self {
        self.site = self.site.take().or_else(|| choice.site.clone());
        self
    }
}

impl Log {
    /// With what stands before the subcommand.
    pub(super) fn within(mut self, choice: &Choice) -> Self {
        self.site = self.site.take().or_else(|| choice.site.clone());
        self.relay = self.relay.take().or_else(|| choice.relay.clone());
        self
    }
}

/// `mailchute show`.
#[derive(Args, Clone, Debug)]
pub struct Show {
    /// The message's ID, or how it begins
    #[arg(value_name = "ID")]
    pub id: String,
    /// The records themselves, one JSON object a line
    #[arg(long)]
    pub json: bool,
}
