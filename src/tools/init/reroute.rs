//! Another way to a provider, offered where the usual one is closed.

use super::ask::{ask, complain, is_wanted, say};
use super::attempted;
use super::draft;
use crate::cli::init::Init;
use crate::failure::Failure;
use crate::providers::Provider;
use crate::tools::blocked::{self, Elsewhere};

/// Asks for another way to the provider where its port is closed and another way is open: whether it did. Before the
/// secret, which may be of another kind there.
pub(super) fn offer(of: &mut Init) -> Result<bool, Failure> {
    if of.no_network || of.via.is_some() {
        return Ok(false);
    }
    let Some(relay) = draft::place(of)?.filter(|relay| relay.provider.is_some() && !blocked::is_open(relay)) else {
        return Ok(false);
    };
    let Some(way) = blocked::elsewhere(&relay) else { return Ok(false) };
    say(&format!("   {}", attempted::told(&relay, way)));
    let next = match way {
        Elsewhere::Port(port) if is_wanted(&format!("Use port {port}?"), true)? => {
            Init { port: Some(port), ..of.clone() }
        }
        Elsewhere::Api if is_wanted("Send by its API?", true)? => {
            let mut next = Init { via: Some("api".to_owned()), ..of.clone() };
            if let Some(provider) = relay.provider {
                needed(&mut next, provider)?;
            }
            next
        }
        _ => return Ok(true),
    };
    match draft::check_relay(&next, None) {
        Ok(()) => *of = next,
        Err(failure) => complain(&failure),
    }
    Ok(true)
}

/// Asks for the setting that the API of `provider` cannot be without, where that is not said.
fn needed(of: &mut Init, provider: &Provider) -> Result<(), Failure> {
    let api = provider.api.and_then(|api| api.with_needed("unknown").ok());
    let Some(key) = api.and_then(|(key, _)| key).filter(|_| draft::check_relay(of, None).is_err()) else {
        return Ok(());
    };
    let own = draft::domain(draft::from(of).unwrap_or_default()).to_owned();
    let usual = (key == "domain").then_some(own.as_str());
    ask(&format!("{} of {}", key.replace('_', " "), provider.name), usual, |answer| {
        let mut next = of.clone();
        match key {
            "domain" => next.domain = Some(answer.to_owned()),
            key => next.set.push(format!("{key}={answer}")),
        }
        draft::check_relay(&next, None).map(|()| *of = next)
    })
}
