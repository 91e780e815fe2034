//! One entry in a run: opened, judged, sent, and what came of it written down.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::stuck::Stuck;
use super::{Fate, Run, give_up, relays, unix};
use crate::address::Address;
use crate::attempt::{IdempotencyKey, Sink};
use crate::breaker::{Breaker, Health};
use crate::config::Config;
use crate::config::relay::Relay;
use crate::config::site::{Guard, InDoubt, Kinds, Site, Terms};
use crate::failure::{Failure, Kind};
use crate::limit::ban;
use crate::message::MailObject;
use crate::spool::decision::{self, decide, said};
use crate::spool::entry::{Entry, Waiting};
use crate::spool::{Ended, Folder, Kept, Line, Opened, State, Unopened};
use crate::submit::{self, Manner, Submission, Try};

/// How long a file that is no whole entry is left alone: somebody may still be writing it.
const UNFINISHED: Duration = Duration::from_secs(3600);
/// How long behind the one that asks a relay again those are due that wait for its answer.
const BEHIND: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// Tries the entry `id`, if it `is_meant`.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub(super) fn try_one(&mut self, id: &str, is_meant: impl FnOnce(&Entry) -> bool) -> Result<Fate, Failure> {
        match self.flush.spool.open(Folder::Queue, id) {
            Ok(opened) if !is_meant(&opened.entry) => Ok(Fate::Gone),
            Ok(opened) if self.line.takes(&opened.entry) => {
                self.line_up(id);
                Ok(Fate::Gone)
            }
            Ok(opened) => self.attend(opened),
            Err(Unopened::Gone) => Ok(Fate::Gone),
            Err(Unopened::Busy) => Ok(Fate::Left),
            Err(why) => Ok(self.pass_over(id, why)),
        }
    }

    /// Whether the entry `id` waits for its relays alone, and one of them is well now: another process has found out.
    pub(super) fn may_go(&self, id: &str) -> bool {
        let is_well = |entry: Entry| {
            let site = self.site(self.course.config().ok()?, &entry.head.site).ok()?;
            let breaker = Breaker::of(site, self.course.caller().uid)?;
            let route = self.down.without(Self::route(site, &entry.head.route), None).ok()?;
            Some(route.iter().any(|relay| breaker.health(relay) == Health::Up))
        };
        let entry = self.flush.spool.look(Folder::Queue, id).ok().filter(relays::is_held_back);
        entry.and_then(is_well) == Some(true)
    }

    /// What becomes of a file that cannot be opened as an entry.
    fn pass_over(&self, id: &str, why: Unopened) -> Fate {
        let spool = self.flush.spool;
        let what = || spool.directory().join(Folder::Queue.name()).join(id).display().to_string();
        let (fate, failure) = match why {
            Unopened::Torn(flaw) if spool.clear_away(Folder::Queue, id, UNFINISHED) => {
                let why = format!("was never finished ({flaw}), so nobody relied on it: removed");
                (Fate::Gone, Failure::new(Kind::Io, what(), why))
            }
            Unopened::Torn(_) | Unopened::Gone | Unopened::Busy => return Fate::Gone,
            Unopened::Newer => {
                let why = "was made by a newer version of this program, which has to send it";
                spool.put_off(Folder::Queue, id, SystemTime::now() + UNFINISHED);
                (Fate::Left, Failure::new(Kind::Io, what(), why))
            }
            // Who else laid it there has been told of by the run that met it first.
            Unopened::Failed(failure) if failure.kind == Kind::NoPermission && !self.is_new(id) => return Fate::Left,
            Unopened::Failed(failure) => (Fate::Left, failure),
        };
        self.flush.dossier.resume(id);
        self.flush.dossier.fail(&failure);
        self.flush.dossier.rest();
        fate
    }

    /// Whether the file came, or was given to another, since the run before.
    fn is_new(&self, id: &str) -> bool {
        let changed = self.flush.spool.changed(Folder::Queue, id);
        self.last.is_none_or(|last| changed.is_none_or(|changed| changed >= last))
    }

    fn attend(&mut self, mut opened: Opened) -> Result<Fate, Failure> {
        let dossier = self.flush.dossier;
        if opened.entry.state.is_accepted() {
            // Everybody has it; only its name outlived that.
            let site = self.course.config().ok().and_then(|config| config.site(&opened.entry.head.site));
            done(opened, site)?;
            return Ok(Fate::Sent);
        }
        if opened.entry.state.is_bounced {
            // Its sender is told; only its name stayed where it was.
            opened.move_to(Folder::Failed)?;
            return Ok(Fate::Failed);
        }
        if opened.entry.head.is_bounce && self.is_ahead(&opened) {
            opened.retry_at(SystemTime::now() + give_up::BEHIND)?;
            return Ok(Fate::Waiting);
        }
        dossier.resume(opened.id());
        dossier.set_envelope(&opened.entry.head.envelope);
        dossier.set_diverted_from(&opened.entry.head.diverted_from);
        let config = self.course.config()?;
        dossier.set_config(config);
        let fate = match self.site(config, &opened.entry.head.site) {
            Ok(site) => {
                dossier.set_site(config, site);
                let stuck = Stuck::of(&opened.entry);
                let fate = match ban::check(config, site, self.course.caller().uid) {
                    // Its sender hears of it as of any other, once the ban is over.
                    Err(_) if is_over(&opened) && !opened.entry.state.is_in_doubt() => self.give_up(site, opened, None),
                    Err(failure) => self.put_off(opened, &failure),
                    Ok(()) => self.attend_for(site, opened),
                };
                if let (Ok(Fate::Waiting), Some(stuck)) = (&fate, stuck) {
                    stuck.tell(site, dossier);
                }
                fate
            }
            Err(failure) if is_over(&opened) => self.give_up_without_site(opened, failure),
            Err(failure) => self.put_off(opened, &failure),
        };
        dossier.rest();
        fate
    }

    /// The site of this name.
    ///
    /// # Errors
    /// There is none any more, or it may not send, or this uid may not send for it.
    fn site<'c>(&self, config: &'c Config, name: &str) -> Result<&'c Site, Failure> {
        let caller = self.course.caller();
        let site = config.site(name).filter(|site| site.is_open_to(caller.uid)).ok_or_else(|| {
            let why = "is no site of this user any more, so what it sent waits";
            Failure::new(Kind::Configuration, format!("site {name}"), why)
                .hint("configure it again, or mailchute queue drop --site throws its messages away")
        })?;
        site.check_enabled().map(|()| site)
    }

    /// The relays that `names` names, or the site's own where none of these is left.
    fn route(site: &Site, names: &[String]) -> Vec<Arc<Relay>> {
        let all = site.every_relay();
        let find = |name: &String| all.iter().find(|relay| relay.name == *name).map(|relay| Arc::clone(relay));
        let named: Vec<_> = names.iter().filter_map(find).collect();
        if named.is_empty() { site.relays.to_vec() } else { named }
    }

    fn attend_for(&mut self, site: &Site, mut opened: Opened) -> Result<Fate, Failure> {
        let dossier = self.flush.dossier;
        if let Some(guard) = is_kept_from(site, &opened.entry) {
            return self.hold(opened, guard);
        }
        let state = opened.entry.state.clone();
        let mut route = Self::route(site, &opened.entry.head.route);
        let mut key = None;
        if state.is_in_doubt() {
            match settling(&opened.entry, &route) {
                // Who takes the key tells what became of it: nobody else is asked.
                Some((relay, known)) => (route, key) = (vec![relay], Some(known)),
                None if site.terms.in_doubt == InDoubt::Retry => {
                    dossier.warn(&["may have been accepted already, and is sent again".to_owned()]);
                }
                None => {
                    dossier.fail(&in_doubt(&state, opened.id()));
                    opened.move_to(Folder::Held)?;
                    return Ok(Fate::Held);
                }
            }
        }
        if state.ended == Some(Ended::Refused) {
            return self.give_up(site, opened, None);
        }
        if opened.entry.head.is_unadmitted
            && let Some(fate) = self.admit(site, &mut opened)?
        {
            return match fate {
                Fate::Failed => self.give_up(site, opened, None),
                fate => Ok(fate),
            };
        }
        let breaker = Breaker::of(site, self.course.caller().uid);
        let remembered = breaker.as_ref().filter(|_| !self.is_asked_for);
        let route = match self.down.without(route, remembered) {
            Ok(route) => route,
            Err(_) if is_over(&opened) && !state.is_in_doubt() => return self.give_up(site, opened, None),
            Err(until) => {
                opened.retry_at(until + BEHIND)?;
                return Ok(Fate::Waiting);
            }
        };
        let submission = match self.send(site, &opened, &route, breaker, key) {
            Ok(submission) => submission,
            Err(failure) => return self.put_off(opened, &failure),
        };
        let next = relays::next(SystemTime::now(), state.tries + 1, relays::chance());
        self.down.note(&submission, next);
        let envelope = opened.entry.head.envelope.clone();
        match judge(&submission, site) {
            Judged::Accepted => {
                write_end(&mut opened, &submission, Ended::Accepted, None)?;
                dossier.finish(&submission, &envelope, &Kept::No);
                self.has_recovered |= state.ended == Some(Ended::Deferred) && relays::is_held_back(&opened.entry);
                done(opened, Some(site))?;
                Ok(Fate::Sent)
            }
            Judged::Waits { waiting, is_relay_trouble, is_in_doubt } => {
                let waiting = waiting.map(|waiting| self.tell_of_refused(site, &opened, &submission, waiting));
                let is_part = waiting.is_some();
                let ended = if is_in_doubt { Ended::InDoubt } else { Ended::Deferred };
                write_end(&mut opened, &submission, ended, waiting.map(Waiting))?;
                if is_over(&opened) && !is_in_doubt {
                    return self.give_up(site, opened, Some(&submission));
                }
                dossier.finish(&submission, &envelope, &Kept::Queued { is_relay_trouble, is_part, is_in_doubt });
                opened.retry_at(next)?;
                Ok(Fate::Waiting)
            }
            Judged::Held => {
                write_end(&mut opened, &submission, Ended::InDoubt, None)?;
                dossier.finish(&submission, &envelope, &Kept::Held);
                opened.move_to(Folder::Held)?;
                Ok(Fate::Held)
            }
            Judged::Refused => {
                // Who has it is not told, nor tried once more by a person.
                let waiting = undelivered(&submission).map(Waiting);
                write_end(&mut opened, &submission, Ended::Refused, waiting)?;
                self.give_up(site, opened, Some(&submission))
            }
        }
    }

    /// Sends the message of `opened` along `route`; with the `key` that it was sent with before, to learn what became of
    /// that.
    ///
    /// # Errors
    /// It cannot be read, or what is to be marked in it cannot be.
    fn send(
        &mut self,
        site: &Site,
        opened: &Opened,
        route: &[Arc<Relay>],
        breaker: Option<Breaker<'_>>,
        key: Option<IdempotencyKey>,
    ) -> Result<Submission, Failure> {
        let flush = self.flush;
        let message = opened.message()?;
        flush.dossier.set_message(&message);
        *flush.marker.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened.marker()?);
        flush.hand_over.reset();
        let begin = |relay: &Relay| -> Option<Sink> {
            flush.dossier.set_relay(relay);
            None
        };
        let manner = Manner {
            route: route.into(),
            terms: site.terms,
            host_name: self.course.ehlo_argument(),
            begin: &begin,
            keyed: &|key| flush.note_key(key),
            hand_over: &flush.hand_over,
            breaker,
        };
        let mail = MailObject { envelope: &opened.entry.head.envelope, message: &message };
        let submission = match key {
            Some(key) => submit::resume(mail, manner, key, &mut self.upstream),
            None => submit::submit_over(mail, manner, &mut self.upstream),
        };
        *flush.marker.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(submission)
    }

    /// Has an entry wait for a person that `guard` keeps from those it was written to. It was taken before there was one;
    /// to be put off would end in giving it up.
    fn hold(&mut self, mut opened: Opened, guard: &Guard) -> Result<Fate, Failure> {
        let id = opened.id().to_owned();
        let why = format!("was taken before {guard} was set, which keeps it from those it was written to: held");
        let failure = Failure::new(Kind::NoPermission, &id, why).hint(format!(
            "mailchute queue drop {id} throws it away; mailchute queue release {id} sends it where the guard is lifted"
        ));
        note(&mut opened, &failure)?;
        self.flush.dossier.fail(&failure);
        opened.move_to(Folder::Held)?;
        Ok(Fate::Held)
    }

    /// Leaves an entry for later that was not given to any relay, because of `failure`.
    fn put_off(&mut self, mut opened: Opened, failure: &Failure) -> Result<Fate, Failure> {
        let now = SystemTime::now();
        note(&mut opened, failure)?;
        self.flush.dossier.fail(failure);
        opened.retry_at(relays::next(now, opened.entry.state.tries + 1, relays::chance()))?;
        Ok(Fate::Waiting)
    }
}

