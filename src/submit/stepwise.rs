//! One message passed on step by step while its caller waits for every reply (`-bs`): the counterpart of
//! [`submit`] for a caller that speaks SMTP itself.

mod names;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

pub use self::names::Name;
use crate::address::Address;
use crate::attempt::Attempt;
use crate::breaker::Event;
use crate::config::relay::{Relay, Smtp};
use crate::config::site::{InDoubt, Terms};
use crate::deadline::Deadline;
use crate::envelope::{Dsn, Envelope};
use crate::failure::{Failure, Kind};
use crate::hint;
use crate::message::{MailObject, Message};
use crate::oauth;
use crate::outcome::{Outcome, Stage};
use crate::reply::{Enhanced, Reply};
use crate::secret::Secret;
use crate::smtp::server::{Mail, Rcpt, Told};
use crate::smtp::{self, Recipients, Session};
use crate::submit::walk::Walk;
use crate::submit::{self, Manner, Submission, Upstream, key};

/// How long the goodbye to a transaction that was given up may take.
const RESET: Duration = Duration::from_secs(5);

/// What became of one message.
pub struct Finished {
    /// What the relays said.
    pub submission: Submission,
    /// The relays of its route, in order.
    pub route: Vec<Arc<Relay>>,
    /// Reverse-path, and everybody who was asked for.
    pub envelope: Envelope,
    /// Whom the caller saw refused, or taken back with a name of which one was.
    pub refused: Vec<Address>,
    /// What the caller is told.
    pub answer: Told,
}

/// One message under way: MAIL was accepted.
pub struct Transaction<'a> {
    walk: Walk<'a>,
    reverse_path: Option<Address>,
    mail: Mail,
    recipients: Recipients<'static>,
    /// How the caller said each of them.
    said: Vec<Rcpt>,
    /// Whom the relay does not take now gets the message later: its caller hears of no transient refusal before the dot.
    keeps: bool,
    /// Why the relay can be asked nothing more.
    broken: Option<Failure>,
    /// The relay said 421.
    closing: Option<Reply>,
    /// The route depends on the message, so no relay is asked before the dot.
    is_collected: bool,
}

impl<'a> Transaction<'a> {
    /// Says MAIL to the first relay of the route that takes it. The kept session is used where it leads
    /// there; one that has gone meanwhile is opened anew.
    ///
    /// # Errors
    /// No relay takes it: what each of them said.
    pub fn begin(
        manner: Manner<'a>,
        reverse_path: Option<Address>,
        mail: Mail,
        upstream: &mut Upstream,
    ) -> Result<(Self, Reply), Box<Finished>> {
        let mut this = Self::new(Walk::begin(reporting(manner)), reverse_path, mail);
        loop {
            let relay = Arc::clone(this.walk.relay());
            let opened = match this.walk.look() {
                Ok(()) => this.timed(this.walk.share(), |this| this.open(&relay, upstream)),
                Err(failure) => Err(smtp::Ending::Failed(failure)),
            };
            let result = match opened {
                Ok(reply) if reply.is_positive() => {
                    if this.is_stepwise() {
                        this.walk.tell(Event::Works);
                    }
                    return Ok((this, reply));
                }
                Ok(reply) | Err(smtp::Ending::Refused(reply, Stage::MailFrom)) => {
                    Ok(this.refusal_of_all(&reply, Stage::MailFrom))
                }
                Err(smtp::Ending::Refused(reply, stage)) => Ok(this.refusal_of_all(&reply, stage)),
                Err(smtp::Ending::Failed(failure)) => Err(failure),
            };
            if !this.walk.close(result) {
                return Err(Box::new(this.end()));
            }
        }
    }

    /// Takes MAIL for a message whose route depends on what it will be. Everybody is accepted until the dot; then
    /// [`Transaction::lead`] names the route, and the reply to the dot is that of its relays.
    pub fn collect(manner: Manner<'a>, reverse_path: Option<Address>, mail: Mail) -> (Self, Reply) {
        let this = Self { is_collected: true, ..Self::new(Walk::stand(reporting(manner)), reverse_path, mail) };
        (this, accepted(0, "sender ok"))
    }

    fn new(walk: Walk<'a>, reverse_path: Option<Address>, mail: Mail) -> Self {
        Self {
            walk,
            reverse_path,
            mail,
            recipients: Recipients::default(),
            said: Vec::new(),
            keeps: false,
            broken: None,
            closing: None,
            is_collected: false,
        }
    }

    /// Whether its route is still to be named.
    pub fn is_collected(&self) -> bool {
        self.is_collected
    }

