//! A relay as configured: a named place to submit through, with its credentials.

pub mod aws;
pub(super) mod credentials;
pub(super) mod endpoint;
mod interface;
pub(super) mod login;
mod oauth;
pub(super) mod reached;
pub(super) mod read;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;

use super::limit::Limits;
use crate::providers::api::{Api, Entry};
use crate::providers::{Idempotency, Provider};
use crate::secret::{Secret, Source};

pub use crate::providers::TlsMode;
pub use endpoint::is_loopback;
pub use oauth::{Grant, OAuth};

/// One `[relay.NAME]`, defaults and preset filled in.
#[derive(Clone, Debug)]
pub struct Relay {
    /// The name in the configuration.
    pub name: String,
    /// The preset it started from.
    pub provider: Option<&'static Provider>,
    /// How it is spoken to.
    pub way: Way,
    /// Where it listens; the host of its API, where that is the way.
    pub place: Place,
    /// When TLS begins.
    pub tls: TlsMode,
    /// How access tokens are got, where the login or the API takes one that is not given.
    pub oauth: Option<OAuth>,
    /// Its share of the messages that are spread, 1 to [`WEIGHT_LIMIT`].
    pub weight: u32,
    /// The day the secret ends (`secret_expires`).
    pub secret_expires: Option<Date>,
    /// The time until the login is done.
    pub connect_timeout: Duration,
    /// PEM bundle to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the server's certificate (DER); stands in for chain and name.
    pub fingerprint: Option<[u8; 32]>,
    /// Client certificate.
    pub client_cert: Option<ClientCert>,
    /// Refuse secrets whose files others can read (`strict_modes`), instead of warning.
    pub strict_modes: bool,
    /// Source address of the connection.
    pub source: Option<IpAddr>,
    /// SOCKS5 or HTTP proxy.
    pub proxy: Option<Proxy>,
    /// How much may go through it.
    pub limits: Option<Arc<Limits>>,
}

/// How a relay is spoken to.
#[derive(Clone, Debug)]
pub enum Way {
    /// SMTP or LMTP.
    Smtp(Smtp),
    /// The provider's HTTP API.
    Api(Interface),
    /// Not at all: the message is discarded, and the record says why (`null://`).
    Null(&'static str),
}

/// What only a relay has that is spoken to by SMTP or LMTP.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Which of them.
    pub protocol: Protocol,
    /// The mechanisms that may be used; empty: any that is safe.
    pub auth: Vec<Mechanism>,
    /// How to log in; `None`: no credentials are configured.
    pub login: Option<LoginSource>,
    /// The EHLO argument; `None`: this host's name.
    pub helo: Option<String>,
    /// Whether CHUNKING may be used where it is offered.
    pub chunking: bool,
    /// Whether PIPELINING may be used where it is offered.
    pub pipelining: bool,
    /// How many messages go over one session.
    pub session_messages: u32,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            protocol: Protocol::Smtp,
            auth: Vec::new(),
            login: None,
            helo: None,
            chunking: true,
            pipelining: true,
            session_messages: SESSION_MESSAGES,
        }
    }
}

/// A provider's HTTP API as configured.
#[derive(Clone, Debug)]
pub struct Interface {
    /// What is known about it.
    pub entry: &'static Entry,
    /// Its settings.
    pub api: Arc<dyn Api>,
    /// Where requests go: scheme, authority, perhaps a path; no final slash.
    pub endpoint: String,
    /// Where its credentials are read from, by their keys.
    pub credentials: Vec<(&'static str, Source)>,
    /// Whether the sender stands in To where every recipient is hidden.
    pub undisclosed: bool,
}

/// How many messages go over one session where nothing is known of the server: some count, and take offence. One that
/// says 421 is asked for another session, so that a wrong number costs a round trip or two.
pub(super) const SESSION_MESSAGES: u32 = 100;
/// The same to a server on this host: nobody but us has a reason to end it.
pub(super) const SESSION_MESSAGES_HERE: u32 = 10_000;
/// The largest `session_messages`.
pub const SESSION_MESSAGES_LIMIT: u32 = 1_000_000;

/// The largest `weight`.
pub const WEIGHT_LIMIT: u32 = 1000;

/// The time until the login is done, where `connect_timeout` says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

impl Relay {
    /// An SMTP relay at `place` of which nothing else is configured.
    pub fn new(name: &str, place: Place, tls: TlsMode) -> Self {
        Self {
            name: name.to_owned(),
            provider: None,
            way: Way::Smtp(Smtp::default()),
            place,
            tls,
            oauth: None,
            weight: 1,
            secret_expires: None,
            connect_timeout: CONNECT_TIMEOUT,
            ca_file: None,
            fingerprint: None,
            client_cert: None,
            strict_modes: false,
            source: None,
            proxy: None,
            limits: None,
        }
    }

