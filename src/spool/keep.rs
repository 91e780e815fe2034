//! Keeps a message that no relay could be given: what is decided, made durable, and sure to be sent.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::decision::{Fate, decide, said};
use super::entry::Head;
use super::flusher::{self, Flusher};
use super::room;
use super::store::{Folder, Spool};
use crate::address::Address;
use crate::attempt::{HandOver, IdempotencyKey};
use crate::caller::Caller;
use crate::config::relay::Relay;
use crate::config::site::{InDoubt, Kinds, Site};
use crate::envelope::Envelope;
use crate::failure::{Failure, Kind};
use crate::keep::Place;
use crate::limit;
use crate::message::MailObject;
use crate::outcome::Outcome;
use crate::submit;

/// How long a message waits before it is tried again: its relays have just been asked.
const FIRST: Duration = Duration::from_secs(60);

/// What has become of a message beside what its relays said.
#[derive(Debug, Default)]
pub enum Kept {
    /// Nothing: what they said is all.
    #[default]
    No,
    /// It is durable, and something is sure to send it to those who wait.
    Queued {
        /// No weather: somebody has to mend a relay.
        is_relay_trouble: bool,
        /// Not everybody waits: the others have it or were refused.
        is_part: bool,
        /// Somebody may have it already, so it may arrive twice.
        is_in_doubt: bool,
    },
    /// It is durable, and waits for a person.
    Held,
    /// It was to be kept, and could not be.
    Failed(Failure),
    /// It is done with, and a copy of it is in this folder.
    Copied(Folder),
    /// It is done with, and the copy that was to be kept could not be made, which changes nothing else.
    Uncopied(Failure),
}

/// What is kept, and for whom.
pub struct Order<'a> {
    /// Who calls.
    pub caller: &'a Caller,
    /// The site that speaks.
    pub site: &'a Site,
    /// The relays of the route.
    pub route: &'a [Arc<Relay>],
    /// The message, made fit, and its envelope.
    pub mail: MailObject<'a>,
    /// The identifier of the record.
    pub id: &'a str,
    /// The relay that may have the message, and the key by which it can be asked again.
    pub doubt: Option<(&'a Relay, &'a IdempotencyKey)>,
    /// Whom it was written to, where it goes to others.
    pub diverted_from: &'a [Address],
    /// What signals are answered by.
    pub hand_over: &'a HandOver,
}

/// How something waits.
struct Waits {
    /// For whom; `None`: for everybody.
    waiting: Option<Vec<Address>>,
    why: String,
    /// When it is tried.
    due: SystemTime,
    is_in_doubt: bool,
    is_unadmitted: bool,
}

impl Waits {
    /// For everybody, to be tried in a while.
    fn of(why: String) -> Self {
        let due = SystemTime::now() + FIRST;
        Self { waiting: None, why, due, is_in_doubt: false, is_unadmitted: false }
    }
}

