//! The SMTP and LMTP client without I/O: what the server says goes in, actions come out
//! (RFC 5321, RFC 2033, RFC 2920, RFC 3030).
//!
//! The driver does what [`Client::next_action`] says and reports what came of it: [`Client::receive`],
//! [`Client::tls_started`], [`Client::adapted`], [`Client::message_sent`], [`Client::lost`]. Any octets
//! may be fed at any time; memory stays bounded and nothing panics.

mod capabilities;
mod delivery;
mod dialogue;
mod login;
mod opening;
mod parameters;
mod recipients;
#[cfg(test)]
mod tests;
mod transfer;

pub use self::capabilities::Capabilities;
pub(in crate::smtp) use self::dialogue::{Dialogue, Expect, Heard, Upload};
pub use self::dialogue::{End, Loss};
pub(in crate::smtp) use self::opening::{Opening, Progress};
pub(in crate::smtp) use self::parameters::is_sayable;
pub use self::parameters::{Parameters, adapt, needs, sayable};
pub use self::recipients::Recipients;
use self::transfer::Next;
use crate::attempt::Trace;
use crate::config::relay::{Login, Relay};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::message::Facts;
use crate::message::repair::Needs;
use crate::outcome::{Outcome, Stage};

/// A message up to this many octets goes out in one flight with its envelope: refused, it has cost
/// little.
pub const SMALL: u64 = 64 << 10;
/// How many RCPT commands go out before their replies are read.
const FLIGHT: usize = 500;

/// What the client needs to know of one submission.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The relay to submit through.
    pub relay: &'a Relay,
    /// Its credentials, already read.
    pub login: Option<&'a Login>,
    /// Reverse-path, forward-paths and DSN wishes.
    pub envelope: &'a Envelope,
    /// The message's octets, CRLF counted, dot-stuffing not.
    pub size: u64,
    /// What intake learned of the message.
    pub facts: Facts,
    /// An address field of the message needs SMTPUTF8.
    pub utf8_header: bool,
    /// Send to the accepted recipients when others are refused.
    pub deliver_partially: bool,
    /// The EHLO argument when the relay names none.
    pub host_name: &'a str,
}

/// What the connection is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Channel {
    /// TLS is on and the server is verified.
    pub tls: bool,
    /// Loopback or a unix socket: octets do not leave this host.
    pub local: bool,
}

/// How the message is put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Dot-stuffed, then the lone dot (RFC 5321 4.5.2).
    Dots,
    /// As it is; BDAT has announced its size.
    Chunk,
}

/// What the driver does next.
#[derive(Debug)]
pub enum Action {
    /// Put these octets behind those already waiting to be written.
    Send(Vec<u8>),
    /// Shake hands, then call [`Client::tls_started`].
    StartTls,
    /// Make the message fit for the server, then call [`Client::adapted`].
    Adapt(Needs),
    /// Put the message behind those octets, then call [`Client::message_sent`]. What the server says
    /// meanwhile goes to [`Client::receive`]; once [`Client::is_done`] the rest is not sent.
    SendMessage(Framing),
    /// Write what waits, then read.
    Read,
    /// Write what waits without insisting, close, and report this.
    Done(Result<Outcome, Failure>),
}

/// The state of one submission over one connection.
pub struct Client<'a> {
    task: Task<'a>,
    dialogue: Dialogue,
    opening: Opening<'a>,
    needs: Needs,
    parameters: Parameters,
    /// [`Action::StartTls`], [`Action::Adapt`] or [`Action::SendMessage`], due once the output is taken.
    pending: Option<Action>,
    result: Option<Result<Outcome, Failure>>,
    done: bool,
    logging_in: bool,
    recipients: Recipients<'a>,
    /// How many RCPT have been said.
    asked: usize,
}

impl<'a> Client<'a> {
    /// A client that waits for the greeting on a new connection.
    pub fn new(task: Task<'a>, channel: Channel) -> Self {
        Self {
            task,
            dialogue: Dialogue::new(task.relay, task.login),
            opening: Opening::new(task.relay, task.login, task.host_name, channel),
            needs: Needs::default(),
            parameters: Parameters::default(),
            pending: None,
            result: None,
            done: false,
            logging_in: true,
            recipients: Recipients::new(&task.envelope.forward_paths),
            asked: 0,
        }
    }