    /// The same for a site that keeps what no relay takes now, where it `is_kept`: most callers give a message up whose
    /// recipient is refused, whatever the reply.
    pub fn keeping(self, is_kept: bool) -> Self {
        Self { keeps: is_kept, ..self }
    }

    /// Names the route of a message that was collected.
    pub fn lead(&mut self, route: Vec<Arc<Relay>>) {
        self.walk.lead(route);
    }

    /// Has a message that was collected go to these instead of those who were asked for.
    pub fn redirect(&mut self, forward_paths: &[Address]) {
        self.recipients = Recipients::default();
        for address in forward_paths {
            self.recipients.add(address.clone(), accepted(5, "recipient ok"));
        }
    }

    /// Whether the relay in use is asked step by step; another one gets everything at once at the dot.
    fn is_stepwise(&self) -> bool {
        !self.is_collected && self.walk.relay().smtp().is_some()
    }

    fn open(&mut self, relay: &Arc<Relay>, upstream: &mut Upstream) -> Result<Reply, smtp::Ending> {
        let Some(smtp) = relay.smtp() else { return Ok(accepted(0, "sender ok")) };
        if let Some(mut session) = upstream.take(relay) {
            session.describe(&mut self.walk.attempt.trace);
            let result = session.mail(self.reverse_path.as_ref(), &self.mail, &mut self.walk.attempt);
            if session.is_open() {
                upstream.keep(session);
                return result;
            }
            // It had gone while nothing was said. Nobody has anything yet, so a new one is asked.
        }
        let (session, result) = self.open_anew(relay, &upstream.manner_with(relay, smtp))?;
        upstream.keep(session);
        result
    }

    /// Opens another session with `relay`, whose way is `smtp`, and says MAIL.
    fn open_anew(
        &mut self,
        relay: &Arc<Relay>,
        smtp: &Smtp,
    ) -> Result<(Session, Result<Reply, smtp::Ending>), smtp::Ending> {
        if let Some(expiry) = relay.expiry() {
            self.walk.attempt.warn(expiry);
        }
        let open = |token: Option<&Secret>, attempt: &mut Attempt| {
            let login = relay.login(token, attempt)?;
            Session::open(relay, smtp, login.as_ref(), self.walk.manner.host_name, attempt)
        };
        let is_refused = |opened: &Result<_, _>| match opened {
            Err(smtp::Ending::Refused(reply, Stage::Auth)) => reply.is_authentication(),
            _ => false,
        };
        let mut session = oauth::with_access(relay, &mut self.walk.attempt, open, is_refused)??;
        let result = session.mail(self.reverse_path.as_ref(), &self.mail, &mut self.walk.attempt);
        Ok((session, result))
    }

    /// Hands over the message: what came of it, with the envelope it had.
    pub fn send(self, message: &Message, upstream: &mut Upstream) -> Finished {
        let refused = self.recipients.refused(self.keeps);
        let is_part = self.keeps && self.recipients.any_deferred();
        let end = self.hand_over(message, upstream);
        // What holds unless those who were deferred are kept: they were told nothing yet.
        let answer = if is_part { answer_for_part(&end, &refused) } else { end.answer };
        Finished { refused, answer, ..end }
    }

    /// Those who are to have the message, now or later, each once.
    pub fn asked(&self) -> Vec<Address> {
        let refused = self.recipients.refused(self.keeps);
        let mut known: HashSet<&Address> = refused.iter().collect();
        self.recipients.addresses().iter().filter(|address| known.insert(address)).cloned().collect()
    }

    fn hand_over(mut self, message: &Message, upstream: &mut Upstream) -> Finished {
        let envelope = self.envelope();
        if !self.is_stepwise() {
            let route = self.walk.manner.route.to_vec();
            let submission = submit::along(MailObject { envelope: &envelope, message }, self.walk, upstream);
            return ended(submission, route, envelope);
        }
        if self.broken.is_none() && self.closing.is_none() && self.recipients.accepted().next().is_none() {
            // Everybody comes later.
            self.leave(upstream);
            let outcome = self.recipients.outcome(None, true);
            self.walk.settle(Ok(outcome));
            return self.end();
        }
        let asked = Envelope { forward_paths: self.asked(), ..envelope.clone() };
        if let Err(failure) = self.walk.admit(MailObject { envelope: &asked, message }) {
            self.leave(upstream);
            self.walk.settle(Err(failure));
            return self.end();
        }
        self.walk.give_key(MailObject { envelope: &envelope, message });
        let relay = Arc::clone(self.walk.relay());
        let keyed = key::carried(&relay, message, &mut self.walk.attempt);
        let mut result = self.send_once(keyed.as_ref().unwrap_or(message), upstream);
        let result = loop {
            if let Some(result) = self.walk.judge(result) {
                break result;
            }
            let keyed = key::carried(&relay, message, &mut self.walk.attempt);
            result = match relay.smtp() {
                Some(smtp) => self.send_in_another_session(smtp, keyed.as_ref().unwrap_or(message), upstream),
                None => Err(self.gone()),
            };
        };
        self.walk.settle(result.map(told));
        self.end()
    }

