//! A session with a relay that is kept: opened once, it carries several transactions, each said step by
//! step while somebody waits for every reply (`-bs`).

use std::fmt::Display;
use std::sync::Arc;

use lettre::transport::smtp::commands;

use super::client::{
    Capabilities, Dialogue, End, Expect, Framing, Heard, Loss, Opening, Progress, Recipients, Upload, sayable,
};
use super::line::{Line, Listener};
use super::server::{Mail, Rcpt};
use super::{PARTING, adapt, channel, passing};
use crate::address::Address;
use crate::attempt::{Attempt, Trace};
use crate::config::relay::{Login, Protocol, Relay};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::message::Message;
use crate::message::repair::Needs;
use crate::outcome::{Outcome, Stage};
use crate::reply::Reply;
use crate::wire::Connection;

/// How many RCPT commands go out before their replies are read.
const FLIGHT: usize = 500;

/// An open session, the login done. Dropping it closes the connection without a word.
///
/// After an [`End`] or a 421 nothing more is to be said over it.
pub struct Session {
    relay: Arc<Relay>,
    connection: Connection,
    dialogue: Dialogue,
    /// What the message has to be like, after the last MAIL.
    needs: Needs,
    peer: Option<String>,
    tls: Option<String>,
}

/// Waits for one reply.
struct Waiting<'a> {
    dialogue: &'a mut Dialogue,
    heard: Option<Result<Heard, Failure>>,
}

impl Listener for Waiting<'_> {
    fn receive(&mut self, bytes: &[u8], trace: &mut Trace) {
        self.dialogue.push(bytes);
        if self.heard.is_none() {
            self.heard = self.dialogue.hear(trace).transpose();
        }
    }

    fn lost(&mut self, loss: &Loss, _: &mut Trace) {
        if self.heard.is_none() {
            self.heard = Some(Err(self.dialogue.lost(loss)));
        }
    }

    fn message_withheld(&mut self) {
        self.dialogue.withheld();
    }

    fn is_done(&self) -> bool {
        self.heard.is_some()
    }
}

impl Session {
    /// Connects to `relay`, greets and logs in.
    ///
    /// # Errors
    /// Nobody answers, the server will not have us, or it cannot be believed.
    pub fn open(
        relay: &Arc<Relay>,
        login: Option<&Login>,
        host_name: &str,
        attempt: &mut Attempt,
    ) -> Result<Self, End> {
        attempt.within(relay.connect_timeout, |attempt| Self::open_in_time(relay, login, host_name, attempt))
    }

    fn open_in_time(
        relay: &Arc<Relay>,
        login: Option<&Login>,
        host_name: &str,
        attempt: &mut Attempt,
    ) -> Result<Self, End> {
        let connection = Connection::open(relay, attempt)?;
        let mut opening = Opening::new(relay, login, host_name, channel(&connection));
        let dialogue = Dialogue::new(relay, login);
        let mut session =
            Self { relay: Arc::clone(relay), connection, dialogue, needs: Needs::default(), peer: None, tls: None };
        match session.log_in(&mut opening, attempt) {
            Ok(()) => {
                session.peer.clone_from(&attempt.trace.peer);
                session.tls.clone_from(&attempt.trace.tls);
                Ok(session)
            }
            Err(end) => {
                if matches!(end, End::Refused(..)) {
                    session.quit(&mut attempt.trace);
                }
                Err(end)
            }
        }
    }

    fn log_in(&mut self, opening: &mut Opening<'_>, attempt: &mut Attempt) -> Result<(), End> {
        loop {
            let heard = self.hear(attempt)?;
            match opening.hear(&heard, &mut self.dialogue, &mut attempt.trace)? {
                Progress::Waiting => {}
                Progress::Ready => return Ok(()),
                Progress::Handshake => {
                    self.connection.start_tls(&self.relay, attempt)?;
                    opening.tls_started(channel(&self.connection), &mut self.dialogue, &mut attempt.trace)?;
                }
            }
        }
    }

    /// The relay at the other end.
    pub fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    /// What it offers.
    pub fn capabilities(&self) -> &Capabilities {
        &self.dialogue.capabilities
    }

