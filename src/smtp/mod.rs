//! Submission over SMTP and LMTP: `client` speaks the protocol without I/O, `wire` moves the octets.

mod connect;
mod names;
mod roots;
mod socket;
mod socks;
mod tls_failure;
pub mod trust;
mod verdict;
pub mod wire;

use crate::config::relay::{Login, Relay};
use crate::deadline::Deadline;
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::trace::{HandOver, Trace};

/// Everything one submission needs.
pub struct Job<'a> {
    /// The relay to submit through.
    pub relay: &'a Relay,
    /// Its credentials, already read.
    pub login: Option<&'a Login>,
    /// Reverse-path, forward-paths and DSN wishes.
    pub envelope: &'a Envelope,
    /// The message, made fit.
    pub message: &'a Message,
    /// Send to the accepted recipients when others are refused.
    pub deliver_partially: bool,
    /// The EHLO argument when the relay names none: this host's name.
    pub host_name: &'a str,
}

/// Submits one message under one deadline.
///
/// # Errors
/// No reply was had, or the message cannot go through this relay as it is; the kind is `InDoubt` from
/// the moment the last octet was handed over.
pub fn submit(job: &Job<'_>, deadline: Deadline, trace: &mut Trace, hand_over: &HandOver) -> Result<Outcome, Failure> {
    let _ = (job, deadline, trace, hand_over);
    Err(Failure::new(crate::failure::Kind::Software, "smtp", "not built yet"))
}
