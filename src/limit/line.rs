//! What waits for a limit goes first: a mark beside the file that counts, as long as something does.
//!
//! A message that comes while there is one stands behind, though there is room. The mark is no count: a flush takes it
//! away once nothing it tried had to wait, and where no flush comes it ends by itself, so that a mark which a killed
//! process has left delays messages and never stops them.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use super::record::{Time, nanoseconds};
use crate::failure::{Failure, Kind};
use crate::keep::Keep;

/// How long a mark is heeded after what waits may go: whoever flushes comes every minute.
const GRACE: Duration = Duration::from_secs(5 * 60);

/// The mark beside the file `counter` in `keep`.
pub(super) struct Mark<'k> {
    keep: &'k Keep,
    name: String,
}

impl<'k> Mark<'k> {
    pub(super) fn of(keep: &'k Keep, counter: &str) -> Self {
        Self { keep, name: format!("{counter}.line") }
    }

    /// Whether something waits, as far as is known at `now`.
    pub(super) fn is_set(&self, now: Time) -> bool {
        self.read().is_ok_and(|next| now < next.saturating_add(nanoseconds(GRACE)))
    }

    /// Until when something waits.
    fn read(&self) -> io::Result<Time> {
        let file = self.keep.change(&self.name)?;
        let mut octets = [0; size_of::<Time>()];
        file.read_exact_at(&mut octets, 0)?;
        match self.keep.has_made(&file.metadata()?) {
            true => Ok(Time::from_le_bytes(octets)),
            false => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Says that something waits until `next`, if nothing waits longer.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn set(&self, next: Time) -> Result<(), Failure> {
        if self.read().is_ok_and(|known| known >= next) {
            return Ok(());
        }
        let file = self.keep.change_or_make(&self.name)?;
        file.write_all_at(&next.to_le_bytes(), 0).map_err(|error| {
            Failure::new(Kind::Io, self.keep.file(&self.name).display().to_string(), error.to_string())
        })
    }

    /// Says that nothing does.
    pub(super) fn clear(&self) {
        let _ = fs::remove_file(self.keep.file(&self.name));
    }
}