    /// Hands the message over in the session in which its recipients were named.
    fn send_once(&mut self, message: &Message, upstream: &mut Upstream) -> Result<Outcome, Failure> {
        match (self.broken.take(), upstream.take(&Arc::clone(self.walk.relay()))) {
            (Some(failure), _) => Err(failure),
            (None, Some(mut session)) => {
                let result = self.timed(self.walk.left(), |this| {
                    session.message(message, &mut this.recipients, &mut this.walk.attempt)
                });
                match result {
                    Ok(outcome) if session.is_chunk_unknown(&outcome) => self.send_again(message, &outcome, upstream),
                    Err(failure) if session.is_open() => {
                        session.quit(&mut self.walk.attempt.trace);
                        Err(failure)
                    }
                    result => {
                        upstream.keep(session);
                        result
                    }
                }
            }
            (None, None) => match self.closing.take() {
                Some(reply) => Ok(self.recipients.outcome(Some((&reply, Stage::Data)), true)),
                None => Err(self.gone()),
            },
        }
    }

    /// Hands the message over in another session, without the extension that turned out not to be known.
    fn send_again(
        &mut self,
        message: &Message,
        outcome: &Outcome,
        upstream: &mut Upstream,
    ) -> Result<Outcome, Failure> {
        let relay = Arc::clone(self.walk.relay());
        let Some(smtp) = relay.smtp() else { return Err(self.gone()) };
        smtp::fall_back(outcome, &mut self.walk.attempt);
        upstream.note_plain(&relay);
        self.send_in_another_session(smtp, message, upstream)
    }

    /// Hands the message over in another session with the relay, whose way is `smtp`.
    fn send_in_another_session(
        &mut self,
        smtp: &Smtp,
        message: &Message,
        upstream: &mut Upstream,
    ) -> Result<Outcome, Failure> {
        let relay = Arc::clone(self.walk.relay());
        self.recipients.reopen();
        let result = self.timed(self.walk.left(), |this| {
            let (mut session, mail) = this.open_anew(&relay, &upstream.manner_with(&relay, smtp))?;
            let mail = mail?;
            if !mail.is_positive() {
                return Err(smtp::Ending::Refused(mail, Stage::MailFrom));
            }
            this.name_again(&mut session)?;
            let result = session.message(message, &mut this.recipients, &mut this.walk.attempt);
            upstream.keep(session);
            Ok(result?)
        });
        match result {
            Ok(outcome) => Ok(outcome),
            Err(smtp::Ending::Refused(reply, stage)) => Ok(self.recipients.outcome(Some((&reply, stage)), true)),
            Err(smtp::Ending::Failed(failure)) => Err(failure),
        }
    }

    /// The caller has given up, or goes on to another message: what was refused, if anything was.
    pub fn abandon(mut self, upstream: &mut Upstream) -> Option<Finished> {
        if self.is_stepwise() {
            self.leave(upstream);
        }
        let result = match self.broken.take() {
            Some(failure) => Err(failure),
            None if self.recipients.any_refused() => {
                let mut outcome = self.recipients.outcome(None, true);
                // Of the others there is nothing to tell.
                outcome.answers.retain(|answer| answer.reply.is_some());
                Ok(outcome)
            }
            None => {
                self.walk.tell(Event::Undecided);
                return None;
            }
        };
        self.walk.settle(result);
        Some(self.end())
    }

    /// Has the relay forget the transaction, for the session to be used again.
    fn leave(&mut self, upstream: &mut Upstream) {
        let Some(mut session) = upstream.take(&Arc::clone(self.walk.relay())) else { return };
        self.walk.attempt.deadline = Deadline::after(RESET);
        if session.reset(&mut self.walk.attempt).is_ok_and(|reply| reply.is_positive()) {
            upstream.keep(session);
        } else {
            session.quit(&mut self.walk.attempt.trace);
        }
    }

