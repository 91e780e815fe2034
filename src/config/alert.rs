//! `[alert.NAME]`: who is told when something goes wrong, how, and of what.

pub(super) mod read;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::target::Target;
use super::relay::Relay;
use crate::address::Mailbox;
use crate::secret::Source;

/// Something that an alert may tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A message was not sent, and is not kept either.
    Failed,
    /// Another relay than the first took a message.
    Backup,
    /// A relay that was down takes messages again.
    Recovered,
    /// A site is over its limit.
    Limit,
    /// A site was banned.
    Ban,
    /// A message waits in the spool.
    Spooled,
    /// Messages wait for more than an hour.
    Stuck,
    /// Nobody knows whether a message has arrived.
    InDoubt,
    /// A relay refused the login.
    Login,
    /// A site has sent nothing for as long as `silent` says.
    Silent,
    /// A message was given up.
    Bounced,
    /// A run over what waits came to nothing.
    Flush,
}

impl Occasion {
    /// All of them, by the words of `on`.
    pub const ALL: [(&'static str, Self); 12] = [
        ("failed", Self::Failed),
        ("backup", Self::Backup),
        ("recovered", Self::Recovered),
        ("limit", Self::Limit),
        ("ban", Self::Ban),
        ("spooled", Self::Spooled),
        ("stuck", Self::Stuck),
        ("in_doubt", Self::InDoubt),
        ("login", Self::Login),
        ("silent", Self::Silent),
        ("bounced", Self::Bounced),
        ("flush", Self::Flush),
    ];

    /// Its word in `on`.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, occasion)| *occasion == self).map_or("", |(word, _)| word)
    }

    /// Whether it is about how one relay of a site is, so that `recovered` is its end.
    pub fn is_of_relay(self) -> bool {
        matches!(self, Self::Failed | Self::Backup | Self::Spooled | Self::Stuck | Self::Login | Self::Recovered)
    }
}

/// A set of occasions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occasions(u16);

impl Occasions {
    /// Every one but those that need a key of their own.
    pub(super) const USUAL: Self = Self(((1 << Occasion::ALL.len()) - 1) & !(1 << Occasion::Silent as u16));

    /// The same with `occasion`.
    pub(super) fn with(self, occasion: Occasion) -> Self {
        Self(self.0 | 1 << occasion as u16)
    }

    /// Whether `occasion` is one of them.
    pub fn has(self, occasion: Occasion) -> bool {
        self.0 & 1 << occasion as u16 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The words of all.
    pub fn words(self) -> Vec<&'static str> {
        Occasion::ALL.iter().filter(|(_, occasion)| self.has(*occasion)).map(|(word, _)| *word).collect()
    }
}

/// One `[alert.NAME]`.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The name in the configuration.
    pub name: String,
    /// How it is told.
    pub means: Means,
    /// What of.
    pub on: Occasions,
    /// How long nothing more is told of what was told.
    pub every: Duration,
    /// How long a site may send nothing until that is told.
    pub silent: Option<Duration>,
    /// The uid of whoever wrote it, where that is not root: a command of theirs is run for nobody else.
    pub owner: Option<u32>,
    /// Refuse secrets whose files others can read (`strict_modes`), instead of warning.
    pub strict_modes: bool,
}

/// How an alert is told.
#[derive(Clone, Debug)]
pub enum Means {
    /// A request to a service.
    Post(Post),
    /// A program, which gets the facts on standard input.
    Command(Vec<String>),
    /// A message.
    Mail {
        /// To whom.
        to: Vec<Mailbox>,
        /// Who writes; `None`: the site's `from`, else the first of `to`.
        from: Option<Mailbox>,
        /// The relays it may take, in order; the one that failed is left out.
        relays: Arc<[Arc<Relay>]>,
    },
}

/// A request to a service.
#[derive(Clone, Debug)]
pub struct Post {
    /// Which; `None`: told by the host of the URL.
    pub service: Option<Service>,
    /// Where to; `None`: the service has one place for all.
    pub url: Option<Source>,
    /// `chat`: a channel or group of Telegram.
    pub chat: Option<String>,
    /// `topic`: of ntfy.
    pub topic: Option<String>,
    /// `token`: Telegram, ntfy, Gotify, Pushover.
    pub token: Option<Source>,
    /// `user`: whom Pushover tells.
    pub user: Option<Source>,
    /// `routing_key`: PagerDuty's.
    pub routing_key: Option<Source>,
    /// PEM bundle to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Post {
    /// Its secrets, by their keys.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        let all =
            [("url", &self.url), ("token", &self.token), ("user", &self.user), ("routing_key", &self.routing_key)];
        all.into_iter().filter_map(|(key, source)| Some((key, source.as_ref()?)))
    }
}

