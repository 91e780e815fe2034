//! Secrets: a type that cannot be printed, and the places a secret is read from.

mod command;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::attempt::Attempt;
use crate::caller;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::modes;

/// The size of the largest secret, in octets.
pub const LIMIT: usize = 64 * 1024;

/// Where `mailchute secret put` stores them.
pub const STORED: &str = "/etc/mailchute/secrets";

/// A password, token or key. Wiped on drop; `Debug` shows nothing of it and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` as the secret, every character of it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Where a secret is read from when its relay is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Written in the configuration itself.
    Inline(Secret),
    /// A file, absolute; one final line end is taken off.
    File(PathBuf),
    /// An environment variable, taken literally.
    Env(String),
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// The first line that a program prints.
    Command(Vec<String>),
}

impl Source {
    /// Reads the secret. What is weak about a file's owner or mode is named in the attempt's warnings, or
    /// refused when `strict` is set (`strict_modes`).
    ///
    /// # Errors
    /// `NoPermission` when this caller may not read it or the file is world-writable; `Configuration`
    /// when it is missing, empty, too large or not text; `Unavailable` when a command has printed nothing
    /// by the attempt's deadline. The hint names the next step.
    pub fn read(&self, strict: bool, attempt: &mut Attempt) -> Result<Secret, Failure> {
        let warnings = &mut attempt.trace.warnings;
        let secret = match self {
            Self::Inline(secret) => secret.clone(),
            Self::File(path) => read_file(path, strict, warnings)?,
            Self::Credential(name) => read_file(&credential(name)?, strict, warnings)?,
            Self::Env(name) => read_variable(name)?,
            Self::Command(words) => command::run(words, command::TIME.min(attempt.deadline.left()))?,
        };
        let wrong = |why| Err(Failure::new(Kind::Configuration, self.describe(), why));
        match secret.expose() {
            "" => wrong("is empty").map_err(|failure| match self {
                Self::Command(_) => failure.hint("run the command as this user: it has to print the secret"),
                _ => failure.hint("put the password, token or key there, and nothing else"),
            }),
            text if text.contains('\0') => wrong("holds a NUL character, which no secret can"),
            text => {
                warnings.extend(oddity(text).map(|odd| format!("the secret, {}, {odd}", self.describe())));
                Ok(secret)
            }
        }
    }

    /// Whether this process could read it, and what is weak about it; nothing is read and no program runs.
    ///
    /// # Errors
    /// As [`Source::read`], as far as it can be told beforehand.
    pub fn check(&self, strict: bool) -> Result<Vec<&'static str>, Failure> {
        let check_file = |path: &Path| {
            let uid = nix::unistd::getuid().as_raw();
            let modes = modes::probe(path).map_err(|error| unreadable(path, &error))?;
            modes.judge(path, uid, true, strict)?;
            Ok(modes.weaknesses(uid, true))
        };
        match self {
            Self::Inline(_) | Self::Command(_) => Ok(Vec::new()),
            Self::File(path) => check_file(path),
            Self::Credential(name) => check_file(&credential(name)?),
            Self::Env(name) => read_variable(name).map(|_| Vec::new()),
        }
    }

    /// Reads a key that somebody's machine has made, as [`Source::read`] does. `name` is what the configuration calls it.
    ///
    /// # Errors
    /// As there; as [`check_key`].
    pub fn read_key(&self, name: &str, strict: bool, attempt: &mut Attempt) -> Result<Secret, Failure> {
        let key = self.read(strict, attempt)?;
        check_key(key.expose(), &self.place_of(name))?;
        Ok(key)
    }

    /// As [`Source::check`], and reads the key where no program has to run for it.
    ///
    /// # Errors
    /// As [`Source::read_key`].
    pub fn check_key(&self, name: &str, strict: bool) -> Result<Vec<&'static str>, Failure> {
        let weaknesses = self.check(strict)?;
        let key = match self {
            Self::Inline(key) => key.clone(),
            Self::File(path) => read_file(path, strict, &mut Vec::new())?,
            Self::Credential(name) => read_file(&credential(name)?, strict, &mut Vec::new())?,
            Self::Env(name) => read_variable(name)?,
            Self::Command(_) => return Ok(weaknesses),
        };
        if key.expose().is_empty() {
            return Err(Failure::new(Kind::Configuration, self.describe(), "is empty"));
        }
        check_key(key.expose(), &self.place_of(name))?;
        Ok(weaknesses)
    }

    /// Where the key `name` is, for a reader.
    fn place_of(&self, name: &str) -> String {
        match self {
            Self::Inline(_) => name.to_owned(),
            _ => self.describe(),
        }
    }

    /// The file it is read from, where it is one.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Credential(name) => credential(name).ok(),
            Self::Inline(_) | Self::Env(_) | Self::Command(_) => None,
        }
    }

    /// Where it comes from, for a reader: `file /etc/mailchute/secrets/postmark (root:www 0640)`.
    pub fn describe(&self) -> String {
        match self {
            Self::Inline(_) => "the configuration itself".into(),
            Self::File(path) => match modes::probe(path) {
                Ok(modes) => format!("file {} ({modes})", path.display()),
                Err(_) => format!("file {}", path.display()),
            },
            Self::Env(name) => format!("environment variable {name}"),
            Self::Credential(name) => format!("systemd credential {name}"),
            // Its arguments may be anything, a secret included.
            Self::Command(words) => format!("command {}", words.first().map_or("", String::as_str)),
        }
    }
}

