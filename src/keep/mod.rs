//! Directories that a uid has to itself, below parents that every uid may make them in, and files in them that are
//! locked and replaced in one step: tokens, state, spool, runtime.
//!
//! A directory belongs to whom the system says, not to whom its name says: `UID`, else the first `UID.N` that the uid
//! owns. The parents are root's and sticky, so whoever makes another's `UID` first costs it the name and nothing else.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown,
};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::FlockArg;
#[expect(deprecated, reason = "its successor panics, see Locked")]
use nix::fcntl::flock;
use nix::libc::{O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::modes::{self, Modes};

/// How many names after the first are looked at.
const NAMES: u32 = 255;

/// How long to wait before a lock is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What is kept: each has a parent of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Access and refresh tokens.
    Tokens,
    /// What is known of relays and limits.
    State,
    /// Messages that wait.
    Spool,
    /// Locks and sessions, until the host is started again.
    Runtime,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tokens, Self::State, Self::Spool, Self::Runtime];

    /// The directory that holds every uid's, made by the installation: root's, 1733.
    pub const fn parent(self) -> &'static str {
        match self {
            Self::Tokens => "/var/lib/mailchute/tokens",
            Self::State => "/var/lib/mailchute/state",
            Self::Spool => "/var/spool/mailchute",
            Self::Runtime => "/run/mailchute",
        }
    }

    /// Makes the parent and the directory of `uid` in it, as far as this process is root and they are missing. Where
    /// that cannot be, as in a container whose file system is read-only, whoever needs them does without. Returns the
    /// uid's directory where it was made now.
    pub fn prepare(self, uid: u32) -> Option<PathBuf> {
        if !nix::unistd::getuid().is_root() {
            return None;
        }
        let parent = Path::new(self.parent());
        // Each has its mode whatever the umask, and what an administrator made is left alone.
        let make = |directory: &Path, mode| {
            let made = DirBuilder::new().mode(0o700).create(directory).is_ok();
            made && fs::set_permissions(directory, Permissions::from_mode(mode)).is_ok()
        };
        if let Some(above) = parent.parent() {
            make(above, 0o755);
        }
        make(parent, 0o1733);
        let own = parent.join(uid.to_string());
        let is_made = is_sticky(parent) && DirBuilder::new().mode(0o700).create(&own).is_ok();
        // Nobody can put another in its place: it is root's in a sticky directory of root's.
        (is_made && chown(&own, Some(uid), None).is_ok()).then_some(own)
    }
}

/// The directories below `parent` that may be the uid's, in the order in which they are looked at.
fn names(parent: &Path, uid: u32) -> impl Iterator<Item = PathBuf> {
    let first = parent.join(uid.to_string());
    let others = (1..=NAMES).map(move |number| parent.join(format!("{uid}.{number}")));
    std::iter::once(first).chain(others)
}

/// Whether nobody but root can move what root makes in `parent`.
fn is_sticky(parent: &Path) -> bool {
    parent.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == 0 && found.mode() & 0o1000 != 0)
}

/// What a file holds, wiped on drop, with its owner and mode.
pub type Content = (Zeroizing<Vec<u8>>, Modes);

/// A directory that `uid` has to itself. It may be still to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    directory: PathBuf,
    uid: u32,
}

impl Keep {
    /// That of `uid` in `place`; `None` where there is no such place, or others have all the names.
    pub fn of(place: Place, uid: u32) -> Option<Self> {
        Self::below(Path::new(place.parent()), uid)
    }

    /// Every one that `uid` has in `place`: a neighbour who takes a name away, or a trouble that passes, may have made
    /// more than one.
    pub fn every(place: Place, uid: u32) -> Vec<Self> {
        Self::every_below(Path::new(place.parent()), uid)
    }

    fn every_below(parent: &Path, uid: u32) -> Vec<Self> {
        let is_its = |directory: &PathBuf| {
            fs::symlink_metadata(directory).is_ok_and(|found| found.is_dir() && found.uid() == uid)
        };
        names(parent, uid).filter(is_its).map(|directory| Self { directory, uid }).collect()
    }

