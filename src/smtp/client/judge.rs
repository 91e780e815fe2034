//! What each reply leads to.

use super::{Capabilities, Client, FLIGHT, SMALL, Upload, login};
use crate::config::relay::{Mechanism, Protocol, TlsMode};
use crate::failure::{Failure, Kind};
use crate::outcome::{Outcome, Stage};
use crate::reply::Reply;
use crate::smtp::parse::Raw;
use crate::smtp::sasl::{self, Trouble};

/// A reply that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Message,
}

impl Expect {
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Greeting => Stage::Greeting,
            Self::Ehlo | Self::Helo => Stage::Ehlo,
            Self::StartTls => Stage::StartTls,
            Self::Auth => Stage::Auth,
            Self::Mail => Stage::MailFrom,
            Self::Rcpt => Stage::RcptTo,
            Self::Data => Stage::Data,
            Self::Message => Stage::Message,
        }
    }
}

/// What a reply leads to.
pub(super) enum Next {
    /// More replies are due.
    Wait,
    Hello,
    Helo,
    StartTls,
    Handshake,
    Auth(Mechanism),
    Response(sasl::Line),
    Envelope,
    Recipients,
    Data,
    Upload,
    Done(Result<Outcome, Failure>),
}

impl Client<'_> {
    /// What `reply` to `expect` leads to; `raw` is the same reply unmasked.
    pub(super) fn judge(&mut self, expect: Expect, reply: Reply, raw: &Raw) -> Next {
        let closing = reply.code() == 421;
        self.may_quit &= !closing;
        let negative = reply.is_transient() || reply.is_permanent();
        match expect {
            Expect::Greeting if reply.is_positive() => Next::Hello,
            Expect::Ehlo if reply.is_positive() => {
                self.capabilities = Capabilities::of(raw);
                self.after_hello()
            }
            Expect::Ehlo if reply.is_permanent() && self.task.relay.protocol == Protocol::Smtp => Next::Helo,
            Expect::Helo if reply.is_positive() => self.after_hello(),
            Expect::StartTls if reply.is_positive() => Next::Handshake,
            Expect::Auth => self.judge_login(&reply, raw),
            Expect::Mail if reply.is_positive() => match self.expected.is_empty() {
                true => Next::Recipients,
                false => Next::Wait,
            },
            Expect::Rcpt if closing => self.conclude(Some((&reply, Stage::RcptTo))),
            Expect::Rcpt if !reply.is_intermediate() => {
                self.recipients.rcpt(reply);
                self.after_recipient()
            }
            Expect::Data if reply.is_intermediate() => Next::Upload,
            Expect::Data if negative => {
                // The server is not in the message, so a command is a command again.
                self.may_quit = !closing;
                self.conclude(Some((&reply, Stage::Data)))
            }
            // A final reply that comes early is believed when it is a refusal.
            Expect::Message if self.upload == Upload::Running && negative => {
                self.conclude(Some((&reply, Stage::Message)))
            }
            Expect::Message if self.upload == Upload::Over && closing => self.conclude(Some((&reply, Stage::Message))),
            Expect::Message if self.upload == Upload::Over && !reply.is_intermediate() => {
                if self.task.relay.protocol == Protocol::Lmtp {
                    if self.recipients.message_for_next(reply) {
                        self.expected.push_front(Expect::Message);
                        return Next::Wait;
                    }
                } else {
                    self.recipients.message(&reply);
                }
                self.conclude(None)
            }
            _ if negative => self.refused(&reply, expect.stage()),
            Expect::Greeting => self.breach(expect, format!("greeted with \"{reply}\"")),
            Expect::Message if self.upload == Upload::Running => {
                self.breach(expect, format!("answered \"{reply}\" before the message was complete"))
            }
            _ => self.breach(expect, format!("answered {} with \"{reply}\"", expect.stage())),
        }
    }

    fn judge_login(&mut self, reply: &Reply, raw: &Raw) -> Next {
        let Some(exchange) = &mut self.exchange else {
            return self.breach(Expect::Auth, "no login is under way".to_owned());
        };
        let trouble = match reply.code() {
            200..=299 => match exchange.finish() {
                Ok(()) => return Next::Envelope,
                Err(trouble) => trouble,
            },
            300..=399 => match exchange.respond(raw.lines().next().unwrap_or_default()) {
                Ok(line) => return Next::Response(line),
                Err(trouble) => trouble,
            },
            504 | 534 => {
                self.tried.push(exchange.mechanism());
                return self.mechanism().map_or_else(|| self.refused(reply, Stage::Auth), Next::Auth);
            }
            _ => return self.refused(reply, Stage::Auth),
        };
        Next::Done(Err(self.trouble(&trouble)))
    }

    fn after_hello(&self) -> Next {
        let relay = self.task.relay;
        if relay.tls == TlsMode::StartTls && !self.channel.tls {
            return match self.capabilities.starttls {
                true => Next::StartTls,
                false => Next::Done(Err(self.failure(Kind::Protocol, Stage::StartTls, "does not offer STARTTLS"))),
            };
        }
        let Some(login) = self.task.login else {
            // The caller's mistake; a message of a relay with credentials never goes out without them.
            return match relay.login.is_some() {
                true => Next::Done(Err(self.failure(Kind::Software, Stage::Auth, "the credentials were not read"))),
                false => Next::Envelope,
            };
        };
        match self.mechanism() {
            Some(mechanism) => Next::Auth(mechanism),
            None => {
                let why = login::why_none(relay, login, self.channel, &self.capabilities);
                Next::Done(Err(self.failure(Kind::Protocol, Stage::Auth, why)))
            }
        }
    }

    /// The best mechanism that has not been tried.
    fn mechanism(&self) -> Option<Mechanism> {
        login::mechanisms(self.task.relay, self.task.login?, self.channel, &self.capabilities)
            .find(|mechanism| !self.tried.contains(mechanism))
    }

    fn after_recipient(&self) -> Next {
        match (self.recipients.are_complete(), self.expected.front()) {
            (false, None) => Next::Recipients,
            (false, Some(_)) => Next::Wait,
            (true, _) if !self.may_proceed() => self.conclude(None),
            // One flight, or DATA is said already.
            (true, Some(_)) => Next::Wait,
            (true, None) if self.chunking() => Next::Upload,
            (true, None) => Next::Data,
        }
    }

    /// Nobody or everybody, unless the site wants it otherwise; in any case somebody.
    fn may_proceed(&self) -> bool {
        self.recipients.any_accepted() && (self.task.deliver_partially || !self.recipients.any_refused())
    }

    pub(super) fn chunking(&self) -> bool {
        self.capabilities.chunking && self.task.relay.chunking
    }

    /// Whether the message goes out with its envelope, before any of it is answered.
    pub(super) fn in_one_flight(&self) -> bool {
        let recipients = self.task.envelope.forward_paths.len();
        self.capabilities.pipelining
            && self.chunking()
            && self.task.size <= SMALL
            && (recipients == 1 || self.task.deliver_partially && recipients <= FLIGHT)
    }

    /// The outcome as it stands is the result.
    fn conclude(&self, rest: Option<(&Reply, Stage)>) -> Next {
        Next::Done(Ok(self.recipients.outcome(rest, self.task.deliver_partially)))
    }

    /// A refusal that concerns everybody.
    fn refused(&self, reply: &Reply, stage: Stage) -> Next {
        Next::Done(Ok(Outcome::same_for_all(&self.task.envelope.forward_paths, reply, stage)))
    }

    fn breach(&self, expect: Expect, why: String) -> Next {
        Next::Done(Err(self.failure(Kind::Protocol, expect.stage(), why)))
    }

    pub(super) fn trouble(&self, trouble: &Trouble) -> Failure {
        let kind = match trouble {
            Trouble::Credentials => Kind::Configuration,
            Trouble::Random => Kind::System,
            Trouble::Challenge | Trouble::Impostor | Trouble::Rounds(_) => Kind::Protocol,
        };
        self.failure(kind, Stage::Auth, trouble.to_string())
    }
}
