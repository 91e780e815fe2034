//! The dictionary of next steps for refusals users really meet.
//!
//! Most failures bring their hint along from where they arise. What a reply means is looked up here, in a table
//! of rules of which the first that fits counts, and so is what a failure says about how the relay is
//! configured.

pub mod likeness;
mod login;
mod rules;
mod shape;

use crate::config::relay::{Place, Relay, TlsMode};
use crate::failure::{Failure, Kind};
use crate::oauth::refusal::login_command;
use crate::outcome::Stage;
use crate::providers::{self, Provider, When};
use crate::reply::Reply;
use crate::rule::Rule;
use crate::wire::foreign;

/// A reply, where it was given and by whom.
struct Said<'a> {
    reply: &'a Reply,
    /// In lower case.
    text: String,
    stage: Stage,
    relay: &'a Relay,
}

impl Said<'_> {
    /// Whether this relay is `provider`'s: as configured, or by the name of its host.
    fn is_of(&self, provider: &Provider) -> bool {
        let is_at = |ending: &str| matches!(&self.relay.place, Place::Tcp { host, .. } if host.ends_with(ending));
        let is_configured = self.relay.provider.is_some_and(|known| known.id == provider.id);
        is_configured || provider.servers.iter().any(|ending| is_at(ending))
    }

    /// What the providers' own hints say of a refusal that is not a login's.
    fn of_provider(&self) -> Option<String> {
        self.among(|provider, when| match when {
            When::Login => false,
            When::Refusal => self.is_of(provider),
            When::Anywhere => true,
        })
    }

    /// What the first of the providers' hints says that is meant here and fits.
    fn among(&self, is_meant: impl Fn(&Provider, When) -> bool) -> Option<String> {
        let hints = providers::all().flat_map(|provider| provider.hints.iter().map(move |hint| (provider, hint)));
        let mut meant = hints.filter(|(provider, hint)| is_meant(provider, hint.when)).map(|(_, hint)| &hint.rule);
        let rule = meant.find(|rule| rule.is_about(self.reply, &self.text, self.stage))?;
        Some(filled(rule.hint, self.relay))
    }
}

