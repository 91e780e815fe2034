//! Where entries are: a directory for each uid, and in it a folder for each thing that may become of them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::FlockArg;
use nix::libc::{O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::{AccessFlags, access};

use super::entry::{self, Entry, Flaw, Head, Line};
use crate::caller::Caller;
use crate::failure::{Failure, Kind};
use crate::keep::{Keep, Locked, Place};
use crate::message::Message;

/// The bit in the mode of a folder whose name is not known to be durable yet.
const NEW: u32 = 0o1000;
/// Whose time tells when what is done with was last looked through.
const AGED: &str = "aged";
/// How often that is done.
const AGING: Duration = Duration::from_secs(3600);
/// The least that a copy is kept for.
const SHORTEST: Duration = Duration::from_secs(60);

/// A folder of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Sent at the next flush that finds it due.
    Queue,
    /// Waits for a person.
    Held,
    /// Given up or refused, kept for whoever looks into it.
    Failed,
    /// Accepted, kept because the site keeps all its messages.
    Sent,
}

impl Folder {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queue, Self::Held, Self::Failed, Self::Sent];

    /// Those that hold what is done with.
    pub const DONE: [Self; 2] = [Self::Failed, Self::Sent];

    /// The name of its directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Sent => "sent",
        }
    }

    /// Whether somebody relies on what is in it: a copy of what was sent may be lost with the power.
    const fn is_durable(self) -> bool {
        !matches!(self, Self::Sent)
    }
}

/// Whether what is done with in the spool at `directory` is to be looked through. Nothing is opened, so that root may ask
/// of anybody's.
pub fn is_aging_due(directory: &Path) -> bool {
    let is_recent = |of: fs::Metadata| of.modified().ok()?.elapsed().ok().map(|since| since < AGING);
    directory.join(AGED).symlink_metadata().ok().and_then(is_recent) != Some(true)
}

/// The spool of one uid.
#[derive(Clone, Debug)]
pub struct Spool {
    keep: Keep,
    uid: u32,
}

/// A file in a folder, as the directory tells of it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name, the entry's identifier.
    pub id: String,
    /// When it is tried next.
    pub due: SystemTime,
    /// Octets.
    pub size: u64,
}

/// An entry that this process has to itself.
#[derive(Debug)]
pub struct Opened {
    /// What was read of it.
    pub entry: Entry,
    file: Locked,
    spool: Spool,
    folder: Folder,
    id: String,
}

/// Why an entry cannot be had.
#[derive(Debug)]
pub enum Unopened {
    /// There is none of this name, or somebody has just finished it.
    Gone,
    /// Another process has it.
    Busy,
    /// It is not whole and was never acknowledged; how long nobody has written to it is told by its times.
    Torn(&'static str),
    /// A newer version made it.
    Newer,
    /// It cannot be read, or somebody else could have laid it there.
    Failed(Failure),
}

impl Spool {
    /// That of `caller`: below the host's spool where there is one, else in its own home. `None`: it has no place.
    pub fn of(caller: &Caller) -> Option<Self> {
        let _ = Place::Spool.prepare(caller.uid);
        Self::find(caller)
    }

    /// The same for whoever only looks: nothing is made.
    pub fn find(caller: &Caller) -> Option<Self> {
        let keep = Keep::of(Place::Spool, caller.uid).or_else(|| Self::home(caller))?;
        Some(Self { keep, uid: caller.uid })
    }

    /// Where else messages of `caller` may wait: what was kept there was kept while [`Spool::of`] was not to be had.
    pub fn others(&self, caller: &Caller) -> Vec<Self> {
        let mut keeps = Keep::every(Place::Spool, caller.uid);
        keeps.extend(Self::home(caller).filter(|home| home.directory().is_dir()));
        keeps.retain(|keep| *keep != self.keep);
        keeps.into_iter().map(|keep| Self { keep, uid: caller.uid }).collect()
    }

