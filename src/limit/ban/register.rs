//! Root's bans on disk: a file each, in a directory of root's that is there while anybody is banned.
//!
//! A process that sends has to read the ban of its site. Without a group of the binary's own it does so with its
//! caller's rights, so whoever knows a site's name may read whether and why it is banned; nobody may list the names.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::libc::{O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};
use ring::digest::{SHA256, digest};
use tempfile::NamedTempFile;

use super::{Ban, Banned, now};
use crate::failure::{Failure, Kind};
use crate::hex;
use crate::host;

/// The directory.
const DIRECTORY: &str = "/var/lib/mailchute/bans";
/// The largest file, in octets.
pub(super) const LIMIT: u64 = 8 << 10;
/// The longest file name made of a site's; a longer one is its hash.
const NAME: usize = 200;

/// The directory of root's bans.
#[derive(Debug)]
pub struct Register(PathBuf);

impl Register {
    /// The one of this host; `None`: nobody is banned. That is one system call.
    ///
    /// # Errors
    /// `NoPermission`: others than root may write to it.
    pub fn open() -> Result<Option<Self>, Failure> {
        Self::at(Path::new(DIRECTORY))
    }

    fn at(directory: &Path) -> Result<Option<Self>, Failure> {
        match fs::symlink_metadata(directory) {
            Ok(found) if found.is_dir() && found.uid() == 0 && found.mode() & 0o022 == 0 => {
                Ok(Some(Self(directory.to_owned())))
            }
            Ok(_) => {
                let why = "is not a directory that root has to itself, so nobody can tell who is banned";
                let directory = directory.display().to_string();
                let hint = format!("look what is in it, then sudo rm -r {directory}");
                Err(Failure::new(Kind::NoPermission, directory, why).hint(hint))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(unreadable(directory, &error)),
        }
    }

    /// The ban of `of`, over or not.
    ///
    /// # Errors
    /// There is one that cannot be read.
    pub fn read(&self, of: &Banned) -> Result<Option<Ban>, Failure> {
        let path = self.0.join(file_name(of));
        let read = || -> io::Result<Vec<u8>> {
            let mut octets = Vec::new();
            let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY).open(&path)?;
            file.take(LIMIT).read_to_end(&mut octets)?;
            Ok(octets)
        };
        match read() {
            Ok(octets) => Ok(Some(Ban::read(of, &octets))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    /// Every ban, over or not, by whom it hits.
    ///
    /// # Errors
    /// The directory cannot be listed, which only root may.
    fn list(&self) -> Result<Vec<Ban>, Failure> {
        let failed = |error: &io::Error| unreadable(&self.0, error);
        let mut bans = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(|error| failed(&error))? {
            let path = entry.map_err(|error| failed(&error))?.path();
            let mut octets = Vec::new();
            let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY).open(&path);
            // One that was lifted meanwhile.
            let Ok(file) = file else { continue };
            let _ = file.take(LIMIT).read_to_end(&mut octets);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let told = serde_json::from_slice::<Ban>(&octets).ok().filter(|ban| file_name(&ban.of) == name);
            let of = told.map(|ban| ban.of).or_else(|| named(&name));
            bans.extend(of.map(|of| Ban::read(&of, &octets)));
        }
        bans.sort_by(|one, other| one.of.cmp(&other.of));
        Ok(bans)
    }

    /// As [`Register::list`], and gives every file and the directory the modes of today's binary.
    pub(super) fn mend(&self) -> Result<Vec<Ban>, Failure> {
        let (bans, group) = (self.list()?, host::binary_group());
        for ban in &bans {
            let _ = open_file(&self.0.join(file_name(&ban.of)), group);
        }
        let _ = open_directory(&self.0, group);
        Ok(bans)
    }

    /// Sets `ban`, in the place of one of the same, durably.
    ///
    /// # Errors
    /// `CannotCreate` or `Io`: it is not set.
    pub fn set(ban: &Ban) -> Result<(), Failure> {
        Self::set_at(Path::new(DIRECTORY), ban, host::binary_group())
    }

    fn set_at(directory: &Path, ban: &Ban, group: Option<u32>) -> Result<(), Failure> {
        let failed = |kind, error: &io::Error| {
            Failure::new(kind, directory.display().to_string(), format!("the ban cannot be kept: {error}"))
        };
        if let Some(above) = directory.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(above);
            made.map_err(|error| failed(Kind::CannotCreate, &error))?;
        }
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(Kind::CannotCreate, &error));
            }
            _ => {}
        }
        Self::at(directory)?;
        let write = || -> io::Result<()> {
            let octets = serde_json::to_vec(ban)?;
            let mut file = NamedTempFile::new_in(directory)?;
            open_file(file.path(), group)?;
            file.write_all(&octets)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(directory.join(file_name(&ban.of))).map_err(|error| error.error)?;
            open_directory(directory, group)?;
            OpenOptions::new().read(true).custom_flags(O_DIRECTORY).open(directory)?.sync_all()
        };
        write().map_err(|error| failed(Kind::Io, &error))
    }

    /// Lifts the ban of `of`. Whether there was one that held.
    ///
    /// # Errors
    /// `Io`: it stands.
    pub(super) fn lift(&self, of: &Banned) -> Result<bool, Failure> {
        let held = self.read(of)?.is_some_and(|ban| ban.holds(now()));
        self.remove(of)?;
        self.tidy();
        Ok(held)
    }

    fn remove(&self, of: &Banned) -> Result<(), Failure> {
        let path = self.0.join(file_name(of));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let why = format!("cannot be removed, so the ban stands: {error}");
                Err(Failure::new(Kind::Io, path.display().to_string(), why))
            }
            _ => Ok(()),
        }
    }

    /// Removes what is over, and the directory where nobody is banned any more.
    pub(super) fn tidy(&self) {
        let now = now();
        for ban in self.list().unwrap_or_default().iter().filter(|ban| !ban.holds(now)) {
            let _ = self.remove(&ban.of);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// Lets those who send read a ban: the binary's group alone, or everybody.
fn open_file(path: &Path, group: Option<u32>) -> io::Result<()> {
    chown(path, Some(0), Some(group.unwrap_or(0)))?;
    fs::set_permissions(path, Permissions::from_mode(if group.is_some() { 0o640 } else { 0o644 }))
}

/// Lets those who send into the directory; nobody but root and the group lists it.
fn open_directory(path: &Path, group: Option<u32>) -> io::Result<()> {
    chown(path, Some(0), Some(group.unwrap_or(0)))?;
    fs::set_permissions(path, Permissions::from_mode(if group.is_some() { 0o2750 } else { 0o711 }))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let kind = if error.kind() == io::ErrorKind::PermissionDenied { Kind::NoPermission } else { Kind::Io };
    let why = format!("cannot be read, so nobody can tell who is banned: {error}");
    Failure::new(kind, path.display().to_string(), why).hint("`sudo mailchute bans` lists them and mends the modes")
}

/// The name of the file of a ban: any name of a site is data, so what is no plain letter, digit, `-`, `_` or inner dot
/// is written as its octets.
pub(super) fn file_name(of: &Banned) -> String {
    let name = match of {
        Banned::User(uid) => return format!("user-{uid}"),
        Banned::Site(name) => name,
    };
    let mut file = "site-".to_owned();
    for octet in name.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => file.push(char::from(octet)),
            // Writing to a string cannot fail.
            _ => drop(write!(file, "%{octet:02X}")),
        }
    }
    match file.len() {
        ..=NAME => file,
        _ => format!("hash-{}", hex::encode(digest(&SHA256, name.as_bytes()))),
    }
}

