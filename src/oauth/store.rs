//! The file that keeps one login's tokens: where it is, how it is read, replaced and locked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::config::relay::{Grant, OAuth};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::hex;
use crate::host;
use crate::keep::{Keep, Lock, Place};
use crate::secret::{self, Secret};

/// How long before its end an access token is no longer used: the conversation it opens takes a while, and
/// clocks differ.
const MARGIN: i64 = 120;

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

/// One login's file.
#[derive(Debug)]
pub struct Store {
    keep: Keep,
    /// Without its extension.
    name: String,
    path: PathBuf,
}

impl Store {
    /// The file of the login `oauth` for `caller`. Its directory need not exist yet.
    ///
    /// # Errors
    /// `CannotCreate`: there is no place for one.
    pub fn of(oauth: &OAuth, caller: &Caller) -> Result<Self, Failure> {
        let cannot = |why: &str| Failure::new(Kind::CannotCreate, Place::Tokens.parent(), why);
        let name = name(oauth);
        let at = |keep: Keep| Self { path: keep.file(&format!("{name}.json")), name: name.clone(), keep };
        if host::is_privileged() && !oauth.needs_person() {
            // It comes from a secret that no caller may read, so it is for all of them and in nobody's reach.
            return Keep::shared(Place::Tokens).map(at).ok_or_else(|| {
                cannot("callers of a set-group-id binary can enter it, so only a person's login is kept there")
                    .hint("sudo mailchute init --users")
            });
        }
        let own = Keep::of(Place::Tokens, caller.uid).map(at);
        let store = match own {
            Some(own) if own.path.is_file() => own,
            own => {
                let home = caller.own(directories::BaseDirs::state_dir, ".local/state");
                let home = home.map(|home| at(Keep::at(home.join("mailchute/tokens"), caller.uid)));
                // A login from before there was that place still counts.
                let older = home.as_ref().is_some_and(|home| home.path.is_file());
                let found = if older || own.is_none() { home } else { own };
                found.ok_or_else(|| {
                    let parent = Place::Tokens.parent();
                    cannot("no such directory, or no name left in it, and the caller has no home to keep tokens in")
                        .hint(format!("sudo install -d -m 0755 /var/lib/mailchute && sudo install -d -m 1733 {parent}"))
                })?
            }
        };
        let is_closed = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        if !oauth.needs_person() && fs::symlink_metadata(store.keep.directory()).is_err_and(is_closed) {
            // Homes are hidden from many services, which do without.
            let directory = store.keep.directory().display().to_string();
            return Err(Failure::new(Kind::CannotCreate, directory, "cannot be reached"));
        }
        Ok(store)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept; `None`: nothing yet. What is weak about the file's owner or mode is added to `warnings`,
    /// or refused with `strict`.
    ///
    /// # Errors
    /// `NoPermission` where this process may not read it or others could write it; `Configuration` where it
    /// is not such a file.
    pub fn load(&self, strict: bool, warnings: &mut Vec<String>) -> Result<Option<Tokens>, Failure> {
        let Some((text, found)) = self.keep.read(&format!("{}.json", self.name), secret::LIMIT)? else {
            return Ok(None);
        };
        // Whoever made what all share, nobody else reaches it.
        let judged = match self.keep.is_shared() {
            true => Vec::new(),
            false => found.judge(&self.path, nix::unistd::getuid().as_raw(), true, strict)?,
        };
        for warning in judged {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        serde_json::from_slice(&text).map(Some).map_err(|_| {
            Failure::new(Kind::Configuration, self.path.display().to_string(), "is not a token file")
                .hint("remove it: `mailchute login` makes a new one")
        })
    }

    /// Where the tokens are kept and how long the access token for `scope` is good, for a reader.
    pub fn describe(&self, scope: &str, strict: bool) -> String {
        let place = self.path.display();
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

    /// Whether all callers of a set-group-id binary share these.
    pub fn is_shared(&self) -> bool {
        self.keep.is_shared()
    }

    /// Waits until nobody else renews these tokens. Let go when what is returned is dropped.
    ///
    /// # Errors
    /// As [`Keep::lock`].
    pub fn lock(&self, deadline: Deadline) -> Result<Lock, Failure> {
        self.keep.lock(&format!("{}.lock", self.name), deadline)
    }

    /// Replaces what is kept, in one step, keeping owner and mode of the file.
    ///
    /// # Errors
    /// As [`Keep::save`].
    pub fn save(&self, tokens: &Tokens) -> Result<(), Failure> {
        let failed = |why: String| Failure::new(Kind::Io, self.path.display().to_string(), why);
        let text = serde_json::to_vec_pretty(tokens).map(Zeroizing::new);
        let text = text.map_err(|error| failed(format!("cannot be written: {error}")))?;
        if text.len() > secret::LIMIT {
            return Err(failed("cannot be written: the tokens are too large".to_owned()));
        }
        // A new refresh token may have ended the old one: this has to last.
        self.keep.save(&format!("{}.json", self.name), &text)
    }
}

/// A name that two logins share only if they are one, to be followed by an extension.
fn name(oauth: &OAuth) -> String {
    let grant = match &oauth.grant {
        Grant::RefreshToken(None) => "login",
        Grant::RefreshToken(Some(_)) => "refresh_token",
        Grant::ClientCredentials => "client_credentials",
        Grant::ServiceAccount(_) => "service_account",
    };
    let identity = [&oauth.token_endpoint.url, &oauth.client_id, &oauth.account, grant].join("\n");
    fingerprint(&identity)[..16].to_owned()
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
