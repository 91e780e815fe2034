//! Why there is no access token, as a reply, and what to do about it.

use super::endpoint::Refusal;
use crate::config::relay::{Grant, OAuth, Relay};
use crate::failure::Failure;
use crate::outcome::Stage;
use crate::reply::Reply;

/// A clock that is off by more than this makes a server refuse what we sign, in seconds.
const CLOCK_TOLERANCE: i64 = 240;

impl Refusal {
    /// The failure that `relay` has of it: 535 5.7.8, or 454 4.7.0 where it may pass (RFC 4954 6).
    pub fn failure(&self, relay: &Relay, oauth: &OAuth) -> Failure {
        let what = oauth.token_endpoint.place.to_string();
        let said = match (self.error.as_str(), self.text.as_str()) {
            ("", _) => format!("gave no access token (HTTP {})", self.status),
            (error, "") => format!("gave no access token: {error} (HTTP {})", self.status),
            (error, text) => format!("gave no access token: {error}: {text} (HTTP {})", self.status),
        };
        if self.is_transient() {
            let failure = Failure::refused(what, Reply::own(454, (4, 7, 0), &said)).at(Stage::Auth);
            // Not an answer of an authorization server at all, but for one that has too much to do.
            return match (self.error.as_str(), self.status) {
                ("", 300..=428 | 430..=499) => failure.hint("check token_endpoint, and what is between here and there"),
                _ => failure,
            };
        }
        let reply = Reply::own(535, (5, 7, 8), &said);
        Failure::refused(what, reply).at(Stage::Auth).hint(self.hint(relay, oauth))
    }

    /// The next step: for what the servers of Google and Microsoft are known to say, else by the error code
    /// and the grant.
    fn hint(&self, relay: &Relay, oauth: &OAuth) -> String {
        let says = |words: &[&str]| words.iter().any(|word| self.text.contains(word));
        let again = login_command(relay);
        if says(&["AADSTS7000222"]) {
            return "the client secret has expired: make a new one in the app registration and put it into client_secret"
                .to_owned();
        }
        if says(&["AADSTS7000215"]) {
            return "client_secret must be the secret's value, not its id: make a new one if the value is gone"
                .to_owned();
        }
        if says(&["AADSTS65001", "AADSTS65004"]) || self.error == "consent_required" {
            return match oauth.grant {
                Grant::RefreshToken(_) => format!("consent to {} is missing: run `{again}`", oauth.scope),
                _ => "consent is missing: an administrator has to grant the application its permission to send"
                    .to_owned(),
            };
        }
        if says(&["AADSTS700016", "AADSTS90002"]) {
            return "check tenant and client_id: this directory does not know the application".to_owned();
        }
        if says(&["AADSTS50194", "AADSTS50059"]) {
            return "set tenant to the directory's id or domain: the application is registered for one directory only"
                .to_owned();
        }
        if says(&["AADSTS9002346", "AADSTS9002331"]) {
            return "set tenant = \"consumers\": the application is registered for personal accounts only".to_owned();
        }
        if says(&["AADSTS7000218"]) {
            return "allow public client flows in the app registration, or put its secret into client_secret"
                .to_owned();
        }
        if says(&["AADSTS700025"]) {
            return "the application is registered as a public client: leave client_secret out".to_owned();
        }
        if says(&["AADSTS53000", "AADSTS53001", "AADSTS53002", "AADSTS53003", "AADSTS53004", "AADSTS530003"]) {
            return "a Conditional Access policy of the directory blocks this login: an administrator has to exempt the \
                    application or the account"
                .to_owned();
        }
        if says(&["AADSTS50053", "AADSTS50057"]) {
            return "the account is locked or disabled: an administrator has to unlock it".to_owned();
        }
        let is_signed = matches!(oauth.grant, Grant::ServiceAccount(_));
        if is_signed && self.error == "invalid_grant" && self.clock.abs() > CLOCK_TOLERANCE {
            let (seconds, how) = (self.clock.abs(), if self.clock > 0 { "behind" } else { "ahead of" });
            return format!("this host's clock is {seconds} s {how} the server's: set it right");
        }
        match (&oauth.grant, self.error.as_str()) {
            (Grant::ServiceAccount(_), "unauthorized_client" | "access_denied") => format!(
                "delegate domain-wide authority for {} to the service account in the Workspace admin console",
                oauth.scope
            ),
            (Grant::ServiceAccount(_), _) => format!(
                "check the service account's key, and that `{}` is a user of the domain it may write for",
                oauth.account
            ),
            (_, "invalid_client" | "unauthorized_client") => {
                "check client_id and client_secret, and that the client may use this grant".to_owned()
            }
            (_, "invalid_scope") => format!("check the scope, {}, and that the client may ask for it", oauth.scope),
            (Grant::ClientCredentials, _) => "check tenant, client_id and client_secret".to_owned(),
            (Grant::RefreshToken(Some(_)), _) => {
                format!("the refresh token has expired: replace refresh_token, or leave it out and run `{again}`")
            }
            (Grant::RefreshToken(None), _) if oauth.server.is_some_and(|server| server.service_accounts) => format!(
                "run `{again}`; where logins end after seven days, the consent screen of the project is still in testing"
            ),
            (Grant::RefreshToken(None), _) => format!("the login has expired: run `{again}`"),
        }
    }
}

/// The command that logs this process's user in.
pub fn login_command(relay: &Relay) -> String {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    format!("mailchute login {} --as {user}", relay.name)
}
