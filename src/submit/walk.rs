//! The walk along the route: which relay is asked, how long it may take, and when the next one is due.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::doubt::Doubt;
use super::{Manner, Submission, Try, is_in_doubt, is_next_relay_due};
use crate::attempt::Attempt;
use crate::config::relay::Relay;
use crate::config::site::InDoubt;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::outcome::Outcome;

/// A walk under way. Only the time between [`Walk::start`] and [`Walk::stop`] counts against the deadline.
pub(super) struct Walk<'a> {
    pub(super) manner: Manner<'a>,
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
}

impl<'a> Walk<'a> {
    /// Begins a try at the first relay.
    pub(super) fn begin(manner: Manner<'a>) -> Self {
        let left = manner.terms.deadline;
        let attempt = manner.begin(&manner.route[0], Deadline::after(left));
        let (tries, started) = (Vec::with_capacity(1), Instant::now());
        Self { manner, relay: 0, tries, attempt, started, given: left, took: Duration::ZERO, left, doubt: None }
    }

    /// Goes along `route` instead, from its first relay on; nothing was tried yet.
    pub(super) fn lead(&mut self, route: Vec<Arc<Relay>>) {
        self.manner.route = route.into();
        self.relay = 0;
        self.attempt = self.manner.begin(self.relay(), Deadline::after(self.left));
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

    /// What of it this relay may take while it can still be passed by: half, where another one is behind it.
    pub(super) fn share(&self) -> Duration {
        let goes_on = !self.is_last() && (self.doubt.is_none() || self.manner.terms.in_doubt == InDoubt::Retry);
        if goes_on { self.left / 2 } else { self.left() }
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
        let goes_on = !self.is_last() && is_next_relay_due(&result, self.manner.terms.in_doubt);
        let is_in_doubt = is_in_doubt(&result);
        self.settle(result);
        if goes_on {
            self.relay += 1;
            match is_in_doubt {
                true => self.manner.hand_over.doubt(),
                false => self.manner.hand_over.again(),
            }
            self.attempt = self.manner.begin(self.relay(), Deadline::after(self.share()));
        }
        goes_on
    }

    /// Ends the try with `result`, whatever it leaves open.
    pub(super) fn settle(&mut self, result: Result<Outcome, Failure>) {
        let relay = Arc::clone(self.relay());
        let trace = std::mem::take(&mut self.attempt.trace);
        let (key, took) = (self.attempt.key.take(), std::mem::take(&mut self.took));
        self.tries.push(Try { relay, result, trace, key, took });
    }

    /// What all tries come to; one has been ended.
    pub(super) fn end(self) -> Submission {
        let submission = Submission::of(self.tries);
        if !is_in_doubt(&submission.decisive().result) {
            self.manner.hand_over.settle();
        }
        submission
    }

    fn is_last(&self) -> bool {
        self.relay + 1 == self.manner.route.len()
    }
}