/// Writes down why an entry was not given to any relay. A doubt stays one.
pub(super) fn note(opened: &mut Opened, failure: &Failure) -> Result<(), Failure> {
    if opened.entry.state.is_in_doubt() {
        return Ok(());
    }
    let relay = opened.entry.state.relay.clone().unwrap_or_default();
    let (t, text, result) = (unix(SystemTime::now()), failure.to_string(), Ended::Deferred);
    opened.append(&Line::End { t, relay, result, code: None, text, waiting: None, is_of_relays: false }, false)
}

/// The guard of the site that `entry` would pass by: what waits was diverted when it was taken, or never will be.
fn is_kept_from<'s>(site: &'s Site, entry: &Entry) -> Option<&'s Guard> {
    let is_diverted = !entry.head.diverted_from.is_empty();
    site.staging.guard.as_ref().filter(|guard| !is_diverted || **guard == Guard::Discard)
}

/// Everybody has what `opened` holds: it goes, or it goes to the copies where its site keeps them.
fn done(mut opened: Opened, site: Option<&Site>) -> Result<(), Failure> {
    if site.is_some_and(|site| site.keeping.kinds == Kinds::All) {
        return opened.move_to(Folder::Sent);
    }
    opened.remove()
}

/// Whether the relay that may have the message of `entry`, as `site` is configured now, tells what became of it.
pub fn can_be_asked(entry: &Entry, site: &Site) -> bool {
    settling(entry, &Run::route(site, &entry.head.route)).is_some()
}