    /// Enters into the trace of a later transaction what the opening found out.
    pub fn describe(&self, trace: &mut Trace) {
        trace.peer.clone_from(&self.peer);
        trace.tls.clone_from(&self.tls);
        trace.note("kept connection");
    }

    /// Whether another command would be understood: nothing has gone wrong, and the server said no 421.
    pub fn is_open(&self) -> bool {
        self.dialogue.may_quit
    }

    /// Says MAIL as the caller did, as far as the relay can carry it.
    ///
    /// # Errors
    /// The relay cannot carry it, or no reply was had.
    pub fn mail(&mut self, reverse_path: Option<&Address>, mail: &Mail, attempt: &mut Attempt) -> Result<Reply, End> {
        let parameters = passing::mail(reverse_path, mail, self.capabilities(), &mut attempt.trace)?;
        self.needs = passing::needs(mail, self.capabilities());
        let reverse_path = reverse_path.map(sayable).transpose()?;
        self.command(commands::Mail::new(reverse_path, parameters), Expect::Mail, attempt)
    }

    /// Says RCPT for each of `recipients` as the caller did, as far as the relay can carry it; in one flight
    /// where it offers PIPELINING (RFC 2920). What came of each, in order, or why nothing did, as for
    /// [`Session::mail`]; nothing for those behind the end of the session.
    pub fn rcpt(&mut self, recipients: &[(&Address, &Rcpt)], attempt: &mut Attempt) -> Vec<Result<Reply, End>> {
        let mut results = Vec::with_capacity(recipients.len());
        for flight in recipients.chunks(if self.capabilities().pipelining { FLIGHT } else { 1 }) {
            if !self.is_open() {
                break;
            }
            if let Err(end) = self.dialogue.check_silence(false, &mut attempt.trace) {
                self.dialogue.may_quit = false;
                results.push(Err(end));
                break;
            }
            let said: Vec<_> = flight
                .iter()
                .map(|(forward_path, rcpt)| self.say_rcpt(forward_path, rcpt, &mut attempt.trace))
                .collect();
            for said in said {
                let result = match said {
                    Ok(()) if self.is_open() => self.answer(Expect::Rcpt, attempt),
                    Ok(()) => break,
                    Err(failure) => Err(failure.into()),
                };
                results.push(result);
            }
        }
        results
    }

    fn say_rcpt(&mut self, forward_path: &Address, rcpt: &Rcpt, trace: &mut Trace) -> Result<(), Failure> {
        let parameters = passing::rcpt(forward_path, rcpt, self.capabilities(), trace)?;
        self.dialogue.say(commands::Rcpt::new(sayable(forward_path)?, parameters), Some(Expect::Rcpt), trace)
    }

    /// Says RSET: the transaction under way is forgotten.
    ///
    /// # Errors
    /// No reply was had.
    pub fn reset(&mut self, attempt: &mut Attempt) -> Result<Reply, End> {
        self.command("RSET", Expect::Reset, attempt)
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
        let result = self.hand_over(message, recipients, attempt);
        if !matches!(&result, Err(End::Failed(failure)) if failure.kind == Kind::InDoubt) {
            attempt.hand_over.end();
        }
        self.dialogue.upload = Upload::Ahead;
        // Whom the caller saw refused it chose to do without.
        match result {
            Ok(()) => Ok(recipients.outcome(None, true)),
            Err(End::Refused(reply, stage)) => Ok(recipients.outcome(Some((&reply, stage)), true)),
            Err(End::Failed(failure)) => {
                // A message that does not fit this server was not begun.
                self.dialogue.may_quit &= failure.kind == Kind::Data;
                Err(failure)
            }
        }
    }

