//! The tree of a policy, as every message makes a receiver walk it in the worst case.

use super::expand::Template;
use super::parse::{Directive, Mechanism, Network, Qualifier, parse};
use super::{LOOKUPS, NAMES, VOIDS, is_domain, records};
use crate::dns::{Known, Qtype, Rdata, Resolved, Said, Unresolved};

/// How many terms are walked: far beyond the limit, so that it can be said what is too much, and not without an end.
const TERMS: usize = 60;
/// How deep includes may nest while they are walked.
const DEPTH: usize = 20;

/// What is known of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The SPF records at the domain itself, as they are.
    pub records: Vec<String>,
    /// What each term of the domain's own record costs, in order.
    pub costs: Vec<Cost>,
    /// All terms that ask.
    pub lookups: usize,
    /// The names that nothing was found at.
    pub voids: Vec<String>,
    /// The names of all policies that are gone into by an include or a redirect, with what a match there means.
    pub named: Vec<(String, Qualifier)>,
    /// Addresses that may send.
    pub networks: Vec<Network>,
    /// What is said of everybody else; `None`: nothing is.
    pub rest: Option<Qualifier>,
    /// Terms of the domain's own record that stand behind `all`, where nobody reads on.
    pub behind: Vec<String>,
    /// What makes receivers end with a permanent error.
    pub flaws: Vec<Fault>,
    /// What could not be asked, with the reason: the rest may be incomplete.
    pub unasked: Vec<String>,
}

/// What a term of the record costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// As it is written.
    pub term: String,
    /// How many terms ask, with this one.
    pub lookups: usize,
}

/// What makes a policy useless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A domain has several records.
    Several(String),
    /// A record cannot be read: domain and reason.
    Syntax(String, String),
    /// An include or a redirect leads to a name without a record.
    Nowhere(String),
    /// An include or a redirect leads back to itself.
    Loop(String),
    /// More terms ask than may: the first that is too much, with its number.
    Lookups(String, usize),
    /// More questions find nothing than may.
    Voids,
    /// `mx` of a name with too many exchanges.
    Exchanges(String),
}

impl Survey {
    /// Whether a policy of this name is gone into, and a match there lets pass.
    pub fn names(&self, name: &str) -> bool {
        self.named.iter().any(|(named, qualifier)| *qualifier == Qualifier::Pass && named.eq_ignore_ascii_case(name))
    }
}

/// Walks the policy of `domain`.
///
/// # Errors
/// [`Unresolved`]: something is still to be asked. As much as can be told beforehand is noted as wanted at once.
pub fn survey(known: &Known, domain: &str) -> Result<Survey, Unresolved> {
    let mut walk = Walk { known, survey: Survey::default(), terms: 0, path: Vec::new(), pending: None };
    walk.at(domain, Qualifier::Pass, true);
    let Walk { mut survey, pending, .. } = walk;
    if let Some(pending) = pending {
        return Err(pending);
    }
    if survey.voids.len() > VOIDS {
        survey.flaws.push(Fault::Voids);
    }
    Ok(survey)
}

struct Walk<'a> {
    known: &'a Known,
    survey: Survey,
    terms: usize,
    /// The policies that are being walked.
    path: Vec<String>,
    /// The first question without an answer; the walk goes on, so that all that is missing is asked at once.
    pending: Option<Unresolved>,
}

/// What a policy is, to whoever led to it.
#[derive(PartialEq, Eq)]
enum Found {
    Policy,
    Nothing,
    /// It is not known, or wrong in a way that has been noted.
    Unknown,
}

