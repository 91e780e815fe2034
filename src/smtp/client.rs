//! The SMTP and LMTP client without I/O: what the server says goes in, actions come out
//! (RFC 5321, RFC 2033, RFC 2920, RFC 3030).
//!
//! The driver does what [`Client::next_action`] says and reports what came of it: [`Client::receive`],
//! [`Client::tls_started`], [`Client::adapted`], [`Client::message_sent`], [`Client::lost`]. Any octets may be fed at any
//! time; memory stays bounded and nothing panics.

mod adapt;
mod capabilities;
mod judge;
mod login;
mod recipients;
mod speak;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use lettre::transport::smtp::commands::{Ehlo, Starttls};

pub use self::adapt::{Parameters, adapt, needs, sayable};
pub use self::capabilities::Capabilities;
use self::judge::{Expect, Next};
use self::recipients::Recipients;
use super::parse::{Garbage, Parser, Raw};
use super::sasl::{self, Exchange};
use crate::config::relay::{Login, Mechanism, Protocol, Relay};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::message::Facts;
use crate::message::repair::Needs;
use crate::outcome::{Outcome, Stage};
use crate::reply::{Reply, printable};
use crate::trace::Trace;

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

/// Why nothing more will come from the server.
#[derive(Debug)]
pub enum Loss {
    /// It closed the connection.
    Closed,
    /// Silence; the time it was given.
    TimedOut(Duration),
    /// The connection broke: the reason.
    Broken(String),
    /// TLS broke: the reason.
    Tls(String),
}

/// How far the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    Ahead,
    Running,
    /// Its last octet is out: from here on no answer means in doubt.
    Over,
}

/// The state of one submission over one connection.
pub struct Client<'a> {
    task: Task<'a>,
    channel: Channel,
    parser: Parser,
    expected: VecDeque<Expect>,
    output: Vec<u8>,
    /// [`Action::StartTls`], [`Action::Adapt`] or [`Action::SendMessage`], due once `output` is taken.
    pending: Option<Action>,
    result: Option<Result<Outcome, Failure>>,
    done: bool,
    capabilities: Capabilities,
    needs: Needs,
    parameters: Parameters,
    exchange: Option<Exchange<'a>>,
    /// Mechanisms the server would not have.
    tried: Vec<Mechanism>,
    /// What must not be shown: the secret and everything said in AUTH.
    secrets: Vec<sasl::Line>,
    logging_in: bool,
    recipients: Recipients<'a>,
    /// How many RCPT have been said.
    asked: usize,
    upload: Upload,
    /// QUIT would be understood: it is not said yet, and would not be taken for content.
    may_quit: bool,
}

impl<'a> Client<'a> {
    /// A client that waits for the greeting on a new connection.
    pub fn new(task: Task<'a>, channel: Channel) -> Self {
        Self {
            task,
            channel,
            parser: Parser::default(),
            expected: VecDeque::from([Expect::Greeting]),
            output: Vec::new(),
            pending: None,
            result: None,
            done: false,
            capabilities: Capabilities::default(),
            needs: Needs::default(),
            parameters: Parameters::default(),
            exchange: None,
            tried: Vec::new(),
            secrets: task.login.map(sasl::needles).unwrap_or_default(),
            logging_in: true,
            recipients: Recipients::new(&task.envelope.forward_paths),
            asked: 0,
            upload: Upload::Ahead,
            may_quit: true,
        }
    }