    fn hand_over(
        &mut self,
        message: &Message,
        recipients: &mut Recipients<'_>,
        attempt: &mut Attempt,
    ) -> Result<(), End> {
        let adapted = adapt(message, self.needs, &mut attempt.trace).map_err(|failure| failure.at(Stage::Message))?;
        let message = adapted.as_ref().unwrap_or(message);
        let chunked = self.dialogue.capabilities.chunking && self.relay.chunking;
        if !chunked {
            let reply = self.command(commands::Data, Expect::Data, attempt)?;
            if !reply.is_intermediate() {
                return Err(End::Refused(reply, Stage::Data));
            }
        }
        self.dialogue.upload(message.size(), chunked, &mut attempt.trace)?;
        let output = self.dialogue.take_output();
        self.connection.queue(&output);
        self.upload(message, if chunked { Framing::Chunk } else { Framing::Dots }, attempt)?;
        loop {
            let reply = self.hear(attempt)?.reply;
            if reply.code() == 421 {
                return Err(End::Refused(reply, Stage::Message));
            }
            if reply.is_intermediate() {
                return Err(self.dialogue.breach(Expect::Message, &reply).into());
            }
            if self.relay.protocol != Protocol::Lmtp {
                recipients.message(&reply);
                return Ok(());
            }
            if !recipients.message_for_next(reply) {
                return Ok(());
            }
            self.dialogue.expect_next(Expect::Message);
        }
    }

    /// Sends the message's octets. A final reply that comes early is believed when it is a refusal.
    fn upload(&mut self, message: &Message, framing: Framing, attempt: &mut Attempt) -> Result<(), End> {
        let mut waiting = Waiting { dialogue: &mut self.dialogue, heard: None };
        let mut line = Line { connection: &mut self.connection, listener: &mut waiting, attempt };
        if line.send(message, framing)? {
            attempt.hand_over.begin();
            self.dialogue.uploaded();
            return Ok(());
        }
        Err(match waiting.heard {
            Some(Ok(heard)) if is_negative(&heard.reply) => End::Refused(heard.reply, Stage::Message),
            Some(Ok(heard)) => self.dialogue.breach(Expect::Message, &heard.reply).into(),
            Some(Err(failure)) => failure.into(),
            // Sending stops only because something was heard.
            None => self.dialogue.lost(&Loss::Closed).into(),
        })
    }

    /// Says goodbye and closes; its answer is not waited for.
    pub fn quit(mut self, trace: &mut Trace) {
        self.dialogue.close(true, trace);
        let output = self.dialogue.take_output();
        self.connection.queue(&output);
        let _ = self.connection.flush(Deadline::after(PARTING));
    }

    /// Says `command` and waits for its reply; an intermediate one is an answer to DATA only.
    fn command(&mut self, command: impl Display, expect: Expect, attempt: &mut Attempt) -> Result<Reply, End> {
        let said = self.dialogue.check_silence(false, &mut attempt.trace).and_then(|()| {
            self.dialogue.say(command, Some(expect), &mut attempt.trace)?;
            Ok(())
        });
        self.dialogue.may_quit &= said.is_ok();
        said.and_then(|()| self.answer(expect, attempt))
    }

    /// Waits for the reply to the command that was said as `expect`.
    fn answer(&mut self, expect: Expect, attempt: &mut Attempt) -> Result<Reply, End> {
        let result = self.hear(attempt).and_then(|heard| {
            let is_intermediate = heard.reply.is_intermediate();
            match is_negative(&heard.reply) || is_intermediate == (expect == Expect::Data) {
                true => Ok(heard.reply),
                false => Err(self.dialogue.breach(expect, &heard.reply)),
            }
        });
        self.dialogue.may_quit &= result.is_ok();
        Ok(result?)
    }

    /// Waits for the reply that is due.
    fn hear(&mut self, attempt: &mut Attempt) -> Result<Heard, Failure> {
        let output = self.dialogue.take_output();
        self.connection.queue(&output);
        let heard = self.dialogue.hear(&mut attempt.trace).transpose();
        let mut waiting = Waiting { dialogue: &mut self.dialogue, heard };
        loop {
            if let Some(heard) = waiting.heard.take() {
                return heard;
            }
            Line { connection: &mut self.connection, listener: &mut waiting, attempt }.read();
        }
    }
}

fn is_negative(reply: &Reply) -> bool {
    reply.is_transient() || reply.is_permanent()
}
