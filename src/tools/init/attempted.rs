//! The login, tried without a message: what was typed is tried before it is written.

use std::sync::Arc;

use crate::attempt::Attempt;
use crate::config::relay::{Relay, Way};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::hint;
use crate::outcome::Stage;
use crate::submit::login::{self, Said, Trouble};
use crate::tools::blocked::{self, Elsewhere};

/// That nobody answers at `relay`, and `way` is open.
pub(super) fn told(relay: &Relay, way: Elsewhere) -> String {
    let name = relay.provider.map_or("the provider", |provider| provider.name);
    let open = match way {
        Elsewhere::Port(port) => format!("port {port}"),
        Elsewhere::Api => "the HTTP API".to_owned(),
    };
    format!(
        "{} does not answer, while {open} of {name} does: something between here and there closes the port",
        relay.place
    )
}

/// Logs in at `relay`, and says what came of it, as a clause. `is_own`: options say where it is, so that another can say
/// another way.
///
/// # Errors
/// It is not reached, not to be believed, or refuses the login; with the next step.
pub(super) fn log_in(relay: &Arc<Relay>, is_own: bool) -> Result<String, Failure> {
    let mut attempt = Attempt::new(Deadline::after(relay.connect_timeout));
    let tried = login::without_message(relay, &mut attempt).map_err(|trouble| {
        let (Trouble::Settings(failure) | Trouble::Failed(failure)) = trouble;
        let is_silent = is_own && failure.kind == Kind::Unavailable && failure.stage == Some(Stage::Connect);
        match (is_silent.then(|| blocked::elsewhere(relay)).flatten(), &failure.hint) {
            (Some(Elsewhere::Port(port)), _) => failure.hint(format!("port {port} answers: add --port {port}")),
            (Some(Elsewhere::Api), _) => failure.hint("its API answers: add --via api"),
            (None, Some(_)) => failure,
            (None, None) => Failure { hint: hint::for_failure(&failure, relay), ..failure },
        }
    })?;
    let place = &relay.place;
    match tried.said {
        Said::Accepted if matches!(relay.way, Way::Api(_)) => Ok(format!("{place} accepts the key")),
        Said::Accepted => Ok(format!("{place} accepts the login")),
        Said::NoLogin => Ok(format!("{place} answers, and wants no login")),
        Said::NotTried(why) => Ok(format!("the login is not tried: {why}")),
        Said::Limited(why) => Err(Failure::new(Kind::Configuration, place.to_string(), why)),
        Said::Refused(reply, stage) => {
            let hint = hint::for_reply(&reply, stage, relay);
            Err(Failure { hint, ..Failure::refused(format!("{place} ({stage})"), reply) })
        }
    }
}
