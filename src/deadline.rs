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

    /// The deadline after half of what is left, for a relay that has another one behind it.
    pub fn half(self) -> Self {
        Self::after(self.left() / 2)
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
