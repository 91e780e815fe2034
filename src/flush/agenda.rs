//! The entries of a run, in the order in which they are due. Of each no more is kept than its name: a spool may hold
//! more of them than there is room for.

use std::time::SystemTime;

use crate::failure::Failure;
use crate::spool::{Folder, Listed, Spool};

/// Names of entries, the one that is due first in front.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// All names, one behind the other.
    names: String,
    items: Vec<Item>,
}

/// When an entry is due, in seconds since 1970, and where its name stands.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    due: u32,
    start: u32,
    length: u8,
}

impl Agenda {
    /// What waits in the queue and `is_wanted`.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub(super) fn of(spool: &Spool, mut is_wanted: impl FnMut(&Listed) -> bool) -> Result<Self, Failure> {
        let mut this = Self::default();
        spool.each(Folder::Queue, &mut |listed| {
            if is_wanted(&listed) {
                this.add(&listed.id, listed.due);
            }
        })?;
        this.items.sort_unstable();
        Ok(this)
    }

    fn add(&mut self, id: &str, due: SystemTime) {
        // What does not fit is left to the next run.
        let (Ok(start), Ok(length)) = (u32::try_from(self.names.len()), u8::try_from(id.len())) else { return };
        let due = u32::try_from(super::unix(due)).unwrap_or(u32::MAX);
        self.names.push_str(id);
        self.items.push(Item { due, start, length });
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The names in order.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|Item { start, length, .. }| {
            let start = *start as usize;
            &self.names[start..start + usize::from(*length)]
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_stand_in_the_order_they_are_due() {
        let mut agenda = Agenda::default();
        for (id, due) in [("b", 30), ("longer-name", 10), ("a", 20), ("c", 1 << 40)] {
            agenda.add(id, SystemTime::UNIX_EPOCH + Duration::from_secs(due));
        }
        agenda.items.sort_unstable();
        assert_eq!((agenda.ids().collect::<Vec<_>>(), agenda.len()), (vec!["longer-name", "a", "b", "c"], 4));
    }

    #[test]
    fn a_name_costs_few_octets() {
        assert!(size_of::<Item>() <= 12);
    }
}
