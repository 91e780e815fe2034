//! Who flushes, without a daemon: a timer, a cron line, or a process that the first message to wait starts itself.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use super::store::{Folder, Spool};
use crate::caller;
use crate::failure::{Failure, Kind};
use crate::keep::Place;
use crate::process;

/// How long what is due may wait until a flusher counts as gone. The timer comes once a minute.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The lock of a run. Its time is the heartbeat: each run sets it.
pub const LOCK: &str = "flush.lock";

/// What the timer is enabled by: `examples/units` and the installer lay it there.
pub const TIMER: &str = "/etc/systemd/system/timers.target.wants/mailchute-flush.timer";
/// What there is where systemd runs the machine.
pub const SYSTEMD: &str = "/run/systemd/system";
/// The cron line.
pub const CRON: &str = "/etc/cron.d/mailchute";
/// What a cron that runs leaves there.
const CRONS: [&str; 3] = ["/run/crond.pid", "/run/cron.pid", "/var/run/crond.pid"];

/// Who is going to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flusher {
    /// The timer or the cron line.
    Supervised,
    /// Nobody, unless this process starts one.
    Own,
}

impl Flusher {
    /// As a sentence about what waits.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Supervised => "the timer or the cron line sends it",
            Self::Own => "no timer or cron line is at work, so the process that spools starts one that sends it",
        }
    }
}

/// Who is going to flush `spool`.
pub fn of(spool: &Spool) -> Flusher {
    let is_shared = spool.directory().parent() == Some(Path::new(Place::Spool.parent()));
    match is_shared && is_timed() && !is_overdue(spool) {
        true => Flusher::Supervised,
        false => Flusher::Own,
    }
}

/// Whether the timer or the cron line is at work.
pub fn is_timed() -> bool {
    let by_systemd = || Path::new(SYSTEMD).is_dir() && fs::symlink_metadata(TIMER).is_ok();
    let by_cron = || Path::new(CRON).is_file() && CRONS.iter().any(|pid| Path::new(pid).exists());
    by_systemd() || by_cron()
}

/// Whether something is due for so long that nobody can be flushing. A heartbeat answers without a look at what waits.
pub fn is_overdue(spool: &Spool) -> bool {
    let long_ago = SystemTime::now() - PATIENCE;
    let heartbeat = fs::symlink_metadata(spool.keep().file(LOCK)).and_then(|lock| lock.modified());
    let is_alive = heartbeat.is_ok_and(|beat| beat >= long_ago);
    !is_alive && spool.list(Folder::Queue).is_ok_and(|list| list.iter().any(|listed| listed.due < long_ago))
}

/// Starts a flusher of this uid, which stays until nothing waits. It holds nothing of the caller's: no standard
/// descriptor, no session, no directory; it closes whatever else it inherited ([`process::leave`]).
///
/// # Errors
/// `System`: there is no process to be had.
pub fn start() -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Kind::System, "queue flush", format!("cannot be started: {error}"));
    let mut command = process::again().map_err(failed)?;
    command.args(["queue", "flush", "--wait", "--quiet"]).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    caller::own_environment(&mut command);
    process::spawn(&mut command).map(drop).map_err(failed)
}
