//! Steps 3 to 6 of a message's path: site, envelope, the message made fit, route.
//!
//! Sending and explaining both come through here, so that what `explain` says is what would happen.

pub mod alias;
mod choice;
pub mod envelope;
pub mod fit;
pub mod route;
mod sender;
pub mod site;

use std::path::Path;
use std::sync::Arc;

use self::alias::{Names, checked};
pub use self::choice::Choice;
use self::envelope::Origin;
pub use self::envelope::Wishes;
use self::site::Selection;
use crate::address::{AddrSpec, Address, parse_address};
use crate::caller::Caller;
use crate::config::Config;
use crate::config::relay::Relay;
use crate::config::site::Site;
use crate::envelope::{Envelope, ReversePath};
use crate::failure::Failure;
use crate::host;
use crate::message::header::first_address;
use crate::message::{Header, Message};

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
    let typed = match &wishes.reverse_path {
        Some(ReversePath::Typed(path)) => parse_address(path).ok().and_then(|spec| spec.address().ok()),
        _ => None,
    };
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
    let origin = origin(site, caller, &uid, host_name);
    let (mut envelope, notes) = envelope::choose(wishes, message.header(), &origin)?;
    let warnings = fit::make_fit(message, &mut envelope, wishes, &origin, host::now)?;
    let route = route::choose(site, relay)?;
    Ok(Plan { envelope, notes, route, warnings })
}

/// The reverse-path of a message that is still to come: what the caller said, held to the site's senders;
/// a bare name becomes the site's own address. The strings tell what was changed.
///
/// # Errors
/// Our refusal where the site is disabled or may not write so, `Data` for an address that is none.
pub fn reverse_path(
    site: &Site,
    caller: &Caller,
    host_name: &str,
    said: Option<&AddrSpec>,
) -> Result<(Option<Address>, Vec<String>), Failure> {
    site.check_enabled()?;
    let uid = caller.uid.to_string();
    let origin = origin(site, caller, &uid, host_name);
    let path = match said {
        None => None,
        Some(spec) if spec.domain.is_some() => Some(checked(spec)?),
        Some(_) => Some(origin.own_address()?.0),
    };
    let mut repairs = Vec::new();
    let path = sender::apply_to_path(path, &origin, &mut repairs)?;
    Ok((path, repairs))
}

/// The addresses that `said`, a forward-path, stands for.
///
/// # Errors
/// `Data`: a local name that leads nowhere.
pub fn forward_paths(site: &Site, host_name: &str, said: &AddrSpec) -> Result<Vec<Address>, Failure> {
    Names { site, host_name, alias_file: Path::new(ALIAS_FILE) }.expand(said, &mut Vec::new())
}

/// Makes a message fit whose envelope is settled already. What goes out as it is though it may not arrive
/// so is returned.
///
/// # Errors
/// As [`make`].
pub fn fit(
    site: &Site,
    caller: &Caller,
    host_name: &str,
    wishes: &Wishes,
    envelope: &mut Envelope,
    message: &mut Message,
) -> Result<Vec<String>, Failure> {
    let uid = caller.uid.to_string();
    fit::make_fit(message, envelope, wishes, &origin(site, caller, &uid, host_name), host::now)
}

fn origin<'a>(site: &'a Site, caller: &'a Caller, uid: &'a str, host_name: &'a str) -> Origin<'a> {
    let names = Names { site, host_name, alias_file: Path::new(ALIAS_FILE) };
    Origin { names, user: caller.user.as_deref().unwrap_or(uid) }
}