    /// That of `uid` below `parent`.
    fn below(parent: &Path, uid: u32) -> Option<Self> {
        if !parent.is_dir() {
            return None;
        }
        let mut free = None;
        for directory in names(parent, uid) {
            match fs::symlink_metadata(&directory) {
                Ok(found) if found.is_dir() && found.uid() == uid => return Some(Self { directory, uid }),
                // One that is owned may come behind it: a neighbour takes names away, too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    free.get_or_insert(directory);
                }
                _ => {}
            }
        }
        free.map(|directory| Self { directory, uid })
    }

    /// Opens the file `name` of `uid` in `place` for reading, if there is one that only the uid or root can have laid
    /// there. It costs little where there is none: nothing is looked for behind two names that nobody has.
    pub fn open(place: Place, uid: u32, name: &str) -> Option<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        let mut is_behind_a_free_name = false;
        for directory in names(Path::new(place.parent()), uid) {
            match options.open(directory.join(name)) {
                Ok(file) if is_own(&file, uid) => return Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(&directory) {
                    Ok(found) if found.uid() == uid => return None,
                    Err(_) if is_behind_a_free_name => return None,
                    missing => is_behind_a_free_name = missing.is_err(),
                },
                _ => {}
            }
        }
        None
    }

    /// The directory at this path, such as one in a home. `uid` or root has to own it.
    pub fn at(directory: PathBuf, uid: u32) -> Self {
        Self { directory, uid }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file `name` in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What the file `name` holds, at most `limit` octets, with its owner and mode; `None`: there is none.
    ///
    /// # Errors
    /// `NoPermission` where somebody else could have laid it there, or this process may not read it; as
    /// [`modes::unreadable`] says it.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Content>, Failure> {
        match fs::symlink_metadata(&self.directory) {
            Ok(found) => self.check(&found)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // Reading says what is wrong.
            Err(_) => {}
        }
        let file = self.file(name);
        match modes::read(&file, limit) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(modes::unreadable(&file, &error)),
        }
    }

    /// Waits until nobody else holds the lock `name`. Let go when what is returned is dropped.
    ///
    /// # Errors
    /// `CannotCreate` where the directory or the lock cannot be made, `NoPermission` where others may write to the
    /// directory, `Unavailable` when the lock is not had by `deadline`.
    pub fn lock(&self, name: &str, deadline: Deadline) -> Result<Lock, Failure> {
        self.make()?;
        let path = self.file(name);
        let failed = |error: &io::Error| {
            Failure::new(Kind::CannotCreate, path.display().to_string(), format!("cannot be made: {error}"))
        };
        let mut options = OpenOptions::new();
        // What is no file, such as a FIFO, is not waited for.
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        options.custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        loop {
            let file = options.open(&path).map_err(|error| failed(&error))?;
            let found = file.metadata().map_err(|error| failed(&error))?;
            if !found.is_file() {
                return Err(failed(&io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
            }
            let inode = found.ino();
            match Locked::take(file, FlockArg::LockExclusiveNonblock) {
                // One that was removed meanwhile keeps nobody out.
                Ok(lock) if fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == inode) => {
                    return Ok(Lock(lock));
                }
                Ok(_) if !deadline.is_over() => {}
                Ok(_) => return Err(failed(&io::ErrorKind::NotFound.into())),
                Err(Errno::EWOULDBLOCK | Errno::EINTR) if !deadline.is_over() => {
                    // flock(2) knows no deadline.
                    thread::sleep(LOCK_PAUSE.min(deadline.left()));
                }
                Err(Errno::EWOULDBLOCK) => {
                    let why = "another process has held this lock too long";
                    return Err(Failure::new(Kind::Unavailable, path.display().to_string(), why));
                }
                Err(errno) => return Err(failed(&errno.into())),
            }
        }
    }

    /// Replaces the file `name` in one step and durably, keeping its owner and mode; a new one has 0600.
    ///
    /// # Errors
    /// `CannotCreate`, `NoPermission` or `Io`: nothing is changed then.
    pub fn save(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        self.make()?;
        let path = self.file(name);
        let write = || -> io::Result<()> {
            let mut file = NamedTempFile::new_in(&self.directory)?;
            // A link has no mode that means anything.
            if let Some(before) = fs::symlink_metadata(&path).ok().filter(Metadata::is_file) {
                let is_ours = (before.uid(), before.gid()) == (self.uid, nix::unistd::getegid().as_raw());
                let is_kept = is_ours || fchown(file.as_file(), Some(before.uid()), Some(before.gid())).is_ok();
                // What another group may do is not for ours; the content matters more than its owner.
                let mode = before.mode() & if is_kept { 0o7777 } else { 0o700 };
                file.as_file().set_permissions(Permissions::from_mode(mode))?;
            }
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            // The name, too, must not be lost with the power.
            OpenOptions::new().read(true).custom_flags(O_DIRECTORY).open(&self.directory)?.sync_all()
        };
        write()
            .map_err(|error| Failure::new(Kind::Io, path.display().to_string(), format!("cannot be written: {error}")))
    }

    /// Makes it if need be.
    ///
    /// # Errors
    /// `CannotCreate`, or as [`Keep::check`].
    pub fn make(&self) -> Result<(), Failure> {
        let failed = |kind, what: &str, error: &io::Error| {
            Failure::new(kind, self.directory.display().to_string(), format!("cannot be {what}: {error}"))
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|error| failed(Kind::CannotCreate, "made", &error))?;
        let found = fs::symlink_metadata(&self.directory).map_err(|error| failed(Kind::Io, "looked at", &error))?;
        self.check(&found)
    }

    /// Refuses a directory in which somebody else may lay what this uid then trusts.
    ///
    /// The hints are for the uid itself: whatever root does by name, where others can write, may meet another file.
    ///
    /// # Errors
    /// `NoPermission`.
    pub fn check(&self, found: &Metadata) -> Result<(), Failure> {
        let (directory, uid) = (self.directory.display(), self.uid);
        let is_own = found.is_dir() && [uid, 0].contains(&found.uid());
        if is_own && found.mode() & 0o022 == 0 {
            return Ok(());
        }
        let command = match is_own {
            true => format!("chmod go-w {directory}"),
            false => format!("mv {directory} {directory}.old"),
        };
        let why = "is not a directory that this uid has to itself";
        Err(Failure::new(Kind::NoPermission, directory.to_string(), why)
            .hint(format!("as that user: sudo -u '#{uid}' {command}")))
    }
}

