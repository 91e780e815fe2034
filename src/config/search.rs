//! Which source counts, and reading it with the files of `sites.d` beside it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::accounts::Accounts;
use super::alert::Alert;
use super::document::{Document, Text};
use super::dsn;
use super::environment::Environment;
use super::log;
use super::scope::{Scope, Standing};
use super::setting::Secrets;
use super::variables::{self, in_variables};
use super::{Config, DefaultSite, Origin, PassedOver, Skipped};
use crate::caller::{self, Caller};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes::{self, Modes};
use crate::spelling;

/// The size of the largest configuration file, in octets.
const LIMIT: usize = 1024 * 1024;

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
        let variable = || self.variable("MAILCHUTE_SITE")?.into_string().ok();
        option.map(str::to_owned).or_else(variable)
    }

    /// Finds the source that counts for `caller` and reads it whole.
    ///
    /// # Errors
    /// `Configuration` when there is none or something in it is wrong, `NoPermission` when the caller
    /// may not read it or others may write it.
    pub fn load(&self, caller: &Caller) -> Result<Config, Failure> {
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
                self.load_file(&file, caller)?
            }
            (None, environment) => {
                let unknown = variables::unknown((self.names)().into_iter());
                // A name that is misspelt is the likeliest cause of whatever is missing.
                let told = |failure: Failure| match unknown.first() {
                    Some(first) => failure.hint(first.clone()),
                    None => failure,
                };
                match environment.map_err(told)? {
                    Some(environment) => {
                        let mut config = load_environment(&environment, caller).map_err(told)?;
                        config.warnings.extend(unknown);
                        config
                    }
                    None => return Err(told(nothing_found(&passed_over, self.variable(dsn::VARIABLE).is_some()))),
                }
            }
        };
        config.passed_over = passed_over;
        Ok(config)
    }

    /// A variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<OsString> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// The files in the order in which they count, each with the reason why it does not.
    fn files(&self, caller: &Caller) -> Vec<(PathBuf, Option<String>)> {
        let mut files = Vec::new();
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        if let Some(path) = self.option.clone().or_else(|| self.variable("MAILCHUTE_CONFIG").map(PathBuf::from)) {
            files.push((absolute(path), None));
        }
        let system = self.system.join("config.toml");
        let missing = !exists(&system) && site_files(&system).is_ok_and(|files| files.is_empty());
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

    /// Reads a main file, which may be missing where `sites.d` is not empty, and the files of `sites.d`.
    fn load_file(&self, file: &Path, caller: &Caller) -> Result<Config, Failure> {
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
        let mut gathered = Gathered::new(Origin::File(file.to_owned()), main, warnings, strict);
        match site_files(file) {
            Ok(files) => files.into_iter().for_each(|file| gathered.add(file, &accounts)),
            Err(e) => {
                let failure = modes::unreadable(&beside(file), &e);
                gathered.skip(beside(file), &failure, failure.kind != Kind::NoPermission);
            }
        }
        gathered.finish(file, caller)
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

/// A configuration that is being put together.
struct Gathered {
    config: Config,
    policy: super::site::policy::Policy,
    /// The alerts of the main file.
    alerts: Vec<Arc<Alert>>,
    default_site: Option<(String, Failure)>,
    /// Whether a site was left out that is somebody else's: it binds users, unseen.
    hidden: bool,
    /// The names of the sites.
    names: HashSet<String>,
}

impl Gathered {
    fn new(origin: Origin, main: Scope, warnings: Vec<String>, strict_modes: bool) -> Self {
        let names = main.sites.iter().map(|site| site.name.clone()).collect();
        let alerts = main.alerts.clone();
        let config = Config {
            origin,
            passed_over: Vec::new(),
            sites: main.sites,
            alerts: main.alerts,
            ping: main.ping,
            default_site: DefaultSite::Refuse,
            log: main.log.to.unwrap_or_default(),
            log_keep: main.log.keep.unwrap_or(log::KEEP),
            logs: Vec::new(),
            warnings,
            skipped: Vec::new(),
            strict_modes,
        };
        Self { config, policy: main.policy, alerts, default_site: main.default_site, hidden: false, names }
    }

    /// Adds a file of `sites.d`, or the reason why it is left out: one site cannot stop the others.
    fn add(&mut self, file: PathBuf, accounts: &Accounts<'_>) {
        let read = modes::read(&file, LIMIT);
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            // As every other site's file of a shared host: whoever asks for the next step has it looked for.
            self.hidden = true;
            let why = "permission denied".to_owned();
            self.config.skipped.push(Skipped { file, why, hint: None, is_mistake: false });
            return;
        }
        match read_site(&file, read, accounts.caller) {
            Ok((source, modes)) => {
                if let Err(failure) = self.try_add(&file, &source, &modes, accounts) {
                    self.skip(file, &failure, true);
                }
            }
            Err(failure) => self.skip(file, &failure, failure.kind != Kind::NoPermission),
        }
    }

    /// Leaves `file` out. What is merely somebody else's is no mistake: every other site of a shared host
    /// is like that, and a warning for each would fill every record.
    fn skip(&mut self, file: PathBuf, failure: &Failure, is_mistake: bool) {
        let why = match failure.what == file.display().to_string() {
            true => failure.why.clone(),
            false => failure.to_string(),
        };
        self.hidden |= failure.kind == Kind::NoPermission;
        let skipped = Skipped { file, why, hint: failure.hint.clone(), is_mistake };
        if is_mistake {
            self.config.warnings.push(skipped.to_string());
        }
        self.config.skipped.push(skipped);
    }

    fn try_add(&mut self, file: &Path, source: &str, modes: &Modes, accounts: &Accounts<'_>) -> Result<(), Failure> {
        let caller = accounts.caller;
        modes.judge(file, caller.uid, false, false)?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let standing = Standing {
            file: Some(file.to_owned()),
            lone_site: &name,
            base: Some(&self.policy),
            alerts: &self.alerts,
            owner: (modes.uid != 0).then_some(modes.uid),
            strict_modes: self.config.strict_modes,
            accounts,
        };
        let mut warnings = Vec::new();
        let scope = read_scope(file, source, standing, &mut warnings)?;
        let judged = modes.judge(file, caller.uid, scope.holds_secret, self.config.strict_modes)?;
        if let Some(site) = scope.sites.iter().find(|site| self.names.contains(&site.name)) {
            let why = match site.is_shown_to(caller.uid) {
                true => format!("defines site {:?}, which another file defines already", site.name),
                false => "defines a site that another file defines already".to_owned(),
            };
            return Err(Failure::new(Kind::NoPermission, file.display().to_string(), why));
        }
        self.config.warnings.extend(warnings.into_iter().chain(judged));
        self.names.extend(scope.sites.iter().map(|site| site.name.clone()));
        if scope.sites.iter().any(|site| site.is_shown_to(caller.uid)) {
            self.config.alerts.extend(scope.alerts);
        }
        self.config.sites.extend(scope.sites);
        self.config.logs.extend(scope.log.to.map(|log| (file.to_owned(), log)));
        self.default_site = self.default_site.take().or(scope.default_site);
        Ok(())
    }

    /// Settles `default_site` once every site is known.
    fn finish(self, file: &Path, caller: &Caller) -> Result<Config, Failure> {
        let mut config = self.config;
        if config.sites.is_empty() && config.skipped.is_empty() {
            return Err(Failure::new(Kind::Configuration, file.display().to_string(), "no [relay.NAME] is configured")
                .hint("one table is enough: [relay.main] with provider or host, here or in a file of sites.d"));
        }
        let bound = config.sites.iter().any(|site| !site.users.is_empty()) || self.hidden;
        config.default_site = match self.default_site {
            Some((name, _)) if name == "refuse" => DefaultSite::Refuse,
            Some((name, failure)) => match config.site(&name) {
                Some(site) if site.users.is_empty() => DefaultSite::Named(name),
                Some(_) => {
                    let why = format!("\"default_site\" names {name:?}, which is bound to users");
                    return Err(Failure { why, ..failure }.hint("name a site without \"user\", or \"refuse\""));
                }
                // It may be in a file that this caller cannot read.
                None if !config.skipped.is_empty() => DefaultSite::Refuse,
                None => {
                    let near = spelling::nearest(&name, config.sites.iter().map(|site| site.name.as_str()));
                    return Err(match near {
                        Some(near) => failure.hint(format!("did you mean {near:?}?")),
                        None => failure,
                    });
                }
            },
            None if bound => DefaultSite::Refuse,
            None => {
                let general = config.sites.iter().find(|site| site.paths.is_empty() && site.sender.is_empty());
                match general.or(config.sites.first()) {
                    Some(site) => DefaultSite::Named(site.name.clone()),
                    None => DefaultSite::Refuse,
                }
            }
        };
        config.sites.retain(|site| site.is_shown_to(caller.uid));
        Ok(config)
    }
}

fn load_environment(environment: &Environment, caller: &Caller) -> Result<Config, Failure> {
    let mut warnings = environment.warnings.clone();
    let (toml, variables) = environment.toml(Secrets::Named);
    let text = Text::Variables(variables);
    let accounts = &Accounts::of(caller);
    let standing = Standing {
        file: None,
        lone_site: "default",
        base: None,
        alerts: &[],
        owner: None,
        strict_modes: false,
        accounts,
    };
    let variable = environment.variable;
    let config = Document::parse(&text, &toml).and_then(|document| {
        let main = Scope::read(&document, standing, &mut warnings)?;
        Gathered::new(Origin::Environment(variable), main, warnings, false).finish(Path::new(variable), caller)
    });
    config.map_err(|failure| {
        let hint = failure.hint.as_deref().map(|hint| in_variables(hint, variable));
        Failure { hint, ..failure }
    })
}

fn read_main(file: &Path, source: &str, accounts: &Accounts<'_>, warnings: &mut Vec<String>) -> Result<Scope, Failure> {
    let standing = Standing {
        file: Some(file.to_owned()),
        lone_site: "default",
        base: None,
        alerts: &[],
        owner: None,
        strict_modes: host::is_privileged(),
        accounts,
    };
    read_scope(file, source, standing, warnings)
}

fn read_scope(file: &Path, source: &str, standing: Standing<'_>, warnings: &mut Vec<String>) -> Result<Scope, Failure> {
    let text = Text::File(file.to_owned());
    let caller = standing.accounts.caller;
    let scope = Document::parse(&text, source).and_then(|document| Scope::read(&document, standing, warnings));
    scope.map_err(|failure| match host::is_privileged() && caller.uid != 0 {
        // The caller cannot read the file, so it is told nothing of what stands there.
        true => Failure::new(failure.kind, file.display().to_string(), "has a mistake, which only root is shown")
            .hint("as root: mailchute explain"),
        false => failure,
    })
}

fn read_text(file: &Path) -> Result<(Zeroizing<String>, Modes), Failure> {
    text(file, modes::read(file, LIMIT))
}

/// What was `read` of `file`, as text.
fn text(file: &Path, read: io::Result<(Zeroizing<Vec<u8>>, Modes)>) -> Result<(Zeroizing<String>, Modes), Failure> {
    let (mut bytes, modes) = read.map_err(|e| modes::unreadable(file, &e))?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok((Zeroizing::new(text), modes)),
        Err(e) => {
            drop(Zeroizing::new(e.into_bytes()));
            Err(Failure::new(Kind::Configuration, file.display().to_string(), "is not UTF-8 text"))
        }
    }
}

