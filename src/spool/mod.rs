//! What waits: messages that no relay could be given yet, kept until a flush sends them.
//!
//! An entry is one file that proves itself: it is made under its final name, written once, and believed only when its
//! checksum is right, so a crash at any moment leaves a whole entry or nothing. What happens to it later is appended.

pub mod bounce;
pub mod decision;
pub mod entry;
pub mod flusher;
mod keep;
mod room;
pub mod store;
#[cfg(test)]
mod tests;

pub use self::entry::{Ended, Entry, Head, Line, State};
pub use self::keep::{Kept, Order};
pub use self::store::{Folder, Listed, Opened, Spool, Unopened, is_aging_due, is_id};
