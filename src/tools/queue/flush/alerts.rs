//! What a flush does about alerts, beside the messages. Nothing of it changes what the flush comes to.

use std::time::Duration;

use crate::alert::{self, Heard};
use crate::attempt::Attempt;
use crate::conclude::Dossier;
use crate::config::alert::Occasion;
use crate::deadline::Deadline;
use crate::door;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::plan::Course;
use crate::spool::{Folder, Spool};

/// How long a ping may take.
const PING: Duration = Duration::from_secs(10);

/// The alerts of a flush.
pub(super) struct Alerts<'a> {
    /// Where what cannot be told is recorded.
    pub(super) dossier: &'a Dossier,
    /// Whether the process is to end.
    pub(super) is_stopped: &'a dyn Fn() -> bool,
    /// What waits.
    pub(super) spool: &'a Spool,
}

impl Alerts<'_> {
    /// Tells those that are due. What does not get through is told here and recorded, and tried again.
    pub(super) fn tell(&self, course: &Course<'_>) -> Heard {
        let waiting = || self.spool.measure(Folder::Queue).map_or(0, |(messages, _)| messages);
        match alert::tell_all(course, self.is_stopped, &waiting) {
            Ok(heard) => {
                for (name, failure) in &heard.failed {
                    let failed = Failure::new(failure.kind.clone(), format!("alert {name}"), failure.to_string());
                    self.record(course, &Failure { hint: failure.hint.clone(), ..failed });
                }
                heard
            }
            Err(failure) => {
                self.record(course, &failure);
                Heard::default()
            }
        }
    }

    /// Has somebody hear of a run that came to nothing, at once: the next one may come no further.
    pub(super) fn raise(&self, course: &Course<'_>, failure: &Failure) {
        if course.config().is_ok_and(|config| config.alerts.iter().any(|alert| alert.on.has(Occasion::Flush))) {
            raise(course.caller().uid, &failure.to_string());
            self.tell(course);
        }
    }

    fn record(&self, course: &Course<'_>, failure: &Failure) {
        self.dossier.begin();
        if let Ok(config) = course.config() {
            self.dossier.set_config(config);
        }
        self.dossier.fail(failure);
        self.dossier.rest();
    }

    /// Says that the run is over, to whoever is to notice when none comes any more.
    pub(super) fn ping(&self, course: &Course<'_>, is_good: bool) {
        if let Err(failure) = ping(course, is_good) {
            self.record(course, &failure);
        }
    }
}

/// Has somebody hear of sites that have been silent for too long. In a run over all users root does so for all of them:
/// who is silent has nothing to flush.
pub(super) fn look_for_silence(course: &Course<'_>) {
    if let Ok(config) = course.config() {
        alert::look_for_silence(config, course.caller().uid);
    }
}

/// Has somebody hear that a run of `uid` came to nothing because of `reason`.
pub(super) fn raise(uid: u32, reason: &str) {
    let now = host::now().timestamp().as_second();
    let _ = alert::raise(&alert::Notice::new(Occasion::Flush, "", now, reason, ""), uid, true);
}

/// Asks for the URL of `ping`, where one is configured.
fn ping(course: &Course<'_>, is_good: bool) -> Result<(), Failure> {
    // What is wrong with the configuration was told.
    let Some((config, source)) = course.config().ok().and_then(|config| Some((config, config.ping.as_ref()?))) else {
        return Ok(());
    };
    let mut attempt = Attempt::new(Deadline::after(PING));
    alert::ping(source, is_good, config.strict_modes, &mut attempt)
}

/// The same for a run that has no records: over all users, of whose processes none does so, or over nothing.
pub(super) fn ping_and_tell(course: &Course<'_>, is_good: bool, is_quiet: bool) {
    if let Some(failure) = ping(course, is_good).err().filter(|failure| !is_quiet || failure.kind == Kind::NoPermission)
    {
        door::report(&failure);
    }
}
