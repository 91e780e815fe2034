//! `check_host()` (RFC 7208 4).

use std::fmt;
use std::net::IpAddr;

use super::expand::{Template, Values, dotted};
use super::parse::{Directive, Lengths, Mechanism, Network, Policy, Qualifier, parse};
use super::{LOOKUPS, NAMES, VOIDS, is_domain, records};
use crate::dns::{Known, Qtype, Rdata, Resolved, Said, Unresolved};

/// Who says it may send.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its address.
    pub address: IpAddr,
    /// The reverse-path; empty: none, and the HELO argument counts.
    pub sender: &'a str,
    /// The HELO argument.
    pub helo: &'a str,
}

/// What an evaluation ends with (RFC 7208 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no record, or no domain.
    None,
    /// The domain says nothing of the client.
    Neutral,
    /// It may.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// Something could not be asked.
    TempError,
    /// The record cannot be used.
    PermError,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        })
    }
}

impl From<Qualifier> for Verdict {
    fn from(qualifier: Qualifier) -> Self {
        match qualifier {
            Qualifier::Pass => Self::Pass,
            Qualifier::Fail => Self::Fail,
            Qualifier::SoftFail => Self::SoftFail,
            Qualifier::Neutral => Self::Neutral,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The verdict.
    pub verdict: Verdict,
    /// How many terms asked.
    pub lookups: usize,
    /// How many of their questions found nothing.
    pub voids: usize,
    /// What the domain says to whoever fails, where it does.
    pub explanation: Option<String>,
    /// What is wrong, after an error.
    pub why: Option<String>,
}

/// Evaluates the policy for `peer`.
///
/// # Errors
/// [`Unresolved`]: something is still to be asked.
pub fn evaluate(known: &Known, peer: &Peer<'_>) -> Result<Evaluation, Unresolved> {
    let (local, domain) = match peer.sender.rsplit_once('@') {
        Some((local, domain)) => (local, domain),
        None if peer.sender.is_empty() => ("", peer.helo),
        None => ("", peer.sender),
    };
    let local = if local.is_empty() { "postmaster" } else { local };
    let sender = format!("{local}@{domain}");
    let mut run = Run { known, peer, sender, lookups: 0, voids: 0, explanation: None };
    let (verdict, why) = match run.check(domain, true) {
        Ok(verdict) => (verdict, None),
        Err(Halt::Unresolved(pending)) => return Err(pending),
        Err(Halt::Permanent(why)) => (Verdict::PermError, Some(why)),
        Err(Halt::Temporary(why)) => (Verdict::TempError, Some(why)),
    };
    let explanation = run.explanation.take().filter(|_| verdict == Verdict::Fail);
    Ok(Evaluation { verdict, lookups: run.lookups, voids: run.voids, explanation, why })
}

/// Why an evaluation ends before its verdict.
enum Halt {
    Unresolved(Unresolved),
    Permanent(String),
    Temporary(String),
}

impl From<Unresolved> for Halt {
    fn from(pending: Unresolved) -> Self {
        Self::Unresolved(pending)
    }
}

struct Run<'a> {
    known: &'a Known,
    peer: &'a Peer<'a>,
    sender: String,
    lookups: usize,
    voids: usize,
    explanation: Option<String>,
}

impl Run<'_> {
    /// The policy of `domain`; `explains`: its explanation counts, which that of an include does not.
    fn check(&mut self, domain: &str, explains: bool) -> Result<Verdict, Halt> {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        if !is_domain(domain) {
            return Ok(Verdict::None);
        }
        let answer = self.known.ask(domain, Qtype::Txt)?;
        if let Said::Unasked(why) = &answer.said {
            return Err(Halt::Temporary(format!("{domain}: {why}")));
        }
        let policy = match records(&answer)[..] {
            [] => return Ok(Verdict::None),
            [record] => parse(record).map_err(|why| Halt::Permanent(format!("{domain}: {why}")))?,
            _ => return Err(Halt::Permanent(format!("{domain}: there are several SPF records"))),
        };
        for directive in &policy.directives {
            if self.matches(directive, domain)? {
                let verdict = directive.qualifier.into();
                if verdict == Verdict::Fail && explains {
                    self.explanation = self.explain(&policy, domain)?;
                }
                return Ok(verdict);
            }
        }
        let Some(redirect) = &policy.redirect else { return Ok(Verdict::Neutral) };
        self.count("redirect")?;
        let target = self.name(redirect, domain)?;
        match self.check(&target, explains)? {
            Verdict::None => Err(Halt::Permanent(format!("redirect={target}: there is no SPF record"))),
            verdict => Ok(verdict),
        }
    }

