//! What is published in the domain name system for a domain that mail is sent from, and what this means for the relay it
//! goes through. Nothing here asks: readers and judges are pure functions over what is known, and [`look`] has a client
//! ask for them.

pub mod dkim;
pub mod dmarc;
mod guess;
mod judge;
pub mod merge;
pub mod pattern;
pub mod received;
pub mod spf;

pub use guess::{Guess, Service, guess};
pub use judge::Subject;

use crate::deadline::Deadline;
use crate::dns::{Client, Known, Unresolved};
use crate::finding::Section;

/// What is to be said of each of `subjects`, in their order: sections SPF, DKIM and DMARC, and one of what else the
/// provider wants where that is missing. Everything is asked at once, and nothing after `deadline`.
pub fn look(subjects: &[Subject<'_>], client: &mut Client, deadline: Deadline) -> Vec<Section> {
    client.settle(deadline, |known| judged(known, subjects))
}

/// The same from what is known.
///
/// # Errors
/// [`Unresolved`]: something is still to be asked.
pub fn judged(known: &Known, subjects: &[Subject<'_>]) -> Result<Vec<Section>, Unresolved> {
    // All of them before one is given up, so that all that is missing is asked at once.
    let sections: Vec<_> = subjects.iter().map(|subject| judge::judge(known, subject)).collect();
    let sections: Result<Vec<_>, _> = sections.into_iter().collect();
    Ok(sections?.into_iter().flatten().collect())
}
