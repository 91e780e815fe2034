//! Limits: how much a site or a relay may send in a span of time, exact over all processes and in any such span.
//!
//! A message is counted once, when it is admitted and before any relay is asked. What cannot be counted is not sent: a
//! limit that holds only while the disk has room is none. `history` is the pure core over one file, `counter` the file.

pub mod ban;
mod counter;
mod history;
mod line;
mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use self::counter::{Counter, Denied};
use self::history::Room;
use self::record::Time;
use crate::config::limit::{Limit, Limits, OverLimit};
use crate::config::site::Site;
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::outcome::Outcome;
use crate::reply::Reply;

/// The longest that one waits for others who count.
const PATIENCE: Duration = Duration::from_secs(5);

/// The code of our refusal of what is over a limit, or stands behind what is.
const OVER: u16 = 450;

/// What was counted, for as long as it may turn out to be too much.
#[derive(Clone, Copy, Debug)]
pub struct Admitted {
    time: Time,
    recipients: u32,
}

/// Why a message is not admitted.
#[derive(Clone, Debug)]
pub enum Refused {
    /// It is over this limit, which has room again at the time that is named.
    Over(Box<Failure>, SystemTime, Limit),
    /// It never will be, as it is.
    Never(Box<Failure>),
    /// Others wait for the room that there is.
    Behind(Box<Failure>),
    /// It cannot be counted.
    Uncounted(Box<Failure>),
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The limit.
    pub limit: Limit,
    /// How much may still be sent now.
    pub left: u32,
    /// When there is more, where that is nothing.
    pub next: Option<SystemTime>,
}

/// Admits a message of `site` to so many recipients, and counts it for `uid`; `None`: the site has no limit. Where what
/// is over it waits, it stands behind those.
///
/// # Errors
/// It is not admitted, and nothing is counted.
pub fn admit_to(site: &Site, recipients: usize, uid: u32) -> Result<Option<Admitted>, Refused> {
    let Some(limits) = &site.limits else { return Ok(None) };
    enter(limits, recipients, uid, site.over_limit == OverLimit::Spool, site.terms.deadline).map(Some)
}

/// As [`admit_to`], for a message that has waited.
///
/// # Errors
/// As there.
pub fn admit_waiting(site: &Site, recipients: usize, uid: u32) -> Result<Option<Admitted>, Refused> {
    let Some(limits) = &site.limits else { return Ok(None) };
    enter(limits, recipients, uid, false, site.terms.deadline).map(Some)
}

/// Notes that something of `site` waits for its limit until `next`, or that nothing does: what comes stands behind it.
pub fn line_up(site: &Site, uid: u32, next: Option<SystemTime>) {
    let Some(limits) = &site.limits else { return };
    let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Counter::of(limits, uid).line(next.map(|next| record::nanoseconds(since(next))));
}

/// As [`admit_to`], for all that is counted with `limits`; others who count are waited for no longer than `span`.
///
/// # Errors
/// As there.
pub fn admit(limits: &Limits, recipients: usize, uid: u32, span: Duration) -> Result<Admitted, Refused> {
    enter(limits, recipients, uid, false, span)
}

fn enter(limits: &Limits, recipients: usize, uid: u32, is_new: bool, span: Duration) -> Result<Admitted, Refused> {
    let recipients = number(recipients);
    if limits.all.is_empty() {
        return Ok(Admitted { time: 0, recipients: 0 });
    }
    let deadline = Deadline::after(span.min(PATIENCE));
    let time =
        Counter::of(limits, uid).admit(recipients, is_new, deadline).map_err(|denied| refused(limits, denied))?;
    Ok(Admitted { time, recipients })
}

/// Whether one message with so many recipients and octets is what `limits` allow any message to be.
///
/// # Errors
/// `Data`: it is more.
pub fn fits(limits: &Limits, recipients: usize, octets: u64) -> Result<(), Failure> {
    let too_much = |most: String, is: String| {
        let failure =
            Failure::new(Kind::Data, limits.subject.as_str(), format!("takes {most} a message, this one has {is}"));
        Err(failure.hint("that is the provider's limit; without limit = \"provider\" it is asked itself"))
    };
    match (limits.recipients, limits.octets) {
        (Some(most), _) if recipients > most as usize => too_much(format!("{most} recipients"), recipients.to_string()),
        (_, Some(most)) if octets > most => too_much(format!("{most} octets"), octets.to_string()),
        _ => Ok(()),
    }
}

/// Whether a message to so many recipients would be admitted now. Nothing is counted, so the admission may still find
/// that another message came first.
///
/// # Errors
/// It would not be.
pub fn look(limits: &Limits, recipients: usize, uid: u32) -> Result<(), Refused> {
    Counter::of(limits, uid).look(number(recipients)).map_err(|denied| refused(limits, denied))
}

/// What is left of each of `limits` for `uid`. Nothing is made or waited for.
///
/// # Errors
/// The file that counts cannot be read.
pub fn left(limits: &Limits, uid: u32) -> Result<Vec<Left>, Failure> {
    let all = Counter::of(limits, uid).left().map_err(|failure| uncounted(limits, &failure))?;
    let told = |(limit, left, room)| match room {
        Room::From(time) if left == 0 => Left { limit, left, next: Some(moment(time)) },
        _ => Left { limit, left, next: None },
    };
    Ok(all.into_iter().map(told).collect())
}

