//! `mailchute queue flush`: what waits is sent, for one user or, by a process for each, for all.

mod alerts;
mod children;

use std::io::{ErrorKind, IsTerminal as _};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

pub(super) use children::run as run_for_all;

use crate::alert::{self, Heard};
use crate::caller::Caller;
use crate::cli::invocation::Invocation;
use crate::cli::queue;
use crate::conclude::report::Report;
use crate::conclude::{Dossier, Typed};
use crate::deadline;
use crate::door::{self, signals::Stop};
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::flush::{Flush, Stay, Summary, Turn, Wanted};
use crate::plan::Course;
use crate::process;
use crate::spool::{Folder, Spool, Unopened};

/// How often a process that stays looks for what has come meanwhile.
const ROUND: Duration = Duration::from_secs(30);
/// How long a person waits for another process's run, and how often it is looked at whether that has ended.
const TURN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
/// How often progress is shown.
const SHOWN: Duration = Duration::from_millis(250);

/// Sends what waits for `caller` and returns the exit status.
///
/// # Errors
/// Another user's messages were asked for, or a name that does not wait; the spool or the configuration is no good.
pub(super) fn run(invocation: &Invocation, of: &queue::Flush, caller: &Caller) -> Result<u8, Failure> {
    if of.all {
        let why = "only root can send what other users have waiting";
        return Err(Failure::new(Kind::NoPermission, "--all", why).hint("put `sudo` in front of the command"));
    }
    if of.wait {
        process::leave();
    }
    // What was sent from a directory waits without it.
    let caller = &Caller { cwd: None, ..caller.clone() };
    let wanted = Wanted { ids: of.ids.clone(), site: of.site.clone() };
    // A message may come to wait elsewhere while this process stays.
    let places = || spools(caller);
    let all = places();
    check(&all, &wanted)?;
    let Some(spool) = all.first() else {
        // Nothing waits, nothing was ever kept: that is heard, too.
        if !of.part && !of.wait {
            let course = Course::begin(caller, &invocation.choice);
            alerts::ping_and_tell(&course, true, of.quiet);
        }
        return end(of, Summary::default());
    };
    let stop = Stop::watch();
    let is_stopped = || stop.is_set();
    let words = Typed { argv: &invocation.argv, ignored: invocation.ignored.clone(), tag: None };
    let dossier = Dossier::open(caller, words, if of.quiet { silence } else { door::tell });
    dossier.rest();
    let progress = Progress::new(!of.quiet);
    let show = |done, all| progress.show(done, all);
    let flush = Flush::of(spool, &dossier, &is_stopped, &show);
    // What is configured is read anew for each run.
    let course = || Course::begin(caller, &invocation.choice);
    let alerts = alerts::Alerts { dossier: &dossier, is_stopped: &is_stopped, spool };
    // A person waits until it is their turn; what is due is sent by whoever has it.
    let is_asked_for = !(of.ids.is_empty() && of.site.is_none());
    let take = |spool: &Spool| {
        let turn = if is_asked_for { await_turn(spool, &stop) } else { Turn::take(spool) };
        turn.inspect_err(|failure| alerts.raise(&course(), failure))
    };
    let run = |turn: &Turn| {
        let course = course();
        if !of.part {
            alerts::look_for_silence(&course);
        }
        // Whoever is to hear of trouble need not wait for what has waited long already.
        let before = alerts.tell(&course).told;
        let send = |flush: &Flush<'_>, turn: &Turn| {
            flush.run(&course, &wanted, turn).inspect_err(|failure| alerts.raise(&course, failure))
        };
        let mut whole = send(&flush, turn)?;
        for other in places().iter().filter(|other| other.directory() != spool.directory()) {
            if let Some(turn) = take(other)? {
                whole = whole.beside(send(&Flush::of(other, &dossier, &is_stopped, &show), &turn)?);
            }
        }
        let heard = alerts.tell(&course);
        Ok((whole, Heard { told: before + heard.told, ..heard }))
    };
    if of.wait {
        return stay(spool, &stop, caller.uid, take, run, || first_due(&places()));
    }
    let Some(turn) = take(spool)? else {
        if is_asked_for {
            let why = "another process is sending what waits for this user, and did not end within a minute";
            return Err(Failure::new(Kind::Unavailable, "queue flush", why).hint("try again in some minutes"));
        }
        if !of.quiet {
            door::print("another process is sending what waits for this user\n")?;
        }
        return Ok(exit::OK);
    };
    let ended = run(&turn);
    progress.end();
    if !of.part {
        let is_good = matches!(&ended, Ok((summary, _)) if status(*summary) == exit::OK);
        alerts.ping(&course(), is_good);
    }
    let (summary, heard) = ended?;
    if !of.quiet && heard.told > 0 {
        door::print(&format!("{} told\n", count(heard.told, "alert")))?;
    }
    if let (false, Some(due)) = (of.quiet, first_due(&all)?.filter(|_| summary == Summary::default())) {
        let until = deadline::seconds(due.duration_since(SystemTime::now()).unwrap_or_default());
        door::print(&format!(
            "nothing is due yet: the next try is in {until}; mailchute queue flush ID tries one at once\n"
        ))?;
        return Ok(exit::OK);
    }
    end(of, summary)
}