/// Looks at a key that somebody's machine has made, which is at `place`.
///
/// # Errors
/// `Configuration`: it holds a character that no key has, which is named, or stands in quotes.
pub fn check_key(key: &str, place: &str) -> Result<(), Failure> {
    let wrong = |why: String| Err(Failure::new(Kind::Configuration, place, why));
    if let Some(stranger) = key.chars().find(|c| !(' '..='~').contains(c)) {
        let why = format!("holds U+{:04X}{}, which no key has", u32::from(stranger), called(stranger));
        return wrong(why)
            .map_err(|failure| failure.hint("copy the key again, as plain text and nothing else, into one line"));
    }
    match key.len() > 1 && ['"', '\''].iter().any(|mark| key.starts_with(*mark) && key.ends_with(*mark)) {
        true => wrong("is in quotes, which are taken as part of it".to_owned())
            .map_err(|failure| failure.hint("leave the quotes out")),
        false => Ok(()),
    }
}

/// What a character that nobody sees is called, behind its number.
pub fn called(character: char) -> &'static str {
    match character {
        '\t' => " (a tab)",
        '\n' | '\r' => " (a line end)",
        '\u{a0}' => " (a no-break space)",
        '\u{200b}' => " (a space without width)",
        '\u{feff}' => " (a byte order mark)",
        _ => "",
    }
}

/// Ends the program that prints a secret, if one runs, with all it started: for whoever ends this process meanwhile.
pub fn stop_command() {
    command::stop();
}

/// What an editor or a shell is likely to have added to a secret. It is sent all the same: a password may hold
/// anything.
fn oddity(text: &str) -> Option<&'static str> {
    match () {
        // The key of a service account.
        () if text.trim_start().starts_with('{') => None,
        () if text.starts_with('\u{feff}') => Some("begins with a byte order mark"),
        () if text.trim_end_matches(['\r', '\n']).contains('\n') => Some("holds more than one line"),
        () if text.trim() != text => Some("begins or ends with white space"),
        () => None,
    }
}

/// Reads the secret in the file `path`, as [`Source::read`] does.
///
/// # Errors
/// As there.
pub fn read_file(path: &Path, strict: bool, warnings: &mut Vec<String>) -> Result<Secret, Failure> {
    let (mut bytes, modes) = modes::read(path, LIMIT).map_err(|error| unreadable(path, &error))?;
    warnings.extend(modes.judge(path, nix::unistd::getuid().as_raw(), true, strict)?);
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    text(&bytes, &path.display().to_string())
}

