//! What each reply leads to once the session is open.

use super::dialogue::{Expect, Heard, Upload};
use super::{Client, FLIGHT, SMALL};
use crate::config::relay::Protocol;
use crate::failure::Failure;
use crate::outcome::{Outcome, Stage};
use crate::reply::Reply;

/// What a reply leads to.
pub(super) enum Next {
    /// More replies are due.
    Wait,
    Envelope,
    Recipients,
    Data,
    Upload,
    Done(Result<Outcome, Failure>),
}

impl Client<'_> {
    /// What a reply to the envelope or the message leads to.
    pub(super) fn judge(&mut self, Heard { expect, reply, .. }: Heard) -> Next {
        let closing = reply.code() == 421;
        let negative = reply.is_transient() || reply.is_permanent();
        let upload = self.dialogue.upload;
        match expect {
            Expect::Mail if reply.is_positive() => match self.dialogue.due() {
                None => Next::Recipients,
                Some(_) => Next::Wait,
            },
            Expect::Rcpt if closing => self.conclude(Some((&reply, Stage::RcptTo))),
            Expect::Rcpt if !reply.is_intermediate() => {
                self.recipients.rcpt(reply);
                self.after_recipient()
            }
            Expect::Data if reply.is_intermediate() => Next::Upload,
            Expect::Data if negative => {
                // The server is not in the message, so a command is a command again.
                self.dialogue.may_quit = !closing;
                self.conclude(Some((&reply, Stage::Data)))
            }
            // A final reply that comes early is believed when it is a refusal.
            Expect::Message if upload == Upload::Running && negative => self.conclude(Some((&reply, Stage::Message))),
            Expect::Message if upload == Upload::Over && closing => self.conclude(Some((&reply, Stage::Message))),
            Expect::Message if upload == Upload::Over && !reply.is_intermediate() => {
                if self.task.relay.protocol == Protocol::Lmtp {
                    if self.recipients.message_for_next(reply) {
                        self.dialogue.expect_next(Expect::Message);
                        return Next::Wait;
                    }
                } else {
                    self.recipients.message(&reply);
                }
                self.conclude(None)
            }
            _ if negative => self.refused(&reply, expect.stage()),
            _ => Next::Done(Err(self.dialogue.breach(expect, &reply))),
        }
    }

    fn after_recipient(&self) -> Next {
        match (self.recipients.are_complete(), self.dialogue.due()) {
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
        self.dialogue.capabilities.chunking && self.task.relay.chunking
    }

    /// Whether the message goes out with its envelope, before any of it is answered.
    pub(super) fn in_one_flight(&self) -> bool {
        let recipients = self.task.envelope.forward_paths.len();
        self.dialogue.capabilities.pipelining
            && self.chunking()
            && self.task.size <= SMALL
            && (recipients == 1 || self.task.deliver_partially && recipients <= FLIGHT)
    }

    /// The outcome as it stands is the result.
    fn conclude(&self, rest: Option<(&Reply, Stage)>) -> Next {
        Next::Done(Ok(self.recipients.outcome(rest, self.task.deliver_partially)))
    }

    /// A refusal that concerns everybody.
    pub(super) fn refused(&self, reply: &Reply, stage: Stage) -> Next {
        Next::Done(Ok(Outcome::same_for_all(&self.task.envelope.forward_paths, reply, stage)))
    }
}
