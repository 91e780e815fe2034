//! What becomes of a message that its site may not send now, and of what was counted too much of one that it did.

use std::thread;
use std::time::Duration;

use crate::conclude::Dossier;
use crate::config::Config;
use crate::config::limit::OverLimit;
use crate::config::site::Site;
use crate::failure::Failure;
use crate::limit::{Admitted, Refused, ban};
use crate::reply::Reply;
use crate::spool::Kept;
use crate::submit::Submission;

/// How long a banned caller waits for its refusal. One that goes on in a loop then leaves the processors to the others.
const PAUSE: Duration = Duration::from_millis(250);

/// Refuses what `uid` would send as `site` while one of them is banned, after a pause.
///
/// # Errors
/// As [`ban::check`].
pub(super) fn check_ban(config: &Config, site: &Site, uid: u32) -> Result<(), Failure> {
    ban::check(config, site, uid).inspect_err(|_| thread::sleep(PAUSE))
}

/// Whether a message of `site` that is `refused` waits until there is room.
pub(super) fn waits(site: &Site, refused: &Refused) -> bool {
    site.over_limit == OverLimit::Spool && !matches!(refused, Refused::Never(_))
}

/// What the caller of a message of `site` hears that is `refused`. Where the site is banned for going over its limit, this
/// is when it is: by whatever it sends from now on it hears the same. Whoever is to hear of bans does.
pub(super) fn refusal(dossier: &Dossier, site: &Site, refused: &Refused, uid: u32) -> Failure {
    if let (OverLimit::Ban, Refused::Over(_, _, limit)) = (site.over_limit, refused) {
        // Where no ban can be kept, the limit holds still.
        if let Ok(ban) = ban::impose(site, uid, &format!("over the limit of {limit}")) {
            dossier.tell_of_ban(&ban);
            return ban.refusal();
        }
    }
    refused.failure().clone()
}

/// Leaves counted, of what was `admitted` for `site`, whoever was accepted, where others were refused. Who waits is sent
/// to later and not counted again.
pub(super) fn settle(admitted: Option<Admitted>, site: &Site, submission: &Submission, kept: &Kept, uid: u32) {
    let (Some(admitted), Some(limits)) = (admitted, &site.limits) else { return };
    let Ok(outcome) = &submission.decisive().result else { return };
    if outcome.is_accepted_for_some() && !outcome.is_accepted() {
        let is_kept = matches!(kept, Kept::Queued { .. } | Kept::Held);
        let counts = |reply: &Reply| reply.is_positive() || is_kept && reply.is_transient();
        let left = outcome.answers.iter().filter(|answer| answer.reply.as_ref().is_some_and(counts)).count();
        admitted.leave(left, limits, uid);
    }
}
