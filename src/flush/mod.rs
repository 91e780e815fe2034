//! The flush: a run over what waits for one uid. What is due is sent, over as few sessions as there can be; what cannot
//! be sent waits longer, is held for a person or is given up.
//!
//! Everything that is done to an entry is on disk before anybody relies on it, so a run may end at any moment: the next
//! one goes on. Configuration, sites and relays are those of the moment, by the names that the entries hold.

mod agenda;
mod give_up;
mod line;
mod one;
mod relays;
mod stuck;
#[cfg(test)]
mod tests;

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use self::agenda::Agenda;
use self::line::InLine;
pub use self::one::can_be_asked;
use self::relays::Down;
use crate::attempt::{HandOver, IdempotencyKey};
use crate::conclude::Dossier;
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::journal;
use crate::keep::{Keep, Lock, Place};
use crate::plan::Course;
use crate::spool::flusher::LOCK;
use crate::spool::store::Marker;
use crate::spool::{Folder, Line, Spool};
use crate::submit::Upstream;

/// How long one run may take; what is left then is the next one's.
const SPAN: Duration = Duration::from_secs(10 * 60);
/// The lock of the process that stays.
const STAY: &str = "stay.lock";
/// How many sessions are kept at once.
const SESSIONS: usize = 4;
/// How many entries that are not due are looked at for what another process has found out.
const SAMPLE: usize = 16;
/// After how many entries what was done to the names in the queue is made durable.
const BATCH: usize = 64;

/// Which entries are tried.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// These, due or not.
    pub ids: Vec<String>,
    /// All of this site, due or not.
    pub site: Option<String>,
}

impl Wanted {
    /// Whether it is what is due, and nothing else.
    fn is_due(&self) -> bool {
        self.ids.is_empty() && self.site.is_none()
    }
}

/// What a run came to, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sent to everybody.
    pub sent: usize,
    /// Tried in vain, or not tried because its relays are down.
    pub waiting: usize,
    /// In doubt: held for a person.
    pub held: usize,
    /// Refused or given up.
    pub failed: usize,
    /// Due, and left to the next run or to another process.
    pub left: usize,
}

impl Summary {
    /// What both came to: a run, and `next` behind it.
    pub fn and(self, next: Self) -> Self {
        // What waited after the first may have been sent by the second.
        Self { sent: self.sent + next.sent, held: self.held + next.held, failed: self.failed + next.failed, ..next }
    }

    /// What both came to: runs over two spools.
    pub fn beside(self, other: Self) -> Self {
        let (waiting, left) = (self.waiting + other.waiting, self.left + other.left);
        Self { waiting, left, ..self.and(other) }
    }

    /// Whether nothing that was due waits any longer.
    pub fn is_done(&self) -> bool {
        self.waiting + self.left == 0
    }
}

/// What came of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    Waiting,
    Held,
    Failed,
    Left,
    /// There was none, or none any more.
    Gone,
}

/// The right to flush a spool, which one process has at a time.
pub struct Turn {
    lock: Lock,
    /// When the run before began; `None`: there was none.
    last: Option<SystemTime>,
}

/// The right to stay until nothing waits in a spool, which one process has at a time; between its runs it leaves the
/// turn to others.
pub struct Stay(#[expect(dead_code, reason = "let go when dropped")] Lock);

impl Turn {
    /// `None`: another process is flushing. Nothing is waited for.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn take(spool: &Spool) -> Result<Option<Self>, Failure> {
        let last = fs::symlink_metadata(spool.keep().file(LOCK)).and_then(|lock| lock.modified()).ok();
        Ok(take(spool, LOCK)?.map(|lock| Self { lock, last }))
    }
}

impl Stay {
    /// `None`: another process stays. Nothing is waited for.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn take(spool: &Spool) -> Result<Option<Self>, Failure> {
        Ok(take(spool, STAY)?.map(Self))
    }
}

