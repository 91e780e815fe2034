//! Who has a domain's mailboxes, who sends for it, and where it takes submissions: for `init`.

use super::pattern::is_like;
use super::spf::survey;
use crate::deadline::Deadline;
use crate::dns::{Client, Known, Qtype, Rdata, Unresolved};
use crate::providers::{self, Provider, TlsMode};

/// What the records of a domain say about how its mail may be sent.
#[derive(Debug, Default)]
pub struct Guess {
    /// Who has its mailboxes, by the domain itself or its mail exchanges.
    pub mailbox: Option<&'static Provider>,
    /// Who is set up to send for it, by published DKIM keys, reverse-paths and SPF includes; the surest first.
    pub senders: Vec<&'static Provider>,
    /// Where it takes submissions by its own word (RFC 6186, RFC 8314), the best first.
    pub services: Vec<Service>,
    /// What could not be asked, with the reason.
    pub unasked: Vec<String>,
}

/// A server that takes submissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// When TLS begins.
    pub tls: TlsMode,
    /// Whether it is outside the domain: then the user is asked first (RFC 6186 6).
    pub is_foreign: bool,
}

/// Asks for what the records of `domain` say.
pub fn guess(domain: &str, client: &mut Client, deadline: Deadline) -> Guess {
    let domain = crate::address::compared_domain(domain).into_owned();
    client.settle(deadline, |known| guessed(known, &domain))
}

/// The same from what is known.
fn guessed(known: &Known, domain: &str) -> Result<Guess, Unresolved> {
    let mut guess = Guess::default();
    let own = providers::all().find(|provider| provider.published().is_some_and(|known| known.own.contains(&domain)));
    if own.is_some() {
        return Ok(Guess { mailbox: own, ..guess });
    }
    let parts =
        (mailbox(known, domain, &mut guess), services(known, domain, &mut guess), senders(known, domain, &mut guess));
    parts.0.and(parts.1).and(parts.2)?;
    Ok(guess)
}

fn mailbox(known: &Known, domain: &str, guess: &mut Guess) -> Result<(), Unresolved> {
    let answer = known.ask(domain, Qtype::Mx)?;
    guess.unasked.extend(answer.why_unasked().map(|why| format!("{domain} MX: {why}")));
    let hosts = answer.found().iter().filter_map(|record| match record {
        Rdata::Exchange { preference, host } => Some((*preference, host)),
        _ => None,
    });
    let Some((_, first)) = hosts.min() else { return Ok(()) };
    guess.mailbox = providers::all().find(|provider| {
        let patterns = provider.published().into_iter().flat_map(|published| &published.exchanges);
        patterns.into_iter().any(|pattern| is_like(pattern, first, domain))
    });
    Ok(())
}

fn services(known: &Known, domain: &str, guess: &mut Guess) -> Result<(), Unresolved> {
    let kinds = [("_submissions", TlsMode::Implicit), ("_submission", TlsMode::StartTls)];
    let name = |service: &str| format!("{service}._tcp.{domain}");
    kinds.iter().for_each(|(service, _)| known.expect(&name(service), Qtype::Srv));
    for (service, tls) in kinds {
        let answer = known.ask(&name(service), Qtype::Srv)?;
        guess.unasked.extend(answer.why_unasked().map(|why| format!("{} SRV: {why}", name(service))));
        let mut found: Vec<_> = answer
            .found()
            .iter()
            .filter_map(|record| match record {
                // An empty name says that there is none (RFC 2782).
                Rdata::Service { priority, weight, port, host } if !host.is_empty() && *port != 0 => {
                    Some((*priority, u16::MAX - weight, *port, host.clone()))
                }
                _ => None,
            })
            .collect();
        found.sort();
        guess.services.extend(found.into_iter().map(|(_, _, port, host)| {
            let is_foreign = host != domain && !host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
            Service { host, port, tls, is_foreign }
        }));
    }
    Ok(())
}

/// A key that another name stands for is the surest sign, then a reverse-path, then an include.
fn senders(known: &Known, domain: &str, guess: &mut Guess) -> Result<(), Unresolved> {
    let all = || providers::all().filter_map(|provider| Some((provider, provider.published()?)));
    let key = |selector: &str| format!("{selector}._domainkey.{domain}");
    let place = |name: &str| format!("{name}.{domain}");
    let mut pending = None;
    let mut found: Vec<(u8, &'static Provider)> = Vec::new();
    let mut is_led = |name: String, kind: Qtype, pattern: &str| match known.ask(&name, kind) {
        Ok(answer) => answer.found().iter().any(|record| match record {
            Rdata::Alias(host) | Rdata::Exchange { host, .. } => is_like(pattern, host, domain),
            _ => false,
        }),
        Err(still) => {
            pending = Some(still);
            false
        }
    };
    for (provider, published) in all() {
        for sought in published.keys.iter().filter_map(|set| set.first()) {
            if sought.target.is_some_and(|target| is_led(key(sought.selector), Qtype::Cname, target)) {
                found.push((0, provider));
            }
        }
        let bounce = &published.bounce;
        let kind = if bounce.kind == providers::BounceKind::Cname { Qtype::Cname } else { Qtype::Mx };
        if let Some(first) = bounce.names.first().filter(|name| !name.contains('{'))
            && is_led(place(first), kind, bounce.target)
        {
            found.push((1, provider));
        }
    }
    let listed = survey(known, domain)?;
    for (provider, published) in all() {
        if published.includes().any(|name| listed.names(name)) {
            found.push((2, provider));
        }
    }
    if let Some(pending) = pending {
        return Err(pending);
    }
    found.sort_by_key(|(rank, _)| *rank);
    for (_, provider) in found {
        if !guess.senders.iter().any(|known| known.id == provider.id) {
            guess.senders.push(provider);
        }
    }
    Ok(())
}
