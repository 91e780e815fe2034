//! `mailchute queue`, `mailq` and `-bp`: the messages that wait, and what a person does with them.
//!
//! Everybody sees and touches their own. Root does so for all, by a process for each user: root opens no entry.

mod change;
mod everybody;
mod flush;
mod list;
mod mailq;
mod resend;
mod row;
mod show;

use std::time::{SystemTime, UNIX_EPOCH};

pub(in crate::tools) use self::everybody::directories;

use crate::caller::Caller;
use crate::cli::Resend;
use crate::cli::invocation::Invocation;
use crate::cli::queue::{Flush, List, Task};
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::plan::Choice;
use crate::spool::{Folder, Spool, Unopened};

pub(crate) use self::resend::run as resend;

/// Does `task` for `caller` and returns the exit status.
pub(crate) fn run(invocation: &Invocation, task: &Task, caller: &Caller) -> u8 {
    let done = match task {
        Task::List(words) => list::run(&invocation.choice, words, caller),
        Task::Show(words) => show::run(words, caller),
        Task::Hold(words) => change::all(change::Change::Hold, words, caller),
        Task::Release(words) => change::all(change::Change::Release, words, caller),
        Task::Drop(words) => change::all(change::Change::Drop, words, caller),
        Task::Resolve(words) => change::resolve(invocation, words, caller),
        Task::Flush(words) => flush::run(invocation, words, caller),
    };
    done.unwrap_or_else(|failure| told(&failure))
}

/// Does `task` for everybody, as root.
pub(crate) fn run_for_all(invocation: &Invocation, task: &Task) -> u8 {
    everybody::run(&invocation.choice, task).unwrap_or_else(|failure| told(&failure))
}

/// Sends messages once more that are done with, as root for whoever sent them.
pub(crate) fn resend_for_all(choice: &Choice, words: &Resend) -> u8 {
    everybody::resend(choice, words).unwrap_or_else(|failure| told(&failure))
}

/// `mailq` and `-bp`: what waits, in the form that the callers of these know.
#[cold]
pub(crate) fn mailq(invocation: &Invocation, caller: &Caller) -> u8 {
    let words = List::default();
    let rows = match caller.uid {
        0 => everybody::rows(&invocation.choice, &words),
        _ => list::rows(&words, caller),
    };
    let printed = rows.and_then(|rows| door::print(&mailq::text(&rows)));
    printed.map_or_else(|failure| told(&failure), |()| exit::OK)
}

/// `-q`: what is due is sent, everybody's for root. Nothing is said, as by other programs of this name.
#[cold]
pub(crate) fn run_queue(invocation: &Invocation, caller: &Caller) -> u8 {
    let words = Flush { quiet: true, all: caller.uid == 0, ..Flush::default() };
    let done =
        if words.all { flush::run_for_all(&invocation.choice, &words) } else { flush::run(invocation, &words, caller) };
    done.unwrap_or_else(|failure| told(&failure))
}

/// What `queue show` says of the message `id` of `caller`, for root of anybody's; `None`: it does not wait, is not held
/// and was not given up.
///
/// # Errors
/// There is no process to be had.
pub(super) fn told_of(invocation: &Invocation, id: &str, caller: &Caller) -> Result<Option<String>, Failure> {
    match caller.uid {
        0 => everybody::told_of(&invocation.choice, id),
        _ => Ok(show::told_of(id, caller)),
    }
}

/// Tells a failure and returns its status.
fn told(failure: &Failure) -> u8 {
    door::report(failure);
    exit::of_kind(&failure.kind, Scheme::Reply)
}

/// The folders that are listed, in this order.
const FOLDERS: [Folder; 3] = [Folder::Queue, Folder::Held, Folder::Failed];

/// Which of `spools` holds the entry `id`, and in which folder.
///
/// # Errors
/// `NoInput`: none does.
fn find(spools: &[Spool], id: &str) -> Result<(Spool, Folder), Failure> {
    // Another process may be moving it, so every folder is looked at before it is believed to be gone.
    let found = spools.iter().find_map(|spool| {
        let folder = Folder::ALL.into_iter().find(|folder| !matches!(spool.look(*folder, id), Err(Unopened::Gone)))?;
        Some((spool.clone(), folder))
    });
    found.ok_or_else(|| unknown(id))
}

/// No message has this ID.
fn unknown(id: &str) -> Failure {
    Failure::new(Kind::NoInput, id, "no message of this ID waits, is held, was given up or is kept")
        .hint("`mailchute queue` lists them; a message that is not there has been sent or thrown away")
}

/// Why the entry `id` cannot be had.
fn unopened(id: &str, why: Unopened) -> Failure {
    match why {
        Unopened::Gone => unknown(id),
        Unopened::Busy => Failure::new(Kind::System, id, "is being sent right now").hint("try again in a minute"),
        Unopened::Torn(why) => Failure::new(Kind::Io, id, format!("is no whole message: {why}"))
            .hint("nobody was told that it is kept: the next flush removes it"),
        Unopened::Newer => Failure::new(Kind::Io, id, "was written by a newer version of mailchute"),
        Unopened::Failed(failure) => failure,
    }
}

/// Seconds since 1970.
fn seconds(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// Now, in seconds since 1970.
fn now() -> i64 {
    seconds(SystemTime::now())
}

/// `seconds` as people say them: `40s`, `12m`, `3h`, `5d`.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ ..3600 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// `octets` as people say them: `812 B`, `14 KB`, `3 MB`.
pub(super) fn size(octets: u64) -> String {
    match octets {
        ..=999 => format!("{octets} B"),
        1000..=999_999 => format!("{} KB", octets.div_ceil(1000)),
        1_000_000..=999_999_999 => format!("{} MB", octets.div_ceil(1_000_000)),
        _ => format!("{} GB", octets.div_ceil(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_short() {
        for (seconds, text) in
            [(-5, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (172_799, "47h"), (172_800, "2d")]
        {
            assert_eq!(span(seconds), text);
        }
        for (octets, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 KB"),
            (1001, "2 KB"),
            (999_001, "1000 KB"),
            (1_500_000, "2 MB"),
            (3 << 30, "4 GB"),
        ] {
            assert_eq!(size(octets), text);
        }
    }
}
