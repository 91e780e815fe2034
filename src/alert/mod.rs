//! Alerts: who is to hear of trouble hears of it once, from a flusher, while whoever met it goes on.
//!
//! [`raise`] is all that a process does which meets trouble: it keeps the fact in a file that all share who meet the
//! same. [`tell_all`] is what a flusher does. An alert never changes what becomes of a message, and nobody waits for it.

mod command;
mod letter;
mod notice;
mod post;
mod round;
mod series;
mod service;
mod silence;
mod telling;

use std::time::Duration;

pub use self::notice::Notice;
pub use self::post::ping;
pub use self::round::{Heard, Pending, is_any, pending, raise_for, tell_all, try_out};
pub use self::series::{FOLDER, raise};
pub use self::silence::look as look_for_silence;

use crate::failure::Failure;

/// How long one alert may take.
const TIME: Duration = Duration::from_secs(15);

/// Why an alert was not told.
#[derive(Debug)]
struct Setback {
    failure: Box<Failure>,
    /// How long the service wants to be left alone.
    after: Option<Duration>,
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        Self { failure: Box::new(failure), after: None }
    }
}
