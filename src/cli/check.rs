//! The words of `mailchute check`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::dns;
use crate::finding::{Code, code, codes};
use crate::plan::Choice;
use crate::spelling;

/// `mailchute check`.
#[derive(Args, Clone, Debug, Default)]
pub struct Check {
    /// Only what this site sends; may be repeated
    #[arg(long = "site", value_name = "SITE")]
    pub sites: Vec<String>,
    /// As this user (name or uid) [default: for root every user that sends]
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// Ask nobody: no relay, no name server
    #[arg(long)]
    pub offline: bool,
    /// Look at a copy of a host's files in this directory; implies --offline
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Leave out findings with this code; may be repeated
    #[arg(long = "ignore", value_name = "CODE", value_parser = known)]
    pub ignored: Vec<&'static Code>,
    /// Ask this name server in place of the system's
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server)]
    pub dns: Option<SocketAddr>,
    /// Look for the DKIM key under this selector; may be repeated
    #[arg(long = "selector", value_name = "NAME")]
    pub selectors: Vec<String>,
    /// One JSON array of findings
    #[arg(long, conflicts_with_all = ["quiet", "verbose"])]
    pub json: bool,
    /// Print only what is broken, and nothing if nothing is
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print the codes, and what each finding is built on
    #[arg(short, long)]
    pub verbose: bool,
    /// Read this configuration file and nothing else
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only what this user can, for root's own process.
    #[arg(long, hide = true)]
    pub part: bool,
}

impl Check {
    /// The same, with what stands before the subcommand.
    pub(super) fn chosen(mut self, choice: &Choice) -> Self {
        if self.sites.is_empty() {
            self.sites.extend(choice.site.clone());
        }
        self.config = self.config.take().or_else(|| choice.config.clone());
        self
    }
}

/// The address of a name server.
pub(super) fn server(text: &str) -> Result<SocketAddr, &'static str> {
    dns::server(text).ok_or("an IP address is wanted, with a port perhaps")
}

fn known(word: &str) -> Result<&'static Code, String> {
    code(word).ok_or_else(|| match spelling::nearest(word, codes::ALL.iter().map(|code| code.word)) {
        Some(near) => format!("no finding has this code; did you mean {near}?"),
        None => "no finding has this code; the man page lists them".to_owned(),
    })
}
