//! What the records of a domain mean for the relay that its mail goes through.

mod dkim;
mod dmarc;
mod others;
mod reverse_path;
mod spf;

use std::net::IpAddr;

use super::dmarc as policies;
use super::pattern::filled;
use super::received::Received;
use crate::address::compared_domain;
use crate::config::relay::{Relay, Way};
use crate::dns::{Known, Qtype, Unresolved};
use crate::finding::{Code, Finding, Grade, Record, Section, codes};
use crate::providers::{self, Provider, Published, Sure};

/// How far above the domain of From the registered one is looked for, where no policy says whose it is.
const PARENTS: usize = 3;

/// A domain that mail is sent from, and the relay it goes through.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The site, by name; `None`: none sends as this domain.
    pub site: Option<&'a str>,
    /// The domain of From.
    pub domain: &'a str,
    /// The relay.
    pub relay: &'a Relay,
    /// DKIM selectors that the user named; empty: those the provider is known to use.
    pub selectors: &'a [String],
    /// A copy that arrived: what it tells counts in place of what the provider is known to do.
    pub copy: Option<&'a Received>,
    /// The site's own address, where it takes the place of every From that the site may not write as.
    pub rewritten: Option<&'a str>,
}

/// What is said of a subject, section by section.
///
/// # Errors
/// [`Unresolved`]: something is still to be asked.
pub(super) fn judge(known: &Known, subject: &Subject<'_>) -> Result<Vec<Section>, Unresolved> {
    let domain = compared_domain(subject.domain).into_owned();
    if matches!(subject.relay.way, Way::Null(_)) || !domain.contains('.') {
        return Ok(Vec::new());
    }
    if let Some(owner) = owner(&domain) {
        return Ok(vec![at_a_mailbox_provider(subject, &domain, owner)]);
    }
    let found = policies::walk(known, &domain);
    let homes = homes(subject, &domain, found.as_ref().ok());
    let case = Case { known, subject, domain, homes };
    // Each as far as it comes, so that all that is missing is asked at once.
    let (signed, returned, others) = (dkim::judge(&case), reverse_path::judge(&case), others::judge(&case));
    let listed = returned.as_ref().map_err(|pending| *pending).and_then(|returned| spf::judge(&case, returned));
    let (signed, returned) = (signed?, returned?);
    let listed = listed?;
    let policy = dmarc::judge(&case, &found?, &signed, &returned, listed.passes)?;
    let mut sections = vec![listed.section, signed.section, policy];
    sections.extend(others?);
    Ok(sections)
}

/// The provider whose own domain this is: everybody may have an address there.
fn owner(domain: &str) -> Option<&'static Provider> {
    providers::all().find(|provider| provider.published().is_some_and(|published| published.own.contains(&domain)))
}

fn at_a_mailbox_provider(subject: &Subject<'_>, domain: &str, owner: &Provider) -> Section {
    let mut section = section("DMARC", subject);
    if subject.relay.provider.is_some_and(|provider| provider.id == owner.id) {
        section.fine.push(format!("{domain} is {}'s own domain: nothing is to be published", owner.name));
        return section;
    }
    let sentence = format!("only {} can sign for it, and the relay {} is another's", owner.name, subject.relay.name);
    let finding = Finding::new(&codes::DMARC_FOREIGN, domain, sentence);
    let finding = Finding { site: subject.site.map(str::to_owned), ..finding };
    section.findings.push(match subject.rewritten.filter(|own| domain_of(own) != domain) {
        Some(own) => finding.advise(format!("take it out of `sender`: {own} takes its place then")),
        None => finding.advise("send from an address at a domain of your own"),
    });
    section
}

/// The domain of an address, as names are compared.
fn domain_of(address: &str) -> String {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    compared_domain(domain).into_owned()
}

/// An empty section about a subject.
fn section(label: &str, subject: &Subject<'_>) -> Section {
    Section { site: subject.site.map(str::to_owned), ..Section::new(label) }
}

/// A subject that is being judged.
struct Case<'a> {
    known: &'a Known,
    subject: &'a Subject<'a>,
    /// The domain of From, as names are compared.
    domain: String,
    /// The domains that may be the one that is registered with the provider, the likeliest first; never empty.
    homes: Vec<String>,
}

