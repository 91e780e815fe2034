//! Submission over SMTP and LMTP: `client` speaks the protocol without I/O, `wire` moves the octets.

pub mod client;
mod connect;
mod names;
pub mod parse;
mod roots;
pub mod sasl;
mod socket;
mod socks;
mod stuffing;
#[cfg(test)]
mod tests;
mod tls;
mod tls_failure;
pub mod trust;
mod tunnel;
mod verdict;
pub mod wire;

use std::time::Duration;

use self::client::{Action, Channel, Client, Framing, Loss, Task};
use self::stuffing::{PIECE, Stuffing};
use self::wire::{Connection, WireError};
use crate::config::relay::{Login, Relay};
use crate::deadline::Deadline;
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::message::Message;
use crate::message::repair::{self, Needs};
use crate::outcome::{Outcome, Stage};
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

impl Job<'_> {
    fn task(&self) -> Task<'_> {
        Task {
            relay: self.relay,
            login: self.login,
            envelope: self.envelope,
            size: self.message.size(),
            facts: self.message.facts(),
            utf8_header: repair::needs_utf8(self.message),
            deliver_partially: self.deliver_partially,
            host_name: self.host_name,
        }
    }
}

/// How much is read at a time, in octets.
const READ: usize = 16 << 10;
/// How long the last octets (QUIT) may take to leave once the outcome is known.
const PARTING: Duration = Duration::from_millis(500);

/// Submits one message under one deadline.
///
/// # Errors
/// No reply was had, or the message cannot go through this relay as it is; the kind is `InDoubt` from
/// the moment the last octet was handed over.
pub fn submit(job: &Job<'_>, deadline: Deadline, trace: &mut Trace, hand_over: &HandOver) -> Result<Outcome, Failure> {
    let login_deadline = deadline.within(job.relay.connect_timeout);
    let spans = [login_deadline, deadline].map(|deadline| (deadline, deadline.left()));
    let connection = Connection::open(job.relay, login_deadline, trace)?;
    let client = Client::new(job.task(), channel(&connection));
    let result = Session { job, connection, client, adapted: None, spans, trace, hand_over }.run();
    if !matches!(&result, Err(failure) if failure.kind == Kind::InDoubt) {
        hand_over.end();
    }
    result
}

fn channel(connection: &Connection) -> Channel {
    Channel { tls: connection.is_tls(), local: connection.is_local() }
}

/// Moves octets between one connection and its client until there is a result.
struct Session<'a, 'j> {
    job: &'a Job<'j>,
    connection: Connection,
    client: Client<'a>,
    /// The message, where it had to be changed for this server.
    adapted: Option<Message>,
    /// Until the login is done, and for everything: the deadline, and how long that is.
    spans: [(Deadline, Duration); 2],
    trace: &'a mut Trace,
    hand_over: &'a HandOver,
}

impl Session<'_, '_> {
    fn run(mut self) -> Result<Outcome, Failure> {
        loop {
            match self.client.next_action() {
                Action::Send(bytes) => self.connection.queue(&bytes),
                Action::StartTls => {
                    self.connection.start_tls(self.job.relay, self.deadline(), self.trace)?;
                    self.client.tls_started(channel(&self.connection), self.trace);
                }
                Action::Adapt(needs) => self.adapt(needs),
                Action::SendMessage(framing) => self.send_message(framing)?,
                Action::Read => self.read(),
                Action::Done(result) => {
                    // Nobody waits for the answer to QUIT, or minds when it cannot be said.
                    let _ = self.connection.flush(self.deadline().within(PARTING));
                    return result;
                }
            }
        }
    }

    /// The deadline of the present phase.
    fn deadline(&self) -> Deadline {
        self.spans[usize::from(!self.client.is_logging_in())].0
    }

    fn adapt(&mut self, needs: Needs) {
        let message = self.job.message;
        let fit = repair::adapt(message, needs).map(|adapted| {
            let now = adapted.as_ref().unwrap_or(message);
            self.trace.repairs.extend_from_slice(now.repairs().get(message.repairs().len()..).unwrap_or_default());
            let measure = (now.size(), now.facts());
            self.adapted = adapted;
            measure
        });
        self.client.adapted(fit, self.trace);
    }

    fn read(&mut self) {
        let mut buffer = [0; READ];
        match self.connection.read(&mut buffer, self.deadline()) {
            Ok(count) => self.client.receive(&buffer[..count], self.trace),
            Err(error) => {
                if self.connection.is_flight_unsent() {
                    self.client.message_withheld();
                }
                self.lost(error);
            }
        }
    }

    /// A connection that broke while we wrote may hold the reply that says why.
    fn lost(&mut self, error: WireError) {
        let mut buffer = [0; READ];
        while self.connection.has_input()
            && let Ok(count) = self.connection.read(&mut buffer, self.deadline())
        {
            self.client.receive(&buffer[..count], self.trace);
        }
        let loss = match error {
            WireError::Closed => Loss::Closed,
            WireError::TimedOut => Loss::TimedOut(self.spans[usize::from(!self.client.is_logging_in())].1),
            WireError::Tls(reason) => Loss::Tls(reason),
            WireError::Io(error) => Loss::Broken(error.to_string()),
        };
        self.client.lost(&loss, self.trace);
    }

    /// Writes what is queued of the message, or hears what the server has to say against it; whether
    /// there is nothing more to write.
    fn press_on(&mut self) -> bool {
        let is_written = match self.connection.flush_or_hear(self.deadline()) {
            Ok(is_written) => is_written,
            Err(error) => {
                self.lost(error);
                true
            }
        };
        if self.connection.has_input() {
            self.read();
        }
        is_written || self.client.is_done()
    }

    /// Whether the server is still there and has not refused the message. Else the last octets stay here,
    /// so that nobody has it.
    fn is_awaited(&mut self) -> bool {
        loop {
            match self.connection.hear() {
                Ok(()) if self.connection.has_input() => self.read(),
                Ok(()) => return true,
                Err(error) => self.lost(error),
            }
            if self.client.is_done() {
                self.connection.give_up();
                return false;
            }
        }
    }

    /// Streams the message. Its last piece stays queued, so that what the client says next leaves in
    /// the same write.
    ///
    /// # Errors
    /// The message cannot be read back from its file.
    fn send_message(&mut self, framing: Framing) -> Result<(), Failure> {
        let adapted = self.adapted.take();
        let message = adapted.as_ref().unwrap_or(self.job.message);
        let mut stuffing = Stuffing::new(framing, message.facts());
        let mut chunks = message.chunks();
        let mut waiting = 0;
        loop {
            let chunk = chunks.advance().map_err(|error| {
                let why = format!("cannot be read back from its temporary file: {error}");
                Failure::new(Kind::Io, "message", why).at(Stage::Message)
            })?;
            let Some(chunk) = chunk else { break };
            for piece in chunk.chunks(PIECE) {
                if waiting > PIECE {
                    waiting = 0;
                    while !self.press_on() {}
                    if self.client.is_done() {
                        return Ok(());
                    }
                }
                waiting += piece.len();
                stuffing.apply(piece, |bytes| self.connection.queue(bytes));
            }
        }
        self.connection.queue(stuffing.end());
        if !self.is_awaited() {
            return Ok(());
        }
        self.hand_over.begin();
        self.client.message_sent(self.trace);
        Ok(())
    }
}