/// A line of a table: a rule, and what else must hold of the relay.
struct Line {
    rule: Rule,
    only: fn(&Said<'_>) -> bool,
    next: Next,
}

/// Where the next step is taken from.
enum Next {
    /// The rule's own hint.
    Rule,
    /// What depends on the configuration.
    Made(fn(&Said<'_>) -> Option<String>),
}

/// The next step after `reply` was given at `stage` by `relay`, where one is known.
pub fn for_reply(reply: &Reply, stage: Stage, relay: &Relay) -> Option<String> {
    let said = Said { reply, text: reply.text().to_ascii_lowercase(), stage, relay };
    first(rules::TABLE, &said)
}

/// What the first line that fits says.
fn first(table: &[Line], said: &Said<'_>) -> Option<String> {
    let fits = |line: &&Line| line.rule.is_about(said.reply, &said.text, said.stage) && (line.only)(said);
    let line = table.iter().find(fits)?;
    match line.next {
        Next::Rule => Some(line.rule.hint).filter(|hint| !hint.is_empty()).map(|hint| filled(hint, said.relay)),
        Next::Made(make) => make(said),
    }
}

/// The ports of servers that take mail for others, where there is TLS of one kind or another.
const SUBMISSION: [u16; 6] = [25, 465, 587, 2465, 2525, 2587];

/// The next step after `failure` with `relay`, where the way it is configured may explain it: TLS in the
/// wrong mode for the port, a port that is not for submission, or a deadline that was too short.
pub fn for_failure(failure: &Failure, relay: &Relay) -> Option<String> {
    // What we refuse because the relay would.
    if let Kind::Refused(reply) = &failure.kind
        && reply.enhanced().is_some_and(|code| matches!((code.subject, code.detail), (3, 4) | (5, 3)))
    {
        return for_reply(reply, Stage::Message, relay);
    }
    if failure.kind == Kind::InDoubt {
        return Some(filled("look for the message in the log of {provider} before you send it again", relay));
    }
    let port = match &relay.place {
        Place::Tcp { port, .. } => *port,
        Place::Unix(_) => return slow(failure),
    };
    let hint = match (failure.stage?, &failure.kind, relay.tls) {
        // A server that waits for a TLS handshake says nothing, or hangs up after a while.
        (Stage::Greeting, Kind::Unavailable, TlsMode::StartTls | TlsMode::None) => {
            format!("does port {port} speak TLS from the start? Then set tls = \"implicit\"")
        }
        // Somebody else's greeting.
        (Stage::Greeting, Kind::Protocol, _) => {
            let greeting = failure.why.strip_prefix("greeted with \"")?;
            foreign::hint(greeting.as_bytes())?.to_owned()
        }
        // One that means to greet first may wait or hang up, too.
        (Stage::Tls, Kind::Unavailable, TlsMode::Implicit) => {
            format!("does port {port} speak STARTTLS? Then set tls = \"starttls\"")
        }
        (Stage::StartTls, Kind::Protocol, TlsMode::StartTls) if !SUBMISSION.contains(&port) => {
            let login = if relay.smtp_login().is_some() { "leave username and password out and " } else { "" };
            format!(
                "a test server such as Mailpit or MailHog has no TLS: {login}set tls = \"none\" if this is one; others \
                 speak TLS on port 465"
            )
        }
        (Stage::StartTls, Kind::Protocol, TlsMode::StartTls) => {
            "use the port that speaks TLS from the start (often 465); something in between may be removing STARTTLS"
                .to_owned()
        }
        (Stage::Auth, Kind::Protocol, TlsMode::None) if relay.smtp_login().is_some() => {
            "servers often offer AUTH, or more of it, only over TLS: set tls = \"starttls\" or \"implicit\"".to_owned()
        }
        (Stage::Auth, Kind::Protocol, _) if port == 25 => "logins belong to port 465 or 587, not 25".to_owned(),
        _ => return slow(failure),
    };
    Some(hint)
}

/// The next step where the server was reached and time ran out, or it hung up.
fn slow(failure: &Failure) -> Option<String> {
    let stage = failure.stage?;
    if failure.kind != Kind::Unavailable || stage < Stage::Ehlo {
        return None;
    }
    Some(match failure.why.contains(" within ") {
        true => "try again later; if this server is always slow, raise `deadline` (and `connect_timeout`)".to_owned(),
        false => "try again later; if it stays so, the server's operator can see why in its log".to_owned(),
    })
}

/// `hint` with what it leaves open put in.
fn filled(hint: &str, relay: &Relay) -> String {
    let mut text = hint.to_owned();
    let mut put = |gap: &str, value: fn(&Relay) -> String| {
        if text.contains(gap) {
            text = text.replace(gap, &value(relay));
        }
    };
    put("{provider}", provider_name);
    put("{username}", username);
    put("{own}", own);
    put("{scope}", |relay| {
        relay.oauth.as_ref().map_or_else(|| "the scope to send".to_owned(), |oauth| oauth.scope.clone())
    });
    put("{login}", login_command);
    text
}

/// The provider's name, or the host's.
fn provider_name(relay: &Relay) -> String {
    match (relay.provider, &relay.place) {
        (Some(provider), _) if provider.id != "smtp" => provider.name.to_owned(),
        (_, Place::Tcp { host, .. }) => host.clone(),
        (_, Place::Unix(path)) => path.display().to_string(),
    }
}

fn username(relay: &Relay) -> String {
    match relay.username() {
        Some(name) => format!("`{name}`"),
        None => "of the login".to_owned(),
    }
}

/// The address that logs in, as far as it is known.
fn own(relay: &Relay) -> String {
    relay.username().map_or_else(|| "its own address".to_owned(), |name| format!("`{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::relay::{LoginSource, SecretKind, Smtp, Username, Way};
    use crate::reply::Enhanced;

    /// A relay that logs in by password at `provider`.
    fn relay(provider: &'static Provider) -> Relay {
        let place = Place::Tcp { host: "mail.example.org".into(), port: 465 };
        let username = Username::Given("ann@example.org".into());
        let secret = Some(crate::secret::Source::Inline(crate::secret::Secret::new("s3cret".into())));
        let login = Some(LoginSource { username, kind: SecretKind::Password, secret });
        Relay {
            provider: Some(provider),
            way: Way::Smtp(Smtp { login, ..Smtp::default() }),
            ..Relay::new("main", place, TlsMode::Implicit)
        }
    }

    /// What every provider has to say of its refusals is said, and no general rule comes before it.
    #[test]
    fn every_hint_of_a_provider_is_given() {
        let mut count = 0;
        for provider in providers::all() {
            for hint in provider.hints {
                let rule = &hint.rule;
                assert!(rule.words.iter().all(|word| *word == word.to_lowercase()), "{}: {rule:?}", provider.id);
                let is_login = hint.when == When::Login;
                let usual = if is_login { Enhanced::new(5, 7, 8) } else { Enhanced::new(5, 0, 0) };
                let enhanced = rule.enhanced.first().copied().unwrap_or(usual);
                let code = rule.codes.first().copied().unwrap_or(if is_login { 535 } else { 550 });
                let reply = Reply::new(code, Some(enhanced), rule.words.first().unwrap_or(&"no"));
                let usual = if is_login { Stage::Auth } else { Stage::MailFrom };
                let stage = rule.stages.first().copied().unwrap_or(usual);
                let relay = relay(provider);
                let told = for_reply(&reply, stage, &relay);
                assert_eq!(told.as_deref(), Some(filled(rule.hint, &relay).as_str()), "{}: {rule:?}", provider.id);
                count += 1;
            }
        }
        assert!(count > 15, "{count}");
    }

    #[test]
    fn a_port_for_submission_is_no_test_servers() {
        let failure = Failure::new(Kind::Protocol, "mail.example.org", "does not offer STARTTLS").at(Stage::StartTls);
        let hint = |port| {
            let place = Place::Tcp { host: "mail.example.org".into(), port };
            for_failure(&failure, &Relay::new("main", place, TlsMode::StartTls)).unwrap_or_default()
        };
        assert!(hint(587).starts_with("use the port that speaks TLS from the start"), "{}", hint(587));
        assert!(hint(1025).starts_with("a test server such as Mailpit"), "{}", hint(1025));
    }

    #[test]
    fn a_server_is_known_by_its_name() {
        let reply = Reply::own(535, (5, 7, 8), "no");
        for (host, told) in [
            ("smtp.gmail.com", "Google refuses"),
            ("smtp.office365.com", "check the mailbox address"),
            ("email-smtp.eu-west-1.amazonaws.com", "SES wants an SMTP password"),
            ("gmail.com.example.org", "check the user name"),
        ] {
            let mut relay = relay(Provider::find("smtp").unwrap());
            relay.place = Place::Tcp { host: host.into(), port: 465 };
            let hint = for_reply(&reply, Stage::Auth, &relay).unwrap_or_default();
            assert!(hint.starts_with(told), "{host}: {hint}");
        }
    }
}
