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
