//! Owner and mode of the files that configuration and secrets are read from, taken from the opened
//! descriptor, and who may read them.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getuid};
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};
use crate::host;

/// Owner, group and permission bits of an opened file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modes {
    /// The owner's uid.
    pub uid: u32,
    /// The group's gid.
    pub gid: u32,
    /// The twelve permission bits.
    pub mode: u32,
}

impl Modes {
    /// Those of an opened file.
    pub fn of(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & 0o7777 }
    }

    /// What lets others than root and `uid` change the file, or read it when it `holds_secret`.
    pub fn weaknesses(&self, uid: u32, holds_secret: bool) -> Vec<&'static str> {
        let mut found = Vec::new();
        if self.uid != 0 && self.uid != uid {
            found.push("owned by another user");
        }
        if self.mode & 0o020 != 0 {
            found.push("group-writable");
        }
        if holds_secret && self.mode & 0o004 != 0 {
            found.push("world-readable, and a secret is inside");
        }
        found
    }

    /// The weaknesses of `path` as warnings.
    ///
    /// # Errors
    /// `NoPermission` when the file is world-writable, or has any weakness and `strict` is set.
    pub fn judge(&self, path: &Path, uid: u32, holds_secret: bool, strict: bool) -> Result<Vec<String>, Failure> {
        let refuse = |why: String| {
            // Who reads it stays so, but for what is nobody's to read.
            let fix = match holds_secret {
                _ if self.uid != 0 && self.uid != uid => "chown root",
                true => "chmod o=,g-w",
                false => "chmod go-w",
            };
            let place = path.parent().filter(|place| is_open(place));
            let place = place.map(|place| format!(" && sudo chmod go-w {}", place.display())).unwrap_or_default();
            Err(Failure::new(Kind::NoPermission, path.display().to_string(), why)
                .hint(format!("sudo {fix} {}{place}", path.display())))
        };
        if self.mode & 0o002 != 0 {
            return refuse(format!("is world-writable ({self})"));
        }
        let weaknesses = self.weaknesses(uid, holds_secret);
        match weaknesses.first() {
            Some(first) if strict => refuse(format!("is {first} ({self}), which strict_modes forbids")),
            _ => Ok(weaknesses.iter().map(|w| format!("{}: {w} ({self})", path.display())).collect()),
        }
    }
}

/// Whether others than the owner of a directory can put something else in the place of what is in it.
pub fn is_open(directory: &Path) -> bool {
    directory.metadata().is_ok_and(|found| {
        let by_group = found.mode() & 0o020 != 0 && found.gid() != 0;
        found.is_dir() && found.mode() & 0o1000 == 0 && (found.mode() & 0o002 != 0 || by_group)
    })
}

/// `root:www 0640`; numbers where the database has no name.
impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        match user {
            Some(user) => write!(f, "{}", user.name)?,
            None => write!(f, "{}", self.uid)?,
        }
        write!(f, ":{} {:04o}", group_name(self.gid), self.mode)
    }
}

/// The name of a group, or its number.
pub(crate) fn group_name(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |g| g.name)
}

/// Reads a regular file of at most `limit` octets and tells its owner and mode. The buffer is wiped.
///
/// # Errors
/// Whatever opening or reading says; `InvalidInput` for what is no regular file (a FIFO is not waited
/// for) and `FileTooLarge` beyond the limit.
pub fn read(path: &Path, limit: usize) -> io::Result<(Zeroizing<Vec<u8>>, Modes)> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if size > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Room for one octet more than the size, so that reading to the end never grows the buffer and leaves an unwiped
    // copy behind; no more than that, as all of it is wiped. What the system makes up has no size, and the standard
    // library looks before it reads into little room.
    let room = if size == 0 { 4096 } else { size.max(64) };
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok((bytes, Modes::of(&metadata)))
}

/// Owner and mode of a file that this process can open for reading.
///
/// # Errors
/// As [`read`].
pub fn probe(path: &Path) -> io::Result<Modes> {
    Ok(Modes::of(&open(path)?.metadata()?))
}

/// Opens a regular file for reading.
///
/// # Errors
/// Whatever opening says; `InvalidInput` for what is no regular file (a FIFO is not waited for).
pub fn open(path: &Path) -> io::Result<File> {
    let regular = |file: File| match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    };
    let mut readable = OpenOptions::new();
    readable.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    if !geteuid().is_root() {
        return regular(readable.open(path)?);
    }
    // To open a device makes it act, and root may open every one, behind a link that a site laid as well. So its type
    // is asked for before, and what was asked is what is opened.
    let place = regular(OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?)?;
    match readable.open(format!("/proc/self/fd/{}", place.as_raw_fd())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => regular(readable.open(path)?),
        opened => opened,
    }
}

