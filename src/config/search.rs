//! Which source counts, and reading it with the files of `sites.d` beside it.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::accounts::Accounts;
use super::document::{Document, Text};
use super::dsn;
use super::environment::Environment;
use super::gathered::{Gathered, LIMIT, read_scope, text};
use super::listing::{Listing, beside, is_missing};
use super::scope::{Scope, Standing};
use super::setting::Secrets;
use super::variables::{self, Unknown, bare};
use super::wording::with_more;
use super::{Config, Origin, PassedOver};
use crate::caller::{self, Caller};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes::{self, Modes};

/// The places a configuration is looked for.
pub struct Search<'a> {
    /// `--config`.
    pub option: Option<PathBuf>,
    /// The host's directory: `/etc/mailchute`.
    pub system: PathBuf,
    /// Environment variables by name.
    pub variables: &'a dyn Fn(&str) -> Option<OsString>,
    /// The names of all of them.
    pub names: &'a dyn Fn() -> Vec<OsString>,
}

impl Search<'static> {
    /// The places of this process, with the value of `--config`.
    pub fn new(option: Option<PathBuf>) -> Self {
        Self { option, system: PathBuf::from("/etc/mailchute"), variables: &host::variable, names: &host::variables }
    }
}

impl Search<'_> {
    /// The site that was asked for: `--site`, else `MAILCHUTE_SITE`.
    pub fn wanted_site(&self, option: Option<&str>) -> Option<String> {
        let variable = || Some(bare(&self.variable("MAILCHUTE_SITE")?.into_string().ok()?).to_owned());
        option.map(str::to_owned).or_else(variable)
    }

    /// Finds the source that counts for `caller` and reads it whole.
    ///
    /// # Errors
    /// `Configuration` when there is none or something in it is wrong, `NoPermission` when the caller
    /// may not read it or others may write it.
    pub fn load(&self, caller: &Caller) -> Result<Config, Failure> {
        self.find(caller, false)
    }

    /// As [`Search::load`], but for files of `sites.d` that are beyond doubt for other users: they are not parsed, and
    /// what is wrong with them is not found. Which site speaks is the same; who has none is told why by the whole.
    ///
    /// # Errors
    /// As there.
    pub fn load_own(&self, caller: &Caller) -> Result<Config, Failure> {
        self.find(caller, true)
    }

    fn find(&self, caller: &Caller, is_own: bool) -> Result<Config, Failure> {
        let environment = Environment::find(&|name| self.variable(name));
        let mut chosen = None;
        let mut passed_over: Vec<PassedOver> = Vec::new();
        for (file, standing) in self.files(caller) {
            let why = match (&chosen, standing) {
                (None, None) => {
                    chosen = Some(file);
                    continue;
                }
                (_, Some(why)) => why,
                (Some(first), None) => format!("{} comes first", Path::display(first)),
            };
            passed_over.push(PassedOver { place: file.display().to_string(), why });
        }
        let mut config = match (chosen, environment) {
            (Some(file), environment) => {
                // What is wrong with variables that do not count must not stop the host's mail.
                let place = match environment {
                    Ok(found) => found.map(|environment| environment.variable.to_owned()),
                    Err(failure) => Some(failure.what),
                };
                let why = format!("{} comes first", file.display());
                passed_over.extend(place.map(|place| PassedOver { place, why }));
                // Nobody sets our own for another program.
                let ignored = self.variable("MAILCHUTE_URL").filter(|_| !host::is_privileged());
                let ignored =
                    ignored.map(|_| format!("{} comes before MAILCHUTE_URL, which is ignored", file.display()));
                let told = |failure: Failure| match &ignored {
                    Some(ignored) => add(failure, ignored),
                    None => failure,
                };
                let named = |failure: Failure| match self.is_missing_by_variable(&file) {
                    true => failure.hint("MAILCHUTE_CONFIG names it: write the path of the file there, or unset it"),
                    false => failure,
                };
                let mut config = self.load_file(&file, caller, is_own).map_err(named).map_err(told)?;
                config.wording.ignored = ignored;
                config
            }
            (None, environment) => {
                let unknown = variables::unknown((self.names)().into_iter());
                // A name that is misspelt is the likeliest cause of whatever is missing.
                let told = |failure: Failure| match unknown.is_empty() {
                    true => failure,
                    false => add(failure, &Unknown::told(&unknown.iter().collect::<Vec<_>>())),
                };
                match environment.map_err(told)? {
                    Some(environment) => {
                        let mut config = load_environment(&environment, caller).map_err(told)?;
                        config.warnings.extend(unknown.iter().map(ToString::to_string));
                        config.wording.unknown = unknown;
                        config
                    }
                    None => return Err(told(nothing_found(&passed_over, self.variable(dsn::VARIABLE).is_some()))),
                }
            }
        };
        config.passed_over = passed_over;
        Ok(config)
    }

    /// Whether `MAILCHUTE_CONFIG` names `file`, and there is none.
    fn is_missing_by_variable(&self, file: &Path) -> bool {
        self.option.is_none() && self.variable("MAILCHUTE_CONFIG").is_some() && !exists(file)
    }

    /// A variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<OsString> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// The files in the order in which they count, each with the reason why it does not.
    fn files(&self, caller: &Caller) -> Vec<(PathBuf, Option<String>)> {
        let mut files = Vec::new();
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let named = || {
            let path = self.variable("MAILCHUTE_CONFIG")?;
            Some(path.to_str().map_or_else(|| PathBuf::from(&path), |path| PathBuf::from(bare(path))))
        };
        if let Some(path) = self.option.clone().or_else(named) {
            files.push((absolute(path), None));
        }
        let system = self.system.join("config.toml");
        let missing =
            !exists(&system) && Listing::beside(&system, &Accounts::of(caller)).is_ok_and(|listing| listing.is_empty());
        files.push((system, missing.then(|| "does not exist".to_owned())));
        if let Some(path) = user_file(caller) {
            let why = match path.metadata() {
                Err(e) if is_missing(&e) => Some("does not exist".to_owned()),
                // Whose it is cannot be told then.
                Err(e) => Some(format!("cannot be examined: {e}")),
                Ok(metadata) if metadata.uid() != caller.uid => Some(format!("is not owned by uid {}", caller.uid)),
                Ok(_) => None,
            };
            files.push((path, why));
        }
        files
    }

    /// Reads a main file, which may be missing where `sites.d` is not empty, and the files of `sites.d`; where this is
    /// for `caller`'s own sites, as few of these as that takes.
    fn load_file(&self, file: &Path, caller: &Caller, is_own: bool) -> Result<Config, Failure> {
        let (accounts, mut warnings) = (Accounts::of(caller), Vec::new());
        let only_sites = !exists(file) && *file == self.system.join("config.toml");
        let (main, modes) = match only_sites {
            true => (read_main(file, "", &accounts, &mut warnings)?, None),
            false => {
                let (source, modes) = read_text(file)?;
                modes.judge(file, caller.uid, false, false)?;
                (read_main(file, &source, &accounts, &mut warnings)?, Some(modes))
            }
        };
        let strict = main.strict_modes || host::is_privileged();
        if let Some(modes) = modes {
            warnings.extend(modes.judge(file, caller.uid, main.holds_secret, strict)?);
        }
        let gathered = Gathered::new(Origin::File(file.to_owned()), main, warnings, strict);
        let mut gathered = if is_own { gathered.leave_others_out() } else { gathered };
        match Listing::beside(file, &accounts) {
            Ok(Listing { files, left_out, is_there }) => {
                if is_there {
                    gathered.lies_in(beside(file));
                }
                files.into_iter().for_each(|(file, holder)| gathered.add(file, holder, &accounts));
                left_out.into_iter().for_each(|directory| gathered.leave_out(directory));
            }
            Err(e) => {
                let failure = modes::unreadable(&beside(file), &e);
                gathered.skip(beside(file), &failure, failure.kind != Kind::NoPermission);
            }
        }
        match gathered.is_enough_for(caller) {
            true => gathered.finish(file, caller),
            false => self.load_file(file, caller, false),
        }
    }
}