/// The registered domain where the configuration tells it; else that of From and those above it.
fn homes(subject: &Subject<'_>, domain: &str, found: Option<&policies::Walk>) -> Vec<String> {
    if let Some(signature) = subject.copy.and_then(|copy| copy.own_signatures().next()) {
        return vec![signature.domain.clone()];
    }
    let relay = subject.relay;
    let by_login = relay.provider.and_then(Provider::published).is_some_and(|published| published.by_login);
    let login = || relay.username().filter(|_| by_login)?.rsplit_once('@').map(|(_, domain)| domain);
    let named = relay.api().and_then(|interface| interface.api.domain()).or_else(login);
    if let Some(named) = named {
        return vec![compared_domain(named).into_owned()];
    }
    // Not known yet: what is above is asked for once it is.
    let Some(found) = found else { return vec![domain.to_owned()] };
    let parents = std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, parent)| parent));
    let organization = (!found.policies.is_empty()).then_some(found.organization.as_str());
    let is_inside = |name: &str| {
        organization.is_none_or(|top| name == top || name.strip_suffix(top).is_some_and(|rest| rest.ends_with('.')))
    };
    parents.filter(|name| name.contains('.') && is_inside(name)).take(PARENTS).map(str::to_owned).collect()
}

impl Case<'_> {
    /// What the provider wants.
    fn published(&self) -> Option<&'static Published> {
        self.subject.relay.provider?.published()
    }

    /// The provider's name; `the relay` where it is none that is known.
    fn provider(&self) -> &'static str {
        self.subject.relay.provider.map_or("the relay", |provider| provider.name)
    }

    fn section(&self, label: &str) -> Section {
        section(label, self.subject)
    }

    /// A finding about `subject`.
    fn finding(&self, code: &'static Code, subject: impl Into<String>, sentence: impl Into<String>) -> Finding {
        Finding { site: self.subject.site.map(str::to_owned), ..Finding::new(code, subject, sentence) }
    }

    /// The same, where it is built on what is known of the provider: no worse than that allows.
    fn weighed(&self, code: &'static Code, subject: impl Into<String>, sentence: impl Into<String>) -> Finding {
        let grade = match self.published().map_or(Sure::Low, |published| published.sure) {
            Sure::High => Grade::Broken,
            Sure::Medium => Grade::Weak,
            Sure::Low => Grade::Note,
        };
        self.finding(code, subject, sentence).at_most(grade)
    }

    /// That a name could not be asked for.
    fn unasked(&self, name: &str, why: &str) -> Finding {
        let finding = self.finding(&codes::DNS_UNASKED, name, format!("could not be asked: {why}"));
        finding.advise("look again later, or ask another server: mailchute check --dns ADDRESS")
    }

    /// The addresses that `name` has where another name should stand for it: a proxy in front of a zone answers with its
    /// own. What `nobodys`, a name that nobody has, answers with as well is a wildcard's, and none of these.
    fn proxied(&self, name: &str, nobodys: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let addresses = |name: &str| {
            let mut addresses: Vec<_> = self.known.ask(name, Qtype::A)?.addresses().collect();
            // Name servers give them in another order each time.
            addresses.sort();
            Ok(addresses)
        };
        let own = addresses(name)?;
        let is_everybodys = !own.is_empty() && addresses(nobodys)? == own;
        Ok(if is_everybodys { Vec::new() } else { own })
    }

    /// The CNAME to set at `name` where its target is the same for everybody, else where it is shown.
    fn point(&self, finding: Finding, name: &str, target: Option<String>, replaces: bool) -> Finding {
        match target {
            Some(value) => finding.set(Record { name: name.to_owned(), kind: "CNAME", value }, replaces),
            None => finding.advise(self.shown()),
        }
    }

    /// Where the account shows its records, as a step.
    fn shown(&self) -> String {
        match self.published().map_or("", |published| published.shown) {
            "" => "set it as the provider lists it".to_owned(),
            shown => format!("set it as the account lists it: see {shown}"),
        }
    }
}

/// A name of the provider's file below the registered domain.
fn below(name: &str, home: &str) -> String {
    let name = filled(name, home);
    if name.is_empty() { home.to_owned() } else { format!("{name}.{home}") }
}
