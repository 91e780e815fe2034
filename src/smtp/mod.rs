//! Submission over SMTP and LMTP: `client` speaks the protocol without I/O, `wire` moves the octets.
//! [`submit`] sends one message in as few round trips as there can be; a [`Session`] sends several in a
//! row, step by step.

pub mod client;
mod connect;
mod names;
pub mod parse;
mod passing;
mod roots;
pub mod sasl;
pub mod server;
mod session;
pub(crate) mod socket;
mod socks;
mod stuffing;
#[cfg(test)]
mod tests;
mod tls_failure;
pub mod trust;
mod verdict;
pub mod wire;

use std::time::Duration;

use self::client::{Action, Channel, Client, Framing, Loss, Task};
pub use self::client::{Capabilities, End, Recipients};
pub use self::session::Session;
use self::stuffing::{PIECE, Stuffing};
use self::wire::{Connection, WireError};
use crate::config::relay::{Login, Relay};
use crate::deadline::Deadline;
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::message::Message;
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
    let result = Driver { job, connection, client, spans, trace, hand_over }.run();
    if !matches!(&result, Err(failure) if failure.kind == Kind::InDoubt) {
        hand_over.end();
    }
    result
}

fn channel(connection: &Connection) -> Channel {
    Channel { tls: connection.is_tls(), local: connection.is_local() }
}

/// Moves octets between one connection and its client until there is a result.
struct Driver<'a, 'j> {
    job: &'a Job<'j>,
    connection: Connection,
    client: Client<'a>,
    /// Until the login is done, and for everything: the deadline, and how long that is.
    spans: [(Deadline, Duration); 2],
    trace: &'a mut Trace,
    hand_over: &'a HandOver,
}

impl Driver<'_, '_> {
    fn run(mut self) -> Result<Outcome, Failure> {
        loop {
            match self.client.next_action() {
                Action::Send(bytes) => self.connection.queue(&bytes),
                Action::StartTls => {
                    self.connection.start_tls(self.job.relay, self.span().0, self.trace)?;
                    self.client.tls_started(channel(&self.connection), self.trace);
                }
                Action::SendMessage(framing) => self.send_message(framing)?,
                Action::Read => {
                    let span = self.span();
                    let Self { connection, client, trace, .. } = &mut self;
                    let taken = take(connection, span, |bytes| client.receive(bytes, trace));
                    if let Err(loss) = taken {
                        client.lost(&loss, trace);
                    }
                }
                Action::Done(result) => {
                    // Nobody waits for the answer to QUIT, or minds when it cannot be said.
                    let _ = self.connection.flush(self.span().0.within(PARTING));
                    return result;
                }
            }
        }
    }

    /// The deadline of the present phase, and how long that is.
    fn span(&self) -> (Deadline, Duration) {
        self.spans[usize::from(!self.client.is_logging_in())]
    }

    fn send_message(&mut self, framing: Framing) -> Result<(), Failure> {
        let span = self.span();
        let Self { connection, client, trace, .. } = self;
        stream(connection, self.job.message, framing, |connection| {
            if let Err(loss) = take_early(connection, span, |bytes| client.receive(bytes, trace)) {
                client.lost(&loss, trace);
            }
            !client.is_done()
        })?;
        if !client.is_done() {
            self.hand_over.begin();
            client.message_sent(trace);
        }
        Ok(())
    }
}

/// Writes what waits, and gives what the server says next to `hear`.
fn take(connection: &mut Connection, span: (Deadline, Duration), mut hear: impl FnMut(&[u8])) -> Result<(), Loss> {
    let mut buffer = [0; READ];
    match connection.read(&mut buffer, span.0) {
        Ok(count) => {
            hear(&buffer[..count]);
            Ok(())
        }
        Err(error) => Err(lost(connection, error, span, hear)),
    }
}

/// Writes what waits, and gives what the server has said by then to `hear`.
fn take_early(connection: &mut Connection, span: (Deadline, Duration), hear: impl FnMut(&[u8])) -> Result<(), Loss> {
    match connection.flush(span.0) {
        Ok(()) if connection.has_input() => take(connection, span, hear),
        Ok(()) => Ok(()),
        Err(error) => Err(lost(connection, error, span, hear)),
    }
}

/// A connection that broke while we wrote may hold the reply that says why.
fn lost(
    connection: &mut Connection,
    error: WireError,
    (deadline, span): (Deadline, Duration),
    mut hear: impl FnMut(&[u8]),
) -> Loss {
    let mut buffer = [0; READ];
    while connection.has_input()
        && let Ok(count) = connection.read(&mut buffer, deadline)
    {
        hear(&buffer[..count]);
    }
    match error {
        WireError::Closed => Loss::Closed,
        WireError::TimedOut => Loss::TimedOut(span),
        WireError::Tls(reason) => Loss::Tls(reason),
        WireError::Io(error) => Loss::Broken(error.to_string()),
    }
}

/// Streams the message; `flush` writes what has gathered and says whether to go on. The last piece stays
/// queued, so that what is said next leaves in the same write.
///
/// # Errors
/// The message cannot be read back from its file.
fn stream(
    connection: &mut Connection,
    message: &Message,
    framing: Framing,
    mut flush: impl FnMut(&mut Connection) -> bool,
) -> Result<(), Failure> {
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
                if !flush(connection) {
                    return Ok(());
                }
            }
            waiting += piece.len();
            stuffing.apply(piece, |bytes| connection.queue(bytes));
        }
    }
    connection.queue(stuffing.end());
    Ok(())
}
