//! The relays: reached, TLS, login, and goodbye. Each in a thread of its own, under its own time for connecting.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::general::shown;
use crate::attempt::Attempt;
use crate::config::relay::{Place, Relay, TlsMode, Way, is_loopback};
use crate::config::site::Site;
use crate::deadline::{Deadline, seconds};
use crate::failure::{Failure, Kind};
use crate::finding::{Code, Finding, Grade, Section, codes};
use crate::hint;
use crate::outcome::Stage;
use crate::process;
use crate::reply::Reply;
use crate::submit::login::{self, Said, Tried, Trouble};
use crate::tools::blocked::{self, Elsewhere};
use crate::wire::Connection;

/// How long before its end a certificate is worth a line, in seconds.
const SOON: i64 = 14 * 24 * 3600;

/// What came of the relays of `sites`, each asked once.
pub(super) fn look(sites: &[&Site]) -> Vec<Section> {
    let mut relays: Vec<(&Arc<Relay>, &str)> = Vec::new();
    for site in sites {
        for relay in site.every_relay() {
            if !relays.iter().any(|(known, _)| Arc::ptr_eq(known, relay)) {
                relays.push((relay, &site.name));
            }
        }
    }
    std::thread::scope(|scope| {
        let asked: Vec<_> = relays
            .iter()
            .map(|(relay, site)| {
                let thread = process::start_in(scope, "relay", || one(relay));
                (relay, site, thread)
            })
            .collect();
        let sections = asked.into_iter().map(|(relay, site, thread)| {
            let section = thread.ok().and_then(|thread| thread.join().ok());
            let section = section.unwrap_or_else(|| {
                let failure = Failure::new(Kind::System, "relay", "there is no thread to be had");
                let mut section = Section::new("relay");
                section.findings.push(found(&codes::RELAY_SETTINGS, relay, &failure));
                section
            });
            Section { site: Some((*site).to_owned()), ..section }
        });
        sections.collect()
    })
}

/// Asks one relay.
fn one(relay: &Arc<Relay>) -> Section {
    let mut section = Section::new("relay");
    let mut attempt = Attempt::new(Deadline::after(relay.connect_timeout));
    let began = Instant::now();
    if let Way::Null(why) = &relay.way {
        section.fine.push(format!("{}: discards every message ({why})", relay.name));
        return section;
    }
    let asked = ask(relay, &mut attempt);
    let tls = attempt.trace.tls.as_deref().and_then(|tls| tls.split(' ').next()).unwrap_or("no TLS");
    match asked {
        Ok(Tried { said: Said::Refused(reply, stage), .. }) => section.findings.push(refused(relay, &reply, stage)),
        Ok(Tried { said: Said::Limited(why), .. }) => {
            let sentence = format!("the login is accepted, and {why}");
            section.findings.push(Finding::new(&codes::LOGIN_LIMITED, subject(relay), sentence));
        }
        Ok(Tried { said, end }) => {
            let until = end.map(|end| format!(", certificate until {}", end.strftime("%-d %b %Y"))).unwrap_or_default();
            let took = seconds(began.elapsed());
            let told = match said {
                Said::Accepted => "login accepted",
                Said::NoLogin => "no login is configured",
                _ => "reached",
            };
            section.fine.push(shown(&format!("{} {tls}{until}, {told} ({took})", relay.place)));
            if let Said::NotTried(why) = said {
                let sentence = format!("login not tried: {why}");
                section.findings.push(Finding::new(&codes::RELAY_NOT_TRIED, subject(relay), sentence));
            }
            if let Some(end) = end.filter(|end| end.as_second() - Timestamp::now().as_second() < SOON) {
                let sentence = format!("its certificate ends on {}", end.strftime("%-d %b %Y"));
                let finding = Finding::new(&codes::RELAY_CERTIFICATE, subject(relay), sentence);
                section.findings.push(finding.advise("the relay's operator has to renew it"));
            }
        }
        Err(trouble) => section.findings.push(*trouble),
    }
    let is_elsewhere = matches!(&relay.place, Place::Tcp { host, .. } if !is_loopback(host));
    if relay.tls == TlsMode::None && is_elsewhere {
        let sentence = "everything goes there in clear, the login included";
        section.findings.push(
            Finding::new(&codes::RELAY_NO_TLS, subject(relay), sentence).advise("tls = \"implicit\" with port 465"),
        );
    }
    // Addresses that lost the race because they do not work.
    let notes = attempt.trace.dialogue().filter_map(|line| line.strip_prefix("* "));
    let is_address = |note: &&str| {
        note.rsplit_once(": ").is_some_and(|(address, _)| address.parse::<std::net::SocketAddr>().is_ok())
    };
    if section.findings.iter().all(|finding| finding.grade < Grade::Broken) {
        let lost: Vec<String> = notes.filter(is_address).map(shown).collect();
        section.findings.extend(lost.into_iter().map(|note| Finding::new(&codes::RELAY_ADDRESS, subject(relay), note)));
    }
    section
}

