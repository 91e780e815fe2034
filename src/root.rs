//! The files of a host, seen from its root directory or from a copy of it elsewhere (`--root DIR`).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
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

    /// Reads a regular file of at most `limit` octets and tells its owner and mode.
    ///
    /// # Errors
    /// As [`modes::read`]; `Unsupported` where the system cannot keep links within a directory (Linux before 5.6).
    pub fn read(&self, path: &Path, limit: usize) -> io::Result<(Zeroizing<Vec<u8>>, Modes)> {
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
        let found = File::from(found.map_err(io::Error::from)?);
        use_it(Path::new(&format!("/proc/self/fd/{}", found.as_raw_fd())))
    }
}

/// As if the directory were the root directory; `/proc/self/fd` and its like lead nowhere.
const RESOLVE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

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
