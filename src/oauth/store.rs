//! The file that keeps one login's tokens: where it is, how it is read, replaced and locked.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::config::relay::{Grant, OAuth};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::hex;
use crate::host;
use crate::modes;
use crate::secret::{self, Secret};

/// Every uid's tokens, in directories of their own; made by the installation, root's and sticky.
const PLACE: &str = "/var/lib/mailchute/tokens";

/// How long before its end an access token is no longer used: the conversation it opens takes a while, and
/// clocks differ.
const MARGIN: i64 = 120;

/// How long to wait before a lock is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The tokens of one login: one account at one authorization server through one client.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// Whose they are, for a reader of the file.
    account: String,
    client: String,
    server: String,
    /// The refresh token, where the grant has one.
    #[serde(default, with = "exposed")]
    refresh_token: Option<Secret>,
    /// The configured refresh token that all of them came from, as a digest.
    #[serde(default)]
    origin: Option<String>,
    /// What was granted at the login.
    #[serde(default)]
    pub(super) scope: String,
    /// An access token for each scope that was asked for.
    #[serde(default)]
    access: Vec<AccessToken>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AccessToken {
    scope: String,
    #[serde(with = "exposed")]
    token: Option<Secret>,
    /// When it was given and when it ends, in seconds since 1970.
    since: i64,
    until: i64,
}

/// What a token endpoint gave (RFC 6749 5.1).
#[derive(Debug)]
pub struct Granted {
    /// The access token.
    pub access_token: Secret,
    /// How long it lasts, in seconds.
    pub expires_in: u32,
    /// A refresh token, or one that stands in for the one used.
    pub refresh_token: Option<Secret>,
    /// What is granted, where it is said.
    pub scope: Option<String>,
}

impl Tokens {
    /// No tokens yet, of this login.
    pub fn of(oauth: &OAuth) -> Self {
        Self {
            account: oauth.account.clone(),
            client: oauth.client_id.clone(),
            server: oauth.token_endpoint.url.clone(),
            ..Self::default()
        }
    }

    /// The access token for `scope` that is good for a while yet, seen from `now`; with its last seconds
    /// (`to_the_end`) if it has to be.
    pub fn access(&self, scope: &str, now: Timestamp, to_the_end: bool) -> Option<&Secret> {
        let now = now.as_second();
        let margin = if to_the_end { 0 } else { MARGIN };
        let is_good = |kept: &&AccessToken| {
            // A clock that was put back makes every end look far away.
            kept.scope == scope
                && kept.since <= now + MARGIN
                && now + margin.min(kept.until.saturating_sub(kept.since) / 2) < kept.until
        };
        self.access.iter().find(is_good)?.token.as_ref()
    }

    /// When the access token for `scope` ends, in seconds since 1970; `None`: there is none.
    pub fn until(&self, scope: &str) -> Option<i64> {
        self.access.iter().find(|kept| kept.scope == scope).map(|kept| kept.until)
    }

    /// What was granted at the login; empty where that was not said.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Whether they came from `given`, the configured refresh token; `None`: from a login. Another one in the
    /// configuration is newer than all that became of the old one.
    pub fn are_of(&self, given: Option<&Secret>) -> bool {
        self.origin == given.map(|given| fingerprint(given.expose()))
    }

    /// The refresh token that followed from `given`, the configured one, or from a login.
    pub fn refresh_token(&self, given: Option<&Secret>) -> Option<Secret> {
        self.refresh_token.as_ref().or(given).cloned()
    }

    /// Takes in what was given for `scope` at `now`; `given` is the configured refresh token.
    pub fn take(&mut self, scope: &str, granted: Granted, given: Option<&Secret>, now: Timestamp) {
        let since = now.as_second();
        self.access.retain(|kept| kept.scope != scope && kept.until > since);
        self.access.push(AccessToken {
            scope: scope.to_owned(),
            token: Some(granted.access_token),
            since,
            until: since + i64::from(granted.expires_in),
        });
        self.refresh_token = granted.refresh_token.or(self.refresh_token.take());
        self.origin = given.map(|given| fingerprint(given.expose()));
    }
}

