//! Who calls: the process that runs us, as far as the operating system vouches for it.

use std::path::PathBuf;

/// The caller. `explain --as USER --cwd DIR` makes one for somebody else.
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
    /// The binary runs with a group of its own (set-group-id): the environment, `--config` and the
    /// user's file do not count.
    pub privileged: bool,
}
