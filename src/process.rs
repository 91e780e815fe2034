//! This process and those that it starts: what it needs to work, what it keeps from them, and what it leaves behind when
//! it is one of them.

use std::ffi::OsStr;
use std::fs;
use std::hint::black_box;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, OnceLock};
use std::thread;

use nix::errno::Errno;
use nix::libc::O_CLOEXEC;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{SysconfVar, close, getgid, getpgrp, getpid, setsid, sysconf};

use crate::host;

/// The highest descriptor that is closed where procfs does not tell which are open.
const DESCRIPTORS: i32 = 1024;

/// The stack that each thread has, in octets.
const STACK: usize = 2 << 20;

/// What a failure takes to be told and recorded, in octets.
const SPARE: usize = 1 << 20;

/// A limit on the stack, in octets, below which the program does not work on it: of what is usual, an eighth.
const SMALL: u64 = 1 << 20;

/// Runs the program where the stack is large enough for it, whatever limit the caller has set: that of a thread is not
/// under it. It costs a system call where the limit is the usual one.
/// `None`: it has ended without a result.
pub fn with_enough_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Option<T> {
    if getrlimit(Resource::RLIMIT_STACK).is_ok_and(|(soft, _)| soft >= SMALL) {
        return Some(run());
    }
    let mut run = Some(run);
    let result = SigSet::thread_get_mask().ok().and_then(|ours| {
        // What is sent to the process is for the thread that does the work, which is to answer it.
        SigSet::all().thread_set_mask().ok()?;
        let result = thread::scope(|scope| {
            let work = || {
                let _ = ours.thread_set_mask();
                run.take().map(|run| run())
            };
            start_in(scope, "main", work).ok()?.join().ok()?
        });
        let _ = ours.thread_set_mask();
        result
    });
    // Where there is no thread to be had, the stack may be enough.
    result.or_else(|| Some(run.take()?()))
}

/// Starts `work` on a thread called `name` that may outlive its starter, with a stack that neither a limit nor
/// `RUST_MIN_STACK` chooses.
///
/// # Errors
/// There is no room for its stack and for what is said beside it, or no thread is to be had.
pub fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    with_room_for_a_stack(|| builder(name).spawn(work))
}

/// Starts `work` as [`start`] does, on a thread that ends before `scope`.
///
/// # Errors
/// As [`start`].
pub fn start_in<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<thread::ScopedJoinHandle<'scope, T>> {
    with_room_for_a_stack(|| builder(name).spawn_scoped(scope, work))
}

fn builder(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK)
}

/// Starts a thread where enough is left beside it. One at a time: two that saw the same room would take it twice.
fn with_room_for_a_stack<T>(start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock();
    match has_room(STACK + SPARE) {
        true => start(),
        false => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Whether there is room for `octets` more where the caller has set a limit on the memory of its processes. Nothing
/// catches an allocation that fails later on: the program would end by a signal.
pub fn has_room(octets: usize) -> bool {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    let limit = *LIMIT.get_or_init(|| {
        getrlimit(Resource::RLIMIT_AS).ok().map(|(soft, _)| soft).filter(|limit| *limit != RLIM_INFINITY)
    });
    let Some(limit) = limit else { return true };
    // Asked for on trial, the room would be missing for that moment to what another thread asks for in earnest.
    match size() {
        Some(size) => limit.saturating_sub(size) >= octets as u64,
        None => {
            let mut room: Vec<u8> = Vec::new();
            let is_there = room.try_reserve_exact(octets).is_ok();
            // What nobody looks at is never asked for.
            black_box(room);
            is_there
        }
    }
}

/// What counts against the limit on the memory of this process, in octets; `None`: procfs does not tell. Nothing is
/// allocated for the answer.
fn size() -> Option<u64> {
    let mut text = [0; 128];
    let read = fs::File::open("/proc/self/statm").ok()?.read(&mut text).ok()?;
    let pages: u64 = str::from_utf8(&text[..read]).ok()?.split(' ').next()?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    pages.checked_mul(u64::try_from(page).ok()?)
}

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
/// It gets no descriptor that this process inherited, but the first three, and leaves no core file: what it prints may
/// be a secret.
///
/// # Errors
/// As [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    if host::is_privileged() && command.get_program() != SELF {
        command.gid(getgid().as_raw());
    }
    let ours = SigSet::thread_get_mask()?;
    // std waits for a child that could not become the program, and insists on a status that nobody keeps where the
    // caller has SIGCHLD ignored; and on directories that close.
    let child = panic::catch_unwind(AssertUnwindSafe(|| {
        close_inherited();
        // As late as can be: a signal that comes before the mask is back ends this process without a word.
        SigSet::empty().thread_set_mask()?;
        command.spawn()
    }));
    ours.thread_set_mask()?;
    child.unwrap_or_else(|_| {
        let own = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path.map(OsStr::to_owned));
        let path = own.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        Err(match is_found(command.get_program(), &path) {
            true => io::Error::other("it did not start"),
            false => io::ErrorKind::NotFound.into(),
        })
    })
}

/// Whether there is a file for `program`, looked for in the directories of `path` where its name has none.
pub fn is_found(program: &OsStr, path: &OsStr) -> bool {
    match program.as_encoded_bytes().contains(&b'/') {
        true => Path::new(program).is_file(),
        false => std::env::split_paths(path).any(|directory| directory.join(program).is_file()),
    }
}

/// How a process ended.
pub enum Ended {
    /// With this status.
    With(ExitStatus),
    /// Nobody kept the status: whoever started this process has SIGCHLD ignored.
    Somehow,
}

/// How `child` ended; `None`: it has not yet. Nothing is waited for.
///
/// # Errors
/// As [`Child::try_wait`].
pub fn ended(child: &mut Child) -> io::Result<Option<Ended>> {
    match child.try_wait() {
        Ok(status) => Ok(status.map(Ended::With)),
        Err(error) if error.raw_os_error() == Some(Errno::ECHILD as i32) => Ok(Some(Ended::Somehow)),
        Err(error) => Err(error),
    }
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
    for descriptor in descriptors().unwrap_or_else(|| (3..DESCRIPTORS).collect()) {
        let _ = close(descriptor);
    }
}

/// Closes the descriptors but the first three that whoever started this process left open. What is opened here is closed
/// in every program that is started, and nobody else's is.
fn close_inherited() {
    for descriptor in descriptors().unwrap_or_default() {
        let of = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap_or_default();
        let flags = of.lines().find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        if flags.is_some_and(|flags| flags & O_CLOEXEC == 0) {
            let _ = close(descriptor);
        }
    }
}

/// The open descriptors but the first three; `None` where procfs does not tell.
fn descriptors() -> Option<Vec<i32>> {
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let open = fs::read_dir("/proc/self/fd").ok()?;
    Some(open.filter_map(number).filter(|descriptor| *descriptor > 2).collect())
}
