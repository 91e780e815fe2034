//! Where alerts wait: a file for each kind of trouble of a site and relay, made by the first process that meets it.
//! Those behind it add a line, so that however many fail at once there is one alert, and it knows how many they were.
//!
//! Nothing is locked by who fails. A line is one write at the file's end; what a flusher does is written there, too:
//! `begun` before an alert leaves, `told` after it, each durable, so that a run which is killed loses nothing, and its
//! successor knows what it may have done.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
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
/// What is read of a file, in octets: half a million lines.
const LIMIT: u64 = 8 << 20;
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
    if !is_flusher && (is_first || quiet >= QUIET) && !flusher::is_timed() {
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
        let (mut notice, mut events, mut last, mut marks) = (None, 0, 0, Vec::new());
        for line in text.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            if line.iter().all(u8::is_ascii_digit) {
                events += 1;
                last = last.max(std::str::from_utf8(line).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0));
            } else if let Ok(mark) = serde_json::from_slice::<Mark>(line) {
                marks.push(mark);
            } else if let Ok(found) = serde_json::from_slice::<Notice>(line) {
                events += 1;
                last = last.max(found.time);
                notice.get_or_insert(found);
            }
        }
        let notice = match notice {
            Some(notice) => notice.checked(),
            // Whoever makes it writes a moment later, and others may have come between.
            None if SystemTime::now() < found.modified().ok()? + Duration::from_secs(5) => return None,
            None => Notice::of_file_name(name, if last > 0 { last } else { made })?,
        };
        let (length, is_ended) = (text.len() as u64, text.last().is_none_or(|octet| *octet == b'\n'));
        let events = events.max(1);
        Some(Self { name: name.to_owned(), path, file, notice, events, marks, length, is_ended })
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