    /// Every one in which something of `caller`'s may be; what is kept now goes to the first.
    pub fn every(caller: &Caller) -> Vec<Self> {
        let Some(first) = Self::find(caller) else { return Vec::new() };
        let others = first.others(caller);
        std::iter::once(first).chain(others).collect()
    }

    fn home(caller: &Caller) -> Option<Keep> {
        let state = caller.own(directories::BaseDirs::state_dir, ".local/state")?;
        Some(Keep::at(state.join("mailchute/spool"), caller.uid))
    }

    /// Why nothing can be kept in it by this process, as far as that is known without making something.
    pub fn closed(&self) -> Option<Errno> {
        let there = self.directory().ancestors().find(|above| above.exists())?;
        access(there, AccessFlags::W_OK | AccessFlags::X_OK).err()
    }

    /// The one in this directory of `uid`.
    pub fn at(directory: PathBuf, uid: u32) -> Self {
        Self { keep: Keep::at(directory, uid), uid }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        self.keep.directory()
    }

    /// The directory that is locked and shared by all that is kept here.
    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    fn folder(&self, folder: Folder) -> PathBuf {
        self.keep.file(folder.name())
    }

    fn path(&self, folder: Folder, id: &str) -> PathBuf {
        self.folder(folder).join(id)
    }

