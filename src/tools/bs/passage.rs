//! Where a message under way goes: to a relay while its caller waits, or to the spool.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Lasting;
use crate::address::Address;
use crate::config::site::Site;
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::limit::Refused;
use crate::message::{MailObject, Message};
use crate::outcome::{Answer, Stage};
use crate::reply::Reply;
use crate::smtp::server::{Rcpt, Told};
use crate::spool::decision::{Fate, decide};
use crate::spool::{Kept, Order};
use crate::submit::Upstream;
use crate::submit::stepwise::{Finished, Name, Transaction};

/// The message under way.
pub(super) enum Passage<'a> {
    /// A relay took MAIL, and gives every reply.
    Relay(Box<Transaction<'a>>),
    /// None took it, and the site keeps its messages: what they said, and whom the message is for.
    Spool(Box<Finished>),
    /// The site is over a limit, and keeps its messages until there is room: whom the message is for, and why.
    Wait(Box<Waiting>),
}

/// A message that is not admitted yet.
pub(super) struct Waiting {
    /// Whom it is for.
    pub(super) envelope: Envelope,
    /// Why it waits.
    pub(super) refused: Refused,
}

impl Passage<'_> {
    /// Reverse-path and forward-paths so far.
    pub(super) fn envelope(&self) -> Cow<'_, Envelope> {
        match self {
            Self::Relay(transaction) => Cow::Owned(transaction.envelope()),
            Self::Spool(end) => Cow::Borrowed(&end.envelope),
            Self::Wait(waiting) => Cow::Borrowed(&waiting.envelope),
        }
    }

    /// Ends without a message: what was refused, if anything was.
    pub(super) fn abandon(self, upstream: &mut Upstream) -> Option<Finished> {
        match self {
            Self::Relay(transaction) => transaction.abandon(upstream),
            Self::Spool(end) => Some(*end),
            Self::Wait(_) => None,
        }
    }

    /// `envelope` without those whom the caller saw refused.
    pub(super) fn asked(&self, envelope: &Envelope) -> Envelope {
        let mut asked = envelope.clone();
        if let Self::Relay(transaction) = self {
            asked.forward_paths = transaction.asked();
        }
        asked
    }
}

/// Whether the site keeps what no relay would take MAIL for.
pub(super) fn is_kept(site: &Site, end: &Finished) -> bool {
    let fate = decide(end.submission.results(), site.spooling.is_on, site.terms.in_doubt);
    matches!(fate, Fate::Queued { .. })
}

/// Takes the recipients of a message that is going to wait, and `why`: one answer for each name.
pub(super) fn take(envelope: &mut Envelope, names: &[Name<'_>], why: &str) -> Vec<Reply> {
    let ok = || Reply::own(250, (2, 1, 5), &format!("recipient ok, {why}"));
    let add = |name: &Name<'_>| {
        let Rcpt { notify, original, .. } = name.rcpt;
        for address in &name.addresses {
            if !envelope.forward_paths.contains(address) {
                envelope.dsn.ask(address, notify, original);
                envelope.forward_paths.push(address.clone());
            }
        }
        ok()
    };
    names.iter().map(add).collect()
}

/// Keeps `message` where what came of it asks for that. Whom the caller saw refused it chose to do without.
pub(super) fn keep(
    lasting: &Lasting<'_>,
    site: &Site,
    end: &Finished,
    message: &Message,
    diverted_from: &[Address],
) -> Kept {
    let mut envelope = end.envelope.clone();
    let mut results: Vec<_> = end.submission.results().cloned().collect();
    let mut known = HashSet::new();
    envelope.forward_paths.retain(|address| !end.refused.contains(address) && known.insert(address.clone()));
    if envelope.forward_paths.is_empty() {
        return Kept::No;
    }
    for outcome in results.iter_mut().filter_map(|result| result.as_mut().ok()) {
        let is_deferred = |reply: &Reply| reply.is_transient();
        let is_open = |answer: &Answer| match answer.stage {
            Stage::RcptTo => !end.refused.contains(&answer.recipient) && answer.reply.as_ref().is_some_and(is_deferred),
            _ => true,
        };
        if outcome.answers.iter().any(is_open) {
            outcome.answers.retain(is_open);
        }
    }
    let (course, id, mail) = (lasting.course, lasting.dossier.id(), MailObject { envelope: &envelope, message });
    let (caller, doubt, hand_over) = (course.caller(), end.submission.doubt(), lasting.hand_over);
    let order = Order { caller, site, route: &end.route, mail, id: &id, doubt, diverted_from, hand_over };
    match order.keep(results.iter()) {
        Kept::Queued { is_part, is_relay_trouble, is_in_doubt } => {
            Kept::Queued { is_part: is_part || !end.refused.is_empty(), is_relay_trouble, is_in_doubt }
        }
        kept => kept,
    }
}

/// Keeps `message`, which its site may not send now, until it may.
pub(super) fn wait(
    lasting: &Lasting<'_>,
    site: &Site,
    mail: MailObject<'_>,
    refused: &Refused,
    diverted_from: &[Address],
) -> Result<Kept, Failure> {
    let (course, id, hand_over) = (lasting.course, lasting.dossier.id(), lasting.hand_over);
    let route = course.route(site, mail)?;
    let (caller, doubt) = (course.caller(), None);
    let order = Order { caller, site, route: &route, mail, id: &id, doubt, diverted_from, hand_over };
    Ok(order.wait(refused.failure().to_string(), refused.next()))
}

/// What the caller is told of a message that was to wait because it is `refused`.
pub(super) fn told_of_waiting(refused: &Refused, kept: &Kept, id: &str) -> Told {
    match kept {
        Kept::Failed(why) => Told { hint: why.hint.clone(), ..refused.failure().into() },
        _ => queued(id),
    }
}

fn queued(id: &str) -> Told {
    Reply::own(250, (2, 0, 0), &format!("queued as {id}")).into()
}

/// What the caller is told.
pub(super) fn told(end: &Finished, kept: &Kept, id: &str) -> Told {
    match kept {
        Kept::Queued { .. } => queued(id),
        Kept::Failed(failure) => Told { hint: failure.hint.clone().or(end.answer.hint.clone()), ..end.answer.clone() },
        Kept::No | Kept::Held | Kept::Copied(_) | Kept::Uncopied(_) => end.answer.clone(),
    }
}
