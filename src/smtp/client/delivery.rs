//! One message in as few round trips as there can be, and a goodbye behind it where no other follows.

use lettre::transport::smtp::commands;

use super::dialogue::{Dialogue, Ending, Expect, Heard};
use super::parameters::{self, MailFrom, RcptTo};
use super::transfer::Transfer;
use super::{FLIGHT, Recipients, SMALL, Script, Step};
use crate::attempt::Trace;
use crate::envelope::{Asked, Dsn, Envelope};
use crate::failure::Failure;
use crate::message::repair::Needs;
use crate::message::{Facts, Message};
use crate::outcome::{Outcome, Stage};
use crate::reply::Reply;

/// No wish for notifications, or none that goes along.
static NOTHING: Dsn = Dsn { notify: None, ret: None, envid: None, each: Vec::new() };

/// What a message is like on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measure {
    /// Its octets, CRLF counted, dot-stuffing not.
    pub size: u64,
    /// What intake learned of it.
    pub facts: Facts,
    /// A line of it could be taken for a command ([`Message::holds_commands`]).
    pub holds_commands: bool,
}

impl Measure {
    /// That of `message`.
    pub fn of(message: &Message) -> Self {
        Self { size: message.size(), facts: message.facts(), holds_commands: message.holds_commands() }
    }
}

/// The submission of one message once the session is open.
pub struct Delivery<'a> {
    envelope: &'a Envelope,
    /// Send to the accepted recipients when others are refused.
    deliver_partially: bool,
    /// What goes along of the wishes for notifications.
    dsn: &'a Dsn,
    /// MAIL, until it is said.
    mail: Option<commands::Mail>,
    recipients: Recipients<'a>,
    /// How many RCPT have been said.
    asked: usize,
    transfer: Transfer,
    /// The message goes out with its envelope, before any of it is answered.
    is_one_flight: bool,
    /// Another message may follow.
    stays: bool,
}

impl<'a> Delivery<'a> {
    /// The delivery of a message that has what `needs` says and measures as `measure` does.
    ///
    /// # Errors
    /// The message is larger than the server takes (552 5.3.4, our own refusal), or an address cannot be said
    /// to it.
    pub fn new(
        envelope: &'a Envelope,
        measure: Measure,
        needs: Needs,
        deliver_partially: bool,
        dialogue: &Dialogue,
        trace: &mut Trace,
    ) -> Result<Self, Failure> {
        let offered = &dialogue.capabilities;
        for address in envelope.addresses() {
            parameters::check(address, offered, Stage::MailFrom)?;
        }
        let Dsn { notify, ret, envid, each } = &envelope.dsn;
        let any = |of: fn(&Asked) -> &Option<String>| each.iter().map(of).find(|value| value.is_some());
        let (notify, original) = (any(|one| &one.notify).unwrap_or(notify), any(|one| &one.original).unwrap_or(&None));
        let asked = [("NOTIFY", notify), ("RET", ret), ("ENVID", envid), ("ORCPT", original)];
        let is_carried = parameters::carried(asked, offered, trace).next().is_some();
        let dsn = if is_carried { &envelope.dsn } else { &NOTHING };
        let Measure { size, facts, holds_commands } = measure;
        let is_eight_bit = facts.eight_bit_header || facts.eight_bit_body || needs.utf8;
        let mail = MailFrom {
            reverse_path: envelope.reverse_path.as_ref(),
            size: Some(size),
            body: (needs.eight_bit && is_eight_bit).then(|| parameters::body(true)),
            utf8: needs.utf8,
            ret: &dsn.ret,
            envid: &dsn.envid,
        };
        let transfer = Transfer::new(size, holds_commands, dialogue);
        let count = envelope.forward_paths.len();
        let is_one_flight = offered.pipelining
            && transfer.is_chunked
            && size <= SMALL
            && (count == 1 || deliver_partially && count <= FLIGHT);
        Ok(Self {
            envelope,
            deliver_partially,
            dsn,
            mail: Some(mail.command(offered, trace)?),
            recipients: Recipients::new(&envelope.forward_paths),
            asked: 0,
            transfer,
            is_one_flight,
            stays: false,
        })
    }