/// Where messages of `caller` may wait, the place in which they are kept today first. One that cannot be looked at is
/// no empty one.
fn spools(caller: &Caller) -> Vec<Spool> {
    let mut spools = Spool::every(caller);
    let is_missing = |spool: &Spool| {
        let found = spool.directory().symlink_metadata();
        found.map_or_else(|error| error.kind() == ErrorKind::NotFound, |found| !found.is_dir())
    };
    spools.retain(|spool| !is_missing(spool));
    spools
}

/// `1 alert`, `2 alerts`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Makes one run after the other until nothing waits, no alert either, and gives the exit status.
///
/// # Errors
/// The spool cannot be read. What goes wrong in a run is left to the next one: whoever stays is there for the next
/// message, too.
fn stay(
    spool: &Spool,
    stop: &Stop,
    uid: u32,
    take: impl Fn(&Spool) -> Result<Option<Turn>, Failure>,
    run: impl Fn(&Turn) -> Result<(Summary, Heard), Failure>,
    first_due: impl Fn() -> Result<Option<SystemTime>, Failure>,
) -> Result<u8, Failure> {
    let mut whole = Summary::default();
    loop {
        // The other one sees what comes.
        let Some(right) = Stay::take(spool)? else { return Ok(exit::OK) };
        while !stop.is_set() {
            // Between runs the turn is anybody's: a person may want it done now.
            let mut until_alert = None;
            match take(spool)?.map(|turn| run(&turn)) {
                Some(Ok((summary, heard))) => {
                    whole = whole.and(summary);
                    until_alert = heard.next;
                }
                Some(Err(failure)) => {
                    door::report(&failure);
                    whole.left = 1;
                }
                None => whole.left = 1,
            }
            let until_due = first_due()?.map(|due| due.duration_since(SystemTime::now()).unwrap_or_default());
            let next = until_due.into_iter().chain(until_alert).min();
            let Some(until_due) = next.or_else(|| alert::is_any(uid).then_some(ROUND)) else { break };
            // What was left although it is due will hardly go a moment later.
            stop.wait(if whole.left > 0 { ROUND } else { until_due.clamp(Duration::from_secs(1), ROUND) });
        }
        drop(right);
        // A message that came between the last look and the end of our stay found us here and started nobody.
        if stop.is_set() || first_due()?.is_none() && !alert::is_any(uid) {
            return Ok(status(whole));
        }
    }
}

