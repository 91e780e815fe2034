//! The one orchestrator: a route and a message in, a submission out, under one deadline.

mod doubt;
mod key;
pub mod login;
pub mod stepwise;
#[cfg(test)]
mod tests;
mod upstream;
mod walk;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

pub use self::upstream::Upstream;
use self::walk::Walk;

use crate::attempt::{Attempt, HandOver, IdempotencyKey, Sink, Trace};
use crate::breaker::{Breaker, Turn};
use crate::config::relay::{Interface, Relay, Way};
use crate::config::site::{InDoubt, Terms};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::message::MailObject;
use crate::outcome::{Outcome, Stage};
use crate::reply::Reply;
use crate::secret::Secret;
use crate::smtp::Submitted;
use crate::{http, oauth, smtp};

/// How one site's messages are submitted.
pub struct Manner<'a> {
    /// The relays to try, in order; never empty.
    pub route: Cow<'a, [Arc<Relay>]>,
    /// What the site wants.
    pub terms: Terms,
    /// What is remembered of the relays; `None`: nothing is, and each is tried in its turn.
    pub breaker: Option<Breaker<'a>>,
    /// This host's name, for EHLO.
    pub host_name: &'a str,
    /// Hears of each try and gives it a place to show its dialogue.
    pub begin: &'a dyn Fn(&Relay) -> Option<Sink>,
    /// Hears of the idempotency key that a try is given, where its relay takes one, before any request carries it.
    pub keyed: &'a dyn Fn(&IdempotencyKey),
    /// What signals are answered by.
    pub hand_over: &'a Arc<HandOver>,
}

impl Manner<'_> {
    /// Begins the try at the relay whose `turn` it is, which has `span`.
    fn begin(&self, turn: &Turn, span: Duration) -> Attempt {
        let trace = Trace::new((self.begin)(&self.route[turn.relay]));
        let (deadline, hand_over) = (Deadline::after(span), Arc::clone(self.hand_over));
        let mut attempt = Attempt { deadline, trace, hand_over, key: None };
        for note in &turn.notes {
            attempt.trace.note(note);
            attempt.warn(note);
        }
        attempt
    }
}

/// One try at one relay.
pub struct Try {
    /// The relay.
    pub relay: Arc<Relay>,
    /// What came of it.
    pub result: Result<Outcome, Failure>,
    /// The conversation.
    pub trace: Trace,
    /// What its requests carried, where the relay takes it. While the result is in doubt the same request may be made
    /// again ([`resume`]) and makes no second message.
    pub key: Option<IdempotencyKey>,
    /// How long it took.
    pub took: Duration,
    /// The relay had been down, and this was the try that found it well again.
    pub has_recovered: bool,
}

/// Every try of one submission, in order; never empty.
pub struct Submission {
    tries: Vec<Try>,
    /// The relay that its route begins with.
    first: Arc<Relay>,
}

impl Submission {
    /// The submission that `tries` make, of which there is at least one, along a route that begins with `first`.
    fn of(tries: Vec<Try>, first: Arc<Relay>) -> Self {
        debug_assert!(!tries.is_empty());
        Self { tries, first }
    }

    /// The relay that its route begins with, tried or passed by.
    pub fn first(&self) -> &Arc<Relay> {
        &self.first
    }

    /// All tries, in order.
    pub fn tries(&self) -> &[Try] {
        &self.tries
    }

    /// What came of each try, in order.
    pub fn results(&self) -> impl Iterator<Item = &Result<Outcome, Failure>> {
        self.tries.iter().map(|attempt| &attempt.result)
    }

    /// Which relay may have the message although it gave no reply, and the key by which it can be asked again.
    pub fn doubt(&self) -> Option<(&Relay, &IdempotencyKey)> {
        let in_doubt = self.tries.iter().find(|attempt| is_in_doubt(&attempt.result))?;
        Some((&in_doubt.relay, in_doubt.key.as_ref()?))
    }

    /// The try that decides what the caller is told: the last one when it was accepted, else one that
    /// left the message in doubt (`in_doubt = "retry"` went on, and no later refusal takes back what that
    /// relay may have), else the last one when it settled the matter, else the first that had a reply,
    /// else the first.
    pub fn decisive(&self) -> &Try {
        let last = &self.tries[self.tries.len() - 1];
        if last.result.as_ref().is_ok_and(Outcome::is_accepted) {
            return last;
        }
        if let Some(in_doubt) = self.tries.iter().find(|attempt| is_in_doubt(&attempt.result)) {
            return in_doubt;
        }
        if !is_next_relay_due(&last.result, InDoubt::Report) {
            return last;
        }
        self.tries.iter().find(|attempt| attempt.result.is_ok()).unwrap_or(&self.tries[0])
    }
}

/// Submits through the first relay of the route that settles the matter.
///
/// A relay's secrets are read when it is tried. The next relay is tried when nobody has the message and
/// the trouble may be this relay's own.
pub fn submit(mail: MailObject<'_>, manner: Manner<'_>) -> Submission {
    submit_over(mail, manner, &mut Upstream::of(0))
}

/// As [`submit`], over the sessions of `upstream`, where there are any, and those that it keeps for the next message.
pub fn submit_over(mail: MailObject<'_>, manner: Manner<'_>, upstream: &mut Upstream) -> Submission {
    along(mail, Walk::begin(manner), upstream)
}

/// Goes on with a submission that an earlier run left in doubt at the first relay of the route: the same request is
/// made there again with its `key`, while the provider knows that; sessions as for [`submit_over`].
pub fn resume(mail: MailObject<'_>, manner: Manner<'_>, key: IdempotencyKey, upstream: &mut Upstream) -> Submission {
    let mut walk = Walk::resume(manner);
    match walk.take_up(mail, key) {
        Ok(()) => along(mail, walk, upstream),
        Err(failure) => {
            walk.settle(Err(failure));
            walk.end()
        }
    }
}

