//! A directory of one test's own.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use nix::sys::stat::{Mode, umask};

/// A temporary directory, removed on drop. Everybody may enter it, so that a test which gives up its
/// uid still can.
pub struct Scratch(tempfile::TempDir);

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// A fresh directory.
    pub fn new() -> Self {
        // The tests' directories are as this says, whatever who runs them prefers.
        static UMASK: Once = Once::new();
        UMASK.call_once(|| {
            umask(Mode::from_bits_truncate(0o022));
        });
        let directory =
            tempfile::Builder::new().prefix("mailchute-test-").tempdir_in(place()).expect("a temporary directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its mode");
        Self(directory)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of `name` in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file with this mode, directories on the way included. What may be executed can be at once.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a directory in the scratch directory");
        }
        match mode & 0o111 {
            0 => fs::write(&path, contents).expect("a file in the scratch directory"),
            _ => write_program(&path, contents.as_ref()),
        }
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        path
    }

    /// The contents of a file as text; empty when there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.join(name)).unwrap_or_default()
    }
}

/// Where scratch directories are: where the system has temporary files, unless its name is one that a program of others
/// cannot be told. Many of them cut a command line at blanks.
fn place() -> PathBuf {
    let place = std::env::temp_dir();
    let is_plain = |name: &str| name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"/._-+".contains(&octet));
    if place.to_str().is_some_and(is_plain) { place } else { PathBuf::from("/tmp") }
}

/// Writes by way of another process. A process that a thread of ours starts meanwhile inherits the files that are
/// open for writing here, until it executes something else, and what is open for writing cannot be executed.
fn write_program(path: &Path, contents: &[u8]) {
    let mut writer = Command::new("tee");
    let mut writer = writer.arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("tee");
    writer.stdin.take().expect("piped").write_all(contents).expect("a program in the scratch directory");
    assert!(writer.wait().expect("tee").success(), "{} cannot be written", path.display());
}