    /// Reverse-path and forward-paths so far.
    pub fn envelope(&self) -> Envelope {
        let forward_paths = self.recipients.addresses().to_vec();
        let mut dsn = Dsn { ret: self.mail.ret.clone(), envid: self.mail.envid.clone(), ..Dsn::default() };
        for (recipient, Rcpt { notify, original, .. }) in forward_paths.iter().zip(&self.said) {
            dsn.ask(recipient, notify, original);
        }
        Envelope { reverse_path: self.reverse_path.clone(), forward_paths, dsn }
    }

    /// Why the relay can be asked nothing more.
    fn gone(&self) -> Failure {
        if let Some(failure) = &self.broken {
            return failure.clone();
        }
        let why = match &self.closing {
            Some(reply) => format!("said \"{reply}\" and closed the session"),
            None => "the session is over".to_owned(),
        };
        Failure::new(Kind::Unavailable, self.walk.relay().place.to_string(), why).at(Stage::RcptTo)
    }

    /// Does `work` within `span`, and counts its time against the deadline.
    fn timed<T>(&mut self, span: Duration, work: impl FnOnce(&mut Self) -> T) -> T {
        self.walk.start(span);
        let result = work(self);
        self.walk.stop();
        result
    }

    fn end(self) -> Finished {
        let envelope = self.envelope();
        let route = self.walk.manner.route.to_vec();
        ended(self.walk.end(), route, envelope)
    }

    /// The refusal of a message whose recipients are not known yet. An outcome has one answer at least;
    /// where it concerns everybody nobody reads whose it is.
    fn refusal_of_all(&self, reply: &Reply, stage: Stage) -> Outcome {
        let stand_in = self.reverse_path.clone().unwrap_or_else(|| Address::new_dangerous("postmaster", "localhost"));
        Outcome::same_for_all(&[stand_in], reply, stage)
    }
}

/// A message in doubt is the caller's to judge, who sees the reply.
fn reporting(manner: Manner<'_>) -> Manner<'_> {
    Manner { terms: Terms { in_doubt: InDoubt::Report, ..manner.terms }, ..manner }
}

fn ended(submission: Submission, route: Vec<Arc<Relay>>, envelope: Envelope) -> Finished {
    let answer = answer(&submission);
    Finished { submission, route, envelope, refused: Vec::new(), answer }
}

/// Whom the caller saw refused it chose to do without; of the others each one counts, so a server that took
/// the message for some of them only (LMTP) leaves it in doubt.
fn told(mut outcome: Outcome) -> Outcome {
    let asked = || outcome.answers.iter().filter(|answer| answer.stage != Stage::RcptTo);
    let is_positive = |answer: &crate::outcome::Answer| answer.reply.as_ref().is_some_and(Reply::is_positive);
    outcome.partial_chosen = !asked().any(is_positive) || asked().all(is_positive);
    outcome
}

/// What the caller is told where some were deferred, and nobody sends to them later: without them, and those it saw
/// `refused`, everybody may have been accepted.
fn answer_for_part(end: &Finished, refused: &[Address]) -> Told {
    let decisive = end.submission.decisive();
    let Ok(outcome) = &decisive.result else { return end.answer.clone() };
    let mut rest = outcome.clone();
    rest.answers.retain(|answer| !refused.contains(&answer.recipient));
    match rest.is_accepted_for_some() {
        true => accepted_for_some(),
        false => rest.decisive().map_or_else(|| end.answer.clone(), |(_, reply)| reply.clone().into()),
    }
}

fn accepted_for_some() -> Told {
    Reply::own(554, (5, 4, 2), "accepted for some recipients only, do not send it again to all").into()
}

/// What the caller is told: of those it has not seen refused yet, as far as there are any.
fn answer(submission: &Submission) -> Told {
    let decisive = submission.decisive();
    let outcome = match &decisive.result {
        Err(failure) => return failure.into(),
        Ok(outcome) if outcome.is_forced_partial() => return accepted_for_some(),
        Ok(outcome) => outcome,
    };
    let mut late = outcome.clone();
    late.answers.retain(|answer| answer.stage > Stage::RcptTo);
    let told = late.decisive().or_else(|| outcome.decisive());
    match told {
        Some((answer, reply)) => {
            let hint = hint::for_reply(reply, answer.stage, &decisive.relay).filter(|_| !reply.is_positive());
            Told { hint, ..reply.clone().into() }
        }
        None => Reply::own(451, (4, 3, 0), "the relay gave no reply").into(),
    }
}

fn accepted(detail: u16, text: &str) -> Reply {
    Reply::new(250, Some(Enhanced::new(2, 1, detail)), text)
}
