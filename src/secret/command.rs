//! A secret that a program prints.
//!
//! One thread does all of it, and whatever needs memory is made before the program starts: what runs out of threads
//! or memory meanwhile would leave the program behind.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use zeroize::Zeroizing;

use super::{LIMIT, Secret};
use crate::caller;
use crate::deadline::{Deadline, seconds};
use crate::failure::{Failure, Kind};
use crate::process::{self, Ended};
use crate::reply;

/// How long the program may take where the deadline leaves more.
pub(super) const TIME: Duration = Duration::from_secs(10);

/// How much of standard error is kept, in octets.
const SAID: usize = 4096;

/// How long the first and the longest wait before it is asked again whether the program has ended.
const PAUSES: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(20));

/// How many reads empty a pipe that nobody fills any more: the system's are of 64 KB.
const PIPE_READS: usize = 17;

/// The process groups of the programs that run, for [`stop`] alone. Held while one is started, so that none is missing;
/// `None`: none is started any more.
static RUNNING: Mutex<Option<Vec<i32>>> = Mutex::new(Some(Vec::new()));

/// How often [`stop`] looks whether a program that is being started has begun, with the shortest pause between.
const LOOKS: u32 = 10_000;

/// Ends the programs that run with all they started, and has no other start: for whoever ends this process meanwhile.
pub(super) fn stop() {
    for _ in 0..LOOKS {
        let taken = match RUNNING.try_lock() {
            Ok(mut running) => running.take(),
            Err(TryLockError::Poisoned(running)) => running.into_inner().take(),
            // A file system that hangs may never let it begin.
            Err(TryLockError::WouldBlock) => {
                thread::sleep(PAUSES.0);
                continue;
            }
        };
        for group in taken.into_iter().flatten() {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        return;
    }
}

/// Runs `words` without a shell, with nothing to read, and takes the first line it prints. It is done when that line
/// is there and it has exited; what it started may live on, and hold its pipes.
///
/// Where the caller has SIGCHLD ignored, the system keeps no exit status: then what is printed counts.
///
/// # Errors
/// `Configuration` when it cannot be run, fails or prints no text (the first line of its standard error
/// is quoted), `Unavailable` when it takes longer than `time`: then it is killed with all it started.
pub(super) fn run(words: &[String], time: Duration) -> Result<Secret, Failure> {
    let (program, arguments) = words.split_first().map_or(("", words), |(p, a)| (p.as_str(), a));
    let failed = |kind, why: String| Failure::new(kind, format!("command {program}"), why);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    caller::own_environment(&mut command);
    let mut output = Output::new();
    let running = Running::start(&mut command).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(Kind::Configuration, "cannot be run: no such program".into()),
        _ => failed(Kind::Configuration, format!("cannot be run: {error}")),
    })?;
    let status = match running.wait(&mut output, Deadline::after(time)) {
        Ok(Some(ended)) => ended,
        Ok(None) => {
            return Err(failed(Kind::Unavailable, format!("printed no secret within {}", seconds(time))));
        }
        Err(error) => return Err(failed(Kind::Io, error.to_string())),
    };
    let Output { stdout, stderr } = output;
    let said = reply::printable(stderr.split(|b| *b == b'\n').next().unwrap_or_default(), 200);
    if let Ended::With(status) = status
        && !status.success()
    {
        let why = match said.trim() {
            "" => format!("failed ({status}) and said nothing on standard error"),
            _ => format!("failed ({status}): {said}"),
        };
        return Err(failed(Kind::Configuration, why));
    }
    if stdout.len() > LIMIT {
        return Err(failed(Kind::Configuration, "printed more than 64 KB".into()));
    }
    let line = stdout.split(|b| *b == b'\n').next().unwrap_or_default();
    // Where the caller has SIGCHLD ignored, nothing else tells that it failed.
    if line.trim_ascii().is_empty() && !said.trim().is_empty() {
        return Err(failed(Kind::Configuration, format!("printed no secret: {said}")));
    }
    super::text(line.strip_suffix(b"\r").unwrap_or(line), &format!("what command {program} prints"))
}

