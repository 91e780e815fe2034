//! The test message, sent through the files that were written, as those who send: never with what is in memory.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use super::ask::say;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::process;

/// The words of `mailchute test`.
pub(super) fn words(user: Option<&str>, to: &str, configuration: Option<&Path>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["test".into(), "--to".into(), to.into()];
    if let Some(path) = configuration {
        words.extend(["--config".into(), path.into()]);
    }
    if let Some(user) = user {
        words.extend(["--as".into(), user.into()]);
    }
    words
}

/// Sends it as `user`, or as whoever runs this, tells what came of it in a line, and returns the status.
///
/// # Errors
/// `System`: the program does not run.
pub(super) fn send(user: Option<&str>, to: &str, configuration: Option<&Path>) -> Result<u8, Failure> {
    let failed = |error: std::io::Error| Failure::new(Kind::System, "test", format!("cannot be run: {error}"));
    let mut command = process::again().map_err(failed)?;
    command.args(words(user, to, configuration)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = process::spawn(&mut command).map_err(failed)?;
    let (mut dialogue, mut complaints) = (String::new(), String::new());
    // It writes little to standard error, and after what it writes to standard output.
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut dialogue).map_err(failed)?;
    }
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut complaints).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    let status = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
    let who = user.unwrap_or("root");
    if status == exit::OK {
        say(&format!("test as {who}: accepted"));
    } else {
        say(&format!("test as {who}: not sent, exit status {status}"));
        complaints.lines().filter(|line| !line.is_empty()).for_each(|line| say(&format!("   {line}")));
    }
    Ok(status)
}

/// Has a person grant what the relay needs, for `user`.
///
/// # Errors
/// As [`send`].
pub(super) fn log_in(user: Option<&str>, configuration: Option<&Path>) -> Result<u8, Failure> {
    let failed = |error: std::io::Error| Failure::new(Kind::System, "login", format!("cannot be run: {error}"));
    let mut command = process::again().map_err(failed)?;
    command.arg("login");
    if let Some(path) = configuration {
        command.arg("--config").arg(path);
    }
    if let Some(user) = user {
        command.args(["--as", user]);
    }
    let status = process::spawn(&mut command).and_then(|mut child| child.wait()).map_err(failed)?;
    let status = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(status.unwrap_or_else(|| exit::of_kind(&Kind::System, Scheme::Reply)))
}
