//! The words of `mailchute secret`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::plan::Choice;

/// What is to be done with secrets.
#[derive(Clone, Debug, Subcommand)]
pub enum SecretTask {
    /// Store the password, token or key on standard input, for the group that sends
    Put(PutSecret),
    /// Look at every secret that the configuration names: files, modes, who reads them, whether they look right
    Check(CheckSecrets),
}

impl SecretTask {
    /// The same, with what stands before the subcommand.
    pub(super) fn chosen(mut self, choice: &Choice) -> Self {
        match &mut self {
            Self::Put(of) => {
                of.site = of.site.take().or_else(|| choice.site.clone());
                of.config = of.config.take().or_else(|| choice.config.clone());
            }
            Self::Check(of) => of.config = of.config.take().or_else(|| choice.config.clone()),
        }
        self
    }
}

/// `mailchute secret put`.
#[derive(Args, Clone, Debug)]
pub struct PutSecret {
    /// The file's name in /etc/mailchute/secrets
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The group that reads it [default: the one of the sites that use it]
    #[arg(long, value_name = "GROUP", conflicts_with = "site")]
    pub group: Option<String>,
    /// The site that uses it: the group of its user reads it
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// Put it in the place of the one that is there
    #[arg(long)]
    pub replace: bool,
    /// Store it as it is, whatever it looks like
    #[arg(long)]
    pub anyway: bool,
    /// Read this configuration file and nothing else
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Taken so that it is refused without being repeated: it may be the secret.
    #[arg(hide = true, num_args = 0.., value_name = "NOTHING")]
    pub rest: Vec<OsString>,
}

/// `mailchute secret check`.
#[derive(Args, Clone, Debug)]
pub struct CheckSecrets {
    /// Only the one of this name
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Read this configuration file and nothing else
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
