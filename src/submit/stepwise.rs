//! One message passed on step by step while its caller waits for every reply (`-bs`): the counterpart of
//! [`submit`] for a caller that speaks SMTP itself.

mod names;
mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::names::Name;
pub use self::upstream::Upstream;
use crate::address::Address;
use crate::attempt::Attempt;
use crate::config::relay::{Protocol, Relay};
use crate::config::site::Terms;
use crate::deadline::Deadline;
use crate::envelope::{Dsn, Envelope};
use crate::failure::{Failure, Kind};
use crate::hint;
use crate::message::{MailObject, Message};
use crate::oauth;
use crate::outcome::{Outcome, Stage};
use crate::reply::{Enhanced, Reply};
use crate::secret::Secret;
use crate::smtp::server::{Answer, Mail, Rcpt};
use crate::smtp::{self, Recipients, Session};
use crate::submit::{self, Manner, Submission, Try, extra_time, is_next_relay_due};

/// How long the goodbye to a transaction that was given up may take.
const RESET: Duration = Duration::from_secs(5);

/// What became of one message.
pub struct End {
    /// What the relays said.
    pub submission: Submission,
    /// Reverse-path, and everybody who was asked for.
    pub envelope: Envelope,
    /// What the caller is told.
    pub answer: Answer,
}

/// One message under way: MAIL was accepted.
pub struct Transaction<'a> {
    manner: Manner<'a>,
    reverse_path: Option<Address>,
    mail: Mail,
    recipients: Recipients<'static>,
    /// How the caller said each of them.
    said: Vec<Rcpt>,
    /// NOTIFY of the last recipient, for a relay that takes everything at once.
    notify: Option<String>,
    /// The relay in use, by its place in the route.
    relay: usize,
    /// The tries before it.
    tries: Vec<Try>,
    /// The one under way.
    attempt: Attempt,
    /// Spent on this relay.
    took: Duration,
    /// What is left of the deadline: the caller's time does not count.
    left: Duration,
    /// Why the relay can be asked nothing more.
    broken: Option<Failure>,
    /// The relay said 421.
    closing: Option<Reply>,
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
    ) -> Result<(Self, Reply), Box<End>> {
        let left = manner.terms.deadline;
        let mut this = Self {
            attempt: Attempt::new(Deadline::after(left)),
            manner,
            reverse_path,
            mail,
            recipients: Recipients::default(),
            said: Vec::new(),
            notify: None,
            relay: 0,
            tries: Vec::new(),
            took: Duration::ZERO,
            left,
            broken: None,
            closing: None,
        };
        loop {
            let relay = Arc::clone(this.current());
            let is_last = this.relay + 1 == this.manner.route.len();
            let share = if is_last { this.left } else { this.left / 2 };
            this.attempt = this.manner.begin(&relay, Deadline::after(share));
            this.took = Duration::ZERO;
            let result = match this.timed(share, |this| this.open(&relay, upstream)) {
                Ok(reply) if reply.is_positive() => return Ok((this, reply)),
                Ok(reply) | Err(smtp::End::Refused(reply, Stage::MailFrom)) => {
                    Ok(this.refusal_of_all(&reply, Stage::MailFrom))
                }
                Err(smtp::End::Refused(reply, stage)) => Ok(this.refusal_of_all(&reply, stage)),
                Err(smtp::End::Failed(failure)) => Err(failure),
            };
            let is_settled = is_last || !is_next_relay_due(&result, false);
            this.close_try(result);
            if is_settled {
                return Err(Box::new(this.end()));
            }
            this.relay += 1;
        }
    }

    fn current(&self) -> &Arc<Relay> {
        &self.manner.route[self.relay]
    }

    /// Whether the relay in use is asked step by step; another one gets everything at once at the dot.
    fn is_stepwise(&self) -> bool {
        self.current().api.is_none() && self.current().protocol != Protocol::Null
    }

    fn open(&mut self, relay: &Arc<Relay>, upstream: &mut Upstream) -> Result<Reply, smtp::End> {
        if !self.is_stepwise() {
            return Ok(accepted(0, "sender ok"));
        }
        if let Some(mut session) = upstream.take(relay) {
            session.describe(&mut self.attempt.trace);
            let result = session.mail(self.reverse_path.as_ref(), &self.mail, &mut self.attempt);
            if session.is_open() {
                upstream.keep(session);
                return result;
            }
            // It had gone while nothing was said. Nobody has anything yet, so a new one is asked.
        }
        self.attempt.trace.warnings.extend(relay.expiry());
        let open = |token: Option<&Secret>, attempt: &mut Attempt| {
            let login = relay.login(token, attempt)?;
            Session::open(relay, login.as_ref(), self.manner.host_name, attempt)
        };
        let is_refused = |opened: &Result<_, _>| match opened {
            Err(smtp::End::Refused(reply, Stage::Auth)) => reply.is_authentication(),
            _ => false,
        };
        let mut session = oauth::with_access(relay, &mut self.attempt, open, is_refused)??;
        let result = session.mail(self.reverse_path.as_ref(), &self.mail, &mut self.attempt);
        upstream.keep(session);
        result
    }

    /// Hands over the message: what came of it, with the envelope it had.
    pub fn send(mut self, message: &Message, upstream: &mut Upstream) -> End {
        self.left = self.left.saturating_add(extra_time(message.size()));
        if !self.is_stepwise() {
            return self.send_at_once(message);
        }
        let result = match (self.broken.take(), upstream.take(&Arc::clone(self.current()))) {
            (Some(failure), _) => Err(failure),
            (None, Some(mut session)) => {
                let result =
                    self.timed(self.left, |this| session.message(message, &mut this.recipients, &mut this.attempt));
                if result.is_err() && session.is_open() {
                    session.quit(&mut self.attempt.trace);
                } else {
                    upstream.keep(session);
                }
                result
            }
            (None, None) => match self.closing.take() {
                Some(reply) => Ok(self.recipients.outcome(Some((&reply, Stage::Data)), true)),
                None => Err(self.gone()),
            },
        };
        self.close_try(result.map(told));
        self.end()
    }

    /// The rest of the route, as for any message.
    fn send_at_once(mut self, message: &Message) -> End {
        let envelope = self.envelope();
        let manner = Manner {
            route: self.manner.route[self.relay..].into(),
            terms: Terms { retry_in_doubt: false, ..self.manner.terms },
            ..self.manner
        };
        let submission = submit::submit(MailObject { envelope: &envelope, message }, &manner);
        self.tries.extend(submission.into_tries());
        self.end()
    }

    /// The caller has given up, or goes on to another message: what was refused, if anything was.
    pub fn abandon(mut self, upstream: &mut Upstream) -> Option<End> {
        if self.is_stepwise()
            && let Some(mut session) = upstream.take(&Arc::clone(self.current()))
        {
            self.attempt.deadline = Deadline::after(RESET);
            if session.reset(&mut self.attempt).is_ok_and(|reply| reply.is_positive()) {
                upstream.keep(session);
            } else {
                session.quit(&mut self.attempt.trace);
            }
        }
        let result = match self.broken.take() {
            Some(failure) => Err(failure),
            None if self.recipients.any_refused() => {
                let mut outcome = self.recipients.outcome(None, true);
                // Of the others there is nothing to tell.
                outcome.answers.retain(|answer| answer.reply.is_some());
                Ok(outcome)
            }
            None => return None,
        };
        self.close_try(result);
        Some(self.end())
    }

    /// Reverse-path and forward-paths so far.
    pub fn envelope(&self) -> Envelope {
        Envelope {
            reverse_path: self.reverse_path.clone(),
            forward_paths: self.recipients.addresses().to_vec(),
            dsn: Dsn { notify: self.notify.clone(), ret: self.mail.ret.clone(), envid: self.mail.envid.clone() },
        }
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
        Failure::new(Kind::Unavailable, self.current().place.to_string(), why).at(Stage::RcptTo)
    }

    /// Does `work` within `span`, and counts its time against the deadline.
    fn timed<T>(&mut self, span: Duration, work: impl FnOnce(&mut Self) -> T) -> T {
        self.attempt.deadline = Deadline::after(span);
        let begun = Instant::now();
        let result = work(self);
        let took = begun.elapsed();
        self.took += took;
        self.left = self.left.saturating_sub(took);
        result
    }

    fn close_try(&mut self, result: Result<Outcome, Failure>) {
        let relay = Arc::clone(self.current());
        let trace = std::mem::take(&mut self.attempt.trace);
        self.tries.push(Try { relay, result, trace, took: self.took });
    }

    fn end(self) -> End {
        let envelope = self.envelope();
        let submission = Submission::of(self.tries);
        let answer = answer(&submission);
        End { submission, envelope, answer }
    }

    /// The refusal of a message whose recipients are not known yet. An outcome has one answer at least;
    /// where it concerns everybody nobody reads whose it is.
    fn refusal_of_all(&self, reply: &Reply, stage: Stage) -> Outcome {
        let stand_in = self.reverse_path.clone().unwrap_or_else(|| Address::new_dangerous("postmaster", "localhost"));
        Outcome::same_for_all(&[stand_in], reply, stage)
    }
}

