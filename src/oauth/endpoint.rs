//! One question to an authorization server (RFC 6749 3.2), and what it answers.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;
use zeroize::Zeroize as _;

use super::store::Granted;
use crate::attempt::Attempt;
use crate::config::relay::{Endpoint, OAuth, Relay};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::http;
use crate::providers::api::{Credentials, Piece, Request, Response};
use crate::reply::printable;
use crate::secret::Secret;

/// How long an access token lasts whose life is not told, in seconds.
const USUAL_LIFE: u32 = 3600;

/// What is quoted of an error's description, in bytes.
pub(super) const QUOTED: usize = 400;

/// The client that asks: what is sent to the server beside the grant.
pub struct Client<'a> {
    relay: &'a Relay,
    /// Its configuration.
    pub oauth: &'a OAuth,
    /// What was read of the configuration.
    keys: Credentials,
}

/// A refusal (RFC 6749 5.2), or anything else that is no token.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error code, such as `invalid_grant`; empty where there is none.
    pub error: String,
    /// The server's words for it.
    pub text: String,
    /// How far the server's clock is ahead of ours, in seconds.
    pub clock: i64,
    /// Whether this server says so of what will pass.
    pub is_passing: bool,
}

/// A parameter of a request.
pub type Field<'a> = (&'static str, &'a str);

/// Whether the secret `key` is one that somebody's machine has made; the key of a service account is a file of its own.
pub fn is_key(key: &str) -> bool {
    matches!(key, "client_secret" | "refresh_token")
}

/// Those that are secrets: an answer that repeats one is stripped of it.
const SECRET_FIELDS: &[&str] = &["client_secret", "refresh_token", "device_code", "code", "code_verifier", "assertion"];

impl<'a> Client<'a> {
    /// The client of `relay`, its secrets read; a refresh token is none of them. What is weak about a file's
    /// owner or mode is named in the attempt's warnings.
    ///
    /// # Errors
    /// As [`Source::read`](crate::secret::Source::read).
    pub fn of(relay: &'a Relay, oauth: &'a OAuth, attempt: &mut Attempt) -> Result<Self, Failure> {
        let mut keys = Credentials::default();
        for (key, source) in oauth.secrets().filter(|(key, _)| *key != "refresh_token") {
            keys.insert(
                key,
                match is_key(key) {
                    true => source.read_key(key, relay.strict_modes, attempt)?,
                    false => source.read(relay.strict_modes, attempt)?,
                },
            );
        }
        Ok(Self { relay, oauth, keys })
    }

    /// What was read for `key`, if it is configured.
    pub fn secret(&self, key: &str) -> Option<&str> {
        self.keys.find(key)
    }

    /// Posts `fields` to `endpoint`, with the client's identifier and secret.
    ///
    /// # Errors
    /// The server cannot be reached or does not answer by `deadline`.
    pub fn post(&self, endpoint: &Endpoint, fields: &[Field<'_>], deadline: Deadline) -> Result<Response, Failure> {
        let client = Some(("client_id", self.oauth.client_id.as_str())).filter(|(_, id)| !id.is_empty());
        let secret = self.secret("client_secret").map(|secret| ("client_secret", secret));
        let all = fields.iter().copied().chain(client).chain(secret);
        let mut hidden = Credentials::default();
        for (name, value) in all.clone().filter(|(name, _)| SECRET_FIELDS.contains(name)) {
            hidden.insert(name, Secret::new(value.to_owned()));
        }
        let form = form_urlencoded::Serializer::new(String::with_capacity(2048)).extend_pairs(all).finish();
        let body = vec![Piece::Octets(form.into_bytes())];
        let mut request = Request::post("", "application/x-www-form-urlencoded", body);
        let answer = http::ask(self.relay, endpoint, &request, &hidden, deadline);
        for piece in &mut request.body {
            if let Piece::Octets(octets) = piece {
                octets.zeroize();
            }
        }
        match answer {
            Ok(response) if response.is_success() && !response.is_whole => {
                let why = "gave an answer that never ended";
                Err(Failure::new(Kind::Unavailable, endpoint.place.to_string(), why))
            }
            answer => answer,
        }
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// As [`Client::post`]; `Protocol` where the answer is not what RFC 6749 documents.
    pub fn token(&self, fields: &[Field<'_>], deadline: Deadline) -> Result<Result<Granted, Refusal>, Failure> {
        let endpoint = &self.oauth.token_endpoint;
        let mut response = self.post(endpoint, fields, deadline)?;
        if !response.is_success() {
            return Ok(Err(Refusal::of(&response)));
        }
        // Zoho's way: a refusal with 200. What else a success says may hold secrets.
        let refusal = Refusal { text: String::new(), ..Refusal::of(&response) };
        if !refusal.error.is_empty() && refusal.error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            let passing = self.oauth.server.map_or(&[][..], |server| server.passing);
            return Ok(Err(Refusal { is_passing: passing.contains(&refusal.error.as_str()), ..refusal }));
        }
        let given = response
            .json::<Given>()
            .filter(|given| is_bearer(&given.access_token) && given.token_type.eq_ignore_ascii_case("bearer"));
        response.body.zeroize();
        let Some(given) = given else {
            let why = "gave an answer that is not the token RFC 6749 documents";
            return Err(Failure::new(Kind::Protocol, endpoint.place.to_string(), why));
        };
        Ok(Ok(Granted {
            access_token: Secret::new(given.access_token),
            expires_in: given.expires_in.map_or(USUAL_LIFE, Seconds::number),
            refresh_token: given.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
            scope: given.scope,
        }))
    }
}

#[derive(Deserialize)]
struct Given {
    access_token: String,
    token_type: String,
    #[serde(default)]
    expires_in: Option<Seconds>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    scope: Option<String>,
}

/// Whether `token` can stand in an Authorization field and in a SASL response, where it must not end either.
fn is_bearer(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic())
}

/// A number, or as some servers have it, a string of one.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    /// Whole seconds; what is less than none or no number is none.
    pub(super) fn number(self) -> u32 {
        let number = match self {
            Self::Number(number) => number,
            Self::Text(text) => text.parse().unwrap_or(0.0),
        };
        number as u32
    }
}

#[derive(Default, Deserialize)]
struct Error {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Refusal {
    /// What `response`, which is no token, says.
    pub fn of(response: &Response) -> Self {
        let Error { error, error_description } = response.json().unwrap_or_default();
        let date = response.header("date").and_then(|date| rfc2822::parse(date).ok());
        let clock = date.map_or(0, |date| date.timestamp().as_second() - Timestamp::now().as_second());
        // Microsoft adds identifiers in lines of their own.
        let text = error_description.lines().next().unwrap_or_default();
        Self {
            status: response.status,
            error: printable(error.as_bytes(), 100),
            text: printable(text.as_bytes(), QUOTED),
            clock,
            is_passing: false,
        }
    }

    /// Whether the same question may be answered another time.
    pub fn is_transient(&self) -> bool {
        self.is_passing
            || self.error.is_empty()
            || self.status >= 500
            || self.status == 429
            || matches!(self.error.as_str(), "temporarily_unavailable" | "server_error" | "slow_down")
    }
}