    /// The same without a goodbye: another message may follow.
    pub fn and_stay(self, stays: bool) -> Self {
        Self { stays, ..self }
    }

    /// What came of it, where it ended with `rest`, which concerns all those who were not told anything else.
    pub fn outcome(&self, rest: Option<(&Reply, Stage)>) -> Outcome {
        self.recipients.outcome(rest, self.deliver_partially)
    }

    /// The next RCPT commands, and behind the last one whatever may go with it.
    fn ask(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Failure> {
        let envelope = self.envelope;
        let all = &envelope.forward_paths;
        let is_pipelined = dialogue.capabilities.pipelining;
        for recipient in all.iter().skip(self.asked).take(if is_pipelined { FLIGHT } else { 1 }) {
            self.asked += 1;
            let original = match self.dsn.original_of(recipient) {
                None if self.dsn == &NOTHING => None,
                None => parameters::original(recipient)?,
                named => named.cloned(),
            };
            let rcpt = RcptTo { forward_path: recipient, notify: self.dsn.notify_of(recipient), original: &original };
            dialogue.say(rcpt.command(&dialogue.capabilities, trace)?, Some(Expect::Rcpt), trace)?;
        }
        let is_hopeless = self.recipients.any_refused() && !self.deliver_partially;
        // What is not answered yet can hold up a chunk, and DATA cannot be taken back.
        let waits = self.transfer.is_chunked && !self.is_one_flight;
        if self.asked < all.len() || !is_pipelined || is_hopeless || waits {
            return Ok(Step::Wait);
        }
        self.transfer.begin(dialogue, trace)
    }

    fn after_recipient(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        match (self.recipients.are_complete(), dialogue.due()) {
            (false, None) => {
                dialogue.check_silence(false, trace)?;
                Ok(self.ask(dialogue, trace)?)
            }
            (true, _) if !self.may_proceed() => Ok(Step::Done),
            // More are to be answered, the message is on its way already, or DATA is said.
            (_, Some(_)) => Ok(Step::Wait),
            (true, None) => {
                dialogue.check_silence(false, trace)?;
                Ok(self.transfer.begin(dialogue, trace)?)
            }
        }
    }

    /// Nobody or everybody, unless the site wants it otherwise; in any case somebody.
    fn may_proceed(&self) -> bool {
        self.recipients.any_accepted() && (self.deliver_partially || !self.recipients.any_refused())
    }
}

impl Script for Delivery<'_> {
    fn begin(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        dialogue.check_silence(false, trace)?;
        let Some(mail) = self.mail.take() else { return Ok(Step::Done) };
        dialogue.say(mail, Some(Expect::Mail), trace)?;
        match dialogue.capabilities.pipelining {
            true => Ok(self.ask(dialogue, trace)?),
            false => Ok(Step::Wait),
        }
    }

    fn hear(&mut self, heard: Heard, dialogue: &mut Dialogue, trace: &mut Trace) -> Result<Step, Ending> {
        let reply = &heard.reply;
        match heard.expect {
            Expect::Mail if reply.is_positive() && dialogue.due().is_some() => Ok(Step::Wait),
            Expect::Mail if reply.is_positive() => {
                dialogue.check_silence(false, trace)?;
                Ok(self.ask(dialogue, trace)?)
            }
            Expect::Mail if reply.is_negative() => Err(Ending::Refused(heard.reply, Stage::MailFrom)),
            Expect::Rcpt if reply.code() == 421 => Err(Ending::Refused(heard.reply, Stage::RcptTo)),
            Expect::Rcpt if !reply.is_intermediate() => {
                self.recipients.rcpt(heard.reply);
                self.after_recipient(dialogue, trace)
            }
            Expect::Data | Expect::Message => self.transfer.hear(heard, &mut self.recipients, dialogue, trace),
            expect => Err(dialogue.breach(expect, reply).into()),
        }
    }

    /// The goodbye leaves with the message's last octets, where the server takes several commands at once.
    fn message_sent(&mut self, dialogue: &mut Dialogue, trace: &mut Trace) {
        if dialogue.capabilities.pipelining && !self.stays {
            dialogue.quit(trace);
        }
    }
}
