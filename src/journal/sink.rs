//! Where log records go: the journal, syslog, standard error, a file.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::Record;
use crate::config::LogTarget;
use crate::failure::{Failure, Kind};
use crate::host;

const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
const SYSLOG_SOCKET: &str = "/dev/log";
const IDENTIFIER: &str = "mailchute";
/// Facility mail (RFC 5424 6.2.1).
const FACILITY: u8 = 2;
/// Log files: the owner writes, the group reads.
const FILE_MODE: u32 = 0o640;

/// Writes `record` to every target; without targets to the journal, else to syslog, else nowhere.
///
/// # Errors
/// The targets that were named and failed, one failure each (kind `CannotCreate` or `Io`); the rest
/// have been written all the same.
pub fn write(record: &Record, targets: &[LogTarget]) -> Result<(), Vec<Failure>> {
    let line = record.line();
    if targets.is_empty() {
        if to_journal(record, &line).is_err() {
            let _ = to_syslog(record, &line);
        }
        return Ok(());
    }
    let failures: Vec<Failure> = targets
        .iter()
        .filter_map(|target| {
            let (what, result) = match target {
                LogTarget::Journal => (JOURNAL_SOCKET.to_owned(), to_journal(record, &line)),
                LogTarget::Syslog => (SYSLOG_SOCKET.to_owned(), to_syslog(record, &line)),
                LogTarget::Stderr => ("stderr".to_owned(), to_stderr(&line)),
                LogTarget::File(template) => {
                    let path = file_path(template, record);
                    (path.display().to_string(), to_file(&path, &line))
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
fn to_journal(record: &Record, line: &str) -> io::Result<()> {
    send(JOURNAL_SOCKET, || journal_fields(record, line))
}

fn journal_fields(record: &Record, line: &str) -> String {
    let (severity, identifier) = (record.severity(), identifier(record));
    format!("PRIORITY={severity}\nSYSLOG_FACILITY={FACILITY}\nSYSLOG_IDENTIFIER={identifier}\nMESSAGE={line}\n")
}

fn identifier(record: &Record) -> &str {
    record.tag.as_deref().unwrap_or(IDENTIFIER)
}

/// The local form of RFC 3164, which every syslog daemon reads from its socket.
fn to_syslog(record: &Record, line: &str) -> io::Result<()> {
    send(SYSLOG_SOCKET, || {
        let priority = FACILITY * 8 + record.severity();
        let time = host::now().strftime("%b %e %H:%M:%S");
        let (identifier, pid) = (identifier(record), std::process::id());
        format!("<{priority}>{time} {identifier}[{pid}]: {line}")
    })
}

/// A daemon that does not read must not hold the caller: what cannot be sent at once is not sent. The
/// datagram is made only where there is a socket to send it to.
fn send(socket: &str, datagram: impl FnOnce() -> String) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.connect(socket)?;
    sender.set_nonblocking(true)?;
    sender.send(datagram().as_bytes()).map(drop)
}

fn to_stderr(line: &str) -> io::Result<()> {
    let mut line = line.to_owned();
    line.push('\n');
    io::stderr().write_all(line.as_bytes())
}

/// `{user}` and `{site}` filled in; a slash in either cannot lead elsewhere.
fn file_path(template: &str, record: &Record) -> PathBuf {
    let part = |name: Option<&str>| name.unwrap_or("unknown").replace('/', "_").replace("..", "_");
    let user = record.user.clone().unwrap_or_else(|| record.uid.to_string());
    PathBuf::from(template.replace("{user}", &part(Some(&user))).replace("{site}", &part(record.site.as_deref())))
}

fn to_file(path: &Path, line: &str) -> io::Result<()> {
    let mut line = line.to_owned();
    line.push('\n');
    open(path)?.write_all(line.as_bytes())
}

/// Opens for appending, without following a link; a new file gets its mode whatever the umask. Never
/// waits: a FIFO nobody reads is an error.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mut options = OpenOptions::new();
    options.append(true).mode(FILE_MODE).custom_flags(flags);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_files_a_record_under_our_name_or_the_callers_tag() {
        let mut record = Record::new(1000);
        record.finish(150, std::time::Duration::ZERO);
        let head = "PRIORITY=3\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=";
        assert_eq!(journal_fields(&record, "{}"), format!("{head}mailchute\nMESSAGE={{}}\n"));
        record.tag = Some("news".into());
        assert_eq!(journal_fields(&record, "{}"), format!("{head}news\nMESSAGE={{}}\n"));
        assert!(!record.line().contains("news"), "argv tells it already");
    }
}
