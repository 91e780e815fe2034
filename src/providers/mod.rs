//! The registry of mail providers: what `provider = "..."` stands for.
//!
//! A provider reached by SMTP alone is one row of the table; the facts a row holds are checked against
//! the vendor's own pages or clients, and what is not is listed in its `unverified`.

pub mod amazon_ses;
pub mod api;
mod authorization;
mod azure_communication;
mod brevo;
mod cloudflare;
mod elastic_email;
mod google;
mod mailersend;
mod mailgun;
mod mailjet;
mod mailtrap;
mod mandrill;
mod microsoft365;
mod postmark;
mod resend;
mod scaleway;
mod sendgrid;
mod sendlayer;
mod smtp2go;
mod smtp_com;
mod sparkpost;
mod table;
mod zeptomail;

pub use authorization::{AuthorizationServer, Scopes};

use crate::config::relay::TlsMode;

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
    /// The ports it listens on; the first is the default.
    pub ports: &'static [Port],
    /// How the SMTP user name is come by.
    pub username: UserName,
    /// The keys that hold the SMTP secret, the natural one first. `password` is always among them.
    pub secrets: &'static [&'static str],
    /// Whether `token` may hold an OAuth 2.0 access token for XOAUTH2.
    pub bearer: bool,
    /// Where it gives out access tokens, if this program can ask there.
    pub authorization: Option<&'static AuthorizationServer>,
    /// Keys that only its HTTP API takes, where that is not in this version; otherwise its entry has them.
    pub api_keys: &'static [&'static str],
    /// Mechanisms it is known to offer, the vendor's preferred one first; shown, never a restriction.
    pub auth: &'static [&'static str],
    /// What to know before choosing it: limits, peculiar replies.
    pub notes: &'static [&'static str],
    /// What no source confirms: configurable, and not to be taken as fact.
    pub unverified: &'static [&'static str],
}

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

impl Provider {
    /// The provider whose id or alias is `word`, in any case.
    pub fn find(word: &str) -> Option<&'static Self> {
        all().iter().find(|p| p.words().any(|w| w.eq_ignore_ascii_case(word)))
    }

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

    /// The keys to write for a login by SMTP, for a reader: `api_key`, `username and password`.
    pub fn credentials(&self) -> String {
        let secret = self.secrets.first().copied().unwrap_or("password");
        let or_token = match (self.authorization, self.bearer) {
            (Some(_), _) => ", client_id or token",
            (None, true) => " or token",
            (None, false) => "",
        };
        match &self.username {
            UserName::Word(_) | UserName::Secret => secret.to_owned(),
            UserName::Joined(parts) => format!("{} and {secret}", parts.join(", ")),
            UserName::Given(key) => format!("{key} and {secret}{or_token}"),
        }
    }

    /// The key that a lone token or API key belongs to (`MAILCHUTE_KEY`).
    pub fn key(&self) -> &'static str {
        let natural = self.secrets.iter().find(|k| **k != "password");
        let of_api = || api::find(self.id).and_then(|entry| entry.url_key(0)).or(self.api_keys.first().copied());
        natural.copied().or(self.bearer.then_some("token")).or_else(of_api).unwrap_or("token")
    }
}

/// Every provider, in the order the help lists them.
pub fn all() -> &'static [Provider] {
    table::PROVIDERS
}

/// Letters, digits and hyphens only: nothing that could lead the name elsewhere.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_stands_for_two_providers() {
        let mut words: Vec<_> = all().iter().flat_map(Provider::words).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn every_row_can_be_connected_to_and_logged_in_at() {
        for provider in all() {
            assert!(!provider.ports.is_empty(), "{}", provider.id);
            assert!(provider.secrets.contains(&"password"), "{}", provider.id);
            if provider.id != "smtp" {
                let host = provider.host(None).unwrap();
                assert!(!host.contains('{') && host.contains('.'), "{}: {host}", provider.id);
            }
            for region in provider.regions {
                assert!(!provider.host(Some(region.name)).unwrap().contains('{'), "{}", provider.id);
            }
        }
    }

    #[test]
    fn regions_choose_the_host() {
        let ses = Provider::find("AWS").unwrap();
        assert_eq!(ses.host(Some("eu-west-1")).unwrap(), "email-smtp.eu-west-1.amazonaws.com");
        assert_eq!(ses.host(None).unwrap(), "email-smtp.us-east-1.amazonaws.com");
        assert_eq!(ses.host(Some("evil.example/")), None);
        assert_eq!(Provider::find("mailgun").unwrap().host(Some("eu")).unwrap(), "smtp.eu.mailgun.org");
        assert_eq!(Provider::find("zoho").unwrap().host(Some("ca")).unwrap(), "smtp.zohocloud.ca");
        assert_eq!(Provider::find("postmark").unwrap().host(Some("eu")), None);
    }
}
