//! The files of a host, seen from its root directory or from a copy of it elsewhere (`--root DIR`).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};
use crate::modes::{self, Modes};

/// Where absolute paths begin. Nothing below another directory leads out of it: links are followed as a process sees
/// them whose root directory that is.
#[derive(Debug)]
pub struct Root {
    /// The copy; `None`: the host itself.
    copy: Option<(PathBuf, OwnedFd)>,
}

impl Root {
    /// This host.
    pub const fn host() -> Self {
        Self { copy: None }
    }

    /// A copy of a host's files in `directory`; the host itself without one.
    ///
    /// # Errors
    /// `NoInput`: it is no directory that can be opened.
    pub fn at(directory: Option<&Path>) -> Result<Self, Failure> {
        let Some(directory) = directory else { return Ok(Self::host()) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, directory, flags, Mode::empty()) {
            Ok(opened) => Ok(Self { copy: Some((directory.to_owned(), opened)) }),
            Err(error) => {
                let why = format!("cannot be opened as a directory: {}", io::Error::from(error));
                Err(Failure::new(Kind::NoInput, directory.display().to_string(), why))
            }
        }
    }

    /// Whether it is the host itself, so that what is known of the host beside its files is true of it.
    pub fn is_host(&self) -> bool {
        self.copy.is_none()
    }

    /// Reads a regular file of at most `limit` octets and tells its owner and mode. Root follows no link of a user's to
    /// what is not that user's: it would hand over what only root can read.
    ///
    /// # Errors
    /// As [`modes::read`]; `Unsupported` where the system cannot keep links within a directory (Linux before 5.6).
    pub fn read(&self, path: &Path, limit: usize) -> io::Result<(Zeroizing<Vec<u8>>, Modes)> {
        if self.is_host() && geteuid().is_root() {
            let found = follow(path)?;
            return modes::read(&reached(&found), limit);
        }
        self.with(path, |place| modes::read(place, limit))
    }

    /// What is there, links followed.
    ///
    /// # Errors
    /// It is not there, or cannot be reached.
    pub fn metadata(&self, path: &Path) -> io::Result<fs::Metadata> {
        self.with(path, |place| fs::metadata(place))
    }

    /// Whether a regular file is there.
    pub fn has_file(&self, path: &Path) -> bool {
        self.metadata(path).is_ok_and(|found| found.is_file())
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// It is none, or cannot be read.
    pub fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut names: Vec<_> = self
            .with(path, |place| fs::read_dir(place)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>())?;
        names.sort_unstable();
        Ok(names)
    }

    /// What the link at `path` says, as it is.
    ///
    /// # Errors
    /// It is no link, or cannot be reached.
    pub fn link(&self, path: &Path) -> io::Result<PathBuf> {
        let Some((_, root)) = &self.copy else { return fs::read_link(path) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::openat2(root, path, flags, Mode::empty(), RESOLVE)?;
        let said = rustix::fs::readlinkat(&found, "", Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(said.into_bytes())))
    }

    /// Calls `use_it` with a path at which this process reaches what is at `path`.
    fn with<T>(&self, path: &Path, use_it: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let Some((_, root)) = &self.copy else { return use_it(path) };
        let found = rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), RESOLVE);
        use_it(&reached(&found.map_err(io::Error::from)?))
    }
}

/// Where this process reaches what it holds.
fn reached(found: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// What is at `path`, every link on the way followed, unless a link leads there that is neither root's nor of whose file
/// it is. What is looked at is what is returned, whatever its owners move meanwhile.
fn follow(path: &Path) -> io::Result<OwnedFd> {
    let open = |at: BorrowedFd<'_>, name: &OsStr| {
        rustix::fs::openat(at, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    };
    let mut here = open(CWD, OsStr::new("."))?;
    let mut ahead: Vec<OsString> = names(path);
    let mut laid_by = Vec::new();
    while let Some(name) = ahead.pop() {
        let found = open(here.as_fd(), &name)?;
        let stat = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            here = found;
            continue;
        }
        laid_by.push(stat.st_uid);
        if laid_by.len() > LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
        ahead.extend(names(Path::new(OsStr::from_bytes(target.as_bytes()))));
    }
    let owner = rustix::fs::fstat(&here)?.st_uid;
    match laid_by.into_iter().find(|uid| ![0, owner].contains(uid)) {
        None => Ok(here),
        Some(uid) => Err(io::Error::other(format!("a link of uid {uid}'s leads there, to a file of uid {owner}'s"))),
    }
}

