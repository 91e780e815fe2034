//! Access tokens (RFC 6749): got where a login or an API takes one, kept until they end, renewed under a
//! lock.
//!
//! `mailchute login` has a person grant a refresh token; an application or a service account needs nobody.

pub mod code;
pub mod device;
pub mod endpoint;
pub mod login;
pub mod loopback;
pub mod refusal;
mod service_account;
pub mod store;

use std::time::Duration;

use jiff::Timestamp;

use self::endpoint::Client;
use self::refusal::login_command;
use self::store::{Granted, Store, Tokens};
use crate::attempt::Attempt;
use crate::caller::Caller;
use crate::config::relay::{Grant, OAuth, Relay};
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::secret::Secret;

/// How long another caller's process is waited for that renews a token which all share.
const PATIENCE: Duration = Duration::from_secs(3);

/// An access token.
struct Access {
    token: Secret,
    /// Whether it was kept from before, so that the server may have ended it meanwhile.
    is_kept: bool,
}

/// Does `work` with the access token of `relay` where it gets one; if that was a kept one and the login
/// `is_refused`, does it once more with a new one: the server has ended the token before its time.
///
/// # Errors
/// What keeps the access token from being had: the authorization server's refusal, 535 5.7.8 or 454 4.7.0;
/// `Configuration` where nobody has logged in; reading a secret or the kept tokens.
pub fn with_access<T>(
    relay: &Relay,
    attempt: &mut Attempt,
    mut work: impl FnMut(Option<&Secret>, &mut Attempt) -> T,
    is_refused: impl Fn(&T) -> bool,
) -> Result<T, Failure> {
    let Some(access) = access(relay, None, attempt)? else { return Ok(work(None, attempt)) };
    let result = work(Some(&access.token), attempt);
    if !access.is_kept || !is_refused(&result) {
        return Ok(result);
    }
    let access = self::access(relay, Some(&access.token), attempt)?;
    Ok(work(access.as_ref().map(|access| &access.token), attempt))
}

/// The access token that is kept for `relay` and good for a while yet. Nobody is asked for another, and what is kept stays
/// as it is. `None`: there is none.
///
/// # Errors
/// As reading a secret or the kept tokens fails.
pub fn kept(relay: &Relay, attempt: &mut Attempt) -> Result<Option<Secret>, Failure> {
    let Some(oauth) = &relay.oauth else { return Ok(None) };
    let given = given(relay, oauth, attempt)?;
    let Ok(store) = Store::of(oauth, &Caller::current()) else { return Ok(None) };
    let wanted = Wanted { relay, oauth, given, refused: None, store: Some(&store) };
    let tokens = wanted.load(attempt)?;
    Ok(tokens.and_then(|tokens| wanted.usable(&tokens, false)).map(|access| access.token))
}

/// The access token that `relay` logs in with; `None`: it gets none. `refused` is one that the relay did not
/// take: another one is got then.
///
/// # Errors
/// A refusal, 535 5.7.8 or 454 4.7.0, of the authorization server; `Configuration` where nobody has logged in;
/// otherwise as reading a secret, the kept tokens or asking the server fails.
fn access(relay: &Relay, refused: Option<&Secret>, attempt: &mut Attempt) -> Result<Option<Access>, Failure> {
    let Some(oauth) = &relay.oauth else { return Ok(None) };
    let given = given(relay, oauth, attempt)?;
    let needs_login = oauth.needs_person();
    let store = match Store::of(oauth, &Caller::current()) {
        Ok(store) => Some(store),
        Err(failure) if needs_login => return Err(failure),
        // A container may have no place to keep anything: then every message asks.
        Err(_) => None,
    };
    let mut wanted = Wanted { relay, oauth, given, refused, store: store.as_ref() };
    let before = match wanted.load(attempt) {
        Err(failure) if !needs_login => {
            attempt.warn(format!("the kept access tokens are passed over: {failure}"));
            wanted.store = None;
            None
        }
        loaded => loaded?,
    };
    if needs_login && before.is_none() {
        return Err(not_logged_in(relay, oauth));
    }
    let usable = |to_the_end| before.as_ref().and_then(|tokens| wanted.usable(tokens, to_the_end));
    if let Some(kept) = usable(false) {
        return Ok(Some(kept));
    }
    let Some(last) = usable(true) else { return wanted.renewed(attempt).map(Some) };
    // It has a while to go; whether the server is back by then is another message's concern.
    let half = attempt.deadline.left() / 2;
    match attempt.within(half, |attempt| wanted.renewed(attempt)) {
        Err(failure) if is_passing(&failure) => {
            attempt.warn(format!("the access token could not be renewed, and ends soon: {failure}"));
            Ok(Some(last))
        }
        result => result.map(Some),
    }
}

/// The access token that is wanted.
struct Wanted<'a> {
    relay: &'a Relay,
    oauth: &'a OAuth,
    /// The configured refresh token.
    given: Option<Secret>,
    /// Not this one.
    refused: Option<&'a Secret>,
    /// Where it is kept, if it can be.
    store: Option<&'a Store>,
}

