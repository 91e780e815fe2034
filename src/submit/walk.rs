//! The walk along the route: which relay is asked, how long it may take, and when the next one is due.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::getuid;

use super::doubt::Doubt;
use super::{Manner, Submission, Try, is_in_doubt, is_next_relay_due};
use crate::attempt::Attempt;
use crate::breaker::{Event, Turn, Turns};
use crate::config::relay::Relay;
use crate::config::site::InDoubt;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::limit::{self, Admitted};
use crate::message::MailObject;
use crate::outcome::Outcome;

/// A walk under way. Only the time between [`Walk::start`] and [`Walk::stop`] counts against the deadline.
pub(super) struct Walk<'a> {
    pub(super) manner: Manner<'a>,
    /// Whose turn it is after this relay's.
    turns: Turns<'a>,
    /// The relay in use, by its place in the route.
    relay: usize,
    /// The tries before it.
    tries: Vec<Try>,
    /// The one under way.
    pub(super) attempt: Attempt,
    started: Instant,
    /// What it was given when it started.
    given: Duration,
    /// Spent on this relay.
    took: Duration,
    /// What is left of the deadline.
    left: Duration,
    /// What is not known of the relay in use.
    pub(super) doubt: Option<Doubt>,
    /// What the relay in use counts of this message.
    admitted: Option<Admitted>,
    /// It was counted when the run was made that this one goes on with.
    is_counted: bool,
    /// The relay in use was down until now.
    has_recovered: bool,
}

impl<'a> Walk<'a> {
    /// Begins a try at the first relay that is not down.
    pub(super) fn begin(mut manner: Manner<'a>) -> Self {
        let mut turns = Turns::of(&manner.route, manner.breaker.take());
        let first = turns.next(&manner.route, manner.terms.deadline).unwrap_or_default();
        Self::at(&first, manner, turns)
    }

    /// Begins a try at the first relay, down or not.
    pub(super) fn resume(mut manner: Manner<'a>) -> Self {
        let mut turns = Turns::of(&manner.route, manner.breaker.take());
        let first = turns.first();
        Self { is_counted: true, ..Self::at(&first, manner, turns) }
    }

    /// Stands where a walk begins whose route is still to be named ([`Walk::lead`]).
    pub(super) fn stand(manner: Manner<'a>) -> Self {
        let turns = Turns::of(&manner.route, None);
        Self::at(&Turn::default(), manner, turns)
    }

    fn at(first: &Turn, manner: Manner<'a>, turns: Turns<'a>) -> Self {
        let left = manner.terms.deadline;
        let attempt = manner.begin(first, left);
        let (tries, started) = (Vec::with_capacity(1), Instant::now());
        let relay = first.relay;
        Self {
            manner,
            turns,
            relay,
            tries,
            attempt,
            started,
            given: left,
            took: Duration::ZERO,
            left,
            doubt: None,
            admitted: None,
            is_counted: false,
            has_recovered: false,
        }
    }

    /// Goes along `route` instead, from its first relay on that is not down; nothing was tried yet.
    pub(super) fn lead(&mut self, route: Vec<Arc<Relay>>) {
        self.manner.route = route.into();
        self.turns = Turns::of(&self.manner.route, self.manner.breaker.take());
        let first = self.turns.next(&self.manner.route, self.left).unwrap_or_default();
        self.relay = first.relay;
        self.attempt = self.manner.begin(&first, self.left);
    }

    /// The relay in use.
    pub(super) fn relay(&self) -> &Arc<Relay> {
        &self.manner.route[self.relay]
    }

    /// What of the deadline the relay in use may take. A quarter is kept where it can be asked again what became of
    /// the message.
    pub(super) fn left(&self) -> Duration {
        match (&self.attempt.key, &self.doubt) {
            (Some(_), None) => self.left - self.left / 4,
            _ => self.left,
        }
    }

