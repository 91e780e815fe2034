//! The journal as a place of records, for a host that has no record files: what `journalctl` exports.

use std::borrow::Cow;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::line::{Field, Line};
use super::query::Query;
use super::source::LONGEST;
use super::{DIRECTORY, Strange};
use crate::failure::{Failure, Kind};
use crate::{host, process};

/// Where the program is; a search path is the caller's.
const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];

/// How many records are looked at: as many as it gives in some seconds.
const MOST: u64 = 200_000;

/// Where journals are kept, for good and until the host is started again.
const JOURNALS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// The fields by which the journal finds a record at once.
const INDEXED: [(Field, &str); 5] = [
    (Field::Id, "ID"),
    (Field::Site, "SITE"),
    (Field::Relay, "RELAY"),
    (Field::Status, "STATUS"),
    (Field::MessageId, "MESSAGE_ID"),
];

/// One record of the journal.
#[derive(Deserialize)]
struct Exported<'a> {
    #[serde(rename = "MESSAGE", borrow)]
    message: Message<'a>,
    /// Who sent it, as the kernel says.
    #[serde(rename = "_UID", borrow)]
    uid: Option<Cow<'a, str>>,
}

/// A text, or its octets where the journal takes it for none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Octets(Vec<u8>),
}

/// Gives the records that `query` means to `each`, the newest first, until it breaks off.
///
/// # Errors
/// `Unavailable`: there is no journal, or `uid` may not read it.
pub(super) fn newest(
    uid: u32,
    query: &Query,
    strange: &Strange,
    each: &mut dyn FnMut(&Line<'_>) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let read = read(uid, query, strange, each);
    // Where files are kept, whoever has none has sent nothing.
    if read.is_err() && Path::new(DIRECTORY).is_dir() { Ok(()) } else { read }
}

fn read(
    uid: u32,
    query: &Query,
    strange: &Strange,
    each: &mut dyn FnMut(&Line<'_>) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let failed = |why: &str| {
        let hint = format!("sudo install -d -m 1733 {DIRECTORY}: from then on every message is recorded there");
        Failure::new(Kind::Unavailable, DIRECTORY, format!("there are no record files, and {why}")).hint(hint)
    };
    let is_there = |path: &&str| Path::new(path).exists();
    let Some(program) = PROGRAMS.into_iter().find(is_there).filter(|_| JOURNALS.iter().any(is_there)) else {
        return Err(failed("this host has no journal"));
    };
    let mut child = start(program, query).map_err(|error| failed(&format!("journalctl does not start: {error}")))?;
    let mut reader = BufReader::new(child.stdout.take().ok_or_else(|| failed("journalctl says nothing"))?);
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        match reader.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        count += 1;
        if count > MOST {
            strange.cut(MOST);
            end(&mut child);
            return Ok(());
        }
        if give(uid, &line, query, strange, each).is_break() {
            end(&mut child);
            return Ok(());
        }
    }
    match child.wait() {
        Ok(status) if status.success() || count > 0 => Ok(()),
        _ => Err(failed("the journal cannot be read")),
    }
}

fn start(program: &str, query: &Query) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.args(["-t", "mailchute", "-o", "json", "--output-fields=MESSAGE,_UID", "-a", "-r", "-q", "--no-pager"]);
    let seconds = |moment: i64| format!("@{}", moment.div_euclid(1000));
    command.args(query.since.iter().flat_map(|since| ["--since".to_owned(), seconds(*since)]));
    command.args(query.until.iter().flat_map(|until| ["--until".to_owned(), seconds(*until + 1000)]));
    for (field, value) in query.exact() {
        let name = INDEXED.iter().find(|(indexed, _)| *indexed == field).map(|(_, name)| name);
        command.args(name.map(|name| format!("MAILCHUTE_{name}={value}")));
    }
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if host::is_privileged() {
        command.gid(nix::unistd::getgid().as_raw());
    }
    process::spawn(&mut command)
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn give(
    uid: u32,
    exported: &[u8],
    query: &Query,
    strange: &Strange,
    each: &mut dyn FnMut(&Line<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Ok(exported) = serde_json::from_slice::<Exported<'_>>(exported) else {
        strange.torn();
        return ControlFlow::Continue(());
    };
    let octets = match &exported.message {
        Message::Text(text) => text.as_bytes(),
        Message::Octets(octets) => octets,
    };
    let Some(line) = Line::read(octets) else {
        // Other lines of ours are no records: the flusher's, what a unit says.
        return ControlFlow::Continue(());
    };
    let sender = exported.uid.as_deref().and_then(|uid| uid.parse().ok());
    if !query.is_for(&line) || uid != 0 && sender != Some(u64::from(uid)) {
        return ControlFlow::Continue(());
    }
    // Anybody may write there under our name.
    if line.number(Field::Uid) != sender {
        strange.forged();
        return ControlFlow::Continue(());
    }
    each(&line)
}
