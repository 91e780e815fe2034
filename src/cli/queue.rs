//! The words of `mailchute queue`.

use clap::{ArgGroup, Args, Subcommand};

use crate::plan::Choice;

/// `mailchute queue`, and what is to be done.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Queue {
    #[command(subcommand)]
    words: Option<Task>,
    #[command(flatten)]
    list: List,
}

impl Queue {
    /// What is to be done; a list where nothing else is said, of what stands before the subcommand.
    pub(super) fn task(self, choice: &Choice) -> Task {
        let mut task = self.words.unwrap_or(Task::List(self.list));
        if let Task::List(list) = &mut task {
            list.site = list.site.take().or_else(|| choice.site.clone());
            list.relay = list.relay.take().or_else(|| choice.relay.clone());
        }
        task
    }
}

/// What is to be done with the messages that wait.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// List what waits, is held or was given up; done where no other word is given
    List(List),
    /// Show one message: who and when, why it waits, its header fields
    Show(Show),
    /// Keep messages from being sent until they are released
    Hold(Chosen),
    /// Send what is held, was given up or waits at the next flush
    Release(Chosen),
    /// Throw messages away
    Drop(Chosen),
    /// Send what is due; exit status 69 where something still waits, 79 where something is in doubt
    Flush(Flush),
    /// Settle a message that may have arrived: ask the provider, or say what is known
    Resolve(Resolve),
}

impl Task {
    /// Whose messages are meant, where somebody is named.
    pub fn user(&self) -> Option<&String> {
        match self {
            Self::List(of) => of.who.user.as_ref(),
            Self::Show(of) => of.who.user.as_ref(),
            Self::Hold(of) | Self::Release(of) | Self::Drop(of) => of.who.user.as_ref(),
            Self::Resolve(of) => of.who.user.as_ref(),
            Self::Flush(of) => of.user.as_ref(),
        }
    }

    /// Whether everybody's messages are meant where root says so and names nobody.
    pub fn is_for_all(&self) -> bool {
        !matches!(self, Self::Flush(of) if !of.all)
    }
}

/// `mailchute queue flush`.
#[derive(Args, Clone, Debug, Default)]
pub struct Flush {
    /// The messages' IDs: these are tried now, due or not [default: all that are due]
    #[arg(value_name = "ID", conflicts_with = "site")]
    pub ids: Vec<String>,
    /// All that this site sent, due or not
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// For root: what is due of every user, by a process for each
    #[arg(long, conflicts_with_all = ["ids", "site", "user", "wait"])]
    pub all: bool,
    /// What this user (name or uid) sent
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// Print only what is broken, nothing of what waits: for a timer
    #[arg(long, short)]
    pub quiet: bool,
    /// Part of a run for all, which says itself that it is over.
    #[arg(long, hide = true)]
    pub part: bool,
    /// Stay until nothing waits: how what waits is sent where there is no timer.
    #[arg(long, hide = true, conflicts_with_all = ["ids", "site"])]
    pub wait: bool,
}

/// Whose messages are meant.
#[derive(Args, Clone, Debug, Default)]
pub struct Who {
    /// Only what this user (name or uid) sent; for root, who sees everybody's otherwise
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

/// `mailchute queue list`.
#[derive(Args, Clone, Debug, Default)]
pub struct List {
    /// Only what this site sent
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// Only what goes through this relay
    #[arg(long, value_name = "RELAY")]
    pub relay: Option<String>,
    /// Also what was accepted and is kept
    #[arg(long, conflicts_with = "summary")]
    pub sent: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Only how many and how much
    #[arg(long)]
    pub summary: bool,
    /// Whose messages.
    #[command(flatten)]
    pub who: Who,
}

/// `mailchute queue show`.
#[derive(Args, Clone, Debug)]
pub struct Show {
    /// The message's ID
    #[arg(value_name = "ID")]
    pub id: String,
    /// Print the message itself, as it would be sent
    #[arg(long)]
    pub message: bool,
    /// Whose messages.
    #[command(flatten)]
    pub who: Who,
}

/// `mailchute queue hold`, `release` and `drop`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("chosen").required(true).args(["ids", "site"]))]
pub struct Chosen {
    /// The messages' IDs
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// All that this site sent and that waits or is held
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// Whose messages.
    #[command(flatten)]
    pub who: Who,
}

/// `mailchute queue resolve`.
#[derive(Args, Clone, Debug)]
pub struct Resolve {
    /// The message's ID
    #[arg(value_name = "ID")]
    pub id: String,
    /// It arrived: it is thrown away
    #[arg(long, group = "known")]
    pub arrived: bool,
    /// It did not arrive: it is sent again
    #[arg(long, group = "known")]
    pub again: bool,
    /// Whose messages.
    #[command(flatten)]
    pub who: Who,
}
