//! The login at an API, without a message.

use crate::attempt::Attempt;
use crate::config::relay::{Interface, Relay};
use crate::failure::Failure;
use crate::http;
use crate::providers::api::{Credentials, Standing};
use crate::secret::Secret;

/// The credentials of `relay` for its API, with `token` where it gets one.
///
/// # Errors
/// As reading a secret fails, or asking the surroundings for one.
pub(super) fn keys(
    relay: &Relay,
    interface: &Interface,
    token: Option<&Secret>,
    attempt: &mut Attempt,
) -> Result<Credentials, Failure> {
    let mut keys = interface.keys(relay.strict_modes, attempt)?;
    if let Some(token) = token {
        keys.insert("token", token.clone());
    }
    http::cloud::complete(relay, interface, &mut keys, attempt)?;
    Ok(keys)
}

/// What the API of `relay` says of its credentials, by a request that submits nothing; `None`: its provider documents
/// none, and nothing was asked. A relay that gets access tokens is not asked for one.
///
/// # Errors
/// As a secret cannot be read, or the API be reached.
pub fn standing(relay: &Relay, interface: &Interface, attempt: &mut Attempt) -> Result<Option<Standing>, Failure> {
    let keys = keys(relay, interface, None, attempt)?;
    http::login(relay, interface, &keys, attempt)
}
