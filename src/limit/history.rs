//! The admissions of one site or relay: a file to which each of them appends a [`Record`].
//!
//! Whether there is room is a question to few records: of a limit of N messages the Nth from the end tells, which is
//! out of its window or not. One append counts for every limit at once, so nothing is ever counted in one of them only,
//! and a process that is killed at any system call has counted or has not. Another limit needs no other file: it asks
//! for another record.
//!
//! Records stand in the order of their times. Whoever finds the newest one in the future, because the clock was set
//! back, has the history [rewritten](History::rewrite): such times count as now.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

use super::record::{Record, SIZE, Time, nanoseconds};
use crate::config::limit::{Limit, Unit};

/// How many records are read at once, from the end.
const TAIL: usize = 64;
/// How many are kept at least, so that a limit that is raised or added finds what was sent before.
const LEAST: u64 = 512;
/// How many are read at once where all are, or written.
const CHUNK: usize = 4096;

/// What is known of one file while it is locked, or at one moment.
pub(super) struct History<'f> {
    file: &'f File,
    /// How many records it has.
    count: u64,
    /// The last of them.
    tail: [u8; TAIL * SIZE as usize],
    /// The place of the first one in `tail`.
    first: u64,
}

/// Whether something may be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Now.
    Now,
    /// From this time on.
    From(Time),
    /// Never: one message asks for more than the limit allows.
    Never,
}

/// Whether a history may be asked as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It may.
    Sound,
    /// It may, and has twice as many records as are worth keeping.
    Long,
    /// Its end is no record, or is still to come: the clock was set back.
    Wrong,
}

