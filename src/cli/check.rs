//! The words of `mailchute check`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::address::compared_domain;
use crate::dns;
use crate::finding::{Code, code, codes};
use crate::plan::Choice;
use crate::providers::{self, Provider};
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
    /// Only the records of this domain, for the relays of the sites; may be repeated
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = domain, group = "judged",
        conflicts_with_all = ["root", "user", "offline"])]
    pub domains: Vec<String>,
    /// Only what this copy of a message that arrived tells (- for standard input), and its domain
    #[arg(long, value_name = "FILE", group = "judged", conflicts_with_all = ["root", "user"])]
    pub message: Option<PathBuf>,
    /// For this provider, whatever is configured; with --domain or --message
    #[arg(long, value_name = "PROVIDER", value_parser = provider, requires = "judged")]
    pub provider: Option<&'static Provider>,
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
    /// Print the codes, what each finding is built on, and what name servers said
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

fn domain(text: &str) -> Result<String, &'static str> {
    let domain = compared_domain(text.trim_end_matches('.')).into_owned();
    match domain.contains('.') && dns::Question::new(&domain, dns::Qtype::Txt).is_some() {
        true => Ok(domain),
        false => Err("a domain is wanted, such as shop.example"),
    }
}

fn provider(word: &str) -> Result<&'static Provider, String> {
    let words = || providers::all().flat_map(Provider::words);
    Provider::find(word).ok_or_else(|| match spelling::nearest(word, words()) {
        Some(near) => format!("no provider has this name; did you mean {near}?"),
        None => "no provider has this name; `mailchute providers` lists them".to_owned(),
    })
}

fn known(word: &str) -> Result<&'static Code, String> {
    code(word).ok_or_else(|| match spelling::nearest(word, codes::ALL.iter().map(|code| code.word)) {
        Some(near) => format!("no finding has this code; did you mean {near}?"),
        None => "no finding has this code; the man page lists them".to_owned(),
    })
}
