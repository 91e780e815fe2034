//! Where log records go: the journal, syslog, standard error, a file.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use super::file::{self, Rights, Took};
use super::{Record, record_file, stderr};
use crate::config::LogTarget;
use crate::failure::{Failure, Kind};
use crate::host;

const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
const SYSLOG_SOCKET: &str = "/dev/log";
const IDENTIFIER: &str = "mailchute";
/// Facility mail (RFC 5424 6.2.1).
const FACILITY: u8 = 2;

/// What a record that is too large for a datagram is tried with, in octets.
const DATAGRAMS: [usize; 3] = [64 << 10, 16 << 10, 4 << 10];
/// The most that syslog daemons take of one record, where they are left as they are; the rest is cut off, unread.
const SYSLOG_LINE: usize = 8000;

/// Writes `record` to every target; without targets to the journal, else to syslog, and to the record file where this
/// host has the directory for it, in which what is older than `keep` goes.
///
/// # Errors
/// The targets that were named and failed, one failure each (kind `CannotCreate` or `Io`); the rest
/// have been written all the same.
pub fn write(record: &Record, targets: &[LogTarget], keep: Duration) -> Result<(), Vec<Failure>> {
    if targets.is_empty() {
        let _ = record_file::append(record.uid, &record.line(), keep);
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
        let mut fields = format!("PRIORITY={severity}\nSYSLOG_FACILITY={FACILITY}\nSYSLOG_IDENTIFIER={IDENTIFIER}\n");
        for (name, value) in record.index() {
            let _ = writeln!(fields, "MAILCHUTE_{name}={value}");
        }
        fields + "MESSAGE=" + &line + "\n"
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
    let (file, _) = file::open(path, Rights::User(nix::unistd::getuid().as_raw()))?;
    match file::append(&file, line)? {
        Took::All => Ok(()),
        Took::Torn => Err(io::ErrorKind::WriteZero.into()),
    }
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
        record.finish(150, Duration::ZERO);
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
