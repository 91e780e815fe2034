//! Who calls: the process that runs us, as far as the operating system vouches for it.

mod job;
mod processes;
mod provenance;

use std::path::{Path, PathBuf};
use std::process::Command;

use directories::BaseDirs;
use nix::unistd::User;

pub use provenance::{Provenance, parent};

use crate::host;

/// The caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The real uid: the boundary of trust.
    pub uid: u32,
    /// The real gid.
    pub gid: u32,
    /// The name of that uid, where the passwd database has one.
    pub user: Option<String>,
    /// The home directory of the passwd entry; never `$HOME`.
    pub home: Option<PathBuf>,
    /// The working directory, links resolved, where there is one.
    pub cwd: Option<PathBuf>,
}

impl Caller {
    /// The process that runs us. Nothing of it has to exist: not the passwd entry, not the directory.
    pub fn current() -> Self {
        let uid = nix::unistd::getuid();
        let gid = nix::unistd::getgid();
        let entry = User::from_uid(uid).ok().flatten();
        Self {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            user: entry.as_ref().map(|e| e.name.clone()),
            home: entry.map(|e| e.dir).filter(|dir| dir.is_absolute()),
            cwd: std::env::current_dir().ok(),
        }
    }

    /// A place of the caller's own, seen from the passwd home: where `which` puts it, or `usual` below the
    /// home. `None` without a home, and for a privileged process: what a caller keeps decides nothing there.
    pub fn own(&self, which: fn(&BaseDirs) -> Option<&Path>, usual: &str) -> Option<PathBuf> {
        let home = self.home.as_ref().filter(|_| !host::is_privileged())?;
        let relative = BaseDirs::new()
            .and_then(|dirs| Some(which(&dirs)?.strip_prefix(dirs.home_dir()).ok()?.to_owned()))
            .unwrap_or_else(|| PathBuf::from(usual));
        Some(home.join(relative))
    }
}

/// Where programs are found by whoever has no `PATH` of their own.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Gives `command`, a program of the user's that this process is about to start, an environment of that user's: as it
/// is, but for what a web site's visitor has put into it; or where this process stands in for the user
/// ([`host::stands_in`]), or has rights that its caller has not, a small one, as cron gives it.
pub fn own_environment(command: &mut Command) {
    if host::stands_in() || host::is_privileged() {
        small_environment(command);
    } else if REQUEST.iter().any(|name| std::env::var_os(name).is_some()) {
        // A header field `Proxy` of a request would be the proxy that a program goes through.
        let fields = std::env::vars_os().map(|(name, _)| name);
        fields.filter(|name| name.as_encoded_bytes().starts_with(b"HTTP_")).for_each(|name| {
            command.env_remove(name);
        });
    }
}

/// Gives `command` a small environment, as cron gives it: nothing of this process's own.
pub fn small_environment(command: &mut Command) {
    let Caller { uid, user, home, .. } = Caller::current();
    let name = user.unwrap_or_else(|| uid.to_string());
    command.env_clear().env("PATH", PATH).env("SHELL", "/bin/sh").env("USER", &name).env("LOGNAME", &name);
    command.env("HOME", home.unwrap_or_else(|| PathBuf::from("/")));
}

/// What is set where a web server has started a program for a request (RFC 3875 4.1).
const REQUEST: [&str; 2] = ["REQUEST_METHOD", "GATEWAY_INTERFACE"];