    /// What to do next.
    pub fn next_action(&mut self) -> Action {
        if !self.output.is_empty() {
            return Action::Send(std::mem::take(&mut self.output));
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
        self.parser.push(bytes);
        while !self.done
            && let Some(&expect) = self.expected.front()
        {
            match self.parser.advance() {
                Ok(None) => break,
                Ok(Some(raw)) => {
                    let reply = self.show(&raw, trace);
                    self.expected.pop_front();
                    let next = self.judge(expect, reply, &raw);
                    self.go(next, trace);
                }
                Err(garbage) => {
                    let garbage = self.describe(&garbage);
                    trace.received(&garbage);
                    let why = match expect {
                        Expect::Greeting => format!("greeted with {garbage}, which is no SMTP reply"),
                        _ => format!("answered {} with {garbage}, which is no SMTP reply", expect.stage()),
                    };
                    self.finish(Err(self.failure(Kind::Protocol, expect.stage(), why)), trace);
                }
            }
        }
    }

    /// TLS is on; `channel` says what the connection is like now.
    pub fn tls_started(&mut self, channel: Channel, trace: &mut Trace) {
        self.channel = channel;
        self.capabilities = Capabilities::default();
        self.go(Next::Hello, trace);
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
        self.upload = Upload::Over;
        self.may_quit = true;
        if self.capabilities.pipelining {
            self.quit(trace);
        }
    }

    /// Not one octet of the flight that ends the message could be given to the system after all.
    pub fn message_withheld(&mut self) {
        if self.upload == Upload::Over {
            self.upload = Upload::Running;
        }
    }

    /// Nothing more will come.
    pub fn lost(&mut self, loss: &Loss, trace: &mut Trace) {
        if self.done {
            return;
        }
        let stage = self.expected.front().map_or(Stage::Connect, |expect| expect.stage());
        let sending = self.upload == Upload::Running;
        let why = match loss {
            Loss::TimedOut(span) => {
                let span = match span.as_secs() {
                    0 => format!("{} ms", span.as_millis()),
                    _ => format!("{:.0} s", span.as_secs_f64()),
                };
                match stage {
                    _ if sending => format!("did not take the message within the deadline ({span})"),
                    Stage::Greeting => format!("no greeting within the deadline ({span})"),
                    Stage::Message => format!("no answer to the message within the deadline ({span})"),
                    _ => format!("no answer to {stage} within the deadline ({span})"),
                }
            }
            Loss::Closed | Loss::Broken(_) | Loss::Tls(_) => {
                let point = match stage {
                    _ if sending => "while the message was being sent".to_owned(),
                    Stage::Greeting => "before its greeting".to_owned(),
                    Stage::Message => "after the message was sent".to_owned(),
                    _ => format!("after {stage}"),
                };
                match loss {
                    Loss::Broken(reason) => format!("connection lost {point}: {reason}"),
                    Loss::Tls(reason) => format!("TLS failed {point}: {reason}"),
                    _ => format!("closed the connection {point}"),
                }
            }
        };
        let kind = match loss {
            Loss::Tls(_) => Kind::Protocol,
            _ => Kind::Unavailable,
        };
        self.finish(Err(self.failure(kind, stage, why)), trace);
    }

    /// The reply as it may be shown, and shows it to the trace.
    fn show(&self, raw: &Raw, trace: &mut Trace) -> Reply {
        let mut shown = raw.clone();
        for secret in &self.secrets {
            shown.mask(secret.as_bytes());
        }
        for line in shown.full_lines() {
            trace.received(&printable(line, 512));
        }
        shown.reply()
    }

    fn describe(&self, garbage: &Garbage) -> String {
        garbage.describe(self.secrets.iter().map(|secret| secret.as_bytes()))
    }

    /// Does what `next` says.
    fn go(&mut self, next: Next, trace: &mut Trace) {
        // What follows 354 is judged as an early final reply.
        let speaks = !matches!(next, Next::Wait | Next::Upload | Next::Done(_));
        if speaks && !self.parser.is_empty() {
            let early = self.early(matches!(next, Next::Handshake), trace);
            return self.finish(early, trace);
        }
        let said = match next {
            Next::Wait => Ok(()),
            Next::Hello if self.task.relay.protocol == Protocol::Lmtp => {
                self.say(format_args!("LHLO {}", self.client_id()), Some(Expect::Ehlo), trace)
            }
            Next::Hello => self.say(Ehlo::new(self.client_id()), Some(Expect::Ehlo), trace),
            Next::Helo => self.say(format_args!("HELO {}", self.client_id()), Some(Expect::Helo), trace),
            Next::StartTls => self.say(Starttls, Some(Expect::StartTls), trace),
            Next::Handshake => {
                self.pending = Some(Action::StartTls);
                Ok(())
            }
            Next::Auth(mechanism) => self.authenticate(mechanism, trace),
            Next::Response(line) => {
                self.say_secret("", line, trace);
                Ok(())
            }
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

    /// The server spoke before it was asked. In front of a handshake that is an attempt to smuggle;
    /// elsewhere a 421 is a goodbye like any other.
    fn early(&mut self, before_handshake: bool, trace: &mut Trace) -> Result<Outcome, Failure> {
        let stage = trace.stage.unwrap_or(Stage::Greeting);
        let leftover = self.parser.leftover();
        if let Ok(Some(raw)) = self.parser.advance() {
            let reply = self.show(&raw, trace);
            if reply.code() == 421 && !before_handshake {
                self.may_quit = false;
                return Ok(self.recipients.outcome(Some((&reply, stage)), self.task.deliver_partially));
            }
        }
        let leftover = self.describe(&leftover);
        let why = match before_handshake {
            true => format!("said {leftover} between STARTTLS and the TLS handshake"),
            false => format!("said {leftover} before it was asked"),
        };
        Err(self.failure(Kind::Protocol, stage, why))
    }

    fn finish(&mut self, result: Result<Outcome, Failure>, trace: &mut Trace) {
        self.output.clear();
        self.pending = None;
        // Whoever broke the protocol or is gone gets no goodbye.
        let polite = match &result {
            Ok(_) => true,
            Err(failure) => matches!(failure.kind, Kind::Data | Kind::Refused(_)),
        };
        if polite && self.may_quit {
            self.quit(trace);
        }
        self.done = true;
        self.result = Some(result);
    }

    /// A failure in this relay's name; in doubt once the message is out.
    fn failure(&self, kind: Kind, stage: Stage, why: impl Into<String>) -> Failure {
        let (kind, why) = match self.upload {
            Upload::Over => (Kind::InDoubt, format!("{}; the message may have been accepted", why.into())),
            _ => (kind, why.into()),
        };
        Failure::new(kind, self.task.relay.place.to_string(), why).at(stage)
    }
}
