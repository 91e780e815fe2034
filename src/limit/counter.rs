//! The file that counts for one site or relay: opened, locked, asked and written, by as few system calls as can be.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::Duration;

use directories::BaseDirs;
use nix::errno::Errno;
use nix::fcntl::FlockArg;

use super::history::{Age, History, Room};
use super::line::Mark;
use super::record::{self, Time};
use crate::caller::Caller;
use crate::config::limit::{Limit, Limits};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::host::is_privileged;
use crate::keep::{self, Keep, Place, Watch};

/// The longest pause before a lock is tried again. Whoever has it holds it for some microseconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// The first one.
const FIRST_PAUSE: Duration = Duration::from_micros(100);

/// What counts for one site or relay.
pub(super) struct Counter<'a> {
    limits: &'a Limits,
    /// Whose process this is.
    uid: u32,
    clock: fn() -> Time,
    /// Where a test keeps it.
    fixed: Option<Keep>,
}

/// The file while it is locked.
struct Locked {
    // Closed, which unlocks it, before nobody watches any more.
    file: File,
    /// Ends this process if it is stopped, where all callers share the file.
    _watch: Option<Watch>,
    /// How long it is, in octets.
    length: u64,
    /// Where it is.
    keep: Keep,
}

/// Why something is not admitted.
#[derive(Debug)]
pub(super) enum Denied {
    /// This limit is the last to have room again.
    Over(Limit, Room),
    /// There is room, and others wait for it.
    Behind,
    /// It cannot be counted.
    Uncounted(Failure),
}

impl From<Failure> for Denied {
    fn from(failure: Failure) -> Self {
        Self::Uncounted(failure)
    }
}

impl<'a> Counter<'a> {
    /// What `uid` counts for `limits`.
    pub(super) fn of(limits: &'a Limits, uid: u32) -> Self {
        Self { limits, uid, clock: record::now, fixed: None }
    }

    /// A test's own.
    #[cfg(test)]
    pub(super) fn at(limits: &'a Limits, keep: Keep, uid: u32, clock: fn() -> Time) -> Self {
        Self { limits, uid, clock, fixed: Some(keep) }
    }

