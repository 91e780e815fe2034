//! What the domains that sites send from publish, for the relays they send through.

use std::time::Duration;

use crate::address::{Address, compared_domain};
use crate::cli::check::Check;
use crate::config::site::Site;
use crate::deadline::Deadline;
use crate::dns::Client;
use crate::finding::{Finding, Section, codes};
use crate::plan;
use crate::records::{Subject, look as judge};

/// How long all questions to name servers may take together.
const PATIENCE: Duration = Duration::from_secs(5);

/// What name servers were asked.
#[derive(Default)]
pub(super) struct Asked {
    /// How many questions.
    pub(super) questions: usize,
    /// Each with what was said, in a line.
    pub(super) answers: Vec<String>,
}

/// A site, with what it writes as.
struct Written<'a> {
    site: &'a Site,
    domains: Vec<String>,
    /// Its own address, where it takes the place of others.
    rewritten: Option<String>,
}

/// What is to be said of the domains of `sites`: each with each of its relays, and once where sites share both.
pub(super) fn look(of: &Check, sites: &[&Site]) -> (Vec<Section>, Asked) {
    let all: Vec<_> = sites.iter().map(|site| written(site)).collect();
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    for (written, domain) in all.iter().flat_map(|written| written.domains.iter().map(move |domain| (written, domain)))
    {
        for relay in written.site.every_relay() {
            let is_known = |known: &Subject<'_>| known.relay.name == relay.name && known.domain == domain;
            if !subjects.iter().any(is_known) {
                let (site, rewritten) = (Some(written.site.name.as_str()), written.rewritten.as_deref());
                subjects.push(Subject { site, domain, relay, selectors: &of.selectors, copy: None, rewritten });
            }
        }
    }
    let silent = all.iter().filter(|written| written.domains.is_empty()).map(|written| {
        let (site, findings) = (Some(written.site.name.clone()), without_domain(written.site).into_iter().collect());
        Section { site, findings, ..Section::new("domain") }
    });
    let mut sections: Vec<Section> = silent.collect();
    let (judged, asked) = ask(of, &subjects);
    sections.extend(judged);
    (sections, asked)
}

/// What name servers say of `subjects`, and what it means.
pub(super) fn ask(of: &Check, subjects: &[Subject<'_>]) -> (Vec<Section>, Asked) {
    if subjects.is_empty() {
        return (Vec::new(), Asked::default());
    }
    let mut client = of.dns.map_or_else(Client::system, Client::at);
    let sections = judge(subjects, &mut client, Deadline::after(PATIENCE));
    (sections, Asked { questions: client.count(), answers: client.answers().collect() })
}

/// Nothing tells what this site writes as, so nothing is said of its domain.
pub(super) fn without_domain(site: &Site) -> Option<Finding> {
    if !domains(site).is_empty() {
        return None;
    }
    let sentence = "names no from, so SPF, DKIM and DMARC are not looked at";
    let finding = Finding::new(&codes::SITE_NO_SENDER, format!("site {}", site.name), sentence);
    Some(finding.advise("from = \"NAME@YOUR.DOMAIN\" in the configuration"))
}

fn written(site: &Site) -> Written<'_> {
    let rewritten = plan::own_sender(site).filter(|_| plan::rewrites(site)).map(|own| own.to_string());
    Written { site, domains: domains(site), rewritten }
}

/// The domains that a site writes as, that of its own address first.
pub(super) fn domains(site: &Site) -> Vec<String> {
    let own = plan::own_sender(site);
    // What lies below a domain has names that only its messages tell.
    let listed = site.sender.iter().filter(|pattern| !pattern.subdomains).map(|pattern| pattern.domain.as_str());
    let mut domains: Vec<String> = Vec::new();
    for domain in own.iter().map(Address::domain).chain(listed).map(|domain| compared_domain(domain).into_owned()) {
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    domains
}
