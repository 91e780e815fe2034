//! `--as USER --cwd DIR`: the subcommands stand in for another caller.

use nix::unistd::{Gid, Uid, getuid, initgroups, setgid, setgroups, setuid};

use super::Speaker;
use crate::caller::Caller;
use crate::failure::{Failure, Kind};

/// Becomes the caller that `speaker` names. Root gives up its rights for good, so that what can be read
/// is what that user can read; anybody else only looks at file modes.
///
/// # Errors
/// `Usage`: no such user, or no such directory. `System`: the rights cannot be given up.
pub(super) fn assume(speaker: &Speaker) -> Result<Caller, Failure> {
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
    groups
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .map_err(|error| Failure::new(Kind::System, user, format!("cannot act as this user: {error}")))?;
    enter(speaker)?;
    Ok(Caller::current())
}

fn enter(speaker: &Speaker) -> Result<(), Failure> {
    let Some(dir) = &speaker.cwd else { return Ok(()) };
    std::env::set_current_dir(dir)
        .map_err(|error| Failure::new(Kind::Usage, dir.display().to_string(), format!("cannot be entered: {error}")))
}
