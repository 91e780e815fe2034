//! Directories that a uid has to itself, below parents that every uid may make them in, and files in them that are
//! locked and replaced in one step: tokens, state, spool, runtime, records. With a set-group-id binary there is one
//! beside them that all uids share, and nobody gets into any of them but through the binary.
//!
//! A directory belongs to whom the system says, not to whom its name says: `UID`, else the first `UID.N` that the uid
//! owns. The parents are root's and sticky, so whoever makes another's `UID` first costs it the name and nothing else.

mod lock;
mod place;
mod shared;
mod watch;

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub use lock::{Lock, Locked, lock};
use nix::errno::Errno;
use nix::fcntl::FlockArg;
use nix::libc::{O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};
pub use place::Place;
use place::names;
pub use shared::{Reach, has_room, left_below, shared_below};
use tempfile::NamedTempFile;
pub use watch::Watch;
use zeroize::Zeroizing;

use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::modes::{self, Modes};

/// How long to wait before a lock is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What a file holds, wiped on drop, with its owner and mode.
pub type Content = (Zeroizing<Vec<u8>>, Modes);

/// Who has a directory to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// This uid.
    Uid(u32),
    /// The binary's group: all processes of a set-group-id binary.
    Group,
}

impl Owner {
    /// Whether only they, or root, can have laid the file of this kind into their directory.
    fn made(self, found: &Metadata) -> bool {
        let is_theirs = match self {
            Self::Uid(uid) => [uid, 0].contains(&found.uid()),
            Self::Group => true,
        };
        is_theirs && found.is_file() && found.nlink() == 1
    }

    /// The mode of a file that they make.
    fn mode(self) -> u32 {
        match self {
            Self::Uid(_) => 0o600,
            Self::Group => 0o660,
        }
    }
}

