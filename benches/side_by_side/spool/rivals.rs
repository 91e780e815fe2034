//! Debian's nullmailer and Postfix, set up to keep messages and to hand them to one server.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use testkit::apart;

use super::Ground;
use crate::launcher::Program;
use crate::server::{PASSWORD, USER};

/// nullmailer, unpacked and not installed.
pub(super) struct Nullmailer {
    root: PathBuf,
    env: Vec<(&'static str, std::ffi::OsString)>,
}

impl Nullmailer {
    /// Its directories; `None`: it is not there.
    pub(super) fn prepare(ground: &Ground<'_>) -> Result<Option<Self>> {
        let Some(root) = ground.tools.nullmailer.clone() else { return Ok(None) };
        // Whose rights the binary takes.
        let owner = fs::metadata(root.join("usr/sbin/nullmailer-queue"))?.uid();
        for name in ["queue", "tmp", "failed"] {
            let directory = Path::new("/var/spool/nullmailer").join(name);
            fs::create_dir_all(&directory)?;
            chown(directory, Some(owner), None)?;
        }
        fs::create_dir_all("/etc/nullmailer")?;
        fs::write("/etc/mailname", "bench.example\n")?;
        // By which the one that keeps wakes the one that sends.
        mkfifo("/var/spool/nullmailer/trigger", Mode::from_bits_truncate(0o622))?;
        let libraries = crate::tools::libraries(&root);
        let env = libraries.map(|dir| ("LD_LIBRARY_PATH", dir.into_os_string())).into_iter().collect();
        Ok(Some(Self { root, env }))
    }

    /// What keeps a message, with the file that it reads: the envelope stands above the message.
    pub(super) fn keeper(&self, ground: &Ground<'_>, message: &Path) -> Result<(Program, PathBuf)> {
        let path = ground.dir.join("nullmailer.message");
        let text = fs::read_to_string(message)?;
        fs::write(&path, format!("{USER}\nreader1@recipient.example\n\n{text}"))?;
        Ok((Program { argv: vec![self.root.join("usr/sbin/nullmailer-queue").into()], env: self.env.clone() }, path))
    }

    /// Starts to send what waits to the server at `port`.
    pub(super) fn send(&self, ground: &Ground<'_>, port: u16) -> Result<Child> {
        let bundle = ground.bundle.display();
        let remote =
            format!("localhost smtp --port={port} --ssl --user={USER} --pass='{PASSWORD}' --x509cafile={bundle}\n");
        fs::write("/etc/nullmailer/remotes", remote)?;
        // The programs that speak SMTP have their place in the binary.
        let layers = format!("lowerdir={}:/usr/lib", self.root.join("usr/lib").display());
        let laid = apart("mount").args(["-t", "overlay", "overlay", "-o", &layers, "/usr/lib"]).status()?;
        ensure!(laid.success(), "nullmailer's programs cannot be laid over /usr/lib");
        let log = fs::File::create(ground.dir.join("nullmailer.log"))?;
        let mut command = apart(self.root.join("usr/sbin/nullmailer-send"));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("nullmailer-send")
    }
}

/// A Postfix with a configuration and a queue of its own, which hands everything to one server.
pub(super) struct Postfix {
    dir: PathBuf,
}

impl Postfix {
    /// Its files, for a server at `port`; `None`: it is not there.
    pub(super) fn prepare(ground: &Ground<'_>, port: u16) -> Result<Option<Self>> {
        if ground.tools.postfix.is_none() {
            return Ok(None);
        }
        let dir = ground.dir.join("postfix");
        for name in ["etc", "queue", "data"] {
            fs::create_dir_all(dir.join(name))?;
        }
        chown(dir.join("data"), Some(super::id("postfix")), None)?;
        let (root, bundle) = (dir.display(), ground.bundle.display());
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {root}/queue\ndata_directory = {root}/data\n\
             maillog_file = {root}/mail.log\nmaillog_file_prefixes = {root}\nmyhostname = bench.example\n\
             mydestination =\nalias_maps =\nalias_database =\ninet_interfaces = loopback-only\n\
             inet_protocols = ipv4\nrelayhost = [127.0.0.1]:{port}\ndefer_transports = smtp\n\
             smtp_tls_security_level = encrypt\nsmtp_tls_wrappermode = yes\nsmtp_tls_CAfile = {bundle}\n\
             smtp_sasl_auth_enable = yes\nsmtp_sasl_tls_security_options =\nsmtp_sasl_security_options =\n\
             smtp_sasl_password_maps = inline:{{ {{[127.0.0.1]:{port} = {USER}:{PASSWORD}}} }}\n"
        );
        fs::write(dir.join("etc/main.cf"), main)?;
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
             tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nflush unix n - n 1000? 0 flush\n\
             proxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\nretry unix - - n - - error\n\
             error unix - - n - - error\nscache unix - - n - 1 scache\nshowq unix n - n - - showq\n\
             postlog unix-dgram n - n - 1 postlogd\n";
        fs::write(dir.join("etc/master.cf"), services)?;
        let this = Self { dir };
        // The first start makes the directories of the queue.
        this.tell("postfix", &["start"])?;
        this.tell("postfix", &["stop"])?;
        Ok(Some(this))
    }

    /// Runs one of its commands.
    pub(super) fn tell(&self, program: &str, words: &[&str]) -> Result<()> {
        let mut command = apart(program);
        command.arg("-c").arg(self.dir.join("etc")).args(words);
        // A daemon that kept our pipes would keep whoever reads our output waiting.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().with_context(|| program.to_owned())?;
        ensure!(status.success(), "{program} {words:?} failed: {}", self.log());
        Ok(())
    }

    /// The last thing that it logged.
    pub(super) fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join("mail.log")).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
    }

    /// What keeps a message.
    pub(super) fn keeper(&self, ground: &Ground<'_>) -> Program {
        let sendmail = ground.tools.postfix.clone().unwrap_or_default();
        let argv = vec![sendmail.into(), "-t".into(), "-i".into(), "-f".into(), USER.into()];
        Program { argv, env: vec![("MAIL_CONFIG", self.dir.join("etc").into())] }
    }

    /// Starts it, has what was submitted deferred, and makes ready to hand it over.
    pub(super) fn settle(&self, count: usize) -> Result<()> {
        self.tell("postfix", &["start"])?;
        let end = Instant::now() + Duration::from_secs(120);
        while files(&self.dir.join("queue/deferred")) < count {
            ensure!(Instant::now() < end, "Postfix deferred {} messages", files(&self.dir.join("queue/deferred")));
            std::thread::sleep(Duration::from_millis(20));
        }
        self.tell("postconf", &["-e", "defer_transports="])?;
        self.tell("postfix", &["reload"])
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.tell("postfix", &["stop"]);
    }
}

/// How many files there are below a directory.
fn files(directory: &Path) -> usize {
    let Ok(found) = fs::read_dir(directory) else { return 0 };
    let count = |entry: fs::DirEntry| if entry.path().is_dir() { files(&entry.path()) } else { 1 };
    found.filter_map(Result::ok).map(count).sum()
}
