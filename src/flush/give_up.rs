//! The end of an entry that nobody takes: its sender is told, and it is kept where a person finds it.
//!
//! The bounce comes first, as an entry of its own; then the original says that it has one; then it goes to the others
//! that were given up. Whatever ends the run in between, the next one goes on, and there is one bounce. Where none can
//! be made, the entry stays.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::one::note;
use super::{Fate, Run, relays, unix};
use crate::address::Address;
use crate::config::alert::Occasion;
use crate::config::relay::{Place, Relay};
use crate::config::site::{Guard, Site};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::outcome::{Answer, Outcome};
use crate::plan::divert;
use crate::reply::{Enhanced, Reply};
use crate::spool::bounce::{self, Decision, GivenUp, Last, Tally, Undelivered, Withheld};
use crate::spool::{Entry, Folder, Head, Kept, Line, Opened, Unopened};
use crate::submit::{Submission, Try};

/// Where the bounces of the last hour are counted. The right to flush is the right to write it.
const TALLY: &str = "bounces";
/// The largest such file, in octets.
const TALLY_LIMIT: usize = 16 << 20;
/// How long behind its original a bounce is due: after a crash the original is settled before it leaves.
pub(super) const BEHIND: Duration = Duration::from_secs(2);

/// What becomes of the bounce of an entry.
enum Told {
    /// There is one, under this ID.
    By(String),
    /// There is none, and another tells of it.
    Withheld,
    /// Nobody is to be told.
    Nobody,
    /// There may be one at this time, so the entry stays until then.
    Later(SystemTime),
}