/// The relay that an entry in doubt was handed over to, and the key that it still knows.
fn settling(entry: &Entry, route: &[Arc<Relay>]) -> Option<(Arc<Relay>, IdempotencyKey)> {
    let Entry { head, state, .. } = entry;
    let name = state.begun.as_ref().map(|(_, relay)| relay).or(state.relay.as_ref());
    // Before any line names another, the key is one of the first relay.
    let name = name.or(head.route.first())?;
    let relay = route.iter().find(|relay| relay.name == *name)?;
    let since = Timestamp::from_second(head.keyed?).ok()?;
    let key = IdempotencyKey { value: head.key.clone()?, since, is_repeated: true };
    let is_known = key.is_known(relay.idempotency()?.window, Timestamp::now());
    is_known.then(|| (Arc::clone(relay), key))
}

/// What a submission comes to for an entry, for whom nobody waits.
enum Judged {
    Accepted,
    Waits { waiting: Option<Vec<Address>>, is_relay_trouble: bool, is_in_doubt: bool },
    Held,
    Refused,
}

/// As [`decide`] does it for whoever waits, but a configuration that is wrong is mended sooner or later, and nobody is
/// there to be told of a doubt.
fn judge(submission: &Submission, site: &Site) -> Judged {
    let Terms { in_doubt, .. } = site.terms;
    let in_doubt = if in_doubt == InDoubt::Retry { InDoubt::Retry } else { InDoubt::Hold };
    match decide(submission.results(), true, in_doubt) {
        decision::Fate::Queued { waiting, is_relay_trouble, is_in_doubt } => {
            Judged::Waits { waiting, is_relay_trouble, is_in_doubt }
        }
        decision::Fate::Held => Judged::Held,
        decision::Fate::Told => match &submission.decisive().result {
            Ok(outcome) if outcome.is_accepted() => Judged::Accepted,
            Err(failure) if !matches!(failure.kind, Kind::Data | Kind::Refused(_)) => {
                Judged::Waits { waiting: None, is_relay_trouble: true, is_in_doubt: false }
            }
            _ => Judged::Refused,
        },
    }
}

