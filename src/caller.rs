//! Who calls: the process that runs us, as far as the operating system vouches for it.

use std::path::{Path, PathBuf};

use directories::BaseDirs;
use nix::unistd::{Uid, User};

use crate::failure::{Failure, Kind};
use crate::host;
use crate::reply::printable;

/// The caller. `explain --as USER --cwd DIR` makes one for somebody else.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The real uid: the boundary of trust.
    pub uid: u32,
    /// The real gid.
    pub gid: u32,
    /// The name of that uid, where the passwd database has one.
    pub user: Option<String>,
    /// The home directory of the passwd entry; never `$HOME`.
    pub home: Option<PathBuf>,
    /// The working directory, links resolved, where there is one.
    pub cwd: Option<PathBuf>,
    /// The binary runs with a group of its own (set-group-id): the environment, `--config` and the
    /// user's file do not count.
    pub privileged: bool,
}

impl Caller {
    /// The process that runs us. Nothing of it has to exist: not the passwd entry, not the directory.
    pub fn current() -> Self {
        let uid = nix::unistd::getuid();
        let gid = nix::unistd::getgid();
        let entry = User::from_uid(uid).ok().flatten();
        Self {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            user: entry.as_ref().map(|e| e.name.clone()),
            home: entry.map(|e| e.dir).filter(|dir| dir.is_absolute()),
            cwd: std::env::current_dir().ok(),
            privileged: host::is_privileged(),
        }
    }

    /// A place of the caller's own, seen from the passwd home: where `which` puts it, or `usual` below the
    /// home. `None` without a home, and for a binary with a group of its own.
    pub fn own(&self, which: fn(&BaseDirs) -> Option<&Path>, usual: &str) -> Option<PathBuf> {
        let home = self.home.as_ref().filter(|_| !self.privileged)?;
        let relative = BaseDirs::new()
            .and_then(|dirs| Some(which(&dirs)?.strip_prefix(dirs.home_dir()).ok()?.to_owned()))
            .unwrap_or_else(|| PathBuf::from(usual));
        Some(home.join(relative))
    }

    /// The group that has to be able to read what is read for this caller: the binary's own where it has
    /// one, so that no hint hands a secret to the caller.
    pub fn reading_gid(&self) -> u32 {
        if self.privileged { nix::unistd::getegid().as_raw() } else { self.gid }
    }

    /// Somebody else, named by user name or uid, in `cwd` (`None`: our own working directory).
    ///
    /// # Errors
    /// `Usage` when there is no such user; a uid without a passwd entry is accepted.
    pub fn of(user_or_uid: &str, cwd: Option<&Path>) -> Result<Self, Failure> {
        let by_name = User::from_name(user_or_uid).ok().flatten();
        let entry = by_name.or_else(|| {
            let uid = user_or_uid.parse().ok()?;
            User::from_uid(Uid::from_raw(uid)).ok().flatten()
        });
        let (uid, gid) = match (&entry, user_or_uid.parse::<u32>()) {
            (Some(entry), _) => (entry.uid.as_raw(), entry.gid.as_raw()),
            (None, Ok(uid)) => (uid, uid),
            (None, Err(_)) => return Err(Failure::new(Kind::Usage, user_or_uid, "no such user")),
        };
        let cwd = match cwd {
            Some(dir) => Some(dir.canonicalize().unwrap_or_else(|_| dir.to_owned())),
            None => std::env::current_dir().ok(),
        };
        Ok(Self {
            uid,
            gid,
            user: entry.as_ref().map(|e| e.name.clone()),
            home: entry.map(|e| e.dir).filter(|dir| dir.is_absolute()),
            cwd,
            privileged: false,
        })
    }
}

/// Shells that `popen` and `system` put between a program and us.
const SHELLS: [&str; 4] = ["sh", "dash", "bash", "busybox"];

/// The command name of the process that runs us, seen through the shells in between; `None` where
/// procfs does not tell.
pub fn parent() -> Option<String> {
    let mut pid = nix::unistd::getppid().as_raw();
    let mut name = None;
    for _ in 0..3 {
        // pid (comm) state ppid: the name may hold spaces and parentheses, what follows it may not.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let comm = printable(head.split_once('(')?.1.as_bytes(), 64);
        let is_shell = SHELLS.contains(&comm.as_str());
        name = Some(comm);
        pid = tail.split_ascii_whitespace().nth(1)?.parse().ok()?;
        if !is_shell || pid <= 1 {
            break;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_without_an_entry_is_a_caller_and_a_name_without_one_is_not() {
        let caller = Caller::of("3999999999", Some(Path::new("/"))).unwrap();
        assert_eq!((caller.uid, caller.user, caller.cwd.as_deref()), (3_999_999_999, None, Some(Path::new("/"))));
        assert_eq!(Caller::of("0", None).unwrap().user.as_deref(), Some("root"));
        assert_eq!(Caller::of("no such user", None).unwrap_err().kind, Kind::Usage);
    }
}
