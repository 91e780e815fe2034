//! The words of `mailchute import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::commands::{self, Writing};

/// Where `import --help` leads.
pub(super) const IMPORT: &str = "\
Without a word, what could be imported on this host is listed. With one, its configuration is printed as
a file of mailchute's, each line with its source, and standard error tells what is changed or left out.
Nothing is executed, no network is asked, and no secret is printed.

  sudo mailchute import msmtp
  sudo mailchute import msmtp --as www-data --alias '*=you@example.org' --write

Exit status: 0 everything is as before; 65 the program itself would refuse its file; 66 it is not there;
78 something would change that --accept does not name.";

/// `mailchute import`.
#[derive(Args, Clone, Debug, Default)]
pub struct Import {
    /// What to import; without it, what there is
    #[arg(value_name = "KIND")]
    pub kind: Option<String>,
    /// Its files, where they are not in their usual place
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Whose mail it is about: a name or a uid [default: the caller's]
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// Only this account
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub account: Option<String>,
    /// All accounts, those included that nothing but their name chooses
    #[arg(long)]
    pub all: bool,
    /// Make it the site of this name, in a file of its own in sites.d
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// The group that reads the secrets [default: that of the user]
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Where passwords go
    #[arg(long, value_name = "WHERE", value_enum, default_value_t)]
    pub secrets: Keeping,
    /// Where the program reads its file otherwise than it looks: which of the two counts
    #[arg(long, value_name = "READING", value_enum)]
    pub take: Option<Reading>,
    /// Who gets the mail of a local name, * for all; may be repeated
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = alias)]
    pub alias: Vec<(String, String)>,
    /// Take this difference; may be repeated
    #[arg(long, value_name = "CODE")]
    pub accept: Vec<String>,
    /// Where it goes.
    #[command(flatten)]
    pub writing: Writing,
    /// Read the files of a host whose root directory is this
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Where passwords go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Keeping {
    /// Into files that one group reads
    #[default]
    Files,
    /// Into the configuration, which only one group may read then
    Inline,
    /// Nowhere: they stay where they are, and have to be stored by hand
    Keep,
}

/// Which reading of a file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reading {
    /// What it says
    File,
    /// What the program makes of it
    Effective,
}

fn alias(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("write NAME=ADDRESS, such as '*=you@example.org'")?;
    let is_name = !name.is_empty() && !name.contains(['@', ' ', '"']);
    if !is_name {
        return Err("the name is a local one, without a domain, or *".to_owned());
    }
    Ok((name.to_owned(), commands::address(address)?))
}
