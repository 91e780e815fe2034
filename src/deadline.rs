//! The one deadline every wait obeys, and how a time is told to users.

use std::time::{Duration, Instant};

/// A point in time after which nothing is waited for. It knows how long it was given.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Instant,
    span: Duration,
}

impl Deadline {
    /// The deadline `span` from now.
    pub fn after(span: Duration) -> Self {
        Self { end: Instant::now() + span, span }
    }

    /// What is left; zero once it has passed.
    pub fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// What was given, from its beginning on.
    pub fn span(self) -> Duration {
        self.span
    }

    /// Whether it has passed.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// The earlier of this deadline and the one `span` from now.
    pub fn within(self, span: Duration) -> Self {
        let other = Self::after(span);
        if self.end <= other.end { self } else { other }
    }

    fn move_by(&mut self, span: Duration) {
        self.end += span;
        self.span += span;
    }

    /// The deadline after half of what is left, for a relay that has another one behind it.
    pub fn half(self) -> Self {
        Self::after(self.left() / 2)
    }
}

/// What a large message takes and earns: a second for each 256 KB of it that has gone out.
///
/// While it goes out, no more is counted than it took, so that whoever stops reading in the middle costs the
/// deadline and not all that was earned before; the rest is had once everything is out.
pub struct Pace {
    /// Gone out since the last full part, in octets.
    octets: u64,
    /// When that began.
    since: Instant,
    /// Earned and not taken.
    saved: Duration,
}

/// What earns a second, in octets.
const PART: u64 = 256 << 10;
const SECOND: Duration = Duration::from_secs(1);

impl Pace {
    /// From now on octets go out.
    pub fn begin() -> Self {
        Self { octets: 0, since: Instant::now(), saved: Duration::ZERO }
    }

    /// `octets` more have gone out, which makes `deadline` later.
    pub fn went_out(&mut self, octets: u64, deadline: &mut Deadline) {
        self.octets += octets;
        if self.octets >= PART {
            let earned = SECOND * u32::try_from(self.octets / PART).unwrap_or(u32::MAX);
            let now = Instant::now();
            let took = (now - self.since).min(earned);
            deadline.move_by(took);
            self.saved += earned - took;
            self.octets %= PART;
            self.since = now;
        }
    }

    /// All is out.
    pub fn end(&mut self, deadline: &mut Deadline) {
        deadline.move_by(std::mem::take(&mut self.saved));
    }
}

/// `span` as users read it: `250 ms`, `1.5 s`, `30 s`. Tenths of a second are told below ten seconds.
pub fn seconds(span: Duration) -> String {
    let milliseconds = span.as_micros().div_ceil(1000);
    let tenths = (milliseconds + 50) / 100;
    match (milliseconds, tenths % 10) {
        (0..1000, _) => format!("{milliseconds} ms"),
        (1000..10_000, tenth @ 1..) => format!("{}.{tenth} s", tenths / 10),
        _ => format!("{} s", (milliseconds + 500) / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_knows_what_it_was_given() {
        let (short, long) = (Duration::from_secs(5), Duration::from_secs(60));
        assert_eq!(Deadline::after(long).span(), long);
        assert_eq!(Deadline::after(long).within(short).span(), short);
        assert_eq!(Deadline::after(short).within(long).span(), short);
        assert!(Deadline::after(long).half().span() <= long / 2);
        assert!(Deadline::after(Duration::ZERO).is_over());
    }

    #[test]
    fn a_message_earns_as_it_goes_out_and_has_all_of_it_in_the_end() {
        let span = Duration::from_secs(5);
        let (mut deadline, mut pace) = (Deadline::after(span), Pace::begin());
        pace.went_out(PART - 1, &mut deadline);
        assert_eq!(deadline.span(), span);
        for _ in 0..31 {
            pace.went_out(PART, &mut deadline);
        }
        assert!(deadline.span() < 2 * span, "what took no time moves nothing: {:?}", deadline.span());
        pace.went_out(1, &mut deadline);
        pace.end(&mut deadline);
        assert_eq!(deadline.span(), span + 32 * SECOND);
        pace.since -= Duration::from_millis(400);
        pace.went_out(PART, &mut deadline);
        assert!(deadline.span() >= span + 32 * SECOND + Duration::from_millis(400), "what took time is counted");
    }

    #[test]
    fn times_as_users_read_them() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (250, "250 ms"),
            (1000, "1 s"),
            (1500, "1.5 s"),
            (4960, "5 s"),
            (9999, "10 s"),
            (14_600, "15 s"),
            (120_000, "120 s"),
        ] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(seconds(Duration::from_micros(1)), "1 ms");
    }
}