    /// What to do next.
    pub fn next_action(&mut self) -> Action {
        let output = self.dialogue.take_output();
        if !output.is_empty() {
            return Action::Send(output);
        }
        if let Some(action) = self.pending.take() {
            return action;
        }
        self.result.take().map_or(Action::Read, Action::Done)
    }

    /// Whether the result stands; [`Client::next_action`] hands it out.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the login is still ahead, and with it the shorter deadline.
    pub fn is_logging_in(&self) -> bool {
        self.logging_in
    }

    /// Octets from the server.
    pub fn receive(&mut self, bytes: &[u8], trace: &mut Trace) {
        if self.done {
            return;
        }
        self.dialogue.push(bytes);
        while !self.done {
            let heard = match self.dialogue.hear(trace) {
                Ok(None) => return,
                Ok(Some(heard)) => heard,
                Err(failure) => return self.finish(Err(failure), trace),
            };
            let next = match self.logging_in {
                true => match self.opening.hear(&heard, &mut self.dialogue, trace) {
                    Ok(Progress::Waiting) => Next::Wait,
                    Ok(Progress::Handshake) => {
                        self.pending = Some(Action::StartTls);
                        Next::Wait
                    }
                    Ok(Progress::Ready) => Next::Envelope,
                    Err(end) => self.ended(end),
                },
                false => self.judge(heard),
            };
            self.go(next, trace);
        }
    }

    /// TLS is on; `channel` says what the connection is like now.
    pub fn tls_started(&mut self, channel: Channel, trace: &mut Trace) {
        if let Err(end) = self.opening.tls_started(channel, &mut self.dialogue, trace) {
            let next = self.ended(end);
            self.go(next, trace);
        }
    }

    /// The message is fit: its size and facts now. Or why it cannot be made fit.
    pub fn adapted(&mut self, fit: Result<(u64, Facts), Failure>, trace: &mut Trace) {
        let said = fit.and_then(|(size, facts)| {
            self.task.size = size;
            self.task.facts = facts;
            self.mail(trace)
        });
        if let Err(failure) = said {
            self.finish(Err(failure.at(Stage::MailFrom)), trace);
        }
    }

    /// The message is with the system to its last octet.
    pub fn message_sent(&mut self, trace: &mut Trace) {
        if self.done {
            return;
        }
        self.dialogue.uploaded();
        if self.dialogue.capabilities.pipelining {
            self.dialogue.quit(trace);
        }
    }

    /// Not one octet of the flight that ends the message could be given to the system after all.
    pub fn message_withheld(&mut self) {
        self.dialogue.withheld();
    }

    /// Nothing more will come.
    pub fn lost(&mut self, loss: &Loss, trace: &mut Trace) {
        if !self.done {
            let failure = self.dialogue.lost(loss);
            self.finish(Err(failure), trace);
        }
    }

    /// Does what `next` says.
    fn go(&mut self, next: Next, trace: &mut Trace) {
        // What follows 354 is judged as an early final reply.
        let speaks = matches!(next, Next::Envelope | Next::Recipients | Next::Data);
        if speaks && let Err(end) = self.dialogue.check_silence(false, trace) {
            let next = self.ended(end);
            return self.go(next, trace);
        }
        let said = match next {
            Next::Wait => Ok(()),
            Next::Envelope => self.envelope(trace),
            Next::Recipients => self.recipients(trace),
            Next::Data => self.data(trace),
            Next::Upload => self.upload(trace),
            Next::Done(result) => {
                self.finish(result, trace);
                Ok(())
            }
        };
        if let Err(failure) = said {
            self.finish(Err(failure), trace);
        }
    }

    /// The result of a dialogue that cannot go on. What was said about a recipient before stays said.
    fn ended(&self, end: End) -> Next {
        Next::Done(match end {
            End::Refused(reply, stage) => {
                Ok(self.recipients.outcome(Some((&reply, stage)), self.task.deliver_partially))
            }
            End::Failed(failure) => Err(failure),
        })
    }

    fn finish(&mut self, result: Result<Outcome, Failure>, trace: &mut Trace) {
        self.pending = None;
        // Whoever broke the protocol or is gone gets no goodbye.
        let polite = match &result {
            Ok(_) => true,
            Err(failure) => matches!(failure.kind, Kind::Data | Kind::Refused(_)),
        };
        self.dialogue.close(polite, trace);
        self.done = true;
        self.result = Some(result);
    }
}
