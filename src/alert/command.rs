//! An alert by a program, which gets the facts as JSON on standard input.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Setback, TIME};
use crate::attempt::Attempt;
use crate::caller;
use crate::config::alert::Alert;
use crate::deadline::{Deadline, seconds};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::process::{self, Ended};
use crate::reply::printable;

/// How often it is looked at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// What is quoted of its standard error, in bytes.
const QUOTED: usize = 200;
/// What is read of it, in octets.
const SAID: usize = 4096;

/// Runs `words` without a shell, in a small environment, and gives it `facts`, which fit a pipe.
///
/// Where the caller has SIGCHLD ignored, the system keeps no exit status: then it counts as told when it has ended.
///
/// # Errors
/// It cannot be run, fails, or takes too long: then it is killed with all it started, and may have done its work.
pub(super) fn run(alert: &Alert, words: &[String], facts: &[u8], attempt: &mut Attempt) -> Result<(), Setback> {
    let program = words.first().map_or("", String::as_str);
    let failed = |kind, why: String| Failure::new(kind, format!("command {program}"), why);
    let uid = nix::unistd::getuid().as_raw();
    if alert.owner.is_some_and(|owner| owner != uid) {
        // Root may send as every site; nobody may have root run a program.
        return Err(failed(Kind::NoPermission, "is run for nobody but whoever owns its file".to_owned()).into());
    }
    let mut command = Command::new(program);
    command.args(&words[1..]).current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    if host::is_privileged() {
        command.gid(nix::unistd::getgid().as_raw());
    }
    caller::small_environment(&mut command);
    attempt.hand_over.begin(&alert.name)?;
    let child = process::spawn(&mut command).map_err(|error| {
        attempt.hand_over.end();
        failed(Kind::Configuration, format!("cannot be run: {error}"))
    })?;
    let mut child = Running(child);
    if let Some(mut pipe) = child.0.stdin.take() {
        // One that reads nothing is none the worse for it.
        let _ = pipe.write_all(facts).and_then(|()| pipe.write_all(b"\n"));
    }
    let (ended, said) =
        child.wait(attempt.deadline.within(TIME)).map_err(|error| failed(Kind::Io, error.to_string()))?;
    let Some(ended) = ended else {
        let failure = failed(Kind::InDoubt, format!("took longer than {}, and was ended", seconds(TIME)));
        return Err(failure.into());
    };
    attempt.hand_over.end();
    match ended {
        Ended::With(status) if !status.success() => {
            let first = said.split(|octet| *octet == b'\n').next().unwrap_or_default();
            let said = printable(first, QUOTED);
            let colon = if said.is_empty() { "" } else { ": " };
            Err(failed(Kind::Unavailable, format!("failed ({status}){colon}{said}")).into())
        }
        Ended::With(_) | Ended::Somehow => Ok(()),
    }
}

/// The program while it runs. Killed with all it started when dropped before its end.
struct Running(Child);

impl Running {
    /// Waits for its end, and what it says meanwhile; `None`: not by `deadline`.
    fn wait(&mut self, deadline: Deadline) -> io::Result<(Option<Ended>, Vec<u8>)> {
        let mut said = Vec::new();
        loop {
            let ended = process::ended(&mut self.0)?;
            while self.has_said() {
                let mut octets = [0; SAID];
                let count = self.0.stderr.as_mut().map_or(Ok(0), |pipe| pipe.read(&mut octets))?;
                let room = SAID - said.len();
                said.extend_from_slice(&octets[..count.min(room)]);
                if count == 0 || deadline.is_over() {
                    self.0.stderr = None;
                }
            }
            match ended {
                Some(_) => return Ok((ended, said)),
                None if deadline.is_over() => return Ok((None, said)),
                None => thread::sleep(LOOK.min(deadline.left())),
            }
        }
    }

    fn has_said(&self) -> bool {
        let Some(pipe) = &self.0.stderr else { return false };
        let mut polled = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(process::ended(&mut self.0), Ok(None)) {
            // Nobody has waited for it yet, so the number is still its own.
            let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}