/// Something in the file is no record.
fn corrupt() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl<'f> History<'f> {
    /// That in `file`, which has `length` octets.
    ///
    /// # Errors
    /// As reading.
    pub(super) fn read(file: &'f File, length: u64) -> io::Result<Self> {
        let count = length / SIZE;
        let first = count.saturating_sub(TAIL as u64);
        let mut tail = [0; TAIL * SIZE as usize];
        file.read_exact_at(&mut tail[..((count - first) * SIZE) as usize], first * SIZE)?;
        Ok(Self { file, count, tail, first })
    }

    /// The record at this place.
    ///
    /// # Errors
    /// `InvalidData`: there is none. As reading.
    fn record(&self, place: u64) -> io::Result<Record> {
        let octets = match place.checked_sub(self.first) {
            Some(at) => self.tail.as_chunks().0.get(at as usize).copied().ok_or_else(corrupt)?,
            None => {
                let mut octets = [0; SIZE as usize];
                self.file.read_exact_at(&mut octets, place * SIZE)?;
                octets
            }
        };
        Record::read(&octets).ok_or_else(corrupt)
    }

    /// The last one; `None`: there is none at all.
    fn last(&self) -> io::Result<Option<Record>> {
        self.count.checked_sub(1).map(|place| self.record(place)).transpose()
    }

    /// The recipients of all.
    fn total(&self) -> io::Result<u64> {
        Ok(self.last()?.map_or(0, |last| last.total))
    }

    /// Whether it has to be rewritten before `limits` are asked at `now`.
    ///
    /// # Errors
    /// As reading.
    pub(super) fn age(&self, limits: &[Limit], now: Time) -> io::Result<Age> {
        let last = match self.last() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Age::Wrong),
            last => last?,
        };
        Ok(match last {
            Some(last) if last.time > now => Age::Wrong,
            _ if self.count >= 2 * kept(limits) => Age::Long,
            _ => Age::Sound,
        })
    }

    /// Whether `recipients` of one message may be admitted by `limit` at `now`.
    ///
    /// # Errors
    /// `InvalidData`: the file is not what was written. As reading.
    pub(super) fn room(&self, limit: &Limit, recipients: u32, now: Time) -> io::Result<Room> {
        let most = u64::from(limit.count);
        // The record that has to be out of the window so that what comes is not one too many.
        let place = match limit.unit {
            Unit::Messages => match self.count.checked_sub(most) {
                None => return Ok(Room::Now),
                Some(place) => place,
            },
            Unit::Recipients => {
                let Some(others) = most.checked_sub(u64::from(recipients)) else { return Ok(Room::Never) };
                let total = self.total()?;
                if total <= others {
                    return Ok(Room::Now);
                }
                // Each record has one recipient at least.
                let least = self.count.saturating_sub(others + 1);
                self.first_where(least, |record| record.total >= total - others)?
            }
        };
        let free = self.record(place)?.time.saturating_add(nanoseconds(limit.span()));
        Ok(if free <= now { Room::Now } else { Room::From(free) })
    }

    /// How much `limit` counts at `now`.
    ///
    /// # Errors
    /// As [`History::room`].
    pub(super) fn used(&self, limit: &Limit, now: Time) -> io::Result<u64> {
        let span = nanoseconds(limit.span());
        let first = self.first_where(0, |record| record.time.min(now).saturating_add(span) > now)?;
        Ok(match limit.unit {
            Unit::Messages => self.count - first,
            Unit::Recipients => {
                let before = first.checked_sub(1).map(|place| self.record(place)).transpose()?;
                self.total()?.saturating_sub(before.map_or(0, |before| before.total))
            }
        })
    }

    /// The place of the first record from `least` on of which `is_true` holds, as it then does of all behind it; the
    /// number of records: of none.
    fn first_where(&self, least: u64, is_true: impl Fn(&Record) -> bool) -> io::Result<u64> {
        let (mut low, mut high) = (least, self.count);
        // Most often it is the first, as each message has one recipient.
        let mut middle = low;
        while low < high {
            match is_true(&self.record(middle)?) {
                true => high = middle,
                false => low = middle + 1,
            }
            middle = low + (high - low) / 2;
        }
        Ok(low)
    }

    /// Admits a message with so many recipients.
    ///
    /// # Errors
    /// As writing: it is not admitted.
    pub(super) fn append(&self, recipients: u32, now: Time) -> io::Result<()> {
        let total = self.total()? + u64::from(recipients);
        // What a write that was cut off has left behind the last whole record is written over.
        self.file.write_all_at(&Record { time: now, total }.octets(), self.count * SIZE)
    }

    /// Takes back `some` of the `recipients` that were admitted at `time`, and with all of them the message as well. Too
    /// much is counted where it cannot be found any more or a kill comes between, never too little.
    ///
    /// # Errors
    /// As reading and writing.
    pub(super) fn take_back(&self, time: Time, recipients: u32, some: u32) -> io::Result<()> {
        let is_whole = some == recipients;
        // What was admitted in the same moment for as many is as good.
        let mut place = self.first_where(0, |record| record.time >= time)?;
        let mut before = place.checked_sub(1).map(|place| self.record(place)).transpose()?.map_or(0, |last| last.total);
        let behind = loop {
            let behind = self.count - place;
            if behind == 0 || behind > CHUNK as u64 {
                return Ok(());
            }
            let record = self.record(place)?;
            match (record.time == time, record.total.saturating_sub(before) == u64::from(recipients)) {
                (true, true) => break behind,
                (true, false) => (place, before) = (place + 1, record.total),
                (false, _) => return Ok(()),
            }
        };
        let mut octets = Vec::with_capacity((behind * SIZE) as usize);
        for other in place + u64::from(is_whole)..self.count {
            let record = self.record(other)?;
            octets.extend_from_slice(&Record { total: record.total.saturating_sub(some.into()), ..record }.octets());
        }
        self.file.write_all_at(&octets, place * SIZE)?;
        match is_whole {
            true => self.file.set_len((self.count - 1) * SIZE),
            false => Ok(()),
        }
    }

    /// Writes what is worth keeping for `limits` to `out`: the newest records, those in the future with the time `now`,
    /// and without what is none. How many octets that makes.
    ///
    /// # Errors
    /// As reading and writing.
    pub(super) fn rewrite(&self, limits: &[Limit], now: Time, out: &mut impl Write) -> io::Result<u64> {
        let start = self.count.saturating_sub(kept(limits));
        let mut before =
            start.checked_sub(1).and_then(|place| self.record(place).ok()).map_or(0, |record| record.total);
        let (mut total, mut time, mut length) = (0, 0, 0);
        let mut chunk = Vec::new();
        for from in (start..self.count).step_by(CHUNK) {
            let some = (self.count - from).min(CHUNK as u64);
            chunk.resize((some * SIZE) as usize, 0);
            self.file.read_exact_at(&mut chunk, from * SIZE)?;
            let mut written = Vec::with_capacity(chunk.len());
            for record in chunk.as_chunks().0.iter().filter_map(Record::read) {
                // One recipient at least, also where the total of the one before is lost.
                total += record.total.checked_sub(before).filter(|own| (1..1 << 32).contains(own)).unwrap_or(1);
                before = record.total;
                time = record.time.min(now).max(time);
                written.extend_from_slice(&Record { time, total }.octets());
            }
            out.write_all(&written)?;
            length += written.len() as u64;
        }
        Ok(length)
    }
}

/// How many records are worth keeping.
fn kept(limits: &[Limit]) -> u64 {
    limits.iter().map(|limit| u64::from(limit.count)).fold(LEAST, u64::max)
}

/// The later one counts.
impl Ord for Room {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |room: &Self| match *room {
            Self::Now => (0, 0),
            Self::From(time) => (1, time),
            Self::Never => (2, 0),
        };
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for Room {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
