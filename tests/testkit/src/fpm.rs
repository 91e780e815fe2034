//! A php-fpm of a test's own.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{PATIENCE, Scratch, apart, need};

/// PHP-FPM pools; they end on drop.
pub struct Fpm {
    child: Child,
    client: PathBuf,
    scratch: Scratch,
    log: Mutex<mpsc::Receiver<String>>,
}

impl Fpm {
    /// Starts the pools, each a name, a uid and a `sendmail_path`, with one worker each; needs root. `None`: not
    /// installed.
    pub fn start(scratch: Scratch, pools: &[(&str, u32, &str)]) -> Option<Self> {
        let client = need("cgi-fcgi")?;
        let program = installed()?;
        let mut config = "[global]\nerror_log = /proc/self/fd/2\ndaemonize = no\n".to_owned();
        for (name, uid, sendmail_path) in pools {
            let _ = write!(
                config,
                "[{name}]\nuser = {uid}\ngroup = {uid}\nlisten = {}\npm = static\npm.max_children = 1\n\
                 catch_workers_output = yes\nphp_admin_value[sendmail_path] = {sendmail_path}\n",
                scratch.join(name).display()
            );
        }
        let config = scratch.write("fpm.conf", config, 0o644);
        let mut child = apart(program)
            .args(["-n", "-F", "-R", "-y"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("php-fpm starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, log) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let fpm = Self { child, client, scratch, log: Mutex::new(log) };
        fpm.wait_for("ready to handle connections");
        Some(fpm)
    }

    /// The first line of the log that holds `text`.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for(&self, text: &str) -> String {
        let mut before = String::new();
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => before = before + &line + "\n",
                Err(error) => panic!("php-fpm did not say {text:?} ({error}) but:\n{before}"),
            }
        }
    }

    /// The body of the pool's answer to this script.
    pub fn request(&self, pool: &str, script: &str) -> String {
        let file = self.scratch.write("page.php", format!("<?php {script}"), 0o644);
        self.answer(pool, &file)
    }

    /// The body of the pool's answer when `file` is asked for.
    ///
    /// # Panics
    /// The client cannot be started.
    pub fn answer(&self, pool: &str, file: &Path) -> String {
        let output = apart(&self.client)
            .args(["-bind", "-connect"])
            .arg(self.scratch.join(pool))
            .env("REQUEST_METHOD", "GET")
            .env("SCRIPT_FILENAME", file)
            .stdin(Stdio::null())
            .output()
            .expect("cgi-fcgi runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(text)
    }

    /// Its directory.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        // Not SIGKILL, which the workers would survive.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// Debian puts the version into the name.
fn installed() -> Option<PathBuf> {
    let programs = std::fs::read_dir("/usr/sbin").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let is_fpm = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"));
    programs.into_iter().find(is_fpm).or_else(|| need("php-fpm"))
}
