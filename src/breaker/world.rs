//! What the breaker needs of the world: a clock, chance, and a file of the uid's.
//!
//! It is the uid's with a set-group-id binary, too, where limits are shared: a caller can stop its own process in the
//! middle of a conversation, and could so make every relay look down to all others.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, SystemTime};

use super::circuit::Time;
use super::page::{Page, SIZE, SLOT};
use crate::deadline::Deadline;
use crate::failure::Kind;
use crate::keep::{Keep, Lock, Place};
use crate::random;

/// The file in the uid's directory.
const FILE: &str = "relays";
/// How long others are waited for who change it.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is not the breaker's own.
pub(super) trait World {
    /// Now, in milliseconds since 1970.
    fn now(&self) -> Time;

    /// Some number.
    fn chance(&self) -> u8;

    /// What is remembered; nothing, where that cannot be read.
    fn page(&self) -> Page;

    /// Lets `alter` change what is remembered while nobody else does; it tells which slot it changed, if any. False:
    /// others changed it all the time. Where nothing can be kept, `alter` sees an empty page, and its changes are lost.
    fn change(&self, alter: &mut dyn FnMut(&mut Page) -> Option<usize>) -> bool;
}

/// The real one.
pub(super) struct Disk {
    /// Whose memory it is.
    pub(super) uid: u32,
}

impl World for Disk {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Time::try_from(since.as_millis()).unwrap_or_default()
    }

    fn chance(&self) -> u8 {
        random::octets::<1>().map_or(0, |[octet]| octet)
    }

    fn page(&self) -> Page {
        let mut page = Page::default();
        if let Some(file) = Keep::open(Place::State, self.uid, FILE) {
            read(&file, &mut page);
        }
        page
    }

    fn change(&self, alter: &mut dyn FnMut(&mut Page) -> Option<usize>) -> bool {
        let mut page = Page::default();
        match self.lock() {
            Locked::Nowhere => {
                alter(&mut page);
            }
            Locked::Busy => return false,
            Locked::Here(lock) => {
                if let Some(file) = lock.file() {
                    read(file, &mut page);
                    if let Some(at) = alter(&mut page) {
                        // What is lost with the power is no loss.
                        let _ = write(file, &page, at);
                    }
                }
            }
        }
        true
    }
}

enum Locked {
    /// There is nothing to keep it in.
    Nowhere,
    /// Others have it, and do not let go.
    Busy,
    /// Nobody else has it.
    Here(Lock),
}

impl Disk {
    /// Locks the file. Another thing of that name is in the way, whatever it is, and goes.
    fn lock(&self) -> Locked {
        Place::State.prepare(self.uid);
        let Some(keep) = Keep::of(Place::State, self.uid) else { return Locked::Nowhere };
        for _ in 0..2 {
            match keep.lock(FILE, Deadline::after(PATIENCE)) {
                Ok(lock) if lock.file().is_some() => return Locked::Here(lock),
                Err(failure) if failure.kind == Kind::Unavailable => return Locked::Busy,
                Err(failure) if failure.kind != Kind::CannotCreate => return Locked::Nowhere,
                _ if fs::remove_file(keep.file(FILE)).is_err() => return Locked::Nowhere,
                _ => {}
            }
        }
        Locked::Nowhere
    }
}

/// Reads as much as there is; the rest is empty.
fn read(file: &fs::File, page: &mut Page) {
    let mut at = 0;
    while at < SIZE {
        match file.read_at(&mut page.0[at..], at as u64) {
            Ok(0) => return,
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Writes the slot at `at`, and cuts off what is behind all slots.
fn write(file: &fs::File, page: &Page, at: usize) -> io::Result<()> {
    file.write_all_at(&page.0[at..at + SLOT], at as u64)?;
    if file.metadata()?.len() > SIZE as u64 {
        file.set_len(SIZE as u64)?;
    }
    Ok(())
}

/// One of a test's own: it has its time, and nothing else happens in it.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Memory {
    page: std::cell::RefCell<Page>,
    /// Now, in milliseconds.
    pub(crate) now: std::cell::Cell<Time>,
}

#[cfg(test)]
impl Memory {
    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.page.borrow().is_empty()
    }
}

#[cfg(test)]
impl World for &Memory {
    fn now(&self) -> Time {
        self.now.get()
    }

    fn chance(&self) -> u8 {
        0
    }

    fn page(&self) -> Page {
        self.page.borrow().clone()
    }

    fn change(&self, alter: &mut dyn FnMut(&mut Page) -> Option<usize>) -> bool {
        alter(&mut self.page.borrow_mut());
        true
    }
}