/// What the program has printed so far.
struct Output {
    /// Standard output, one octet more than a secret may have.
    stdout: Zeroizing<Vec<u8>>,
    stderr: Vec<u8>,
}

impl Output {
    fn new() -> Self {
        Self { stdout: Zeroizing::new(Vec::with_capacity(LIMIT + 1)), stderr: Vec::with_capacity(SAID) }
    }
}

/// The program while it runs. Killed when dropped before its end.
struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    has_ended: bool,
}

impl Running {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut groups = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = groups.as_mut().ok_or(io::ErrorKind::Interrupted)?;
        groups.reserve(1);
        let mut child = process::spawn(command)?;
        groups.push(child.id().cast_signed());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self { child, stdout, stderr, has_ended: false })
    }

    /// Reads what it prints until it has exited and its first line is there; `None`: not by `deadline`.
    fn wait(mut self, output: &mut Output, deadline: Deadline) -> io::Result<Option<Ended>> {
        let (mut pause, longest) = PAUSES;
        let mut ended = None;
        loop {
            // In this order: nothing is printed after the exit but by what it left behind.
            if ended.is_none() {
                ended = self.has_exited()?;
            }
            for _ in 0..PIPE_READS {
                if !self.read(output, Duration::ZERO)? {
                    break;
                }
            }
            match ended {
                Some(Ended::With(status)) if !status.success() => return Ok(ended),
                Some(_) if self.stdout.is_none() || !output.stdout.is_empty() => return Ok(ended),
                _ if deadline.is_over() => return Ok(None),
                _ => {}
            }
            self.read(output, pause.min(deadline.left()))?;
            pause = (pause * 2).min(longest);
        }
    }

    fn has_exited(&mut self) -> io::Result<Option<Ended>> {
        let ended = process::ended(&mut self.child)?;
        if ended.is_some() {
            self.forget();
            self.has_ended = true;
        }
        Ok(ended)
    }

    /// The number of its process group, which it leads.
    fn group(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Takes it out of what [`stop`] ends.
    fn forget(&self) {
        let mut groups = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter_mut().for_each(|groups| groups.retain(|group| *group != self.group()));
    }

    /// Takes what is printed within `time`; `false`: nothing was.
    fn read(&mut self, output: &mut Output, time: Duration) -> io::Result<bool> {
        let pipes = [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)];
        let is_ready = match pipes.map(|pipe| pipe.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN))) {
            [Some(stdout), Some(stderr)] => {
                let mut both = [stdout, stderr];
                wait(&mut both, time)?;
                both.map(|polled| polled.any().unwrap_or(true))
            }
            [Some(stdout), None] => [wait(&mut [stdout], time)?, false],
            [None, Some(stderr)] => [false, wait(&mut [stderr], time)?],
            [None, None] => {
                thread::sleep(time);
                [false, false]
            }
        };
        if is_ready[0] {
            take(&mut self.stdout, &mut output.stdout, LIMIT + 1)?;
            if output.stdout.len() > LIMIT {
                // It may never end.
                self.stdout = None;
            }
        }
        if is_ready[1] {
            take(&mut self.stderr, &mut output.stderr, SAID)?;
        }
        Ok(is_ready != [false, false])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.forget();
            // Nobody has waited for it yet, so the number is still its own.
            let _ = killpg(Pid::from_raw(self.group()), Signal::SIGKILL);
        }
    }
}