/// What was `read` of a file of `sites.d` that is root's or the caller's.
///
/// What the caller wrote is not read with a group that the caller has not: it could name another site's
/// secret, and a server of its own to tell it to.
fn read_site(
    file: &Path,
    read: io::Result<(Zeroizing<Vec<u8>>, Modes)>,
    caller: &Caller,
) -> Result<(Zeroizing<String>, Modes), Failure> {
    let (source, modes) = text(file, read)?;
    let why = match modes.uid {
        0 => return Ok((source, modes)),
        uid if uid != caller.uid => format!("is owned by uid {uid}, neither root nor the caller"),
        uid if host::is_privileged() => {
            format!("is owned by uid {uid}, and a set-group-id binary takes root's files only")
        }
        _ => return Ok((source, modes)),
    };
    let file = file.display().to_string();
    let hint = format!("as root: chown root {file}");
    Err(Failure::new(Kind::NoPermission, file, why).hint(hint))
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

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether the file is there, readable or not: one that is forbidden still counts, so that nothing
/// behind it reroutes the host's mail.
fn exists(path: &Path) -> bool {
    !path.symlink_metadata().is_err_and(|e| is_missing(&e))
}

/// The `sites.d` of a main file.
fn beside(main: &Path) -> PathBuf {
    main.with_file_name("sites.d")
}

/// The files of the `sites.d` beside `main`, by name.
fn site_files(main: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(beside(main)) {
        Err(e) if is_missing(&e) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
