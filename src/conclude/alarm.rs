//! What of a message's end somebody is to hear: one event, the most telling one, and what else it is.

use crate::alert::Notice;
use crate::breaker::{Event, Trouble};
use crate::config::alert::Occasion;
use crate::config::relay::Relay;
use crate::failure::{Failure, Kind};
use crate::limit;
use crate::outcome::Outcome;
use crate::spool::Kept;
use crate::submit::{Submission, Try};

/// Something that happened, before it is known to whom.
pub(super) struct Alarm<'a> {
    event: Occasion,
    also: Vec<Occasion>,
    relay: Option<&'a Relay>,
    /// The relay that took it.
    instead: Option<&'a Relay>,
    reason: String,
}

impl<'a> Alarm<'a> {
    pub(super) fn new(event: Occasion, relay: Option<&'a Relay>, reason: String) -> Self {
        Self { event, also: Vec::new(), relay, instead: None, reason }
    }

    pub(super) fn also(mut self, occasion: Occasion) -> Self {
        self.also.push(occasion);
        self
    }

    /// The same as a refused login or a limit, where that is what is the matter with `attempt`.
    fn or_cause(self, attempt: &Try) -> Self {
        match (Event::of(&attempt.relay, &attempt.result), &attempt.result) {
            (Event::Fails(Trouble::Login(_)), _) => self.seen_as(Occasion::Login),
            (_, Err(failure)) => self.or_limit(failure),
            _ => self,
        }
    }

    /// The same as a limit, where `failure` says that one is what is the matter.
    fn or_limit(self, failure: &Failure) -> Self {
        match limit::is_over(failure) {
            true => self.seen_as(Occasion::Limit),
            false => self,
        }
    }

    /// `event` first of all, and what it was beside that.
    fn seen_as(self, event: Occasion) -> Self {
        Self { also: [vec![self.event], self.also].concat(), event, ..self }
    }

    /// What is kept of it: it happened to `site` at `time`, in seconds since 1970, and the record is `id`.
    pub(super) fn notice(self, site: &str, time: i64, id: &str) -> Notice {
        let mut notice = Notice::new(self.event, site, time, &self.reason, id);
        if let Some(relay) = self.relay {
            notice = notice.of_relay(&relay.name, relay.provider.map(|provider| provider.name));
        }
        notice.also = self.also;
        notice.instead = self.instead.map(|relay| relay.name.clone());
        notice
    }
}

/// What `failure` says, without which the message would have come to a relay. What the caller did wrong, and what we
/// refuse by policy, is the caller's alone to know; the latter has events of its own.
pub(super) fn of_failure(failure: &Failure, is_flusher: bool) -> Option<Alarm<'static>> {
    let event = match failure.kind {
        Kind::InDoubt => Occasion::InDoubt,
        _ if limit::is_over(failure) && !is_flusher => Occasion::Limit,
        // Of what waits, the flusher says itself what has become.
        _ if is_flusher || is_callers_own(failure) => return None,
        _ => Occasion::Failed,
    };
    Some(Alarm::new(event, None, reason(failure)))
}

/// What `failure` says, for which a message that its site may not send now is `kept` until it may.
pub(super) fn of_waiting(failure: &Failure, kept: &Kept) -> Alarm<'static> {
    let also = if matches!(kept, Kept::Failed(_)) { Occasion::Failed } else { Occasion::Spooled };
    Alarm::new(also, None, reason(failure)).or_limit(failure)
}

/// What `submission` says, and what has become of the message beside that.
pub(super) fn of_submission<'a>(submission: &'a Submission, kept: &Kept, is_flusher: bool) -> Option<Alarm<'a>> {
    let decisive = submission.decisive();
    let relay = Some(&*decisive.relay);
    match (kept, &decisive.result) {
        (Kept::Held, _) => Some(Alarm::new(Occasion::InDoubt, relay, said(decisive))),
        (Kept::Queued { is_in_doubt: true, .. }, _) => {
            Some(Alarm::new(Occasion::InDoubt, relay, said(decisive)).also(Occasion::Spooled))
        }
        // It was told when it began to wait.
        (Kept::Queued { .. }, _) if is_flusher => None,
        (Kept::Queued { .. }, _) => Some(Alarm::new(Occasion::Spooled, relay, said(decisive)).or_cause(decisive)),
        (_, Ok(outcome)) if outcome.is_accepted() => of_acceptance(submission),
        (_, Err(failure)) if failure.kind == Kind::InDoubt => {
            Some(Alarm::new(Occasion::InDoubt, relay, said(decisive)).also(Occasion::Failed))
        }
        (_, Err(failure)) if is_callers_own(failure) && !limit::is_over(failure) => None,
        (Kept::Failed(failure), _) => {
            let why = format!("{}; not kept: {failure}", said(decisive));
            Some(Alarm::new(Occasion::Failed, relay, why).or_cause(decisive))
        }
        (_, _) if is_flusher => Some(Alarm::new(Occasion::Bounced, relay, said(decisive)).also(Occasion::Failed)),
        _ => Some(Alarm::new(Occasion::Failed, relay, said(decisive)).or_cause(decisive)),
    }
}

/// What an acceptance says of the relays: that the first one was not the one, or works again.
fn of_acceptance(submission: &Submission) -> Option<Alarm<'_>> {
    let (decisive, first) = (submission.decisive(), submission.first());
    if decisive.relay.name != first.name {
        let tried = submission.tries().iter().find(|attempt| attempt.relay.name == first.name);
        let reason = tried.map_or_else(|| "it failed before".to_owned(), said);
        let alarm = Alarm::new(Occasion::Backup, Some(first), reason);
        let alarm = Alarm { instead: Some(&decisive.relay), ..alarm };
        return Some(match tried {
            Some(tried) => alarm.or_cause(tried),
            None => alarm,
        });
    }
    let is_back = decisive.has_recovered;
    is_back.then(|| Alarm::new(Occasion::Recovered, Some(first), String::new()))
}

/// Whether it is the caller's fault, or our refusal.
fn is_callers_own(failure: &Failure) -> bool {
    failure.is_our_refusal() || matches!(failure.kind, Kind::Usage | Kind::NoInput | Kind::Data)
}

/// What was said at `attempt`.
fn said(attempt: &Try) -> String {
    match &attempt.result {
        Ok(outcome) => Outcome::decisive(outcome).map_or_else(String::new, |(_, reply)| reply.to_string()),
        Err(failure) => reason(failure),
    }
}

/// Why, of `failure`. Whose limit it is stands beside it.
fn reason(failure: &Failure) -> String {
    match &failure.kind {
        Kind::Refused(reply) if limit::is_over(failure) => reply.text().to_owned(),
        _ => failure.to_string(),
    }
}