impl Config {
    /// What `source` comes to for `caller` when it stands alone as the main file `file`: no other source,
    /// no `sites.d`, no owner or mode.
    ///
    /// # Errors
    /// `Configuration`, with the place of the first thing at fault.
    pub fn parse(file: &Path, source: &str, caller: &Caller) -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        let main = read_main(file, source, &Accounts::of(caller), &mut warnings)?;
        let strict = main.strict_modes || host::is_privileged();
        Gathered::new(Origin::File(file.to_owned()), main, warnings, strict).finish(file, caller)
    }
}

fn load_environment(environment: &Environment, caller: &Caller) -> Result<Config, Failure> {
    let mut warnings = environment.warnings.clone();
    let (toml, variables) = environment.toml(Secrets::Named);
    let text = Text::Variables(variables);
    let accounts = &Accounts::of(caller);
    let standing = Standing::environment(accounts);
    let variable = environment.variable;
    let config = Document::parse(&text, &toml).and_then(|document| {
        let main = Scope::read(&document, standing, &mut warnings)?;
        Gathered::new(Origin::Environment(variable), main, warnings, false).finish(Path::new(variable), caller)
    });
    let wording = environment.wording();
    match config {
        Ok(config) => Ok(Config { wording, ..config }),
        Err(failure) => {
            let relay = failure.what.starts_with("MAILCHUTE_BACKUP_").then_some("backup");
            Err(wording.of_failure(failure, relay))
        }
    }
}

