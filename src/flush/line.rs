//! What waits for a limit of its site, in the order in which it came. What comes meanwhile stands behind it.

use std::collections::HashMap;
use std::time::SystemTime;

use super::one::is_over;
use super::{Agenda, Fate, Run, Wanted, relays, unix};
use crate::config::site::Site;
use crate::failure::Failure;
use crate::limit::{self, Refused};
use crate::spool::{Entry, Folder, Line, Opened};

/// So many are taken in one run, the first that came; of more there is no room to keep the names.
const LENGTH: usize = 10_000;

/// Those who wait, while a run goes through them.
#[derive(Default)]
pub(super) struct InLine {
    /// When each came, and its name.
    all: Vec<(SystemTime, String)>,
    /// Whether it is their turn.
    is_served: bool,
    /// The sites of those whose turn it was, with the time at which the first of them that found no room may go.
    sites: HashMap<String, Option<SystemTime>>,
}

impl InLine {
    /// Whether the entry is to wait until all that wait are known.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        entry.head.is_unadmitted && !self.is_served
    }
}

impl Run<'_> {
    /// Has the entry `id` stand in line.
    pub(super) fn line_up(&mut self, id: &str) {
        let path = self.flush.spool.directory().join(Folder::Queue.name()).join(id);
        let Ok(found) = path.symlink_metadata() else { return };
        // Where the file system does not say when a file was made, those who are due first go first.
        let Ok(came) = found.created().or_else(|_| found.modified()) else { return };
        let all = &mut self.line.all;
        all.push((came, id.to_owned()));
        if all.len() >= 2 * LENGTH {
            all.sort_unstable();
            all.truncate(LENGTH);
        }
    }

    /// Serves those who stand in line. Where this run is for what is due and that is not all that waits, the others come
    /// in their turn, too: a limit may have been raised.
    ///
    /// # Errors
    /// The spool cannot be read or written.
    pub(super) fn serve_line(&mut self, wanted: &Wanted, begun: SystemTime) -> Result<(), Failure> {
        if self.line.all.is_empty() {
            return Ok(());
        }
        if wanted.is_due() {
            let later = Agenda::of(self.flush.spool, |listed| listed.due > begun)?;
            for id in later.ids() {
                if self.flush.spool.look(Folder::Queue, id).is_ok_and(|entry| self.line.takes(&entry)) {
                    self.line_up(id);
                }
            }
        }
        let mut all = std::mem::take(&mut self.line.all);
        all.sort_unstable();
        // An entry that was put off while the others were looked at is there twice.
        all.dedup();
        all.truncate(LENGTH);
        self.line.is_served = true;
        let left = self.summary.left;
        let ids = all.iter().map(|(_, id)| id.as_str());
        let served = self.each(ids, all.len(), |run, id| run.try_one(id, |_| true));
        let is_through = served.is_ok() && self.summary.left == left;
        let (uid, sites) = (self.course.caller().uid, std::mem::take(&mut self.line.sites));
        if let Ok(config) = self.course.config() {
            for (name, next) in sites {
                match config.site(&name) {
                    Some(site) if next.is_some() || is_through => limit::line_up(site, uid, next),
                    _ => {}
                }
            }
        }
        served
    }

    /// Admits an entry that was over a limit of `site` when it was taken; what becomes of it where there is no room, and
    /// `Failed` where its time is up as well. Nobody goes past one who found no room.
    ///
    /// # Errors
    /// It cannot be written that it is counted.
    pub(super) fn admit(&mut self, site: &Site, opened: &mut Opened) -> Result<Option<Fate>, Failure> {
        let full = self.line.sites.entry(site.name.clone()).or_default();
        let next = match full {
            Some(next) => *next,
            None => {
                let recipients = opened.entry.head.envelope.forward_paths.len();
                let refused = match limit::admit_waiting(site, recipients, self.course.caller().uid) {
                    // Whoever is killed before the line is durable counts it twice, not never.
                    Ok(_) => {
                        return opened.append(&Line::Admitted { t: unix(SystemTime::now()) }, false).map(|()| None);
                    }
                    Err(refused) => refused,
                };
                let later = || relays::next(SystemTime::now(), opened.entry.state.tries + 1, relays::chance());
                let next = refused.next().unwrap_or_else(later);
                if !matches!(refused, Refused::Never(_)) {
                    *full = Some(next);
                }
                next
            }
        };
        match is_over(opened) {
            true => Ok(Some(Fate::Failed)),
            false => opened.retry_at(next).map(|()| Some(Fate::Waiting)),
        }
    }
}
