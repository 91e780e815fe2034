//! A session with a relay: opened once, it carries messages one after the other, each in as few round trips as there
//! can be, or transactions that are said step by step while somebody waits for every reply (`-bs`).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::client::{
    Action, Capabilities, Channel, Content, Delivery, Dialogue, Ending, Expect, FLIGHT, Leftovers, MailFrom, Measure,
    Opening, RcptTo, Recipients, Replies, Run, Script, body, needs,
};
use super::line::Line;
use super::server::{Mail, Rcpt};
use crate::address::Address;
use crate::attempt::{Attempt, Trace};
use crate::config::relay::{Login, Relay, Smtp};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::message::repair::{self, Needs};
use crate::message::{MailObject, Message};
use crate::outcome::{Answer, Outcome, Stage};
use crate::reply::Reply;
use crate::wire::Connection;

/// How long it may take to bring a session to where another message may follow, once the outcome is known.
const SETTLING: Duration = Duration::from_secs(5);

/// How long the last octets (QUIT) may take to leave once the outcome is known.
const PARTING: Duration = Duration::from_millis(500);

/// An open session, the login done. Dropping it closes the connection without a word.
///
/// After an [`Ending`] or a 421 nothing more is to be said over it.
pub struct Session {
    relay: Arc<Relay>,
    connection: Connection,
    dialogue: Dialogue,
    /// What the message has to be like, after the last MAIL.
    needs: Needs,
    /// How many messages may still be submitted over it.
    left: u32,
}

impl Session {
    /// Connects to `relay`, whose way is `smtp`, greets and logs in, within its `connect_timeout`. `host_name` is the EHLO argument
    /// where the relay names none.
    ///
    /// # Errors
    /// Nobody answers, the server will not have us, or it cannot be believed.
    pub fn open(
        relay: &Arc<Relay>,
        smtp: &Smtp,
        login: Option<&Login>,
        host_name: &str,
        attempt: &mut Attempt,
    ) -> Result<Self, Ending> {
        attempt.within(relay.connect_timeout, |attempt| {
            let connection = Connection::open(relay, attempt)?;
            let mut opening = Opening::new(relay, smtp, login, host_name, channel(&connection));
            let dialogue = Dialogue::new(relay, smtp, login);
            let (relay, left) = (Arc::clone(relay), smtp.session_messages);
            let mut session = Self { relay, connection, dialogue, needs: Needs::default(), left };
            match session.run(&mut opening, None, attempt) {
                Ok(()) => Ok(session),
                Err(end) => {
                    session.quit(&mut attempt.trace);
                    Err(end)
                }
            }
        })
    }

    /// The relay at the other end.
    pub fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    /// What it offers, as far as it is to be used.
    pub fn capabilities(&self) -> &Capabilities {
        &self.dialogue.capabilities
    }

    /// When the server's certificate ends, where there is one.
    pub fn certificate_end(&self) -> Option<Timestamp> {
        self.connection.certificate_end()
    }

    /// Enters into the trace of a later transaction what the opening found out.
    pub fn describe(&self, trace: &mut Trace) {
        self.connection.describe(trace);
        trace.note("kept connection");
    }

    /// Whether another command would be understood: nothing has gone wrong, and the server said no 421.
    pub fn is_open(&self) -> bool {
        self.dialogue.may_quit
    }

    /// Whether another message may follow: as [`Session::is_open`], no reply is due, and it did not carry as many as it
    /// may (`session_messages`).
    pub fn is_reusable(&self) -> bool {
        self.is_open() && self.dialogue.due().is_none() && self.left > 0
    }

    /// Submits one message, and with `deliver_partially` also where some of its recipients are refused. With `stays`
    /// another one may follow where the session [allows](Session::is_reusable) it, else nothing but a goodbye.
    ///
    /// # Errors
    /// No reply was had, which is in doubt from the last octet on, or the message cannot go through this relay
    /// as it is.
    pub fn submit(
        &mut self,
        mail: MailObject<'_>,
        deliver_partially: bool,
        stays: bool,
        attempt: &mut Attempt,
    ) -> Result<Outcome, Failure> {
        self.left = self.left.saturating_sub(1);
        let stays = stays && self.left > 0;
        let result = self.deliver(mail, deliver_partially, stays, attempt);
        if !matches!(&result, Err(failure) if failure.kind == Kind::InDoubt) {
            attempt.hand_over.end();
        }
        self.dialogue.rest();
        if stays
            && let Ok(outcome) = &result
            && !outcome.is_accepted()
            && !self.is_chunk_unknown(outcome)
        {
            self.settle(attempt);
        }
        result
    }

