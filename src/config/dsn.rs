//! Symfony's `MAILER_DSN`: the relays it names, in our words.

use super::setting::{Setting, typed};
use super::url::Url;
use super::url_relay::{UrlRelay, failure};
use crate::failure::Failure;
use crate::providers::Provider;
use crate::providers::api::Entry;

/// The variable.
pub(super) const VARIABLE: &str = "MAILER_DSN";

/// How deep `failover(...)` may nest.
const DEPTH: usize = 4;

/// The words that put several DSNs into one.
const GROUPS: [&str; 2] = ["failover", "roundrobin"];

/// Whether a DSN spreads the messages over its relays: a `roundrobin(...)` that no other group is inside of or around.
pub(crate) fn is_spread(dsn: &str) -> bool {
    let Some(("roundrobin", inside)) = group(dsn.trim()) else { return false };
    let members = inside.rsplit_once(')').map_or(inside, |(members, _)| members);
    split(members).into_iter().all(|member| group(member).is_none())
}

/// The relays of a DSN in the order they are tried; none when it points back at `sendmail`.
///
/// # Errors
/// `Configuration` for what is no DSN, asks for less verification, or cannot be honoured in this version.
pub(super) fn relays(dsn: &str, warnings: &mut Vec<String>) -> Result<Vec<Vec<Setting>>, Failure> {
    let mut relays = Vec::new();
    for member in members(dsn, warnings)? {
        relays.extend(relay(member, warnings)?);
    }
    Ok(relays)
}

/// The DSNs that a DSN is made of, in the order they are tried.
///
/// # Errors
/// `Configuration` for a group that is never closed, or too deep.
pub(crate) fn members<'a>(dsn: &'a str, warnings: &mut Vec<String>) -> Result<Vec<&'a str>, Failure> {
    let mut members = Vec::new();
    gather(dsn.trim(), DEPTH, &mut members, warnings)?;
    Ok(members)
}

/// The word of a group, and what stands behind its parenthesis.
fn group(dsn: &str) -> Option<(&'static str, &str)> {
    GROUPS.into_iter().find_map(|word| {
        let inside = dsn.strip_prefix(word)?.trim_start().strip_prefix('(')?;
        Some((word, inside))
    })
}

fn gather<'a>(dsn: &'a str, depth: usize, found: &mut Vec<&'a str>, warnings: &mut Vec<String>) -> Result<(), Failure> {
    let Some((word, inside)) = group(dsn) else {
        found.push(dsn);
        return Ok(());
    };
    // What follows the closing parenthesis are retry periods, which a single try has no use for.
    let Some((members, _)) = inside.rsplit_once(')') else {
        return Err(failure(VARIABLE, format!("{word}( is never closed")));
    };
    if word == "roundrobin" && !(depth == DEPTH && is_spread(dsn)) {
        warnings.push(format!("{VARIABLE}: roundrobin beside failover is taken for it: the relays are tried in order"));
    }
    if depth == 0 {
        return Err(failure(VARIABLE, "nests too deeply"));
    }
    split(members).into_iter().try_for_each(|member| gather(member, depth - 1, found, warnings))
}

/// The members of a group: apart by spaces outside of parentheses.
fn split(members: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let outside = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => (),
        }
        depth == 0 && c.is_whitespace()
    };
    members.split(outside).filter(|member| !member.is_empty()).collect()
}

/// The relay of one DSN; none when it points back at `sendmail`.
///
/// # Errors
/// As [`relays`].
pub(crate) fn relay(dsn: &str, warnings: &mut Vec<String>) -> Result<Option<Vec<Setting>>, Failure> {
    let mut url = Url::parse(dsn)
        .map_err(|why| failure(VARIABLE, why).hint("write smtp://USER:PASSWORD@HOST:587, as Symfony documents it"))?;
    if matches!(url.scheme.split('+').next(), Some("sendmail" | "native")) {
        return Ok(None);
    }
    if url.scheme == "mailgun" {
        // Symfony's short form is the HTTP API, and its credentials are an API key and a domain.
        url.scheme.push_str("+api");
    }
    let query = std::mem::take(&mut url.query);
    let smtps = url.scheme.ends_with("smtps");
    let api = url.scheme.split_once('+').filter(|(_, transport)| matches!(*transport, "api" | "https"));
    let api = api.and_then(|(word, _)| Provider::find(word)?.api);
    let options: Vec<_> = query.iter().filter_map(|(key, value)| option(key, value, smtps, api).transpose()).collect();
    let options = options.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    let tls_is_given = options.iter().any(|option| matches!(option, Said::Setting(key, _) if key == "tls"));
    let mut relay = UrlRelay::of(VARIABLE, url, tls_is_given && !smtps, 25)?;
    for option in options {
        match option {
            Said::Setting(key, value) => relay.set(&key, typed(&key, value)),
            Said::Nothing(key) => warnings.push(format!("{VARIABLE}: {key:?} has no meaning here and is ignored")),
        }
    }
    Ok(Some(relay.settings()))
}

/// What one option comes to.
enum Said {
    Setting(String, String),
    Nothing(String),
}

/// One option in our words; `None`: it says what holds anyway.
fn option(key: &str, value: &str, smtps: bool, api: Option<&Entry>) -> Result<Option<Said>, Failure> {
    let off = matches!(value, "" | "0" | "false" | "no" | "off");
    let setting = |key: &str, value: &str| Ok(Some(Said::Setting(key.to_owned(), value.to_owned())));
    match key {
        _ if api.is_some_and(|api| api.has(key)) => setting(key, value),
        "verify_peer" if off => Err(failure(VARIABLE, "verify_peer=0 turns the verification of certificates off")
            .hint("trust the server's own certificate: MAILCHUTE_URL with ?ca_file=FILE or ?fingerprint=SHA256")),
        "auto_tls" if off && !smtps => setting("tls", "none"),
        "require_tls" if !off && !smtps => setting("tls", "starttls"),
        "encryption" if !smtps => match value {
            "ssl" => setting("tls", "implicit"),
            "tls" | "starttls" => setting("tls", "starttls"),
            _ => Ok(None),
        },
        "verify_peer" | "auto_tls" | "require_tls" | "encryption" => Ok(None),
        "local_domain" => setting("helo", value),
        "source_ip" => setting("source", value.trim_matches(['[', ']'])),
        "peer_fingerprint" => setting("fingerprint", value),
        "auth_mode" => setting("auth", value),
        "region" => setting("region", value),
        "max_per_second"
        | "ping_threshold"
        | "restart_threshold"
        | "restart_threshold_sleep"
        | "retry_period"
        | "timeout" => Ok(Some(Said::Nothing(key.to_owned()))),
        _ => Err(failure(VARIABLE, format!("option {key:?} is not in this version"))),
    }
}
