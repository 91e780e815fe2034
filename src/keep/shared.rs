//! What all callers of a set-group-id binary share, and none of them reaches by itself.
//!
//! A process of the binary has its caller's uid, so a file that it makes here is that uid's. That helps the caller
//! nothing: every way to a file leads through a directory that only the group may enter, and whoever may not enter it
//! can neither open, link, move nor change what is in it. The descriptors of such a process are out of its caller's
//! reach, too: it has other rights than its caller, so procfs, ptrace(2) and pidfd_getfd(2) refuse.
//!
//! What a caller can do is end or stop its own process at any moment, a lock in its hands, and bound what it writes
//! ([`has_room`]). So whoever has to have a lock here is ended when it is stopped ([`Watch`](super::Watch)), whoever can
//! do without waits for a while only, and what is appended is read back with care.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{Gid, getegid, getgid, getgroups};

use super::place::SHARED;
use super::{Keep, Owner, Place};
use crate::host;

impl Keep {
    /// What all callers share in `place`; `None` where the binary has no group of its own, or where a caller can reach
    /// it without the binary: where others may enter the directory or the one above, or the caller is in the group.
    pub fn shared(place: Place) -> Option<Self> {
        // As a set-group-id binary, and as nothing else; half of what `is_privileged` asks.
        if !host::has_another_group() {
            return None;
        }
        let (directory, group) = shared_below(Path::new(place.parent()))?;
        is_granted(group).then_some(Self { directory, owner: Owner::Group })
    }

    /// What is kept for `uid` where limits and bans are counted: with a set-group-id binary it is [`Keep::shared`], else
    /// that uid's own.
    pub fn common(place: Place, uid: u32) -> Option<Self> {
        Self::shared(place).or_else(|| Self::of(place, uid))
    }

    /// Whether it is one that all callers share.
    pub fn is_shared(&self) -> bool {
        self.owner == Owner::Group
    }

    /// Where [`Keep::common`] most likely is, for whoever looks at each file that it opens there: nothing is looked at yet.
    pub fn likely(place: Place, uid: u32) -> Self {
        let own = || Self { directory: Path::new(place.parent()).join(uid.to_string()), owner: Owner::Uid(uid) };
        Self::shared(place).unwrap_or_else(own)
    }

    /// Opens the file `name` of [`Keep::common`] for reading, if there is one. It costs little where there is none.
    pub fn open_common(place: Place, uid: u32, name: &str) -> Option<std::fs::File> {
        match Self::shared(place) {
            Some(keep) => super::readable().open(keep.file(name)).ok().filter(|file| keep.is_its(file)),
            None => Self::open(place, uid, name),
        }
    }
}

/// What a caller of this program can reach of what it keeps, without this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What is the caller's own: the binary has no group.
    Everything,
    /// The same: the binary has this group, and this process did not get it.
    NotGranted(u32),
    /// The same, and everybody else's: the caller is in the group.
    Member(u32),
    /// The names in this place, and its own there.
    Open(u32, Place),
    /// Nothing. The binary has this group.
    Nothing(u32),
}

impl Reach {
    /// That of the caller of this process.
    pub fn of_caller() -> Self {
        let Some(group) = host::binary_group() else { return Self::Everything };
        if is_of_caller(group) {
            return Self::Member(group);
        }
        if getegid().as_raw() != group {
            return Self::NotGranted(group);
        }
        let is_closed = |place: &Place| shared_below(Path::new(place.parent())).is_some_and(|(_, of)| of == group);
        let open = Place::ALL.into_iter().find(|place| !is_closed(place));
        open.map_or(Self::Nothing(group), |place| Self::Open(group, place))
    }
}

/// Where all callers of a set-group-id binary share something below `parent`, and the group that alone enters both. A
/// directory of that name that others can make or enter is nobody's but theirs.
pub fn shared_below(parent: &Path) -> Option<(PathBuf, u32)> {
    let directory = parent.join(SHARED);
    let found = directory.symlink_metadata().ok().filter(is_closed)?;
    let above = parent.symlink_metadata().ok().filter(is_closed)?;
    (above.gid() == found.gid()).then(|| (directory, found.gid()))
}

/// What all callers shared below `parent` while the binary had a group of its own, for root, who reads it afterwards as
/// well: nobody enters it but the group, which nobody is in, and in a sticky directory nobody else has laid it.
pub fn left_below(parent: &Path) -> Option<PathBuf> {
    let directory = parent.join(SHARED);
    let above = parent.symlink_metadata().ok()?;
    let is_kept = above.is_dir() && above.uid() == 0 && (above.mode() & 0o022 == 0 || above.mode() & 0o1000 != 0);
    (is_kept && is_closed(&directory.symlink_metadata().ok()?)).then_some(directory)
}

/// Whether it is a directory of root's that others can neither enter nor list.
fn is_closed(found: &Metadata) -> bool {
    found.is_dir() && found.uid() == 0 && found.mode() & 0o007 == 0
}

/// Whether the binary gave this process `group`, which its caller is not in.
fn is_granted(group: u32) -> bool {
    getegid().as_raw() == group && !is_of_caller(group)
}

/// Whether the caller has `group` without the binary.
fn is_of_caller(group: u32) -> bool {
    let is = |gid: Gid| gid.as_raw() == group;
    // Where the system does not say, the worse is believed.
    is(getgid()) || getgroups().map_or(true, |groups| groups.into_iter().any(is))
}

/// Whether this process may write a file up to `end`, in octets: where it may not, as its caller has said
/// (RLIMIT_FSIZE), the system would write a part and leave a file that others share torn.
pub fn has_room(end: u64) -> bool {
    getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| end <= soft)
}