    /// Makes an entry of `message` in `folder`, to be tried at `due`: when this returns it survives a power cut, where
    /// the folder holds what somebody relies on.
    ///
    /// # Errors
    /// `CannotCreate`, `NoPermission` or `Io`: there is none then.
    pub fn enqueue(&self, folder: Folder, head: &Head, message: &Message, due: SystemTime) -> Result<(), Failure> {
        let directory = self.open_folder(folder)?;
        let path = self.path(folder, &head.id);
        let failed = |kind, what: &str, error: &io::Error| {
            Failure::new(kind, path.display().to_string(), format!("cannot be {what}: {error}"))
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600).custom_flags(O_NOFOLLOW);
        let file = options.open(&path).map_err(|error| failed(Kind::CannotCreate, "made", &error))?;
        let write = || -> io::Result<()> {
            // Whatever the caller's umask: who may not open it would never send it.
            file.set_permissions(Permissions::from_mode(0o600))?;
            let mut file = Locked::take(file, FlockArg::LockExclusive)?;
            entry::write(&mut file, head, message)?;
            file.set_modified(due)?;
            if !folder.is_durable() {
                return Ok(());
            }
            // One that fails is not tried again: what it could not write is gone from the cache.
            file.sync_all()?;
            directory.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&path);
            failed(Kind::Io, "written", &error)
        })
    }

    /// Takes an entry back that nobody was told of.
    pub fn take_back(&self, folder: Folder, id: &str) {
        let _ = fs::remove_file(self.path(folder, id));
    }

    /// The folder, made if need be, its own name durable, for the names in it to be synced.
    pub(super) fn open_folder(&self, folder: Folder) -> Result<File, Failure> {
        let path = self.folder(folder);
        let open = || OpenOptions::new().read(true).custom_flags(O_DIRECTORY | O_NOFOLLOW).open(&path);
        let failed = |kind, error: &io::Error| {
            Failure::new(kind, path.display().to_string(), format!("cannot be made: {error}"))
        };
        let directory = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.keep.make()?;
                match DirBuilder::new().mode(0o700 | NEW).create(&path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(failed(Kind::CannotCreate, &error));
                    }
                    Err(_) => {}
                    // Whatever the caller's umask.
                    Ok(()) => drop(fs::set_permissions(&path, Permissions::from_mode(0o700 | NEW))),
                }
                open()
            }
            opened => opened,
        };
        let directory = directory.map_err(|error| failed(Kind::CannotCreate, &error))?;
        let found = directory.metadata().map_err(|error| failed(Kind::Io, &error))?;
        self.keep.check(&found)?;
        if found.mode() & NEW != 0 {
            // Whoever made it, and was killed or failed before its name was durable, left this to the next one.
            self.sync_names().map_err(|error| failed(Kind::Io, &error))?;
            let _ = directory.set_permissions(Permissions::from_mode(found.mode() & 0o7777 & !NEW));
        }
        Ok(directory)
    }

    /// Makes the names on the way to a new folder durable. The host's spool itself may be read by root alone; what its
    /// directories hold is synced with them.
    fn sync_names(&self) -> io::Result<()> {
        let directory = self.directory();
        File::open(directory)?.sync_all()?;
        match directory.parent().map(File::open) {
            Some(Ok(above)) => above.sync_all(),
            _ => Ok(()),
        }
    }

    /// Makes what was done to the names in `folder` durable.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync(&self, folder: Folder) -> Result<(), Failure> {
        self.open_folder(folder)?.sync_all().map_err(|error| {
            let path = self.folder(folder);
            Failure::new(Kind::Io, path.display().to_string(), format!("cannot be written: {error}"))
        })
    }

    /// What `folder` holds, in no order. Nothing is opened.
    ///
    /// # Errors
    /// `Io` or `NoPermission`: it cannot be read.
    pub fn list(&self, folder: Folder) -> Result<Vec<Listed>, Failure> {
        let mut list = Vec::new();
        self.each(folder, &mut |listed| list.push(listed))?;
        Ok(list)
    }

    /// The same one by one, for whoever has no room for all.
    ///
    /// # Errors
    /// As [`Spool::list`].
    pub fn each(&self, folder: Folder, hear: &mut dyn FnMut(Listed)) -> Result<(), Failure> {
        let path = self.folder(folder);
        let failed = |error: &io::Error| {
            let kind = if error.kind() == io::ErrorKind::PermissionDenied { Kind::NoPermission } else { Kind::Io };
            Failure::new(kind, path.display().to_string(), format!("cannot be read: {error}"))
        };
        let found = match fs::read_dir(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        for file in found {
            let file = file.map_err(|error| failed(&error))?;
            let Some(id) = file.file_name().to_str().filter(|id| is_id(id)).map(str::to_owned) else { continue };
            let (due, size) = match file.metadata() {
                Ok(of) if of.is_file() => (of.modified().unwrap_or(SystemTime::UNIX_EPOCH), of.len()),
                // One that is gone meanwhile has been sent.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // Whoever opens it says what is wrong with it.
                Err(_) => (SystemTime::UNIX_EPOCH, 0),
                Ok(_) => continue,
            };
            hear(Listed { id, due, size });
        }
        Ok(())
    }

    /// Messages and octets that wait in `folder`.
    ///
    /// # Errors
    /// As [`Spool::list`].
    pub fn measure(&self, folder: Folder) -> Result<(u64, u64), Failure> {
        let (mut messages, mut octets) = (0, 0);
        self.each(folder, &mut |listed| {
            messages += 1;
            octets += listed.size;
        })?;
        Ok((messages, octets))
    }

    /// Reads an entry without keeping anybody from it; its message is not verified.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn look(&self, folder: Folder, id: &str) -> Result<Entry, Unopened> {
        let file = self.open_file(folder, id, false)?;
        Ok(Entry::read(&file, false)?)
    }

    /// The same with its message.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn look_into(&self, folder: Folder, id: &str) -> Result<(Entry, Message), Unopened> {
        let file = self.open_file(folder, id, false)?;
        let entry = Entry::read(&file, false)?;
        let message = entry.message(Arc::new(file)).map_err(|error| self.failed(folder, id, &error))?;
        Ok((entry, message))
    }

    /// Opens an entry for this process alone, and verifies it.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn open(&self, folder: Folder, id: &str) -> Result<Opened, Unopened> {
        let file = self.open_file(folder, id, true)?;
        let file = match Locked::take(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err(Errno::EWOULDBLOCK) => return Err(Unopened::Busy),
            Err(errno) => return Err(self.failed(folder, id, &errno.into())),
        };
        // Finished by whoever had it before.
        if file.metadata().map_err(|error| self.failed(folder, id, &error))?.nlink() == 0 {
            return Err(Unopened::Gone);
        }
        let entry = Entry::read(&file, true)?;
        Ok(Opened { entry, file, spool: self.clone(), folder, id: id.to_owned() })
    }

    /// Removes a file that is no whole entry, that nobody holds and nobody has written to for `age`: it was never
    /// acknowledged. Whether it did.
    pub fn clear_away(&self, folder: Folder, id: &str, age: Duration) -> bool {
        let Ok(file) = self.open_file(folder, id, true) else { return false };
        let Ok(file) = Locked::take(file, FlockArg::LockExclusiveNonblock) else { return false };
        let is_old = |of: fs::Metadata| of.modified().ok()?.elapsed().ok().map(|since| since >= age);
        file.metadata().ok().and_then(is_old) == Some(true)
            && matches!(Entry::read(&file, true), Err(Flaw::Torn(_)))
            && fs::remove_file(self.path(folder, id)).is_ok()
    }

    /// Removes what is done with and has been kept for longer than `span` says of its site; where it says nothing of a
    /// site, that stays. Looked for once an hour, however often this is asked for.
    ///
    /// # Errors
    /// As [`Spool::list`].
    pub fn age(&self, span: &dyn Fn(&str) -> Option<Duration>) -> Result<(), Failure> {
        if !is_aging_due(self.directory()) {
            return Ok(());
        }
        // Where nothing can be noted, it is looked for each time.
        let _ = self.keep.change_or_make(AGED).map(|file| file.set_modified(SystemTime::now()));
        let age = |since: SystemTime| since.elapsed().unwrap_or_default();
        for folder in Folder::DONE {
            for Listed { id, due, .. } in self.list(folder)? {
                if age(due) < SHORTEST {
                    continue;
                }
                let Ok(entry) = self.look(folder, &id) else { continue };
                // Whoever has it open is at work on it.
                if span(&entry.head.site).is_some_and(|span| age(due) >= span)
                    && let Ok(opened) = self.open(folder, &id)
                {
                    let _ = opened.remove();
                }
            }
        }
        Ok(())
    }

    /// When the file was last changed, moved or given to somebody.
    pub fn changed(&self, folder: Folder, id: &str) -> Option<SystemTime> {
        let of = fs::symlink_metadata(self.path(folder, id)).ok()?;
        let (seconds, nanos) = (u64::try_from(of.ctime()).ok()?, u32::try_from(of.ctime_nsec()).ok()?);
        Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
    }

    /// Says when a file is looked at next that is no entry for this program.
    pub fn put_off(&self, folder: Folder, id: &str, when: SystemTime) {
        if let Ok(file) = self.open_file(folder, id, true) {
            let _ = file.set_modified(when);
        }
    }

    fn open_file(&self, folder: Folder, id: &str, is_writable: bool) -> Result<File, Unopened> {
        if !is_id(id) {
            return Err(Unopened::Gone);
        }
        let mut options = OpenOptions::new();
        options.read(true).write(is_writable).custom_flags(O_NOFOLLOW | O_NONBLOCK);
        let file = options.open(self.path(folder, id)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unopened::Gone,
            _ => self.failed(folder, id, &error),
        })?;
        let found = file.metadata().map_err(|error| self.failed(folder, id, &error))?;
        if !found.is_file() || found.uid() != self.uid || found.nlink() > 1 {
            let why = "is not a file that this uid alone has made";
            let what = self.path(folder, id).display().to_string();
            return Err(Unopened::Failed(Failure::new(Kind::NoPermission, what, why)));
        }
        Ok(file)
    }

    fn failed(&self, folder: Folder, id: &str, error: &io::Error) -> Unopened {
        let kind = if error.kind() == io::ErrorKind::PermissionDenied { Kind::NoPermission } else { Kind::Io };
        let what = self.path(folder, id).display().to_string();
        Unopened::Failed(Failure::new(kind, what, format!("cannot be read: {error}")))
    }
}

