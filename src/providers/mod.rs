//! The mail providers: what `provider = "..."` stands for, one file each.
//!
//! A provider's file holds all that is known of it: preset, HTTP API, error codes, hints, notes, DNS records. One reached by SMTP
//! alone is a preset and nothing else. Nothing here does I/O: the one HTTP exchange is `http`. The facts are checked
//! against the vendor's own pages or clients, and what is not is listed as `unverified`. `CONTRIBUTING.md` tells how to
//! add one.

pub mod api;
mod preset;

use std::sync::OnceLock;

pub use preset::{
    Allowance, AuthorizationServer, Bounce, BounceKind, Derived, Extra, Hint, Idempotency, Include, Key, KeyForm, Need,
    Port, Provider, Published, Purpose, Region, Scopes, Sure, TlsMode, TokenHints, UserName, When,
};

/// A line is a module and the provider that its file describes.
macro_rules! providers {
    ($($name:ident,)*) => {
        $(mod $name;)*

        /// Every provider, in the order the help lists them.
        static PROVIDERS: &[&Provider] = &[$(&$name::PROVIDER),*];

        /// The names of their files.
        #[cfg(test)]
        const FILES: &[&str] = &[$(stringify!($name)),*];
    };
}

providers! {
    ahasend,
    aliyun,
    amazon_ses,
    aol,
    azure_communication,
    brevo,
    cloudflare,
    elastic_email,
    emailit,
    fastmail,
    gandi,
    gmx,
    google,
    icloud,
    infobip,
    infomaniak,
    ionos,
    lettermint,
    mailchannels,
    maileroo,
    mailersend,
    mailgun,
    mailjet,
    mailomat,
    mailpace,
    mailru,
    mailtrap,
    mandrill,
    microsoft365,
    netease,
    onecom,
    postal,
    postmark,
    proton,
    qq,
    resend,
    scaleway,
    sendgrid,
    sendlayer,
    sendpulse,
    seznam,
    smtp_com,
    smtp2go,
    sparkpost,
    yahoo,
    yandex,
    zeptomail,
    zoho_mail,
    smtp,
}

/// What a domain has to publish for each of them, once it was asked for.
static PUBLISHED: OnceLock<Vec<Option<Published>>> = OnceLock::new();

impl Provider {
    /// What a domain has to publish, where that is known.
    pub fn published(&self) -> Option<&'static Published> {
        let read = |provider: &Provider| Some(provider.records).filter(|text| !text.is_empty()).map(Published::read);
        // A line that is wrong does not get past the tests.
        let all = PUBLISHED.get_or_init(|| all().map(|provider| read(provider)?.ok()).collect());
        all.get(self::all().position(|provider| provider.id == self.id)?)?.as_ref()
    }

    /// Whether an account there is a person's mailbox, by addresses that it gives or mail exchanges that it has.
    pub fn has_mailboxes(&self) -> bool {
        self.published().is_some_and(|known| !known.own.is_empty() || !known.exchanges.is_empty())
    }

    /// The provider whose id or alias is `word`, in any case.
    pub fn find(word: &str) -> Option<&'static Self> {
        all().find(|p| p.words().any(|w| w.eq_ignore_ascii_case(word)))
    }

    /// The provider whose SMTP server `host` is, and the region that is not its usual one.
    pub fn at_host(host: &str) -> Option<(&'static Self, Option<String>)> {
        let is = |name: Option<String>| name.is_some_and(|name| name.eq_ignore_ascii_case(host));
        // A region may be newer than its provider's list.
        let unlisted = |provider: &Self| {
            let (before, behind) = provider.host.split_once("{region}")?;
            host.strip_prefix(before)?.strip_suffix(behind)
        };
        all().find_map(|provider| {
            if is(provider.host(None)) {
                return Some((provider, None));
            }
            let names = provider.regions.iter().map(|region| region.name).chain(unlisted(provider));
            let region = names.into_iter().find(|name| is(provider.host(Some(name))))?;
            Some((provider, Some(region.to_owned())))
        })
    }
}

