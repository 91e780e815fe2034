//! Who flushes, without a daemon: a timer, a cron line, or a process that the first message to wait starts itself.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use super::store::{Folder, Spool};
use crate::caller;
use crate::failure::{Failure, Kind};
use crate::keep::Place;
use crate::process;
use crate::reply::printable;

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
/// The most that is read of it, in octets.
const CRON_LIMIT: usize = 64 << 10;
/// The most that is shown of the program that it runs, in octets.
const PROGRAM_SHOWN: usize = 200;
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
    has_timer() || matches!(Cron::look(), Cron::Works)
}

/// The same by what is there alone: what the line runs is not read. For whoever has to be quick, and promises nothing.
pub fn seems_timed() -> bool {
    has_timer() || Path::new(CRON).is_file() && has_cron()
}

fn has_timer() -> bool {
    Path::new(SYSTEMD).is_dir() && fs::symlink_metadata(TIMER).is_ok()
}

fn has_cron() -> bool {
    CRONS.iter().any(|pid| Path::new(pid).exists())
}

/// What is to be said of the cron line.
#[derive(Debug, PartialEq, Eq)]
pub enum Cron {
    /// There is none.
    Missing,
    /// It sends nothing, as the text says, behind the name of the file.
    Wrong(String),
    /// It would do, and no cron is running.
    Idle,
    /// It is at work.
    Works,
}

impl Cron {
    /// Looks at it.
    pub fn look() -> Self {
        let Ok(file) = fs::symlink_metadata(CRON) else { return Self::Missing };
        if !file.is_file() || file.uid() != 0 || file.mode() & 0o022 != 0 {
            return Self::Wrong("is not root's alone to write, so cron passes it by".to_owned());
        }
        // Who may not read it has cron's word for it.
        let text = crate::modes::read(Path::new(CRON), CRON_LIMIT).map(|(text, _)| text);
        let wrong = text.ok().and_then(|text| wrong(&String::from_utf8_lossy(&text), Path::exists));
        match wrong {
            Some(why) => Self::Wrong(why),
            None if has_cron() => Self::Works,
            None => Self::Idle,
        }
    }
}

/// Why a table of cron's sends nothing of what waits; when it does is its administrator's to say.
fn wrong(text: &str, is_there: impl Fn(&Path) -> bool) -> Option<String> {
    const RUN: &str = "queue flush";
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let has_path = lines.clone().any(|line| line.starts_with("PATH"));
    let Some(line) = lines.find(|line| line.contains(RUN)) else {
        return Some("has no line that runs `mailchute queue flush --all`".to_owned());
    };
    if !line.contains("--all") {
        return Some("has no --all behind `queue flush`, so only what root sent is sent".to_owned());
    }
    let program = line.split(RUN).next()?.split_whitespace().next_back()?;
    let is_found = match program.contains('/') {
        true => !program.starts_with('/') || is_there(Path::new(program)),
        // What cron searches where no line says otherwise.
        false => has_path || ["/usr/bin", "/bin"].iter().any(|place| is_there(&Path::new(place).join(program))),
    };
    (!is_found).then(|| format!("runs {}, which cron does not find", printable(program.as_bytes(), PROGRAM_SHOWN)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cron_line_sends_what_waits_or_says_why_not() {
        let shipped = include_str!("../../examples/units/mailchute.cron");
        for (text, there, why) in [
            (shipped, "/usr/local/bin/mailchute", None),
            (shipped, "/usr/bin/mailchute", Some("runs /usr/local/bin/mailchute, which cron does not find")),
            ("* * * * * root mailchute queue flush --all\n", "/usr/bin/mailchute", None),
            (
                "*/5 * * * * root mailchute queue flush --all\n",
                "/usr/local/bin/mailchute",
                Some("runs mailchute, which"),
            ),
            ("PATH=/usr/local/bin\n* * * * * root mailchute queue flush --all\n", "/usr/local/bin/mailchute", None),
            ("* * * * * root mailchute queue flush --quiet\n", "/usr/bin/mailchute", Some("has no --all")),
            ("# * * * * * root /usr/bin/mailchute queue flush --all\n", "/usr/bin/mailchute", Some("has no line")),
            ("", "/usr/bin/mailchute", Some("has no line")),
        ] {
            let said = wrong(text, |path| path == Path::new(there));
            match why {
                Some(why) => assert!(said.as_ref().is_some_and(|said| said.starts_with(why)), "{text}: {said:?}"),
                None => assert_eq!(said, None, "{text}"),
            }
        }
    }
}