    fn matches(&mut self, directive: &Directive, domain: &str) -> Result<bool, Halt> {
        if directive.mechanism.asks() {
            self.count(&directive.text)?;
        }
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip(network) => Ok(network.holds(self.peer.address)),
            Mechanism::Include(template) => {
                let target = self.name(template, domain)?;
                match self.check(&target, false)? {
                    Verdict::Pass => Ok(true),
                    Verdict::None => Err(Halt::Permanent(format!("include:{target}: there is no SPF record"))),
                    _ => Ok(false),
                }
            }
            Mechanism::A(template, lengths) => {
                let target = self.target(template.as_ref(), domain)?;
                self.has_address(&target, *lengths)
            }
            Mechanism::Mx(template, lengths) => self.is_exchange(template.as_ref(), domain, *lengths),
            Mechanism::Ptr(template) => {
                let target = self.target(template.as_ref(), domain)?;
                Ok(self.validated(&target)?.iter().any(|name| is_at_or_below(name, &target)))
            }
            Mechanism::Exists(template) => {
                let target = self.name(template, domain)?;
                // Whatever the client speaks (RFC 7208 5.7).
                let answer = self.look(&target, Qtype::A)?;
                Ok(!answer.found().is_empty())
            }
        }
    }

    /// Whether the client is a mail exchange of the name.
    fn is_exchange(&mut self, template: Option<&Template>, domain: &str, lengths: Lengths) -> Result<bool, Halt> {
        let target = self.target(template, domain)?;
        let answer = self.look(&target, Qtype::Mx)?;
        let mut hosts: Vec<_> = answer
            .found()
            .iter()
            .filter_map(|record| match record {
                Rdata::Exchange { preference, host } => Some((*preference, host.clone())),
                _ => None,
            })
            .collect();
        if hosts.len() > NAMES {
            return Err(Halt::Permanent(format!("{target} has more than {NAMES} mail exchanges")));
        }
        hosts.sort();
        for (_, host) in hosts {
            if self.has_address(&host, lengths)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One more term that asks.
    fn count(&mut self, term: &str) -> Result<(), Halt> {
        self.lookups += 1;
        if self.lookups > LOOKUPS {
            return Err(Halt::Permanent(format!("`{term}` is look-up {} of at most {LOOKUPS}", self.lookups)));
        }
        Ok(())
    }

    /// Asks for a term; what finds nothing is counted.
    fn look(&mut self, name: &str, kind: Qtype) -> Result<Resolved, Halt> {
        let answer = self.known.ask(name, kind)?;
        match &answer.said {
            Said::Unasked(why) => return Err(Halt::Temporary(format!("{name}: {why}"))),
            Said::Records(_) => {}
            Said::NoName | Said::NoRecord => {
                self.voids += 1;
                if self.voids > VOIDS {
                    return Err(Halt::Permanent(format!("{name} is the third look-up that finds nothing")));
                }
            }
        }
        Ok(answer)
    }

    fn has_address(&mut self, host: &str, lengths: Lengths) -> Result<bool, Halt> {
        let answer = self.look(host, self.family())?;
        let length = if self.peer.address.is_ipv4() { lengths.v4 } else { lengths.v6 };
        Ok(answer.addresses().any(|address| Network { address, length }.holds(self.peer.address)))
    }

    fn family(&self) -> Qtype {
        if self.peer.address.is_ipv4() { Qtype::A } else { Qtype::Aaaa }
    }

    fn target(&mut self, template: Option<&Template>, domain: &str) -> Result<String, Halt> {
        template.map_or_else(|| Ok(domain.to_owned()), |template| self.name(template, domain))
    }

    fn name(&mut self, template: &Template, domain: &str) -> Result<String, Halt> {
        let name = if template.needs_name() { self.client_name(domain)? } else { String::new() };
        Ok(template.name(&self.values(domain, &name)))
    }

    fn values<'v>(&'v self, domain: &'v str, name: &'v str) -> Values<'v> {
        let Peer { address, helo, .. } = *self.peer;
        Values { address, sender: &self.sender, domain, helo, name }
    }

    /// The name of the client, which `%{p}` stands for (RFC 7208 7.3).
    fn client_name(&mut self, domain: &str) -> Result<String, Halt> {
        let names = self.validated(domain)?;
        let best = names.iter().find(|name| *name == domain);
        let best = best.or_else(|| names.iter().find(|name| is_at_or_below(name, domain))).or(names.first());
        Ok(best.map_or_else(|| "unknown".to_owned(), Clone::clone))
    }

    /// The names of the client that are its own (RFC 7208 5.5): an error is no match.
    fn validated(&mut self, _domain: &str) -> Result<Vec<String>, Halt> {
        let mut labels: Vec<_> = dotted(self.peer.address).split('.').map(str::to_owned).collect();
        labels.reverse();
        let zone = if self.peer.address.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
        let answer = self.known.ask(&format!("{}.{zone}", labels.join(".")), Qtype::Ptr)?;
        let mut names = Vec::new();
        for record in answer.found().iter().take(NAMES) {
            let Rdata::Pointer(name) = record else { continue };
            let addresses = self.known.ask(name, self.family())?;
            if addresses.addresses().any(|address| address == self.peer.address) {
                names.push(name.clone());
            }
        }
        if answer.is_void() {
            self.voids += 1;
        }
        Ok(names)
    }

    /// What the domain says to whoever fails; nothing where it cannot be had (RFC 7208 6.2).
    fn explain(&mut self, policy: &Policy, domain: &str) -> Result<Option<String>, Halt> {
        let Some(template) = &policy.explanation else { return Ok(None) };
        let target = self.name(template, domain)?;
        let answer = self.known.ask(&target, Qtype::Txt)?;
        let [Rdata::Text(text)] = answer.found() else { return Ok(None) };
        let Ok(text) = std::str::from_utf8(text) else { return Ok(None) };
        let Ok(template) = Template::text(text, true) else { return Ok(None) };
        let name = if template.needs_name() { self.client_name(domain)? } else { String::new() };
        Ok(Some(template.fill(&self.values(domain, &name))))
    }
}

fn is_at_or_below(name: &str, domain: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    name == domain || name.strip_suffix(&*domain).is_some_and(|rest| rest.ends_with('.'))
}