    /// One that discards every message, because of `why`.
    pub fn discarding(name: &str, why: &'static str) -> Self {
        Self { way: Way::Null(why), ..Self::new(name, Place::Unix(PathBuf::from("/dev/null")), TlsMode::None) }
    }

    /// What SMTP has, where that is the way.
    pub fn smtp(&self) -> Option<&Smtp> {
        match &self.way {
            Way::Smtp(smtp) => Some(smtp),
            Way::Api(_) | Way::Null(_) => None,
        }
    }

    /// The HTTP API, where that is the way.
    pub fn api(&self) -> Option<&Interface> {
        match &self.way {
            Way::Api(interface) => Some(interface),
            Way::Smtp(_) | Way::Null(_) => None,
        }
    }

    /// How it recognises a submission that is made again, where it does in the way it is spoken to.
    pub fn idempotency(&self) -> Option<&'static Idempotency> {
        let known = self.provider?.idempotency?;
        match &self.way {
            Way::Smtp(_) => known.field.and(Some(known)),
            Way::Api(_) => Some(known),
            Way::Null(_) => None,
        }
    }

    /// The SMTP login, where one is configured.
    pub fn smtp_login(&self) -> Option<&LoginSource> {
        self.smtp()?.login.as_ref()
    }
}

/// SMTP or LMTP (RFC 2033).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321.
    #[default]
    Smtp,
    /// RFC 2033.
    Lmtp,
}

/// Where a relay listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Host name or IP literal (without brackets), and port.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// An address that HTTP requests go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, authority, perhaps a path; no final slash.
    pub url: String,
    /// Its host and port.
    pub place: Place,
    /// Implicit, or none for plain http to loopback.
    pub tls: TlsMode,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802.
    ScramSha1,
    /// draft-murchison-sasl-login.
    Login,
    /// RFC 2195.
    CramMd5,
    /// Google's and Microsoft's bearer mechanism.
    XOAuth2,
    /// RFC 7628.
    OAuthBearer,
    /// RFC 4422 appendix A.
    External,
}

/// Where user name and secret come from.
#[derive(Clone, Debug)]
pub struct LoginSource {
    /// The user name.
    pub username: Username,
    /// What the secret is.
    pub kind: SecretKind,
    /// Where the secret is read from; `None` with `EXTERNAL`, and with a token that is got by [`OAuth`].
    pub secret: Option<Source>,
}

/// The user name of a login.
#[derive(Clone, Debug)]
pub enum Username {
    /// As configured or as the preset has it.
    Given(String),
    /// The secret itself (Postmark).
    Secret,
    /// Read from a place of its own.
    Read(Source),
}

/// What the secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// A password.
    Password,
    /// A bearer token: XOAUTH2, OAUTHBEARER.
    Token,
    /// What the provider's SMTP password of `region` is derived from (an AWS secret access key).
    Underived {
        /// The region.
        region: String,
    },
}

/// User name and secret, read.
#[derive(Debug)]
pub struct Login {
    /// The authentication identity.
    pub username: String,
    /// Password or token. Empty with EXTERNAL.
    pub secret: Secret,
    /// Whether the secret is a bearer token.
    pub is_token: bool,
}

/// A client certificate with its key, both PEM.
#[derive(Clone, Debug)]
pub struct ClientCert {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// A proxy; it resolves names.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its protocol.
    pub kind: ProxyKind,
    /// Name or address.
    pub host: String,
    /// Port; 1080 (SOCKS5) or 3128 (HTTP) unless said otherwise.
    pub port: u16,
    /// User name and password, where the proxy wants them.
    pub login: Option<(String, Source)>,
}

/// How a proxy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// RFC 1928, RFC 1929.
    Socks5,
    /// CONNECT (RFC 9110 9.3.6).
    Http,
}
