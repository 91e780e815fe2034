//! A disk of a test's own, in a file: a loop device with a real file system, whose power can be cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::channel::PATIENCE;
use crate::peers::{missing, need, need_mount_namespace};

/// A file system that is made on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4, with its journal.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl FileSystem {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The smallest disk that its program makes one on, in MiB.
    fn size(self) -> u64 {
        match self {
            Self::Ext4 => 16,
            Self::Xfs => 300,
            Self::Btrfs => 128,
        }
    }

    /// Whether it can be made and mounted here; says loudly that the test is skipped otherwise, as
    /// [`need`] does. Inside a [`Host`](crate::Host), after [`Disk::prepare`].
    ///
    /// # Panics
    /// It is required and missing.
    pub fn is_there(self) -> bool {
        let name = self.name();
        if need(&format!("mkfs.{name}")).is_none() {
            return false;
        }
        // As a module it is loaded with the first mount.
        let _ = Command::new("modprobe").arg(name).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let is_known = known.lines().any(|line| line.trim() == name);
        if !is_known {
            missing(&format!("this kernel has no {name}"));
        }
        is_known
    }
}

/// Whether this process may mount file systems from files; says loudly that the test is skipped otherwise, as [`need`]
/// does.
///
/// # Panics
/// It is required and cannot.
pub fn need_disks() -> bool {
    if !need_mount_namespace() {
        return false;
    }
    let found = Command::new("losetup").arg("--find").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let may = found.is_ok_and(|status| status.success());
    if !may {
        missing("this test needs a loop device, and there is none to be had");
    }
    may
}

/// A disk. Only what has reached it survives a [cut](Disk::cut).
#[derive(Clone, Debug)]
pub struct Disk {
    image: PathBuf,
}

impl Disk {
    /// Makes room for disks in memory, in this directory, and shows this thread's namespace the machine's devices.
    ///
    /// # Panics
    /// It cannot.
    pub fn prepare(room: &Path) {
        run("mount", &["-t", "devtmpfs", "devices", "/dev"]);
        fs::create_dir_all(room).expect("a directory");
        run("mount", &["-t", "tmpfs", "room", &room.to_string_lossy()]);
    }

    /// Makes one with an empty file system.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn make(image: PathBuf, system: FileSystem) -> Self {
        fs::File::create(&image).and_then(|file| file.set_len(system.size() << 20)).expect("an image");
        let quiet = if system == FileSystem::Ext4 { "-qF" } else { "-q" };
        let path = image.to_string_lossy().into_owned();
        let place = std::env::var("PATH").unwrap_or_default();
        let made = Command::new(need(&format!("mkfs.{}", system.name())).expect("the program"))
            .args([quiet, &path])
            .env("PATH", format!("{place}:/usr/sbin:/sbin"))
            .stdout(Stdio::null())
            .output()
            .expect("it runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { image }
    }

    /// Mounts it here. The device is let go with the mount.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn mount(&self, place: &Path) {
        run("mount", &["-o", "loop", &self.image.to_string_lossy(), &place.to_string_lossy()]);
    }

    /// What has reached the disk by now, as another one: what the next boot finds after a power cut. Nothing is
    /// written out for it.
    ///
    /// # Panics
    /// There is no room.
    pub fn cut(&self, image: PathBuf) -> Self {
        run("cp", &["--sparse=always", &self.image.to_string_lossy(), &image.to_string_lossy()]);
        Self { image }
    }
}

/// Unmounts what is mounted here.
///
/// # Panics
/// Somebody still uses it.
pub fn unmount(place: &Path) {
    let begun = Instant::now();
    // A process that another test starts has our open files for a moment, until it executes its program.
    while let Err(why) = try_run("umount", &[&place.to_string_lossy()]) {
        assert!(begun.elapsed() < PATIENCE, "{why}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn run(program: &str, words: &[&str]) {
    try_run(program, words).unwrap_or_else(|why| panic!("{why}"));
}

fn try_run(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