    fn deliver(
        &mut self,
        MailObject { envelope, message }: MailObject<'_>,
        deliver_partially: bool,
        stays: bool,
        attempt: &mut Attempt,
    ) -> Result<Outcome, Failure> {
        self.needs = needs(envelope, repair::needs_utf8(message), self.capabilities())?;
        let adapted =
            adapted(message, self.needs, &mut attempt.trace).map_err(|failure| failure.at(Stage::MailFrom))?;
        let message = adapted.as_ref().unwrap_or(message);
        let (measure, trace) = (Measure::of(message), &mut attempt.trace);
        let delivery = Delivery::new(envelope, measure, self.needs, deliver_partially, &self.dialogue, trace)?;
        let mut delivery = delivery.and_stay(stays);
        match self.run(&mut delivery, Some(message), attempt) {
            Ok(()) => Ok(delivery.outcome(None)),
            Err(Ending::Refused(reply, stage)) => Ok(delivery.outcome(Some((&reply, stage)))),
            Err(Ending::Failed(failure)) => Err(failure),
        }
    }

    /// Ends a transaction that was refused, so that another one may begin, as far as the server still listens.
    fn settle(&mut self, attempt: &mut Attempt) {
        let is_heard = attempt.within(SETTLING, |attempt| {
            // DATA may be among what is not answered, and nothing is said into a message.
            let is_heard = self.dialogue.due().is_none() || self.run(&mut Leftovers, None, attempt).is_ok();
            is_heard && self.is_open() && self.reset(attempt).is_ok_and(|reply| reply.is_positive())
        });
        self.dialogue.may_quit &= is_heard;
    }

    /// Whether `result`, of the last message, says no more than that this session has come to its end: nobody has the
    /// message, and another session may take it.
    pub fn is_stale(&self, result: &Result<Outcome, Failure>, attempt: &Attempt) -> bool {
        let is_over = |answer: &Answer| answer.reply.as_ref().is_some_and(|reply| reply.code() == 421);
        match result {
            Ok(outcome) if outcome.is_accepted_for_some() => false,
            Ok(outcome) => outcome.answers.iter().any(is_over) || self.is_chunk_unknown(outcome),
            Err(failure) => matches!(failure.kind, Kind::Unavailable | Kind::Protocol) && !attempt.deadline.is_over(),
        }
    }

    /// Says MAIL as the caller did, as far as the relay can carry it.
    ///
    /// # Errors
    /// The relay cannot carry it, or no reply was had.
    pub fn mail(
        &mut self,
        reverse_path: Option<&Address>,
        mail: &Mail,
        attempt: &mut Attempt,
    ) -> Result<Reply, Ending> {
        let offered = self.capabilities();
        let Mail { ret, envid, .. } = mail;
        let command = MailFrom {
            reverse_path,
            size: mail.size,
            // The message is still to come and may hold anything; most callers do not know the parameter.
            body: Some(body(mail.eight_bit != Some(false))),
            utf8: mail.utf8,
            ret,
            envid,
        };
        let command = command.command(offered, &mut attempt.trace)?.to_string();
        self.needs =
            Needs { eight_bit: offered.eight_bit && mail.eight_bit != Some(false), utf8: offered.utf8 && mail.utf8 };
        self.ask(command, Expect::Mail, attempt)
    }

    /// Says RCPT for each of `recipients` as the caller did, as far as the relay can carry it; in one flight
    /// where it offers PIPELINING (RFC 2920). What came of each, in order, or why nothing did, as for
    /// [`Session::mail`]; nothing for those behind the end of the session.
    pub fn rcpt(&mut self, recipients: &[(&Address, &Rcpt)], attempt: &mut Attempt) -> Vec<Result<Reply, Ending>> {
        let mut results = Vec::with_capacity(recipients.len());
        for flight in recipients.chunks(if self.capabilities().pipelining { FLIGHT } else { 1 }) {
            if !self.is_open() {
                break;
            }
            let (mut commands, mut failures) = (Vec::with_capacity(flight.len()), Vec::with_capacity(flight.len()));
            for (forward_path, Rcpt { notify, original, .. }) in flight {
                let rcpt = RcptTo { forward_path, notify, original };
                let command = rcpt.command(self.capabilities(), &mut attempt.trace);
                failures.push(command.map(|command| commands.push((command.to_string(), Expect::Rcpt))).err());
            }
            let mut replies = Replies::to(commands);
            let end = self.run(&mut replies, None, attempt).err();
            let mut heard = replies.heard.into_iter().map(Ok).chain(end.map(Err));
            for failure in failures {
                match failure.map(|failure| Err(failure.into())).or_else(|| heard.next()) {
                    Some(result) => results.push(result),
                    None => break,
                }
            }
        }
        results
    }

    /// Says RSET: the transaction under way is forgotten.
    ///
    /// # Errors
    /// No reply was had.
    pub fn reset(&mut self, attempt: &mut Attempt) -> Result<Reply, Ending> {
        self.ask("RSET".to_owned(), Expect::Reset, attempt)
    }

