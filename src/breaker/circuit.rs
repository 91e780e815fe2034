//! What is remembered of one relay, and what an event makes of it: no clock, no file, no process.

use std::fmt;

/// Troubles in a row that open it; a refused login is enough alone.
const ENOUGH: u16 = 2;
/// How long after a trouble the next one is in a row with it, in milliseconds.
const ROW: u64 = 60_000;
/// How long it is open at first, in milliseconds, doubled each time its probe fails.
const SHORTEST: u64 = 30_000;
/// The longest it is open before another probe, in milliseconds.
const LONGEST: u64 = 600_000;
/// Nothing that is waited for lies further ahead, in milliseconds; what does was written before the clock was set back.
const HORIZON: u64 = LONGEST / 5 * 6;

/// Milliseconds since 1970.
pub(super) type Time = u64;

/// What was wrong with a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection.
    Connect,
    /// TLS failed, or is not offered.
    Tls,
    /// It was reached, and gave no reply in time or none at all.
    Silent,
    /// It does not speak the protocol, or offers no usable AUTH.
    Protocol,
    /// Its secret or access token could not be had.
    Token,
    /// It answered with this code before it heard of the message, or with one that is not about the message.
    Said(u16),
    /// It refused the login with this code.
    Login(u16),
}

/// As a reader is told it.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("no connection"),
            Self::Tls => f.write_str("TLS failed"),
            Self::Silent => f.write_str("no reply"),
            Self::Protocol => f.write_str("it does not speak the protocol"),
            Self::Token => f.write_str("its secret or access token could not be had"),
            Self::Said(code) => write!(f, "it answered {code}"),
            Self::Login(code) => write!(f, "it refused the login with {code}"),
        }
    }
}

/// What a try says of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It does its work, whatever it thinks of this message.
    Works,
    /// It does not.
    Fails(Trouble),
    /// Nothing: the trouble was ours.
    Undecided,
}

/// Whether a relay is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is.
    Closed,
    /// By one process, to see whether it is back.
    HalfOpen,
    /// Not now.
    Open,
}

/// What is remembered of one relay; nothing, while all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Circuit {
    /// Troubles in a row.
    pub(super) failures: u16,
    /// How often in a row it was opened; 0: it is closed.
    pub(super) openings: u8,
    /// The last trouble.
    pub(super) trouble: Option<Trouble>,
    /// When the first trouble of the row was.
    pub(super) since: Time,
    /// When the last one was.
    pub(super) failed_at: Time,
    /// Until when it is open.
    pub(super) until: Time,
    /// Until when a process probes it.
    pub(super) probe_until: Time,
    /// What configuration and secrets were when it last failed.
    pub(super) stamp: u32,
}

impl Circuit {
    /// Whether the relay is asked at `now`.
    pub(super) fn standing(&self, now: Time) -> Standing {
        match self.openings {
            0 => Standing::Closed,
            _ if is_ahead(self.until, now) || self.is_probed(now) => Standing::Open,
            _ => Standing::HalfOpen,
        }
    }

    /// Whether some process probes it at `now`.
    pub(super) fn is_probed(&self, now: Time) -> bool {
        is_ahead(self.probe_until, now)
    }

    /// The same once configuration and secrets have become those of `stamp`: what was wrong may be mended, so that a
    /// probe is due.
    pub(super) fn seen_with(self, stamp: u32) -> Self {
        match self.openings > 0 && self.stamp != stamp {
            true => Self { until: 0, ..self },
            false => self,
        }
    }

    /// What `event` at `now` makes of it; `chance` scatters the time until the next probe, by a fifth at most.
    pub(super) fn after(self, event: Event, now: Time, chance: u8) -> Self {
        let trouble = match event {
            Event::Works => return Self::default(),
            // Whoever probed it has learnt nothing, so that another one may.
            Event::Undecided => return Self { probe_until: 0, ..self },
            Event::Fails(trouble) => trouble,
        };
        let failed = Self { trouble: Some(trouble), failed_at: now, ..self };
        let opened = |openings: u8| Self { openings, until: now + interval(trouble, openings, chance), ..failed };
        match self.openings {
            0 => {
                let is_in_a_row = self.failures > 0 && now.abs_diff(self.failed_at) <= ROW;
                let failures = if is_in_a_row { self.failures.saturating_add(1) } else { 1 };
                let since = if is_in_a_row { self.since } else { now };
                let is_enough = failures >= ENOUGH || matches!(trouble, Trouble::Login(_));
                let after = if is_enough { opened(1) } else { failed };
                Self { failures, since, ..after }
            }
            // Whoever failed now began before it was opened, or tried it for want of another.
            _ if is_ahead(self.until, now) => self,
            openings => {
                Self { failures: self.failures.saturating_add(1), probe_until: 0, ..opened(openings.saturating_add(1)) }
            }
        }
    }

