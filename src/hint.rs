//! The dictionary of next steps for refusals users really meet.
//!
//! Most failures bring their hint along from where they arise. What a reply means is looked up here, in a table
//! of rules of which the first that fits counts, and so is what a failure says about how the relay is
//! configured.

mod login;
mod rules;
mod shape;

use crate::config::relay::{Place, Relay, TlsMode};
use crate::failure::{Failure, Kind};
use crate::oauth::refusal::login_command;
use crate::outcome::Stage;
use crate::reply::Reply;
use crate::rule::Rule;

/// A reply, where it was given and by whom.
struct Said<'a> {
    reply: &'a Reply,
    /// In lower case.
    text: String,
    stage: Stage,
    relay: &'a Relay,
}

impl Said<'_> {
    /// Whether this relay is `provider`'s.
    fn is_of(&self, provider: &str) -> bool {
        self.relay.provider.is_some_and(|known| known.id == provider)
    }

    /// Whether the relay's host name ends so.
    fn is_at(&self, suffix: &str) -> bool {
        matches!(&self.relay.place, Place::Tcp { host, .. } if host.ends_with(suffix))
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

/// The next step after `failure` with `relay`, where the way it is configured may explain it: TLS in the
/// wrong mode for the port, a port that is not for submission, or a deadline that was too short.
pub fn for_failure(failure: &Failure, relay: &Relay) -> Option<String> {
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
        // One that means to greet first may wait or hang up, too.
        (Stage::Tls, Kind::Unavailable, TlsMode::Implicit) => {
            format!("does port {port} speak STARTTLS? Then set tls = \"starttls\"")
        }
        (Stage::StartTls, Kind::Protocol, TlsMode::StartTls) => {
            "use the port that speaks TLS from the start (often 465); something in between may be removing STARTTLS"
                .to_owned()
        }
        (Stage::Auth, Kind::Protocol, TlsMode::None) if relay.login.is_some() => {
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
