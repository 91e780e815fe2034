//! Which relays are down in a run, and when what failed is tried again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::unistd::getuid;

use crate::breaker::{Breaker, Event, Health, Trouble};
use crate::config::relay::Relay;
use crate::failure::{Failure, Kind};
use crate::limit;
use crate::outcome::{Outcome, Stage};
use crate::random;
use crate::spool::{Ended, Entry};
use crate::submit::Submission;

/// How long what failed once waits; it doubles each time.
const FIRST: Duration = Duration::from_secs(60);
/// The longest that it becomes.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long what waits for a relay waits that another process is asking.
const PROBED: Duration = Duration::from_secs(30);
/// How often in a row a relay may break off in the middle of a transaction until it counts as down.
const STRIKES: u8 = 3;

/// What one try says of its relay to the run that made it: the breaker's [`Event`], and whether the run may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// It answers.
    Up,
    /// It, and not the message, is the trouble.
    Down,
    /// It broke off in the middle: it may be the message.
    Doubtful,
}

/// The relays that failed in this run.
#[derive(Default)]
pub(super) struct Down(Vec<Bad>);

struct Bad {
    relay: Arc<Relay>,
    strikes: u8,
    /// When it is asked again, once it counts as down.
    until: Option<SystemTime>,
}

impl Down {
    /// Those of `route` that are not down; where all are, in this run or by what `breaker` remembers, or over a limit of
    /// theirs, when the first of them is asked again.
    pub(super) fn without(
        &self,
        mut route: Vec<Arc<Relay>>,
        breaker: Option<&Breaker<'_>>,
    ) -> Result<Vec<Arc<Relay>>, SystemTime> {
        let remembered = |relay: &Arc<Relay>| match breaker?.health(relay) {
            Health::Down(down) => Some(down.until().unwrap_or_else(|| SystemTime::now() + PROBED)),
            Health::Up | Health::Due(_) => None,
        };
        let over = |relay: &Arc<Relay>| {
            let limits = relay.limits.as_ref()?;
            limit::look(limits, 1, getuid().as_raw()).err()?.next()
        };
        let later = |relay| self.until(relay).or_else(|| remembered(relay)).or_else(|| over(relay));
        let until = route.iter().map(later).min().flatten();
        match until {
            Some(until) => Err(until),
            None => {
                route.retain(|relay| self.until(relay).is_none());
                Ok(route)
            }
        }
    }

    fn until(&self, relay: &Arc<Relay>) -> Option<SystemTime> {
        self.0.iter().find(|bad| Arc::ptr_eq(&bad.relay, relay))?.until
    }

    /// Notes what `submission` says of its relays; what is down is asked again at `next`.
    pub(super) fn note(&mut self, submission: &Submission, next: SystemTime) {
        // One that was over its limit was not asked.
        for attempt in submission.tries().iter().filter(|attempt| !is_over_limit(&attempt.result)) {
            let (relay, sign) = (&attempt.relay, sign(&attempt.relay, &attempt.result));
            let place = self.0.iter().position(|bad| Arc::ptr_eq(&bad.relay, relay));
            match (sign, place) {
                (Sign::Up, Some(place)) => drop(self.0.swap_remove(place)),
                (Sign::Up, None) => {}
                (sign, place) => {
                    let place = place.unwrap_or_else(|| {
                        self.0.push(Bad { relay: Arc::clone(relay), strikes: 0, until: None });
                        self.0.len() - 1
                    });
                    let bad = &mut self.0[place];
                    bad.strikes += 1;
                    if sign == Sign::Down || bad.strikes >= STRIKES {
                        bad.until = Some(next);
                    }
                }
            }
        }
    }
}

/// Whether a relay was passed by because of a limit of its own.
fn is_over_limit(result: &Result<Outcome, Failure>) -> bool {
    let is_transient = |failure: &Failure| matches!(&failure.kind, Kind::Refused(reply) if reply.is_transient());
    result.as_ref().is_err_and(|failure| failure.is_our_refusal() && is_transient(failure))
}

fn sign(relay: &Relay, result: &Result<Outcome, Failure>) -> Sign {
    let stage = match result {
        Ok(outcome) => outcome.decisive().map(|(answer, _)| answer.stage),
        Err(failure) => failure.stage,
    };
    let is_before = stage.is_none_or(|stage| stage < Stage::MailFrom);
    let kind = result.as_ref().err().map(|failure| &failure.kind);
    match (Event::of(relay, result), kind) {
        (Event::Works, _) => Sign::Up,
        (Event::Fails(Trouble::Login(_)), _) => Sign::Down,
        // What is wrong on our side is mended before the next run, not within this one.
        (Event::Undecided, Some(Kind::Configuration | Kind::NoPermission)) if is_before => Sign::Down,
        (Event::Undecided, Some(Kind::Configuration | Kind::NoPermission | Kind::Protocol)) => Sign::Doubtful,
        (Event::Undecided, _) => Sign::Up,
        (Event::Fails(_), _) if is_before => Sign::Down,
        (Event::Fails(_), _) => Sign::Doubtful,
    }
}

