//! The bans that a site sets itself by going over its limit (`over_limit = "ban"`), kept where limits are counted.
//!
//! With a set-group-id binary that is a directory that no site can enter, and a ban is one of all that speak as the site.
//! Without one it is the uid's own: it stops a hacked script, not somebody who removes it.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc::{O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};

use super::register::{LIMIT, file_name};
use super::{Ban, Banned, By, now};
use crate::config::limit::OverLimit;
use crate::config::site::Site;
use crate::failure::{Failure, Kind};
use crate::keep::{Keep, Place};

/// How long a site is banned that went over its limit.
const SPAN: Duration = Duration::from_secs(3600);
/// How far a clock may be behind that of the process that set a ban before it was set back, in seconds.
const SKEW: i64 = 60;
/// What the file of a ban is called: this, and the name of root's.
const PREFIX: &str = "ban-";
/// The most bans that are read of one user.
const MOST: usize = 1000;

/// The ban that `uid`, or with a set-group-id binary anybody, has set for `site`, if it holds.
pub(super) fn find(site: &Site, uid: u32) -> Option<Ban> {
    if site.over_limit != OverLimit::Ban || site.limits.is_none() {
        return None;
    }
    let of = Banned::Site(site.name.clone());
    let mut octets = Vec::new();
    let file = Keep::open_common(Place::State, uid, &name(&of))?;
    // What cannot be read to its end bans all the same.
    let _ = file.take(LIMIT).read_to_end(&mut octets);
    let (mut ban, now) = (Ban::read(&of, &octets), now());
    if now < ban.since.saturating_sub(SKEW)
        && let Some(until) = ban.until
    {
        // The clock was set back. Nobody is there to lift it, so it ends when it would have.
        ban = Ban { since: now, until: Some(now.saturating_add(until.saturating_sub(ban.since))), ..ban };
        let _ = save(&ban, uid);
    }
    ban.holds(now).then_some(ban)
}

/// Bans `site`, which `uid` would send more for than it may, for a while.
///
/// # Errors
/// It cannot be kept.
pub fn impose(site: &Site, uid: u32, because: &str) -> Result<Ban, Failure> {
    let of = Banned::Site(site.name.clone());
    let ban = Ban { by: By::OverLimit, uid: Some(uid), ..Ban::new(of, Some(SPAN), Some(because)) };
    save(&ban, uid)?;
    Ok(ban)
}

fn save(ban: &Ban, uid: u32) -> Result<(), Failure> {
    let octets = serde_json::to_vec(ban);
    let octets = octets.map_err(|error| Failure::new(Kind::Software, "ban", error.to_string()))?;
    let keep = Keep::common(Place::State, uid)
        .ok_or_else(|| Failure::new(Kind::CannotCreate, Place::State.parent(), "there is no place for bans"))?;
    keep.save(&name(&ban.of), &octets)
}

fn name(of: &Banned) -> String {
    format!("{PREFIX}{}", file_name(of))
}

/// Every ban that was set so, whether it holds or not, for root.
pub(super) fn all() -> Vec<Ban> {
    let mut bans = Vec::new();
    for directory in directories() {
        let Ok(entries) = fs::read_dir(&directory.path) else { continue };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for name in names.filter(|name| name.starts_with(PREFIX)).take(MOST) {
            bans.extend(directory.read(&name));
        }
    }
    bans
}

/// Lifts all that were set so for `of`, as root. Whether one of them held.
///
/// # Errors
/// `Io`: one stands.
pub(super) fn lift(of: &Banned) -> Result<bool, Failure> {
    let (mut held, now, name) = (false, now(), name(of));
    for directory in directories() {
        held |= directory.read(&name).is_some_and(|ban| ban.holds(now));
        match fs::remove_file(directory.path.join(&name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let why = format!("cannot be removed, so the ban stands: {error}");
                return Err(Failure::new(Kind::Io, directory.path.join(&name).display().to_string(), why));
            }
            _ => {}
        }
    }
    Ok(held)
}

/// A directory that bans are kept in. Its owner may move it and lay something else in its place at any time, so it is
/// held open, and everything in it is reached by that.
struct Directory {
    path: PathBuf,
    uid: u32,
    _held: fs::File,
}

impl Directory {
    fn open(path: &Path) -> Option<Self> {
        let held =
            fs::OpenOptions::new().read(true).custom_flags(O_DIRECTORY | O_NOFOLLOW | O_NOCTTY).open(path).ok()?;
        let uid = held.metadata().ok()?.uid();
        let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        Some(Self { path, uid, _held: held })
    }

    /// The ban in the file `name`.
    fn read(&self, name: &str) -> Option<Ban> {
        let mut octets = Vec::new();
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
            .open(self.path.join(name))
            .ok()?;
        let found = file.metadata().ok()?;
        if !found.is_file() || found.nlink() != 1 || self.uid != 0 && ![self.uid, 0].contains(&found.uid()) {
            return None;
        }
        file.take(LIMIT).read_to_end(&mut octets).ok()?;
        let ban: Ban = serde_json::from_slice(&octets).ok()?;
        // What another than this program wrote says nothing of anybody else.
        let uid = if self.uid == 0 { ban.uid } else { Some(self.uid) };
        (self::name(&ban.of) == name).then(|| Ban { by: By::OverLimit, uid, ..Ban::read(&ban.of, &octets) })
    }
}

/// That of every uid, and the one that all share.
fn directories() -> impl Iterator<Item = Directory> {
    let entries = fs::read_dir(Place::State.parent()).into_iter().flatten().flatten();
    entries.filter_map(|entry| Directory::open(&entry.path()))
}
