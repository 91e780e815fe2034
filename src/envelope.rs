//! The envelope (RFC 5321 2.3.1): reverse-path, forward-paths, and what the caller asked of delivery
//! status notifications (RFC 3461).

use crate::address::Address;

/// Reverse-path, forward-paths and DSN wishes of one submission.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// `None` is the null reverse-path `<>`.
    pub reverse_path: Option<Address>,
    /// The forward-paths without duplicates, in order; never empty.
    pub forward_paths: Vec<Address>,
    /// `-N`, `-R`, `-V`.
    pub dsn: Dsn,
}

impl Envelope {
    /// Every address of it.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.reverse_path.iter().chain(&self.forward_paths)
    }
}

/// Delivery status notification parameters, each as the caller typed it and already checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dsn {
    /// NOTIFY: `NEVER`, or a comma-separated list of `SUCCESS`, `FAILURE`, `DELAY`.
    pub notify: Option<String>,
    /// RET: `FULL` or `HDRS`.
    pub ret: Option<String>,
    /// ENVID, raw (xtext is the wire's business).
    pub envid: Option<String>,
}

/// The reverse-path that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// The null reverse-path: `-f ""`, `-f "<>"`, `MAIL FROM:<>`.
    Null,
    /// An address as typed: not empty, free of CR, LF and NUL.
    Typed(String),
}

impl ReversePath {
    /// What `text`, without spaces at its ends, asks for: nothing and `<>` are the null reverse-path.
    pub fn of(text: &str) -> Self {
        match text {
            "" | "<>" => Self::Null,
            path => Self::Typed(path.to_owned()),
        }
    }
}
