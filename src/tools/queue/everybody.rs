//! Root looks after everybody's messages by a process for each user, which has that user's rights: nothing that a user
//! laid into the spool is opened as root.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use serde::de::DeserializeOwned;

use super::flush;
use super::list::{self, Count};
use super::row::Row;
use super::unknown;
use crate::caller::Caller;
use crate::cli::Resend;
use crate::cli::queue::{Chosen, List, Resolve, Show, Task};
use crate::door;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::journal;
use crate::keep::Place;
use crate::plan::{Choice, Course};
use crate::process;
use crate::spool::{Folder, is_id};

/// The most that one user's process may say, in octets: 100,000 rows have 40 MB.
const SAID: u64 = 1 << 30;

/// Does `task` for everybody.
///
/// # Errors
/// There is no process to be had, or standard output cannot be written.
pub(super) fn run(choice: &Choice, task: &Task) -> Result<u8, Failure> {
    match task {
        Task::List(words) if words.summary => list::print_counts(words, &gather::<Count>(choice, words)?)?,
        Task::List(words) => list::print_rows(words, &rows(choice, words)?, true)?,
        Task::Show(Show { id, message, .. }) => {
            let option: &[&str] = if *message { &["--message"] } else { &[] };
            return for_one(choice, "show", id, option);
        }
        Task::Hold(words) => return chosen(choice, "hold", words),
        Task::Release(words) => return chosen(choice, "release", words),
        Task::Drop(words) => return chosen(choice, "drop", words),
        Task::Flush(words) => {
            let root = Caller::current();
            if let Ok(config) = Course::begin(&root, choice).config() {
                journal::expire(root.uid, config.log_keep);
            }
            return flush::run_for_all(choice, words);
        }
        Task::Resolve(Resolve { id, arrived, again, .. }) => {
            let option: &[&str] = match (arrived, again) {
                (true, _) => &["--arrived"],
                (_, true) => &["--again"],
                _ => &[],
            };
            return for_one(choice, "resolve", id, option);
        }
    }
    Ok(exit::OK)
}

/// The messages that `words` ask for, of all users.
///
/// # Errors
/// There is no process to be had.
pub(super) fn rows(choice: &Choice, words: &List) -> Result<Vec<Row>, Failure> {
    gather(choice, &List { summary: false, ..words.clone() })
}

/// What the processes of all users list. One that fails is told and keeps nobody from the others'.
fn gather<T: DeserializeOwned>(choice: &Choice, words: &List) -> Result<Vec<T>, Failure> {
    let mut options = vec!["list", "--json"];
    options.extend(words.summary.then_some("--summary"));
    options.extend(words.sent.then_some("--sent"));
    for (name, value) in [("--site", &words.site), ("--relay", &words.relay)] {
        options.extend(value.iter().flat_map(|value| [name, value]));
    }
    let mut all = Vec::new();
    for uid in users() {
        let said = ask(choice, uid, &options)?;
        all.extend(said.output.lines().filter_map(|line| serde_json::from_str(line).ok()));
    }
    Ok(all)
}

/// Does `name` to what `words` choose.
fn chosen(choice: &Choice, name: &str, words: &Chosen) -> Result<u8, Failure> {
    let mut status = exit::OK;
    let mut note = |failed: u8| status = if status == exit::OK { failed } else { status };
    if let Some(site) = &words.site {
        for uid in users() {
            note(pass_on(&ask(choice, uid, &[name, "--site", site])?)?);
        }
    }
    for id in &words.ids {
        note(for_one(choice, name, id, &[])?);
    }
    Ok(status)
}

/// Does `name` to the message `id`, whoever's it is.
fn for_one(choice: &Choice, name: &str, id: &str, options: &[&str]) -> Result<u8, Failure> {
    let Some(uid) = owner(id) else { return Ok(super::told(&unknown(id))) };
    let words: Vec<&str> = [name, id].into_iter().chain(options.iter().copied()).collect();
    pass_on(&ask(choice, uid, &words)?)
}

