//! Domains by themselves: those that `--domain` names, or the one that a copy of a message which arrived is from. No
//! file of this machine is judged and no relay is asked.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::general::{described, no_such_site, of_failure, shown};
use super::published::{Asked, ask, domains};
use super::{Seen, title};
use crate::caller::Caller;
use crate::cli::check::Check;
use crate::config::relay::{Place, Relay, TlsMode};
use crate::config::site::Site;
use crate::failure::{Failure, Kind};
use crate::finding::{Finding, Grade, Section, codes};
use crate::host;
use crate::message::Message;
use crate::plan::{Choice, Course};
use crate::providers::Provider;
use crate::records::Subject;
use crate::records::received::{self, Outcome, Received};

/// The most of a copy that is read, in octets: its header section is at the beginning.
const COPY: u64 = 2 << 20;

/// Judges the domains, each with the relays of the sites that send as it; with those of all where none does, and with
/// one of `--provider` alone where that is given.
///
/// # Errors
/// The copy cannot be read, or is none.
pub(super) fn look(of: &Check) -> Result<Seen, Failure> {
    let copy = of.message.as_deref().map(read).transpose()?;
    let caller = Caller::current();
    let choice = Choice { site: None, config: of.config.clone(), relay: None };
    let course = Course::begin(&caller, &choice);
    let mut sections: Vec<Section> = copy.iter().map(of_copy).collect();
    let config = match of.provider {
        Some(_) => None,
        None => course.config().map_err(|failure| sections.push(without(&failure))).ok(),
    };
    let is_meant = |site: &&Site| of.sites.is_empty() || of.sites.contains(&site.name);
    let sites: Vec<&Site> = config.map_or(&[][..], |config| &config.sites).iter().filter(is_meant).collect();
    if config.is_some() {
        let unknown = of.sites.iter().filter(|name| !sites.iter().any(|site| site.name == **name));
        sections.extend(unknown.map(|name| no_such_site(name)));
    }
    let nobodys = relay(of.provider);
    let mut names = of.domains.clone();
    names.extend(copy.iter().map(|copy| copy.domain.clone()).filter(|domain| !of.domains.contains(domain)));
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    for domain in &names {
        let copy = copy.as_ref().filter(|copy| copy.domain == *domain);
        let senders: Vec<&Site> = sites.iter().copied().filter(|site| domains(site).contains(domain)).collect();
        let mut pairs: Vec<(Option<&str>, &Relay)> = Vec::new();
        let all = if senders.is_empty() { &sites } else { &senders };
        for site in all {
            let name = (!senders.is_empty()).then_some(site.name.as_str());
            pairs.extend(site.every_relay().into_iter().map(|relay| (name, &**relay)));
        }
        if pairs.is_empty() {
            pairs.push((None, &nobodys));
        }
        for (site, relay) in pairs {
            let is_known = |known: &Subject<'_>| known.relay.name == relay.name && known.domain == domain;
            if !subjects.iter().any(is_known) {
                subjects.push(Subject { site, domain, relay, selectors: &of.selectors, copy, rewritten: None });
            }
        }
    }
    let mut asked = Asked::default();
    if !of.offline {
        let (judged, all) = ask(of, &subjects);
        sections.extend(judged);
        asked = all;
    }
    let about = sites.iter().map(|site| (site.name.clone(), described(site))).collect::<Vec<_>>();
    sections.sort_by_key(|section| {
        section.site.as_ref().map_or(0, |name| 1 + about.iter().position(|(known, _)| known == name).unwrap_or(0))
    });
    Ok(Seen { title: title(config, None), sections, sites: about, asked })
}

/// A relay of which nothing but its provider is known.
fn relay(provider: Option<&'static Provider>) -> Relay {
    let name = provider.map_or("relay", |provider| provider.id);
    let place = Place::Tcp { host: "localhost".to_owned(), port: 465 };
    Relay { provider, ..Relay::new(name, place, TlsMode::Implicit) }
}

/// There is no configuration to tell the relay, which is no fault of the domain.
fn without(failure: &Failure) -> Section {
    let mut section = Section::new("files");
    section.findings.push(of_failure(failure).at_most(Grade::Note));
    section
}