/// Whom the caller saw refused it chose to do without; of the others each one counts, so a server that took
/// the message for some of them only (LMTP) leaves it in doubt.
fn told(mut outcome: Outcome) -> Outcome {
    let asked = || outcome.answers.iter().filter(|answer| answer.stage != Stage::RcptTo);
    let is_positive = |answer: &crate::outcome::Answer| answer.reply.as_ref().is_some_and(Reply::is_positive);
    outcome.partial_chosen = !asked().any(is_positive) || asked().all(is_positive);
    outcome
}

/// What the caller is told: of those it has not seen refused yet, as far as there are any.
fn answer(submission: &Submission) -> Answer {
    let decisive = submission.decisive();
    let outcome = match &decisive.result {
        Err(failure) => return failure.into(),
        Ok(outcome) if outcome.is_forced_partial() => {
            let text = "accepted for some recipients only, do not send it again to all";
            return Reply::new(554, Some(Enhanced::new(5, 4, 2)), text).into();
        }
        Ok(outcome) => outcome,
    };
    let mut late = outcome.clone();
    late.answers.retain(|answer| answer.stage > Stage::RcptTo);
    let told = late.decisive().or_else(|| outcome.decisive());
    match told {
        Some((answer, reply)) => {
            let hint = hint::for_reply(reply, answer.stage, &decisive.relay).filter(|_| !reply.is_positive());
            Answer { hint, ..reply.clone().into() }
        }
        None => Reply::new(451, Some(Enhanced::new(4, 3, 0)), "no answer came of it").into(),
    }
}

fn accepted(detail: u16, text: &str) -> Reply {
    Reply::new(250, Some(Enhanced::new(2, 1, detail)), text)
}