/// The file of a secret that could not be read, with what there is to do.
fn unreadable(path: &Path, e: &io::Error) -> Failure {
    match modes::unreadable(path, e) {
        missing if e.kind() == io::ErrorKind::NotFound && path.parent() == Some(Path::new(STORED)) => {
            let name = path.file_name().unwrap_or_default().display();
            missing.hint(format!("sudo mailchute secret put {name}"))
        }
        missing if e.kind() == io::ErrorKind::NotFound && modes::is_mounted(path) => {
            missing.hint(format!("mount the secret at {}, or name the place where it is", path.display()))
        }
        missing if e.kind() == io::ErrorKind::NotFound && let Some(meant) = meant(path) => missing.hint(format!(
            "did you mean {}, which is there? A path without / in front is looked for beside the file that names it",
            meant.display()
        )),
        missing if e.kind() == io::ErrorKind::NotFound => {
            // A file that only root's test can read would look right and fail for everybody else.
            let group = match nix::unistd::getegid().as_raw() {
                0 => "GROUP".to_owned(),
                gid => modes::group_name(gid),
            };
            let whose =
                if group == "GROUP" { ", GROUP being that of the user that sends (PHP: often www-data)" } else { "" };
            missing.hint(format!("sudo install -m 0640 -g {group} /dev/stdin {}{whose}", path.display()))
        }
        failure => failure,
    }
}

/// The secret that is stored under the name of `path`, which a file of `sites.d` names as if it lay elsewhere.
fn meant(path: &Path) -> Option<PathBuf> {
    let directory = path.ancestors().find(|above| above.ends_with("sites.d"))?.parent()?;
    let stored = directory.join("secrets").join(path.file_name()?);
    stored.is_file().then_some(stored)
}

fn text(bytes: &[u8], what: &str) -> Result<Secret, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(Failure::new(Kind::Configuration, what, "is not UTF-8 text")),
    }
}

fn read_variable(name: &str) -> Result<Secret, Failure> {
    if host::is_privileged() {
        return Err(Failure::new(Kind::NoPermission, name, "a set-group-id binary reads no environment variable"));
    }
    match std::env::var_os(name) {
        Some(value) => text(value.as_encoded_bytes(), name),
        None => Err(Failure::new(Kind::Configuration, name, "the environment variable is not set").hint(
            match caller::parent().is_some_and(|parent| parent.starts_with("php-fpm")) {
                true => {
                    "php-fpm clears the environment: set clear_env = no or env[NAME] in the pool, or use { file = ... }"
                }
                false => "set it where the calling program is started, or use { file = ... }",
            },
        )),
    }
}

