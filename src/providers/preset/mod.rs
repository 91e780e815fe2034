//! What is known of a provider before it is configured: the facts its preset, its hints and its page are made of.

mod authorization;
mod hint;
mod published;

pub use authorization::{AuthorizationServer, Scopes, TokenHints};
pub use hint::{Hint, When};
pub use published::{Bounce, BounceKind, Extra, Include, Key, Need, Published, Purpose, Sure};

use std::time::Duration;

use super::api::Entry;
use crate::secret::Secret;

/// A company's mail service, with the facts its SMTP preset is made of.
#[derive(Debug)]
pub struct Provider {
    /// The id of the configuration.
    pub id: &'static str,
    /// The company's own name for it.
    pub name: &'static str,
    /// Other words `provider` takes for it.
    pub aliases: &'static [&'static str],
    /// The SMTP host; `{region}` in it is replaced. Empty: `host` must be configured.
    pub host: &'static str,
    /// What `region` may say, and the host it stands for.
    pub regions: &'static [Region],
    /// The region taken when none is configured; without one, `host` stands as it is.
    pub default_region: Option<&'static str>,
    /// Whether AWS's own variables and profile name the region where `region` does not.
    pub aws_region: bool,
    /// The ports it listens on; the first is the default.
    pub ports: &'static [Port],
    /// How the SMTP user name is come by.
    pub username: UserName,
    /// The keys that hold the SMTP secret, the natural one first. `password` is always among them.
    pub secrets: &'static [&'static str],
    /// How the SMTP password is made of another secret, where it can be.
    pub derived: Option<&'static Derived>,
    /// Whether `token` may hold an OAuth 2.0 access token for XOAUTH2.
    pub bearer: bool,
    /// Where it gives out access tokens, if this program can ask there.
    pub authorization: Option<&'static AuthorizationServer>,
    /// Its HTTP API, if it has one here.
    pub api: Option<&'static Entry>,
    /// How it recognises a submission that is made again, where it does by its HTTP API.
    pub idempotency: Option<&'static Idempotency>,
    /// How many messages it takes over one SMTP session, where that is known.
    pub session_messages: Option<u32>,
    /// Mechanisms it is known to offer, the vendor's preferred one first; shown, never a restriction.
    pub auth: &'static [&'static str],
    /// How its keys and tokens begin, where they begin alike.
    pub keys: &'static [KeyForm],
    /// What the names of its SMTP servers end in, where it is told by them without `provider`.
    pub servers: &'static [&'static str],
    /// Words of a refused login, in lower case, that only it says.
    pub marks: &'static [&'static str],
    /// What its refusals mean. The first that fits counts, so what is special comes before what is general.
    pub hints: &'static [Hint],
    /// Where its natural secret is made, as whoever has an account finds it: it follows "made at". Empty: it is not known.
    pub found: &'static str,
    /// What to know before choosing it: limits, peculiar replies.
    pub notes: &'static [&'static str],
    /// What it takes at most, where its own pages say so.
    pub allowance: Option<&'static Allowance>,
    /// Where it tells what became of a message later, by the identifier that it gave.
    pub status_query: Option<&'static StatusQuery>,
    /// What a domain has to publish, as [`Published`] reads it; empty: it is not known.
    pub(super) records: &'static str,
    /// What no source confirms: configurable, and not to be taken as fact.
    pub unverified: &'static [&'static str],
}

/// How a provider recognises a submission that is made again, so that it sends one message.
#[derive(Debug)]
pub struct Idempotency {
    /// How long it remembers a key.
    pub window: Duration,
    /// The header field of the message that holds the key by SMTP, where it takes one there.
    pub field: Option<&'static str>,
    /// Whether it remembers the keys of accepted messages only. Then the key is made of the message, and a caller who
    /// sends that again by itself is recognised as well; elsewhere a key whose request was refused is used up.
    pub accepted_only: bool,
}

/// What a provider takes at most of every account, which `limit = "provider"` holds a relay to. What depends on plan or
/// account is none of it.
#[derive(Debug)]
pub struct Allowance {
    /// Rates, as `limit` has them.
    pub rates: &'static [&'static str],
    /// Recipients of one message; `None`: no number is known.
    pub recipients: Option<u32>,
    /// Octets of one message; `None`: no number is known.
    pub octets: Option<u64>,
    /// Where it is said.
    pub source: &'static str,
}

/// Where a provider tells what became of a message after it was accepted.
#[derive(Debug)]
pub struct StatusQuery {
    /// The command, or the request of its API, with `{id}` for its identifier; what stands in capitals is the account's.
    pub ask: &'static str,
    /// Where it is said.
    pub source: &'static str,
}

impl StatusQuery {
    /// What to run, or to request, for the message that the provider calls `id`; `None`: that is no identifier which may
    /// stand in a command.
    pub fn of(&self, id: &str) -> Option<String> {
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        let is_url = self.ask.contains("://");
        // No octet of it may mean anything to a shell.
        let is_safe = |octet: u8| is_plain(octet) || is_url && b"<>@+=/:".contains(&octet);
        if id.is_empty() || id.starts_with('-') || id.len() > LONGEST_ID || !id.bytes().all(is_safe) {
            return None;
        }
        let encoded = |octet: u8| match is_plain(octet) {
            true => char::from(octet).to_string(),
            false => format!("%{octet:02X}"),
        };
        Some(self.ask.replace("{id}", &id.bytes().map(encoded).collect::<String>()))
    }
}

