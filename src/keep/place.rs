//! Where things are kept: the parents, which are root's, and what root makes in them.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::{hex, host, random};

/// How many names after the first are looked at.
pub(super) const NAMES: u32 = 255;

/// The directory, beside those of the uids, of what all of them share.
pub(super) const SHARED: &str = "shared";

/// The modes of the parents and of [`SHARED`], without a set-group-id binary and with it. Sticky, so that whoever may
/// make something there cannot move another's; set-group-id, so that what root makes there is the group's as well.
const OPEN: u32 = 0o1733;
const CLOSED: u32 = 0o3770;
const SHARED_MODE: u32 = 0o2770;

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
    /// Records of what was sent.
    Log,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Tokens, Self::State, Self::Spool, Self::Runtime, Self::Log];

    /// The directory that holds every uid's, made by the installation: root's, 1733. With a set-group-id binary it is
    /// of that group and 3770, so that no caller enters it but through the binary.
    pub const fn parent(self) -> &'static str {
        match self {
            Self::Tokens => "/var/lib/mailchute/tokens",
            Self::State => "/var/lib/mailchute/state",
            Self::Spool => "/var/spool/mailchute",
            Self::Runtime => "/run/mailchute",
            Self::Log => "/var/log/mailchute",
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
        if let Some(above) = parent.parent() {
            make(above, 0o755);
        }
        if make(parent, 0o700) {
            self.set_modes(host::binary_group());
        }
        let own = parent.join(uid.to_string());
        // Nobody can put another in its place: it is root's in a sticky directory of root's.
        (is_sticky(parent) && make(&own, 0o700) && chown(&own, Some(uid), None).is_ok()).then_some(own)
    }

    /// Fits the parent to the binary, as root, where it has the modes of the other way to run it: whoever changes the
    /// binary's group by hand has this left to do. What an administrator made otherwise is left alone. Whether it did.
    pub fn fit(self) -> bool {
        let Ok(found) = Path::new(self.parent()).symlink_metadata() else { return false };
        let group = host::binary_group();
        let is_of_the_other = match group {
            Some(_) if found.mode() & 0o7777 == OPEN => true,
            Some(group) => found.mode() & 0o7777 == CLOSED && (found.gid() != group || !self.has_shared()),
            None => found.mode() & 0o7777 == CLOSED,
        };
        nix::unistd::getuid().is_root() && found.is_dir() && found.uid() == 0 && is_of_the_other && {
            self.set_modes(group);
            true
        }
    }

    /// Gives the parent, which is root's, its group and mode, and makes the shared directory if `group` is the binary's.
    fn set_modes(self, group: Option<u32>) {
        let parent = Path::new(self.parent());
        let set = |path: &Path, group, mode| {
            // In this order: a change of the group takes the set-group-id bit away.
            let _ = chown(path, Some(0), Some(group));
            let _ = fs::set_permissions(path, Permissions::from_mode(mode));
        };
        let Some(group) = group else { return set(parent, 0, OPEN) };
        set(parent, group, CLOSED);
        let shared = parent.join(SHARED);
        // Closed by now: whatever has the name was laid there before, by somebody who cannot touch it any more.
        if !self.has_shared() && shared.symlink_metadata().is_ok() {
            let number = random::octets::<8>().unwrap_or_default();
            let _ = fs::rename(&shared, parent.join(format!("{SHARED}.{}", hex::encode(number))));
        }
        make(&shared, 0o700);
        set(&shared, group, SHARED_MODE);
    }

    /// Whether root has made a shared directory.
    fn has_shared(self) -> bool {
        let shared = Path::new(self.parent()).join(SHARED);
        shared.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == 0)
    }
}

/// Makes a directory with this mode whatever the umask; one that is there, such as an administrator's, is left alone.
/// Whether it did.
fn make(directory: &Path, mode: u32) -> bool {
    let made = DirBuilder::new().mode(0o700).create(directory).is_ok();
    made && fs::set_permissions(directory, Permissions::from_mode(mode)).is_ok()
}

/// The directories below `parent` that may be the uid's, in the order in which they are looked at.
pub(super) fn names(parent: &Path, uid: u32) -> impl Iterator<Item = PathBuf> {
    let first = parent.join(uid.to_string());
    let others = (1..=NAMES).map(move |number| parent.join(format!("{uid}.{number}")));
    std::iter::once(first).chain(others)
}

/// Whether nobody but root can move what root makes in `parent`.
fn is_sticky(parent: &Path) -> bool {
    parent.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == 0 && found.mode() & 0o1000 != 0)
}