/// A file that could not be read, as a failure with the commands that would let this process's group read it:
/// the binary's own where it has one, so that no hint hands a secret to the caller.
/// What is missing or malformed is `Configuration`, what is forbidden `NoPermission`.
pub fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let what = path.display().to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let closed = closed_directory(path);
            // What a command names is what was judged: a way there that another may change leads elsewhere by then.
            let ours = ours(closed.as_deref().unwrap_or(path)).map(|real| real.display().to_string());
            let hint = match (ours, host::binary_group()) {
                // To give the file to this user's group would undo what the binary's is for.
                (_, Some(group)) if group != getegid().as_raw() => format!(
                    "the binary's group {} was not given to this process: whoever calls may gain no rights (a unit with \
                     NoNewPrivileges=yes), or the binary is on a file system that is mounted nosuid",
                    group_name(group)
                ),
                _ if is_mounted(path) => handed_over(getegid().as_raw(), geteuid().as_raw()),
                // Who names a file need not be who owns it: no command hands over what was never meant for this program.
                (None, _) => format!(
                    "if this user is to read it: as root, put it where only root writes, such as /etc/mailchute/secrets, \
                     with the group {} and mode 0640, and name that place",
                    group_name(getegid().as_raw())
                ),
                (Some(real), _) if closed.is_some() => format!("sudo chmod a+x {real}"),
                (Some(real), _) => match others_group(path) {
                    // To take it from the last user would only move the trouble to that one.
                    Some(group) => anothers(path, &real, &group),
                    None => format!("sudo chgrp {} {real} && sudo chmod 0640 {real}", group_name(getegid().as_raw())),
                },
            };
            Failure::new(Kind::NoPermission, what, "permission denied").hint(hint)
        }
        io::ErrorKind::NotFound => Failure::new(Kind::Configuration, what, "no such file"),
        io::ErrorKind::FileTooLarge => Failure::new(Kind::Configuration, what, "is too large"),
        io::ErrorKind::InvalidInput if path.is_dir() => {
            let failure = Failure::new(Kind::Configuration, what, "is not a regular file but a directory");
            match fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()) {
                true => failure.hint("Docker makes an empty directory where the source of a mount does not exist"),
                false => failure,
            }
        }
        io::ErrorKind::InvalidInput => Failure::new(Kind::Configuration, what, "is not a regular file"),
        _ => Failure::new(Kind::Io, what, error.to_string()),
    }
}

/// Where containers have their secrets.
const MOUNTS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Whether owner and mode of `path` are decided where it is mounted: a container's secret, or on what is mounted read-only.
pub fn is_mounted(path: &Path) -> bool {
    let is_read_only = |path: &Path| {
        rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
    };
    let there = path.ancestors().find(|above| above.exists());
    MOUNTS.iter().any(|mount| path.starts_with(mount)) || there.is_some_and(is_read_only)
}

/// What gives a secret that is mounted to this group, or uid.
fn handed_over(gid: u32, uid: u32) -> String {
    format!(
        "give the secret to uid {uid} where it is mounted: Kubernetes securityContext.fsGroup: {gid} or defaultMode: 0444, \
         compose uid: \"{uid}\" with mode: 0400, podman --secret NAME,uid={uid}"
    )
}

/// What the directories are called in which root keeps what this program reads.
const OURS: [&str; 3] = ["mailchute", "sites.d", "secrets"];

/// Where `path` is, a file or a directory, if root has laid it into a directory of this program's, and nobody else can
/// have: one of another name, and one that another may write to, may hold anything, or lead anywhere.
fn ours(path: &Path) -> Option<PathBuf> {
    let real = path.parent()?.canonicalize().ok()?.join(path.file_name()?);
    let is_roots = |path: &Path| {
        path.symlink_metadata().is_ok_and(|found| {
            // In a sticky directory others may add names, and change none.
            let is_kept = found.mode() & 0o022 == 0 || found.is_dir() && found.mode() & 0o1000 != 0;
            found.uid() == 0 && is_kept && !found.is_symlink()
        })
    };
    let is_named = real.components().any(|part| OURS.iter().any(|name| part.as_os_str() == *name));
    (is_named && real.ancestors().all(is_roots)).then_some(real)
}

/// The next step for a file of root's at `real` that another's `group` may read, and this process not.
fn anothers(path: &Path, real: &str, group: &str) -> String {
    let own_group = group_name(getegid().as_raw());
    let user = User::from_uid(getuid()).ok().flatten().map(|user| user.name);
    let is_in = |directory: &str| path.parent().is_some_and(|above| above.ends_with(directory));
    match user {
        Some(user) if path.file_stem().is_some_and(|stem| *stem == *user) => format!(
            "it is called after this user, and for the group {group}: sudo chgrp {own_group} {real}; if it is a copy, \
             change what {group} has in it"
        ),
        // To give a key to one more group may give it to people who are nobody's concern.
        Some(user) if is_in("secrets") => format!(
            "it is for the group {group}. Give this user a secret of its own: sudo mailchute secret put {user} --group \
             {own_group}, and name that file; to share one, make a group that only those who share it are in"
        ),
        _ => format!(
            "it is for the group {group}: give this user a file of its own (root:{own_group} 0640); to share one, make a \
             group that only those who share it are in"
        ),
    }
}