/// What the process of the owner says of the message `id`; `None`: nobody has it.
///
/// # Errors
/// There is no process to be had.
pub(super) fn told_of(choice: &Choice, id: &str) -> Result<Option<String>, Failure> {
    let Some(uid) = owner(id) else { return Ok(None) };
    let said = ask(choice, uid, &["show", id])?;
    Ok((said.status == exit::OK).then_some(said.output))
}

/// Whose the message `id` is.
fn owner(id: &str) -> Option<u32> {
    // Only whether there is such a name: what it is, the owner's process sees.
    let has_it = |directory: &Path| {
        Folder::ALL.iter().any(|folder| directory.join(folder.name()).join(id).symlink_metadata().is_ok())
    };
    directories().into_iter().find(|(_, directory)| is_id(id) && has_it(directory)).map(|(uid, _)| uid)
}

/// Sends messages once more that are done with, whoever's they are.
///
/// # Errors
/// There is no process to be had, or standard output cannot be written.
pub(super) fn resend(choice: &Choice, words: &Resend) -> Result<u8, Failure> {
    let mut options = Vec::new();
    options.extend(words.again.then_some("--again"));
    options.extend(words.to.iter().flat_map(|address| ["--to", address]));
    let mut status = exit::OK;
    for id in &words.ids {
        let one = match owner(id) {
            Some(uid) => pass_on(&ask_for(choice, uid, &["resend", id], &options)?)?,
            None => super::told(&unknown(id)),
        };
        status = if status == exit::OK { one } else { status };
    }
    Ok(status)
}

/// Everybody with a directory in the spool that is theirs.
pub(super) fn users() -> Vec<u32> {
    let mut users: Vec<u32> = directories().into_iter().map(|(uid, _)| uid).collect();
    users.dedup();
    users
}

/// Every directory in the spool that is its user's, by user: one may have several.
pub(in crate::tools) fn directories() -> Vec<(u32, PathBuf)> {
    let Ok(found) = fs::read_dir(Place::Spool.parent()) else { return Vec::new() };
    let owner = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let uid: u32 = name.to_str()?.split('.').next()?.parse().ok()?;
        let of = entry.path().symlink_metadata().ok()?;
        (of.is_dir() && of.uid() == uid).then(|| (uid, entry.path()))
    };
    let mut all: Vec<(u32, PathBuf)> = found.filter_map(Result::ok).filter_map(owner).collect();
    all.sort();
    all
}

/// What a user's process said.
struct Said {
    status: u8,
    output: String,
    complaint: String,
}

/// Runs `mailchute queue` with `words` as the user `uid`.
fn ask(choice: &Choice, uid: u32, words: &[&str]) -> Result<Said, Failure> {
    ask_for(choice, uid, &["queue"], words)
}

/// Runs `mailchute` with the words of `command` and then `words` as the user `uid`.
fn ask_for(choice: &Choice, uid: u32, errand: &[&str], words: &[&str]) -> Result<Said, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Kind::System, format!("uid {uid}"), format!("no process: {error}"));
    let mut command = process::again().map_err(failed)?;
    // Pipes on all sides: then it is apart from root's terminal.
    command.args(choice.config.iter().flat_map(|file| [OsStr::new("--config"), file.as_os_str()]));
    command.args(errand).args(words).args(["--as", &uid.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = process::spawn(&mut command).map_err(failed)?;
    let complaints = child.stderr.take().map(|pipe| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.take(SAID).read_to_end(&mut text);
            text
        })
    });
    let mut output = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(SAID).read_to_end(&mut output).map_err(failed)?;
    }
    let complaint = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let status = child.wait().map_err(failed)?.code().and_then(|code| u8::try_from(code).ok());
    let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
    let status = status.unwrap_or_else(|| exit::of_kind(&Kind::System, exit::Scheme::Reply));
    Ok(Said { status, output: text(output), complaint: text(complaint) })
}

/// Says what a user's process said, and returns its status.
fn pass_on(said: &Said) -> Result<u8, Failure> {
    door::print(&said.output)?;
    for line in said.complaint.lines() {
        door::pass_on(line);
    }
    Ok(said.status)
}