/// Every provider, in the order the help lists them.
pub fn all() -> impl Iterator<Item = &'static Provider> {
    PROVIDERS.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_stands_for_two_providers() {
        let mut words: Vec<_> = all().flat_map(Provider::words).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn every_record_that_a_provider_wants_can_be_read() {
        for provider in all().filter(|provider| !provider.records.is_empty()) {
            let read = Published::read(provider.records).unwrap_or_else(|line| panic!("{}: {line}", provider.id));
            assert!(!read.source.is_empty(), "{}: where are its facts from?", provider.id);
            assert_eq!(provider.published().map(|published| published.source), Some(read.source), "{}", provider.id);
            let keys: Vec<_> = provider.records.lines().filter_map(|line| line.trim().split(':').next()).collect();
            for (at, key) in keys.iter().enumerate().filter(|(_, key)| !["key", "and", "wants"].contains(key)) {
                assert!(!keys[..at].contains(key), "{}: {key} twice", provider.id);
            }
            // What is nobody's does not mean anything.
            let patterns = read.keys.iter().flatten().filter_map(|key| key.target).chain(read.exchanges);
            for text in
                patterns.chain([read.bounce.usual, read.bounce.target]).chain(read.others.iter().map(|one| one.value))
            {
                let placeholders = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
                assert_eq!(
                    placeholders.clone().count(),
                    text.matches(['{', '}']).count() / 2,
                    "{}: {text}",
                    provider.id
                );
                for (name, _) in placeholders {
                    assert!(["domain", "dashed", "n", "token", "any"].contains(&name), "{}: {text}", provider.id);
                }
            }
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_is_told_by_its_line() {
        for line in [
            "sure: very",
            "keys: a",
            "key: a -> b c",
            "and: a",
            "selectors: mine",
            "spf: spf.example.net",
            "spf: wanted spf.example.net",
            "bounces: MX b must",
            "bounces: a TXT b must",
            "bounces: a MX b perhaps",
            "wants: @ TXT a",
            "wants: www TXT a must",
            "registered: somewhere",
            "own:",
            "",
        ] {
            let text: &'static str = format!("source: x\n{line}\n").leak();
            assert_eq!(Published::read(text).err(), Some(line));
        }
    }

    #[test]
    fn every_row_can_be_connected_to_and_logged_in_at() {
        for provider in all() {
            assert!(!provider.ports.is_empty(), "{}", provider.id);
            assert!(provider.secrets.contains(&"password"), "{}", provider.id);
            if !provider.host.is_empty() {
                let host = provider.host(None).unwrap();
                assert!(!host.contains('{') && host.contains('.'), "{}: {host}", provider.id);
            }
            for region in provider.regions {
                assert!(!provider.host(Some(region.name)).unwrap().contains('{'), "{}", provider.id);
            }
        }
    }

    #[test]
    fn what_became_of_a_message_is_asked_by_the_identifier_alone() {
        for (provider, query) in all().filter_map(|provider| Some((provider, provider.status_query?))) {
            assert_eq!(query.ask.matches("{id}").count(), 1, "{}", provider.id);
            assert!(query.source.contains('.') || query.source.contains(' '), "{}", provider.id);
            let made = query.of("0a_1-b.c").unwrap();
            assert!(made.contains("0a_1-b.c") && !made.contains('{'), "{made}");
            for foreign in
                ["", "-x", "a b", "a;reboot", "$(reboot)", "a`b`", "a\nb", "a'b", "a\"b", "a&b", &"x".repeat(300)]
            {
                assert_eq!(query.of(foreign), None, "{}: {foreign}", provider.id);
            }
        }
        let of = |id: &str, message: &str| Provider::find(id).unwrap().status_query.unwrap().of(message);
        let brevo = "GET https://api.brevo.com/v3/smtp/statistics/events?messageId=%3C20.1%40x.example%3E";
        assert_eq!(of("brevo", "<20.1@x.example>").as_deref(), Some(brevo));
        assert_eq!(of("ses", "<0100@email.example>"), None);
        assert_eq!(of("ses", "0100-1").as_deref(), Some("aws sesv2 get-message-insights --message-id 0100-1"));
    }

    /// The modules are made by a macro, so that the compiler would not miss a file.
    #[test]
    fn every_provider_is_a_file_a_line_and_a_fixture() {
        let folder = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let entries = std::fs::read_dir(folder("src/providers")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.filter(|path| path.is_file() && !path.ends_with("mod.rs")).collect();
        files.sort();
        let stems: Vec<_> = files.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
        let mut lines = FILES.to_vec();
        lines.sort_unstable();
        assert_eq!(stems, lines, "each file of src/providers has a line in mod.rs");
        for (provider, file) in all().zip(FILES) {
            assert_eq!(provider.id, file.replace('_', "-"), "the id is the name of the file");
            let kind = if provider.api.is_some() { "providers" } else { "presets" };
            let fixture = folder("tests").join(kind).join(format!("{}.case", provider.id));
            assert!(fixture.exists(), "{} is missing", fixture.display());
        }
    }

    #[test]
    fn an_api_asks_for_something_and_reads_nothing_twice() {
        for (provider, entry) in all().filter_map(|provider| Some((provider, provider.api?))) {
            assert!(!entry.credentials.is_empty(), "{}", provider.id);
            for credential in entry.credentials {
                assert!(!entry.keys().contains(&credential.key), "{}: {} is read twice", provider.id, credential.key);
            }
        }
    }

    #[test]
    fn a_host_tells_its_provider_and_region() {
        let found = |host| Provider::at_host(host).map(|(provider, region)| (provider.id, region));
        let told = |id, region: Option<&str>| Some((id, region.map(str::to_owned)));
        assert_eq!(found("smtp.gmail.com"), told("google", None));
        assert_eq!(found("SMTP-relay.gmail.com"), told("google", Some("workspace-relay")));
        assert_eq!(found("email-smtp.eu-west-1.amazonaws.com"), told("amazon-ses", Some("eu-west-1")));
        assert_eq!(found("email-smtp.mars-north-7.amazonaws.com"), told("amazon-ses", Some("mars-north-7")));
        assert_eq!(found("email-smtp.a.b.amazonaws.com"), None);
        assert_eq!(found("smtp.zeptomail.in"), told("zeptomail", Some("in")));
        assert_eq!(found("smtp.example.net"), None);
        assert_eq!(found(""), None);
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
