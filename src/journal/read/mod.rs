//! The records, read back: what `mailchute log` is made of.
//!
//! There is no index. Files are in order of time, so the part that matters is found by halving, and a search goes
//! through it at the speed of memory for the rarest word that is asked for; only lines that hold it are read.
//!
//! Everybody sees what they sent themselves. That is told by the uid in the record where the file is one that only this
//! program writes to, and by the owner of the file everywhere else: a record that names another was not written here.

mod follow;
mod journald;
mod line;
mod moment;
mod needle;
mod query;
mod scan;
mod source;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::follow::Follow;
pub use self::line::{Field, Line, Tried};
pub use self::query::{Query, Test};
use self::source::Source;
use crate::failure::Failure;
use crate::journal::record_file::DIRECTORY;

/// The records that one caller may see.
#[derive(Debug)]
pub struct Records {
    place: Where,
    strange: Strange,
}

/// Where the records are.
#[derive(Debug)]
enum Where {
    /// In files of this host.
    Files(Vec<Source>),
    /// In the journal, where this caller reads them.
    Journal {
        /// The caller.
        uid: u32,
    },
}

/// What was passed over in a search.
#[derive(Debug, Default)]
pub struct Strange {
    torn: AtomicU64,
    forged: AtomicU64,
    unread: AtomicU64,
    cut: AtomicU64,
}

impl Records {
    /// Those that `uid` may see: its own, for root everybody's. Those from before `since`, in milliseconds since 1970, are
    /// not asked for. Where this host has no record files for it they are looked for in the journal.
    pub fn of(uid: u32, since: Option<i64>) -> Self {
        let strange = Strange::default();
        let place = source::find(uid, since, &strange).map_or(Where::Journal { uid }, Where::Files);
        Self { place, strange }
    }

    /// Gives those that `query` means to `each`, the newest first, until it breaks off.
    ///
    /// # Errors
    /// `Unavailable`: there are no files, and the journal cannot be read.
    pub fn newest(&self, query: &Query, mut each: impl FnMut(&Line<'_>) -> ControlFlow<()>) -> Result<(), Failure> {
        match &self.place {
            Where::Files(sources) => scan::newest(sources, query, &self.strange, each),
            Where::Journal { uid } => journald::newest(*uid, query, &self.strange, &mut each)?,
        }
        Ok(())
    }

    /// Adds all that `query` means to several counts, in no order, and returns these.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub fn count<T: Default + Send>(
        &self,
        query: &Query,
        add: impl Fn(&mut T, &Line<'_>) + Sync,
    ) -> Result<Vec<T>, Failure> {
        match &self.place {
            Where::Files(sources) => Ok(scan::count(sources, query, &self.strange, add)),
            Where::Journal { uid } => {
                let mut count = T::default();
                journald::newest(*uid, query, &self.strange, &mut |line| {
                    add(&mut count, line);
                    ControlFlow::Continue(())
                })?;
                Ok(vec![count])
            }
        }
    }

    /// Whether they come from the journal.
    pub fn is_journal(&self) -> bool {
        matches!(self.place, Where::Journal { .. })
    }

    /// What was passed over so far.
    pub fn strange(&self) -> &Strange {
        &self.strange
    }
}

impl Strange {
    fn torn(&self) {
        self.torn.fetch_add(1, Ordering::Relaxed);
    }

    fn forged(&self) {
        self.forged.fetch_add(1, Ordering::Relaxed);
    }

    fn unread(&self) {
        self.unread.fetch_add(1, Ordering::Relaxed);
    }

    fn cut(&self, at: u64) {
        self.cut.store(at, Ordering::Relaxed);
    }

    /// What is to be said of it; empty where nothing was passed over.
    pub fn sentences(&self) -> Vec<String> {
        let told = |count: &AtomicU64, one: &str, many: &str| match count.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {many}")),
        };
        let all = [
            told(
                &self.torn,
                "line that is no whole record was passed over",
                "lines that are no whole records were passed over",
            ),
            told(
                &self.forged,
                "record that names another user than its file was passed over",
                "records that name another user than their file were passed over",
            ),
            told(&self.unread, "record file could not be read", "record files could not be read"),
        ];
        let cut = self.cut.load(Ordering::Relaxed);
        let cut = (cut > 0).then(|| {
            format!("only the newest {cut} records of the journal were looked at; --since or --until says which others")
        });
        all.into_iter().flatten().chain(cut).collect()
    }
}