/// A directory that a uid has to itself, or the binary's group. It may be still to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    directory: PathBuf,
    owner: Owner,
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
        names(parent, uid).filter(is_its).map(|directory| Self { directory, owner: Owner::Uid(uid) }).collect()
    }

    /// That of `uid` below `parent`.
    fn below(parent: &Path, uid: u32) -> Option<Self> {
        if !parent.is_dir() {
            return None;
        }
        let mut free = None;
        for directory in names(parent, uid) {
            match fs::symlink_metadata(&directory) {
                Ok(found) if found.is_dir() && found.uid() == uid => {
                    return Some(Self { directory, owner: Owner::Uid(uid) });
                }
                // One that is owned may come behind it: a neighbour takes names away, too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    free.get_or_insert(directory);
                }
                _ => {}
            }
        }
        free.map(|directory| Self { directory, owner: Owner::Uid(uid) })
    }

    /// Opens the file `name` of `uid` in `place` for reading, if there is one that only the uid or root can have laid
    /// there. It costs little where there is none: nothing is looked for behind two names that nobody has.
    pub fn open(place: Place, uid: u32, name: &str) -> Option<File> {
        let (options, owner) = (readable(), Owner::Uid(uid));
        let mut is_behind_a_free_name = false;
        for directory in names(Path::new(place.parent()), uid) {
            match options.open(directory.join(name)) {
                Ok(file) if file.metadata().is_ok_and(|found| owner.made(&found)) => return Some(file),
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
        Self { directory, owner: Owner::Uid(uid) }
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
        let failed = |error: &io::Error| not_made(&path, error);
        loop {
            let file =
                self.open_or_make(&path, OpenOptions::new().read(true).write(true)).map_err(|error| failed(&error))?;
            let found = file.metadata().map_err(|error| failed(&error))?;
            if !found.is_file() {
                return Err(failed(&io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
            }
            let inode = found.ino();
            match Locked::take(file, FlockArg::LockExclusiveNonblock) {
                // One that was removed meanwhile keeps nobody out.
                Ok(locked) if fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == inode) => {
                    return Ok(Lock { locked, owner: self.owner });
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

    /// Opens the file `name` for appending, made if need be.
    ///
    /// # Errors
    /// open(2)'s; `InvalidInput` for what is no regular file, or could have been laid there by somebody else.
    pub fn append(&self, name: &str) -> io::Result<File> {
        let file = self.open_or_make(&self.file(name), OpenOptions::new().append(true))?;
        match self.is_its(&file) {
            true => Ok(file),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file of its own")),
        }
    }

    /// Opens the file `name` for reading and writing in place. Whose it is stays to be looked at ([`Keep::has_made`]).
    ///
    /// # Errors
    /// open(2)'s.
    pub fn change(&self, name: &str) -> io::Result<File> {
        readable().write(true).open(self.file(name))
    }

    /// The same, and what is missing is made: the file, the directory.
    ///
    /// # Errors
    /// As [`Keep::make`] and open(2)'s.
    pub fn change_or_make(&self, name: &str) -> Result<File, Failure> {
        if let Ok(file) = self.change(name) {
            return Ok(file);
        }
        self.make()?;
        let path = self.file(name);
        self.open_or_make(&path, OpenOptions::new().read(true).write(true)).map_err(|error| not_made(&path, &error))
    }

    /// Whether an opened file is one that only those whose directory this is can have laid there.
    pub fn has_made(&self, found: &Metadata) -> bool {
        self.owner.made(found)
    }

    /// Whether `error`, of a write to `file`, says that the disk quota of another uid is used up: what all share counts
    /// against that of whoever made it. One that this process makes counts against its own.
    pub fn is_under_a_quota_of_another(&self, file: &File, error: &io::Error) -> bool {
        let is_used_up = error.raw_os_error() == Some(Errno::EDQUOT as i32);
        let is_ours = |found: Metadata| found.uid() == nix::unistd::geteuid().as_raw();
        is_used_up && self.is_shared() && !file.metadata().is_ok_and(is_ours)
    }

    /// Makes the file `name`, which must not be there, for reading and writing.
    ///
    /// # Errors
    /// open(2)'s; `AlreadyExists` among them.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(self.file(name))?;
        file.set_permissions(Permissions::from_mode(self.owner.mode()))?;
        Ok(file)
    }

    /// Opens the file, made if need be. It has its mode whatever the umask, and from the first moment on, so that no
    /// other uid finds it closed.
    fn open_or_make(&self, path: &Path, options: &mut OpenOptions) -> io::Result<File> {
        // What is no file, such as a FIFO, is not waited for.
        options.custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = NamedTempFile::new_in(&self.directory)?;
                new.as_file().set_permissions(Permissions::from_mode(self.owner.mode()))?;
                match new.persist_noclobber(path) {
                    Err(failed) if failed.error.kind() != io::ErrorKind::AlreadyExists => Err(failed.error),
                    _ => options.open(path),
                }
            }
            opened => opened,
        }
    }

    /// Whether it is a file that only those whose directory this is can have laid there.
    fn is_its(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|found| self.owner.made(&found))
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
            file.as_file().set_permissions(Permissions::from_mode(self.mode_after(&path, file.as_file())))?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            // The name, too, must not be lost with the power.
            OpenOptions::new().read(true).custom_flags(O_DIRECTORY).open(&self.directory)?.sync_all()
        };
        write()
            .map_err(|error| Failure::new(Kind::Io, path.display().to_string(), format!("cannot be written: {error}")))
    }

    /// The mode of `file`, which is to take the place of what is at `path`; a uid's keeps owner and mode.
    fn mode_after(&self, path: &Path, file: &File) -> u32 {
        // A link has no mode that means anything.
        let before = fs::symlink_metadata(path).ok().filter(Metadata::is_file);
        let (Owner::Uid(uid), Some(before)) = (self.owner, before) else { return self.owner.mode() };
        let is_ours = (before.uid(), before.gid()) == (uid, nix::unistd::getegid().as_raw());
        let is_kept = is_ours || fchown(file, Some(before.uid()), Some(before.gid())).is_ok();
        // What another group may do is not for ours; the content matters more than its owner.
        before.mode() & if is_kept { 0o7777 } else { 0o700 }
    }

    /// Makes it if need be.
    ///
    /// # Errors
    /// `CannotCreate`, or as [`Keep::check`].
    pub fn make(&self) -> Result<(), Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|error| not_made(&self.directory, &error))?;
        let found = fs::symlink_metadata(&self.directory).map_err(|error| {
            Failure::new(Kind::Io, self.directory.display().to_string(), format!("cannot be looked at: {error}"))
        })?;
        self.check(&found)?;
        if found.mode() & 0o700 != 0o700 && found.uid() == nix::unistd::geteuid().as_raw() {
            // Made with the caller's umask.
            let _ = fs::set_permissions(&self.directory, Permissions::from_mode(found.mode() & 0o7777 | 0o700));
        }
        Ok(())
    }

    /// Refuses a directory in which somebody else may lay what this uid then trusts.
    ///
    /// The hints are for the uid itself: whatever root does by name, where others can write, may meet another file.
    ///
    /// # Errors
    /// `NoPermission`.
    pub fn check(&self, found: &Metadata) -> Result<(), Failure> {
        let directory = self.directory.display();
        let Owner::Uid(uid) = self.owner else {
            return match found.is_dir() && found.mode() & 0o007 == 0 {
                true => Ok(()),
                false => {
                    let why = "is not a directory that this program's group has to itself";
                    Err(Failure::new(Kind::NoPermission, directory.to_string(), why))
                }
            };
        };
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

/// The failure that `path` cannot be made. On a file system that takes nothing no other owner or mode would help.
fn not_made(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(Kind::CannotCreate, path.display().to_string(), format!("cannot be made: {error}"));
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            let (parent, uid) = (path.parent().unwrap_or(path).display(), nix::unistd::geteuid());
            failure.hint(format!(
                "mount a volume at {parent} that uid {uid} may write to (emptyDir, tmpfs), or name it in ReadWritePaths= of \
                 the service's unit"
            ))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure.hint("make room on that file system"),
        _ => failure,
    }
}

/// How a file is opened that somebody may have put something else in the place of.
fn readable() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::place::NAMES;
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
    fn a_file_system_that_takes_nothing_is_not_taken_for_a_missing_directory() {
        let hint = |kind: io::ErrorKind| not_made(Path::new("/var/lib/mailchute/state/0"), &kind.into()).hint;
        assert!(hint(io::ErrorKind::ReadOnlyFilesystem).unwrap().contains("ReadWritePaths="));
        assert!(hint(io::ErrorKind::StorageFull).unwrap().contains("make room"));
        // Whoever needs the directory says how it is made.
        assert_eq!(hint(io::ErrorKind::PermissionDenied), None);
    }

    #[test]
    fn what_is_saved_is_read_and_others_may_write_nothing_there() {
        let dir = tempfile::tempdir().unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let keep = Keep::below(dir.path(), uid).unwrap();
        assert!(keep.read("x", 10).unwrap().is_none());
        let lock = keep.lock("x.lock", Deadline::after(LOCK_PAUSE)).unwrap();
        assert!(lock.file().is_some());
        fs::hard_link(keep.file("x.lock"), keep.file("another")).unwrap();
        assert!(lock.file().is_none(), "who has another name for it may have laid it there");
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
