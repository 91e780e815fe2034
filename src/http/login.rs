//! Whether an API accepts the credentials of a relay: a request of its own that submits nothing.

use super::masking::without;
use super::{Line, exchange};
use crate::attempt::Attempt;
use crate::config::relay::{Interface, Relay};
use crate::failure::Failure;
use crate::providers::api::{Credentials, Validity};

/// Asks the API of `relay` what it thinks of `keys`; `None`: its provider documents no request for that, and nothing was
/// asked.
///
/// # Errors
/// A key is missing, or no answer was had: as [`Connection::open`](crate::wire::Connection::open), or `Unavailable`.
pub fn login(
    relay: &Relay,
    interface: &Interface,
    keys: &Credentials,
    attempt: &mut Attempt,
) -> Result<Option<Validity>, Failure> {
    let (api, endpoint) = (&interface.api, interface.endpoint.as_str());
    let Some(request) = api.login(keys, endpoint, jiff::Timestamp::now())? else { return Ok(None) };
    let answer = exchange(relay, endpoint, &request, None, keys, attempt, &mut Line::default());
    let answer = answer.map_err(|mut failure| {
        failure.why = without(failure.why, keys);
        failure
    })?;
    Ok(Some(api.validity(&answer)))
}
