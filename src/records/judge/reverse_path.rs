//! Whose domain is in the reverse-path that receivers see: its SPF record counts, and no other.

use super::{Case, below};
use crate::dns::{Qtype, Rdata, Said, Unresolved};
use crate::finding::{Finding, Grade, codes};
use crate::providers::{Bounce, BounceKind, Need};
use crate::records::pattern::{filled, fixed, is_like};
use crate::reply::printable;

/// What stands for the account's number in a name.
const NUMBER: &str = "{n}";
/// A name that nobody has.
const NOBODYS: &str = "no-such-name";

/// What is known of it.
pub(super) struct Returned {
    /// The domain in it; `None`: it is not known.
    pub(super) domain: Option<String>,
    /// Where that is, for a reader.
    pub(super) place: String,
    /// Whether it is one that the provider has for everybody.
    pub(super) is_foreign: bool,
    /// What is published at a name below the domain of From that makes it the one in the reverse-path.
    pub(super) by: Option<BounceKind>,
    /// What is wrong with the records that make it one of the domain.
    pub(super) findings: Vec<Finding>,
}

pub(super) fn judge(case: &Case<'_>) -> Result<Returned, Unresolved> {
    if let Some((copy, at)) = case.subject.copy.and_then(|copy| Some((copy, copy.return_path.clone()?))) {
        let kind = case.published().map_or(BounceKind::Cname, |published| published.bounce.kind);
        let by = copy.is_related(&at).then_some(kind);
        return Ok(Returned { domain: Some(at.clone()), place: at, is_foreign: false, by, findings: Vec::new() });
    }
    let nothing = Returned { domain: None, place: String::new(), is_foreign: false, by: None, findings: Vec::new() };
    let Some(bounce) = case.published().map(|published| &published.bounce) else { return Ok(nothing) };
    if bounce.usual.is_empty() {
        return Ok(nothing);
    }
    let names = names(case, bounce);
    for name in case.homes.iter().flat_map(|home| names.iter().map(move |name| below(name, home))) {
        case.known.expect(&name, kind(bounce));
    }
    let mut first_unasked = None;
    for home in &case.homes {
        for plain in &names {
            let name = below(plain, home);
            match at(case, bounce, &name, names[0] == *plain, home)? {
                At::Here(findings) => {
                    let (place, domain) = (name.clone(), Some(name));
                    return Ok(Returned { domain, place, is_foreign: false, by: Some(bounce.kind), findings });
                }
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
    let place = match bounce.names.iter().find(|name| name.contains(NUMBER)) {
        Some(name) => format!("{usual}, or a name like {}", below(&name.replace(NUMBER, "1234"), home)),
        None => usual.clone(),
    };
    Ok(Returned { domain: is_usual.then_some(usual), place, is_foreign, by: None, findings })
}

/// The names below the domain that it may have. A number in one is mostly that of the account's selectors, so it is known
/// with these only.
fn names(case: &Case<'_>, bounce: &Bounce) -> Vec<String> {
    let selectors = case.subject.selectors.iter();
    let numbers: Vec<_> = selectors
        .map(|selector| selector.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()))
        .filter(|rest| !rest.is_empty() && rest.bytes().all(|octet| octet.is_ascii_digit()))
        .collect();
    let filled = |name: &&'static str| match name.contains(NUMBER) {
        true => numbers.iter().map(|number| name.replace(NUMBER, number)).collect(),
        false => vec![(*name).to_owned()],
    };
    bounce.names.iter().flat_map(filled).collect()
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

/// What is at `name`; `is_first`: it is the one of the provider's own choice, and others are used for other things.
fn at(case: &Case<'_>, bounce: &Bounce, name: &str, is_first: bool, home: &str) -> Result<At, Unresolved> {
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
        let may_be_proxied = is_first && bounce.kind == BounceKind::Cname;
        let addresses = if may_be_proxied { case.proxied(name, &below(NOBODYS, home))? } else { Vec::new() };
        let Some(first) = addresses.first() else { return Ok(At::Absent) };
        let sentence = format!("it answers with {first} instead of a CNAME: it is proxied");
        let finding = graded(case.weighed(&codes::DNS_PROXIED, name, sentence), bounce.need);
        return Ok(At::Here(vec![finding.advise("set the record to \"DNS only\"")]));
    };
    if !targets.iter().any(|target| is_like(bounce.target, target, home)) {
        // Somebody else's, under a name that is a usual one.
        if !(is_first && bounce.usual.contains("{domain}")) {
            return Ok(At::Absent);
        }
        let shown = printable(first.as_bytes(), 255);
        let sentence = format!("it leads to {shown}, and {} wants {}", case.provider(), filled(bounce.target, home));
        let finding = case.weighed(&codes::DNS_TARGET, name, sentence);
        return Ok(At::Here(vec![case.point(finding, name, alias(bounce, home), true)]));
    }
    let is_gone = bounce.kind == BounceKind::Cname && case.known.ask(name, Qtype::Txt)?.said == Said::NoName;
    if !is_gone {
        return Ok(At::Here(Vec::new()));
    }
    let sentence = format!("it leads to {}, which is gone at {}", printable(first.as_bytes(), 255), case.provider());
    let finding = graded(case.weighed(&codes::DNS_DANGLING, name, sentence), bounce.need);
    Ok(At::Here(vec![case.point(finding, name, alias(bounce, home), true)]))
}

/// No worse than the need of it allows: mail is believed by its signature as well.
fn graded(finding: Finding, need: Need) -> Finding {
    finding.at_most(if need == Need::Must { Grade::Weak } else { Grade::Note })
}

fn missing(case: &Case<'_>, bounce: &Bounce, home: &str, usual: &str) -> Option<Finding> {
    let first = bounce.names.first().filter(|name| bounce.need > Need::May && !name.contains(NUMBER))?;
    let name = below(first, home);
    let sentence = if bounce.usual.contains("{domain}") {
        format!("there is no {} record, and {} sends with it in the reverse-path", kind(bounce), case.provider())
    } else {
        format!("there is no {} record, so the reverse-path is at {usual} and SPF is not aligned", kind(bounce))
    };
    let finding = graded(case.weighed(&codes::DNS_RETURN_PATH, name.clone(), sentence), bounce.need);
    Some(case.point(finding, &name, alias(bounce, home), false))
}

/// The name that has to stand for that of the reverse-path, where that is the same for everybody.
fn alias(bounce: &Bounce, home: &str) -> Option<String> {
    fixed(bounce.target, home).filter(|_| bounce.kind == BounceKind::Cname)
}