fn credential(name: &str) -> Result<PathBuf, Failure> {
    let wrong = |why: &str| Failure::new(Kind::Configuration, format!("systemd credential {name}"), why);
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(wrong("is not the name of a credential"));
    }
    match host::variable("CREDENTIALS_DIRECTORY") {
        Some(dir) => Ok(Path::new(&dir).join(name)),
        None => Err(wrong("CREDENTIALS_DIRECTORY is not set")
            .hint(format!("the service's unit needs LoadCredential={name}:/path/to/file"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::deadline::Deadline;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, Source) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, Source::File(path))
    }

    fn attempt() -> Attempt {
        Attempt::new(Deadline::after(command::TIME))
    }

    fn read(source: &Source) -> Result<Secret, Failure> {
        source.read(false, &mut attempt())
    }

    #[test]
    fn one_final_line_end_is_taken_off_and_nothing_else() {
        for (content, secret) in [
            ("s3cret", "s3cret"),
            ("s3cret\n", "s3cret"),
            ("s\r\n", "s"),
            (" s \n\n", " s \n"),
            ("p\"'\\%#\n", "p\"'\\%#"),
        ] {
            let (_dir, source) = file(content.as_bytes(), 0o600);
            assert_eq!(read(&source).unwrap().expose(), secret);
        }
    }

    #[test]
    fn what_an_editor_may_have_added_is_warned_of_and_sent() {
        for (content, odd) in [
            ("s3cret\n", None),
            ("two words\n", None),
            ("{\n\"client_email\": \"x\"\n}\n", None),
            ("s3cret \n", Some("white space")),
            ("s3cret\n\n", Some("white space")),
            ("s3cret\n# for the shop\n", Some("more than one line")),
            ("\u{feff}s3cret\n", Some("byte order mark")),
        ] {
            let (_dir, source) = file(content.as_bytes(), 0o600);
            let mut attempt = attempt();
            let secret = source.read(false, &mut attempt).unwrap();
            let warnings = attempt.trace.warnings;
            assert_eq!(secret.expose(), content.strip_suffix('\n').unwrap());
            match odd {
                None => assert_eq!(warnings, [""; 0]),
                Some(odd) => assert!(warnings[0].contains(odd) && !warnings[0].contains("s3cret"), "{warnings:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_named_without_its_content() {
        for (content, mode, kind, why) in [
            (&b""[..], 0o600, Kind::Configuration, "is empty"),
            (b"\n", 0o600, Kind::Configuration, "is empty"),
            (b"abc\xff", 0o600, Kind::Configuration, "is not UTF-8 text"),
            (b"a\0b", 0o600, Kind::Configuration, "holds a NUL character, which no secret can"),
            (b"abc", 0o602, Kind::NoPermission, "is world-writable"),
        ] {
            let (_dir, source) = file(content, mode);
            let failure = read(&source).unwrap_err();
            assert_eq!(failure.kind, kind);
            assert!(failure.why.starts_with(why), "{failure}");
            assert!(!failure.to_string().contains("abc"));
        }
    }

    #[test]
    fn a_key_names_the_character_that_no_key_has() {
        for (content, character) in [
            ("k\u{200b}ey", "U+200B (a space without width)"),
            ("\u{feff}key", "U+FEFF (a byte order mark)"),
            ("key\u{a0}", "U+00A0 (a no-break space)"),
            ("key\n\n", "U+000A (a line end)"),
            ("k\u{fc}", "U+00FC,"),
            ("\"key\"\n", "is in quotes"),
            ("'key'", "is in quotes"),
            ("key'", ""),
            ("\"", ""),
            ("k ey~!\n", ""),
        ] {
            let (_dir, source) = file(content.as_bytes(), 0o600);
            let read = source.read_key("api_key", false, &mut Attempt::new(Deadline::after(command::TIME)));
            let checked = source.check_key("api_key", false);
            assert_eq!(
                (read.is_err(), checked.is_err()),
                (!character.is_empty(), !character.is_empty()),
                "{character}"
            );
            for failure in [read.err(), checked.err()].into_iter().flatten() {
                assert_eq!(failure.kind, Kind::Configuration);
                assert!(failure.what.starts_with("file ") && failure.why.contains(character), "{failure}");
            }
        }
        let inline = Source::Inline(Secret::new("k\u{200b}ey".to_owned()));
        assert_eq!(inline.check_key("api_key", false).unwrap_err().what, "api_key");
    }

    #[test]
    fn a_world_readable_file_is_a_warning_and_strictly_a_refusal() {
        let (_dir, source) = file(b"x", 0o644);
        let mut attempt = attempt();
        source.read(false, &mut attempt).unwrap();
        assert_eq!(attempt.trace.warnings.len(), 1);
        assert_eq!(source.read(true, &mut attempt).unwrap_err().kind, Kind::NoPermission);
    }

    #[test]
    fn what_is_missing_says_how_to_supply_it() {
        let missing = read(&Source::Env("MAILCHUTE_NO_SUCH_VARIABLE".into())).unwrap_err();
        assert_eq!(missing.kind, Kind::Configuration);
        assert!(missing.hint.unwrap().contains("where the calling program is started"));
        assert!(read(&Source::Credential("../x".into())).unwrap_err().why.contains("not the name"));
        let missing = read(&Source::File("/nonexistent/x".into())).unwrap_err();
        assert_eq!((missing.kind, missing.why.as_str()), (Kind::Configuration, "no such file"));
        assert!(missing.hint.unwrap().starts_with("sudo install -m 0640 -g "));
    }
}
