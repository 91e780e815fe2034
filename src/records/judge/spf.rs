//! Whether SPF covers what the provider sends, and what is wrong with the record whoever it is for.

use super::Case;
use super::reverse_path::Returned;
use crate::dns::Unresolved;
use crate::finding::{Finding, Grade, Record, Section, codes};
use crate::providers::{self, BounceKind, Provider, Published};
use crate::records::merge;
use crate::records::spf::{Fault, LOOKUPS, Peer, Qualifier, Survey, VOIDS, Verdict, evaluate, survey};
use crate::reply::printable;

/// How many networks of a provider are looked for, where its include is not named.
const SAMPLES: usize = 24;
/// How much of a term is shown, in octets.
const SHOWN: usize = 80;

/// What is known of it.
pub(super) struct Listed {
    pub(super) section: Section,
    /// Whether the record of the domain in the reverse-path lets the relay pass; `None`: it is not known.
    pub(super) passes: Option<bool>,
}

pub(super) fn judge(case: &Case<'_>, returned: &Returned) -> Result<Listed, Unresolved> {
    let mut section = case.section("SPF");
    let published = case.published();
    // Where bounces go to another's domain, that one's record counts.
    let copy = case.subject.copy;
    let is_elsewhere = copy.is_some_and(|copy| copy.return_path.as_ref().is_some_and(|at| !copy.is_related(at)));
    let include = published.filter(|published| published.spf.needed && !is_elsewhere);
    // With the reverse-path at the registered domain its record counts, else whatever there is at that of From.
    let domain = if include.is_some() { &case.homes[0] } else { &case.domain };
    let own = returned.domain.as_ref().filter(|at| returned.by.is_some() && *at != domain);
    let (found, at_own) = (survey(case.known, domain), own.map(|at| survey(case.known, at)).transpose());
    let (found, at_own) = (found?, at_own?);
    section.findings.extend(returned.findings.iter().cloned());
    section.findings.extend(unasked(case, &found));
    let is_needed = include.is_some();
    let is_counted = is_needed || returned.domain.as_ref() == Some(domain) || published.is_none();
    let grade = if is_counted { Grade::Broken } else { Grade::Weak };
    let flaws = found.flaws.iter().map(|flaw| flawed(case, domain, &found, flaw).at_most(grade));
    section.findings.extend(flaws);
    section.findings.extend(loose_ends(case, domain, &found).into_iter().map(|finding| finding.at_most(grade)));
    let mut passes = None;
    match include {
        Some(published) => {
            let covers = covered(case, domain, &found, published, &mut section)?;
            passes = covers.filter(|_| returned.domain.as_ref() == Some(domain));
        }
        None => section.findings.extend(useless(case, domain, &found, returned)),
    }
    if let (Some(at), Some(found)) = (own, &at_own) {
        passes = at_return_path(case, at, found, returned, &mut section)?;
    }
    if section.findings.iter().all(|finding| finding.grade == Grade::Note) && found.unasked.is_empty() {
        section.fine.extend(fine(case, domain, &found, is_needed, (returned, passes)));
    }
    Ok(Listed { section, passes })
}

/// What counts where a name below the domain is made the one in the reverse-path: its own record, or that of the
/// provider's name which stands for it. Whether it lets pass, as far as it is known.
fn at_return_path(
    case: &Case<'_>,
    at: &str,
    found: &Survey,
    returned: &Returned,
    section: &mut Section,
) -> Result<Option<bool>, Unresolved> {
    let mut own = case.section("SPF");
    own.findings.extend(unasked(case, found));
    let is_own = returned.by == Some(BounceKind::Mx);
    for flaw in &found.flaws {
        let finding = flawed(case, at, found, flaw);
        let theirs = || format!("it is the record of {}, who alone can mend it", case.provider());
        own.findings.push(if is_own { finding } else { finding.advise(theirs()) });
    }
    let passes = match case.published().filter(|_| is_own) {
        Some(published) => {
            own.findings.extend(loose_ends(case, at, found));
            covered(case, at, found, published, &mut own)?
        }
        None if found.records.is_empty() && found.unasked.is_empty() => {
            if returned.findings.is_empty() {
                let sentence = format!("the name it leads to has no SPF record, which {} keeps there", case.provider());
                own.findings.push(case.weighed(&codes::SPF_MISSING, at, sentence).advise(case.shown()));
            }
            Some(false)
        }
        None => found.unasked.is_empty().then_some(found.flaws.is_empty()),
    };
    // Mail is believed by its signature as well.
    section.findings.extend(own.findings.into_iter().map(|finding| finding.at_most(Grade::Weak)));
    section.fine.extend(own.fine);
    Ok(passes)
}

/// What could not be asked for.
fn unasked(case: &Case<'_>, found: &Survey) -> Vec<Finding> {
    let parts = found.unasked.iter().map(|text| text.split_once(": ").unwrap_or((text, "")));
    parts.map(|(name, why)| case.unasked(name, why)).collect()
}