/// Whether all that `submission` says is said of its relays, so that the message may go as soon as one of them answers.
pub(super) fn is_of_relays(submission: &Submission) -> bool {
    let mut tries = submission.tries().iter();
    tries.all(|attempt| is_over_limit(&attempt.result) || sign(&attempt.relay, &attempt.result) != Sign::Up)
}

/// Whether an entry waits for its relays alone, and not for something that one of them said of its message.
pub(super) fn is_held_back(entry: &Entry) -> bool {
    let Entry { head, state, .. } = entry;
    match state.ended {
        None => !head.is_unadmitted && is_why_of_relays(&head.why),
        Some(ended) => ended == Ended::Deferred && state.is_of_relays,
    }
}

/// Whether `why`, for which a message waits since it was taken, is no reply, a closing or a refused login.
fn is_why_of_relays(why: &str) -> bool {
    let code = why.split(' ').next().filter(|word| word.len() == 3).and_then(|word| word.parse::<u16>().ok());
    !matches!(code, Some(400..=599)) || matches!(code, Some(421 | 454 | 530..=538))
}

/// When an entry is tried again that was tried `tries` times by `now`: a minute later, twice as long each time up to
/// an hour, a quarter more or less by `chance`.
pub(super) fn next(now: SystemTime, tries: u32, chance: u8) -> SystemTime {
    let span = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST);
    now + span.mul_f64(0.75 + 0.5 * f64::from(chance) / 255.0)
}

/// Any of 256 numbers.
pub(super) fn chance() -> u8 {
    random::octets::<1>().map_or(128, |[octet]| octet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::relay::Place;
    use crate::providers::TlsMode;
    use crate::reply::Reply;

    #[test]
    fn what_failed_waits_a_minute_and_then_twice_as_long_up_to_an_hour() {
        let now = SystemTime::UNIX_EPOCH;
        let wait = |tries, chance| next(now, tries, chance).duration_since(now).unwrap().as_secs();
        assert_eq!(
            [0, 1, 2, 3, 6, 7, 100, u32::MAX].map(|tries| wait(tries, 0)),
            [45, 45, 90, 180, 1440, 2700, 2700, 2700]
        );
        assert_eq!([1, 7].map(|tries| wait(tries, 255)), [75, 4500]);
    }

    #[test]
    fn a_relay_is_told_from_its_message() {
        let person = ["b@example.org".parse().unwrap()];
        let said = |code, stage| Ok(Outcome::same_for_all(&person, &Reply::own(code, (4, 0, 0), "no"), stage));
        let failed = |kind, stage| Err(Failure { stage, ..Failure::new(kind, "mx", "why") });
        let relay = Relay::new("main", Place::Tcp { host: "mx".to_owned(), port: 465 }, TlsMode::Implicit);
        for (result, expected) in [
            (said(250, Stage::Message), Sign::Up),
            (said(451, Stage::RcptTo), Sign::Up),
            (said(550, Stage::Message), Sign::Up),
            (said(421, Stage::Greeting), Sign::Down),
            (said(554, Stage::Greeting), Sign::Down),
            (said(454, Stage::Auth), Sign::Down),
            (said(535, Stage::Auth), Sign::Down),
            (said(530, Stage::MailFrom), Sign::Down),
            (said(421, Stage::MailFrom), Sign::Doubtful),
            (said(421, Stage::Message), Sign::Doubtful),
            (failed(Kind::NoHost, Some(Stage::Connect)), Sign::Down),
            (failed(Kind::Unavailable, None), Sign::Down),
            (failed(Kind::Protocol, Some(Stage::Tls)), Sign::Down),
            (failed(Kind::Configuration, None), Sign::Down),
            (failed(Kind::Unavailable, Some(Stage::Message)), Sign::Doubtful),
            (failed(Kind::InDoubt, Some(Stage::Message)), Sign::Doubtful),
            (failed(Kind::Data, Some(Stage::MailFrom)), Sign::Up),
        ] {
            assert_eq!(sign(&relay, &result), expected, "{result:?}");
        }
    }

    #[test]
    fn who_waits_for_a_relay_is_told_from_who_was_deferred() {
        for (why, expected) in [
            ("127.0.0.1:25: connection refused", true),
            ("", true),
            ("421 4.3.2 not now", true),
            ("535 5.7.8 no", true),
            ("451 4.7.1 greylisted", false),
            ("550 5.1.1 no", false),
            ("100 bottles", true),
        ] {
            assert_eq!(is_why_of_relays(why), expected, "{why}");
        }
    }
}