impl Wanted<'_> {
    /// What is kept.
    fn load(&self, attempt: &mut Attempt) -> Result<Option<Tokens>, Failure> {
        let Some(store) = self.store else { return Ok(None) };
        let kept = store.load(self.relay.strict_modes, &mut attempt.trace.warnings)?;
        Ok(kept.filter(|tokens| tokens.are_of(self.given.as_ref())))
    }

    /// What is kept, or the beginning of it.
    fn tokens(&self, attempt: &mut Attempt) -> Result<Tokens, Failure> {
        Ok(self.load(attempt)?.unwrap_or_else(|| Tokens::of(self.oauth)))
    }

    /// The one in `tokens`.
    fn usable(&self, tokens: &Tokens, to_the_end: bool) -> Option<Access> {
        let token = tokens.access(&self.oauth.scope, Timestamp::now(), to_the_end)?;
        (Some(token) != self.refused).then(|| Access { token: token.clone(), is_kept: true })
    }

    /// A new one, kept for those who come next.
    fn renewed(&self, attempt: &mut Attempt) -> Result<Access, Failure> {
        let Self { relay, oauth, given, store, .. } = self;
        // A caller that stops its own process with the lock in its hands holds nobody up where two may renew at once.
        let needs_no_lock = given.is_none() && store.is_some_and(Store::is_shared);
        let patience =
            if needs_no_lock { Deadline::after(PATIENCE.min(attempt.deadline.left())) } else { attempt.deadline };
        let lock = match store.map(|store| store.lock(patience)) {
            None => None,
            Some(Ok(lock)) => Some(lock),
            Some(Err(failure)) if needs_no_lock && failure.kind == Kind::Unavailable => None,
            Some(Err(failure))
                if failure.kind == Kind::CannotCreate || !oauth.needs_person() && !is_passing(&failure) =>
            {
                attempt.warn(format!("the access token cannot be kept: {failure}"));
                None
            }
            Some(Err(failure)) => return Err(failure),
        };
        let mut tokens = self.tokens(attempt)?;
        // Whoever had the lock before us may have renewed it.
        if let Some(kept) = self.usable(&tokens, false) {
            return Ok(kept);
        }
        let client = Client::of(relay, oauth, attempt)?;
        let granted = ask(&client, relay, &tokens, given.as_ref(), attempt.deadline)?;
        attempt.trace.note(&format!("access token from {}, for {} s", oauth.token_endpoint.place, granted.expires_in));
        let token = granted.access_token.clone();
        let is_rotated = granted.refresh_token.is_some();
        tokens.take(&oauth.scope, granted, given.as_ref(), Timestamp::now());
        let trouble = match (store, lock) {
            (Some(store), lock) if lock.is_some() || needs_no_lock => {
                store.save(&tokens).err().map(|failure| failure.to_string())
            }
            _ => is_rotated.then(|| "there is no directory for them".to_owned()),
        };
        if let Some(trouble) = trouble {
            let rest = if is_rotated { "; the server gave a new refresh token, and the old one may end" } else { "" };
            attempt.warn(format!("the tokens cannot be kept: {trouble}{rest}"));
        }
        Ok(Access { token, is_kept: false })
    }
}

/// The configured refresh token.
fn given(relay: &Relay, oauth: &OAuth, attempt: &mut Attempt) -> Result<Option<Secret>, Failure> {
    match &oauth.grant {
        Grant::RefreshToken(Some(source)) => source.read_key("refresh_token", relay.strict_modes, attempt).map(Some),
        _ => Ok(None),
    }
}

/// Asks for an access token, whatever is kept, and keeps it in `store`: a check that no person has to be asked.
///
/// # Errors
/// As [`with_access`], and where it cannot be kept.
pub fn renew(relay: &Relay, oauth: &OAuth, store: &Store, attempt: &mut Attempt) -> Result<Tokens, Failure> {
    let given = given(relay, oauth, attempt)?;
    let wanted = Wanted { relay, oauth, given, refused: None, store: Some(store) };
    let client = Client::of(relay, oauth, attempt)?;
    let _lock = store.lock(attempt.deadline)?;
    let mut tokens = wanted.tokens(attempt)?;
    let given = wanted.given.as_ref();
    let granted = ask(&client, relay, &tokens, given, attempt.deadline)?;
    tokens.take(&oauth.scope, granted, given, Timestamp::now());
    store.save(&tokens)?;
    Ok(tokens)
}

/// Asks for an access token as the grant has it.
fn ask(
    client: &Client<'_>,
    relay: &Relay,
    tokens: &Tokens,
    given: Option<&Secret>,
    deadline: Deadline,
) -> Result<Granted, Failure> {
    let oauth = client.oauth;
    let answer = match &oauth.grant {
        Grant::RefreshToken(_) => {
            let token = tokens.refresh_token(given).ok_or_else(|| not_logged_in(relay, oauth))?;
            let scope = login::redeemed_scope(oauth);
            let scope = scope.as_ref().map(|scope| ("scope", scope.as_str()));
            let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
            client.token(&fields.into_iter().chain(scope).collect::<Vec<_>>(), deadline)?
        }
        Grant::ClientCredentials => {
            let fields = [("grant_type", "client_credentials")];
            let scope = Some(("scope", oauth.scope.as_str())).filter(|(_, scope)| !scope.is_empty());
            client.token(&fields.into_iter().chain(scope).collect::<Vec<_>>(), deadline)?
        }
        Grant::ServiceAccount(_) => {
            let key = client.secret("service_account").unwrap_or_default();
            let assertion = service_account::assertion(key, oauth, Timestamp::now())?;
            let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
            client.token(&[("grant_type", grant), ("assertion", assertion.expose())], deadline)?
        }
    };
    answer.map_err(|refusal| refusal.failure(relay, oauth))
}

fn is_passing(failure: &Failure) -> bool {
    match &failure.kind {
        Kind::Refused(reply) => reply.is_transient(),
        kind => matches!(kind, Kind::Unavailable | Kind::NoHost | Kind::Protocol),
    }
}

/// What is said where a person has to log in and nobody has.
pub fn not_logged_in(relay: &Relay, oauth: &OAuth) -> Failure {
    let why = match oauth.account.as_str() {
        "" => "nobody has logged in yet".to_owned(),
        account => format!("nobody has logged in for {account} yet"),
    };
    Failure::new(Kind::Configuration, format!("relay {}", relay.name), why)
        .hint(format!("run `{}`", login_command(relay)))
}
