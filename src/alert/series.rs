//! Where alerts wait: a file for each kind of trouble of a site and relay, made by the first process that meets it.
//! Those behind it add a line, so that however many fail at once there is one alert, and it knows how many they were.
//!
//! Nothing is locked by who fails. A line is one write at the file's end; what a flusher does is written there, too:
//! `begun` before an alert leaves, `told` after it, each durable, so that a run which is killed loses nothing, and its
//! successor knows what it may have done.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::libc::{O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};
use serde::{Deserialize, Serialize};

use super::notice::Notice;
use crate::caller::Caller;
use crate::failure::{Failure, Kind};
use crate::keep::{Keep, Place};
use crate::spool::{Spool, flusher};

/// The directory in a uid's spool.
pub const FOLDER: &str = "alerts";
/// How a file is called that is about to go.
const ASIDE: &str = ".ending";
/// What is read of a file line by line, in octets. Of what is behind it the lines are counted.
const LIMIT: u64 = 1 << 20;
/// The most that is looked at of a file, in octets: six million events that no flusher has seen.
const MOST: u64 = 64 << 20;
/// How long a file may become that a flusher has seen, in octets.
const LONG: u64 = 64 << 10;
/// How long nobody has written to a file of which nobody is sure to look at it.
const QUIET: Duration = Duration::from_secs(10 * 60);

/// What is done about an alert, as it is written into its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// What.
    pub(super) mark: Done,
    /// Which `[alert.NAME]`.
    pub(super) to: String,
    /// When, in seconds since 1970.
    pub(super) t: i64,
    /// How many events were known.
    pub(super) n: u64,
    /// Why it could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// When it is tried again, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<i64>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Done {
    /// It is about to leave.
    Begun,
    /// It has arrived.
    Told,
    /// It has not, and is tried again.
    Failed,
    /// It may have, and is told again.
    Doubtful,
    /// It has not, and is not tried again.
    GivenUp,
}

/// Events that are only counted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    /// How many.
    events: u64,
    /// When the last of them was, in seconds since 1970.
    last: i64,
}

/// Keeps `notice` of something that happened to `uid`, for a flusher to tell, and sees to it that there is one, unless
/// this process `is_flusher` itself. Nothing is waited for and no trouble is told: it never changes what is done.
///
/// Who meets what others have met already pays three system calls: open, look whose file it is, write. The descriptor
/// is returned so that it may be closed with the process.
pub fn raise(notice: &Notice, uid: u32, is_flusher: bool) -> Option<File> {
    let name = notice.file_name();
    // The name that the uid's own directory mostly has. Whoever else has it cannot have laid a file of this uid there.
    let usual = Path::new(Place::Spool.parent()).join(uid.to_string()).join(FOLDER).join(&name);
    let (mut file, is_first, quiet) = match open(&usual, uid) {
        Some((file, quiet)) => (file, false, quiet),
        None => begin(&name, uid)?,
    };
    let line = match is_first {
        true => serde_json::to_string(notice).ok()?,
        false => notice.time.to_string(),
    };
    file.write_all(format!("{line}\n").as_bytes()).ok()?;
    if !is_flusher && (is_first || quiet >= QUIET) && !flusher::seems_timed() {
        // Where there is no process to be had, the next one that fails tries again.
        let _ = flusher::start();
    }
    Some(file)
}

/// The directory of alerts of `uid`, where there can be one.
pub(super) fn directory(uid: u32) -> Option<Keep> {
    let keep = match Keep::of(Place::Spool, uid) {
        Some(keep) => keep,
        None => Spool::of(&Caller::current())?.keep().clone(),
    };
    Some(Keep::at(keep.file(FOLDER), uid))
}

/// Opens the file of a series that has begun; how long nobody has written to it.
fn open(path: &Path, uid: u32) -> Option<(File, Duration)> {
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    let file = options.open(path).ok()?;
    let found = file.metadata().ok()?;
    let is_own = found.is_file() && found.uid() == uid && found.nlink() == 1;
    let quiet = found.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
    is_own.then_some((file, quiet))
}

/// Begins a series, unless another process has just done so.
fn begin(name: &str, uid: u32) -> Option<(File, bool, Duration)> {
    let keep = directory(uid)?;
    let path = keep.file(name);
    let make = || {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600).custom_flags(O_NOFOLLOW);
        options.open(&path)
    };
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let _ = Place::Spool.prepare(uid);
            keep.make().ok()?;
            make()
        }
        made => made,
    };
    match made {
        Ok(file) => Some((file, true, Duration::ZERO)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let (file, quiet) = open(&path, uid)?;
            Some((file, false, quiet))
        }
        Err(_) => None,
    }
}

