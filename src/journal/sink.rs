//! Where log records go: the journal, syslog, standard error, a file.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::{Record, stderr};
use crate::config::LogTarget;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes::Modes;

const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
const SYSLOG_SOCKET: &str = "/dev/log";
const IDENTIFIER: &str = "mailchute";
/// Facility mail (RFC 5424 6.2.1).
const FACILITY: u8 = 2;
/// Log files: the owner writes, the group reads.
const FILE_MODE: u32 = 0o640;
/// What root may have given to a group that shares the file.
const SHARED_MODE: u32 = 0o660;

/// What a record that is too large for a datagram is tried with, in octets.
const DATAGRAMS: [usize; 3] = [64 << 10, 16 << 10, 4 << 10];
/// The most that syslog daemons take of one record, where they are left as they are; the rest is cut off, unread.
const SYSLOG_LINE: usize = 8000;

/// Writes `record` to every target; without targets to the journal, else to syslog, else nowhere.
///
/// # Errors
/// The targets that were named and failed, one failure each (kind `CannotCreate` or `Io`); the rest
/// have been written all the same.
pub fn write(record: &Record, targets: &[LogTarget]) -> Result<(), Vec<Failure>> {
    if targets.is_empty() {
        if to_journal(record).is_err() {
            let _ = to_syslog(record);
        }
        return Ok(());
    }
    let failures: Vec<Failure> = targets
        .iter()
        .filter_map(|target| {
            let (what, result) = match target {
                LogTarget::Journal => (JOURNAL_SOCKET.to_owned(), to_journal(record)),
                LogTarget::Syslog => (SYSLOG_SOCKET.to_owned(), to_syslog(record)),
                LogTarget::Stderr => ("stderr".to_owned(), to_stderr(&record.line())),
                LogTarget::File(template) => {
                    let path = file_path(template, record);
                    (path.display().to_string(), to_file(&path, &record.line()))
                }
            };
            let error = result.err()?;
            let kind = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Kind::CannotCreate,
                _ => Kind::Io,
            };
            Some(Failure::new(kind, what, format!("cannot write the log record: {error}")))
        })
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// The journal's native protocol: a field a line; JSON holds no line end, so no field needs the binary
/// form.
fn to_journal(record: &Record) -> io::Result<()> {
    let severity = record.severity();
    send(JOURNAL_SOCKET, usize::MAX, |limit| {
        let line = record.line_within(limit);
        format!("PRIORITY={severity}\nSYSLOG_FACILITY={FACILITY}\nSYSLOG_IDENTIFIER={IDENTIFIER}\nMESSAGE={line}\n")
    })
}

/// The local form of RFC 3164, which every syslog daemon reads from its socket.
fn to_syslog(record: &Record) -> io::Result<()> {
    let priority = FACILITY * 8 + record.severity();
    send(SYSLOG_SOCKET, SYSLOG_LINE, |limit| {
        let time = host::now().strftime("%b %e %H:%M:%S");
        format!("<{priority}>{time} {IDENTIFIER}[{}]: {}", std::process::id(), record.line_within(limit))
    })
}

/// Sends what `datagram` makes within a number of octets. It is made only where there is a socket to send it to.
fn send(socket: &str, most: usize, datagram: impl Fn(usize) -> String) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.connect(socket)?;
    // A daemon that does not read must not hold the caller: what cannot be sent at once is not sent.
    sender.set_nonblocking(true)?;
    send_shrinking(&sender, most, datagram)
}

/// A datagram that is too large for its socket is made smaller, and never dropped.
fn send_shrinking(sender: &UnixDatagram, most: usize, datagram: impl Fn(usize) -> String) -> io::Result<()> {
    let mut result = sender.send(datagram(most).as_bytes());
    for limit in DATAGRAMS.into_iter().filter(|limit| *limit < most) {
        match &result {
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {
                result = sender.send(datagram(limit).as_bytes());
            }
            _ => break,
        }
    }
    result.map(drop)
}

fn to_stderr(line: &str) -> io::Result<()> {
    let mut line = line.to_owned();
    line.push('\n');
    stderr::write(line.as_bytes())
}

/// `{user}` and `{site}` filled in.
fn file_path(template: &str, record: &Record) -> PathBuf {
    let user = record.user.clone().unwrap_or_else(|| record.uid.to_string());
    let site = record.site.as_deref().unwrap_or("unknown");
    PathBuf::from(template.replace("{user}", &file_name(&user)).replace("{site}", &file_name(site)))
}

/// `name` as part of a file's name. It cannot lead elsewhere, and no two names have the same.
fn file_name(name: &str) -> String {
    let part = |(at, c)| match c {
        '/' | '%' | '\0' => format!("%{:02X}", u32::from(c)),
        '.' if at == 0 => "%2E".to_owned(),
        c => String::from(c),
    };
    name.char_indices().map(part).collect()
}

fn to_file(path: &Path, line: &str) -> io::Result<()> {
    let mut line = line.to_owned();
    line.push('\n');
    open(path)?.write_all(line.as_bytes())
}

/// Opens for appending, without following a link; a new file gets its mode whatever the umask. Never
/// waits: a FIFO nobody reads is an error.
///
/// Whoever has made the file reads what stands in it, and may write something else there: so it is this user's or
/// root's, under no other name, with no more rights than a file made here, but for the group that root gave it to.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mut options = OpenOptions::new();
    options.append(true).mode(FILE_MODE).custom_flags(flags);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            return Ok(file);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let file = options.open(path)?;
    let found = file.metadata()?;
    let allowed = if found.uid() == 0 { SHARED_MODE } else { FILE_MODE };
    let is_owned = [0, nix::unistd::getuid().as_raw()].contains(&found.uid());
    if !found.is_file() || !is_owned || found.nlink() != 1 || found.mode() & 0o7777 & !allowed != 0 {
        let modes = Modes::of(&found);
        return Err(io::Error::other(format!("is not this user's or root's alone ({modes})")));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;

    #[test]
    fn a_datagram_that_is_too_large_is_sent_smaller() {
        let (sender, receiver) = UnixDatagram::pair().expect("sockets");
        setsockopt(&sender, sockopt::SndBuf, &(20 << 10)).expect("a small buffer");
        let mut record = Record::new(1000);
        record.to = vec!["x".repeat(1000); 100];
        record.finish(150, std::time::Duration::ZERO);
        assert!(record.line().len() > 64 << 10);
        send_shrinking(&sender, usize::MAX, |limit| record.line_within(limit)).expect("a record");
        let mut octets = [0; 64 << 10];
        let length = receiver.recv(&mut octets).expect("a record");
        let read: serde_json::Value = serde_json::from_slice(&octets[..length]).expect("JSON");
        assert_eq!(read["exit"], 150);
    }

    #[test]
    fn no_two_names_share_a_file_and_none_leads_elsewhere() {
        let names = ["a/b", "a_b", "a%2Fb", "..", "../x", "%2E.", ".", "a.b", "a"];
        let files: Vec<String> = names.into_iter().map(file_name).collect();
        assert_eq!(files, ["a%2Fb", "a_b", "a%252Fb", "%2E.", "%2E.%2Fx", "%252E.", "%2E", "a.b", "a"]);
    }
}