/// Logs in; an API is reached first, which tells of its certificate, and of a wrong host apart from a wrong key.
fn ask(relay: &Arc<Relay>, attempt: &mut Attempt) -> Result<Tried, Box<Finding>> {
    let end = match &relay.way {
        Way::Api(_) => {
            let connection =
                Connection::open(relay, attempt).map_err(|failure| Box::new(of_failure(relay, &failure)))?;
            connection.certificate_end()
        }
        Way::Smtp(_) | Way::Null(_) => None,
    };
    match login::without_message(relay, attempt) {
        Ok(tried) => Ok(Tried { end: tried.end.or(end), ..tried }),
        Err(Trouble::Settings(failure)) => Err(Box::new(found(&codes::RELAY_SETTINGS, relay, &failure))),
        Err(Trouble::Failed(failure)) => Err(Box::new(of_failure(relay, &failure))),
    }
}

/// What the failure of a conversation is as a finding.
fn of_failure(relay: &Relay, failure: &Failure) -> Finding {
    let code = match (&failure.kind, failure.stage) {
        (Kind::NoHost, _) => &codes::RELAY_NO_HOST,
        (Kind::Unavailable, Some(Stage::Connect)) => return silent(relay, failure),
        (_, Some(Stage::Tls | Stage::StartTls)) => &codes::RELAY_TLS,
        (Kind::Unavailable, Some(Stage::Greeting)) => &codes::RELAY_TLS,
        (Kind::Unavailable, _) => &codes::RELAY_UNREACHABLE,
        (Kind::Protocol, _) => &codes::RELAY_PROTOCOL,
        _ => &codes::RELAY_SETTINGS,
    };
    found(code, relay, failure)
}

/// Nobody answers: whether others do at the same provider, which tells whose doing it is.
fn silent(relay: &Relay, failure: &Failure) -> Finding {
    let Some((elsewhere, provider)) = blocked::elsewhere(relay).zip(relay.provider) else {
        return found(&codes::RELAY_UNREACHABLE, relay, failure);
    };
    let sentence = shown(&format!("{failure}, and others of {} answer", provider.name));
    let next = match elsewhere {
        Elsewhere::Port(port) => format!("port = {port} in [relay.{}]", relay.name),
        Elsewhere::Api => format!("via = \"api\" in [relay.{}]", relay.name),
    };
    Finding::new(&codes::RELAY_BLOCKED, subject(relay), sentence).advise(next)
}

/// The relay said no.
fn refused(relay: &Relay, reply: &Reply, stage: Stage) -> Finding {
    let code = if stage == Stage::Auth { &codes::LOGIN_REFUSED } else { &codes::RELAY_REFUSED };
    let finding = Finding::new(code, subject(relay), shown(&format!("{reply} ({stage})")));
    match hint::for_reply(reply, stage, relay) {
        Some(next) => finding.advise(shown(&next)),
        None => finding,
    }
}

fn subject(relay: &Relay) -> String {
    shown(&format!("relay {}", relay.name))
}

fn found(code: &'static Code, relay: &Relay, failure: &Failure) -> Finding {
    let finding = Finding::new(code, subject(relay), shown(&failure.to_string()));
    match failure.hint.clone().or_else(|| hint::for_failure(failure, relay)) {
        Some(next) => finding.advise(shown(&next)),
        None => finding,
    }
}