/// Holds a lock.
#[derive(Debug)]
pub struct Lock(Locked);

/// A file that is locked until this is dropped. What nix has for that panics where the system does not unlock, as on a
/// network file system that a signal interrupts; by then a message may have been kept and its caller be owed a 0.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Locks `file`.
    ///
    /// # Errors
    /// flock(2)'s.
    #[expect(deprecated, reason = "its successor panics, see above")]
    pub fn take(file: File, how: FlockArg) -> Result<Self, Errno> {
        flock(file.as_raw_fd(), how).map(|()| Self(file))
    }
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
    /// Sets the time of the lock's file to now, by which others see that its holder is alive.
    pub fn touch(&self) {
        let _ = self.0.set_modified(SystemTime::now());
    }

    /// What is locked, for reading and writing in place, if it is a file that only `uid` or root can have laid there.
    pub fn file(&self, uid: u32) -> Option<&File> {
        Some(&*self.0).filter(|file| is_own(file, uid))
    }
}

/// Whether it is a regular file of `uid` or root that has this one name.
fn is_own(file: &File, uid: u32) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && [uid, 0].contains(&found.uid()) && found.nlink() == 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const UID: u32 = 61_042;
    const OTHER: u32 = 61_043;

    fn owned(directory: &Path, uid: u32) {
        fs::create_dir(directory).unwrap();
        chown(directory, Some(uid), None).unwrap();
    }

    #[test]
    fn a_directory_belongs_to_whom_the_system_says() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let found = || Keep::below(dir.path(), UID).map(|keep| keep.directory);
        assert_eq!(Keep::below(&at("missing"), UID), None);
        assert_eq!(found(), Some(at("61042")), "to be made");
        owned(&at("61042"), OTHER);
        assert_eq!(found(), Some(at("61042.1")));
        symlink(dir.path(), at("61042.1")).unwrap();
        fs::write(at("61042.2"), "").unwrap();
        owned(&at("61042.3"), 0);
        assert_eq!(found(), Some(at("61042.4")), "neither a link, a file nor root's is its own");
        assert_eq!(Keep::every_below(dir.path(), UID), []);
        owned(&at("61042.4"), UID);
        assert_eq!(found(), Some(at("61042.4")));
        // A name that its neighbour gives back hides nothing.
        fs::remove_dir(at("61042")).unwrap();
        assert_eq!(found(), Some(at("61042.4")));
        owned(&at("61042"), UID);
        assert_eq!(found(), Some(at("61042")));
        let every: Vec<_> = Keep::every_below(dir.path(), UID).into_iter().map(|keep| keep.directory).collect();
        assert_eq!(every, [at("61042"), at("61042.4")]);
        chown(at("61042"), Some(OTHER), None).unwrap();
        chown(at("61042.4"), Some(OTHER), None).unwrap();
        for number in 5..=NAMES {
            owned(&at(&format!("61042.{number}")), OTHER);
        }
        assert_eq!(found(), None);
    }

    #[test]
    fn what_is_saved_is_read_and_others_may_write_nothing_there() {
        let dir = tempfile::tempdir().unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let keep = Keep::below(dir.path(), uid).unwrap();
        assert!(keep.read("x", 10).unwrap().is_none());
        let lock = keep.lock("x.lock", Deadline::after(LOCK_PAUSE)).unwrap();
        assert!(lock.file(uid).is_some());
        fs::hard_link(keep.file("x.lock"), keep.file("another")).unwrap();
        assert!(lock.file(uid).is_none(), "who has another name for it may have laid it there");
        fs::remove_file(keep.file("another")).unwrap();
        drop(lock);
        keep.save("x", b"one").unwrap();
        keep.save("x", b"two").unwrap();
        let (content, modes) = keep.read("x", 10).unwrap().unwrap();
        assert_eq!((content.as_slice(), modes.mode, modes.uid), (&b"two"[..], 0o600, uid));
        assert_eq!(keep.directory().metadata().unwrap().mode() & 0o777, 0o700);
        let held = keep.lock("x.lock", Deadline::after(LOCK_PAUSE)).unwrap();
        assert_eq!(keep.lock("x.lock", Deadline::after(LOCK_PAUSE)).unwrap_err().kind, Kind::Unavailable);
        drop(held);
        fs::set_permissions(keep.directory(), Permissions::from_mode(0o770)).unwrap();
        for failure in [
            keep.read("x", 10).map(drop),
            keep.save("x", b"three"),
            keep.lock("x.lock", Deadline::after(LOCK_PAUSE)).map(drop),
        ] {
            let failure = failure.unwrap_err();
            assert_eq!(failure.kind, Kind::NoPermission);
            assert!(failure.hint.unwrap().contains(" chmod go-w "));
        }
    }
}