    /// The same, probed from `now` on for at most `span` milliseconds.
    pub(super) fn probed(self, now: Time, span: u64) -> Self {
        Self { probe_until: now + span.min(LONGEST), ..self }
    }
}

/// Whether `time` is still to come.
fn is_ahead(time: Time, now: Time) -> bool {
    time > now && time - now <= HORIZON
}

/// How long it is open, in milliseconds. Logins that are refused again and again lock accounts, so that the longest
/// time passes between two.
fn interval(trouble: Trouble, openings: u8, chance: u8) -> u64 {
    let span = match trouble {
        Trouble::Login(_) => LONGEST,
        _ => LONGEST.min(SHORTEST << u32::from(openings.saturating_sub(1)).min(8)),
    };
    span / 5 * 4 + span / 5 * 2 * u64::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::Event::{Fails, Undecided, Works};
    use super::Standing::{Closed, HalfOpen, Open};
    use super::*;

    const CONNECT: Event = Fails(Trouble::Connect);
    const LOGIN: Event = Fails(Trouble::Login(535));
    /// Four fifths of each time.
    const LEAST: u8 = 0;

    /// A line a step: seconds, what happens, and what the relay then is with the seconds until it is half open.
    type Step = (u64, Option<Event>, Standing, u64);

    #[test]
    fn every_event_in_every_state() {
        let table: &[(&str, &[Step])] = &[
            ("one trouble is none", &[(0, Some(CONNECT), Closed, 0), (3600, None, Closed, 0)]),
            ("two in a row", &[(0, Some(CONNECT), Closed, 0), (60, Some(CONNECT), Open, 24)]),
            (
                "of any kind",
                &[(0, Some(Fails(Trouble::Said(421))), Closed, 0), (1, Some(Fails(Trouble::Tls)), Open, 24)],
            ),
            (
                "too far apart",
                &[(0, Some(CONNECT), Closed, 0), (61, Some(CONNECT), Closed, 0), (62, Some(CONNECT), Open, 24)],
            ),
            (
                "not in a row",
                &[(0, Some(CONNECT), Closed, 0), (1, Some(Works), Closed, 0), (2, Some(CONNECT), Closed, 0)],
            ),
            (
                "trouble of ours is no end of the row",
                &[(0, Some(CONNECT), Closed, 0), (1, Some(Undecided), Closed, 0), (2, Some(CONNECT), Open, 24)],
            ),
            ("a refused login", &[(0, Some(LOGIN), Open, 480)]),
            ("a refused login after another trouble", &[(0, Some(CONNECT), Closed, 0), (600, Some(LOGIN), Open, 480)]),
            (
                "doubled",
                &[
                    (0, Some(CONNECT), Closed, 0),
                    (1, Some(CONNECT), Open, 24),
                    (24, None, Open, 1),
                    (25, None, HalfOpen, 0),
                    (25, Some(CONNECT), Open, 48),
                    (73, Some(CONNECT), Open, 96),
                    (169, Some(CONNECT), Open, 192),
                    (361, Some(CONNECT), Open, 384),
                    (745, Some(CONNECT), Open, 480),
                    (1225, Some(CONNECT), Open, 480),
                    (9999, None, HalfOpen, 0),
                    (9999, Some(LOGIN), Open, 480),
                ],
            ),
            (
                "who began before counts no more",
                &[
                    (0, Some(CONNECT), Closed, 0),
                    (0, Some(CONNECT), Open, 24),
                    (1, Some(CONNECT), Open, 23),
                    (2, Some(LOGIN), Open, 22),
                    (3, Some(Undecided), Open, 21),
                ],
            ),
            (
                "recovered, and all is forgotten",
                &[
                    (0, Some(CONNECT), Closed, 0),
                    (0, Some(CONNECT), Open, 24),
                    (24, Some(CONNECT), Open, 48),
                    (72, Some(Works), Closed, 0),
                    (73, Some(CONNECT), Closed, 0),
                    (74, Some(CONNECT), Open, 24),
                ],
            ),
            ("open, and tried for want of another", &[(0, Some(LOGIN), Open, 480), (1, Some(Works), Closed, 0)]),
        ];
        for (what, steps) in table {
            let mut circuit = Circuit::default();
            for (number, &(seconds, event, standing, left)) in steps.iter().enumerate() {
                let now = 1_000_000 + seconds * 1000;
                if let Some(event) = event {
                    circuit = circuit.after(event, now, LEAST);
                }
                assert_eq!(circuit.standing(now), standing, "{what}: {number}");
                assert_eq!(circuit.until.saturating_sub(now) / 1000, left, "{what}: {number}");
                assert_eq!(circuit == Circuit::default(), event == Some(Works) || circuit.failures == 0, "{what}");
            }
        }
    }

    fn opened(now: Time) -> Circuit {
        Circuit::default().after(CONNECT, now, 0).after(CONNECT, now, 0)
    }

    #[test]
    fn one_probes_and_the_others_wait_for_it() {
        let start = 1_000_000;
        let due = start + 24_000;
        let probed = opened(start).probed(due, 30_000);
        assert_eq!((probed.standing(due), probed.is_probed(due)), (Open, true));
        // It was killed, or learnt nothing.
        assert_eq!(probed.standing(due + 30_000), HalfOpen);
        assert_eq!(probed.after(Undecided, due + 1, 0).standing(due + 1), HalfOpen);
        // It failed or succeeded, as somebody else may who began before.
        let failed = probed.after(CONNECT, due + 5000, 0);
        assert_eq!((failed.standing(due + 5000), failed.until, failed.probe_until), (Open, due + 53_000, 0));
        assert_eq!(probed.after(Works, due + 1, 0), Circuit::default());
        // No deadline keeps others away for longer than this.
        assert_eq!(probed.probed(due, u64::MAX / 2).probe_until, due + LONGEST);
    }

    #[test]
    fn it_says_since_when() {
        let open = opened(5000).after(CONNECT, 29_000, 0).after(Fails(Trouble::Tls), 77_000, 0);
        assert_eq!((open.since, open.failed_at, open.trouble), (5000, 77_000, Some(Trouble::Tls)));
        let late = Circuit::default().after(CONNECT, 5000, 0).after(CONNECT, 500_000, 0).after(CONNECT, 501_000, 0);
        assert_eq!(late.since, 500_000, "the row began there");
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nothing_open() {
        let circuit = opened(10_000_000_000);
        assert_eq!(circuit.standing(10_000_000_000 - 600_000), Open, "as far ahead as it may be");
        assert_eq!(circuit.standing(10_000_000_000 - 86_400_000), HalfOpen);
        let probed = Circuit { until: 0, ..circuit }.probed(10_000_000_000, 30_000);
        assert_eq!(probed.standing(1000), HalfOpen);
        let again = circuit.after(CONNECT, 1000, 0);
        assert_eq!((again.standing(1000), again.until), (Open, 49_000), "and is no stop to what follows");
        // One trouble, and the clock of the next is a day before it.
        let one = Circuit::default().after(CONNECT, 100_000_000, 0);
        assert_eq!(one.after(CONNECT, 1000, 0).standing(1000), Closed);
    }

    #[test]
    fn the_scatter_is_a_fifth() {
        for (openings, low, high) in
            [(1, 24_000, 36_000), (2, 48_000, 72_000), (5, 384_000, 576_000), (9, 480_000, 720_000)]
        {
            assert_eq!(interval(Trouble::Connect, openings, 0), low);
            assert_eq!(interval(Trouble::Connect, openings, 255), high);
        }
        assert_eq!(interval(Trouble::Connect, 255, 255), HORIZON);
        assert_eq!(interval(Trouble::Login(535), 1, 255), HORIZON);
    }

    #[test]
    fn what_was_mended_is_tried_at_once() {
        let mut circuit = Circuit::default().after(LOGIN, 1_000_000, 0);
        circuit.stamp = 7;
        assert_eq!(circuit.seen_with(7).standing(1_000_001), Open);
        let mended = circuit.seen_with(8);
        assert_eq!(mended.standing(1_000_001), HalfOpen);
        assert_eq!(mended.after(LOGIN, 1_000_002, 0).standing(1_000_003), Open, "or was not");
        // One who tries it with the new secret is enough.
        assert_eq!(circuit.probed(1_000_001, 30_000).seen_with(8).standing(1_000_002), Open);
        assert_eq!(Circuit::default().seen_with(8), Circuit::default());
    }
}