/// The sentence of a domain about which nothing is to be said.
fn fine(
    case: &Case<'_>,
    domain: &str,
    found: &Survey,
    is_needed: bool,
    (returned, passes): (&Returned, Option<bool>),
) -> Option<String> {
    let is_own = returned.by.is_some() && passes == Some(true);
    match &returned.domain {
        _ if is_needed => Some(format!("{domain} covers {}, {} of {LOOKUPS} look-ups", case.provider(), found.lookups)),
        Some(_) => Some(format!(
            "not needed at {}: the reverse-path of {} is at {}{}",
            case.domain,
            case.provider(),
            returned.place,
            if is_own { ", whose record lets it pass" } else { "" }
        )),
        None if found.records.is_empty() => None,
        None => Some(format!("{domain} has a record, {} of {LOOKUPS} look-ups", found.lookups)),
    }
}

/// Whether the provider's servers may send, as far as it is known.
fn covered(
    case: &Case<'_>,
    domain: &str,
    found: &Survey,
    published: &Published,
    section: &mut Section,
) -> Result<Option<bool>, Unresolved> {
    if !found.flaws.is_empty() {
        return Ok(Some(false));
    }
    if published.includes().any(|name| found.names(name)) {
        return Ok(Some(true));
    }
    let Some(include) = published.includes().next().filter(|_| found.unasked.is_empty()) else { return Ok(None) };
    // Its addresses may stand in the record without its name.
    let theirs = survey(case.known, include)?;
    let mut samples = theirs.networks.iter().take(SAMPLES).peekable();
    let has_samples = samples.peek().is_some() && !found.records.is_empty();
    let sender = format!("postmaster@{domain}");
    let verdicts: Result<Vec<_>, Unresolved> = samples
        .map(|network| {
            Ok(evaluate(case.known, &Peer { address: network.address, sender: &sender, helo: domain })?.verdict)
        })
        .collect();
    let verdicts = if has_samples { verdicts? } else { Vec::new() };
    if has_samples && verdicts.iter().all(|verdict| *verdict == Verdict::Pass) {
        section.fine.push(format!("{domain} covers {} by its addresses", case.provider()));
        return Ok(Some(true));
    }
    let merged = merge::with_include(&found.records, include);
    let named = published.includes().find(|name| found.named.iter().any(|(named, _)| named.eq_ignore_ascii_case(name)));
    let behind =
        published.includes().find(|name| found.behind.iter().any(|term| term.to_ascii_lowercase().ends_with(name)));
    let sentence = match (found.records.is_empty(), named, behind) {
        (true, ..) => format!("there is no SPF record, and {} wants include:{include}", case.provider()),
        (_, Some(name), _) => format!("include:{name} is there, and does not let {} pass", case.provider()),
        (.., Some(name)) => format!("include:{name} stands behind `all`, where nobody reads on"),
        _ => format!("the SPF record does not cover {}: include:{include} is missing", case.provider()),
    };
    let mut finding = case.weighed(&codes::SPF_MISSING, domain, sentence);
    let more = found.lookups + 1 + theirs.lookups;
    if more > LOOKUPS {
        finding = finding.seen(format!("with it the record takes {more} look-ups, and at most {LOOKUPS} are allowed"));
    }
    finding = finding.set(record(domain, merged), !found.records.is_empty());
    section.findings.push(seen(finding, found));
    Ok(Some(false))
}

/// An include of the provider's that has no effect, because its reverse-path is elsewhere.
fn useless(case: &Case<'_>, domain: &str, found: &Survey, returned: &Returned) -> Option<Finding> {
    let published = case.published()?;
    let at = returned.domain.as_ref().filter(|at| *at != domain).map(|_| &returned.place)?;
    let is_own = |name: &str| published.includes().any(|include| include.eq_ignore_ascii_case(name));
    let cost = found.costs.iter().find(|cost| cost.term.split_once(':').is_some_and(|(_, name)| is_own(name)))?;
    // Where others have the same name, it is theirs as well.
    let has_others = providers::all()
        .filter_map(Provider::published)
        .any(|other| other.spf.needed && other.includes().any(|name| cost.term.to_ascii_lowercase().ends_with(name)));
    if has_others {
        return None;
    }
    let sentence = format!(
        "{} has no effect here, as the reverse-path of {} is at {at}, and costs {} of {LOOKUPS} look-ups (now {})",
        cost.term,
        case.provider(),
        cost.lookups,
        found.lookups
    );
    let without = merge::without(&found.records, &cost.term);
    Some(case.weighed(&codes::SPF_USELESS, domain, sentence).set(record(domain, without), true))
}