/// A service that takes alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// An incoming webhook.
    Slack,
    /// A webhook of a channel.
    Discord,
    /// Microsoft Teams, by a workflow.
    Teams,
    /// A bot.
    Telegram,
    /// A topic.
    Ntfy,
    /// An application.
    Gotify,
    /// A user or group.
    Pushover,
    /// The Events API, version 2.
    PagerDuty,
    /// A webhook of a space.
    GoogleChat,
    /// An incoming webhook.
    Mattermost,
    /// An incoming webhook.
    RocketChat,
    /// Our own object, for whatever reads JSON.
    Json,
}

impl Service {
    /// All of them, by the words of `kind`.
    pub const ALL: [(&'static str, Self); 12] = [
        ("slack", Self::Slack),
        ("discord", Self::Discord),
        ("teams", Self::Teams),
        ("telegram", Self::Telegram),
        ("ntfy", Self::Ntfy),
        ("gotify", Self::Gotify),
        ("pushover", Self::Pushover),
        ("pagerduty", Self::PagerDuty),
        ("google-chat", Self::GoogleChat),
        ("mattermost", Self::Mattermost),
        ("rocketchat", Self::RocketChat),
        ("json", Self::Json),
    ];

    /// Its word in `kind`.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, service)| *service == self).map_or("", |(word, _)| word)
    }

    /// Where everybody's alerts go, where the service has one place for all.
    pub fn own_url(self) -> Option<&'static str> {
        match self {
            // core.telegram.org/bots/api#making-requests
            Self::Telegram => Some("https://api.telegram.org"),
            // pushover.net/api
            Self::Pushover => Some("https://api.pushover.net/1/messages.json"),
            // developer.pagerduty.com/docs/events-api-v2-overview; accounts in the EU: events.eu.pagerduty.com
            Self::PagerDuty => Some("https://events.pagerduty.com/v2/enqueue"),
            _ => None,
        }
    }

    /// The keys it cannot do without, beside `url`.
    pub fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Telegram => &["chat"],
            Self::Gotify => &["token"],
            Self::Pushover => &["token", "user"],
            Self::PagerDuty => &["routing_key"],
            _ => &[],
        }
    }

    /// The keys it takes, beside `url`.
    pub fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Telegram => &["chat", "token"],
            Self::Ntfy => &["topic", "token"],
            // Whatever is asked with a token in the Authorization field.
            Self::Json => &["token"],
            others => others.needs(),
        }
    }

    /// The service that `host`, in lower case, belongs to; `None`: it may be anybody's.
    pub fn of_host(host: &str) -> Option<Self> {
        let is_below =
            |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let hosts: [(Self, &[&str]); 8] = [
            (Self::Slack, &["hooks.slack.com", "hooks.slack-gov.com"]),
            (Self::Discord, &["discord.com", "discordapp.com"]),
            // Workflows of Power Automate: first Logic Apps' own domain, since 2025 the Power Platform's.
            (Self::Teams, &["logic.azure.com", "api.powerplatform.com", "powerautomate.com"]),
            (Self::Telegram, &["api.telegram.org"]),
            (Self::Ntfy, &["ntfy.sh"]),
            (Self::Pushover, &["api.pushover.net"]),
            (Self::PagerDuty, &["events.pagerduty.com", "events.eu.pagerduty.com"]),
            (Self::GoogleChat, &["chat.googleapis.com"]),
        ];
        hosts.into_iter().find(|(_, domains)| domains.iter().any(|domain| is_below(domain))).map(|(service, _)| service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let set = Occasions::default().with(Occasion::Failed).with(Occasion::Flush);
        assert_eq!(set.words(), ["failed", "flush"]);
        assert!(Occasions::default().is_empty() && !Occasions::USUAL.has(Occasion::Silent));
        assert_eq!(Occasions::USUAL.words().len(), Occasion::ALL.len() - 1);
        for (number, (word, occasion)) in Occasion::ALL.into_iter().enumerate() {
            assert_eq!((occasion as usize, occasion.word()), (number, word));
            assert_eq!(serde_json::to_string(&occasion).unwrap(), format!("{word:?}"));
        }
    }

    #[test]
    fn services_are_told_by_their_hosts() {
        for (host, service) in [
            ("hooks.slack.com", Some(Service::Slack)),
            ("ptb.discord.com", Some(Service::Discord)),
            ("prod-12.westeurope.logic.azure.com", Some(Service::Teams)),
            ("0123.45.environment.api.powerplatform.com", Some(Service::Teams)),
            ("events.eu.pagerduty.com", Some(Service::PagerDuty)),
            ("chat.googleapis.com", Some(Service::GoogleChat)),
            ("evil-discord.com", None),
            ("hooks.slack.com.example", None),
            ("chat.example.com", None),
        ] {
            assert_eq!(Service::of_host(host), service, "{host}");
        }
    }
}
