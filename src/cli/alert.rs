//! The words of `mailchute alert`.

use clap::{Args, Subcommand};

use super::commands::Options;

/// `mailchute alert`, and what is to be done.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Alerts {
    #[command(subcommand)]
    words: Option<AlertTask>,
    #[command(flatten)]
    list: ListAlerts,
}

impl Alerts {
    /// What is to be done; a list where nothing else is said.
    pub(super) fn task(self) -> AlertTask {
        self.words.unwrap_or(AlertTask::List(self.list))
    }
}

/// What is to be done about alerts.
#[derive(Clone, Debug, Subcommand)]
pub enum AlertTask {
    /// List who is told of what, and what is still to be told; done where no other word is given
    List(ListAlerts),
    /// Send a test alert, and show the exchange
    Test(TestAlert),
}

impl AlertTask {
    /// Who is to be stood in for.
    pub fn user(&self) -> Option<&String> {
        match self {
            Self::List(of) => of.user.as_ref(),
            Self::Test(of) => of.user.as_ref(),
        }
    }

    /// Our long options behind the words.
    pub(super) fn options(&mut self) -> Options {
        match self {
            Self::List(of) => std::mem::take(&mut of.options),
            Self::Test(of) => std::mem::take(&mut of.options),
        }
    }
}

/// `mailchute alert list`.
#[derive(Args, Clone, Debug, Default)]
pub struct ListAlerts {
    /// As this user (name or uid) sees it
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// `mailchute alert test`.
#[derive(Args, Clone, Debug)]
pub struct TestAlert {
    /// Which: the NAME of [alert.NAME]
    #[arg(value_name = "NAME")]
    pub name: String,
    /// As this user (name or uid), whose flush tells alerts
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    options: Options,
}
