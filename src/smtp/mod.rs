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
use crate::failure::{Failure, Kind};
use crate::message::MailObject;
use crate::outcome::Outcome;

/// Everything one submission needs.
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
}

/// Submits one message in a session of its own, and where BDAT turns out not to be known in a second one.
///
/// # Errors
/// No reply was had, or the message cannot go through this relay as it is; the kind is `InDoubt` from
/// the moment the last octet was handed over.
pub fn submit(job: &BySmtp<'_>, attempt: &mut Attempt) -> Result<Outcome, Failure> {
    match submit_through(job.smtp, job, attempt)? {
        (outcome, true) => Ok(submit_through(&plain(job.smtp, &outcome, attempt), job, attempt)?.0),
        (outcome, false) => Ok(outcome),
    }
}

/// What came of it, and whether that is the word of somebody who does not know BDAT.
fn submit_through(smtp: &Smtp, job: &BySmtp<'_>, attempt: &mut Attempt) -> Result<(Outcome, bool), Failure> {
    let mut session = match Session::open(job.relay, smtp, job.login, job.host_name, attempt) {
        Ok(session) => session,
        Err(Ending::Refused(reply, stage)) => {
            return Ok((Outcome::same_for_all(&job.mail.envelope.forward_paths, &reply, stage), false));
        }
        Err(Ending::Failed(failure)) => return Err(failure),
    };
    let result = session.submit(job.mail, job.terms.deliver_partially, attempt);
    if !matches!(&result, Err(failure) if failure.kind == Kind::InDoubt) {
        attempt.hand_over.end();
    }
    let result = result.map(|outcome| {
        let is_chunk_unknown = session.is_chunk_unknown(&outcome);
        (outcome, is_chunk_unknown)
    });
    session.quit(&mut attempt.trace);
    result
}
