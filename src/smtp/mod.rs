//! Submission over SMTP and LMTP: `client` speaks the protocol without I/O, `wire` moves the octets.
//! [`submit`] sends one message in as few round trips as there can be; a [`Session`] sends several in a
//! row, step by step.

pub mod client;
mod line;
pub mod parse;
mod passing;
pub mod sasl;
pub mod server;
mod session;
mod stuffing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::client::{Action, Channel, Client, Framing, Loss, Task};
pub use self::client::{Capabilities, End, Recipients};
use self::line::{Line, Listener};
pub use self::session::Session;
use crate::attempt::{Attempt, Trace};
use crate::config::relay::{Login, Relay};
use crate::config::site::Terms;
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::message::repair::{self, Needs};
use crate::message::{MailObject, Message};
use crate::outcome::Outcome;
use crate::wire::Connection;

/// Everything one submission needs.
pub struct Job<'a> {
    /// The relay to submit through.
    pub relay: &'a Relay,
    /// Its credentials, already read.
    pub login: Option<&'a Login>,
    /// What is submitted.
    pub mail: MailObject<'a>,
    /// What the site wants.
    pub terms: &'a Terms,
    /// The EHLO argument when the relay names none: this host's name.
    pub host_name: &'a str,
}

impl Job<'_> {
    fn task(&self) -> Task<'_> {
        Task {
            relay: self.relay,
            login: self.login,
            envelope: self.mail.envelope,
            size: self.mail.message.size(),
            facts: self.mail.message.facts(),
            utf8_header: repair::needs_utf8(self.mail.message),
            deliver_partially: self.terms.deliver_partially,
            host_name: self.host_name,
        }
    }
}

/// How long the last octets (QUIT) may take to leave once the outcome is known.
const PARTING: Duration = Duration::from_millis(500);

/// Submits one message under one deadline.
///
/// # Errors
/// No reply was had, or the message cannot go through this relay as it is; the kind is `InDoubt` from
/// the moment the last octet was handed over.
pub fn submit(job: &Job<'_>, attempt: &mut Attempt) -> Result<Outcome, Failure> {
    let whole = attempt.deadline;
    attempt.deadline = whole.within(job.relay.connect_timeout);
    let connection = Connection::open(job.relay, attempt)?;
    let client = Client::new(job.task(), channel(&connection));
    let result = Driver { job, connection, client, adapted: None, whole, attempt }.run();
    if !matches!(&result, Err(failure) if failure.kind == Kind::InDoubt) {
        attempt.hand_over.end();
    }
    result
}

fn channel(connection: &Connection) -> Channel {
    Channel { tls: connection.is_tls(), local: connection.is_local() }
}

impl Listener for Client<'_> {
    fn receive(&mut self, bytes: &[u8], trace: &mut Trace) {
        self.receive(bytes, trace);
    }

    fn lost(&mut self, loss: &Loss, trace: &mut Trace) {
        self.lost(loss, trace);
    }

    fn message_withheld(&mut self) {
        self.message_withheld();
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }
}

/// Moves octets between one connection and its client until there is a result.
struct Driver<'a, 'j> {
    job: &'a Job<'j>,
    connection: Connection,
    client: Client<'a>,
    /// The message as this server needs it, where that is another one.
    adapted: Option<Message>,
    /// The deadline from the login on.
    whole: Deadline,
    attempt: &'a mut Attempt,
}

impl<'a> Driver<'a, '_> {
    fn run(mut self) -> Result<Outcome, Failure> {
        loop {
            if !self.client.is_logging_in() {
                self.attempt.deadline = self.whole;
            }
            match self.client.next_action() {
                Action::Send(bytes) => self.connection.queue(&bytes),
                Action::StartTls => {
                    self.connection.start_tls(self.job.relay, self.attempt)?;
                    self.client.tls_started(channel(&self.connection), &mut self.attempt.trace);
                }
                Action::Adapt(needs) => self.adapt(needs),
                Action::SendMessage(framing) => self.send_message(framing)?,
                Action::Read => self.line().read(),
                Action::Done(result) => {
                    // Nobody waits for the answer to QUIT, or minds when it cannot be said.
                    let _ = self.connection.flush(self.attempt.deadline.within(PARTING));
                    return result;
                }
            }
        }
    }

    fn line(&mut self) -> Line<'_, Client<'a>> {
        Line { connection: &mut self.connection, listener: &mut self.client, attempt: self.attempt }
    }

    fn adapt(&mut self, needs: Needs) {
        let fit = adapt(self.job.mail.message, needs, &mut self.attempt.trace).map(|adapted| {
            let now = adapted.as_ref().unwrap_or(self.job.mail.message);
            let measure = (now.size(), now.facts());
            self.adapted = adapted;
            measure
        });
        self.client.adapted(fit, &mut self.attempt.trace);
    }

    fn send_message(&mut self, framing: Framing) -> Result<(), Failure> {
        let adapted = self.adapted.take();
        let message = adapted.as_ref().unwrap_or(self.job.mail.message);
        if self.line().send(message, framing)? {
            self.attempt.hand_over.begin();
            self.client.message_sent(&mut self.attempt.trace);
        }
        Ok(())
    }
}

/// The message as a server needs it, where that is another one; what is changed is told to the trace.
fn adapt(message: &Message, needs: Needs, trace: &mut Trace) -> Result<Option<Message>, Failure> {
    let adapted = repair::adapt(message, needs)?;
    let repairs = adapted.as_ref().unwrap_or(message).repairs();
    trace.repairs.extend_from_slice(repairs.get(message.repairs().len()..).unwrap_or_default());
    Ok(adapted)
}
