//! What the domains that sites send from publish, for the relays they send through.

use std::time::Duration;

use crate::address::compared_domain;
use crate::cli::check::Check;
use crate::config::site::Site;
use crate::deadline::Deadline;
use crate::dns::Client;
use crate::finding::{Finding, Section, codes};
use crate::records::{Subject, look as judge};

/// How long all questions to name servers may take together.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be said of the domains of `sites`: each with each of its relays, and once where sites share both.
pub(super) fn look(of: &Check, sites: &[&Site]) -> Vec<Section> {
    let domains: Vec<_> = sites.iter().map(|site| (*site, domains(site))).collect();
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    for (site, domain) in domains.iter().flat_map(|(site, domains)| domains.iter().map(move |domain| (*site, domain))) {
        for relay in site.every_relay() {
            let is_known = |known: &Subject<'_>| known.relay.name == relay.name && known.domain == domain;
            if !subjects.iter().any(is_known) {
                let site = Some(site.name.as_str());
                subjects.push(Subject { site, domain, relay, selectors: &of.selectors, copy: None });
            }
        }
    }
    let of_site = |site: &Site| {
        let findings = without_domain(site).into_iter().collect();
        Section { site: Some(site.name.clone()), findings, ..Section::new("domain") }
    };
    let mut sections: Vec<Section> =
        domains.iter().filter(|(_, domains)| domains.is_empty()).map(|(site, _)| of_site(site)).collect();
    sections.extend(ask(of, &subjects));
    sections
}

/// What name servers say of `subjects`, and what it means.
pub(super) fn ask(of: &Check, subjects: &[Subject<'_>]) -> Vec<Section> {
    if subjects.is_empty() {
        return Vec::new();
    }
    let mut client = of.dns.map_or_else(Client::system, Client::at);
    judge(subjects, &mut client, Deadline::after(PATIENCE))
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

/// The domains that a site writes as, that of its own `from` first.
pub(super) fn domains(site: &Site) -> Vec<String> {
    let own = site.from.iter().filter_map(|from| from.spec.address().ok()).map(|address| address.domain().to_owned());
    // What lies below a domain has names that only its messages tell.
    let listed = site.sender.iter().filter(|pattern| !pattern.subdomains).map(|pattern| pattern.domain.clone());
    let mut domains: Vec<String> = Vec::new();
    for domain in own.chain(listed).map(|domain| compared_domain(&domain).into_owned()) {
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    domains
}