impl Walk<'_> {
    fn ask(&mut self, name: &str, kind: Qtype) -> Option<Resolved> {
        match self.known.ask(name, kind) {
            Ok(answer) => {
                if let Said::Unasked(why) = &answer.said {
                    let text = format!("{name} {kind}: {why}");
                    if !self.survey.unasked.contains(&text) {
                        self.survey.unasked.push(text);
                    }
                    return None;
                }
                Some(answer)
            }
            Err(pending) => {
                self.pending = Some(pending);
                None
            }
        }
    }

    /// The policy of `domain`, a match in which means `qualifier`; `own`: its end is that of the whole.
    fn at(&mut self, domain: &str, qualifier: Qualifier, own: bool) -> Found {
        let is_top = self.path.is_empty();
        let Some(answer) = self.ask(domain, Qtype::Txt) else { return Found::Unknown };
        let found = records(&answer);
        if is_top {
            self.survey.records = found.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect();
        }
        let policy = match found[..] {
            [] => return Found::Nothing,
            [record] => parse(record).map_err(|why| Fault::Syntax(domain.to_owned(), why)),
            _ => Err(Fault::Several(domain.to_owned())),
        };
        let policy = match policy {
            Ok(policy) => policy,
            Err(flaw) => {
                self.flaw(flaw);
                return Found::Unknown;
            }
        };
        self.path.push(domain.to_owned());
        let end = policy.directives.iter().position(|directive| directive.mechanism == Mechanism::All);
        for directive in &policy.directives[..end.unwrap_or(policy.directives.len())] {
            let before = self.survey.lookups;
            self.directive(directive, domain, qualifier);
            self.cost(is_top, &directive.text, before);
        }
        match (end, &policy.redirect) {
            (Some(end), redirect) => {
                if own {
                    self.survey.rest = Some(policy.directives[end].qualifier);
                }
                if is_top {
                    let behind = policy.directives[end + 1..].iter().map(|directive| directive.text.clone());
                    self.survey.behind = behind.chain(redirect.as_ref().map(|_| "redirect".to_owned())).collect();
                }
            }
            (None, Some(redirect)) => {
                let before = self.survey.lookups;
                self.lead("redirect", redirect, domain, qualifier, own);
                self.cost(is_top, "redirect", before);
            }
            (None, None) => {}
        }
        self.path.pop();
        Found::Policy
    }

    fn cost(&mut self, is_top: bool, term: &str, before: usize) {
        let lookups = self.survey.lookups - before;
        if is_top && lookups > 0 {
            self.survey.costs.push(Cost { term: term.to_owned(), lookups });
        }
    }

    fn flaw(&mut self, flaw: Fault) {
        if !self.survey.flaws.contains(&flaw) {
            self.survey.flaws.push(flaw);
        }
    }

    /// Counts a term that asks; `false`: the walk has gone far enough.
    fn count(&mut self, term: &str) -> bool {
        self.terms += 1;
        if self.terms > TERMS {
            return false;
        }
        self.survey.lookups += 1;
        if self.survey.lookups == LOOKUPS + 1 {
            self.flaw(Fault::Lookups(term.to_owned(), LOOKUPS + 1));
        }
        true
    }

    fn directive(&mut self, directive: &Directive, domain: &str, qualifier: Qualifier) {
        // What does not let pass here does not let pass up there either.
        let lets_pass = qualifier == Qualifier::Pass && directive.qualifier == Qualifier::Pass;
        if directive.mechanism.asks()
            && !matches!(directive.mechanism, Mechanism::Include(_))
            && !self.count(&directive.text)
        {
            return;
        }
        let own = |template: &Option<Template>| {
            template.as_ref().map_or_else(|| Some(domain.to_owned()), |t| t.fixed(domain))
        };
        match &directive.mechanism {
            Mechanism::Ip(network) if lets_pass => self.survey.networks.push(*network),
            Mechanism::All | Mechanism::Ip(_) => {}
            Mechanism::Include(template) => {
                let within = if lets_pass { Qualifier::Pass } else { directive.qualifier };
                self.lead(&directive.text, template, domain, within, false);
            }
            Mechanism::A(template, lengths) => {
                let Some(name) = own(template) else { return };
                // A host of one family alone is none that nothing is found at.
                let (v4, v6) = (self.ask(&name, Qtype::A), self.ask(&name, Qtype::Aaaa));
                let (Some(v4), Some(v6)) = (v4, v6) else { return };
                if v4.is_void() && v6.is_void() {
                    self.survey.voids.push(name);
                }
                if lets_pass {
                    let networks = v4.addresses().chain(v6.addresses()).map(|address| {
                        let length = if address.is_ipv4() { lengths.v4 } else { lengths.v6 };
                        Network { address, length }
                    });
                    self.survey.networks.extend(networks);
                }
            }
            Mechanism::Mx(template, _) => {
                let Some(name) = own(template) else { return };
                let Some(answer) = self.ask(&name, Qtype::Mx) else { return };
                if answer.is_void() {
                    self.survey.voids.push(name.clone());
                }
                let hosts = answer.found().iter().filter(|record| matches!(record, Rdata::Exchange { .. })).count();
                if hosts > NAMES {
                    self.flaw(Fault::Exchanges(name));
                }
            }
            Mechanism::Exists(template) => {
                let Some(name) = template.fixed(domain) else { return };
                let Some(answer) = self.ask(&name, Qtype::A) else { return };
                if answer.is_void() {
                    self.survey.voids.push(name);
                }
            }
            // It depends on the client.
            Mechanism::Ptr(_) => {}
        }
    }

    /// Goes into another policy.
    fn lead(&mut self, term: &str, template: &Template, domain: &str, qualifier: Qualifier, own: bool) {
        if !self.count(term) {
            return;
        }
        // It depends on the message.
        let Some(target) = template.fixed(domain) else { return };
        if self.path.contains(&target) {
            return self.flaw(Fault::Loop(target));
        }
        if self.path.len() == DEPTH || !is_domain(&target) {
            return self.flaw(Fault::Nowhere(target));
        }
        self.survey.named.push((target.clone(), qualifier));
        if self.at(&target, qualifier, own) == Found::Nothing {
            self.flaw(Fault::Nowhere(target));
        }
    }
}