/// The names in `path`, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
}

/// How many links lead to a file at most, as for the system.
const LINKS: usize = 40;

/// As if the directory were the root directory; `/proc/self/fd` and its like lead nowhere.
const RESOLVE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    #[test]
    fn root_follows_no_link_of_a_users_to_what_is_not_that_users() {
        if !geteuid().is_root() {
            return;
        }
        const ANN: u32 = 61_042;
        const BOB: u32 = 61_043;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        for (name, uid) in [("root", 0), ("ann", ANN), ("sub/bob", BOB)] {
            fs::write(at(name), name).unwrap();
            chown(at(name), Some(uid), None).unwrap();
        }
        let absolute = at("ann").display().to_string();
        let read = |path: &Path| Root::host().read(path, 100).map(|(octets, _)| octets.to_vec());
        for (target, link, uid, is_read) in [
            ("ann", "roots-to-ann", 0, true),
            ("root", "roots-to-root", 0, true),
            ("ann", "anns-to-ann", ANN, true),
            ("../ann", "sub/anns-up", ANN, true),
            (&absolute, "anns-absolute", ANN, true),
            ("root", "anns-to-root", ANN, false),
            ("sub/bob", "anns-to-bob", ANN, false),
            ("anns-to-ann", "bobs-to-anns", BOB, false),
            ("anns-to-bob", "roots-to-anns-to-bob", 0, false),
            ("sub", "anns-directory", ANN, true),
            ("again", "again", 0, false),
        ] {
            symlink(target, at(link)).unwrap();
            lchown(at(link), Some(uid), None).unwrap();
            assert_eq!(link == "anns-directory" || read(&at(link)).is_ok(), is_read, "{link}");
        }
        assert_eq!(read(&at("anns-directory/anns-up")).unwrap(), b"ann");
        assert!(read(&at("anns-directory/bob")).is_err(), "a link to a directory leads on");
        assert_eq!(read(&at("sub/../ann")).unwrap(), b"ann");
        assert_eq!(read(&at("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read(&at("ann/below")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn no_link_leaves_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::write(&outside, "outside").unwrap();
        let copy = dir.path().join("copy");
        fs::create_dir_all(copy.join("etc/sub")).unwrap();
        fs::write(copy.join("etc/real"), "inside").unwrap();
        for (target, link) in [
            ("/etc/real", "etc/absolute"),
            ("../../../../../../etc/real", "etc/sub/up"),
            (outside.to_str().unwrap(), "etc/out"),
            ("../../outside", "etc/beside"),
            ("/proc/self/root/etc/passwd", "etc/magic"),
            ("/etc/sub", "etc/directory"),
        ] {
            symlink(target, copy.join(link)).unwrap();
        }
        let root = Root::at(Some(&copy)).unwrap();
        let read = |path: &str| root.read(Path::new(path), 100).map(|(octets, _)| octets.to_vec());
        for path in ["/etc/real", "etc/real", "/etc/absolute", "/etc/sub/up", "/etc/directory/up", "/../etc/real"] {
            assert_eq!(read(path).expect(path), b"inside", "{path}");
        }
        for path in ["/etc/out", "/etc/beside", "/etc/magic", "/etc/nothing", "/etc/sub"] {
            assert!(read(path).is_err(), "{path}");
        }
        assert_eq!(root.list(Path::new("/etc/directory")).unwrap(), ["up"]);
        assert_eq!(root.link(Path::new("/etc/absolute")).unwrap(), Path::new("/etc/real"));
        assert!(root.link(Path::new("/etc/real")).is_err());
        assert!(root.has_file(Path::new("/etc/absolute")) && !root.has_file(Path::new("/etc/sub")));
        assert!(!root.is_host() && Root::host().is_host());
        assert_eq!(Root::at(Some(&outside)).unwrap_err().kind, Kind::NoInput);
    }
}
