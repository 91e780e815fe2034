//! Writes the configuration and its secrets: all of it, or nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::cli::import::{Import, Keeping};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::import::draft::{ABSOLUTE, BESIDE, Draft, Shape, Storing};
use crate::modes::Modes;
use crate::secret::STORED;
use crate::tools::secret::files::{self, Laid};
use crate::tools::secret::put::{CLOSED, MODE};
use crate::tools::speaker;

/// The host's directory.
const DIRECTORY: &str = "/etc/mailchute";

/// Where the configuration goes.
pub(super) fn target(of: &Import) -> PathBuf {
    match (&of.writing.output, &of.site) {
        (Some(output), _) => output.clone(),
        (None, Some(site)) => Path::new(DIRECTORY).join("sites.d").join(format!("{site}.toml")),
        (None, None) => Path::new(DIRECTORY).join("config.toml"),
    }
}

/// Writes it, and returns what was made, a line each.
///
/// # Errors
/// `NoPermission`: this is not root. `CannotCreate`: something is in its place. `Usage`: no group is named. `Io`.
pub(super) fn write(of: &Import, draft: &Draft, shape: &Shape<'_>, target: &Path) -> Result<String, Failure> {
    let secrets = draft.secrets();
    let is_stored = of.secrets == Keeping::Files && !secrets.is_empty();
    let is_ours = target.starts_with(DIRECTORY);
    if (is_stored || is_ours) && !geteuid().is_root() {
        return Err(Failure::new(Kind::NoPermission, "import", "only root writes to /etc/mailchute")
            .hint("put `sudo` in front of the command, or say --output FILE --secrets inline"));
    }
    let shape = Shape {
        secrets: match of.secrets {
            Keeping::Inline => Storing::Inline,
            Keeping::Files | Keeping::Keep if target.parent() == Some(Path::new(DIRECTORY)) => Storing::Files(BESIDE),
            Keeping::Files | Keeping::Keep => Storing::Files(ABSOLUTE),
        },
        ..*shape
    };
    let holds_secret = of.secrets == Keeping::Inline && !secrets.is_empty();
    let (uid, own_gid) = files::own();
    let gid = if (is_stored || holds_secret) && uid == 0 { gid(of)? } else { own_gid };
    // What is in the way is found before anything is made.
    in_the_way(target, of.writing.replace)?;
    let (mut laid, mut said) = (Vec::new(), String::new());
    let mut lay = |path: PathBuf, content, as_of| laid.push(Laid { path, content, as_of, replace: of.writing.replace });
    let readable = Modes { uid, gid, mode: MODE };
    if is_stored {
        for (relay, secret) in &secrets {
            let path = Path::new(STORED).join(shape.stored(relay));
            in_the_way(&path, of.writing.replace)?;
            said += &format!("stored    {} ({readable})\n", path.display());
            lay(path, Zeroizing::new(format!("{}\n", secret.as_str()).into_bytes()), readable.clone());
        }
    }
    let kept = files::before(target).map_err(|error| cannot(target, &error))?;
    if let Some((content, as_of)) = kept {
        let copy = copy_of(target);
        said += &format!("kept      {}\n", copy.display());
        lay(copy, content, as_of);
    }
    let as_of = match (holds_secret, uid) {
        (false, _) => Modes { uid, gid: own_gid, mode: 0o644 },
        (true, 0) => readable,
        (true, _) => Modes { uid, gid, mode: 0o600 },
    };
    lay(target.to_owned(), Zeroizing::new(draft.toml(&shape).as_bytes().to_vec()), as_of);
    files::lay(&directories(target, is_stored), &laid)?;
    said += &format!("written   {}\n", target.display());
    Ok(said)
}

/// What is at `path` and stays.
fn in_the_way(path: &Path, replace: bool) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot(path, &error)),
        Ok(found) if !found.is_file() => {
            Err(Failure::new(Kind::CannotCreate, path.display().to_string(), "is there, and is no regular file"))
        }
        Ok(_) if replace => Ok(()),
        Ok(_) => Err(Failure::new(Kind::CannotCreate, path.display().to_string(), "is there already")
            .hint("--replace puts the new one in its place, and keeps a copy of the configuration")),
    }
}

/// The group that reads the secrets.
fn gid(of: &Import) -> Result<u32, Failure> {
    if let Some(name) = &of.group {
        return files::group(name);
    }
    // The users cannot read them by themselves then.
    if let Some(gid) = host::binary_group() {
        return Ok(gid);
    }
    let Some(user) = &of.user else {
        return Err(Failure::new(Kind::Usage, "--write", "no group is named that is to read the secrets")
            .hint("say --group GROUP, that of the user that sends (PHP: often www-data), or --as USER"));
    };
    // It is this host's user that reads them, also where the files are another's.
    let uid = speaker::uid(user)?;
    files::shared(&[uid]).map_err(|why| {
        Failure::new(Kind::Usage, "--as", why).hint("name the group that reads the secrets: --group GROUP")
    })
}

/// The first name for a copy that is free.
fn copy_of(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let copy = |number: u32| target.with_file_name(format!("{name}.before-import-{number}"));
    (1..1000).map(copy).find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| copy(1000))
}

/// The directories of ours that the files are in, with their modes.
fn directories(target: &Path, has_secret: bool) -> Vec<(PathBuf, u32)> {
    let house = Path::new(DIRECTORY);
    let above = target.parent().filter(|above| above.starts_with(house));
    let mut found = Vec::new();
    if above.is_some() || has_secret {
        found.push((house.to_owned(), 0o755));
    }
    found.extend(above.filter(|above| *above != house).map(|above| (above.to_owned(), 0o755)));
    if has_secret {
        found.push((PathBuf::from(STORED), CLOSED));
    }
    found
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::CannotCreate, path.display().to_string(), format!("cannot be written: {error}"))
}
