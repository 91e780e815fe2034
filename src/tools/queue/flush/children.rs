//! `mailchute queue flush --all`: root starts a process for each user who has something waiting, which has that user's
//! rights. Root itself opens no entry and speaks to no relay.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::alerts;
use crate::alert;
use crate::caller::Caller;
use crate::cli::queue;
use crate::door::{self, signals::Stop};
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::plan::{Choice, Course};
use crate::process::{self, Ended};
use crate::random;
use crate::reply::printable;
use crate::spool::flusher::LOCK;
use crate::spool::{Folder, is_aging_due};
use crate::tools::queue::everybody;

/// How many users' processes run at once.
const AT_ONCE: usize = 4;
/// How long one may take; a run ends by itself before.
const SPAN: Duration = Duration::from_secs(15 * 60);
/// How long one that is to end may take for that.
const GRACE: Duration = Duration::from_secs(60);
/// How often it is looked at whether one has ended.
const LOOK: Duration = Duration::from_millis(20);
/// The most that is read of what one says, in octets.
const SAID: u64 = 64 << 10;

/// Sends what waits for every user, as root, and returns the worst of the exit statuses.
///
/// # Errors
/// Standard output cannot be written.
pub(in crate::tools::queue) fn run(choice: &Choice, of: &queue::Flush) -> Result<u8, Failure> {
    let stop = Stop::watch();
    let caller = Caller::current();
    alerts::look_for_silence(&Course::begin(&caller, choice));
    let users = users();
    if users.is_empty() && !of.quiet {
        door::print("nothing waits\n")?;
    }
    let waiting = Mutex::new(users.into_iter());
    let ends = Mutex::new(Vec::new());
    let next = || waiting.lock().ok().filter(|_| !stop.is_set()).and_then(|mut users| users.next());
    let work = || {
        while let Some(uid) = next() {
            let end = flush(choice, uid, &stop);
            if let Ok(mut ends) = ends.lock() {
                ends.push(told(uid, end, of.quiet));
            }
        }
    };
    thread::scope(|scope| {
        // Where there are no more threads to be had, this one does it all.
        let more = (1..AT_ONCE).map(|_| process::start_in(scope, "users", work)).collect::<Vec<_>>();
        work();
        drop(more);
    });
    let ends = ends.into_inner().unwrap_or_default();
    let worst = ends.into_iter().max_by_key(|status| weight(*status)).unwrap_or(exit::OK);
    alerts::ping_and_tell(&Course::begin(&caller, choice), worst == exit::OK, of.quiet);
    Ok(worst)
}

/// The weight of a status that says that something is broken.
const BROKEN: u8 = 3;

/// A doubt counts more than what still waits, and any trouble of ours more than both.
fn weight(status: u8) -> u8 {
    let of = |kind| exit::of_kind(&kind, Scheme::Reply);
    match status {
        exit::OK => 0,
        waits if waits == of(Kind::Unavailable) => 1,
        doubt if doubt == of(Kind::InDoubt) => 2,
        _ => BROKEN,
    }
}

/// The users who have something waiting, be it an alert, in the order in which they have their turn. Root looks at names
/// and times, and opens none.
fn users() -> Vec<u32> {
    let has = |directory: &Path, folder: &str| has_names(&directory.join(folder));
    let is_due = |directory: &Path| {
        has(directory, Folder::Queue.name())
            || has(directory, alert::FOLDER)
            || is_aging_due(directory) && Folder::DONE.into_iter().any(|folder| has(directory, folder.name()))
    };
    let beat = |directory: &Path| directory.join(LOCK).symlink_metadata().and_then(|lock| lock.modified());
    let due = everybody::directories().into_iter().filter(|(_, directory)| is_due(directory));
    in_turn(due.map(|(uid, directory)| (uid, beat(&directory).unwrap_or(SystemTime::UNIX_EPOCH))))
}

/// The users of `beats`, who stand together, by when their last run began, the longest ago first: where time is up before
/// all have had one, the next flush begins with the others. Where that cannot be seen, chance decides.
fn in_turn(beats: impl Iterator<Item = (u32, SystemTime)>) -> Vec<u32> {
    let mut users: Vec<(SystemTime, [u8; 4], u32)> = Vec::new();
    for (uid, beat) in beats {
        match users.last_mut() {
            Some((first, _, last)) if *last == uid => *first = beat.min(*first),
            _ => users.push((beat, random::octets().unwrap_or_default(), uid)),
        }
    }
    users.sort();
    users.into_iter().map(|(_, _, uid)| uid).collect()
}

