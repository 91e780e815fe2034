//! The route: the relays to try for a message, in order.

use std::sync::Arc;

use crate::config::relay::Relay;
use crate::config::site::Site;
use crate::failure::{Failure, Kind};

/// The site's relays in their order, or only the one that `--relay` names.
///
/// # Errors
/// `Configuration`: the site has no relay of that name.
pub fn choose(site: &Site, wanted: Option<&str>) -> Result<Vec<Arc<Relay>>, Failure> {
    let Some(wanted) = wanted else { return Ok(site.relays.to_vec()) };
    let relay = site.relays.iter().find(|relay| relay.name == wanted).ok_or_else(|| {
        let names: Vec<&str> = site.relays.iter().map(|relay| relay.name.as_str()).collect();
        Failure::new(Kind::Configuration, format!("relay {wanted}"), format!("site {} has no such relay", site.name))
            .hint(format!("it has {}", names.join(", ")))
    })?;
    Ok(vec![Arc::clone(relay)])
}
