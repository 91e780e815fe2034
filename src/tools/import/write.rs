//! Writes the configuration and its secrets: all of it, or nothing.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, geteuid};
use tempfile::NamedTempFile;

use crate::cli::import::{Import, Keeping};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::import::draft::{ABSOLUTE, BESIDE, Draft, Secrets, Shape};
use crate::import::source::Person;
use crate::modes::group_name;
use crate::secret::{STORED, Secret};
use crate::tools::secret::{make_directory, store};

/// The host's directory.
const DIRECTORY: &str = "/etc/mailchute";

/// Where the configuration goes.
pub(super) fn target(of: &Import) -> PathBuf {
    match (&of.output, &of.site) {
        (Some(output), _) => output.clone(),
        (None, Some(site)) => Path::new(DIRECTORY).join("sites.d").join(format!("{site}.toml")),
        (None, None) => Path::new(DIRECTORY).join("config.toml"),
    }
}

/// Writes it, and returns what was made, a line each.
///
/// # Errors
/// `NoPermission`: this is not root. `CannotCreate`: something is in its place. `Usage`: no group is named. `Io`.
pub(super) fn write(
    of: &Import,
    draft: &Draft,
    shape: &Shape<'_>,
    target: &Path,
    person: &Person,
) -> Result<String, Failure> {
    let secrets = draft.secrets();
    let is_stored = of.secrets == Keeping::Files && !secrets.is_empty();
    let is_ours = target.starts_with(DIRECTORY);
    if (is_stored || is_ours) && !geteuid().is_root() {
        return Err(Failure::new(Kind::NoPermission, "import", "only root writes to /etc/mailchute")
            .hint("put `sudo` in front of the command, or say --output FILE --secrets inline"));
    }
    let shape = Shape {
        secrets: match of.secrets {
            Keeping::Inline => Secrets::Inline,
            Keeping::Files | Keeping::Keep if target.parent() == Some(Path::new(DIRECTORY)) => Secrets::Files(BESIDE),
            Keeping::Files | Keeping::Keep => Secrets::Files(ABSOLUTE),
        },
        ..*shape
    };
    let holds_secret = of.secrets == Keeping::Inline && !secrets.is_empty();
    let gid = if (is_stored || holds_secret) && geteuid().is_root() { Some(gid(of, person)?) } else { None };
    // What is in the way is found before anything is made.
    let in_the_way = |path: &Path| match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(found) if of.replace && found.is_file() => Ok(()),
        Ok(found) if !found.is_file() => {
            Err(Failure::new(Kind::CannotCreate, path.display().to_string(), "is there, and is no regular file"))
        }
        Ok(_) => Err(Failure::new(Kind::CannotCreate, path.display().to_string(), "is there already")
            .hint("--replace puts the new one in its place, and keeps a copy of the configuration")),
        Err(error) => Err(cannot(path, &error)),
    };
    in_the_way(target)?;
    let mut files = Vec::new();
    if is_stored {
        for (name, secret) in &secrets {
            let path = Path::new(STORED).join(name);
            in_the_way(&path)?;
            files.push((path, Secret::new(secret.to_string())));
        }
        make_directory()?;
    }
    make_above(target)?;
    let mut made: Vec<PathBuf> = Vec::new();
    let mut said = String::new();
    let result = (|| {
        for (path, secret) in &files {
            let is_new = !path.exists();
            store(path, secret, gid.unwrap_or(0), of.replace)?;
            if is_new {
                made.push(path.clone());
            }
            said += &format!("stored    {} (root:{} 0640)\n", path.display(), group_name(gid.unwrap_or(0)));
        }
        if target.exists() {
            let copy = copy_of(target);
            fs::copy(target, &copy).map_err(|error| cannot(&copy, &error))?;
            said += &format!("kept      {}\n", copy.display());
        }
        let mode = match (holds_secret, geteuid().is_root()) {
            (false, _) => 0o644,
            (true, true) => 0o640,
            (true, false) => 0o600,
        };
        put(target, draft.toml(&shape).as_bytes(), mode, gid.filter(|_| holds_secret), of.replace)
    })();
    if let Err(failure) = result {
        // All of it, or nothing.
        for path in made {
            let _ = fs::remove_file(path);
        }
        return Err(failure);
    }
    said += &format!("written   {}\n", target.display());
    Ok(said)
}

/// The group that reads the secrets.
fn gid(of: &Import, person: &Person) -> Result<u32, Failure> {
    if let Some(name) = &of.group {
        let found = Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        return found.or(name.parse().ok()).ok_or_else(|| Failure::new(Kind::Usage, name, "no such group"));
    }
    // The users cannot read them by themselves then.
    if let Some(gid) = host::binary_group() {
        return Ok(gid);
    }
    match of.user {
        Some(_) => Ok(person.gid),
        None => Err(Failure::new(Kind::Usage, "--write", "no group is named that is to read the secrets")
            .hint("say --group GROUP, that of the user that sends (PHP: often www-data), or --as USER")),
    }
}

/// The first name for a copy that is free.
fn copy_of(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let copy = |number: u32| target.with_file_name(format!("{name}.before-import-{number}"));
    (1..1000).map(copy).find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| copy(1000))
}

/// Makes the directories of ours that the file is in.
fn make_above(target: &Path) -> Result<(), Failure> {
    let Some(above) = target.parent().filter(|above| above.starts_with(DIRECTORY)) else { return Ok(()) };
    for path in [Path::new(DIRECTORY), above] {
        match fs::create_dir(path) {
            Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(|error| cannot(path, &error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(path, &error)),
        }
    }
    Ok(())
}

/// Writes a file beside its place and puts it there in one step.
fn put(path: &Path, octets: &[u8], mode: u32, gid: Option<u32>, replace: bool) -> Result<(), Failure> {
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let written = || -> io::Result<()> {
        let mut new = NamedTempFile::new_in(above)?;
        if let Some(gid) = gid {
            fchown(new.as_file(), Some(0), Some(gid))?;
        }
        new.as_file().set_permissions(Permissions::from_mode(mode))?;
        new.write_all(octets)?;
        new.as_file().sync_all()?;
        match replace {
            true => new.persist(path).map_err(|error| error.error)?,
            false => new.persist_noclobber(path).map_err(|error| error.error)?,
        };
        File::open(above)?.sync_all()
    };
    written().map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::CannotCreate, path.display().to_string(), format!("cannot be written: {error}"))
}