impl From<Flaw> for Unopened {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Torn(why) => Self::Torn(why),
            Flaw::Newer => Self::Newer,
            Flaw::Unreadable(error) => {
                Self::Failed(Failure::new(Kind::Io, "an entry of the spool", format!("cannot be read: {error}")))
            }
        }
    }
}

impl Opened {
    /// The identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder it is in.
    pub fn folder(&self) -> Folder {
        self.folder
    }

    /// When it was last written to, or is to be tried next.
    pub fn due(&self) -> SystemTime {
        self.file.metadata().and_then(|of| of.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Its message.
    ///
    /// # Errors
    /// `Io`: it cannot be read, although its checksum was right.
    pub fn message(&self) -> Result<Message, Failure> {
        let file = self.file.try_clone().map_err(|error| self.failed("read", &error))?;
        self.entry.message(Arc::new(file)).map_err(|error| self.failed("read", &error))
    }

    /// Appends `line`; a durable one survives a power cut when this returns.
    ///
    /// # Errors
    /// `Io`: it may be there or not, and is not to be relied on.
    pub fn append(&mut self, line: &Line, is_durable: bool) -> Result<(), Failure> {
        let write = |file: &mut File| {
            entry::append(file, line)?;
            if is_durable { file.sync_data() } else { Ok(()) }
        };
        write(&mut self.file).map_err(|error| self.failed("written", &error))
    }

    /// A writer of lines for whoever has no hold of the entry itself.
    ///
    /// # Errors
    /// `Io`: there are no more descriptors.
    pub fn marker(&self) -> Result<Marker, Failure> {
        let file = self.file.try_clone().map_err(|error| self.failed("opened", &error))?;
        Ok(Marker { file, what: self.what() })
    }

    /// Says when it is tried next.
    ///
    /// # Errors
    /// `Io`.
    pub fn retry_at(&self, when: SystemTime) -> Result<(), Failure> {
        self.file.set_modified(when).map_err(|error| self.failed("written", &error))
    }

    /// Removes it: everybody has it, or a person said so. Durable once the folder is [synced](Spool::sync).
    ///
    /// # Errors
    /// `Io`.
    pub fn remove(self) -> Result<(), Failure> {
        fs::remove_file(self.spool.path(self.folder, &self.id)).map_err(|error| self.failed("removed", &error))
    }

    /// Moves it to `folder`, durably, and keeps it.
    ///
    /// # Errors
    /// `CannotCreate` or `Io`: it stays where it was.
    pub fn move_to(&mut self, folder: Folder) -> Result<(), Failure> {
        let to = self.spool.open_folder(folder)?;
        if Folder::DONE.contains(&folder) {
            // From then on it is kept, however long ago it was due.
            self.retry_at(SystemTime::now())?;
        }
        fs::rename(self.spool.path(self.folder, &self.id), self.spool.path(folder, &self.id))
            .map_err(|error| self.failed("moved", &error))?;
        let from = std::mem::replace(&mut self.folder, folder);
        to.sync_all().map_err(|error| self.failed("moved", &error))?;
        self.spool.sync(from)
    }

    fn what(&self) -> String {
        self.spool.path(self.folder, &self.id).display().to_string()
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        Failure::new(Kind::Io, self.what(), format!("cannot be {what}: {error}"))
    }
}

/// Appends to an entry that is opened elsewhere in this process.
#[derive(Debug)]
pub struct Marker {
    file: File,
    what: String,
}

impl Marker {
    /// Appends `line`; a durable one survives a power cut when this returns, and so does what stands before it.
    ///
    /// # Errors
    /// As [`Opened::append`].
    pub fn append(&mut self, line: &Line, is_durable: bool) -> Result<(), Failure> {
        entry::append(&mut self.file, line)
            .and_then(|()| if is_durable { self.file.sync_data() } else { Ok(()) })
            .map_err(|error| Failure::new(Kind::Io, self.what.clone(), format!("cannot be written: {error}")))
    }
}

/// Whether this may be the name of an entry.
pub fn is_id(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        && !name.starts_with('-')
}
