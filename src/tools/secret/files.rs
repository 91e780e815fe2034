//! Files that have owner, group and mode before they have a name, put in their place in one step.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, geteuid, getgid};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};
use crate::modes::{self, Modes};

/// Writes `content` to `path`, in a directory that is there. Until it is whole it is nobody else's to read, and where
/// nothing is replaced it has no name either: whoever ends this process leaves nothing behind.
///
/// # Errors
/// It cannot be written; `AlreadyExists`: something is there, and nothing is to be replaced.
pub(in crate::tools) fn store(path: &Path, content: &[u8], as_of: &Modes, replace: bool) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fill = |mut file: &File| -> io::Result<()> {
        fchown(file, Some(as_of.uid), Some(as_of.gid))?;
        file.set_permissions(Permissions::from_mode(as_of.mode))?;
        file.write_all(content)?;
        file.sync_all()
    };
    let nameless = || {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::open(above, flags, Mode::RUSR | Mode::WUSR).map(File::from).ok()
    };
    match if replace { None } else { nameless() } {
        Some(file) => {
            fill(&file)?;
            let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, itself, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        }
        None => {
            let new = NamedTempFile::new_in(above)?;
            fill(new.as_file())?;
            match replace {
                true => new.persist(path).map_err(|error| error.error)?,
                false => new.persist_noclobber(path).map_err(|error| error.error)?,
            };
        }
    }
    let is_durable = File::open(above).and_then(|above| above.sync_all());
    if is_durable.is_err() && !replace {
        // It would be there, and be said not to be.
        let _ = fs::remove_file(path);
    }
    is_durable
}

/// A file that is written with others.
pub(in crate::tools) struct Laid {
    /// Where.
    pub(in crate::tools) path: PathBuf,
    /// What is in it.
    pub(in crate::tools) content: Zeroizing<Vec<u8>>,
    /// Whose.
    pub(in crate::tools) as_of: Modes,
    /// Whether it takes the place of what is there.
    pub(in crate::tools) replace: bool,
}

/// Makes the directories, each with its mode, and writes the files in this order: all of them, or nothing. What was made
/// before a failure is taken away, and what was replaced is put back.
///
/// # Errors
/// As [`make_directory`]; `CannotCreate`: a file cannot be written.
pub(in crate::tools) fn lay(directories: &[(PathBuf, u32)], files: &[Laid]) -> Result<(), Failure> {
    let mut made: Vec<&Path> = Vec::new();
    let mut written: Vec<(&Path, Option<Before>)> = Vec::new();
    let failed = |path: &Path, error: &io::Error| {
        Failure::new(Kind::CannotCreate, path.display().to_string(), format!("cannot be written: {error}"))
    };
    let laid = (|| {
        for (path, mode) in directories {
            if make_directory(path, *mode)? {
                made.push(path);
            }
        }
        for Laid { path, content, as_of, replace } in files {
            let before = if *replace { before(path).map_err(|error| failed(path, &error))? } else { None };
            store(path, content, as_of, *replace).map_err(|error| failed(path, &error))?;
            written.push((path, before));
        }
        Ok(())
    })();
    if laid.is_err() {
        for (path, before) in written.into_iter().rev() {
            let _ = match before {
                Some((content, as_of)) => store(path, &content, &as_of, true),
                None => fs::remove_file(path),
            };
        }
        made.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
    }
    laid
}

/// What a file holds, and whose it is.
type Before = (Zeroizing<Vec<u8>>, Modes);

/// What is in a file's place; `None`: there is none.
pub(in crate::tools) fn before(path: &Path) -> io::Result<Option<Before>> {
    match modes::read(path, usize::MAX >> 1) {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whose a configuration is: root's, or of whoever makes one for oneself.
pub(in crate::tools) fn own() -> (u32, u32) {
    (geteuid().as_raw(), if geteuid().is_root() { 0 } else { getgid().as_raw() })
}

/// Makes the directory `path` where it is missing, and sees that nobody but root, or whoever runs this, can change what
/// is in it. Whether it was made.
///
/// # Errors
/// `CannotCreate`: it cannot be made; `NoPermission`: others can change what is in it.
pub(in crate::tools) fn make_directory(path: &Path, mode: u32) -> Result<bool, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Kind::CannotCreate, path.display().to_string(), format!("cannot be made: {error}"))
    };
    let is_new = match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
            true
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed(error)),
    };
    let found = path.metadata().map_err(failed)?;
    let own = geteuid().as_raw();
    if ![0, own].contains(&found.uid()) || found.mode() & 0o022 != 0 {
        let whose = if own == 0 { "root" } else { "you" };
        let why = format!("others than {whose} can change what is in it ({})", Modes::of(&found));
        let path = path.display().to_string();
        return Err(
            Failure::new(Kind::NoPermission, path.clone(), why).hint(format!("chown root {path} && chmod go-w {path}"))
        );
    }
    Ok(is_new)
}

/// The group that is called `name`, or has that number.
///
/// # Errors
/// `Usage`: there is none.
pub(in crate::tools) fn group(name: &str) -> Result<u32, Failure> {
    let found = Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    found.or(name.parse().ok()).ok_or_else(|| Failure::new(Kind::Usage, name, "no such group"))
}

/// The one group of these users.
///
/// # Errors
/// Why there is none, as a clause.
pub(in crate::tools) fn shared(users: &[u32]) -> Result<u32, String> {
    let mut gids = Vec::new();
    for uid in users {
        let entry = nix::unistd::User::from_uid((*uid).into()).ok().flatten();
        let entry = entry.ok_or_else(|| format!("uid {uid} has no entry in the password database"))?;
        gids.push(entry.gid.as_raw());
    }
    gids.sort_unstable();
    gids.dedup();
    match gids[..] {
        [gid] => Ok(gid),
        [] => Err("no user is named who is to read it".to_owned()),
        _ => {
            let names: Vec<String> = gids.into_iter().map(modes::group_name).collect();
            Err(format!("its users are of several groups ({})", names.join(", ")))
        }
    }
}