/// The longest identifier that a command is made of, in octets.
const LONGEST_ID: usize = 256;

/// A region, data centre or message kind with a host of its own.
#[derive(Debug)]
pub struct Region {
    /// What `region` says.
    pub name: &'static str,
    /// Its host; `None`: the provider's host with the name put in.
    pub host: Option<&'static str>,
}

/// A port and the way TLS begins on it.
#[derive(Debug)]
pub struct Port {
    /// The number.
    pub number: u16,
    /// When TLS begins.
    pub tls: TlsMode,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// From the first octet (RFC 8314).
    Implicit,
    /// After STARTTLS (RFC 3207), which must be offered.
    StartTls,
    /// Never: loopback and unix sockets, or on explicit wish without credentials.
    None,
}

/// An SMTP password that is made of another secret and the region it is for.
#[derive(Debug)]
pub struct Derived {
    /// The key that holds the other secret.
    pub from: &'static str,
    /// Makes the password.
    pub make: fn(secret: &Secret, region: &str) -> Secret,
    /// Whether this looks like a password that was made already.
    pub is_made: fn(text: &str) -> bool,
    /// The next step where the password that was made is refused.
    pub hint: &'static str,
}

/// How one kind of a provider's keys begins.
#[derive(Debug)]
pub struct KeyForm {
    /// Its first letters.
    pub prefix: &'static str,
    /// Whether SMTP takes it.
    pub smtp: bool,
    /// Whether the HTTP API takes it.
    pub api: bool,
}

/// How the SMTP user name is come by. `username` in the configuration always goes first.
#[derive(Debug)]
pub enum UserName {
    /// It has to be configured, under this key.
    Given(&'static str),
    /// One word for all customers.
    Word(&'static str),
    /// The secret itself.
    Secret,
    /// These keys, joined with `|`.
    Joined(&'static [&'static str]),
}

impl UserName {
    /// The key it is configured under, where it has to be.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Given(key) => Some(key),
            Self::Word(_) | Self::Secret | Self::Joined(_) => None,
        }
    }
}

impl Provider {
    /// What most have in common.
    pub(super) const PRESET: Self = Self {
        id: "",
        name: "",
        aliases: &[],
        host: "",
        regions: &[],
        default_region: None,
        aws_region: false,
        ports: &[],
        username: UserName::Given("username"),
        secrets: &["password"],
        derived: None,
        bearer: false,
        authorization: None,
        auth: &["PLAIN", "LOGIN"],
        api: None,
        idempotency: None,
        session_messages: None,
        keys: &[],
        servers: &[],
        marks: &[],
        hints: &[],
        found: "",
        notes: &[],
        allowance: None,
        status_query: None,
        records: "",
        unverified: &[],
    };

    /// Its id, then its aliases.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.id).chain(self.aliases.iter().copied())
    }

    /// The host for `region`, or for the default region. `None`: no such region, or the host has to be
    /// configured.
    pub fn host(&self, region: Option<&str>) -> Option<String> {
        let Some(region) = region.or(self.default_region) else {
            return (!self.host.is_empty()).then(|| self.host.to_owned());
        };
        match self.regions.iter().find(|r| r.name == region) {
            Some(Region { host: Some(host), .. }) => Some((*host).to_owned()),
            Some(Region { host: None, .. }) => Some(self.host.replace("{region}", region)),
            // A region opened after this table was written: the pattern is the vendor's, so it may be tried.
            None if self.host.contains("{region}") && is_label(region) => Some(self.host.replace("{region}", region)),
            None => None,
        }
    }

    /// The TLS mode of `port`, where the preset lists it.
    pub fn tls_of(&self, port: u16) -> Option<TlsMode> {
        self.ports.iter().find(|p| p.number == port).map(|p| p.tls)
    }

    /// The keys to write for its HTTP API, for a reader: `api_key and secret_key`; empty where it has none.
    pub fn api_credentials(&self) -> String {
        let keys = self.api.map(|entry| entry.wanted_keys().join(" and ")).unwrap_or_default();
        if self.authorization.is_some() { format!("client_id or {keys}") } else { keys }
    }

    /// The keys to write for a login by SMTP, for a reader: `api_key`, `username and password`.
    pub fn credentials(&self) -> String {
        let secret = self.secrets.first().copied().unwrap_or("password");
        let or_token = match (self.authorization, self.bearer) {
            (Some(_), true) => ", client_id or token",
            (None, true) => " or token",
            (_, false) => "",
        };
        match &self.username {
            UserName::Word(_) | UserName::Secret => secret.to_owned(),
            UserName::Joined(parts) => format!("{} and {secret}", parts.join(", ")),
            UserName::Given(key) => format!("{key} and {secret}{or_token}"),
        }
    }
}

/// Letters, digits and hyphens only: nothing that could lead the name elsewhere.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A port on which TLS begins at once.
pub(super) const fn implicit(number: u16) -> Port {
    Port { number, tls: TlsMode::Implicit }
}

/// A port on which TLS begins with STARTTLS.
pub(super) const fn starttls(number: u16) -> Port {
    Port { number, tls: TlsMode::StartTls }
}

/// A region with a host of its own.
pub(super) const fn at(name: &'static str, host: &'static str) -> Region {
    Region { name, host: Some(host) }
}

/// A region whose name goes into the provider's host.
pub(super) const fn named(name: &'static str) -> Region {
    Region { name, host: None }
}
