//! The end of an entry that nobody takes: it is told, and kept where a person finds it.

use super::{Fate, Run};
use crate::config::site::Site;
use crate::failure::{Failure, Kind};
use crate::spool::{Folder, Kept, Opened};
use crate::submit::Submission;

impl Run<'_> {
    /// Gives up `opened`, of `site`, after `submission`, or without another try where its relays are down.
    ///
    /// # Errors
    /// The spool cannot be written: it stays where it is.
    pub(super) fn give_up(
        &mut self,
        _site: &Site,
        mut opened: Opened,
        submission: Option<&Submission>,
    ) -> Result<Fate, Failure> {
        let dossier = self.flush.dossier;
        opened.move_to(Folder::Failed)?;
        match submission {
            Some(submission) => dossier.finish(submission, &opened.entry.head.envelope, &Kept::No),
            None => {
                let why = "was tried until its time was up: given up";
                dossier.fail(&Failure::new(Kind::Unavailable, opened.id(), why))
            }
        };
        Ok(Fate::Failed)
    }
}
