//! Sites that have sent nothing for as long as an alert says: the record file knows when they did last.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use super::notice::Notice;
use super::series;
use crate::config::Config;
use crate::config::alert::Occasion;
use crate::config::site::Site;
use crate::journal::StatusWord;
use crate::journal::read::{Field, Query, Records, Test};
use crate::keep::Keep;

/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(3600);
/// Whose time says when it was.
const LOOKED: &str = ".silence";

/// Raises what is to be heard of the sites of `config` that `uid` sends for, where there is a record file. Where nothing
/// was ever sent, nobody knows that anything should have been.
pub fn look(config: &Config, uid: u32) {
    let is_meant = |site: &&Site| site.is_open_to(uid) && site.alerts.iter().any(|alert| alert.silent.is_some());
    let sites: Vec<&Site> = config.sites.iter().filter(is_meant).collect();
    let Some(keep) = series::directory(uid).filter(|_| !sites.is_empty()) else { return };
    let now = SystemTime::now();
    if !is_due(&keep, now) {
        return;
    }
    let records = Records::of(uid, None);
    if records.is_journal() {
        return;
    }
    let now = i64::try_from(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(0);
    for site in sites {
        let span = site.alerts.iter().filter_map(|alert| alert.silent).min().unwrap_or(Duration::MAX);
        let since = now.saturating_sub(i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
        let last = last_accepted(&records, &site.name).filter(|last| *last < since);
        if let Some(last) = last {
            let notice = Notice::new(Occasion::Silent, &site.name, last, "", "");
            // One that is known is told again when its time comes.
            if keep.file(&notice.file_name()).symlink_metadata().is_err() {
                let _ = series::raise(&notice, uid, true);
            }
        }
    }
}

/// Whether it was not looked for lately; if so, it counts as done.
fn is_due(keep: &Keep, now: SystemTime) -> bool {
    let looked = keep.file(LOOKED).symlink_metadata().and_then(|found| found.modified());
    let is_due = looked.is_ok_and(|at| now.duration_since(at).is_ok_and(|since| since < EVERY));
    !is_due && keep.make().is_ok() && keep.save(LOOKED, b"").is_ok()
}

/// When the last message of the site `name` was accepted, in seconds since 1970.
fn last_accepted(records: &Records, name: &str) -> Option<i64> {
    let query = Query::default().with(Test::Is(Field::Site, name.to_owned())).with(Test::Status(StatusWord::Accepted));
    let mut last = None;
    let found = records.newest(&query, |line| {
        last = line.time();
        ControlFlow::Break(())
    });
    found.ok().and(last).map(|milliseconds| milliseconds / 1000)
}