/// Whether it is what waits, and not a lock.
fn is_one(entry: std::io::Result<fs::DirEntry>) -> bool {
    !entry.is_ok_and(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."))
}

/// Whether there may be a name in `queue`. A root who has not all of root's rights, as a hardened unit has it, may not
/// look; then the user's own process does.
fn has_names(queue: &Path) -> bool {
    match queue.symlink_metadata() {
        Ok(of) => of.is_dir() && fs::read_dir(queue).map_or(true, |mut names| names.any(is_one)),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// What a user's process came to, and what it said.
struct End {
    status: u8,
    said: String,
    /// On its standard error.
    complaint: String,
}

impl End {
    /// What it said last on its standard error, which is what kept it from its work.
    fn trouble(&self, uid: u32) -> Failure {
        let mut hint = None;
        let mut lines = self.complaint.lines().rev();
        let why = lines.find_map(|line| {
            hint = line.strip_prefix("hint: ").or(hint);
            line.strip_prefix("mailchute: ").map(str::to_owned)
        });
        let why = why.unwrap_or_else(|| format!("the process that sends what waits ended with status {}", self.status));
        Failure { hint: hint.map(str::to_owned), ..Failure::new(Kind::System, format!("uid {uid}"), why) }
    }
}

fn told(uid: u32, end: Result<End, Failure>, is_quiet: bool) -> u8 {
    match end {
        Ok(end) if is_quiet => {
            // Whoever reads nothing else is to know why that user's messages are not looked at.
            if weight(end.status) == BROKEN {
                door::report(&end.trouble(uid));
            }
            end.status
        }
        Ok(End { status, said, complaint }) => {
            for line in said.lines().chain(complaint.lines()) {
                let _ = door::say(&format!("uid {uid}: {}\n", printable(line.as_bytes(), 1024)));
            }
            status
        }
        Err(failure) => {
            door::report(&failure);
            // Root's own run tells it.
            alerts::raise(0, &failure.to_string());
            exit::of_kind(&failure.kind, Scheme::Reply)
        }
    }
}

/// Runs the process that sends what waits for `uid`.
///
/// # Errors
/// `System`: there is none to be had, it did not end in time or not by itself, or nobody knows how.
fn flush(choice: &Choice, uid: u32, stop: &Stop) -> Result<End, Failure> {
    let failed = |why: String| Failure::new(Kind::System, format!("uid {uid}"), why);
    let mut command = process::again().map_err(|error| failed(format!("no process: {error}")))?;
    command.args(choice.config.iter().flat_map(|file| [OsStr::new("--config"), file.as_os_str()]));
    command.args(["queue", "flush", "--part", "--as"]).arg(uid.to_string()).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = process::spawn(&mut command).map_err(|error| failed(format!("no process: {error}")))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let listen = |pipe: Option<Box<dyn std::io::Read + Send>>| {
            let read = move || {
                let mut said = Vec::new();
                let mut pipe = pipe?;
                let _ = (&mut pipe).take(SAID).read_to_end(&mut said);
                // Whatever is too much is heard all the same, or it would wait for us.
                let _ = std::io::copy(&mut pipe, &mut std::io::sink());
                Some(String::from_utf8_lossy(&said).into_owned())
            };
            process::start_in(scope, "ear", read)
        };
        let ears = [listen(out.map(|pipe| Box::new(pipe) as _)), listen(err.map(|pipe| Box::new(pipe) as _))];
        let status = attend(&mut child, stop);
        let [said, complaint] = ears.map(|ear| ear.ok().and_then(|ear| ear.join().ok()?).unwrap_or_default());
        status.map(|status| End { status, said, complaint }).map_err(|why| failed(why.to_owned()))
    })
}

/// Waits for the end of `child`, and sees to it where it does not come.
///
/// # Errors
/// Why it has no status of its own.
fn attend(child: &mut Child, stop: &Stop) -> Result<u8, &'static str> {
    const CUT_OFF: &str = "the process that sends what waits had to be ended";
    let mut end = Instant::now() + SPAN;
    let mut is_told = false;
    loop {
        match process::ended(child).map_err(|_| CUT_OFF)? {
            Some(Ended::With(status)) => return status.code().and_then(|code| u8::try_from(code).ok()).ok_or(CUT_OFF),
            Some(Ended::Somehow) => {
                return Err("nobody knows how the process that sends what waits ended: SIGCHLD is ignored here");
            }
            None => {}
        }
        if !is_told && (stop.is_set() || Instant::now() >= end) {
            // It ends after the message that it is at.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
            end = Instant::now() + GRACE;
            is_told = true;
        } else if is_told && Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            return Err(CUT_OFF);
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn whoever_waited_longest_has_the_first_turn() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let beats = [(1, at(50)), (2, at(20)), (3, at(40)), (3, at(10)), (4, at(30))];
        assert_eq!(in_turn(beats.into_iter()), [3, 2, 4, 1]);
        // Nobody is always the last where nothing is known.
        let unknown = || (1..=5).map(|uid| (uid, SystemTime::UNIX_EPOCH));
        let last: BTreeSet<u32> = (0..500).filter_map(|_| in_turn(unknown()).pop()).collect();
        assert_eq!(last, (1..=5).collect());
    }
}
