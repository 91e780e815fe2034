//! Credentials that are not in the configuration: those the surroundings give to a program in a cloud.

mod aws;

use crate::attempt::Attempt;
use crate::config::relay::{Interface, Relay};
use crate::failure::Failure;
use crate::providers::api::{Cloud, Credentials};

/// Adds to `keys` what the configuration leaves to the surroundings.
///
/// # Errors
/// `Configuration`: there is nothing anywhere; otherwise as reading a file or asking a service fails.
pub fn complete(
    relay: &Relay,
    interface: &Interface,
    keys: &mut Credentials,
    attempt: &mut Attempt,
) -> Result<(), Failure> {
    match interface.api.cloud() {
        Some(Cloud::Aws { profile, region }) if keys.find("secret_access_key").is_none() => {
            aws::find(relay, profile, region, keys, attempt)
        }
        _ => Ok(()),
    }
}
