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
pub use self::session::{Session, fall_back, plain};
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

/// What came of a submission.
pub struct Submitted {
    /// The replies. The failure is that no reply was had, or the message cannot go through this relay as it is; its kind
    /// is `InDoubt` from the moment the last octet was handed over.
    pub result: Result<Outcome, Failure>,
    /// The session, where the job says that it stays and another message may follow.
    pub session: Option<Session>,
    /// BDAT turned out not to be known there: the relay is to be spoken to [without extensions](plain).
    pub is_plain: bool,
}

impl Submitted {
    /// What ended before there was a session, or with it.
    pub fn alone(result: Result<Outcome, Failure>) -> Self {
        Self { result, session: None, is_plain: false }
    }
}

/// Submits one message in a session of its own, and where BDAT turns out not to be known in a second one: QUIT is on
/// its way behind the chunk, and without it the first one would be [of no more use](Session::is_chunk_unknown) either.
pub fn submit(job: &BySmtp<'_>, attempt: &mut Attempt) -> Submitted {
    let mut session = match Session::open(job.relay, job.smtp, job.login, job.host_name, attempt) {
        Ok(session) => session,
        Err(Ending::Refused(reply, stage)) => {
            return Submitted::alone(Ok(Outcome::same_for_all(&job.mail.envelope.forward_paths, &reply, stage)));
        }
        Err(Ending::Failed(failure)) => return Submitted::alone(Err(failure)),
    };
    let result = session.submit(job.mail, job.terms.deliver_partially, job.stays, attempt);
    match result {
        Ok(outcome) if session.is_chunk_unknown(&outcome) => {
            session.quit(&mut attempt.trace);
            fall_back(&outcome, attempt);
            Submitted { is_plain: true, ..submit(&BySmtp { smtp: &plain(job.smtp), ..*job }, attempt) }
        }
        result if job.stays && session.is_reusable() => {
            Submitted { session: Some(session), ..Submitted::alone(result) }
        }
        result => {
            session.quit(&mut attempt.trace);
            Submitted::alone(result)
        }
    }
}
