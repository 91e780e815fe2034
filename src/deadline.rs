//! The one deadline every wait obeys.

use std::time::{Duration, Instant};

/// A point in time after which nothing is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `span` from now.
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// What is left; zero once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// The earlier of this deadline and the one `span` from now.
    pub fn within(self, span: Duration) -> Self {
        Self(self.0.min(Instant::now() + span))
    }

    /// The deadline after half of what is left, for a relay that has another one behind it.
    pub fn half(self) -> Self {
        Self::after(self.left() / 2)
    }
}
