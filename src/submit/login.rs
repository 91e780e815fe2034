//! The login without a message: `check` and `init` ask for it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::attempt::Attempt;
use crate::config::relay::{Interface, Relay, Smtp, Way};
use crate::failure::Failure;
use crate::host;
use crate::http;
use crate::oauth;
use crate::outcome::Stage;
use crate::providers::api::{Credentials, Validity};
use crate::reply::Reply;
use crate::secret::Secret;
use crate::smtp::{Ending, Session};

/// What came of a login without a message.
pub struct Tried {
    /// What the relay says of it.
    pub said: Said,
    /// When the certificate of an SMTP server ends.
    pub end: Option<Timestamp>,
}

/// What a relay says of a login, or why it was not asked.
pub enum Said {
    /// It is accepted.
    Accepted,
    /// None is configured, and the relay was reached without.
    NoLogin,
    /// Why it was not tried, or nothing can be told from the answer: a clause without full stop.
    NotTried(&'static str),
    /// It is accepted, and does not suffice to send: a clause without full stop.
    Limited(&'static str),
    /// The relay says no, here.
    Refused(Reply, Stage),
}

/// Why there is no answer.
pub enum Trouble {
    /// A secret is not to be had, or the API does not answer with it.
    Settings(Failure),
    /// The conversation failed.
    Failed(Failure),
}

/// Logs in at `relay` and takes leave, with the access token that is kept where it takes one. None is asked for, which would
/// change what is kept: without one an SMTP server is spoken to without a login, and an API not at all.
///
/// # Errors
/// [`Trouble`], without a next step of the relay's.
pub fn without_message(relay: &Arc<Relay>, attempt: &mut Attempt) -> Result<Tried, Trouble> {
    match &relay.way {
        Way::Null(why) => Ok(Tried { said: Said::NotTried(why), end: None }),
        Way::Smtp(smtp) => by_smtp(relay, smtp, attempt),
        Way::Api(interface) => by_api(relay, interface, attempt).map(|said| Tried { said, end: None }),
    }
}

/// Why the login is not tried where it takes an access token and none is kept.
const TOKEN: &str = "an access token would have to be got";

fn by_smtp(relay: &Arc<Relay>, smtp: &Smtp, attempt: &mut Attempt) -> Result<Tried, Trouble> {
    let token = oauth::kept(relay, attempt).map_err(Trouble::Settings)?;
    let (login, said) = match (&relay.oauth, relay.smtp_login()) {
        (Some(_), _) if token.is_none() => (None, Said::NotTried(TOKEN)),
        (Some(_), _) => (relay.login(token.as_ref(), attempt).map_err(Trouble::Settings)?, Said::Accepted),
        (None, None) => (None, Said::NoLogin),
        (None, Some(_)) => (relay.login(None, attempt).map_err(Trouble::Settings)?, Said::Accepted),
    };
    // A session ends where a login is configured and not to be had.
    let without = Smtp { login: None, ..smtp.clone() };
    let smtp = if matches!(said, Said::NotTried(_)) { &without } else { smtp };
    let name = host::name();
    match Session::open(relay, smtp, login.as_ref(), host::ehlo_argument(&name), attempt) {
        Ok(session) => {
            let end = session.certificate_end();
            session.quit(&mut attempt.trace);
            Ok(Tried { said, end })
        }
        Err(Ending::Refused(reply, stage)) => Ok(Tried { said: Said::Refused(reply, stage), end: None }),
        Err(Ending::Failed(failure)) => Err(Trouble::Failed(failure)),
    }
}

fn by_api(relay: &Relay, interface: &Interface, attempt: &mut Attempt) -> Result<Said, Trouble> {
    let token = oauth::kept(relay, attempt).map_err(Trouble::Settings)?;
    if relay.oauth.is_some() && token.is_none() {
        return Ok(Said::NotTried(TOKEN));
    }
    Ok(match validity(relay, interface, token.as_ref(), attempt).map_err(Trouble::Settings)? {
        Some(Validity::Accepted) => Said::Accepted,
        Some(Validity::Limited(why)) => Said::Limited(why),
        Some(Validity::Refused(reply)) => Said::Refused(reply, Stage::Auth),
        Some(Validity::Unclear) => {
            Said::NotTried("what its API answers does not tell, as with keys that may only send")
        }
        None => Said::NotTried("its provider documents no request that would only ask"),
    })
}

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
/// none, and nothing was asked.
///
/// # Errors
/// As a secret cannot be read, or the API be reached.
fn validity(
    relay: &Relay,
    interface: &Interface,
    token: Option<&Secret>,
    attempt: &mut Attempt,
) -> Result<Option<Validity>, Failure> {
    let keys = keys(relay, interface, token, attempt)?;
    http::login(relay, interface, &keys, attempt)
}