/// Submits along the rest of a walk, from the relay on that it is at.
fn along(mail: MailObject<'_>, walk: Walk<'_>, upstream: &mut Upstream) -> Submission {
    each(walk, |relay, walk| {
        walk.admit(mail)?;
        walk.give_key(mail);
        loop {
            walk.start(walk.share());
            let keyed = key::carried(relay, mail.message, &mut walk.attempt);
            let mail = MailObject { message: keyed.as_ref().unwrap_or(mail.message), ..mail };
            let kept = through_kept(relay, mail, &walk.manner, upstream, &mut walk.attempt);
            let result = kept.unwrap_or_else(|| through(relay, mail, &walk.manner, upstream, &mut walk.attempt));
            walk.stop();
            if let Some(result) = walk.judge(result) {
                break result;
            }
        }
    })
}

/// Tries relay after relay until one settles the matter.
fn each(
    mut walk: Walk<'_>,
    mut try_at: impl FnMut(&Arc<Relay>, &mut Walk<'_>) -> Result<Outcome, Failure>,
) -> Submission {
    loop {
        let relay = Arc::clone(walk.relay());
        let result = try_at(&relay, &mut walk);
        if !walk.close(result) {
            return walk.end();
        }
    }
}

/// Submits over the session with `relay` that is kept. `None`: there is none, or it has come to its end, which is no
/// failure of the relay's, and nobody has the message.
fn through_kept(
    relay: &Arc<Relay>,
    mail: MailObject<'_>,
    manner: &Manner<'_>,
    upstream: &mut Upstream,
    attempt: &mut Attempt,
) -> Option<Result<Outcome, Failure>> {
    relay.smtp()?;
    let mut session = upstream.take(relay)?;
    session.describe(&mut attempt.trace);
    attempt.hand_over.again();
    let result = session.submit(mail, manner.terms.deliver_partially, upstream.keeps(), attempt);
    if let Ok(outcome) = &result
        && session.is_chunk_unknown(outcome)
    {
        smtp::fall_back(outcome, attempt);
        upstream.note_plain(relay);
    }
    let is_stale = session.is_stale(&result, attempt);
    match session.is_reusable() && !is_stale {
        true => upstream.keep(session),
        false => session.quit(&mut attempt.trace),
    }
    (!is_stale).then_some(result)
}

/// Submits through `relay`, in a session of its own where it is one that has sessions.
fn through(
    relay: &Arc<Relay>,
    mail: MailObject<'_>,
    manner: &Manner<'_>,
    upstream: &mut Upstream,
    attempt: &mut Attempt,
) -> Result<Outcome, Failure> {
    attempt.trace.warnings.extend(relay.expiry());
    let stays = upstream.keeps();
    let work = |token: Option<&Secret>, attempt: &mut Attempt| {
        attempt.hand_over.again();
        match &relay.way {
            Way::Smtp(smtp) => {
                let login = match relay.login(token, attempt) {
                    Ok(login) => login,
                    Err(failure) => return Submitted::alone(Err(failure)),
                };
                let (login, terms, host_name) = (login.as_ref(), &manner.terms, manner.host_name);
                let smtp = &*upstream.manner_with(relay, smtp);
                smtp::submit(&smtp::BySmtp { relay, smtp, login, mail, terms, host_name, stays }, attempt)
            }
            Way::Api(interface) => Submitted::alone(through_api(relay, interface, mail, token, upstream, attempt)),
            Way::Null(why) => {
                let reply = Reply::own(250, (2, 0, 0), &format!("discarded: {why}"));
                Submitted::alone(Ok(Outcome::same_for_all(&mail.envelope.forward_paths, &reply, Stage::Message)))
            }
        }
    };
    let submitted = oauth::with_access(relay, attempt, work, |submitted| is_login_refused(&submitted.result))?;
    if submitted.is_plain {
        upstream.note_plain(relay);
    }
    if let Some(session) = submitted.session {
        upstream.keep(session);
    }
    submitted.result
}

fn through_api(
    relay: &Arc<Relay>,
    interface: &Interface,
    mail: MailObject<'_>,
    token: Option<&Secret>,
    upstream: &mut Upstream,
    attempt: &mut Attempt,
) -> Result<Outcome, Failure> {
    let keys = login::keys(relay, interface, token, attempt)?;
    let mut line = upstream.take_line(relay);
    let result = http::submit(&http::ByApi { relay, interface, keys: &keys, mail }, attempt, &mut line);
    upstream.keep_line(relay, line);
    result
}

/// Whether the login was refused, and for good.
fn is_login_refused(result: &Result<Outcome, Failure>) -> bool {
    let decisive = result.as_ref().ok().and_then(Outcome::decisive);
    decisive.is_some_and(|(answer, reply)| answer.stage == Stage::Auth && reply.is_authentication())
}

/// Whether somebody may have the message although no reply says so.
pub fn is_in_doubt(result: &Result<Outcome, Failure>) -> bool {
    matches!(result, Err(failure) if failure.kind == Kind::InDoubt)
}

/// Whether another relay may do what this one did not: nobody has the message, and the trouble is the
/// connection, the login, a transient refusal, or something only this relay lacks.
fn is_next_relay_due(result: &Result<Outcome, Failure>, in_doubt: InDoubt) -> bool {
    match result {
        Ok(outcome) => outcome.is_deferred(),
        Err(failure) => match failure.kind {
            Kind::InDoubt => in_doubt == InDoubt::Retry,
            Kind::Software | Kind::System | Kind::Usage | Kind::NoInput => false,
            _ => true,
        },
    }
}
