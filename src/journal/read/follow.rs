//! Records as they come.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::line::Line;
use super::query::Query;
use super::{Strange, scan, source};

/// What has been written since the last look, whatever name its file has by then.
#[derive(Debug)]
pub struct Follow {
    uid: u32,
    /// Of no record before this is told, in milliseconds since 1970.
    start: i64,
    /// How far each file has been read, by device and inode.
    places: HashMap<(u64, u64), u64>,
    strange: Strange,
}

impl Follow {
    /// From now on what `uid` may see. `None`: this host has no record files for it.
    pub fn of(uid: u32) -> Option<Self> {
        let start = jiff::Timestamp::now().as_millisecond();
        let strange = Strange::default();
        let sources = source::find(uid, None, &strange)?;
        let places = sources.iter().map(|source| (source.identity, source.length)).collect();
        Some(Self { uid, start, places, strange })
    }

    /// Gives what `query` means of all that has been written since the last time to `each`, until it breaks off.
    pub fn look(&mut self, query: &Query, mut each: impl FnMut(&Line<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut sources = source::find(self.uid, Some(self.start), &self.strange).unwrap_or_default();
        // The newest come first, and what got a number was written before.
        sources.reverse();
        sources.sort_by_key(|source| source.written);
        for source in sources {
            // A new one is read from its beginning.
            let place = self.places.entry(source.identity).or_insert(0);
            *place = scan::tail(&source, *place, query, &self.strange, &mut each)?;
        }
        ControlFlow::Continue(())
    }
}
