//! The credentials of an API: which keys hold them, and what was read from there.

use crate::failure::{Failure, Kind};
use crate::secret::Secret;

/// A key of the relay's table that holds a credential.
#[derive(Clone, Copy, Debug)]
pub struct Credential {
    /// The key.
    pub key: &'static str,
    /// Whether the relay is refused without it.
    pub needed: bool,
}

impl Credential {
    /// One that has to be there.
    pub const fn needed(key: &'static str) -> Self {
        Self { key, needed: true }
    }

    /// One that may be left out.
    pub const fn optional(key: &'static str) -> Self {
        Self { key, needed: false }
    }
}

/// The credentials of one try, read. `Debug` shows their names only.
#[derive(Debug, Default)]
pub struct Credentials(Vec<(&'static str, Secret)>);

impl Credentials {
    /// Adds what was read for `key`.
    pub fn insert(&mut self, key: &'static str, secret: Secret) {
        self.0.push((key, secret));
    }

    /// What `key` holds, if it is configured.
    pub fn find(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, secret)| secret.expose())
    }

    /// What `key` holds.
    ///
    /// # Errors
    /// `Configuration`: it is not configured.
    pub fn get(&self, key: &str) -> Result<&str, Failure> {
        self.find(key).ok_or_else(|| Failure::new(Kind::Configuration, key, "is not configured"))
    }

    /// All of them, for what has to be kept out of sight.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, secret)| secret.expose())
    }
}
