//! A site as configured: who is speaking, and what that site may do.

pub(super) mod aliases;
mod keeping;
pub(super) mod policy;
pub(super) mod read;
mod sender;
mod spooling;
pub(super) mod staging;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::aliases::Aliases;
pub use self::keeping::{Keeping, Kinds};
pub use self::sender::{Addresses, Patterns, SenderPattern};
pub use self::spooling::{SpoolMax, Spooling};
pub use self::staging::{Guard, Staging};
use super::alert::{Alert, Occasions};
use super::limit::{Limits, OverLimit};
use super::relay::Relay;
use super::route::{Route, Strategy};
use crate::address::Mailbox;
use crate::exit::Scheme;
use crate::host;

/// The uid no process has: stands for a configured user who does not exist.
pub const NOBODY: u32 = u32::MAX;

/// One site with every top-level default filled in. What it takes from there as a list, it shares with the other
/// sites of its file.
#[derive(Clone, Debug)]
pub struct Site {
    /// The name; `default` where no `[site]` is configured.
    pub name: String,
    /// The file that defines it; `None`: the environment.
    pub file: Option<PathBuf>,
    /// The uids that may use it; empty: every uid.
    pub users: Vec<u32>,
    /// The names under `user` that nobody has; each stands as [`NOBODY`] among the users.
    pub unknown_users: Vec<String>,
    /// `user` was forgotten, as it seems: root's file of `sites.d` does not say whose it is, and other sites are bound.
    /// Then nobody but root speaks as it.
    pub is_ownerless: bool,
    /// Working directories it covers, links resolved; empty: any.
    pub paths: Vec<PathBuf>,
    /// Addresses it may write as; empty: any.
    pub sender: Arc<[SenderPattern]>,
    /// What to do with another sender.
    pub other_sender: OtherSender,
    /// The site's own From and reverse-path.
    pub from: Option<Mailbox>,
    /// The relays to try where no route says otherwise, in the order they are named; never empty.
    pub relays: Arc<[Arc<Relay>]>,
    /// Its routes: the first that a message is like decides.
    pub routes: Arc<[Route]>,
    /// In which order relays are tried.
    pub strategy: Strategy,
    /// The reason with which everything is refused.
    pub disabled: Option<String>,
    /// The domain that qualifies bare names.
    pub domain: Option<String>,
    /// Domains whose local parts are aliased, in the form in which they are compared; `None`: localhost and the host's
    /// own names.
    pub local_domains: Option<Arc<BTreeSet<String>>>,
    /// Its aliases; the site's own before `[alias]`.
    pub alias: Aliases,
    /// What it wants of each submission.
    pub terms: Terms,
    /// What it wants where no relay could be given a message.
    pub spooling: Spooling,
    /// What keeps its messages from those they are written to.
    pub staging: Staging,
    /// What it keeps of what is done with.
    pub keeping: Keeping,
    /// How much it may send.
    pub limits: Option<Arc<Limits>>,
    /// What is done with more.
    pub over_limit: OverLimit,
    /// The caller's numbers.
    pub exit_status: Scheme,
    /// Who is told when something goes wrong: its file's alerts behind those of the main file.
    pub alerts: Arc<[Arc<Alert>]>,
}

/// What a site wants of each submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// `partial = "deliver"`: send to those accepted when others are refused.
    pub deliver_partially: bool,
    /// What is done where somebody may have the message.
    pub in_doubt: InDoubt,
    /// Connect and send, all relays together; large messages get more.
    pub deadline: Duration,
}

/// What holds where nothing is written.
impl Default for Terms {
    fn default() -> Self {
        policy::Policy::default().terms()
    }
}

/// What is done with a message that was handed over and got no valid final reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InDoubt {
    /// It is said, and nothing is kept.
    Report,
    /// It is said, and the message is kept until a person decides.
    Hold,
    /// The next relay is tried, or it is sent later: it may arrive twice.
    Retry,
}

/// What happens to a sender that `sender` does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSender {
    /// The site's `from` takes its place.
    Rewrite,
    /// 553 5.7.1.
    Refuse,
    /// It goes as it is.
    Pass,
}

impl Site {
    /// Whether a caller of this uid may use it: root may use all.
    pub fn is_open_to(&self, uid: u32) -> bool {
        uid == 0 || self.users.is_empty() || self.users.contains(&uid)
    }

    /// The warning that it does not say whose it is, where that keeps others from it ([`Site::is_ownerless`]).
    pub fn ownerless_warning(&self) -> Option<String> {
        let file = self.file.as_ref().filter(|_| self.is_ownerless)?;
        Some(format!("{}: site {} has no \"user\", so nobody but root sends as it", file.display(), self.name))
    }

    /// What some alert tells of.
    pub fn occasions(&self) -> Occasions {
        self.alerts.iter().fold(Occasions::default(), |all, alert| all.and(alert.on))
    }

    /// Every relay that some message of it may go to, each once: those it names itself, then those of its routes.
    pub fn every_relay(&self) -> Vec<&Arc<Relay>> {
        let mut known: HashSet<*const Relay> = HashSet::new();
        let of_routes = self.routes.iter().flat_map(|route| route.relays.iter());
        self.relays.iter().chain(of_routes).filter(|relay| known.insert(Arc::as_ptr(relay))).collect()
    }

    /// Whether a caller of this uid may hear of it. A privileged process reads what its caller cannot.
    pub(super) fn is_shown_to(&self, uid: u32) -> bool {
        !host::is_privileged() || self.is_open_to(uid)
    }
}