    /// Hands the message over to the accepted ones of `recipients`.
    ///
    /// # Errors
    /// No reply was had, which is in doubt from the last octet on.
    pub fn message(
        &mut self,
        message: &Message,
        recipients: &mut Recipients<'_>,
        attempt: &mut Attempt,
    ) -> Result<Outcome, Failure> {
        let adapted = adapted(message, self.needs, &mut attempt.trace).map_err(|failure| failure.at(Stage::Message))?;
        let message = adapted.as_ref().unwrap_or(message);
        let mut content = Content::new(message.size(), message.holds_commands(), recipients, &self.dialogue);
        let result = self.run(&mut content, Some(message), attempt);
        self.dialogue.rest();
        if !matches!(&result, Err(Ending::Failed(failure)) if failure.kind == Kind::InDoubt) {
            attempt.hand_over.end();
        }
        // Whom the caller saw refused it chose to do without.
        match result {
            Ok(()) => Ok(recipients.outcome(None, true)),
            Err(Ending::Refused(reply, stage)) => Ok(recipients.outcome(Some((&reply, stage)), true)),
            Err(Ending::Failed(failure)) => Err(failure),
        }
    }

    /// Whether `outcome`, of the last message, says that BDAT is not known here after all. Then nobody has the
    /// message, and another session [without extensions](plain) takes it.
    ///
    /// This one does not, even where no QUIT went along: the reply is the same from a server that discarded the chunk
    /// and from one that reads its lines as commands, answers each of them and may do what it says (AUTH, QUIT, a line
    /// of the length that ends a session). How many replies are due nobody knows, so none could be told from the reply
    /// to what is said next.
    pub fn is_chunk_unknown(&self, outcome: &Outcome) -> bool {
        self.dialogue.is_chunk_unknown(outcome)
    }

    /// Says goodbye where that would be understood, and closes; its answer is not waited for.
    pub fn quit(mut self, trace: &mut Trace) {
        self.dialogue.quit(trace);
        let output = self.dialogue.take_output();
        self.connection.queue(&output);
        let _ = self.connection.flush(Deadline::after(PARTING));
    }

    /// Says one command and waits for its reply.
    fn ask(&mut self, command: String, expect: Expect, attempt: &mut Attempt) -> Result<Reply, Ending> {
        let mut replies = Replies::to(vec![(command, expect)]);
        self.run(&mut replies, None, attempt)?;
        // A script that ends well has heard what it waited for.
        replies
            .heard
            .pop()
            .ok_or_else(|| Failure::new(Kind::Software, self.relay.place.to_string(), "no reply was waited for").into())
    }

    /// Carries out `script`; `message` is what it may want to be sent.
    fn run(
        &mut self,
        script: &mut impl Script,
        message: Option<&Message>,
        attempt: &mut Attempt,
    ) -> Result<(), Ending> {
        // What goes wrong on the way, such as a handshake, breaks the dialogue off as well.
        self.carry_out(script, message, attempt).inspect_err(|end| self.dialogue.break_off(end))
    }

    fn carry_out(
        &mut self,
        script: &mut impl Script,
        message: Option<&Message>,
        attempt: &mut Attempt,
    ) -> Result<(), Ending> {
        let Self { relay, connection, dialogue, .. } = self;
        let mut run = Run::begin(script, dialogue, &mut attempt.trace);
        loop {
            match run.next_action() {
                Action::Send(bytes) => connection.queue(&bytes),
                Action::StartTls => {
                    connection.start_tls(relay, attempt)?;
                    run.tls_started(channel(connection), &mut attempt.trace);
                }
                Action::SendMessage(framing) => {
                    let Some(message) = message else { continue };
                    if (Line { connection, run: &mut run, attempt }).send(message, framing)? {
                        attempt.hand_over.begin(&relay.name).inspect_err(|_| connection.give_up())?;
                        run.message_sent(&mut attempt.trace);
                    }
                }
                Action::Read => {
                    // What makes the hand-over durable takes its time while the server takes its own.
                    if message.is_some()
                        && attempt.hand_over.is_mark_due()
                        && connection.flush(attempt.deadline).is_ok()
                    {
                        attempt.hand_over.prepare(&relay.name)?;
                    }
                    (Line { connection, run: &mut run, attempt }).read();
                }
                Action::Done(result) => return result,
            }
        }
    }
}

/// How to speak `smtp` to who does not know BDAT after all: one command at a time, and with DATA.
pub fn plain(smtp: &Smtp) -> Smtp {
    Smtp { chunking: false, pipelining: false, ..smtp.clone() }
}

/// Tells that the message, whose chunk came to `outcome`, goes out once more. Nobody has it.
pub fn fall_back(outcome: &Outcome, attempt: &mut Attempt) {
    let reply = outcome.decisive().map(|(_, reply)| reply.to_string()).unwrap_or_default();
    attempt.warn(format!("BDAT was refused ({reply}), so the message was sent again with DATA: set chunking = false"));
    attempt.hand_over.again();
}

fn channel(connection: &Connection) -> Channel {
    Channel { tls: connection.is_tls(), local: connection.is_local() }
}

/// The message as a server needs it, where that is another one; what is changed is told to the trace.
fn adapted(message: &Message, needs: Needs, trace: &mut Trace) -> Result<Option<Message>, Failure> {
    let adapted = repair::adapt(message, needs)?;
    let repairs = adapted.as_ref().unwrap_or(message).repairs();
    trace.repairs.extend_from_slice(repairs.get(message.repairs().len()..).unwrap_or_default());
    Ok(adapted)
}
