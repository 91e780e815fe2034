//! Files that records are appended to: a line a record, each in one write, so that no two are mixed.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::keep::Keep;
use crate::modes::Modes;

/// Whose a file has to be, and what it may let others do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rights<'k> {
    /// This user's or root's: the owner writes, the group reads; root may have given it to a group that writes, too.
    User(u32),
    /// Whoever made it, where all callers of a set-group-id binary keep what they share.
    Shared(&'k Keep),
}

/// Log files: the owner writes, the group reads.
const MODE: u32 = 0o640;
/// What root may have given to a group that shares the file.
const GIVEN: u32 = 0o660;

impl Rights<'_> {
    /// Whether a file that was found is such a one. Whoever has made it reads what stands in it, and may write
    /// something else there: so it has no other name, and gives no more rights than one that is made here.
    pub(super) fn hold_for(self, found: &Metadata) -> bool {
        let is_allowed = match self {
            Self::User(uid) if found.uid() == uid && uid != 0 => found.mode() & 0o7777 & !MODE == 0,
            Self::User(_) => found.uid() == 0 && found.mode() & 0o7777 & !GIVEN == 0,
            // Nobody comes there who may not.
            Self::Shared(_) => true,
        };
        is_allowed && found.is_file() && found.nlink() == 1
    }
}

/// Opens for appending, without following a link; a new file gets its mode whatever the umask. Never waits: a FIFO
/// nobody reads is an error.
///
/// # Errors
/// The system's; `Other` where the file is not as `rights` say.
pub(super) fn open(path: &Path, rights: Rights<'_>) -> io::Result<(File, Metadata)> {
    if let Rights::Shared(keep) = rights {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let file = keep.append(name)?;
        let found = file.metadata()?;
        return Ok((file, found));
    }
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mut options = OpenOptions::new();
    // Made and opened at once: this is done for every message.
    let file = options.append(true).create(true).mode(MODE).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !rights.hold_for(&found) {
        let modes = Modes::of(&found);
        return Err(io::Error::other(format!("is not this user's or root's alone ({modes})")));
    }
    // The umask took something away. What an administrator has made stricter has been written to by now.
    if found.len() == 0 && found.mode() & MODE != MODE && found.uid() == nix::unistd::geteuid().as_raw() {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok((file, found))
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
