//! What all callers of a set-group-id binary share, and none of them reaches by itself.
//!
//! A process of the binary has its caller's uid, so a file that it makes here is that uid's. That helps the caller
//! nothing: every way to a file leads through a directory that only the group may enter, and whoever may not enter it
//! can neither open, link, move nor change what is in it. The descriptors of such a process are out of its caller's
//! reach, too: it has other rights than its caller, so procfs, ptrace(2) and pidfd_getfd(2) refuse.
//!
//! What a caller can do is end or stop its own process at any moment, a lock in its hands, and bound what it writes
//! ([`has_room`]). So whoever waits for a lock here waits for a while only, and what is appended is read back with care.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{getegid, getgid, getgroups};

use super::place::SHARED;
use super::{Keep, Owner, Place};
use crate::host;

impl Keep {
    /// What all callers share in `place`; `None` where the binary has no group of its own, or where a caller can reach
    /// it without the binary: where others may enter the directory or the one above, or the caller is in the group.
    pub fn shared(place: Place) -> Option<Self> {
        if !host::is_privileged() {
            return None;
        }
        let parent = Path::new(place.parent());
        let directory = parent.join(SHARED);
        let found = directory.symlink_metadata().ok().filter(is_closed)?;
        let above = parent.symlink_metadata().ok().filter(is_closed)?;
        (above.gid() == found.gid() && is_granted(found.gid())).then_some(Self { directory, owner: Owner::Group })
    }

    /// What is kept for `uid` where limits and bans are counted: with a set-group-id binary it is [`Keep::shared`], else
    /// that uid's own.
    pub fn common(place: Place, uid: u32) -> Option<Self> {
        Self::shared(place).or_else(|| Self::of(place, uid))
    }

    /// Opens the file `name` of [`Keep::common`] for reading, if there is one. It costs little where there is none.
    pub fn open_common(place: Place, uid: u32, name: &str) -> Option<std::fs::File> {
        match Self::shared(place) {
            Some(keep) => super::readable().open(keep.file(name)).ok().filter(|file| keep.is_its(file)),
            None => Self::open(place, uid, name),
        }
    }
}

/// Whether it is a directory of root's that others can neither enter nor list.
fn is_closed(found: &Metadata) -> bool {
    found.is_dir() && found.uid() == 0 && found.mode() & 0o007 == 0
}

/// Whether the binary gave this process `group`, which its caller is not in.
fn is_granted(group: u32) -> bool {
    let is = |gid: nix::unistd::Gid| gid.as_raw() == group;
    is(getegid()) && !is(getgid()) && getgroups().is_ok_and(|groups| !groups.into_iter().any(is))
}

/// Whether this process may write a file up to `end`, in octets: where it may not, as its caller has said
/// (RLIMIT_FSIZE), the system would write a part and leave a file that others share torn.
pub fn has_room(end: u64) -> bool {
    getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| end <= soft)
}