/// Whether there is something to read, or an end, within `time`.
fn wait(polled: &mut [PollFd<'_>], time: Duration) -> io::Result<bool> {
    let milliseconds = time.as_micros().div_ceil(1000);
    match poll(polled, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads once and keeps what `bytes` has room for up to `limit`; at its end the pipe is closed.
fn take(pipe: &mut Option<impl Read>, bytes: &mut Vec<u8>, limit: usize) -> io::Result<()> {
    let Some(open) = pipe else { return Ok(()) };
    let mut octets = Zeroizing::new([0; 4096]);
    let count = match open.read(&mut octets[..]) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
        read => read?,
    };
    bytes.extend_from_slice(&octets[..count.min(limit - bytes.len())]);
    if count == 0 {
        *pipe = None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};

    use nix::sys::signal::SigSet;

    use super::*;

    fn shell(script: &str, time: Duration) -> Result<Secret, Failure> {
        run(&["sh".into(), "-c".into(), script.into()], time)
    }

    #[test]
    fn the_first_line_is_the_secret_and_failures_quote_standard_error() {
        assert_eq!(shell("echo 'p w'; echo url: x", TIME).unwrap().expose(), "p w");
        let failure = shell("echo abc; echo 'not in the store' >&2; exit 3", TIME).unwrap_err();
        assert_eq!(failure.to_string(), "command sh: failed (exit status: 3): not in the store");
        let failure = shell("exit 1", TIME).unwrap_err();
        assert_eq!(failure.why, "failed (exit status: 1) and said nothing on standard error");
        let failure = run(&["/nonexistent/pass".into()], TIME).unwrap_err();
        assert_eq!(failure.why, "cannot be run: no such program");
        let failure = shell("echo 'not in the store' >&2", TIME).unwrap_err();
        assert_eq!(failure.why, "printed no secret: not in the store");
        assert!(shell("head -c 100000 /dev/zero; true", TIME).unwrap_err().why.contains("64 KB"));
    }

    #[test]
    fn a_program_starts_with_no_signal_blocked() {
        let set: SigSet = [Signal::SIGTERM].into_iter().collect();
        set.thread_block().unwrap();
        let mask = shell("grep SigBlk: /proc/self/status", TIME).unwrap();
        assert_eq!(mask.expose(), "SigBlk:\t0000000000000000");
        assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM), "ours is as it was");
        set.thread_unblock().unwrap();
    }

    #[test]
    fn what_it_leaves_behind_may_hold_its_pipes() {
        // More than the limit of either pipe is read and left aside.
        for script in [
            "echo s; sleep 60 & exit 0",
            "printf s; sleep 60 & exit 0",
            "sleep 60 >&- & echo s",
            "sleep 60 2>&- & echo s",
            "exec 2>&-; echo s; sleep 60 &",
            "(sleep 0.05; echo s; sleep 60) & exit 0",
            "head -c 9000 /dev/zero >&2; echo s",
        ] {
            let begun = std::time::Instant::now();
            assert_eq!(shell(script, TIME).expect(script).expose(), "s", "{script}");
            assert!(begun.elapsed() < TIME, "{script}");
        }
        let failure = shell("echo s; echo no >&2; sleep 60 & exit 3", TIME).unwrap_err();
        assert_eq!(failure.why, "failed (exit status: 3): no");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        for script in ["exec 3>&1; cat /dev/zero >/dev/null & wait", "echo s; exec >&- 2>&-; sleep 60", "sleep 60 &"] {
            let failure = shell(script, Duration::from_millis(50)).unwrap_err();
            assert_eq!(failure.kind, Kind::Unavailable, "{script}");
        }
    }
    #[test]
    fn of_two_that_run_each_ends_its_own() {
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("60").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
            Running::start(&mut command).unwrap()
        };
        let (first, mut second) = (start(), start());
        let [one, other] = [&first, &second].map(|running| Pid::from_raw(running.group()));
        drop(first);
        assert_eq!(waitpid(one, None), Ok(WaitStatus::Signaled(one, Signal::SIGKILL, false)));
        assert!(second.has_exited().unwrap().is_none());
        drop(second);
        assert_eq!(waitpid(other, None), Ok(WaitStatus::Signaled(other, Signal::SIGKILL, false)));
    }
}