/// Whom the file `name` bans, where that can be told from it.
fn named(name: &str) -> Option<Banned> {
    if let Some(uid) = name.strip_prefix("user-") {
        return uid.parse().ok().map(Banned::User);
    }
    let site = name.strip_prefix("site-").filter(|site| !site.contains('%'))?;
    Some(Banned::Site(site.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_name_is_a_file_of_its_own_in_the_directory() {
        let long = "x".repeat(300);
        let names =
            ["shop", "SHOP", "..", ".", "a/b", "../../etc/passwd", "a%2Fb", "é", "", " ", "a\nb", &long, "hash-"];
        let files: std::collections::BTreeSet<String> =
            names.iter().map(|name| file_name(&Banned::Site((*name).to_owned()))).collect();
        assert_eq!(files.len(), names.len());
        for file in &files {
            assert!(file.len() < 255 && file.is_ascii() && !file.contains(['/', '\n', ' ']), "{file}");
            assert!(!file.starts_with('.'), "{file}");
        }
        assert_eq!(file_name(&Banned::User(1042)), "user-1042");
        assert_eq!(named("site-shop"), Some(Banned::Site("shop".to_owned())));
        assert_eq!(named("user-7"), Some(Banned::User(7)));
        assert_eq!((named("site-a%2Fb"), named("user-x"), named(".tmpX")), (None, None, None));
    }

    #[test]
    fn what_is_set_is_read_listed_and_lifted() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let bans = dir.path().join("bans");
        assert!(Register::at(&bans).unwrap().is_none());
        let odd = Ban::new(Banned::Site("a/b".to_owned()), None, Some("spam"));
        let user = Ban::new(Banned::User(1042), Some(Duration::from_secs(60)), None);
        let over = Ban { until: Some(1), ..Ban::new(Banned::Site("over".to_owned()), None, None) };
        for (ban, group, modes) in
            [(&odd, None, (0o711, 0o644)), (&user, Some(7), (0o2750, 0o640)), (&over, None, (0o711, 0o644))]
        {
            Register::set_at(&bans, ban, group).unwrap();
            let file = bans.join(file_name(&ban.of)).metadata().unwrap();
            let found = (bans.metadata().unwrap().mode() & 0o7777, file.mode() & 0o7777);
            assert_eq!((found, file.gid()), (modes, group.unwrap_or(0)));
        }
        fs::write(bans.join("site-by-hand"), "").unwrap();
        let register = Register::at(&bans).unwrap().unwrap();
        assert_eq!(register.read(&odd.of).unwrap(), Some(odd.clone()));
        let listed: Vec<String> = register.list().unwrap().iter().map(|ban| ban.of.to_string()).collect();
        assert_eq!(listed, ["site a/b", "site by-hand", "site over", "uid 1042"]);
        assert!(register.lift(&odd.of).unwrap() && !register.lift(&odd.of).unwrap());
        assert!(register.read(&over.of).unwrap().is_none(), "what is over is cleared away");
        assert!(register.lift(&user.of).unwrap() && register.lift(&Banned::Site("by-hand".to_owned())).unwrap());
        assert!(!bans.exists(), "nobody pays for bans where there are none");
        fs::create_dir(&bans).unwrap();
        fs::set_permissions(&bans, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(Register::at(&bans).unwrap_err().kind, Kind::NoPermission);
    }
}
