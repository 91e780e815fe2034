//! `--as USER --cwd DIR`: the subcommands stand in for another caller.

mod apart;

use std::ffi::CString;
use std::io;

use nix::sys::prctl::set_dumpable;
use nix::unistd::{
    Gid, Uid, User, getegid, getgid, getuid, initgroups, setegid, setgroups, setresgid, setresuid, setuid,
};

use crate::caller::Caller;
use crate::cli::Speaker;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::keep::Place;

/// Where the caller stands that was asked for.
pub(crate) enum Stand {
    /// This process is that caller, for good.
    Here(Caller),
    /// Another process was, and has ended with this status.
    There(u8),
}

/// What root makes and hands over before it becomes another.
#[derive(Clone, Copy, Default)]
pub(crate) struct Provision<'a> {
    /// The directory that something will be kept in.
    pub(crate) place: Option<Place>,
    /// The option that says somebody types at standard input; without one nothing is read there.
    pub(crate) typed: Option<&'a str>,
}

/// Becomes the caller that `speaker` names: what can be read then is what that user can read.
///
/// Root does so apart from its terminal: in a session of its own, with pipes in place of the terminal and no other
/// descriptor, in a process of its own where need be, whose text is passed on. Nothing that the user's files start
/// finds a way back.
///
/// # Errors
/// `Usage`: no such user, or no such directory. `NoPermission`: only root becomes another. `System`: the rights
/// cannot be given up.
pub(crate) fn turn_into(speaker: &Speaker, provision: Provision<'_>) -> Result<Stand, Failure> {
    if let Some(user) = &speaker.user {
        let account = Account::find(user)?;
        match account.uid == getuid() {
            true => provision.make(account.uid),
            false if getuid().is_root() => {
                provision.make(account.uid);
                if !apart::is_apart() {
                    return apart::run(provision.typed).map(Stand::There);
                }
                account.become_it(user)?;
            }
            false => {
                return Err(Failure::new(Kind::NoPermission, "--as", "only root can act as another user")
                    .hint("put `sudo` in front of the command"));
            }
        }
    } else {
        provision.make(getuid());
    }
    enter(speaker)?;
    Ok(Stand::Here(Caller::current()))
}

impl Provision<'_> {
    fn make(self, uid: Uid) {
        if let Some(place) = self.place {
            place.prepare(uid.as_raw());
        }
    }
}

/// The uid of `user`, a name or a uid.
///
/// # Errors
/// `Usage`: no such user.
pub(crate) fn uid(user: &str) -> Result<u32, Failure> {
    Account::find(user).map(|account| account.uid.as_raw())
}

/// `user`, a name or a uid, as the caller of what runs as that user.
///
/// # Errors
/// `Usage`: no such user.
pub(crate) fn account(user: &str) -> Result<Caller, Failure> {
    let Account { uid, gid, name } = Account::find(user)?;
    let user = name.and_then(|name| name.into_string().ok());
    Ok(Caller { uid: uid.as_raw(), gid: gid.as_raw(), user, home: None, cwd: None })
}

/// Who to become.
struct Account {
    uid: Uid,
    gid: Gid,
    name: Option<CString>,
}

impl Account {
    /// The account of this name or uid; a uid without a passwd entry is one, too.
    fn find(user: &str) -> Result<Self, Failure> {
        let number = user.parse().ok().map(Uid::from_raw);
        let entry = User::from_name(user).ok().flatten();
        match (entry.or_else(|| User::from_uid(number?).ok().flatten()), number) {
            (Some(entry), _) => Ok(Self { uid: entry.uid, gid: entry.gid, name: CString::new(entry.name).ok() }),
            (None, Some(uid)) => Ok(Self { uid, gid: Gid::from_raw(uid.as_raw()), name: None }),
            (None, None) => Err(Failure::new(Kind::Usage, user, "no such user")),
        }
    }

    fn become_it(&self, user: &str) -> Result<(), Failure> {
        let groups = match &self.name {
            Some(name) => initgroups(name, self.gid),
            None => setgroups(&[self.gid]),
        };
        // A group of the binary's own stays, as it does when that user runs it; a process that may gain no rights, such
        // as a hardened unit's, did not get it.
        let own = if getegid() == getgid() { host::binary_group().map_or(self.gid, Gid::from_raw) } else { getegid() };
        groups
            .and_then(|()| setresgid(self.gid, own, own))
            .and_then(|()| setresuid(self.uid, self.uid, self.uid))
            .map_err(|error| Failure::new(Kind::System, user, format!("cannot act as this user: {error}")))?;
        leave_no_core();
        match setuid(Uid::from_raw(0)) {
            Ok(()) => Err(Failure::new(Kind::System, user, "root's rights cannot be given up")),
            Err(_) => {
                host::stand_in();
                Ok(())
            }
        }
    }
}

/// As at the beginning of the program: whoever changes a user or group gets what `fs.suid_dumpable` says, and that may
/// be a core.
fn leave_no_core() {
    let _ = set_dumpable(false);
}

/// Enters `--cwd` with the caller's own rights: what only the binary's group may enter stays unknown to its caller.
fn enter(speaker: &Speaker) -> Result<(), Failure> {
    let Some(dir) = &speaker.cwd else { return Ok(()) };
    let group = getegid();
    let entered = setegid(getgid()).map_err(io::Error::from).and_then(|()| std::env::set_current_dir(dir));
    let again = setegid(group);
    leave_no_core();
    again.map_err(|error| Failure::new(Kind::System, "the binary's group", format!("cannot be had again: {error}")))?;
    entered.map_err(|error| Failure::new(Kind::Usage, dir.display().to_string(), format!("cannot be entered: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_without_an_entry_is_an_account_and_a_name_without_one_is_not() {
        let account = Account::find("3999999999").unwrap();
        assert_eq!((account.uid.as_raw(), account.gid.as_raw(), account.name), (3_999_999_999, 3_999_999_999, None));
        assert_eq!(Account::find("0").unwrap().name.as_deref(), Some(c"root"));
        assert_eq!(Account::find("no such user").err().map(|failure| failure.kind), Some(Kind::Usage));
    }
}
