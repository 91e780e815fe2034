//! A relay's credentials, read at the moment the relay is tried.

use super::{Login, Mechanism, Relay, SecretKind, Username};
use crate::attempt::Attempt;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::providers::UserName;
use crate::secret::Secret;

impl Mechanism {
    /// Every mechanism with its registered name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("PLAIN", Self::Plain),
        ("SCRAM-SHA-256", Self::ScramSha256),
        ("SCRAM-SHA-1", Self::ScramSha1),
        ("LOGIN", Self::Login),
        ("CRAM-MD5", Self::CramMd5),
        ("XOAUTH2", Self::XOAuth2),
        ("OAUTHBEARER", Self::OAuthBearer),
        ("EXTERNAL", Self::External),
    ];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, mechanism)| *mechanism == self).map_or("", |(name, _)| name)
    }

    /// Whether it can carry such a secret (`None`: no secret at all).
    pub(super) fn carries(self, kind: Option<&SecretKind>) -> bool {
        match self {
            Self::External => kind.is_none(),
            Self::XOAuth2 | Self::OAuthBearer => kind == Some(&SecretKind::Token),
            _ => matches!(kind, Some(SecretKind::Password | SecretKind::Underived { .. })),
        }
    }
}

/// How long before the day a secret ends that is warned of, in days.
const NOTICE: i32 = 30;

impl Relay {
    /// What to say of the day the secret ends; nothing while it is far away.
    pub fn expiry(&self) -> Option<String> {
        let end = self.secret_expires?;
        let days = host::now().date().until(end).map_or(i32::MAX, |span| span.get_days());
        match days {
            ..0 => Some(format!("the secret of relay {} has expired on {end}", self.name)),
            0..=NOTICE => Some(format!("the secret of relay {} expires on {end}, in {days} days", self.name)),
            _ => None,
        }
    }

    /// The user name, where there is one and it is known before anything is read.
    pub fn username(&self) -> Option<&str> {
        match &self.smtp_login()?.username {
            Username::Given(name) => Some(name.as_str()).filter(|name| !name.is_empty()),
            Username::Secret | Username::Read(_) => None,
        }
    }

    /// Whether what logs in by SMTP is a key or token that somebody's machine has made, and no password.
    pub fn has_login_key(&self) -> bool {
        let is_known = self.provider.is_some_and(|it| matches!(it.username, UserName::Word(_) | UserName::Secret));
        self.smtp_login().is_some_and(|login| {
            is_known || login.kind != SecretKind::Password || matches!(login.username, Username::Secret)
        })
    }

    /// Reads user name and secret; `token` is the access token where one is got ([`Relay::oauth`]). `None`: no
    /// credentials are configured. What is weak about a file's owner or mode is named in the attempt's
    /// warnings, or refused with `strict_modes`.
    ///
    /// # Errors
    /// As [`Source::read`](crate::secret::Source::read); nothing has been sent then.
    pub fn login(&self, token: Option<&Secret>, attempt: &mut Attempt) -> Result<Option<Login>, Failure> {
        let Some(source) = self.smtp_login() else { return Ok(None) };
        let secret = match &source.secret {
            Some(place) if self.has_login_key() => place.read_key("secret", self.strict_modes, attempt)?,
            Some(place) => place.read(self.strict_modes, attempt)?,
            None => token.cloned().unwrap_or_else(|| Secret::new(String::new())),
        };
        let username = match &source.username {
            Username::Given(name) => name.clone(),
            Username::Secret => secret.expose().to_owned(),
            Username::Read(place) => place.read(self.strict_modes, attempt)?.expose().to_owned(),
        };
        if username.contains(char::is_control) {
            let what = format!("user name of relay {}", self.name);
            return Err(Failure::new(Kind::Configuration, what, "holds a control character"));
        }
        let secret = match &source.kind {
            SecretKind::Underived { region } => match self.provider.and_then(|provider| provider.derived) {
                Some(derived) => (derived.make)(&secret, region),
                None => secret,
            },
            SecretKind::Password | SecretKind::Token => secret,
        };
        Ok(Some(Login { username, secret, is_token: source.kind == SecretKind::Token }))
    }
}