/// Makes the place for every uid's tokens, if this process is root and it is missing.
///
/// Where it cannot be made, as in a container whose file system is read-only, each user's home takes its place.
pub fn make_place() {
    let place = Path::new(PLACE);
    if !nix::unistd::getuid().is_root() || place.exists() {
        return;
    }
    for (directory, mode) in place.parent().map(|parent| (parent, 0o755)).into_iter().chain([(place, 0o1733)]) {
        // Its mode has to be that whatever the umask, but what an administrator made is left alone.
        if DirBuilder::new().mode(0o700).create(directory).is_ok() {
            let _ = fs::set_permissions(directory, Permissions::from_mode(mode));
        }
    }
}

/// One login's file.
#[derive(Debug)]
pub struct Store {
    file: PathBuf,
    uid: u32,
}

impl Store {
    /// The file of the login `oauth` for `caller`. Its directory need not exist yet.
    ///
    /// # Errors
    /// `CannotCreate`: there is no place for one.
    pub fn of(oauth: &OAuth, caller: &Caller) -> Result<Self, Failure> {
        let cannot = |why: &str| Failure::new(Kind::CannotCreate, PLACE, why);
        if host::is_privileged() && !oauth.needs_person() {
            // It came from a secret that the caller may not read.
            return Err(cannot("with a set-group-id binary, only a person's login is kept"));
        }
        let home = || Some(caller.own(directories::BaseDirs::state_dir, ".local/state")?.join("mailchute/tokens"));
        let name = name(oauth);
        let file = if Path::new(PLACE).is_dir() {
            let file = Path::new(PLACE).join(caller.uid.to_string()).join(&name);
            // A login from before there was this place still counts.
            let older = || home().map(|home| home.join(&name)).filter(|older| older.is_file());
            if file.is_file() { file } else { older().unwrap_or(file) }
        } else {
            let why = "no such directory, and the caller has no home to keep tokens in";
            let hint = format!("as root: install -d -m 0755 /var/lib/mailchute && install -d -m 1733 {PLACE}");
            home().ok_or_else(|| cannot(why).hint(hint))?.join(&name)
        };
        let store = Self { file, uid: caller.uid };
        let is_closed = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        if !oauth.needs_person() && fs::symlink_metadata(store.directory()).is_err_and(is_closed) {
            // Homes are hidden from many services, which do without.
            return Err(Failure::new(Kind::CannotCreate, store.directory().display().to_string(), "cannot be reached"));
        }
        Ok(store)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// What is kept; `None`: nothing yet. What is weak about the file's owner or mode is added to `warnings`,
    /// or refused with `strict`.
    ///
    /// # Errors
    /// `NoPermission` where this process may not read it or others could write it; `Configuration` where it
    /// is not such a file.
    pub fn load(&self, strict: bool, warnings: &mut Vec<String>) -> Result<Option<Tokens>, Failure> {
        match fs::symlink_metadata(self.directory()) {
            Ok(found) => self.check_directory(&found)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // Reading says what is wrong.
            Err(_) => {}
        }
        let (text, found) = match modes::read(&self.file, secret::LIMIT) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(modes::unreadable(&self.file, &error)),
        };
        for warning in found.judge(&self.file, self.uid, true, strict)? {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        serde_json::from_slice(&text).map(Some).map_err(|_| {
            Failure::new(Kind::Configuration, self.file.display().to_string(), "is not a file of tokens")
                .hint("remove it: `mailchute login` makes another")
        })
    }

    /// Where the tokens are kept and how long the access token for `scope` is good, for a reader.
    pub fn describe(&self, scope: &str, strict: bool) -> String {
        let place = self.file.display();
        match self.load(strict, &mut Vec::new()) {
            Err(failure) => format!("kept in {place}: NOT readable: {}", failure.why),
            Ok(None) => format!("to be kept in {place}: nothing there yet"),
            Ok(Some(tokens)) => {
                let until = tokens.until(scope).and_then(|until| Timestamp::from_second(until).ok());
                match until.filter(|until| *until > Timestamp::now()) {
                    Some(until) => format!("kept in {place}: good until {until}"),
                    None => format!("kept in {place}: to be renewed"),
                }
            }
        }
    }

    /// Waits until nobody else renews these tokens. Let go when what is returned is dropped.
    ///
    /// # Errors
    /// `CannotCreate` where the directory or the lock cannot be made, `NoPermission` where the directory is
    /// somebody else's, `Unavailable` when the lock is not had by `deadline`.
    pub fn lock(&self, deadline: Deadline) -> Result<Lock, Failure> {
        self.make_directory()?;
        let path = self.file.with_extension("lock");
        let failed = |error: &io::Error| {
            Failure::new(Kind::CannotCreate, path.display().to_string(), format!("cannot be made: {error}"))
        };
        let mut options = OpenOptions::new();
        // What is no file, such as a FIFO, is not waited for.
        options.create(true).truncate(false).write(true).mode(0o600);
        options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
        loop {
            let file = options.open(&path).map_err(|error| failed(&error))?;
            let inode = file.metadata().map_err(|error| failed(&error))?.ino();
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // One that was removed meanwhile keeps nobody out.
                Ok(lock) if fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == inode) => {
                    return Ok(Lock(lock));
                }
                Ok(_) if !deadline.is_over() => {}
                Ok(_) => return Err(failed(&io::ErrorKind::NotFound.into())),
                Err((_, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) if !deadline.is_over() => {
                    // flock(2) knows no deadline.
                    thread::sleep(LOCK_PAUSE.min(deadline.left()));
                }
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                    let why = "another process is renewing the tokens and does not come to an end";
                    return Err(Failure::new(Kind::Unavailable, path.display().to_string(), why));
                }
                Err((_, errno)) => return Err(failed(&errno.into())),
            }
        }
    }

    /// Replaces what is kept, in one step, keeping owner and mode of the file.
    ///
    /// # Errors
    /// `CannotCreate` or `Io`: nothing is changed then.
    pub fn save(&self, tokens: &Tokens) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Kind::Io, self.file.display().to_string(), format!("cannot be written: {error}"))
        };
        let directory = self.make_directory()?;
        let text = Zeroizing::new(serde_json::to_vec_pretty(tokens).map_err(|error| failed(&error))?);
        if text.len() > secret::LIMIT {
            return Err(failed(&"the tokens are too large"));
        }
        let write = || -> io::Result<()> {
            let mut file = NamedTempFile::new_in(directory)?;
            // A link has no mode that means anything.
            if let Some(before) = fs::symlink_metadata(&self.file).ok().filter(Metadata::is_file) {
                let is_ours = (before.uid(), before.gid()) == (self.uid, nix::unistd::getegid().as_raw());
                let is_kept = is_ours || fchown(file.as_file(), Some(before.uid()), Some(before.gid())).is_ok();
                // What another group may do is not for ours; the tokens matter more than their owner.
                let mode = before.mode() & if is_kept { 0o7777 } else { 0o700 };
                file.as_file().set_permissions(Permissions::from_mode(mode))?;
            }
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(&self.file).map_err(|error| error.error)?;
            // A new refresh token may have ended the old one: it must not be lost with the power.
            File::open(directory)?.sync_all()
        };
        write().map_err(|error| failed(&error))
    }

    fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// The directory, made if need be.
    fn make_directory(&self) -> Result<&Path, Failure> {
        let directory = self.directory();
        let failed = |kind, what: &str, error: &io::Error| {
            Failure::new(kind, directory.display().to_string(), format!("cannot be {what}: {error}"))
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| failed(Kind::CannotCreate, "made", &error))?;
        let found = fs::symlink_metadata(directory).map_err(|error| failed(Kind::Io, "looked at", &error))?;
        self.check_directory(&found)?;
        Ok(directory)
    }

    /// Refuses a directory in which somebody else may lay tokens: mail would go out through their login.
    fn check_directory(&self, found: &Metadata) -> Result<(), Failure> {
        if found.is_dir() && [self.uid, 0].contains(&found.uid()) && found.mode() & 0o022 == 0 {
            return Ok(());
        }
        let (directory, uid) = (self.directory().display(), self.uid);
        let why = "is not a directory that this uid has to itself";
        Err(Failure::new(Kind::NoPermission, directory.to_string(), why)
            .hint(format!("as root: rm -r {directory} && install -d -m 0700 -o {uid} {directory}")))
    }
}

/// Holds a login's lock.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "let go when dropped")] Flock<File>);

/// A name that two logins share only if they are one.
fn name(oauth: &OAuth) -> String {
    let grant = match &oauth.grant {
        Grant::RefreshToken(None) => "login",
        Grant::RefreshToken(Some(_)) => "refresh_token",
        Grant::ClientCredentials => "client_credentials",
        Grant::ServiceAccount(_) => "service_account",
    };
    let identity = [&oauth.token_endpoint.url, &oauth.client_id, &oauth.account, grant].join("\n");
    format!("{}.json", &fingerprint(&identity)[..16])
}

/// What `text` is known by.
fn fingerprint(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

/// Secrets in the one file that keeps them.
mod exposed {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
    }
}
