//! The programs in the ring, and the command line and configuration that make each send the same message.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::launcher::Program;
use crate::server::{LAST_LINE, PASSWORD, USER};
use crate::tools::Tools;

/// A program to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Mailchute,
    /// The same with routes, a backup relay and a spool configured, none of which the message needs.
    Equipped,
    Msmtp,
    Lettre,
    Curl,
    /// Sends nothing: what starting and ending a process costs.
    True,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mailchute => "mailchute",
            Self::Equipped => "mailchute, equipped",
            Self::Msmtp => "msmtp",
            Self::Lettre => "naive lettre",
            Self::Curl => "curl",
            Self::True => "/bin/true",
        }
    }

    pub(crate) fn sends(self) -> bool {
        self != Self::True
    }
}

/// Routes that are held against the message, of which the last one is meant.
const ROUTES: &str = "on_relay_failure = \"spool\"\n\
    [[route]]\nsubject = [\"*[Invoice]*\", \"*Order #*\"]\nrelay = \"backup\"\n\
    [[route]]\nfrom = \"*@sender.example\"\nto = \"*@recipient.example\"\nrelay = [\"bench\", \"backup\"]\n";

/// A relay that is never asked.
const BACKUP: &str = "[relay.backup]\nhost = \"backup.example\"\nusername = \"backup\"\npassword = \"backup\"\n";

/// One message to one server: everything a program has to be told.
pub(crate) struct Task {
    dir: PathBuf,
    port: u16,
    starttls: bool,
    bundle: PathBuf,
    recipients: Vec<String>,
    /// Octets of the message once its lines end in CRLF.
    pub(crate) size: usize,
}

impl Task {
    /// Writes the message and the configurations below `dir`.
    pub(crate) fn new(
        dir: &Path,
        port: u16,
        starttls: bool,
        bundle: &Path,
        recipients: usize,
        size: usize,
    ) -> Result<Self> {
        let recipients: Vec<String> = (1..=recipients).map(|n| format!("reader{n}@recipient.example")).collect();
        let message = message(&recipients, size);
        let crlf = message.replace('\n', "\r\n");
        fs::create_dir_all(dir)?;
        fs::write(dir.join("message"), message)?;
        fs::write(dir.join("message.crlf"), &crlf)?;
        let (dir, bundle) = (dir.to_owned(), bundle.to_owned());
        let task = Self { dir, port, starttls, bundle, recipients, size: crlf.len() };
        task.write_private("mailchute.toml", &task.mailchute_toml())?;
        task.write_private("equipped.toml", &(ROUTES.to_owned() + &task.mailchute_toml() + BACKUP))?;
        task.write_private("msmtprc", &task.msmtprc())?;
        Ok(task)
    }

    /// The file a contender gets as its standard input: LF line ends for those that stand in for sendmail, CRLF for
    /// those that leave line ends to their caller.
    pub(crate) fn message(&self, contender: Contender) -> PathBuf {
        match contender {
            Contender::Lettre | Contender::Curl => self.dir.join("message.crlf"),
            _ => self.dir.join("message"),
        }
    }

    /// How to call a contender; `None` when it is not there.
    pub(crate) fn program(&self, contender: Contender, tools: &Tools) -> Option<Program> {
        let mut argv: Vec<OsString> = Vec::new();
        let mut env = vec![("HOME", self.dir.clone().into_os_string())];
        match contender {
            Contender::Mailchute | Contender::Equipped => {
                let config = if contender == Contender::Mailchute { "mailchute.toml" } else { "equipped.toml" };
                argv.extend([env!("CARGO_BIN_EXE_mailchute").into(), "--config".into()]);
                argv.push(self.dir.join(config).into());
                argv.extend(["-t", "-i", "-f", USER].map(OsString::from));
            }
            Contender::Msmtp => {
                argv.extend([tools.msmtp.clone()?.into(), "-C".into(), self.dir.join("msmtprc").into()]);
                argv.extend(["-t", "-i", "-f", USER].map(OsString::from));
                env.extend(tools.libraries.clone().map(|dir| ("LD_LIBRARY_PATH", dir.into())));
            }
            Contender::Lettre => {
                let tls = if self.starttls { "starttls" } else { "implicit" };
                let port = self.port.to_string();
                argv.push(tools.lettre.clone()?.into());
                argv.extend(["localhost", &port, tls, USER, PASSWORD, USER].map(OsString::from));
                argv.extend(self.recipients.iter().map(OsString::from));
                env.push(("SSL_CERT_FILE", self.bundle.clone().into()));
            }
            Contender::Curl => {
                let scheme = if self.starttls { "smtp" } else { "smtps" };
                let url = format!("{scheme}://localhost:{}", self.port);
                argv.push(tools.curl.clone()?.into());
                argv.extend(["-q", "--silent", "--show-error", "--ssl-reqd", "--url", &url].map(OsString::from));
                argv.extend(["--user".into(), format!("{USER}:{PASSWORD}").into(), "--login-options".into()]);
                argv.extend(["AUTH=PLAIN".into(), "--cacert".into(), self.bundle.clone().into()]);
                argv.extend(["--mail-from", USER, "--upload-file", "-"].map(OsString::from));
                argv.extend(self.recipients.iter().flat_map(|to| ["--mail-rcpt".into(), to.into()]));
            }
            Contender::True => argv.push("/bin/true".into()),
        }
        Some(Program { argv, env })
    }

    fn mailchute_toml(&self) -> String {
        format!(
            "[relay.bench]\nhost = \"localhost\"\nport = {}\ntls = \"{}\"\nusername = \"{USER}\"\n\
             password = \"{PASSWORD}\"\nauth = \"plain\"\nca_file = \"{}\"\n",
            self.port,
            if self.starttls { "starttls" } else { "implicit" },
            self.bundle.display(),
        )
    }

    fn msmtprc(&self) -> String {
        format!(
            "account default\nhost localhost\nport {}\ntls on\ntls_starttls {}\ntls_trust_file {}\nauth plain\n\
             user {USER}\npassword {PASSWORD}\nfrom {USER}\n",
            self.port,
            if self.starttls { "on" } else { "off" },
            self.bundle.display(),
        )
    }

    fn write_private(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(())
    }
}

/// A message of about `size` octets with LF line ends, as programs write it to sendmail.
fn message(recipients: &[String], size: usize) -> String {
    let mut text = format!(
        "Date: Sat, 21 Nov 2026 12:00:00 +0000\nFrom: Bench <{USER}>\nTo: {}\nMessage-ID: <1.bench@sender.example>\n\
         Subject: side by side\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n",
        recipients.join(",\n\t"),
    );
    for number in 0.. {
        if text.len() + 77 + LAST_LINE.len() >= size {
            break;
        }
        // 76 octets and a line end: what an encoded attachment looks like.
        let _ = writeln!(text, "{number:08}{:A<68}", "");
    }
    text + LAST_LINE + "\n"
}
