//! The one SMTP and LMTP machine, without I/O: what the server says goes in, actions come out
//! (RFC 5321, RFC 2033, RFC 2920, RFC 3030).
//!
//! A [`Dialogue`] is the state of one connection. Scripts are carried out over it, one after the other:
//! [`Opening`], then [`Delivery`] for one message in as few round trips as there can be, or the single steps
//! of a session that is kept, `Replies` and `Content`.
//! The driver does what [`Run::next_action`] says and reports what came of it: [`Run::receive`],
//! [`Run::tls_started`], [`Run::message_sent`], [`Run::lost`]. Any octets may be fed at any time; memory
//! stays bounded and nothing panics.

mod capabilities;
mod delivery;
mod dialogue;
mod login;
mod opening;
mod parameters;
mod recipients;
mod replies;
#[cfg(test)]
mod tests;
mod transfer;

pub use self::capabilities::Capabilities;
pub use self::delivery::{Delivery, Measure};
pub(in crate::smtp) use self::dialogue::Expect;
pub use self::dialogue::{Dialogue, Ending, Heard, Loss};
pub use self::opening::Opening;
pub use self::parameters::needs;
pub(in crate::smtp) use self::parameters::{MailFrom, RcptTo, body};
pub use self::recipients::Recipients;
pub(in crate::smtp) use self::replies::{Leftovers, Replies};
pub(in crate::smtp) use self::transfer::Content;
use crate::attempt::Trace;

/// A message up to this many octets goes out in one flight with its envelope: refused, it has cost
/// little.
pub const SMALL: u64 = 64 << 10;
/// How many RCPT commands go out before their replies are read.
pub const FLIGHT: usize = 500;

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

/// What a script does with what it heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More replies are due.
    Wait,
    /// The TLS handshake is due, then [`Script::tls_started`].
    Handshake,
    /// The message's octets are due, then [`Script::message_sent`].
    Message(Framing),
    /// The script is at its end.
    Done,
}

/// Something that is said over a connection, and what each reply leads to.
pub trait Script {
    /// Says the first of it.
    ///
    /// # Errors
    /// The server has said something before it was asked, or what is to be said cannot be.
    fn begin(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending>;

    /// Goes on with the reply that was due.
    ///
    /// # Errors
    /// The server said no, or cannot be believed.
    fn hear(&mut self, heard: Heard, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending>;

    /// TLS is on; `channel` says what the connection is like now.
    ///
    /// # Errors
    /// As [`Script::hear`].
    fn tls_started(&mut self, _: Channel, _: &mut Dialogue, _: &mut Trace) -> Result<Step, Ending> {
        Ok(Step::Wait)
    }

    /// The message is with the system to its last octet.
    fn message_sent(&mut self, _: &mut Dialogue, _: &mut Trace) {}
}

/// What the driver does next.
#[derive(Debug)]
pub enum Action {
    /// Put these octets behind those already waiting to be written.
    Send(Vec<u8>),
    /// Shake hands, then call [`Run::tls_started`].
    StartTls,
    /// Put the message behind those octets, then call [`Run::message_sent`]. What the server says
    /// meanwhile goes to [`Run::receive`]; once [`Run::is_done`] the rest is not sent.
    SendMessage(Framing),
    /// Write what waits, then read.
    Read,
    /// The script has ended like this.
    Done(Result<(), Ending>),
}

/// A script under way.
pub struct Run<'a, S> {
    script: &'a mut S,
    dialogue: &'a mut Dialogue,
    /// [`Action::StartTls`] or [`Action::SendMessage`], due once the output is taken.
    pending: Option<Action>,
    result: Option<Result<(), Ending>>,
    is_done: bool,
}

impl<'a, S: Script> Run<'a, S> {
    /// Begins `script` over `dialogue`.
    pub fn begin(script: &'a mut S, dialogue: &'a mut Dialogue, trace: &mut Trace) -> Self {
        let step = script.begin(dialogue, trace);
        let mut run = Self { script, dialogue, pending: None, result: None, is_done: false };
        run.go(step);
        run.listen(trace);
        run
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

    /// Whether the result stands; [`Run::next_action`] hands it out.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Octets from the server.
    pub fn receive(&mut self, bytes: &[u8], trace: &mut Trace) {
        if !self.is_done {
            self.dialogue.push(bytes);
            self.listen(trace);
        }
    }

    /// TLS is on; `channel` says what the connection is like now.
    pub fn tls_started(&mut self, channel: Channel, trace: &mut Trace) {
        let step = self.script.tls_started(channel, self.dialogue, trace);
        self.go(step);
    }

    /// The message is with the system to its last octet.
    pub fn message_sent(&mut self, trace: &mut Trace) {
        if !self.is_done {
            self.dialogue.uploaded();
            self.script.message_sent(self.dialogue, trace);
        }
    }

    /// Not one octet of the flight that ends the message could be given to the system after all.
    pub fn message_withheld(&mut self) {
        self.dialogue.withheld();
    }

    /// Nothing more will come.
    pub fn lost(&mut self, loss: &Loss) {
        if !self.is_done {
            let failure = self.dialogue.lost(loss);
            self.go(Err(failure.into()));
        }
    }

    /// Hears the replies that have come.
    fn listen(&mut self, trace: &mut Trace) {
        while !self.is_done {
            match self.dialogue.hear(trace) {
                Ok(None) => return,
                Ok(Some(heard)) => {
                    let step = self.script.hear(heard, self.dialogue, trace);
                    self.go(step);
                }
                Err(failure) => self.go(Err(failure.into())),
            }
        }
    }

    fn go(&mut self, step: Result<Step, Ending>) {
        let result = match step {
            Ok(Step::Wait) => return,
            Ok(Step::Handshake) => return self.pending = Some(Action::StartTls),
            Ok(Step::Message(framing)) => return self.pending = Some(Action::SendMessage(framing)),
            Ok(Step::Done) => Ok(()),
            Err(end) => Err(end),
        };
        if let Err(end) = &result {
            self.dialogue.break_off(end);
        }
        self.pending = None;
        self.is_done = true;
        self.result = Some(result);
    }
}