/// The turn in `spool`, waited for while another process has it; `None`: it kept it too long, or this one is to end.
///
/// # Errors
/// As [`Turn::take`].
fn await_turn(spool: &Spool, stop: &Stop) -> Result<Option<Turn>, Failure> {
    let end = Instant::now() + TURN;
    loop {
        match Turn::take(spool)? {
            None if Instant::now() < end && !stop.is_set() => stop.wait(LOOK),
            turn => return Ok(turn),
        };
    }
}

/// Refuses the name of what does not wait.
fn check(spools: &[Spool], wanted: &Wanted) -> Result<(), Failure> {
    let is_there = |folder, id: &str| spools.iter().any(|spool| !matches!(spool.look(folder, id), Err(Unopened::Gone)));
    match wanted.ids.iter().find(|id| !is_there(Folder::Queue, id)) {
        None => Ok(()),
        Some(id) if is_there(Folder::Held, id) => {
            Err(Failure::new(Kind::NoInput, id.as_str(), "is held, so a flush does not send it")
                .hint(format!("mailchute queue release {id}")))
        }
        Some(id) => Err(Failure::new(Kind::NoInput, id.as_str(), "no message of this name waits")),
    }
}

/// When the first of what waits is due.
fn first_due(spools: &[Spool]) -> Result<Option<SystemTime>, Failure> {
    let mut first = None;
    for spool in spools {
        spool.each(Folder::Queue, &mut |listed| {
            first = Some(first.map_or(listed.due, |before: SystemTime| before.min(listed.due)));
        })?;
    }
    Ok(first)
}

/// Says what a run came to, and gives its exit status.
fn end(of: &queue::Flush, summary: Summary) -> Result<u8, Failure> {
    if !of.quiet {
        door::print(&in_words(summary))?;
    }
    Ok(status(summary))
}

fn status(summary: Summary) -> u8 {
    let kind = match summary {
        Summary { held: 1.., .. } => Kind::InDoubt,
        _ if !summary.is_done() => Kind::Unavailable,
        _ => return exit::OK,
    };
    exit::of_kind(&kind, Scheme::Reply)
}

fn in_words(summary: Summary) -> String {
    let Summary { sent, waiting, held, failed, left } = summary;
    let counts = [
        (sent, "sent"),
        (waiting, "not sent yet"),
        (left, "left to the next flush"),
        (held, "held, in doubt"),
        (failed, "given up"),
    ];
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { "nothing is due\n".to_owned() } else { format!("{}\n", parts.join(", ")) }
}

/// Nobody is there to hear.
fn silence(_: &Report) {}

/// How far a run is, for whoever watches it at a terminal.
struct Progress {
    is_shown: bool,
    /// When it was shown last.
    last: Mutex<Option<Instant>>,
}

impl Progress {
    fn new(is_wanted: bool) -> Self {
        Self { is_shown: is_wanted && std::io::stdout().is_terminal(), last: Mutex::new(None) }
    }

    fn show(&self, done: usize, all: usize) {
        let Some(mut last) = self.last.try_lock().ok().filter(|_| self.is_shown) else { return };
        if last.is_none_or(|last| last.elapsed() >= SHOWN) {
            let _ = door::say(&format!("\r{done} of {all}"));
            *last = Some(Instant::now());
        }
    }

    /// What was shown makes room for the end.
    fn end(&self) {
        if self.last.lock().is_ok_and(|mut last| last.take().is_some()) {
            let _ = door::say("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_counts_more_than_what_still_waits() {
        let summary = |sent, waiting, held, left| Summary { sent, waiting, held, left, failed: 0 };
        for (of, expected, words) in [
            (summary(0, 0, 0, 0), 0, "nothing is due\n"),
            (summary(2, 0, 0, 0), 0, "2 sent\n"),
            (summary(2, 1, 0, 0), 69, "2 sent, 1 not sent yet\n"),
            (summary(0, 0, 0, 1), 69, "1 left to the next flush\n"),
            (summary(0, 1, 1, 0), 79, "1 not sent yet, 1 held, in doubt\n"),
        ] {
            assert_eq!((status(of), in_words(of).as_str()), (expected, words), "{of:?}");
        }
    }
}
