//! A process apart from root's terminal, for what runs as a less trusted user.
//!
//! The parent stays root's, keeps the terminal and passes text and signals on; the child has a session of its own,
//! pipes where the parent has the terminal, and nothing else. There is no fork without exec in safe Rust, so the child
//! is this program again, with the same words.

use std::io::{self, IsTerminal as _, Read, Write, stderr, stdin, stdout};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Stdio};

use nix::unistd::Pid;

use crate::door::signals;
use crate::failure::{Failure, Kind};
use crate::process;

/// Whether this process is apart, or could be made so: then it has no terminal, controls none, and has closed every
/// descriptor but the first three.
pub(super) fn is_apart() -> bool {
    !stdin().is_terminal() && !stdout().is_terminal() && !stderr().is_terminal() && process::leave()
}

/// Runs this program again in a process apart, and returns its status. With `typed`, an option of the command, what
/// is typed at the terminal is passed on.
///
/// # Errors
/// `System`: there is no process to be had, or it did not end by itself.
pub(super) fn run(typed: Option<&str>) -> Result<u8, Failure> {
    let failed = |error: &io::Error| Failure::new(Kind::System, "--as", format!("no process apart: {error}"));
    let mut words = std::env::args_os();
    let mut command = process::again().map_err(|error| failed(&error))?;
    command.arg0(words.next().unwrap_or_else(|| "mailchute".into())).args(words);
    let typed = typed.filter(|_| stdin().is_terminal());
    command.args(typed);
    match (stdin().is_terminal(), typed) {
        (false, _) => {}
        (true, Some(_)) => drop(command.stdin(Stdio::piped())),
        (true, None) => drop(command.stdin(Stdio::null())),
    }
    if stdout().is_terminal() {
        command.stdout(Stdio::piped());
    }
    if stderr().is_terminal() {
        command.stderr(Stdio::piped());
    }
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let status = attend(&mut child).and_then(|()| child.wait());
    if status.is_err() {
        let _ = child.kill();
    }
    let status = status.map_err(|error| failed(&error))?;
    let by_signal = || Failure::new(Kind::System, "--as", format!("ended by signal {}", status.signal().unwrap_or(0)));
    status.code().and_then(|code| u8::try_from(code).ok()).ok_or_else(by_signal)
}

/// Passes everything on until the child has said all it says.
fn attend(child: &mut Child) -> io::Result<()> {
    signals::pass_on(Pid::from_raw(child.id().cast_signed()))?;
    if let Some(pipe) = child.stdin.take() {
        // Left behind when the child ends: it waits for the terminal.
        process::start("input", || pass(stdin().lock(), pipe))?;
    }
    let complaints = child.stderr.take().map(|pipe| process::start("complaints", || pass(pipe, stderr())));
    let complaints = complaints.transpose()?;
    if let Some(pipe) = child.stdout.take() {
        pass(pipe, stdout());
    }
    if let Some(complaints) = complaints {
        let _ = complaints.join();
    }
    Ok(())
}

/// Passes text on as it comes. A reader that went away keeps nobody from saying the rest.
fn pass(mut from: impl Read, mut to: impl Write) {
    let mut octets = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut octets) {
        let _ = to.write_all(&octets[..count]).and_then(|()| to.flush());
    }
}
