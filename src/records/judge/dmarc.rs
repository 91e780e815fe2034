//! Which policy counts, and whether mail through this relay would pass it.

use super::dkim::Signed;
use super::reverse_path::Returned;
use super::{Case, domain_of};
use crate::dns::{Qtype, Unresolved};
use crate::finding::{Finding, Grade, Record, Section, codes};
use crate::records::dmarc::{self, Disposition, Dmarc, Walk};
use crate::reply::printable;

pub(super) fn judge(
    case: &Case<'_>,
    found: &Walk,
    signed: &Signed,
    returned: &Returned,
    passes_spf: Option<bool>,
) -> Result<Section, Unresolved> {
    let mut section = case.section("DMARC");
    let domain = &case.domain;
    for text in &found.unasked {
        let (name, why) = text.split_once(": ").unwrap_or((text, ""));
        section.findings.push(case.unasked(name, why));
    }
    for name in &found.several {
        let sentence = "there are several DMARC policies, and receivers use none";
        let finding = case.finding(&codes::DMARC_SEVERAL, format!("_dmarc.{name}"), sentence);
        section.findings.push(finding.advise("take out all but one"));
    }
    for (name, why) in &found.garbled {
        let sentence = format!("the policy cannot be read: {}", printable(why.as_bytes(), 120));
        let finding = case.finding(&codes::DMARC_SYNTAX, format!("_dmarc.{name}"), sentence);
        section.findings.push(finding.set(record(name), true));
    }
    let counts = found.policy(domain);
    match counts {
        None if section.findings.is_empty() => section.findings.push(missing(case, found)?),
        None => {}
        Some((at, policy)) => section.findings.extend(notes(case, found, at, policy)),
    }
    forecast(case, found, counts, signed, (returned, passes_spf), &mut section)?;
    Ok(section)
}

fn record(domain: &str) -> Record {
    Record { name: format!("_dmarc.{domain}"), kind: "TXT", value: "v=DMARC1; p=none".to_owned() }
}

fn missing(case: &Case<'_>, found: &Walk) -> Result<Finding, Unresolved> {
    let at = &found.organization;
    // A classic: it stands where a panel put it.
    let texts = case.known.ask(&case.domain, Qtype::Txt)?;
    let finding = if texts.texts().any(|text| dmarc::is_meant(&text)) {
        let sentence = format!("the DMARC policy stands here and not at _dmarc.{}, where receivers look", case.domain);
        case.finding(&codes::DMARC_PLACE, case.domain.clone(), sentence)
    } else {
        let sentence = "there is no DMARC policy, nor above";
        case.finding(&codes::DMARC_MISSING, format!("_dmarc.{}", case.domain), sentence)
    };
    Ok(finding.set(record(at), false))
}

/// What is allowed, and worth knowing.
fn notes(case: &Case<'_>, found: &Walk, at: &str, policy: &Dmarc) -> Vec<Finding> {
    let mut notes = Vec::new();
    let name = format!("_dmarc.{at}");
    if found.action(&case.domain, true) == Some(Disposition::None) {
        let why = if policy.testing { "is a test (t=y)" } else { "is none" };
        let sentence = format!("the policy for {} {why}: mail that fails is delivered all the same", case.domain);
        let note = case.finding(&codes::DMARC_NONE, name.clone(), sentence);
        notes.push(note.advise("once all that you send passes, ask for p=quarantine"));
    }
    if !policy.obsolete.is_empty() {
        let sentence = format!("{} has no effect any more (RFC 9989)", policy.obsolete.join(", "));
        notes.push(case.finding(&codes::DMARC_OBSOLETE, name, sentence).advise("take it out of the policy"));
    }
    notes
}

/// Whether mail would pass: the signature or the reverse-path has to be aligned with From.
fn forecast(
    case: &Case<'_>,
    found: &Walk,
    counts: Option<&(String, Dmarc)>,
    signed: &Signed,
    (returned, passes_spf): (&Returned, Option<bool>),
    section: &mut Section,
) -> Result<(), Unresolved> {
    let domain = &case.domain;
    let (strict_dkim, strict_spf) =
        counts.map_or((false, false), |(_, policy)| (policy.strict_dkim, policy.strict_spf));
    let aligned = |other: &Option<String>, strict: bool| match other {
        Some(other) => dmarc::is_aligned(case.known, domain, other, strict),
        None => Ok(false),
    };
    let (by_dkim, by_spf) = (aligned(&signed.domain, strict_dkim), aligned(&returned.domain, strict_spf));
    let (by_dkim, by_spf) = (by_dkim?, by_spf? && !returned.is_foreign);
    let mut ways = Vec::new();
    if let Some(d) = signed.domain.as_ref().filter(|_| by_dkim) {
        ways.push(format!("by DKIM (d={d}, {})", manner(strict_dkim, d == domain)));
    }
    if let Some(at) = returned.domain.as_ref().filter(|_| by_spf && passes_spf == Some(true)) {
        ways.push(format!("by SPF ({at}, {})", manner(strict_spf, at == domain)));
    }
    if let [first, rest @ ..] = &ways[..] {
        let and = rest.first().map(|other| format!(" and {other}")).unwrap_or_default();
        section.fine.push(format!("mail from {domain} passes {first}{and}"));
        // What counts is the From that goes out.
        if let Some(own) = case.subject.rewritten.filter(|own| domain_of(own) == *domain) {
            section.fine.push(format!("so does what is written as anybody else: it goes out as {own}"));
        }
    }
    // What a strict policy rules out that a relaxed one would let pass.
    if let Some((at, _)) = counts {
        for (strict, is_aligned, tag, what, other) in [
            (strict_dkim, by_dkim, "adkim", "signs for", &signed.domain),
            (strict_spf, by_spf, "aspf", "has the reverse-path at", &returned.domain),
        ] {
            let Some(other) = other.as_ref().filter(|_| strict && !is_aligned) else { continue };
            if !dmarc::is_aligned(case.known, domain, other, false)? {
                continue;
            }
            let sentence = format!("{tag}=s wants {domain} itself, and {} {what} {other}", case.provider());
            let finding = case.weighed(&codes::DMARC_STRICT, format!("_dmarc.{at}"), sentence);
            // One way is enough.
            let grade = if ways.is_empty() { Grade::Weak } else { Grade::Note };
            section.findings.push(finding.at_most(grade).advise(format!("take {tag}=s out of the policy")));
        }
    }
    let is_known = signed.is_certain
        && (!by_spf || passes_spf.is_some())
        && case.published().is_some_and(|published| published.own.is_empty() || !published.keys.is_empty());
    let Some(action) = found.action(domain, true).filter(|_| ways.is_empty() && is_known && found.unasked.is_empty())
    else {
        return Ok(());
    };
    let other = signed
        .domain
        .as_ref()
        .map_or_else(|| "there is no key of it".to_owned(), |d| format!("the signature is for {d}"));
    let at = match &returned.domain {
        Some(at) if by_spf => format!(", and SPF does not let the relay pass at {at}"),
        Some(_) => format!(", the reverse-path at {}", returned.place),
        None => String::new(),
    };
    let sentence = format!("mail would fail its policy ({}): {other}{at}", action.word());
    let finding =
        case.weighed(&codes::DMARC_UNALIGNED, domain.clone(), sentence).advise("mend DKIM first: it is enough");
    section.findings.push(if action == Disposition::None { finding.at_most(Grade::Weak) } else { finding });
    Ok(())
}

fn manner(strict: bool, is_same: bool) -> &'static str {
    match (strict, is_same) {
        (true, _) => "strict",
        (false, true) => "the same domain",
        (false, false) => "relaxed",
    }
}
