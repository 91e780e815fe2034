//! A host of a test's own: its `/etc`, `/run`, `/dev`, `/home`, `/var/lib`, `/var/spool` and `/var/log` are the
//! test's, for the test and what it starts.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::channel::PATIENCE;
use crate::peers::{missing, need, need_mount_namespace};
use crate::scratch::Scratch;

/// Brings loopback up: SIOCSIFFLAGS with IFF_UP.
const LOOPBACK: &str = "import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 1))";

/// The view of the file system inside [`Host::run`].
pub struct Host<'a> {
    scratch: &'a Scratch,
}

impl Host<'_> {
    /// Runs `test` on a thread with a mount namespace of its own, where `/etc`, `/run`, `/dev`, `/var/lib`,
    /// `/var/spool` and `/var/log` hold next to nothing and may be written. The accounts are root, `users` (`NAME` and uid, which is the gid
    /// too, at home in `/home/NAME`) and nobody else. Where there
    /// can be no such namespace the test is skipped, loudly.
    ///
    /// # Panics
    /// `test` does, or the namespace cannot be made.
    pub fn run(users: &[(&str, u32)], test: impl FnOnce(&Host<'_>) + Send) {
        if !need_mount_namespace() {
            return;
        }
        // Outlives the namespace, whose mounts it holds.
        let scratch = Scratch::new();
        let inside = || {
            prepare(&scratch, users);
            test(&Host { scratch: &scratch });
        };
        let result = thread::scope(|scope| scope.spawn(inside).join());
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    }

    /// A directory for whatever belongs nowhere else.
    pub fn scratch(&self) -> &Scratch {
        self.scratch
    }

    /// Writes a file of root's with this mode, directories on the way included.
    pub fn write(&self, path: &str, contents: &str, mode: u32) -> PathBuf {
        self.write_as(path, contents, mode, (0, 0))
    }

    /// Writes a file with this mode that belongs to this uid and gid.
    pub fn write_as(&self, path: &str, contents: &str, mode: u32, (uid, gid): (u32, u32)) -> PathBuf {
        let path = PathBuf::from(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a directory");
        }
        fs::write(&path, contents).expect("a file");
        chown(&path, Some(uid), Some(gid)).expect("its owner");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        path
    }

    /// Lays a copy of `binary` into the scratch directory as `root:group` 2755, and makes the directories that are kept
    /// for it as the installation does. Returns where it is.
    pub fn set_group_id(&self, binary: &str, group: u32) -> PathBuf {
        for parent in ["lib/mailchute/tokens", "lib/mailchute/state", "spool/mailchute", "log/mailchute"] {
            close(&Path::new("/var").join(parent), group);
        }
        close(Path::new("/run/mailchute"), group);
        let path = self.scratch().join("mailchute");
        // Not by us: a process that another test starts meanwhile would inherit the open file, and a file that
        // is open for writing cannot be run.
        assert!(Command::new("cp").arg(binary).arg(&path).status().expect("cp").success());
        set(&path, group, 0o2755);
        path
    }

    /// Gives this thread and what it starts a network of its own, in which nothing but loopback is and every port is free;
    /// `false`: that is not to be had here.
    ///
    /// # Panics
    /// Loopback does not come up.
    pub fn leave_network(&self) -> bool {
        if need("python3").is_none() {
            return false;
        }
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            missing(&format!("this test needs a network of its own ({error})"));
            return false;
        }
        assert!(Command::new("python3").args(["-c", LOOPBACK]).status().expect("python3").success(), "loopback");
        true
    }

    /// Listens on a datagram socket that everybody may write to.
    pub fn datagrams(&self, path: &str) -> UnixDatagram {
        if let Some(parent) = Path::new(path).parent() {
            fs::create_dir_all(parent).expect("a directory");
        }
        let socket = UnixDatagram::bind(path).expect("a socket");
        fs::set_permissions(path, Permissions::from_mode(0o666)).expect("its mode");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket
    }
}

/// The processes that see this thread's host and whose command line ends in `words`, which hold no space of their own.
/// Others of the same user belong to other tests, which run beside this one.
pub fn processes(words: &str) -> Vec<i32> {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/mnt")).ok();
    let here = namespace("thread-self");
    let end = words.replace(' ', "\0");
    let is_one = |pid: &String| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.trim_end_matches('\0').ends_with(&end) && namespace(pid) == here
    };
    let all = fs::read_dir("/proc").expect("processes").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    all.filter(is_one).filter_map(|pid| pid.parse().ok()).collect()
}

/// Makes a directory that only the group enters, and the one in it that all of them share.
fn close(parent: &Path, group: u32) {
    fs::create_dir_all(parent.join("shared")).expect("a directory");
    set(&parent.join("shared"), group, 0o2770);
    set(parent, group, 0o3770);
}

fn set(path: &Path, group: u32, mode: u32) {
    chown(path, Some(0), Some(group)).expect("its group");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
}

fn prepare(scratch: &Scratch, users: &[(&str, u32)]) {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).expect("private mounts");
    let lay = |from: &Path, over: &str| {
        mount(Some(from), over, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)
            .unwrap_or_else(|error| panic!("{over}: {error}"));
    };
    // Not `/root`, where the settings of the machine's own mailers are.
    let mut passwd = "root:x:0:0:root:/home/root:/bin/sh\n".to_owned();
    let mut group = "root:x:0:\n".to_owned();
    for (name, uid) in users {
        passwd += &format!("{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n");
        group += &format!("{name}:x:{uid}:\n");
        fs::create_dir_all(scratch.join("home").join(name)).expect("a home");
        chown(scratch.join("home").join(name), Some(*uid), Some(*uid)).expect("its owner");
    }
    scratch.write("etc/passwd", passwd, 0o644);
    scratch.write("etc/group", group, 0o644);
    scratch.write("etc/hosts", "127.0.0.1 localhost\n", 0o644);
    scratch.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n", 0o644);
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let place = scratch.write(&format!("dev/{name}"), "", 0o644);
        lay(&Path::new("/dev").join(name), &place.display().to_string());
    }
    fs::create_dir(scratch.join("dev/pts")).expect("a directory");
    lay(Path::new("/dev/pts"), &scratch.join("dev/pts").display().to_string());
    symlink("pts/ptmx", scratch.join("dev/ptmx")).expect("a link");
    symlink("/proc/self/fd", scratch.join("dev/fd")).expect("a link");
    fs::create_dir(scratch.join("run")).expect("a directory");
    for name in ["home", "var/lib", "var/spool", "var/log"] {
        fs::create_dir_all(scratch.join(name)).expect("a directory");
    }
    // What mailchute looks for in root's home, where a test says that it is `/root`. Python or Node may be installed there.
    fs::create_dir(scratch.join("nothing")).expect("a directory");
    for place in ["/root/.config/mailchute", "/root/.local/state/mailchute"] {
        if Path::new(place).is_dir() {
            lay(&scratch.join("nothing"), place);
        }
    }
    for name in ["dev", "etc", "run", "home", "var/lib", "var/spool", "var/log"] {
        fs::set_permissions(scratch.join(name), Permissions::from_mode(0o755)).expect("its mode");
        lay(&scratch.join(name), &format!("/{name}"));
    }
}