/// What makes receivers end with an error.
fn flawed(case: &Case<'_>, domain: &str, found: &Survey, flaw: &Fault) -> Finding {
    let shown = |text: &str| printable(text.as_bytes(), SHOWN);
    // What is wrong in somebody else's record can be mended here by leaving it out only.
    let without = |finding: Finding, name: &str| match merge::term_of(&found.records, name) {
        Some(term) => finding.set(record(domain, merge::without(&found.records, &term)), true),
        None => finding.advise("take out the include that leads there"),
    };
    let finding = match flaw {
        Fault::Several(at) if at == domain => {
            let sentence = format!("there are {} SPF records, and receivers use none", found.records.len());
            let finding = case.finding(&codes::SPF_SEVERAL, domain, sentence);
            finding.set(record(domain, merge::one(&found.records)), true)
        }
        Fault::Several(at) => {
            let sentence = format!("{}, which it includes, has several SPF records", shown(at));
            without(case.finding(&codes::SPF_SEVERAL, domain, sentence), at)
        }
        Fault::Syntax(at, why) if at == domain => {
            let finding =
                case.finding(&codes::SPF_SYNTAX, domain, format!("the SPF record cannot be read: {}", shown(why)));
            finding.advise("mend this term, or take it out")
        }
        Fault::Syntax(at, why) => {
            let sentence =
                format!("{}, which it includes, has a record that cannot be read: {}", shown(at), shown(why));
            without(case.finding(&codes::SPF_SYNTAX, domain, sentence), at)
        }
        Fault::Nowhere(at) => {
            let sentence = format!("it includes {}, which has no SPF record", shown(at));
            without(case.finding(&codes::SPF_NOWHERE, domain, sentence), at)
        }
        Fault::Loop(at) => {
            let sentence = format!("its includes lead back to {}", shown(at));
            without(case.finding(&codes::SPF_LOOP, domain, sentence), at)
        }
        Fault::Lookups(..) => lookups(case, domain, found),
        Fault::Voids => {
            let names: Vec<_> = found.voids.iter().map(|name| shown(name)).collect();
            let sentence =
                format!("{} look-ups find nothing, and {VOIDS} are allowed: {}", names.len(), names.join(", "));
            case.finding(&codes::SPF_VOID, domain, sentence).advise("take out the terms that name them")
        }
        Fault::Exchanges(at) => {
            let sentence = format!("mx: {} has more than ten mail exchanges", shown(at));
            case.finding(&codes::SPF_LOOKUPS, domain, sentence).advise("put their addresses in its place")
        }
    };
    seen(finding, found)
}

fn lookups(case: &Case<'_>, domain: &str, found: &Survey) -> Finding {
    let mut costs = found.costs.clone();
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.lookups));
    let shown: Vec<_> =
        costs.iter().map(|cost| format!("{} {}", printable(cost.term.as_bytes(), SHOWN), cost.lookups)).collect();
    let sentence = format!("{} look-ups, and {LOOKUPS} are allowed: {}", found.lookups, shown.join(", "));
    let finding = case.finding(&codes::SPF_LOOKUPS, domain, sentence);
    // What has no effect goes first.
    let spare = costs.iter().find(|cost| {
        let name = cost.term.split_once(':').map_or("", |(_, name)| name);
        let of = |published: &Published| published.includes().any(|include| include.eq_ignore_ascii_case(name));
        let all: Vec<_> = providers::all().filter_map(Provider::published).filter(|published| of(published)).collect();
        !all.is_empty() && all.iter().all(|published| !published.spf.needed) && found.lookups - cost.lookups <= LOOKUPS
    });
    match spare {
        Some(cost) => finding.set(record(domain, merge::without(&found.records, &cost.term)), true),
        None => finding.advise("take out the includes of services that no longer send for this domain"),
    }
}

/// What is allowed, and wrong all the same.
fn loose_ends(case: &Case<'_>, domain: &str, found: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    if found.records.len() != 1 || matches!(found.flaws[..], [Fault::Syntax(..), ..]) {
        return findings;
    }
    let ending = |text: &str| record(domain, merge::ending(&found.records, text));
    match found.rest {
        Some(Qualifier::Pass) => {
            let finding =
                case.finding(&codes::SPF_OPEN, domain, "the SPF record lets everybody send with this domain (+all)");
            findings.push(seen(finding.set(ending("~all"), true), found));
        }
        Some(Qualifier::Neutral) | None if found.unasked.is_empty() && found.flaws.is_empty() => {
            let finding = case.finding(&codes::SPF_ENDLESS, domain, "the SPF record says nothing of everybody else");
            findings.push(seen(finding.set(ending("~all"), true), found));
        }
        _ => {}
    }
    if !found.behind.is_empty() {
        let terms: Vec<_> = found.behind.iter().map(|term| printable(term.as_bytes(), SHOWN)).collect();
        let sentence = format!("{} stands behind `all`, where nobody reads on", terms.join(", "));
        let finding = case.finding(&codes::SPF_BEHIND, domain, sentence);
        findings.push(seen(finding.set(record(domain, merge::one(&found.records)), true), found));
    }
    findings
}

fn record(domain: &str, value: String) -> Record {
    Record { name: domain.to_owned(), kind: "TXT", value }
}

/// With the records as they are.
fn seen(mut finding: Finding, found: &Survey) -> Finding {
    let lines = found.records.iter().map(|record| format!("TXT: \"{}\"", printable(record.as_bytes(), 512)));
    finding.evidence.extend(lines);
    finding
}