    /// Admits a message with so many recipients and counts it; when that was. One that is `new` stands behind what waits.
    ///
    /// # Errors
    /// It is over a limit, or cannot be counted: nothing is.
    pub(super) fn admit(&self, recipients: u32, is_new: bool, deadline: Deadline) -> Result<Time, Denied> {
        let locked = self.locked(deadline)?;
        let keep = &locked.keep;
        let now = (self.clock)();
        let failed = |error: io::Error| self.unusable(keep, &error);
        let history = History::read(&locked.file, locked.length).map_err(failed)?;
        let age = history.age(&self.limits.all, now).map_err(failed)?;
        if is_new && age != Age::Wrong && Mark::of(keep, &self.limits.file).is_set(now) {
            let over = self.over(&history, recipients, now).map_err(failed)?;
            return Err(over.map_or(Denied::Behind, |(limit, room)| Denied::Over(limit, room)));
        }
        if age == Age::Sound {
            match self.append(&history, recipients, now) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) if keep.is_under_a_quota_of_another(&locked.file, &error) => {}
                done => return done.map_err(failed)?,
            }
        }
        // Nobody else does this: whoever wants to has to have the lock of the file that is replaced.
        let replaced = self.replace(keep, &history, now);
        let done = replaced.and_then(|(file, length)| self.append(&History::read(&file, length)?, recipients, now));
        match done {
            // It is too long, and no more than that.
            Err(_) if age == Age::Long => self.append(&history, recipients, now).map_err(failed)?,
            done => done.map_err(failed)?,
        }
    }

    /// Counts what there is room for.
    fn append(&self, history: &History<'_>, recipients: u32, now: Time) -> io::Result<Result<Time, Denied>> {
        Ok(match self.over(history, recipients, now)? {
            Some((limit, room)) => Err(Denied::Over(limit, room)),
            None => {
                history.append(recipients, now)?;
                Ok(now)
            }
        })
    }

    /// The limit that has room last, where one has none now.
    fn over(&self, history: &History<'_>, recipients: u32, now: Time) -> io::Result<Option<(Limit, Room)>> {
        let mut worst = None;
        for limit in &self.limits.all {
            let room = history.room(limit, recipients, now)?;
            if room > worst.map_or(Room::Now, |(_, worst)| worst) {
                worst = Some((*limit, room));
            }
        }
        Ok(worst)
    }

    /// Whether a message with so many recipients would be admitted now. Nothing is counted or waited for; what cannot
    /// be told is left to the admission.
    pub(super) fn look(&self, recipients: u32) -> Result<(), Denied> {
        let now = (self.clock)();
        let asked = self.ask(|history| match history.age(&[], now)? {
            Age::Wrong => Ok(None),
            Age::Sound | Age::Long => self.over(history, recipients, now),
        });
        match asked {
            Ok(Some(Some((limit, room)))) => Err(Denied::Over(limit, room)),
            _ => Ok(()),
        }
    }

    /// How much is left of each limit now, and when there is more where that is nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn left(&self) -> Result<Vec<(Limit, u32, Room)>, Failure> {
        let now = (self.clock)();
        let all = &self.limits.all;
        let asked = self.ask(|history| {
            let left = |limit: &Limit| {
                let used = u32::try_from(history.used(limit, now)?).unwrap_or(u32::MAX);
                Ok((*limit, limit.count.saturating_sub(used), history.room(limit, 1, now)?))
            };
            all.iter().map(left).collect::<io::Result<Vec<_>>>()
        })?;
        Ok(asked.unwrap_or_else(|| all.iter().map(|limit| (*limit, limit.count, Room::Now)).collect()))
    }

    /// What `question` says of the file as it is at this moment; `None`: there is none yet.
    fn ask<T>(&self, question: impl FnOnce(&History<'_>) -> io::Result<T>) -> Result<Option<T>, Failure> {
        let mut keep = self.likely();
        let mut opened = self.opened(&keep);
        if opened.is_err() {
            let Some(sure) = self.sure() else { return Ok(None) };
            opened = self.opened(&sure);
            keep = sure;
        }
        let failed = |error: io::Error| self.unusable(&keep, &error);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => {
                let (file, length) = opened.map_err(failed)?;
                History::read(&file, length).and_then(|history| question(&history)).map(Some).map_err(failed)
            }
        }
    }

    /// The file in `keep` and its length, not locked.
    fn opened(&self, keep: &Keep) -> io::Result<(File, u64)> {
        let file = keep.change(&self.limits.file)?;
        let found = file.metadata()?;
        if keep.has_made(&found) { Ok((file, found.len())) } else { Err(foreign()) }
    }

    /// Takes back `some` of the `recipients` that were admitted at `time`, with all of them the message as well, as far
    /// as that can be done.
    pub(super) fn take_back(&self, time: Time, recipients: u32, some: u32, deadline: Deadline) {
        let Ok(locked) = self.locked(deadline) else { return };
        // What is counted too much is no reason to tell anybody anything.
        let _ =
            History::read(&locked.file, locked.length).and_then(|history| history.take_back(time, recipients, some));
    }

    /// Notes that something waits until `next`, or that nothing does any more. What cannot be noted costs it its place
    /// in the line, no more.
    pub(super) fn line(&self, next: Option<Time>) {
        let likely = self.likely();
        let keep = if self.opened(&likely).is_ok() { Some(likely) } else { self.sure() };
        let Some(keep) = keep else { return };
        let mark = Mark::of(&keep, &self.limits.file);
        match next {
            Some(next) => drop(mark.set(next)),
            None => mark.clear(),
        }
    }

    /// Where it most likely is.
    fn likely(&self) -> Keep {
        self.fixed.clone().unwrap_or_else(|| Keep::likely(Place::State, self.uid))
    }

    /// Where it is: with the state of the host, else in the home of a user on a host without one; `None`: nowhere.
    fn sure(&self) -> Option<Keep> {
        let home = || {
            let state = Caller::current().own(BaseDirs::state_dir, ".local/state")?;
            Some(Keep::at(state.join("mailchute/state"), self.uid))
        };
        let fixed = self.fixed.clone();
        fixed.or_else(|| Keep::common(Place::State, self.uid)).or_else(|| if is_privileged() { None } else { home() })
    }

    /// The file, made if need be and locked until it is closed.
    ///
    /// # Errors
    /// Others have it until `deadline`, or there is no such file to be had.
    fn locked(&self, deadline: Deadline) -> Result<Locked, Failure> {
        let mut keep = self.likely();
        let mut file = keep.change(&self.limits.file).ok();
        let mut pause = FIRST_PAUSE;
        let mut is_sure = false;
        let mut watch: Option<Watch> = None;
        loop {
            let Some(opened) = file.take() else {
                if !std::mem::replace(&mut is_sure, true) {
                    Place::State.prepare(self.uid);
                    keep = self.sure().ok_or_else(nowhere)?;
                }
                file = Some(keep.change_or_make(&self.limits.file)?);
                continue;
            };
            if keep.is_shared() {
                let watched = match &mut watch {
                    Some(watch) => watch.again(),
                    None => Watch::begin().map(|begun| watch = Some(begun)),
                };
                watched.map_err(|errno| self.unusable(&keep, &errno.into()))?;
            }
            match keep::lock(&opened, FlockArg::LockExclusiveNonblock) {
                Ok(()) => {
                    let found = opened.metadata().map_err(|error| self.unusable(&keep, &error))?;
                    match found.nlink() {
                        // Whoever had the lock before has replaced it.
                        0 => file = keep.change(&self.limits.file).ok(),
                        _ if keep.has_made(&found) => {
                            return Ok(Locked { file: opened, _watch: watch, length: found.len(), keep });
                        }
                        _ if is_sure => return Err(self.unusable(&keep, &foreign())),
                        _ => {}
                    }
                }
                Err(Errno::EWOULDBLOCK | Errno::EINTR) if !deadline.is_over() => {
                    thread::sleep(pause.min(deadline.left()));
                    pause = LONGEST_PAUSE.min(pause * 2);
                    file = Some(opened);
                }
                Err(Errno::EWOULDBLOCK) => {
                    let path = keep.file(&self.limits.file).display().to_string();
                    return Err(Failure::new(Kind::Unavailable, path, "another process has held this lock too long"));
                }
                Err(errno) => return Err(self.unusable(&keep, &errno.into())),
            }
        }
    }

    /// Puts another file in the place of this one, with what is worth keeping of `history`. Locked before anybody can
    /// find it.
    fn replace(&self, keep: &Keep, history: &History<'_>, now: Time) -> io::Result<(File, u64)> {
        let new = format!("{}.new", self.limits.file);
        // One that a killed process has left.
        let _ = fs::remove_file(keep.file(&new));
        let mut file = keep.create(&new)?;
        keep::lock(&file, FlockArg::LockExclusiveNonblock)?;
        let length = history.rewrite(&self.limits.all, now, &mut file)?;
        fs::rename(keep.file(&new), keep.file(&self.limits.file))?;
        Ok((file, length))
    }

    fn unusable(&self, keep: &Keep, error: &io::Error) -> Failure {
        let path = keep.file(&self.limits.file);
        Failure::new(Kind::Io, path.display().to_string(), error.to_string())
    }
}

fn foreign() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "is not a file that only this program can have made")
}

fn nowhere() -> Failure {
    Failure::new(Kind::CannotCreate, Place::State.parent(), "there is no such directory")
}
