//! Whose domain is in the reverse-path that receivers see: its SPF record counts, and no other.

use super::{Case, below};
use crate::dns::{Qtype, Rdata, Said, Unresolved};
use crate::finding::{Finding, Grade, codes};
use crate::providers::{Bounce, BounceKind, Need};
use crate::records::pattern::{filled, fixed, is_like};
use crate::reply::printable;

/// A name that nobody has.
const NOBODYS: &str = "no-such-name";

/// What is known of it.
pub(super) struct Returned {
    /// The domain in it; `None`: it is not known.
    pub(super) domain: Option<String>,
    /// Whether it is one that the provider has for everybody.
    pub(super) is_foreign: bool,
    /// What is wrong with the records that make it one of the domain.
    pub(super) findings: Vec<Finding>,
}

pub(super) fn judge(case: &Case<'_>) -> Result<Returned, Unresolved> {
    if let Some(at) = case.subject.copy.and_then(|copy| copy.return_path.clone()) {
        return Ok(Returned { domain: Some(at), is_foreign: false, findings: Vec::new() });
    }
    let nothing = Returned { domain: None, is_foreign: false, findings: Vec::new() };
    let Some(bounce) = case.published().map(|published| &published.bounce) else { return Ok(nothing) };
    if bounce.usual.is_empty() {
        return Ok(nothing);
    }
    for name in case.homes.iter().flat_map(|home| bounce.names.iter().map(move |name| below(name, home))) {
        case.known.expect(&name, kind(bounce));
    }
    let mut first_unasked = None;
    for home in &case.homes {
        for name in &bounce.names {
            let name = below(name, home);
            match at(case, bounce, &name, home)? {
                At::Here(findings) => return Ok(Returned { domain: Some(name), is_foreign: false, findings }),
                At::Unasked(finding) => first_unasked = first_unasked.or(Some(finding)),
                At::Absent => {}
            }
        }
    }
    let home = &case.homes[0];
    let usual = filled(bounce.usual, home);
    let is_foreign = !bounce.usual.contains("{domain}");
    let findings = match first_unasked {
        Some(finding) => vec![finding],
        None => missing(case, bounce, home, &usual).into_iter().collect(),
    };
    // Without its records, a name below the domain is none that bounces can go to.
    let is_usual = bounce.names.is_empty() || is_foreign;
    Ok(Returned { domain: is_usual.then_some(usual), is_foreign, findings })
}

enum At {
    Here(Vec<Finding>),
    Unasked(Finding),
    Absent,
}

fn kind(bounce: &Bounce) -> Qtype {
    match bounce.kind {
        BounceKind::Cname => Qtype::Cname,
        BounceKind::Mx => Qtype::Mx,
    }
}

fn at(case: &Case<'_>, bounce: &Bounce, name: &str, home: &str) -> Result<At, Unresolved> {
    let answer = case.known.ask(name, kind(bounce))?;
    if let Said::Unasked(why) = &answer.said {
        return Ok(At::Unasked(case.unasked(name, why)));
    }
    let targets = answer.found().iter().filter_map(|record| match record {
        Rdata::Alias(host) | Rdata::Exchange { host, .. } => Some(host.as_str()),
        _ => None,
    });
    let targets: Vec<_> = targets.collect();
    let Some(first) = targets.first() else {
        // The name of the provider's own choice only: others are used for other things.
        let is_usual = bounce.kind == BounceKind::Cname && below(bounce.names[0], home) == name;
        let addresses = if is_usual { case.proxied(name, &below(NOBODYS, home))? } else { Vec::new() };
        let Some(first) = addresses.first() else { return Ok(At::Absent) };
        let sentence = format!("it answers with {first} instead of a CNAME: it is proxied");
        let finding = case.weighed(&codes::DNS_PROXIED, name, sentence).advise("set the record to \"DNS only\"");
        return Ok(At::Here(vec![finding]));
    };
    if !targets.iter().any(|target| is_like(bounce.target, target, home)) {
        // Somebody else's, under a name that is a usual one.
        let is_fixed = bounce.usual.contains("{domain}") && below(bounce.names[0], home) == name;
        if !is_fixed {
            return Ok(At::Absent);
        }
        let shown = printable(first.as_bytes(), 255);
        let sentence = format!("it leads to {shown}, and {} wants {}", case.provider(), filled(bounce.target, home));
        let finding = case.weighed(&codes::DNS_TARGET, name, sentence);
        return Ok(At::Here(vec![case.point(finding, name, alias(bounce, home), true)]));
    }
    Ok(At::Here(Vec::new()))
}

fn missing(case: &Case<'_>, bounce: &Bounce, home: &str, usual: &str) -> Option<Finding> {
    let first = bounce.names.first().filter(|_| bounce.need > Need::May)?;
    let name = below(first, home);
    let sentence = if bounce.usual.contains("{domain}") {
        format!("there is no {} record, and {} sends with it in the reverse-path", kind(bounce), case.provider())
    } else {
        format!("there is no {} record, so the reverse-path is at {usual} and SPF is not aligned", kind(bounce))
    };
    let mut finding = case.weighed(&codes::DNS_RETURN_PATH, name.clone(), sentence);
    if bounce.need == Need::Should {
        finding = finding.at_most(Grade::Note);
    }
    Some(case.point(finding, &name, alias(bounce, home), false))
}

/// The name that has to stand for that of the reverse-path, where that is the same for everybody.
fn alias(bounce: &Bounce, home: &str) -> Option<String> {
    fixed(bounce.target, home).filter(|_| bounce.kind == BounceKind::Cname)
}
