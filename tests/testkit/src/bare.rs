//! Hides from a run what this machine's own mailchute would read, and from this machine what a run of root's would keep.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Once;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, User};

use crate::peers::missing;

/// Where nothing is made that a later run would find.
const KEPT: &str = "/var/lib";

/// Starts `command` where there is neither a configuration nor an alias of this machine's, and nothing remembered. A
/// test with a [`Host`](crate::Host) of its own has seen to that itself.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let found = found();
    if found.is_empty() && !Uid::current().is_root() || is_on_a_host() {
        return command.spawn();
    }
    // The thread has the namespace, the process inherits it.
    let started = thread::scope(|scope| {
        let started = scope.spawn(|| {
            let _cover = cover(&found).inspect_err(|error| warn(&found, error));
            command.spawn()
        });
        started.join()
    });
    started.expect("a thread that does not panic")
}

/// What of it there is.
fn found() -> Vec<PathBuf> {
    let everywhere = ["/etc/mailchute", "/etc/aliases", "/var/lib/mailchute", "/var/spool/mailchute"];
    let mut paths = Vec::from(everywhere.map(PathBuf::from));
    let user = User::from_uid(Uid::current()).ok().flatten();
    paths.extend(user.map(|user| user.dir.join(".config/mailchute")));
    paths.retain(|path| path.exists());
    paths
}

/// Whether this thread has a mount namespace of its own already.
fn is_on_a_host() -> bool {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/mnt")).ok();
    namespace("thread-self") != namespace("self")
}

/// Lays something empty over each of `paths`, for this thread. What is laid over them lives on in the namespace.
fn cover(paths: &[PathBuf]) -> io::Result<tempfile::TempDir> {
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    let empty = tempfile::tempdir()?;
    for (number, path) in paths.iter().enumerate() {
        let place = empty.path().join(number.to_string());
        match path.is_dir() {
            true => fs::create_dir(&place)?,
            false => fs::write(&place, "")?,
        }
        mount(Some(&place), path, nothing, MsFlags::MS_BIND, nothing)?;
    }
    mount(Some(KEPT), KEPT, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)?;
    let only_read = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(nothing, KEPT, nothing, only_read, nothing)?;
    Ok(empty)
}

fn warn(paths: &[PathBuf], error: &io::Error) {
    static ONCE: Once = Once::new();
    let mut paths: Vec<_> = paths.iter().map(|path| Path::display(path).to_string()).collect();
    paths.push(KEPT.to_owned());
    ONCE.call_once(|| missing(&format!("hiding {} from the tests takes root ({error})", paths.join(", "))));
}