/// `failure` with this beside its hint.
fn add(failure: Failure, more: &str) -> Failure {
    let hint = with_more(failure.hint.as_deref(), more);
    failure.hint(hint)
}

fn read_main(file: &Path, source: &str, accounts: &Accounts<'_>, warnings: &mut Vec<String>) -> Result<Scope, Failure> {
    let standing = Standing {
        file: Some(file.to_owned()),
        lone_site: "default",
        base: None,
        alerts: &[],
        owner: None,
        holder: None,
        strict_modes: host::is_privileged(),
        accounts,
    };
    read_scope(file, source, standing, warnings)
}

fn read_text(file: &Path) -> Result<(Zeroizing<String>, Modes), Failure> {
    text(file, modes::read(file, LIMIT))
}

/// No source counts; `points_back`: there is a `MAILER_DSN` that means this program.
fn nothing_found(places: &[PassedOver], points_back: bool) -> Failure {
    let failure = |why: String| Failure::new(Kind::Configuration, "configuration", why);
    if points_back {
        return failure("none found; MAILER_DSN points back at this program".into()).hint(
            "set MAILCHUTE_URL to the relay, such as smtps://smtp.example.net, or write /etc/mailchute/config.toml",
        );
    }
    let places: Vec<_> = places.iter().map(|p| format!("{} ({})", p.place, p.why)).collect();
    failure(format!(
        "none found; searched {} and the environment (MAILCHUTE_URL, MAILER_DSN, MAIL_HOST)",
        places.join(", ")
    ))
    .hint(match caller::parent().is_some_and(|name| name.starts_with("php-fpm")) {
        true => "php-fpm clears the environment: set clear_env = no in the pool, or write a file with `mailchute init --from-env`",
        false => "write /etc/mailchute/config.toml, or set MAILCHUTE_URL, such as smtps://smtp.example.net",
    })
}

/// The user's file: where `directories` puts it, seen from the passwd home.
fn user_file(caller: &Caller) -> Option<PathBuf> {
    let own = caller.own(|dirs| Some(dirs.config_dir()), ".config")?;
    Some(own.join("mailchute/config.toml"))
}

/// Whether the file is there, readable or not: one that is forbidden still counts, so that nothing
/// behind it reroutes the host's mail.
fn exists(path: &Path) -> bool {
    !path.symlink_metadata().is_err_and(|e| is_missing(&e))
}