impl Order<'_> {
    /// Keeps the message where `results`, of one relay after the other, ask for that. Nothing is touched where they do
    /// not.
    pub fn keep<'r>(&self, results: impl Iterator<Item = &'r Result<Outcome, Failure>>) -> Kept {
        let (is_spooling, in_doubt) = (self.site.spooling.is_on, self.site.terms.in_doubt);
        if !is_spooling && in_doubt != InDoubt::Hold && self.site.keeping.kinds == Kinds::None {
            return Kept::No;
        }
        let results: Vec<_> = results.collect();
        let why = || results.last().map(|result| said(result).1).unwrap_or_default();
        match decide(results.iter().copied(), is_spooling, in_doubt) {
            Fate::Told => self.copy(&results, why).unwrap_or(Kept::No),
            Fate::Held => self.hold(why()).map_or_else(Kept::Failed, |()| Kept::Held),
            Fate::Queued { waiting, is_relay_trouble, is_in_doubt } => {
                let is_part = waiting.is_some();
                match self.queue(Waits { waiting, is_in_doubt, ..Waits::of(why()) }) {
                    Ok(()) => Kept::Queued { is_relay_trouble, is_part, is_in_doubt },
                    Err(failure) => Kept::Failed(failure),
                }
            }
        }
    }

    /// Whether [`Order::keep`] would have the message wait for a later try, as far as that is known without making
    /// something.
    pub fn would_wait<'r>(&self, results: impl Iterator<Item = &'r Result<Outcome, Failure>>) -> bool {
        let fate = decide(results, self.site.spooling.is_on, self.site.terms.in_doubt);
        let has_place = || Spool::find(self.caller).is_some_and(|spool| spool.closed().is_none());
        matches!(fate, Fate::Queued { .. }) && has_place()
    }

    /// Keeps a message that is over a limit of its site, for the reason `why`, to be admitted at `due`.
    pub fn wait(&self, why: String, due: Option<SystemTime>) -> Kept {
        let due = due.unwrap_or_else(|| SystemTime::now() + FIRST);
        match self.queue(Waits { due, is_unadmitted: true, ..Waits::of(why) }) {
            Ok(()) => {
                limit::line_up(self.site, self.caller.uid, Some(due));
                Kept::Queued { is_relay_trouble: false, is_part: false, is_in_doubt: false }
            }
            Err(failure) => Kept::Failed(failure),
        }
    }

    /// Makes an entry that waits for a person.
    fn hold(&self, why: String) -> Result<(), Failure> {
        self.put(&self.spool()?, Folder::Held, Waits { is_in_doubt: true, ..Waits::of(why) })
    }

    /// Makes an entry that something is sure to send.
    fn queue(&self, waits: Waits) -> Result<(), Failure> {
        let spool = self.spool()?;
        let flusher = flusher::of(&spool);
        self.put(&spool, Folder::Queue, waits)?;
        match flusher {
            Flusher::Supervised => Ok(()),
            // The caller hears of the failure, so nobody may send it behind its back.
            Flusher::Own => flusher::start().inspect_err(|_| spool.take_back(Folder::Queue, self.id)),
        }
    }

    /// Makes a copy of what is done with, where the site keeps one.
    fn copy(&self, results: &[&Result<Outcome, Failure>], why: impl FnOnce() -> String) -> Option<Kept> {
        let last = results.last()?.as_ref();
        let is_accepted = last.is_ok_and(Outcome::is_accepted);
        let (folder, waiting) = match (self.site.keeping.kinds, is_accepted) {
            (Kinds::None, _) | (Kinds::Failed, true) => return None,
            (Kinds::All, true) => (Folder::Sent, None),
            (_, false) => (Folder::Failed, last.ok().map(Outcome::undelivered)),
        };
        let is_in_doubt = !is_accepted && results.iter().any(|result| submit::is_in_doubt(result));
        let made = self.spool().and_then(|spool| {
            self.put(&spool, folder, Waits { waiting, is_in_doubt, ..Waits::of(why()) })?;
            Ok(spool)
        });
        match made {
            Ok(spool) => {
                // Where no timer comes round, whoever makes copies removes those whose time is up.
                if matches!(flusher::of(&spool), Flusher::Own) {
                    let span = |site: &str| (site == self.site.name).then_some(self.site.keeping.span);
                    let _ = spool.age(&span);
                }
                Some(Kept::Copied(folder))
            }
            Err(failure) => Some(Kept::Uncopied(failure)),
        }
    }

    fn spool(&self) -> Result<Spool, Failure> {
        Spool::of(self.caller).ok_or_else(|| {
            Failure::new(Kind::CannotCreate, Place::Spool.parent(), "there is no place for what waits")
                .hint("sudo install -d -m 1733 /var/spool/mailchute, or set on_relay_failure = \"fail\"")
        })
    }

    fn put(&self, spool: &Spool, folder: Folder, waits: Waits) -> Result<(), Failure> {
        room::admit(spool, folder, self.site.spooling.max, self.mail.message.size())?;
        // From now on a signal waits: what is durable is told.
        self.hand_over.keep();
        let envelope = self.mail.envelope;
        let envelope = match waits.waiting {
            Some(waiting) => Envelope { forward_paths: waiting, ..envelope.clone() },
            None => envelope.clone(),
        };
        // Whoever opens the entry takes the key for one of the first relay, before a line names another.
        let is_first = |relay: &Relay| self.route.first().is_some_and(|first| first.name == relay.name);
        let key = self.doubt.filter(|(relay, _)| is_first(relay)).map(|(_, key)| key);
        let message = self.mail.message;
        let head = Head {
            route: self.route.iter().map(|relay| relay.name.clone()).collect(),
            key: key.map(|key| key.value.clone()),
            keyed: key.map(|key| key.since.as_second()),
            in_doubt: waits.is_in_doubt,
            is_unadmitted: waits.is_unadmitted,
            diverted_from: self.diverted_from.to_vec(),
            ..Head::new(self.id.to_owned(), self.site, envelope, message, waits.why)
        };
        spool.enqueue(folder, &head, message, waits.due)
    }
}
