//! The login, tried without a message: what was typed is tried before it is written.

use std::sync::Arc;

use crate::attempt::Attempt;
use crate::config::relay::{Relay, Way};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::hint;
use crate::host;
use crate::providers::api::Standing;
use crate::smtp::{Ending, Session};
use crate::submit::login;

/// Logs in at `relay`, and says what came of it, as a clause.
///
/// # Errors
/// It is not reached, not to be believed, or refuses the login; with the next step.
pub(super) fn log_in(relay: &Arc<Relay>) -> Result<String, Failure> {
    let mut attempt = Attempt::new(Deadline::after(relay.connect_timeout));
    let explained = |failure: Failure| match failure.hint {
        Some(_) => failure,
        None => Failure { hint: hint::for_failure(&failure, relay), ..failure },
    };
    match &relay.way {
        Way::Null(why) => Ok((*why).to_owned()),
        Way::Smtp(smtp) => {
            let login = relay.login(None, &mut attempt)?;
            let name = host::name();
            match Session::open(relay, smtp, login.as_ref(), host::ehlo_argument(&name), &mut attempt) {
                Ok(session) => {
                    session.quit(&mut attempt.trace);
                    let said = if login.is_some() { "accepts the login" } else { "answers, and wants no login" };
                    Ok(format!("{} {said}", relay.place))
                }
                Err(Ending::Refused(reply, stage)) => {
                    let hint = hint::for_reply(&reply, stage, relay);
                    Err(Failure { hint, ..Failure::refused(format!("{} ({stage})", relay.place), reply) })
                }
                Err(Ending::Failed(failure)) => Err(explained(failure)),
            }
        }
        Way::Api(interface) => match login::standing(relay, interface, &mut attempt).map_err(explained)? {
            Some(Standing::Accepted) => Ok(format!("{} accepts the key", relay.place)),
            Some(Standing::Limited(why)) => Err(Failure::new(Kind::Configuration, relay.place.to_string(), why)),
            Some(Standing::Refused(reply)) => Err(Failure::refused(relay.place.to_string(), reply)),
            Some(Standing::Unclear) => {
                Ok("the login is not tried: the answer does not tell about keys that may only send".to_owned())
            }
            None => Ok("the login is not tried: the provider documents no request that would only ask".to_owned()),
        },
    }
}
