//! Steps 3 to 6 of a message's path: site, envelope, the message made fit, route.
//!
//! Sending and explaining both come through here, so that what `explain` says is what would happen.

use std::path::Path;
use std::sync::Arc;

use crate::address::{Address, parse_address};
use crate::alias::Names;
use crate::caller::Caller;
use crate::config::Config;
use crate::config::relay::Relay;
use crate::config::site::Site;
use crate::envelope::{Envelope, Origin, Wishes, first_address};
use crate::failure::Failure;
use crate::host;
use crate::message::{Header, Message};
use crate::route;
use crate::site::{self, Selection};

/// The host's alias file.
const ALIAS_FILE: &str = "/etc/aliases";

/// Everything that is decided before a relay is spoken to.
#[derive(Debug)]
pub struct Plan {
    /// Who sends, who receives.
    pub envelope: Envelope,
    /// Why it is this envelope, for `explain`.
    pub notes: Vec<String>,
    /// The relays to try, in order.
    pub route: Vec<Arc<Relay>>,
    /// What goes out as it is though it may not arrive so.
    pub warnings: Vec<String>,
}

/// Finds the site that speaks; `wanted` is the one that was asked for.
///
/// # Errors
/// `NoPermission`: no site is this caller's.
pub fn choose_site<'c>(
    config: &'c Config,
    caller: &Caller,
    wanted: Option<&str>,
    wishes: &Wishes,
    header: &Header,
) -> Result<Selection<'c>, Failure> {
    let typed = wishes.reverse_path.as_deref().and_then(|path| parse_address(path).ok()?.address().ok());
    let senders: Vec<Address> = typed.into_iter().chain(header.all("From").filter_map(first_address)).collect();
    let senders: Vec<&Address> = senders.iter().collect();
    site::select(config, caller, wanted, &senders)
}

/// Chooses the envelope, makes `message` fit and finds the route; `relay` is the one that was asked for.
///
/// # Errors
/// Our refusal where the site is disabled or may not write as this sender, `Usage` without a recipient,
/// `Data` for an address that is none, `Configuration` for a relay that the site has not.
pub fn make(
    site: &Site,
    caller: &Caller,
    host_name: &str,
    wishes: &Wishes,
    relay: Option<&str>,
    message: &mut Message,
) -> Result<Plan, Failure> {
    site.check_enabled()?;
    let uid = caller.uid.to_string();
    let names = Names { site, host_name, alias_file: Path::new(ALIAS_FILE) };
    let origin = Origin { names, user: caller.user.as_deref().unwrap_or(&uid) };
    let (mut envelope, notes) = Envelope::choose(wishes, message.header(), &origin)?;
    let warnings = message.make_fit(&mut envelope, wishes, &origin, host::now)?;
    let route = route::choose(site, relay)?;
    Ok(Plan { envelope, notes, route, warnings })
}
