//! Where a provider gives out access tokens (RFC 6749), and what they are asked for.

/// An authorization server. `{tenant}` and `{region}` in an address are replaced.
#[derive(Debug)]
pub struct AuthorizationServer {
    /// Where a browser is sent (RFC 6749 3.1).
    pub authorization_endpoint: &'static str,
    /// What its answers say in `iss` (RFC 9207 2), where they say it.
    pub issuer: Option<&'static str>,
    /// Where tokens are asked for (RFC 6749 3.2).
    pub token_endpoint: &'static str,
    /// Where a login without a browser begins (RFC 8628 3.1), if that is known.
    pub device_authorization_endpoint: Option<&'static str>,
    /// What stands for `{region}` by the relay's `region`, the usual one first; empty: there are none.
    pub regions: &'static [(&'static str, &'static str)],
    /// What stands for `{tenant}` where `tenant` says nothing; `None`: there are no tenants.
    pub tenant: Option<&'static str>,
    /// What a person grants, for SMTP and for the HTTP API.
    pub scope: Scopes,
    /// What an application of its own is granted; `None`: there is no such grant.
    pub application: Option<Scopes>,
    /// Asked for beside the scope when a person logs in, so that a refresh token is given.
    pub offline_scope: &'static str,
    /// The same, as parameters of the authorization request.
    pub offline_parameters: &'static [(&'static str, &'static str)],
    /// The host of the redirect URI of a program on the person's own machine (RFC 8252 7.3).
    pub loopback: &'static str,
    /// Whether a person may make a code at the server, to be redeemed without any redirect URI.
    pub self_client: bool,
    /// Whether the device flow may grant these scopes.
    pub device_flow: bool,
    /// Whether a service account's key may stand for a person (RFC 7523).
    pub service_accounts: bool,
    /// Error codes that this server gives with 2xx when it has been asked too often.
    pub passing: &'static [&'static str],
    /// What the API says, in lower case, of a token that may not send.
    pub no_permission: &'static [&'static str],
    /// The next steps after a new token was refused.
    pub hints: TokenHints,
}

/// The scope of each way.
#[derive(Debug)]
pub struct Scopes {
    /// SMTP with XOAUTH2 or OAUTHBEARER.
    pub smtp: &'static str,
    /// The HTTP API.
    pub api: &'static str,
}

/// The next steps after a token that was just got is refused; `{username}`, `{scope}` and `{login}` in them are replaced.
/// Empty: what is said of everybody's tokens.
#[derive(Debug)]
pub struct TokenHints {
    /// SMTP refuses a person's, or that of a service account.
    pub person_by_smtp: &'static str,
    /// SMTP refuses that of an application of its own.
    pub application_by_smtp: &'static str,
    /// That of an application lacks the permission to send.
    pub application: &'static str,
    /// That of a service account lacks it.
    pub service_account: &'static str,
}