/// Who has not got it, where that is not everybody.
fn undelivered(submission: &Submission) -> Option<Vec<Address>> {
    let outcome = submission.decisive().result.as_ref().ok()?;
    let missing = outcome.undelivered();
    (!missing.is_empty() && missing.len() < outcome.answers.len()).then_some(missing)
}

/// Writes down how a try ended.
fn write_end(
    opened: &mut Opened,
    submission: &Submission,
    result: Ended,
    waiting: Option<Waiting>,
) -> Result<(), Failure> {
    let Try { relay, result: came, .. } = submission.decisive();
    let (code, text) = said(came);
    let (t, relay) = (unix(SystemTime::now()), relay.name.clone());
    let is_of_relays = relays::is_of_relays(submission);
    opened.append(&Line::End { t, relay, result, code, text, waiting, is_of_relays }, false)
}

/// Whether its time is up.
pub(super) fn is_over(opened: &Opened) -> bool {
    unix(SystemTime::now()) >= opened.entry.head.until
}

/// What is said of an entry whose hand-over was cut off.
fn in_doubt(state: &State, id: &str) -> Failure {
    let relay = state.begun.as_ref().map(|(_, relay)| relay).or(state.relay.as_ref());
    let relay = relay.map_or_else(|| "a relay".to_owned(), |name| format!("relay {name}"));
    let why = format!("was being handed over to {relay} when the flush was ended, so it may have been accepted: held");
    Failure::new(Kind::InDoubt, id, why).hint(format!(
        "look at the provider's log: if it arrived, mailchute queue drop {id}; if not, mailchute queue release {id}"
    ))
}