/// A series as a flusher finds it.
#[derive(Debug)]
pub(super) struct Series {
    /// The file's name.
    pub(super) name: String,
    path: PathBuf,
    file: File,
    /// What happened at first.
    pub(super) notice: Notice,
    /// How often it happened.
    pub(super) events: u64,
    /// When it happened last, in seconds since 1970.
    last: i64,
    /// What was done about it, in order.
    pub(super) marks: Vec<Mark>,
    /// What was read of it, in octets.
    length: u64,
    /// Its last line is whole.
    is_ended: bool,
}

/// The names of the series of `keep`, in order. Nothing is opened.
pub(super) fn names(keep: &Keep) -> Vec<String> {
    let Ok(found) = fs::read_dir(keep.directory()) else { return Vec::new() };
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let mut names: Vec<String> =
        found.filter_map(name).filter(|name| Notice::of_file_name(name, 0).is_some()).collect();
    names.sort();
    names
}

/// Puts back what a flusher that was killed had laid aside: nobody knows whether something was written to it since it
/// was read. Where another one was begun, it is over.
pub(super) fn put_back(keep: &Keep) {
    let Ok(found) = fs::read_dir(keep.directory()) else { return };
    for name in found.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let Some(own) = name.strip_suffix(ASIDE).filter(|own| Notice::of_file_name(own, 0).is_some()) else { continue };
        let (aside, path) = (keep.file(&name), keep.file(own));
        let _ = if fs::symlink_metadata(&path).is_ok() { fs::remove_file(aside) } else { fs::rename(aside, path) };
    }
}

impl Series {
    /// Reads the one called `name`; `None`: there is none any more, or it was not laid there by `uid`, or who makes it
    /// has not written yet.
    pub(super) fn read(keep: &Keep, name: &str, uid: u32) -> Option<Self> {
        let path = keep.file(name);
        let mut options = OpenOptions::new();
        options.read(true).append(true).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        let mut file = options.open(&path).ok()?;
        let found = file.metadata().ok()?;
        if !found.is_file() || found.uid() != uid || found.nlink() != 1 {
            return None;
        }
        let mut text = Vec::new();
        (&mut file).take(LIMIT).read_to_end(&mut text).ok()?;
        let made = found.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let made = made.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let read = text.len() as u64;
        let (more, behind) = if read == LIMIT { count(&mut file).ok()? } else { (0, 0) };
        // A line that goes on behind what was read ends there, and is counted there.
        let whole = text.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let lines = Lines::of(if more > 0 { &text[..whole] } else { &text });
        let last = if more > 0 { made } else { lines.last };
        let notice = match lines.notice {
            Some(notice) => notice.checked(),
            // Whoever makes it writes a moment later, and others may have come between.
            None if SystemTime::now() < found.modified().ok()? + Duration::from_secs(5) => return None,
            None => Notice::of_file_name(name, if last > 0 { last } else { made })?,
        };
        let is_ended = more == 0 && text.last().is_none_or(|octet| *octet == b'\n');
        let (events, length) = ((lines.events + more).max(1), read + behind);
        Some(Self { name: name.to_owned(), path, file, notice, events, last, marks: lines.marks, length, is_ended })
    }

    /// Writes it anew, durably, where it has become long: what happened at first, how often it happened, and what was
    /// done since each alert was last told. Whatever goes wrong leaves it as it was.
    ///
    /// A writer that has opened what is replaced, and has not written until it was read once more, is lost with it: it
    /// would have added one to what is counted.
    pub(super) fn shorten(self, keep: &Keep, uid: u32) -> Option<Self> {
        if self.length < LONG {
            return Some(self);
        }
        let is_told = |mark: &Mark| matches!(mark.mark, Done::Told | Done::GivenUp);
        let is_over = |(at, mark): &(usize, &Mark)| {
            self.marks[at + 1..].iter().any(|later| is_told(later) && later.to == mark.to)
        };
        let marks = self.marks.iter().enumerate().filter(|found| !is_over(found)).map(|(_, mark)| mark);
        let marks: Vec<String> = marks.map(|mark| serde_json::to_string(mark).unwrap_or_default()).collect();
        let sum = |events: u64| serde_json::to_string(&Sum { events, last: self.last }).unwrap_or_default();
        let first = serde_json::to_string(&self.notice).unwrap_or_default();
        let text = [vec![first, sum(self.events - 1)], marks, vec![String::new()]].concat().join("\n");
        if keep.save(&self.name, text.as_bytes()).is_err() {
            return Some(self);
        }
        // Who wrote meanwhile wrote to what is gone.
        let (late, _) = count(&mut &self.file).unwrap_or_default();
        let made = Self::read(keep, &self.name, uid)?;
        if late > 0 {
            let _ = (&made.file).write_all(format!("{}\n", sum(late)).as_bytes());
        }
        Some(Self { events: made.events + late, ..made })
    }