/// The group that `path` is readable for, where it is neither root's nor this process's.
fn others_group(path: &Path) -> Option<String> {
    let modes = Modes::of(&path.metadata().ok()?);
    let is_others = modes.mode & 0o040 != 0 && modes.gid != 0 && modes.gid != getegid().as_raw();
    is_others.then(|| group_name(modes.gid))
}

/// The first directory on the way to `path` that this process may not search.
fn closed_directory(path: &Path) -> Option<PathBuf> {
    let denied = |p: &Path| p.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
    let ancestors: Vec<_> = path.ancestors().collect();
    let first_hidden = ancestors.into_iter().rev().find(|p| denied(p))?;
    first_hidden.parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn modes_are_judged_by_who_could_write_and_read() {
        let path = Path::new("/etc/x");
        let judge = |mode, holds_secret, strict| Modes { uid: 0, gid: 0, mode }.judge(path, 1000, holds_secret, strict);
        assert_eq!(judge(0o640, true, true).unwrap(), Vec::<String>::new());
        assert_eq!(judge(0o644, false, true).unwrap(), Vec::<String>::new());
        assert_eq!(
            judge(0o644, true, false).unwrap(),
            ["/etc/x: world-readable, and a secret is inside (root:root 0644)"]
        );
        assert_eq!(judge(0o644, true, true).unwrap_err().kind, Kind::NoPermission);
        assert_eq!(judge(0o646, false, false).unwrap_err().to_string(), "/etc/x: is world-writable (root:root 0646)");
        assert_eq!(judge(0o660, true, false).unwrap().len(), 1);
    }

    #[test]
    fn no_hint_hands_over_what_was_not_meant_for_this_program() {
        if !geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let own = |path: &Path, uid| std::os::unix::fs::chown(path, Some(uid), None).unwrap();
        for path in ["secrets", "home", "home/mailchute", "home/plain"] {
            fs::create_dir(at(path)).unwrap();
        }
        for file in ["secrets/key", "secrets/theirs", "home/mailchute/key", "home/plain/key"] {
            fs::write(at(file), "").unwrap();
        }
        own(&at("secrets/theirs"), 61_042);
        let hint = |path: &Path| unreadable(path, &io::ErrorKind::PermissionDenied.into()).hint.unwrap();
        let is_given = |path: &Path| hint(path).contains("chgrp ") || hint(path).contains("chmod ");
        std::os::unix::fs::symlink("/etc/shadow", at("secrets/link")).unwrap();
        std::os::unix::fs::symlink(at("home"), at("secrets/home")).unwrap();
        std::os::unix::fs::symlink("/etc", at("home/secrets")).unwrap();
        std::os::unix::fs::symlink(at("secrets"), at("home/link")).unwrap();
        assert!(is_given(&at("secrets/key")) && is_given(&at("home/mailchute/key")));
        own(&at("home"), 61_042);
        // A way that its user may lead elsewhere is in no command.
        for way in ["home/link/key", "home/../secrets/key", "secrets/key"] {
            let said = hint(&at(way));
            let real = at("secrets/key").canonicalize().unwrap();
            assert!(said.ends_with(&format!(" {0} && sudo chmod 0640 {0}", real.display())), "{way}: {said}");
        }
        for path in [
            at("home/mailchute/key"),
            at("home/plain/key"),
            at("secrets/theirs"),
            at("secrets/link"),
            at("secrets/home/mailchute/key"),
            at("home/secrets/shadow"),
            "/etc/shadow".into(),
            "/".into(),
        ] {
            assert!(!is_given(&path), "{}: {}", path.display(), hint(&path));
        }
    }

    #[test]
    fn a_fifo_is_refused_without_waiting_and_the_limit_holds() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&fifo, 10).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let file = dir.path().join("file");
        fs::write(&file, b"12345678901").unwrap();
        assert_eq!(read(&file, 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&file, 11).unwrap().0.len(), 11);
    }

    #[test]
    fn root_opens_nothing_before_its_type_is_known() {
        if !geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (fifo, link) = (dir.path().join("fifo"), dir.path().join("link"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        // Whoever opens it for writing waits until somebody opens it for reading.
        let (sender, receiver) = std::sync::mpsc::channel();
        let writer = std::thread::spawn({
            let fifo = fifo.clone();
            move || {
                sender.send(nix::unistd::gettid()).unwrap();
                let opened = OpenOptions::new().write(true).open(fifo);
                sender.send(nix::unistd::gettid()).unwrap();
                opened.map(drop)
            }
        });
        let stat = format!("/proc/self/task/{}/stat", receiver.recv().unwrap());
        while !fs::read_to_string(&stat).unwrap().contains(") S ") {
            std::thread::yield_now();
        }
        assert_eq!(open(&link).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(receiver.recv_timeout(std::time::Duration::from_millis(100)).is_err(), "it was opened");
        drop(File::open(&fifo).unwrap());
        writer.join().unwrap().unwrap();
    }
}
