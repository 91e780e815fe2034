//! Who may read a file, as owner, groups and modes have it. Access lists are not looked at.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, getgrouplist};

/// A user, and the groups of what runs as this user.
pub(super) struct Reader {
    uid: u32,
    gids: Vec<u32>,
    /// The name, or the number.
    pub(super) name: String,
}

impl Reader {
    /// The user of this uid, who has the group `own` of a set-group-id binary beside those of the password database.
    pub(super) fn of(uid: u32, own: Option<u32>) -> Self {
        let entry = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let gids = entry.as_ref().and_then(|entry| {
            let name = CString::new(entry.name.as_str()).ok()?;
            getgrouplist(&name, entry.gid).ok()
        });
        let mut gids: Vec<u32> = gids.unwrap_or_default().into_iter().map(Gid::as_raw).collect();
        gids.extend(own);
        Self { uid, gids, name: entry.map_or_else(|| uid.to_string(), |entry| entry.name) }
    }

    /// Whether this user is in the group `gid`.
    pub(super) fn is_in(&self, gid: u32) -> bool {
        self.gids.contains(&gid)
    }

    /// What keeps this user from reading `path`: the file itself, or a directory above it.
    pub(super) fn obstacle(&self, path: &Path) -> Option<PathBuf> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|above| above.is_absolute()).collect();
        above.reverse();
        let closed = above.into_iter().find(|above| !self.may(above, 1)).map(Path::to_owned);
        closed.or_else(|| (!self.may(path, 4)).then(|| path.to_owned()))
    }

    /// Whether this user has the permission `bit` (read 4, search 1).
    fn may(&self, path: &Path, bit: u32) -> bool {
        let Ok(found) = fs::metadata(path) else { return false };
        let bits = match () {
            () if self.uid == 0 => return true,
            () if found.uid() == self.uid => found.mode() >> 6,
            () if self.gids.contains(&found.gid()) => found.mode() >> 3,
            () => found.mode(),
        };
        bits & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_class_that_fits_decides() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        fs::write(&file, "x").expect("a file");
        let found = file.metadata().expect("a file");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        let reader = |uid, gids: &[u32]| Reader { uid, gids: gids.to_vec(), name: String::new() };
        let (owner, member, other) = (
            reader(if found.uid() == 0 { 4_000_000 } else { found.uid() }, &[]),
            reader(4_000_000, &[found.gid()]),
            reader(4_000_000, &[4_000_000]),
        );
        for (above, mode, by_member, by_other) in [
            (0o755, 0o640, true, false),
            (0o711, 0o640, true, false),
            (0o700, 0o644, false, false),
            (0o755, 0o604, false, true),
            (0o755, 0o600, false, false),
        ] {
            set(directory.path(), above);
            set(&file, mode);
            assert_eq!(member.obstacle(&file).is_none(), by_member, "{above:o} {mode:o}");
            assert_eq!(other.obstacle(&file).is_none(), by_other, "{above:o} {mode:o}");
            assert!(found.uid() == 0 || owner.obstacle(&file).is_none());
            assert!(reader(0, &[]).obstacle(&file).is_none());
        }
        set(directory.path(), 0o700);
        assert_eq!(member.obstacle(&file).as_deref(), Some(directory.path()));
        assert_eq!(member.obstacle(&directory.path().join("missing")).as_deref(), Some(directory.path()));
    }
}
