//! Failures: no reply was had, or the message never left because of us.

use std::fmt;

use crate::outcome::Stage;
use crate::reply::Reply;

/// What kind of failure it is. The kind alone decides the exit status (`exit`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line is wrong, or names no recipient (64).
    Usage,
    /// An address that is none, or a message this relay cannot carry as it is (65).
    Data,
    /// Standard input is empty or unreadable (66).
    NoInput,
    /// The relay's host name does not exist (68).
    NoHost,
    /// The relay cannot be reached or did not answer in time, before the hand-over (69).
    Unavailable,
    /// A bug of ours (70).
    Software,
    /// Memory, temporary file, process limits, or a signal before the hand-over (71).
    System,
    /// A local file cannot be made (73).
    CannotCreate,
    /// A local file cannot be read or written (74).
    Io,
    /// The relay broke the protocol, TLS failed, STARTTLS or a usable AUTH is not offered (76).
    Protocol,
    /// This caller may not: site, file modes (77).
    NoPermission,
    /// The configuration is missing or wrong (78).
    Configuration,
    /// Handed over, and no valid final reply came (79).
    InDoubt,
    /// A refusal spoken as a submission server would speak it: our own by policy, or the authorization
    /// server's.
    Refused(Reply),
}

/// A submission that could not be held, or that we refused ourselves.
///
/// Reads `<what>: <why>` on one line: lower-case start, no full stop.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Decides the exit status.
    pub kind: Kind,
    /// The thing: a file, an address, `smtp.example.net:465`.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
    /// One next step, without the `hint: ` prefix.
    pub hint: Option<String>,
    /// Where in the submission it happened, when a relay was being spoken to.
    pub stage: Option<Stage>,
}

impl Failure {
    /// A failure of `kind` about `what`, with the reason `why`.
    pub fn new(kind: Kind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind, what: what.into(), why: why.into(), hint: None, stage: None }
    }

    /// There is no room for `octets` within the limit that the caller has set on the memory of its processes.
    pub fn no_memory(octets: usize) -> Self {
        let why = format!("the limit on this process's memory leaves less than {} MB", octets.div_ceil(1 << 20));
        Self::new(Kind::System, "memory", why)
            .hint("raise it where the calling program is started: ulimit -v, or LimitAS= of its unit")
    }

    /// The refusal of `what` with `reply`.
    pub fn refused(what: impl Into<String>, reply: Reply) -> Self {
        let why = reply.to_string();
        Self::new(Kind::Refused(reply), what, why)
    }

    /// Whether it is a refusal of our own; one at the login is the authorization server's.
    pub fn is_our_refusal(&self) -> bool {
        matches!(self.kind, Kind::Refused(_)) && self.stage != Some(Stage::Auth)
    }

    /// The same with a next step for the reader.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the stage it happened in.
    pub fn at(mut self, stage: Stage) -> Self {
        self.stage = Some(stage);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Failure {}
