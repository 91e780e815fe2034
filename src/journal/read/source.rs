//! The record files that a reader may see, and where in each of them a moment lies.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use memchr::{memchr, memmem};
use nix::fcntl::OFlag;

use super::{Strange, moment};
use crate::journal::record_file::{self, DIRECTORY, SHARED};
use crate::keep::{Keep, Place, left_below};

/// How far from its place in time a record may stand, in milliseconds: the time is taken before the line is written.
const DISORDER: i64 = 60_000;

/// How near a moment is looked for, in octets.
const NEAR: u64 = 32 << 10;

/// The most that is searched of one file, its end, in octets: sixteen times what a file has before it gets a number.
const MOST: u64 = 1 << 30;

/// How much is read to find the time of one record, in octets.
const PEEK: usize = 4 << 10;

/// The longest line that is read, in octets; no record is nearly as long.
pub(super) const LONGEST: usize = 4 << 20;

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    /// Device and inode.
    pub(super) identity: (u64, u64),
    /// How much of it there was.
    pub(super) length: u64,
    /// When it was written to last, in milliseconds since 1970.
    pub(super) written: i64,
    /// Whose records count: all of another uid are not there, or were not written by this program.
    pub(super) uid: Option<u32>,
    /// Whether only that uid can have written to it.
    pub(super) is_own: bool,
}

/// Every file that `uid` may see, the newest first as far as they are one user's; what is older than `since` is left
/// out. `None`: there is no file at all.
pub(super) fn find(uid: u32, since: Option<i64>, strange: &Strange) -> Option<Vec<Source>> {
    below(Path::new(DIRECTORY), uid, since, strange)
}

pub(super) fn below(directory: &Path, uid: u32, since: Option<i64>, strange: &Strange) -> Option<Vec<Source>> {
    let mut found: Vec<Source> = Vec::new();
    let mut is_any = false;
    let mut add = |path: &Path, whose: Whose| -> bool {
        match Source::open(path, whose, since) {
            Ok(Some(source)) => {
                is_any = true;
                // It got another number meanwhile.
                if !found.iter().any(|known| known.identity == source.identity) {
                    found.push(source);
                }
                true
            }
            Ok(None) => {
                is_any = true;
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(_) => {
                strange.unread();
                true
            }
        }
    };
    let mut add_all = |path: &Path, whose: Whose| {
        // Numbers that another has taken are passed over, and behind the first that nobody has there is none.
        let names = std::iter::once(path.to_owned()).chain(record_file::numbered(path));
        let _ = names.take_while(|name| name == path || name.symlink_metadata().is_ok()).all(|name| {
            add(&name, whose);
            true
        });
    };
    if uid == 0 {
        // Anybody may lay a file of any name into a directory that is open, so only its owner counts there.
        for (path, owner) in listed(directory) {
            if let Some(owner) = owner {
                add(&path, Whose::Users(owner));
            }
        }
        let shared = left_below(directory).map(|shared| listed(&shared)).unwrap_or_default();
        for (path, owner) in shared {
            if owner.is_none() {
                add(&path, Whose::Everybodys);
            }
        }
    } else {
        if let Some(shared) = Keep::shared(Place::Log) {
            add_all(&shared.file(SHARED), Whose::Shared(uid));
        }
        for path in record_file::names(directory, uid) {
            match path.symlink_metadata() {
                Ok(of) if of.uid() != uid => {}
                Ok(_) => add_all(&path, Whose::Users(uid)),
                Err(_) => break,
            }
        }
    }
    is_any.then_some(found)
}

/// Whose records a file should hold.
#[derive(Clone, Copy, Debug)]
enum Whose {
    /// This user's.
    Users(u32),
    /// All sites', of which this caller sees its own.
    Shared(u32),
    /// All sites', for root.
    Everybodys,
}

/// Every record file of the host, for root.
fn listed(directory: &Path) -> Vec<(PathBuf, Option<u32>)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let of = |entry: fs::DirEntry| {
        let owner = record_file::owner(entry.file_name().to_str()?)?;
        Some((entry.path(), owner))
    };
    entries.filter_map(Result::ok).filter_map(of).collect()
}

impl Source {
    /// Opens it, if it is a file of whoever it should be of; `None`: all in it is older than `since`.
    fn open(path: &Path, whose: Whose, since: Option<i64>) -> io::Result<Option<Self>> {
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        let (is_its, uid, is_own) = match whose {
            Whose::Users(uid) => ([uid, 0].contains(&found.uid()) && found.nlink() == 1, Some(uid), true),
            Whose::Shared(uid) => (true, Some(uid), false),
            Whose::Everybodys => (true, None, false),
        };
        if !found.is_file() || !is_its {
            return Err(io::Error::other("is somebody else's"));
        }
        let since_epoch = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let written = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        if since.is_some_and(|since| written < since - DISORDER) {
            return Ok(None);
        }
        let identity = (found.dev(), found.ino());
        Ok(Some(Self { file, identity, length: found.len(), written, uid, is_own }))
    }

    /// Fills `buffer` with what stands at `at`, and says how much that was.
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// The part in which the records between two moments are.
    pub(super) fn between(&self, since: Option<i64>, until: Option<i64>) -> std::ops::Range<u64> {
        // A hole of a terabyte costs whoever makes it nothing, and would cost the reader an hour.
        let first = self.length.saturating_sub(MOST);
        let start = since.map_or(first, |since| self.place_of(since - DISORDER).0.max(first));
        let end = until.map_or(self.length, |until| self.place_of(until + DISORDER).1);
        start..end.max(start)
    }

    /// Two places, near each other, between which the first record of `moment` or later begins.
    fn place_of(&self, moment: i64) -> (u64, u64) {
        let (mut before, mut after) = (0, self.length);
        while after - before > NEAR {
            let middle = before + (after - before) / 2;
            match self.time_at(middle) {
                Some(time) if time < moment => before = middle,
                // Or no record begins behind it.
                Some(_) | None => after = middle,
            }
        }
        (before, after)
    }

    /// The time of the first record that begins behind `at`.
    pub(super) fn time_at(&self, at: u64) -> Option<i64> {
        let mut buffer = vec![0; PEEK];
        loop {
            let filled = self.read(&mut buffer, at).ok()?;
            let text = &buffer[..filled];
            let mut from = if at == 0 { Some(0) } else { memchr(b'\n', text).map(|end| end + 1) };
            while let Some(start) = from {
                if let Some(time) = begins(&text[start..]) {
                    return Some(time);
                }
                // A torn line has none.
                from = memchr(b'\n', &text[start..]).map(|end| start + end + 1);
            }
            if filled < buffer.len() || buffer.len() >= LONGEST {
                return None;
            }
            buffer.resize(buffer.len() * 8, 0);
        }
    }
}

/// The time of the record that begins here.
fn begins(text: &[u8]) -> Option<i64> {
    const NAME: &[u8] = b"\"time\":\"";
    let head = &text[..text.len().min(256)];
    let head = &head[..memchr(b'\n', head).unwrap_or(head.len())];
    let value = &head[memmem::find(head, NAME)? + NAME.len()..];
    moment::read(&value[..memchr(b'"', value)?])
}