    /// A writer of marks for whoever has no hold of the series itself.
    ///
    /// # Errors
    /// `Io`: there are no more descriptors.
    pub(super) fn marker(&self) -> Result<Marker, Failure> {
        let file = self.file.try_clone();
        let file = file.map_err(|error| Failure::new(Kind::Io, self.path.display().to_string(), error.to_string()))?;
        Ok(Marker { file, path: self.path.clone(), is_ended: self.is_ended })
    }

    /// Ends the series: what was told holds no longer, and what happens from now on is another one. It stays where
    /// somebody has written to it since it was read.
    ///
    /// A writer that has opened it, and is kept from writing until it is gone, is lost with it: it would have added
    /// one to what was told.
    pub(super) fn end(self) {
        let aside = self.path.with_file_name(format!("{}{ASIDE}", self.name));
        if fs::rename(&self.path, &aside).is_err() {
            return;
        }
        let has_grown = self.file.metadata().map_or(true, |found| found.len() > self.length);
        // Whoever began another one in between is one of those that this one has still to tell of.
        let _ = if has_grown { fs::rename(&aside, &self.path) } else { fs::remove_file(&aside) };
    }
}

/// What the lines of a series say.
#[derive(Debug, Default)]
struct Lines {
    notice: Option<Notice>,
    events: u64,
    last: i64,
    marks: Vec<Mark>,
}

impl Lines {
    /// Those of `text`. What is no such line was cut off, and says nothing.
    fn of(text: &[u8]) -> Self {
        let mut lines = Self::default();
        for line in text.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            if line.iter().all(u8::is_ascii_digit) {
                let time = std::str::from_utf8(line).ok().and_then(|digits| digits.parse().ok());
                lines.add(1, time.unwrap_or(0));
            } else if let Ok(mark) = serde_json::from_slice::<Mark>(line) {
                lines.marks.push(mark);
            } else if let Ok(Sum { events, last }) = serde_json::from_slice::<Sum>(line) {
                lines.add(events, last);
            } else if let Ok(found) = serde_json::from_slice::<Notice>(line) {
                lines.add(1, found.time);
                lines.notice.get_or_insert(found);
            }
        }
        lines
    }

    fn add(&mut self, events: u64, last: i64) {
        self.events = self.events.saturating_add(events);
        self.last = self.last.max(last);
    }
}

/// Lines in what is left of `file`, and octets, as far as anybody looks.
fn count(file: &mut impl Read) -> io::Result<(u64, u64)> {
    let (mut lines, mut octets, mut part) = (0, 0, [0; 8192]);
    while octets < MOST {
        let count = match file.read(&mut part)? {
            0 => break,
            count => count,
        };
        lines += part[..count].iter().filter(|octet| **octet == b'\n').count() as u64;
        octets += count as u64;
    }
    Ok((lines, octets))
}

/// Writes marks into a series.
#[derive(Debug)]
pub(super) struct Marker {
    file: File,
    path: PathBuf,
    is_ended: bool,
}

impl Marker {
    /// Writes `mark`, durably.
    ///
    /// # Errors
    /// `Io`: it may be there or not.
    pub(super) fn write(&mut self, mark: &Mark) -> Result<(), Failure> {
        let line = serde_json::to_string(mark).unwrap_or_default();
        // What was cut off before is no part of it.
        let line =
            if std::mem::replace(&mut self.is_ended, true) { format!("{line}\n") } else { format!("\n{line}\n") };
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            Failure::new(Kind::Io, self.path.display().to_string(), format!("cannot be written: {error}"))
        })
    }
}
