//! Files that records are appended to: a line a record, each in one write, so that no two are mixed.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::modes::Modes;

/// Whose a file has to be, and what it may let others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// This user's or root's: the owner writes, the group reads; root may have given it to a group that writes, too.
    User(u32),
    /// Whoever made it, in a directory that only this group enters.
    Group(u32),
}

impl Rights {
    /// The mode that a new file has, whatever the umask.
    const fn mode(self) -> u32 {
        match self {
            Self::User(_) => 0o640,
            Self::Group(_) => 0o660,
        }
    }

    /// Whether a file that was found is such a one. Whoever has made it reads what stands in it, and may write
    /// something else there: so it has no other name, and gives no more rights than one that is made here.
    pub(super) fn hold_for(self, found: &Metadata) -> bool {
        let (is_its, allowed) = match self {
            Self::User(_) if found.uid() == 0 => (true, 0o660),
            Self::User(uid) => (found.uid() == uid, self.mode()),
            Self::Group(gid) => (found.gid() == gid, self.mode()),
        };
        found.is_file() && is_its && found.nlink() == 1 && found.mode() & 0o7777 & !allowed == 0
    }
}

/// Opens for appending, without following a link; a new file gets its mode whatever the umask. Never waits: a FIFO
/// nobody reads is an error.
///
/// # Errors
/// The system's; `Other` where the file is not as `rights` say.
pub(super) fn open(path: &Path, rights: Rights) -> io::Result<(File, Metadata)> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mut options = OpenOptions::new();
    // Neither made nor opened in vain: this is done for every message.
    let file = options.append(true).create(true).mode(rights.mode()).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !rights.hold_for(&found) {
        let modes = Modes::of(&found);
        return Err(io::Error::other(format!("is not this user's or root's alone ({modes})")));
    }
    // The umask took something away. What an administrator has made stricter has been written to by now.
    if found.len() == 0 && found.mode() & rights.mode() != rights.mode() && found.uid() == effective_uid() {
        file.set_permissions(Permissions::from_mode(rights.mode()))?;
    }
    Ok((file, found))
}

fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// How much of a line a file took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// All of it.
    All,
    /// Some of it, as on a disk that is full, and not even a line end behind that.
    Torn,
}

/// Appends `line`, which has no line end, and one behind it: in one write, which the system does not mix with another's.
///
/// # Errors
/// The system's; then the line is not there, or ends where it was torn.
pub(super) fn append(mut file: &File, line: &str) -> io::Result<Took> {
    let mut octets = Vec::with_capacity(line.len() + 1);
    octets.extend_from_slice(line.as_bytes());
    octets.push(b'\n');
    let written = loop {
        match file.write(&octets) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => break written?,
        }
    };
    if written == octets.len() {
        return Ok(Took::All);
    }
    // The rest may come to lie behind another's record. Whoever writes next begins a line of its own.
    match file.write(b"\n") {
        Ok(1) => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(Took::Torn),
    }
}