impl Run<'_> {
    /// Gives up `opened`, of `site`, after `submission`, or without another try.
    ///
    /// # Errors
    /// The spool cannot be written: it stays where it is.
    pub(super) fn give_up(
        &mut self,
        site: &Site,
        mut opened: Opened,
        submission: Option<&Submission>,
    ) -> Result<Fate, Failure> {
        let dossier = self.flush.dossier;
        let mut recipients = match submission {
            Some(submission) => of_submission(submission, &opened.entry, |_| true),
            None => of_entry(&opened.entry, site),
        };
        recipients.retain(|one| opened.entry.head.envelope.dsn.tells_of(&one.recipient));
        let waits = match self.tell(site, &mut opened, &recipients) {
            Ok(Told::Later(until)) => {
                let why = "is given up, and its bounce waits: this site has had too many in an hour";
                Some((until, Failure::new(Kind::Unavailable, opened.id(), why)))
            }
            Ok(told) => {
                let told = match told {
                    Told::By(id) => format!("given up: its sender is told by {id}"),
                    Told::Withheld => "given up: its sender is told with another".to_owned(),
                    Told::Nobody | Told::Later(_) => "given up: nobody is told".to_owned(),
                };
                dossier.warn(&[told]);
                None
            }
            Err(failure) => {
                let why = format!("is given up, but its bounce cannot be made, so it stays: {failure}");
                let next = relays::next(SystemTime::now(), opened.entry.state.tries + 1, relays::chance());
                Some((next, Failure::new(failure.kind, opened.id(), why)))
            }
        };
        if let Some((until, failure)) = waits {
            dossier.fail(&failure);
            opened.retry_at(until)?;
            return Ok(Fate::Waiting);
        }
        opened.move_to(Folder::Failed)?;
        match submission {
            Some(submission) => dossier.finish(submission, &opened.entry.head.envelope, &Kept::No),
            None => {
                let why = "was tried until its time was up, or was refused: given up";
                let said = opened.entry.state.said.as_ref().map_or(&opened.entry.head.why, |(_, text)| text);
                dossier.alarm(Occasion::Bounced, None, said);
                dossier.fail(&Failure::new(Kind::Unavailable, opened.id(), why))
            }
        };
        Ok(Fate::Failed)
    }

    /// Gives up `opened`, whose time is up and whose site may not send any more, because of `failure`: there is nobody in
    /// whose name its sender could be told. One in doubt is held, and a person decides.
    ///
    /// # Errors
    /// The spool cannot be written: it stays where it is.
    pub(super) fn give_up_without_site(&mut self, mut opened: Opened, failure: Failure) -> Result<Fate, Failure> {
        let (folder, fate, end) = match opened.entry.state.is_in_doubt() {
            true => (Folder::Held, Fate::Held, "held"),
            false => (Folder::Failed, Fate::Failed, "given up, and nobody is told"),
        };
        note(&mut opened, &failure)?;
        opened.move_to(folder)?;
        let why = format!("{}; its time is up: {end}", failure.why);
        self.flush.dossier.fail(&Failure { why, ..failure });
        Ok(fate)
    }

    /// Has the sender of `opened` told of `recipients`, durably.
    fn tell(&self, site: &Site, opened: &mut Opened, recipients: &[Undelivered]) -> Result<Told, Failure> {
        if opened.entry.state.is_bounced {
            return Ok(Told::By(bounce::id_of(opened.id())));
        }
        let head = &opened.entry.head;
        let wanted = is_told(site, head);
        let to = bounce::addressee(&head.envelope, wanted).filter(|_| !recipients.is_empty()).cloned();
        let Some(to) = to else { return Ok(Told::Nobody) };
        let id = bounce::id_of(opened.id());
        let mut told = Told::By(id.clone());
        if !self.is_made(&id)? {
            let mut tally = self.tally()?;
            let now = unix(SystemTime::now());
            let entry = Withheld::new(opened.id(), &to, recipients);
            let decision = tally.decide(&site.name, entry, now, |id| self.waits(id));
            self.save(&tally)?;
            match decision {
                Decision::Wait(until) => {
                    let until = Duration::from_secs(u64::try_from(until).unwrap_or_default());
                    return Ok(Told::Later(SystemTime::UNIX_EPOCH + until));
                }
                Decision::Withhold => told = Told::Withheld,
                Decision::Bounce => self.make(&id, site, opened, recipients, (&to, &[], 0))?,
                Decision::Digest(withheld, others) => {
                    // The site's own people may read of all its senders, a sender only of its own.
                    let own = address_of(site);
                    let is_own = own.is_some();
                    let to = own.unwrap_or(to);
                    let (withheld, foreign): (Vec<_>, Vec<_>) =
                        withheld.into_iter().partition(|one| is_own || one.to == to.to_string());
                    self.make(&id, site, opened, recipients, (&to, &withheld, others + foreign.len() as u64))?;
                    tally.told(&site.name);
                    self.save(&tally)?;
                }
            }
        }
        opened.append(&Line::Bounced { t: unix(SystemTime::now()) }, true)?;
        Ok(told)
    }

    /// Has the sender of `opened` told of those whom `submission` refused for good while others, `waiting`, still
    /// wait. Returns who waits then: also those of whom nobody could be told.
    pub(super) fn tell_of_refused(
        &self,
        site: &Site,
        opened: &Opened,
        submission: &Submission,
        mut waiting: Vec<Address>,
    ) -> Vec<Address> {
        let is_settled = |answer: &Answer| {
            answer.reply.as_ref().is_some_and(Reply::is_permanent) && !waiting.contains(&answer.recipient)
        };
        let head = &opened.entry.head;
        let mut refused = of_submission(submission, &opened.entry, is_settled);
        refused.retain(|one| head.envelope.dsn.tells_of(&one.recipient));
        let Some(to) = bounce::addressee(&head.envelope, is_told(site, head)) else {
            return waiting;
        };
        if refused.is_empty() {
            return waiting;
        }
        // Each try may refuse others.
        let id = format!("{}{}", bounce::id_of(opened.id()), opened.entry.state.tries + 1);
        let told = || -> Result<(), Failure> {
            let mut tally = self.tally()?;
            let entry = Withheld::new(&id, to, &refused);
            let is_admitted = tally.admit(&site.name, entry, unix(SystemTime::now()));
            self.save(&tally)?;
            match is_admitted && !self.is_made(&id)? {
                true => self.make(&id, site, opened, &refused, (to, &[], 0)),
                false => Ok(()),
            }
        };
        if let Err(failure) = told() {
            self.flush.dossier.warn(&[format!("its sender cannot be told yet who was refused: {failure}")]);
            waiting.extend(refused.into_iter().map(|one| one.recipient));
        }
        waiting
    }

    /// Makes the bounce `id` of `opened`.
    fn make(
        &self,
        id: &str,
        site: &Site,
        opened: &Opened,
        recipients: &[Undelivered],
        (to, withheld, others): (&Address, &[Withheld], u64),
    ) -> Result<(), Failure> {
        let (head, message) = (&opened.entry.head, opened.message()?);
        let now = host::now();
        let from = address_of(site);
        let given_up = GivenUp {
            id: &head.id,
            host: &host::name(),
            from: from.as_ref(),
            envelope: &head.envelope,
            message: &message,
            taken: &zoned(head.created, now.time_zone()),
            now: &now,
            recipients,
            withheld,
            others,
        };
        let (mut envelope, mut message) = bounce::compose(&given_up, to)?;
        // Who sent it may be as much a stranger to a staging host as whom it was written to.
        let diversion = site.staging.guard.as_ref().map(|guard| divert::apply(guard, &mut envelope, &mut message));
        let why = format!("tells that {} was given up", head.id);
        let bounce = Head {
            route: head.route.clone(),
            is_bounce: true,
            diverted_from: diversion.map(|diversion| diversion.forward_paths().to_vec()).unwrap_or_default(),
            ..Head::new(id.to_owned(), site, envelope, &message, why)
        };
        let spool = self.flush.spool;
        if matches!(spool.look(Folder::Queue, id), Err(Unopened::Torn(_))) {
            // A run that was killed left it, and only one run at a time makes bounces.
            spool.take_back(Folder::Queue, id);
        }
        spool.enqueue(Folder::Queue, &bounce, &message, SystemTime::now() + BEHIND)
    }

    /// Whether there is a whole entry of this name.
    ///
    /// # Errors
    /// Nobody can tell: taken for one, the sender would never be told.
    fn is_made(&self, id: &str) -> Result<bool, Failure> {
        for folder in Folder::ALL {
            match self.flush.spool.look(folder, id) {
                Err(Unopened::Gone | Unopened::Torn(_)) => {}
                Err(Unopened::Failed(failure)) => return Err(failure),
                Ok(_) | Err(Unopened::Busy | Unopened::Newer) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Whether `bounce` was made by a run that was ended before its original said so. Sent first, it would be made once
    /// more.
    pub(super) fn is_ahead(&self, bounce: &Opened) -> bool {
        let Some((of, number)) = bounce.id().rsplit_once("-b") else { return false };
        self.flush.spool.look(Folder::Queue, of).is_ok_and(|original| match number.parse::<u32>() {
            // It tells of those that this try came to.
            Ok(number) => original.state.tries < number,
            Err(_) => !original.state.is_bounced,
        })
    }

    /// Whether the entry `id` is still to be given up.
    fn waits(&self, id: &str) -> bool {
        !matches!(self.flush.spool.look(Folder::Queue, id), Err(Unopened::Gone))
    }

    fn tally(&self) -> Result<Tally, Failure> {
        let kept = self.flush.spool.keep().read(TALLY, TALLY_LIMIT)?;
        // One that cannot be read counts nothing: a bounce too many is better than none.
        Ok(kept.and_then(|(octets, _)| serde_json::from_slice(&octets).ok()).unwrap_or_default())
    }

    fn save(&self, tally: &Tally) -> Result<(), Failure> {
        let octets = serde_json::to_vec(tally);
        let octets = octets.map_err(|error| Failure::new(Kind::Software, TALLY, error.to_string()))?;
        self.flush.spool.keep().save(TALLY, &octets)
    }
}

/// Whether the sender of what `head` tells of may hear of its end.
fn is_told(site: &Site, head: &Head) -> bool {
    site.spooling.bounce && !head.is_bounce && site.staging.guard != Some(Guard::Discard)
}

/// The site's own address.
fn address_of(site: &Site) -> Option<Address> {
    site.from.as_ref()?.spec.address().ok()
}

fn zoned(at: i64, zone: &TimeZone) -> Zoned {
    Timestamp::from_second(at).unwrap_or_default().to_zoned(zone.clone())
}

/// The host of `relay`.
fn host_of(relay: &Relay) -> String {
    match &relay.place {
        Place::Tcp { host, .. } => host.clone(),
        Place::Unix(_) => relay.name.clone(),
    }
}

/// Those of `entry` who did not get the message, as the relay that decided says it; `is_meant` chooses among the
/// answers.
fn of_submission(submission: &Submission, entry: &Entry, is_meant: impl Fn(&Answer) -> bool) -> Vec<Undelivered> {
    let Try { relay, result, .. } = submission.decisive();
    let (relay, tried) = (host_of(relay), host::now());
    let undelivered = |recipient: &Address, last| Undelivered {
        recipient: recipient.clone(),
        original: entry.head.envelope.dsn.original_of(recipient).cloned(),
        last,
        relay: Some(relay.clone()),
        tried: Some(tried.clone()),
    };
    match result {
        Ok(Outcome { answers, .. }) => answers
            .iter()
            .filter(|answer| answer.reply.as_ref().is_none_or(|reply| !reply.is_positive()) && is_meant(answer))
            .map(|answer| undelivered(&answer.recipient, answer.reply.clone().map_or(Last::Unsent, Last::Reply)))
            .collect(),
        Err(failure) => {
            let last = match &failure.kind {
                Kind::Refused(reply) => Last::Reply(reply.clone()),
                Kind::Data => Last::Unfit(failure.to_string()),
                _ => Last::Silence(failure.to_string()),
            };
            entry.head.envelope.forward_paths.iter().map(|recipient| undelivered(recipient, last.clone())).collect()
        }
    }
}

/// Those who still wait, with what was said last.
fn of_entry(entry: &Entry, site: &Site) -> Vec<Undelivered> {
    let (head, state) = (&entry.head, &entry.state);
    let name = state.relay.as_ref().or(head.route.first());
    let relay = name
        .map(|name| site.relays.iter().find(|relay| relay.name == *name).map_or(name.clone(), |relay| host_of(relay)));
    let said = state.said.as_ref().map_or(&head.why, |(_, text)| text);
    let tried = state.last.map(|at| zoned(at, host::now().time_zone()));
    let undelivered = |recipient: &Address| Undelivered {
        recipient: recipient.clone(),
        original: head.envelope.dsn.original_of(recipient).cloned(),
        last: last(said),
        relay: relay.clone(),
        tried: tried.clone(),
    };
    head.envelope.forward_paths.iter().map(undelivered).collect()
}

/// What was written down of a reply or a failure.
fn last(said: &str) -> Last {
    let (code, text) = said.split_once(' ').unwrap_or((said, ""));
    match code.parse() {
        Ok(code @ 400..=599) if said.len() >= 3 => {
            let (enhanced, text) = Enhanced::split(text);
            Last::Reply(Reply::new(code, enhanced, text))
        }
        _ => Last::Silence(said.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_a_reply_again() {
        for (said, reply) in [
            ("550 5.1.1 no such user", Reply::own(550, (5, 1, 1), "no such user")),
            ("421 busy", Reply::new(421, None, "busy")),
            ("452", Reply::new(452, None, "")),
        ] {
            assert_eq!(last(said), Last::Reply(reply), "{said}");
        }
        for said in ["smtp.example.net:465: connection refused", "250 fine", "", "4500 x"] {
            assert_eq!(last(said), Last::Silence(said.to_owned()));
        }
    }
}