fn take(spool: &Spool, name: &str) -> Result<Option<Lock>, Failure> {
    match spool.keep().lock(name, Deadline::after(Duration::ZERO)) {
        Ok(lock) => Ok(Some(lock)),
        Err(failure) if failure.kind == Kind::Unavailable => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// What runs have in common that follow each other in one process.
pub struct Flush<'a> {
    spool: &'a Spool,
    dossier: &'a Dossier,
    /// Whether the process is to end.
    is_stopped: &'a dyn Fn() -> bool,
    /// Hears how far a run is: entries done, and all of them.
    progress: &'a dyn Fn(usize, usize),
    hand_over: Arc<HandOver>,
    /// What writes into the entry that is being sent.
    marker: Arc<Mutex<Option<Marker>>>,
}

impl<'a> Flush<'a> {
    /// Runs over `spool`. Records are those of `dossier`.
    pub fn of(
        spool: &'a Spool,
        dossier: &'a Dossier,
        is_stopped: &'a dyn Fn() -> bool,
        progress: &'a dyn Fn(usize, usize),
    ) -> Self {
        let marker: Arc<Mutex<Option<Marker>>> = Arc::default();
        let slot = Arc::clone(&marker);
        let mark = move |relay: &str| match &mut *slot.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(marker) => marker.append(&Line::Begun { t: unix(SystemTime::now()), relay: relay.to_owned() }, true),
            None => Err(Failure::new(Kind::Software, "entry", "none is being sent")),
        };
        let hand_over = Arc::new(HandOver::marked(Box::new(mark)));
        Self { spool, dossier, is_stopped, progress, hand_over, marker }
    }

    /// Notes the key that the entry being sent is sent with. The mark of the hand-over, behind it in the same file, makes
    /// it durable.
    fn note_key(&self, key: &IdempotencyKey) {
        if let Some(marker) = &mut *self.marker.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = marker.append(&Line::Keyed { t: key.since.as_second(), key: key.value.clone() }, false);
        }
        self.dossier.set_key(key);
    }

    /// One run, under the configuration that `course` finds.
    ///
    /// # Errors
    /// The spool cannot be read or written. What was done until then is done.
    pub fn run(&self, course: &Course<'_>, wanted: &Wanted, turn: &Turn) -> Result<Summary, Failure> {
        turn.lock.touch();
        if let Ok(config) = course.config() {
            journal::expire(course.caller().uid, config.log_keep);
        }
        let now = SystemTime::now();
        let agenda = Agenda::of(self.spool, |listed| match wanted.is_due() {
            true => listed.due <= now,
            false => wanted.ids.is_empty() || wanted.ids.contains(&listed.id),
        })?;
        let mut run = Run {
            flush: self,
            course,
            upstream: Upstream::of(SESSIONS),
            down: Down::default(),
            end: Instant::now() + SPAN,
            summary: Summary::default(),
            unsynced: 0,
            has_recovered: false,
            is_asked_for: !wanted.is_due(),
            last: turn.last,
            line: InLine::default(),
        };
        let mut result = run.pass(&agenda, wanted).and_then(|()| run.serve_line(wanted, now));
        // There may not be room for both.
        drop(agenda);
        if result.is_ok() && wanted.is_due() {
            // A relay answers again: what waited for it is due at once.
            result = Agenda::of(self.spool, |listed| listed.due > now).and_then(|later| {
                let is_well = run.has_recovered
                    // Where nothing is remembered of relays, all look well.
                    || Keep::of(Place::State, course.caller().uid).is_some()
                        && later.ids().take(SAMPLE).any(|id| run.may_go(id));
                if is_well { run.pass_held_back(&later) } else { Ok(()) }
            });
        }
        run.age();
        let synced = run.sync();
        let summary = run.summary;
        result.and(synced).map(|()| summary)
    }
}

/// A run under way.
struct Run<'a> {
    flush: &'a Flush<'a>,
    course: &'a Course<'a>,
    upstream: Upstream,
    /// The relays that are down.
    down: Down,
    end: Instant,
    summary: Summary,
    /// Entries whose names were touched since they were last made durable.
    unsynced: usize,
    /// A relay that had failed took something.
    has_recovered: bool,
    /// A person wants it done, whatever is remembered of the relays.
    is_asked_for: bool,
    /// When the run before began.
    last: Option<SystemTime>,
    /// What waits for a limit.
    line: InLine,
}

impl Run<'_> {
    /// Tries what is on `agenda`.
    fn pass(&mut self, agenda: &Agenda, wanted: &Wanted) -> Result<(), Failure> {
        self.each(agenda.ids(), agenda.len(), |run, id| {
            run.try_one(id, |entry| wanted.site.as_ref().is_none_or(|site| *site == entry.head.site))
        })
    }

    /// Tries those on `agenda` whose relays had failed, not those that had failed themselves.
    fn pass_held_back(&mut self, agenda: &Agenda) -> Result<(), Failure> {
        self.each(agenda.ids(), agenda.len(), |run, id| match run.flush.spool.look(Folder::Queue, id) {
            Ok(entry) if relays::is_held_back(&entry) => run.try_one(id, relays::is_held_back),
            _ => Ok(Fate::Gone),
        })
    }

    /// Does `work` for each of `count` names, as far as there is time.
    fn each<'i>(
        &mut self,
        ids: impl Iterator<Item = &'i str>,
        count: usize,
        mut work: impl FnMut(&mut Self, &str) -> Result<Fate, Failure>,
    ) -> Result<(), Failure> {
        for (number, id) in ids.enumerate() {
            if (self.flush.is_stopped)() || Instant::now() >= self.end {
                self.summary.left += count - number;
                break;
            }
            let fate = work(self, id)?;
            let summary = &mut self.summary;
            match fate {
                Fate::Sent => summary.sent += 1,
                Fate::Waiting => summary.waiting += 1,
                Fate::Held => summary.held += 1,
                Fate::Failed => summary.failed += 1,
                Fate::Left => summary.left += 1,
                Fate::Gone => {}
            }
            self.unsynced += usize::from(fate == Fate::Sent);
            if self.unsynced >= BATCH {
                self.sync()?;
            }
            (self.flush.progress)(number + 1, count);
        }
        Ok(())
    }

    /// Removes what is done with and old enough. That it cannot be is no trouble of what waits.
    fn age(&self) {
        if let Ok(config) = self.course.config() {
            let span = |site: &str| config.site(site).map(|site| site.keeping.span);
            let _ = self.flush.spool.age(&span);
        }
    }

    /// Makes durable what was done to the names in the queue.
    fn sync(&mut self) -> Result<(), Failure> {
        match std::mem::take(&mut self.unsynced) {
            0 => Ok(()),
            _ => self.flush.spool.sync(Folder::Queue),
        }
    }
}

/// Seconds since 1970.
fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