    /// What of it this relay may take while it can still be passed by: half, where another one is behind it that is
    /// not known to be down.
    pub(super) fn share(&self) -> Duration {
        let goes_on = !self.turns.is_last(&self.manner.route)
            && (self.doubt.is_none() || self.manner.terms.in_doubt == InDoubt::Retry);
        if goes_on { self.left / 2 } else { self.left() }
    }

    /// Whether the relay in use would take another message now, by its limits.
    ///
    /// # Errors
    /// It is over one of them.
    pub(super) fn look(&self) -> Result<(), Failure> {
        let Some(limits) = &self.relay().limits else { return Ok(()) };
        limit::look(limits, 1, getuid().as_raw()).map_err(|refused| refused.failure().clone())
    }

    /// Counts `mail` for the relay in use, where it has limits.
    ///
    /// # Errors
    /// It is over one of them, or cannot be counted: the relay is not to be asked.
    pub(super) fn admit(&mut self, mail: MailObject<'_>) -> Result<(), Failure> {
        let is_counted = std::mem::take(&mut self.is_counted);
        let Some(limits) = self.relay().limits.clone().filter(|_| !is_counted) else { return Ok(()) };
        let recipients = mail.envelope.forward_paths.len();
        limit::fits(&limits, recipients, mail.message.size())?;
        self.start(self.left);
        let admitted = limit::admit(&limits, recipients, getuid().as_raw(), self.left);
        self.stop();
        self.admitted = Some(admitted.map_err(|refused| refused.failure().clone())?);
        Ok(())
    }

    /// Waits for `span`, which counts against the deadline.
    pub(super) fn wait(&mut self, span: Duration) {
        self.start(span);
        thread::sleep(span);
        self.stop();
    }

    /// From now on time counts, and what is waited for ends in `span`.
    pub(super) fn start(&mut self, span: Duration) {
        self.started = Instant::now();
        self.given = span;
        self.attempt.deadline = Deadline::after(span);
    }

    /// Time counts no longer. What a large message has earned meanwhile is no loss.
    pub(super) fn stop(&mut self) {
        let took = self.started.elapsed();
        let earned = self.attempt.deadline.span().saturating_sub(self.given);
        self.took += took;
        self.left = self.left.saturating_sub(took.saturating_sub(earned));
    }

    /// Ends the try with `result`; true: it left the matter open, and a try at the next relay has begun.
    pub(super) fn close(&mut self, result: Result<Outcome, Failure>) -> bool {
        let is_open = is_next_relay_due(&result, self.manner.terms.in_doubt);
        let is_in_doubt = is_in_doubt(&result);
        self.settle(result);
        let next = if is_open { self.turns.next(&self.manner.route, self.left) } else { None };
        if let Some(next) = &next {
            self.relay = next.relay;
            match is_in_doubt {
                true => self.manner.hand_over.doubt(),
                false => self.manner.hand_over.again(),
            }
            self.attempt = self.manner.begin(next, self.share());
        }
        next.is_some()
    }

    /// Ends the try with `result`, whatever it leaves open.
    pub(super) fn settle(&mut self, result: Result<Outcome, Failure>) {
        let relay = Arc::clone(self.relay());
        if let (Some(admitted), Some(limits)) = (self.admitted.take(), &relay.limits) {
            admitted.settle(&result, limits, getuid().as_raw());
        }
        self.tell(Event::of(&relay, &result));
        let trace = std::mem::take(&mut self.attempt.trace);
        let (key, took) = (self.attempt.key.take(), std::mem::take(&mut self.took));
        let has_recovered = std::mem::take(&mut self.has_recovered);
        self.tries.push(Try { relay, result, trace, key, took, has_recovered });
    }

    /// What is known of the relay in use before the try has ended, or where it ends without a result.
    pub(super) fn tell(&mut self, event: Event) {
        self.has_recovered |= self.turns.tell(&self.manner.route, self.relay, event);
    }

    /// What all tries come to; one has been ended.
    pub(super) fn end(self) -> Submission {
        let submission = Submission::of(self.tries, Arc::clone(&self.manner.route[0]));
        if !is_in_doubt(&submission.decisive().result) {
            self.manner.hand_over.settle();
        }
        submission
    }
}
