//! `mailchute secret put`: from standard input into a file that one group reads.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::files;
use super::uses::{self, Use};
use super::{file, typed};
use crate::caller::Caller;
use crate::cli::secret::PutSecret;
use crate::config::{Config, Search};
use crate::failure::{Failure, Kind};
use crate::hint::likeness::{self, Wanted};
use crate::host;
use crate::modes::Modes;
use crate::providers::Provider;
use crate::secret::{STORED, Secret};

/// The owner writes, the group reads.
pub(in crate::tools) const MODE: u32 = 0o640;

/// Whoever has a file's name gets to it, and nobody sees the names.
pub(in crate::tools) const CLOSED: u32 = 0o711;

/// Stores it, and returns what to say.
///
/// # Errors
/// As [`super::run`].
pub(super) fn run(of: &PutSecret) -> Result<String, Failure> {
    if !of.rest.is_empty() {
        let why = "the value is read from standard input, never from the command line, which every user can see";
        return Err(Failure::new(Kind::Usage, "secret put", why)
            .hint("if that was the secret, make a new one: the shell's history has it now"));
    }
    let path = file(&of.name)?;
    if let Some(owner) = likeness::owner(&of.name) {
        return Err(Failure::new(Kind::Usage, "NAME", format!("begins as a key of {} does", owner.name))
            .hint("give it a name; the value is read from standard input"));
    }
    // Without a configuration there is still a group to be named.
    let config = Search::new(of.config.clone()).load(&Caller::current());
    let uses: Vec<Use<'_>> = config.as_ref().map(uses::all).unwrap_or_default();
    let uses: Vec<Use<'_>> = uses.into_iter().filter(|using| using.is_of(&path)).collect();
    let before = existing(of, &path)?;
    let gid = gid(of, &config, &uses, before.as_ref())?;
    make_directory()?;
    typed::watch(|| "stopped before anything was stored");
    let read = typed::read(&of.name)?;
    let (value, left_out) = if of.anyway { (typed::as_it_is(&read)?, None) } else { typed::trimmed(&read)? };
    drop(read);
    if !of.anyway {
        judge(&of.name, &value, &uses)?;
    }
    store(&path, &value, gid, of.replace)?;
    Ok(told(&path, of, &uses, &value, left_out))
}

/// What is in its place already.
fn existing(of: &PutSecret, path: &Path) -> Result<Option<Metadata>, Failure> {
    let refused = |why: &str| Failure::new(Kind::CannotCreate, path.display().to_string(), why);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused(&format!("cannot be examined: {error}"))),
        Ok(found) if !found.is_file() => Err(refused("is there, and is no regular file")
            .hint("what it leads to is kept by somebody else: store it there")),
        Ok(found) if of.replace => Ok(Some(found)),
        Ok(_) => Err(refused("is there already").hint("--replace puts the new value in its place, in one step")),
    }
}

/// The group that is to read it.
fn gid(
    of: &PutSecret,
    config: &Result<Config, Failure>,
    uses: &[Use<'_>],
    before: Option<&Metadata>,
) -> Result<u32, Failure> {
    if let Some(name) = &of.group {
        return files::group(name);
    }
    let named = match (&of.site, config) {
        (None, _) => None,
        (Some(_), Err(failure)) => return Err(failure.clone()),
        (Some(name), Ok(config)) => Some(config.site(name).ok_or_else(|| {
            let names = config.sites.iter().map(|site| site.name.as_str()).collect::<Vec<_>>().join(", ");
            Failure::new(Kind::Usage, name, "no such site").hint(format!("there are {names}"))
        })?),
    };
    // The sites cannot read it themselves then.
    if let Some(gid) = host::binary_group() {
        return Ok(gid);
    }
    if let Some(site) = named {
        let whose = format!("site {}", site.name);
        return files::shared(&site.users).map_err(|why| no_group(&format!("{whose}: {why}")));
    }
    if let Some(before) = before {
        return Ok(before.gid());
    }
    let users: Vec<u32> = uses.iter().flat_map(Use::users).collect();
    files::shared(&users).map_err(|why| no_group(&why))
}

fn no_group(why: &str) -> Failure {
    Failure::new(Kind::Usage, "secret put", why).hint(
        "say --site SITE, or --group GROUP: that of the user that sends (PHP: often www-data), or one made for all who send",
    )
}

/// Makes the directory where it is missing, and sees that nobody but root can change what is in it.
///
/// # Errors
/// `CannotCreate`: it cannot be made. `NoPermission`: others can change what is in it.
fn make_directory() -> Result<(), Failure> {
    let secrets = Path::new(STORED);
    for (path, mode) in secrets.parent().map(|above| (above, 0o755)).into_iter().chain([(secrets, CLOSED)]) {
        files::make_directory(path, mode)?;
    }
    Ok(())
}

/// Whether the value is what it is to be.
fn judge(name: &str, value: &Secret, uses: &[Use<'_>]) -> Result<(), Failure> {
    let wrong = match uses {
        [] => likeness::wrong(value.expose(), Wanted::Any, None).or_else(|| {
            // A file is often named after the provider it is for.
            likeness::foreign(value.expose(), Provider::find(name)?)
        }),
        uses => uses.iter().find_map(|using| using.wrong(value.expose())),
    };
    match wrong {
        None => Ok(()),
        Some(wrong) => Err(Failure::new(Kind::Data, "standard input", format!("not stored: the value {wrong}"))
            .hint("`--anyway` stores it as it is")),
    }
}

/// Writes it, readable for nobody but root until it has its group.
///
/// # Errors
/// `Io`: it cannot be stored, or is there already and `replace` is not said.
fn store(path: &Path, value: &Secret, gid: u32, replace: bool) -> Result<(), Failure> {
    let line = Zeroizing::new(format!("{}\n", value.expose()));
    let as_of = Modes { uid: 0, gid, mode: MODE };
    files::store(path, line.as_bytes(), &as_of, replace)
        .map_err(|error| Failure::new(Kind::Io, path.display().to_string(), format!("cannot be stored: {error}")))
}

/// What was done, and the next step.
fn told(path: &Path, of: &PutSecret, uses: &[Use<'_>], value: &Secret, left_out: Option<&str>) -> String {
    let modes = path.metadata().map(|found| format!(" ({})", Modes::of(&found))).unwrap_or_default();
    let mut rows = vec![("stored", format!("{}{modes}", path.display()))];
    rows.extend(left_out.map(|left_out| ("left out", left_out.to_owned())));
    rows.extend(uses.iter().map(|using| ("for", using.title())));
    if uses.is_empty() {
        let provider = likeness::owner(value.expose()).or_else(|| Provider::find(&of.name));
        let key = provider.map_or("password", natural_key);
        rows.push(("to paste", format!("{key} = {{ file = \"{}\" }}", path.display())));
    }
    rows.push(("next", format!("mailchute secret check {}", of.name)));
    rows.into_iter().map(|(label, text)| format!("{label:<9} {text}\n")).collect()
}

/// The key that a relay of this provider has its secret under.
fn natural_key(provider: &Provider) -> &'static str {
    let of_api = || provider.api.and_then(|entry| entry.wanted_keys().first().copied());
    provider.secrets.first().copied().filter(|key| *key != "password").or_else(of_api).unwrap_or("password")
}
