//! A secret that a program prints.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use zeroize::Zeroizing;

use super::{LIMIT, Secret};
use crate::deadline::seconds;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::reply;

/// How long the program may take where the deadline leaves more.
pub(super) const TIME: Duration = Duration::from_secs(10);

/// What the program left behind: exit status, standard output, standard error.
type Output = (ExitStatus, Zeroizing<Vec<u8>>, Vec<u8>);

/// Runs `words` without a shell, with nothing to read, and takes the first line it prints.
///
/// # Errors
/// `Configuration` when it cannot be run, fails or prints no text (the first line of its standard error
/// is quoted), `Unavailable` when it takes longer than `time`: then it is killed with all it started.
pub(super) fn run(words: &[String], time: Duration) -> Result<Secret, Failure> {
    let (program, arguments) = words.split_first().map_or(("", words), |(p, a)| (p.as_str(), a));
    let failed = |kind, why: String| Failure::new(kind, format!("command {program}"), why);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if host::is_privileged() {
        command.gid(nix::unistd::getgid().as_raw());
    }
    let child = spawn(&mut command).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(Kind::Configuration, "cannot be run: no such program".into()),
        _ => failed(Kind::Configuration, format!("cannot be run: {error}")),
    })?;
    let group = Pid::from_raw(child.id().cast_signed());
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(collect(child)));
    let Ok(output) = wait.recv_timeout(time) else {
        // Nobody has waited for it yet, so the number is still its own.
        let _ = killpg(group, Signal::SIGKILL);
        return Err(failed(Kind::Unavailable, format!("printed no secret within {}", seconds(time))));
    };
    let (status, stdout, stderr) = output.map_err(|e| failed(Kind::Io, e.to_string()))?;
    if !status.success() {
        let said = stderr.split(|b| *b == b'\n').next().unwrap_or_default();
        let why = match reply::printable(said, 200) {
            said if said.trim().is_empty() => format!("failed ({status}) and said nothing on standard error"),
            said => format!("failed ({status}): {said}"),
        };
        return Err(failed(Kind::Configuration, why));
    }
    if stdout.len() > LIMIT {
        return Err(failed(Kind::Configuration, "printed more than 64 KB".into()));
    }
    let line = stdout.split(|b| *b == b'\n').next().unwrap_or_default();
    super::text(line.strip_suffix(b"\r").unwrap_or(line), &format!("what command {program} prints"))
}

/// Starts `command` with no signal blocked: std hands on the mask of this thread, in which those are
/// blocked that another thread of ours answers, and the program could not be stopped by them.
fn spawn(command: &mut Command) -> io::Result<Child> {
    let ours = SigSet::thread_get_mask()?;
    SigSet::empty().thread_set_mask()?;
    let child = command.spawn();
    ours.thread_set_mask()?;
    child
}

fn collect(mut child: Child) -> io::Result<Output> {
    let stderr = child.stderr.take();
    let errors = thread::spawn(move || bounded(stderr, 4096));
    let stdout = Zeroizing::new(bounded(child.stdout.take(), LIMIT + 1)?);
    let status = child.wait()?;
    let errors = errors.join().unwrap_or_else(|_| Ok(Vec::new()))?;
    Ok((status, stdout, errors))
}

/// The first `limit` octets; then the pipe is closed.
fn bounded(pipe: Option<impl Read>, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(limit);
    if let Some(pipe) = pipe {
        pipe.take(limit as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
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
    fn a_program_that_hangs_is_killed_with_its_children() {
        let failure = shell("exec 3>&1; cat /dev/zero >/dev/null & wait", Duration::from_millis(50)).unwrap_err();
        assert_eq!(failure.kind, Kind::Unavailable);
    }
}