impl Admitted {
    /// Takes it back: nothing was sent.
    pub fn take_back(self, limits: &Limits, uid: u32) {
        if self.recipients == 0 {
            return;
        }
        let deadline = Deadline::after(PATIENCE);
        Counter::of(limits, uid).take_back(self.time, self.recipients, self.recipients, deadline);
    }

    /// Leaves so many of its recipients counted: the others were sent nothing. The message counts.
    pub fn leave(self, recipients: usize, limits: &Limits, uid: u32) {
        let some = self.recipients.saturating_sub(number(recipients).max(1));
        if some > 0 {
            Counter::of(limits, uid).take_back(self.time, self.recipients, some, Deadline::after(PATIENCE));
        }
    }

    /// Leaves counted what `result` says was sent, or may have been.
    pub fn settle(self, result: &Result<Outcome, Failure>, limits: &Limits, uid: u32) {
        match result {
            Ok(outcome) if outcome.is_accepted_for_some() => {
                let accepted = outcome.answers.iter().filter(|answer| answer.is_accepted()).count();
                self.leave(accepted, limits, uid);
            }
            Err(failure) if failure.kind == Kind::InDoubt => {}
            Ok(_) | Err(_) => self.take_back(limits, uid),
        }
    }
}

impl Refused {
    /// As a failure: the cause and the next step.
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Over(failure, ..) | Self::Never(failure) | Self::Behind(failure) | Self::Uncounted(failure) => {
                failure
            }
        }
    }

    /// When the message may be tried again; `None`: nobody can tell.
    pub fn next(&self) -> Option<SystemTime> {
        match self {
            Self::Over(_, next, _) => Some(*next),
            Self::Behind(_) => Some(SystemTime::now()),
            Self::Never(_) | Self::Uncounted(_) => None,
        }
    }
}

/// Whether `failure` says that a site or a relay is over a limit of ours: no other refusal of ours is a 450.
pub fn is_over(failure: &Failure) -> bool {
    matches!(&failure.kind, Kind::Refused(reply) if failure.is_our_refusal() && reply.code() == OVER)
}

fn refused(limits: &Limits, denied: Denied) -> Refused {
    let subject = limits.subject.as_str();
    match denied {
        Denied::Over(limit, Room::From(time)) => {
            let text = format!("over the limit of {limit}, next free at {}", clock(moment(time)));
            let failure = Failure::refused(subject, Reply::own(OVER, (4, 7, 1), &text));
            let hint = match subject.split(' ').next() {
                Some("relay") => "add a relay behind it, or let it wait with on_relay_failure = \"spool\"",
                _ => "find out who sends so much; raise limit, or let it wait with over_limit = \"spool\"",
            };
            Refused::Over(failure.hint(hint).into(), moment(time), limit)
        }
        Denied::Over(limit, _) => {
            let text = format!("has more recipients than the limit of {limit} ever allows");
            let failure = Failure::refused(subject, Reply::own(550, (5, 5, 3), &text));
            Refused::Never(failure.hint("send it to fewer recipients at a time").into())
        }
        Denied::Behind => {
            let text = "other messages wait for its limit, this one waits behind them";
            Refused::Behind(Failure::refused(subject, Reply::own(OVER, (4, 7, 1), text)).into())
        }
        Denied::Uncounted(failure) => Refused::Uncounted(uncounted(limits, &failure).into()),
    }
}

/// What keeps the limits from being counted.
fn uncounted(limits: &Limits, failure: &Failure) -> Failure {
    let why = format!("its limit cannot be counted, so nothing is sent: {failure}");
    let hint = match failure.kind {
        Kind::CannotCreate => "sudo install -d -m 1733 /var/lib/mailchute/state, or leave limit out",
        Kind::Unavailable => "a process that was stopped may hold it: fuser names it",
        _ => "look at the owner of that file and at the free space; what it has counted is lost when it is removed",
    };
    Failure::new(failure.kind.clone(), limits.subject.as_str(), why).hint(failure.hint.as_deref().unwrap_or(hint))
}

fn number(recipients: usize) -> u32 {
    u32::try_from(recipients).unwrap_or(u32::MAX)
}

/// When there is room: the first full second.
fn moment(time: Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.div_ceil(1_000_000_000))
}

/// A time as this host's clock shows it, with the day where that is another one.
pub fn clock(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "some time".to_owned(), |time| shown(time, "%H:%M:%S"))
}

/// `time` in the form of strftime(3), where this host is, behind the day where that is not today.
fn shown(time: Timestamp, form: &str) -> String {
    let now = host::now();
    let time = time.to_zoned(now.time_zone().clone());
    let day = if time.date() == now.date() { "" } else { "%Y-%m-%d " };
    time.strftime(&format!("{day}{form}")).to_string()
}

/// `3 left`, `none left, next free at 14:05:10`: what is left of a limit, and when there is more.
pub fn left_in_words(left: u32, next: Option<SystemTime>) -> String {
    match (left, next) {
        (0, Some(next)) => format!("none left, next free at {}", clock(next)),
        (left, _) => format!("{left} left"),
    }
}

/// `20/minute: 3 left`, `20/minute: none left, next free at 14:05:10`.
impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.limit, left_in_words(self.left, self.next))
    }
}
