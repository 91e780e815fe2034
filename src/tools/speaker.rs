//! `--as USER --cwd DIR`: the subcommands stand in for another caller.

use nix::unistd::{Gid, Uid, getegid, getgid, getuid, initgroups, setgroups, setresgid, setresuid, setuid};

use crate::caller::Caller;
use crate::cli::Speaker;
use crate::failure::{Failure, Kind};

/// As [`assume`], but only by becoming that caller.
///
/// # Errors
/// `NoPermission`: this process is somebody else and may not. Otherwise as there.
pub(crate) fn turn_into(speaker: &Speaker) -> Result<Caller, Failure> {
    let caller = assume(speaker)?;
    match caller.uid == getuid().as_raw() {
        true => Ok(caller),
        false => Err(Failure::new(Kind::NoPermission, "--as", "only root can act as another user")
            .hint("put `sudo` in front of the command")),
    }
}

/// Becomes the caller that `speaker` names. Root gives up its rights for good, so that what can be read
/// is what that user can read; anybody else only looks at file modes.
///
/// # Errors
/// `Usage`: no such user, or no such directory. `System`: the rights cannot be given up.
pub(crate) fn assume(speaker: &Speaker) -> Result<Caller, Failure> {
    let Some(user) = &speaker.user else {
        enter(speaker)?;
        return Ok(Caller::current());
    };
    let caller = Caller::of(user, speaker.cwd.as_deref())?;
    if !getuid().is_root() || caller.uid == 0 {
        return Ok(caller);
    }
    let (uid, gid) = (Uid::from_raw(caller.uid), Gid::from_raw(caller.gid));
    let name = caller.user.as_deref().and_then(|name| std::ffi::CString::new(name).ok());
    let groups = match name {
        Some(name) => initgroups(&name, gid),
        None => setgroups(&[gid]),
    };
    // A group of the binary's own stays, as it does when that user runs it.
    let own = if getegid() == getgid() { gid } else { getegid() };
    groups
        .and_then(|()| setresgid(gid, own, own))
        .and_then(|()| setresuid(uid, uid, uid))
        .map_err(|error| Failure::new(Kind::System, user, format!("cannot act as this user: {error}")))?;
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(Failure::new(Kind::System, user, "root's rights cannot be given up"));
    }
    enter(speaker)?;
    Ok(Caller::current())
}

fn enter(speaker: &Speaker) -> Result<(), Failure> {
    let Some(dir) = &speaker.cwd else { return Ok(()) };
    std::env::set_current_dir(dir)
        .map_err(|error| Failure::new(Kind::Usage, dir.display().to_string(), format!("cannot be entered: {error}")))
}
