//! Secrets: a type that cannot be printed, and the places a secret is read from.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};

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
    /// Reads the secret.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            _ => Err(Failure::new(Kind::Software, "secret", "not built yet")),
        }
    }
}
