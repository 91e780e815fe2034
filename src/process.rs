//! Processes that this program starts, and what it leaves behind when it is one of them.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Child, Command};

use nix::sys::signal::SigSet;
use nix::unistd::{close, getgid, getpgrp, getpid, setsid};

use crate::host;

/// The highest descriptor that is closed where procfs does not tell which are open.
const DESCRIPTORS: i32 = 1024;

/// This very program once more, whatever has become of its file meanwhile.
const SELF: &str = "/proc/self/exe";

/// A call of this program, whose words are still to be given: the one that has its name by now, or where an upgrade
/// has taken that away, this one. The name is nothing to go by where a set-group-id binary has a group to lose: its
/// caller may have run it by a link of its own.
///
/// # Errors
/// procfs does not tell which program this is.
pub fn again() -> io::Result<Command> {
    let program = std::env::current_exe()?;
    if !host::is_privileged() && program.exists() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(SELF);
    command.arg0("mailchute");
    Ok(command)
}

/// Starts `command` with no signal blocked: std hands on the mask of this thread, in which those are
/// blocked that another thread of ours answers, and the program could not be stopped by them. Whatever is not
/// [`again`] runs without the group of a set-group-id binary, which exec would leave to it.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    if host::is_privileged() && command.get_program() != SELF {
        command.gid(getgid().as_raw());
    }
    let ours = SigSet::thread_get_mask()?;
    SigSet::empty().thread_set_mask()?;
    // std waits for a child that could not become the program, and insists on a status that nobody keeps where the
    // caller has SIGCHLD ignored.
    let child = panic::catch_unwind(AssertUnwindSafe(|| command.spawn()));
    ours.thread_set_mask()?;
    child.unwrap_or_else(|_| Err(io::Error::other("it did not start")))
}

/// Leaves the session of whoever started this process, and closes every descriptor but the first three. False, and
/// nothing is done: it leads a process group, as a shell's jobs do, and such a one can lead no session.
pub fn leave() -> bool {
    let has_left = getpgrp() != getpid() && setsid().is_ok();
    if has_left {
        close_others();
    }
    has_left
}

/// Closes every descriptor but the first three.
fn close_others() {
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let open = fs::read_dir("/proc/self/fd").map(|entries| entries.filter_map(number).collect::<Vec<i32>>());
    for descriptor in open.unwrap_or_else(|_| (3..DESCRIPTORS).collect()).into_iter().filter(|fd| *fd > 2) {
        let _ = close(descriptor);
    }
}
