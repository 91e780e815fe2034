//! The device authorization grant (RFC 8628): the person confirms the login on another machine, while we ask
//! whether that is done.

use std::thread;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroize as _;

use super::endpoint::{Client, Refusal, Seconds};
use super::store::Granted;
use crate::config::relay::Relay;
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::reply::printable;
use crate::secret::Secret;

/// How long to wait between two questions where the server does not say it, and what is added when it finds
/// that too fast (RFC 8628 3.5).
const PACE: Duration = Duration::from_secs(5);

/// The longest wait between two questions after the server could not be reached.
const SLOWEST: Duration = Duration::from_secs(60);

/// How long the server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is shown of an address or a code, in bytes.
const SHOWN: usize = 1000;

/// A login that waits to be confirmed.
#[derive(Debug)]
pub struct Device {
    code: Secret,
    /// The code to type in.
    pub user_code: String,
    /// Where to.
    pub verification_uri: String,
    /// The address with the code in it, where the server has one.
    pub verification_uri_complete: Option<String>,
    /// How long the code is good.
    pub life: Duration,
    pace: Duration,
}

/// RFC 8628 3.2.
#[derive(Deserialize)]
struct Given {
    device_code: String,
    user_code: String,
    // Google's name for it is older than the RFC.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(default, alias = "verification_url_complete")]
    verification_uri_complete: Option<String>,
    expires_in: Seconds,
    #[serde(default)]
    interval: Option<Seconds>,
}

impl Device {
    /// Begins a login that asks for `scope`.
    ///
    /// # Errors
    /// `Configuration`: no `device_authorization_endpoint` is known. Otherwise the server's refusal, or as
    /// [`Client::token`].
    pub fn begin(client: &Client<'_>, relay: &Relay, scope: &str) -> Result<Self, Failure> {
        let endpoint = client.oauth.device_authorization_endpoint.as_ref().ok_or_else(|| {
            Failure::new(Kind::Configuration, "device_authorization_endpoint", "is needed for a login with a code")
                .hint("use `--browser` or `--paste`, or take it from the server's documentation")
        })?;
        let scope = Some(("scope", scope)).filter(|(_, scope)| !scope.is_empty());
        let mut response = client.post(endpoint, scope.as_slice(), Deadline::after(PATIENCE))?;
        if !response.is_success() {
            return Err(Refusal::of(&response).failure(relay, client.oauth));
        }
        let given = response.json::<Given>().filter(|given| !given.device_code.is_empty());
        response.body.zeroize();
        let Some(given) = given else {
            let why = "gave an answer that is not what RFC 8628 documents";
            return Err(Failure::new(Kind::Protocol, endpoint.place.to_string(), why));
        };
        let shown = |text: &str| printable(text.as_bytes(), SHOWN);
        let pace = given.interval.map_or(PACE, |interval| Duration::from_secs(interval.number().into()));
        Ok(Self {
            code: Secret::new(given.device_code),
            user_code: shown(&given.user_code),
            verification_uri: shown(&given.verification_uri),
            verification_uri_complete: given.verification_uri_complete.as_deref().map(shown),
            life: Duration::from_secs(given.expires_in.number().into()),
            pace: pace.max(Duration::from_secs(1)),
        })
    }

    /// Asks until the login is confirmed, refused or too old.
    ///
    /// # Errors
    /// `NoPermission`: it was refused. `Unavailable`: nobody confirmed it in time. Otherwise as
    /// [`Client::token`], but a server that cannot be reached for a while is asked again.
    pub fn wait(mut self, client: &Client<'_>, relay: &Relay) -> Result<Granted, Failure> {
        let end = Deadline::after(self.life);
        let code = self.code.clone();
        let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code.expose())];
        loop {
            if end.left() <= self.pace {
                return Err(expired());
            }
            // A signal ends the process from a thread of its own.
            thread::sleep(self.pace);
            let answer = client.token(&fields, end.within(PATIENCE));
            let verdict = self.judge(answer, |refusal| refusal.failure(relay, client.oauth));
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
    }

    /// What an answer means; `None`: ask again.
    fn judge(
        &mut self,
        answer: Result<Result<Granted, Refusal>, Failure>,
        told: impl FnOnce(&Refusal) -> Failure,
    ) -> Option<Result<Granted, Failure>> {
        match answer {
            Ok(Ok(granted)) => return Some(Ok(granted)),
            Ok(Err(refusal)) => match refusal.error.as_str() {
                "authorization_pending" => {}
                "slow_down" => self.pace += PACE,
                "expired_token" => return Some(Err(expired())),
                // The second is Microsoft's.
                "access_denied" | "authorization_declined" => {
                    return Some(Err(Failure::new(Kind::NoPermission, "login", "was not granted")));
                }
                _ if refusal.status >= 500 || refusal.status == 429 => {}
                _ => return Some(Err(told(&refusal))),
            },
            Err(failure) if matches!(failure.kind, Kind::Unavailable | Kind::NoHost) => {
                self.pace = (self.pace * 2).min(SLOWEST.max(self.pace));
            }
            Err(failure) => return Some(Err(failure)),
        }
        None
    }
}

fn expired() -> Failure {
    Failure::new(Kind::Unavailable, "login", "nobody confirmed it in time").hint("start again: the code has expired")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device {
            code: Secret::new("secret".to_owned()),
            user_code: String::new(),
            verification_uri: String::new(),
            verification_uri_complete: None,
            life: Duration::from_secs(900),
            pace: PACE,
        }
    }

    /// The pace after `answers`, or the kind of failure they end with.
    fn after(answers: Vec<Result<(u16, &str), Kind>>) -> Result<u64, Kind> {
        let mut device = device();
        for answer in answers {
            let answer = match answer {
                Ok((status, error)) => Ok(Err(Refusal {
                    status,
                    error: error.to_owned(),
                    text: String::new(),
                    clock: 0,
                    is_passing: false,
                })),
                Err(kind) => Err(Failure::new(kind, "server", "trouble")),
            };
            let told = |refusal: &Refusal| Failure::new(Kind::Configuration, "server", refusal.error.clone());
            if let Some(verdict) = device.judge(answer, told) {
                return Err(verdict.expect_err("a failure").kind);
            }
        }
        Ok(device.pace.as_secs())
    }

    #[test]
    fn the_pace_is_the_servers() {
        assert_eq!(after(vec![Ok((400, "authorization_pending")), Ok((428, "authorization_pending"))]), Ok(5));
        assert_eq!(after(vec![Ok((400, "slow_down")), Ok((403, "slow_down"))]), Ok(15));
        assert_eq!(after(vec![Ok((503, "")), Ok((500, "server_error")), Ok((429, ""))]), Ok(5));
        assert_eq!(after(vec![Err(Kind::Unavailable), Err(Kind::NoHost)]), Ok(20));
        assert_eq!(after((0..9).map(|_| Err(Kind::Unavailable)).collect()), Ok(60));
    }

    #[test]
    fn what_is_final_ends_it() {
        assert_eq!(after(vec![Ok((400, "expired_token"))]), Err(Kind::Unavailable));
        assert_eq!(after(vec![Ok((400, "access_denied"))]), Err(Kind::NoPermission));
        assert_eq!(after(vec![Ok((400, "authorization_declined"))]), Err(Kind::NoPermission));
        assert_eq!(after(vec![Ok((401, "invalid_client"))]), Err(Kind::Configuration));
        assert_eq!(after(vec![Ok((404, ""))]), Err(Kind::Configuration));
        assert_eq!(after(vec![Err(Kind::Protocol)]), Err(Kind::Protocol));
    }
}