/// Reads the copy; `-` is standard input.
fn read(file: &Path) -> Result<Received, Failure> {
    let name = shown(&file.display().to_string());
    let unreadable = |error: io::Error| Failure::new(Kind::NoInput, &name, format!("cannot be read: {error}"));
    let message = if file == Path::new("-") {
        Message::read(&mut io::stdin().lock().take(COPY), false)?
    } else if host::is_privileged() {
        let why = "a file that the caller names is not read with the rights of this binary";
        return Err(Failure::new(Kind::NoPermission, "--message", why).hint("mailchute check --message - < FILE"));
    } else {
        Message::read(&mut File::open(file).map_err(unreadable)?.take(COPY), false)
            .map_err(|failure| Failure { what: name.clone(), ..failure })?
    };
    received::read(message.header()).ok_or_else(|| {
        Failure::new(Kind::Data, name, "has no From field with an address, so it is no copy of a message")
            .hint("save the whole message as it arrived: \"show original\", \"view source\"")
    })
}

/// What the copy itself tells.
fn of_copy(copy: &Received) -> Section {
    let mut section = Section::new("message");
    let receiver = shown(copy.receiver.as_deref().unwrap_or("its receiver"));
    let said: Vec<String> = copy.results.iter().map(|one| format!("{}={}", one.method, one.result)).collect();
    if !said.is_empty() {
        section.fine.push(shown(&format!("{receiver} says {}", said.join(", "))));
    }
    for signature in copy.own_signatures() {
        let told = format!("signed for {}, --selector {} looks for the key", signature.domain, signature.selector);
        section.fine.push(shown(&told));
    }
    section.fine.extend(copy.return_path.as_ref().map(|at| shown(&format!("its reverse-path is at {at}"))));
    let domain = shown(&copy.domain);
    let of = |method: &str| copy.results.iter().filter(move |one| one.method == method).collect::<Vec<_>>();
    let is_bad = |one: &&&Outcome| matches!(one.result.as_str(), "fail" | "softfail" | "permerror" | "policy");
    let has_passed = |all: &[&Outcome]| all.iter().any(|one| one.result == "pass");
    let (spf, dkim, dmarc) = (of("spf"), of("dkim"), of("dmarc"));
    if copy.own_signatures().next().is_none() {
        let sentence = "no DKIM signature of it is for this domain, so only SPF can make it pass";
        let finding = Finding::new(&codes::MESSAGE_UNSIGNED, &domain, sentence);
        section.findings.push(finding.advise("have the provider sign for the domain: its account shows the records"));
    }
    let own: Vec<&Outcome> =
        dkim.into_iter().filter(|one| one.domain.as_ref().is_none_or(|domain| copy.is_related(domain))).collect();
    if let Some(bad) = own.iter().find(is_bad).filter(|_| !has_passed(&own)) {
        let sentence = format!("{receiver} says dkim={} of its signature", bad.result);
        let finding = Finding::new(&codes::MESSAGE_DKIM, &domain, shown(&sentence));
        let next = "mend what is said of DKIM; if nothing is, somebody changed the message after it was signed";
        section.findings.push(finding.advise(next));
    }
    if let Some(bad) = spf.iter().find(is_bad).filter(|_| !has_passed(&spf)) {
        let at = copy.return_path.as_deref().or(bad.domain.as_deref()).unwrap_or("its reverse-path");
        let sentence = format!("{receiver} says spf={} of {at}", bad.result);
        let finding = Finding::new(&codes::MESSAGE_SPF, &domain, shown(&sentence));
        section.findings.push(finding.advise(shown(&format!("mend the SPF record of {at}"))));
    }
    if let Some(bad) = dmarc.iter().find(is_bad).filter(|_| !has_passed(&dmarc)) {
        let sentence = format!("{receiver} says dmarc={}", bad.result);
        let finding = Finding::new(&codes::MESSAGE_DMARC, &domain, shown(&sentence));
        section.findings.push(finding.advise("mend DKIM first: it is enough"));
    }
    if copy.has_slow_unsubscribe {
        let sentence =
            "List-Unsubscribe is there without List-Unsubscribe-Post, which large receivers want of newsletters";
        let finding = Finding::new(&codes::MESSAGE_UNSUBSCRIBE, &domain, sentence);
        section
            .findings
            .push(finding.advise("List-Unsubscribe-Post: List-Unsubscribe=One-Click, and an https address"));
    }
    section
}
