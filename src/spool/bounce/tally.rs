//! How many bounces a site has: beyond so many in an hour, what is given up is told together.
//!
//! The first message over the limit waits for its bounce until the hour allows one again; what is given up meanwhile
//! gets none, and is told in that one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Undelivered, text};
use crate::address::Address;
use crate::reply::printable;

/// How many bounces of one site go out in any hour, the one that tells of others included.
pub const HOURLY: usize = 50;

/// An hour in seconds.
const HOUR: i64 = 3600;

/// How many of the messages without a bounce of their own are listed; the rest is counted.
const LISTED: usize = 50;

/// How much is kept of why a message was given up, in octets.
const WHY: usize = 160;

/// The bounces of the last hour, by site. Kept on disk between runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    sites: BTreeMap<String, OfSite>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct OfSite {
    /// When bounces went out, in seconds since 1970, in order.
    sent: Vec<i64>,
    /// The entry whose bounce waits, and will tell of the others.
    waiting: Option<String>,
    /// Those without a bounce of their own.
    withheld: Vec<Withheld>,
    /// How many more there are.
    others: u64,
}

/// A message that was given up without a bounce of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// Its ID.
    pub id: String,
    /// Whom its bounce would have gone to.
    pub to: String,
    /// Who did not get it, for people.
    pub recipients: String,
    /// Why the first of them did not.
    pub why: String,
}

impl Withheld {
    /// The entry `id`, whose bounce to `to` would have told of `recipients`.
    pub fn new(id: &str, to: &Address, recipients: &[Undelivered]) -> Self {
        let (names, why) = match recipients {
            [] => (String::new(), String::new()),
            [first] => (text::shown(&first.recipient), text::cause(first)),
            [first, rest @ ..] => {
                (format!("{} and {} more", text::shown(&first.recipient), rest.len()), text::cause(first))
            }
        };
        Self { id: id.to_owned(), to: to.to_string(), recipients: names, why: printable(why.as_bytes(), WHY) }
    }
}

/// What becomes of the bounce of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes out.
    Bounce,
    /// It goes out and tells of these, and of so many more; [`Tally::told`] once it is durable.
    Digest(Vec<Withheld>, u64),
    /// The entry stays until this time, in seconds since 1970.
    Wait(i64),
    /// There is none: it is told with another.
    Withhold,
}

impl Tally {
    /// Decides about the bounce of `entry` at `now`, in seconds since 1970, and counts it. `is_kept` says whether an
    /// entry still waits. Saved before it is acted upon, so that a crash costs a bounce too few at most.
    pub fn decide(&mut self, site: &str, entry: Withheld, now: i64, is_kept: impl Fn(&str) -> bool) -> Decision {
        let tally = self.of(site, now);
        tally.waiting = tally.waiting.take().filter(|id| *id == entry.id || is_kept(id));
        let is_next = tally.waiting.as_ref().is_none_or(|id| *id == entry.id);
        if !is_next {
            tally.withhold(entry);
            return Decision::Withhold;
        }
        if let Some(first) = tally.sent.first().filter(|_| tally.sent.len() >= HOURLY) {
            tally.waiting = Some(entry.id);
            return Decision::Wait(first + HOUR + 1);
        }
        tally.sent.push(now);
        match (tally.withheld.len(), tally.others) {
            (0, 0) => {
                tally.waiting = None;
                Decision::Bounce
            }
            (_, others) => Decision::Digest(tally.withheld.clone(), others),
        }
    }

    /// The same for a bounce that cannot wait, because its entry goes on: whether it goes out.
    pub fn admit(&mut self, site: &str, entry: Withheld, now: i64) -> bool {
        let tally = self.of(site, now);
        let is_admitted = tally.waiting.is_none() && tally.sent.len() < HOURLY;
        if is_admitted {
            tally.sent.push(now);
        } else {
            tally.withhold(entry);
        }
        is_admitted
    }

    /// What there is of `site` in the hour before `now`.
    fn of(&mut self, site: &str, now: i64) -> &mut OfSite {
        let tally = self.sites.entry(site.to_owned()).or_default();
        // What lies in the future was written by a clock that has been set back.
        tally.sent.retain(|&sent| (now - HOUR..=now).contains(&sent));
        tally
    }

    /// The bounce that tells of what was withheld is durable.
    pub fn told(&mut self, site: &str) {
        if let Some(tally) = self.sites.get_mut(site) {
            (tally.waiting, tally.others) = (None, 0);
            tally.withheld.clear();
        }
    }
}

impl OfSite {
    fn withhold(&mut self, entry: Withheld) {
        // A run that was killed gives it up once more.
        if self.withheld.iter().any(|known| known.id == entry.id) {
            return;
        }
        if self.withheld.len() < LISTED { self.withheld.push(entry) } else { self.others += 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> Withheld {
        let id = format!("{number:012x}");
        Withheld { id, to: "a@x.org".into(), recipients: "b@x.org".into(), why: "no".into() }
    }

    #[test]
    fn beyond_fifty_an_hour_the_rest_is_told_together() {
        let mut tally = Tally::default();
        let decide = |tally: &mut Tally, number, now| tally.decide("shop", entry(number), now, |_| true);
        for number in 0..50 {
            assert_eq!(decide(&mut tally, number, 1000 + number as i64), Decision::Bounce);
        }
        assert_eq!(tally.decide("other", entry(0), 1050, |_| true), Decision::Bounce, "another site has its own");
        assert_eq!(decide(&mut tally, 50, 1060), Decision::Wait(4601));
        for number in 51..103 {
            assert_eq!(decide(&mut tally, number, 1061), Decision::Withhold);
        }
        assert_eq!(decide(&mut tally, 51, 1061), Decision::Withhold, "once more after a crash");
        let text = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), tally);
        // The hour has room again, but the one that waits comes first.
        assert_eq!(decide(&mut tally, 103, 4602), Decision::Withhold);
        let Decision::Digest(listed, others) = decide(&mut tally, 50, 4602) else { panic!("{tally:?}") };
        assert_eq!((listed.len(), others), (50, 3));
        assert_eq!((&listed[0], &listed[49]), (&entry(51), &entry(100)));
        tally.told("shop");
        assert_eq!(decide(&mut tally, 104, 4603), Decision::Bounce);
    }

    #[test]
    fn one_that_waited_and_was_taken_away_is_followed_by_the_next() {
        let mut tally = Tally::default();
        for number in 0..50 {
            tally.decide("shop", entry(number), 1000, |_| true);
        }
        assert_eq!(tally.decide("shop", entry(50), 1000, |_| true), Decision::Wait(4601));
        assert_eq!(tally.decide("shop", entry(51), 1000, |_| true), Decision::Withhold);
        assert_eq!(tally.decide("shop", entry(52), 1001, |_| false), Decision::Wait(4601));
        assert_eq!(tally.decide("shop", entry(52), 4601, |_| false), Decision::Digest(vec![entry(51)], 0));
    }

    #[test]
    fn what_cannot_wait_is_told_with_the_next() {
        let mut tally = Tally::default();
        for number in 0..50 {
            assert!(tally.admit("shop", entry(number), 1000));
        }
        assert!(!tally.admit("shop", entry(50), 1000));
        assert_eq!(tally.decide("shop", entry(51), 4601, |_| true), Decision::Digest(vec![entry(50)], 0));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let mut tally = Tally::default();
        for number in 0..50 {
            tally.decide("shop", entry(number), 1_000_000, |_| true);
        }
        assert_eq!(tally.decide("shop", entry(50), 1000, |_| true), Decision::Bounce);
    }
}
