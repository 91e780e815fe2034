//! Files that are locked.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::fcntl::FlockArg;
#[expect(deprecated, reason = "its successor panics, see Locked")]
use nix::fcntl::flock;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};

use super::Owner;

/// Holds a lock.
#[derive(Debug)]
pub struct Lock {
    pub(super) locked: Locked,
    pub(super) owner: Owner,
}

/// A file that is locked until this is dropped. What nix has for that panics where the system does not unlock, as on a
/// network file system that a signal interrupts; by then a message may have been kept and its caller be owed a 0.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Locks `file`.
    ///
    /// # Errors
    /// flock(2)'s.
    pub fn take(file: File, how: FlockArg) -> Result<Self, Errno> {
        lock(&file, how).map(|()| Self(file))
    }
}

/// Locks `file` until it is closed, for whoever has it alone and spares the system call that unlocks it.
///
/// # Errors
/// flock(2)'s.
#[expect(deprecated, reason = "its successor panics, see Locked")]
pub fn lock(file: &File, how: FlockArg) -> Result<(), Errno> {
    flock(file.as_raw_fd(), how)
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing unlocks, too, as soon as no duplicate is open.
        #[expect(deprecated, reason = "its successor panics, see above")]
        let _ = flock(self.0.as_raw_fd(), FlockArg::Unlock);
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Lock {
    /// Sets the time of the lock's file to now, by which others see that its holder is alive. The file system says what
    /// "now" is, whose clock moves in steps of some milliseconds: what it sees change afterwards is never the older one.
    pub fn touch(&self) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let _ = futimens(&*self.locked, &Timestamps { last_access: now, last_modification: now });
    }

    /// What is locked, for reading and writing in place, if it is a file that only those whose directory it is in can
    /// have laid there.
    pub fn file(&self) -> Option<&File> {
        let file = &*self.locked;
        file.metadata().is_ok_and(|found| self.owner.made(&found)).then_some(file)
    }
}
