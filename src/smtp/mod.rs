//! Submission over SMTP and LMTP: `client` speaks the protocol without I/O, `wire` moves the octets, and a
//! [`Session`] brings the two together.

pub mod client;
mod line;
pub mod parse;
pub mod sasl;
pub mod server;
mod session;
mod stuffing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::client::{Capabilities, Ending, Recipients};
pub use self::session::{Session, plain};
use crate::attempt::Attempt;
use crate::config::relay::{Login, Relay, Smtp};
use crate::config::site::Terms;
use crate::failure::Failure;
use crate::message::MailObject;
use crate::outcome::Outcome;

/// Everything one submission needs.
#[derive(Clone, Copy)]
pub struct BySmtp<'a> {
    /// The relay to submit through.
    pub relay: &'a Arc<Relay>,
    /// How it is spoken to.
    pub smtp: &'a Smtp,
    /// Its credentials, already read.
    pub login: Option<&'a Login>,
    /// What is submitted.
    pub mail: MailObject<'a>,
    /// What the site wants.
    pub terms: &'a Terms,
    /// The EHLO argument when the relay names none: this host's name.
    pub host_name: &'a str,
    /// Another message may follow: the session is not ended with this one.
    pub stays: bool,
}

/// Submits one message in a session of its own, and where BDAT turns out not to be known in a second one. What came
/// of it, and the session where the job says that it stays and another message may follow.
///
/// The failure is that no reply was had, or the message cannot go through this relay as it is; its kind is `InDoubt`
/// from the moment the last octet was handed over.
pub fn submit(job: &BySmtp<'_>, attempt: &mut Attempt) -> (Result<Outcome, Failure>, Option<Session>) {
    let mut session = match Session::open(job.relay, job.smtp, job.login, job.host_name, attempt) {
        Ok(session) => session,
        Err(Ending::Refused(reply, stage)) => {
            return (Ok(Outcome::same_for_all(&job.mail.envelope.forward_paths, &reply, stage)), None);
        }
        Err(Ending::Failed(failure)) => return (Err(failure), None),
    };
    let result = session.submit(job.mail, job.terms.deliver_partially, job.stays, attempt);
    match result {
        Ok(outcome) if session.is_chunk_unknown(&outcome) => {
            session.quit(&mut attempt.trace);
            let plain = plain(job.smtp, &outcome, attempt);
            submit(&BySmtp { smtp: &plain, ..*job }, attempt)
        }
        result if job.stays && session.is_reusable() => (result, Some(session)),
        result => {
            session.quit(&mut attempt.trace);
            (result, None)
        }
    }
}
