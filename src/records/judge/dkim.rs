//! Whether the keys are there that the provider signs with.

use std::net::IpAddr;

use super::Case;
use crate::dns::{Qtype, Said, Unresolved};
use crate::finding::{Finding, Grade, Section, codes};
use crate::providers::Key;
use crate::records::dkim::{Algorithm, GOOD_BITS, KeyRecord, LEAST_BITS, Useless, is_meant, read};
use crate::records::pattern::{filled, fixed, is_like};
use crate::records::received::Received;
use crate::reply::printable;

/// A selector that nobody has.
const NOBODYS: &str = "no-such-selector";

/// What is known of the signatures.
pub(super) struct Signed {
    /// What is said of the keys.
    pub(super) section: Section,
    /// The domain that mail is signed for, where a key of it can be used.
    pub(super) domain: Option<String>,
    /// Whether that is certain: all that could be the provider's was asked for.
    pub(super) is_certain: bool,
}

/// What is at the name of a key.
enum Seen {
    Absent,
    Unasked(String),
    /// Addresses, where a name should stand for this one.
    Proxied(Vec<IpAddr>),
    /// A name that nothing is at.
    Dangling(String),
    /// Texts, and the first name that stands for this one.
    Texts(Option<String>, Vec<String>),
}

/// A key that is looked for.
#[derive(Clone, Copy)]
struct Sought<'a> {
    selector: &'a str,
    target: Option<&'static str>,
}

impl Sought<'_> {
    /// The name that has to stand for it, where that is the same for everybody.
    fn fixed(&self, home: &str) -> Option<String> {
        self.target.and_then(|target| fixed(target, home))
    }
}

pub(super) fn judge(case: &Case<'_>) -> Result<Signed, Unresolved> {
    let mut signed = Signed { section: case.section("DKIM"), domain: None, is_certain: true };
    let of_copy = case.subject.copy.into_iter().flat_map(Received::own_signatures);
    let of_copy = of_copy.filter(|signature| signature.domain == case.homes[0]).map(|signature| &signature.selector);
    let own: Vec<Vec<Sought<'_>>> =
        case.subject.selectors.iter().chain(of_copy).map(|selector| vec![Sought { selector, target: None }]).collect();
    let published = case.published();
    let known: Vec<Vec<Sought<'_>>> = published.map_or_else(Vec::new, |published| {
        let sought = |key: &'static Key| Sought { selector: key.selector, target: key.target };
        published.keys.iter().map(|set| set.iter().map(sought).collect()).collect()
    });
    let is_named = !own.is_empty();
    let sets = if is_named { own } else { known };
    signed.is_certain =
        is_named || published.is_some_and(|published| !published.own_selectors && !published.keys.is_empty());
    for home in &case.homes {
        for sought in sets.iter().flatten() {
            case.known.expect(&name(sought.selector, home), Qtype::Txt);
        }
    }
    // The domain and the set of which most is there.
    let mut best: Option<(usize, &String, &Vec<Sought<'_>>, Vec<Seen>)> = None;
    let mut pending = None;
    for home in &case.homes {
        for set in &sets {
            let seen: Result<Vec<Seen>, Unresolved> = set.iter().map(|sought| look(case, *sought, home)).collect();
            match seen {
                Ok(seen) => {
                    let count = seen.iter().filter(|seen| !matches!(seen, Seen::Absent)).count();
                    if best.as_ref().is_none_or(|(most, ..)| count > *most) {
                        best = Some((count, home, set, seen));
                    }
                }
                Err(still) => pending = Some(still),
            }
        }
    }
    if let Some(pending) = pending {
        return Err(pending);
    }
    match best {
        Some((count, home, set, seen)) if count > 0 => report(case, &mut signed, home, set, &seen),
        Some((_, home, set, _)) if signed.is_certain => {
            for sought in set {
                signed.section.findings.push(missing(case, *sought, home, is_named));
            }
        }
        // Of a mailbox provider whose keys nobody told, nothing is known.
        _ if published.is_some_and(|published| published.own.is_empty() || !published.keys.is_empty()) => {
            unknown(case, &mut signed);
        }
        _ => {}
    }
    Ok(signed)
}

fn name(selector: &str, home: &str) -> String {
    format!("{selector}._domainkey.{home}")
}

fn look(case: &Case<'_>, sought: Sought<'_>, home: &str) -> Result<Seen, Unresolved> {
    let name = name(sought.selector, home);
    let answer = case.known.ask(&name, Qtype::Txt)?;
    let target = answer.aliases.first().cloned();
    Ok(match &answer.said {
        Said::Unasked(why) => Seen::Unasked(why.clone()),
        Said::Records(_) => {
            let texts: Vec<_> = answer.texts().filter(|text| is_meant(text)).collect();
            if texts.is_empty() { Seen::Absent } else { Seen::Texts(target, texts) }
        }
        Said::NoName | Said::NoRecord if target.is_some() => {
            Seen::Dangling(answer.aliases.last().cloned().unwrap_or_default())
        }
        // Not of the names that are only tried: a wildcard would be asked about once for each.
        Said::NoRecord
            if sought.target.is_some() || case.subject.selectors.iter().any(|one| one == sought.selector) =>
        {
            let addresses = case.proxied(&name, &self::name(NOBODYS, home))?;
            if addresses.is_empty() { Seen::Absent } else { Seen::Proxied(addresses) }
        }
        Said::NoName | Said::NoRecord => Seen::Absent,
    })
}

/// What is said of a set of keys of which some are there.
fn report(case: &Case<'_>, signed: &mut Signed, home: &str, set: &[Sought<'_>], seen: &[Seen]) {
    let keys: Vec<_> = seen.iter().map(key_of).collect();
    let is_signed = keys.iter().any(|key| matches!(key, Some(Ok(key)) if key.is_taken()));
    for ((sought, seen), key) in set.iter().zip(seen).zip(&keys) {
        let name = name(sought.selector, home);
        let mut findings = at_name(case, *sought, home, seen);
        match key {
            Some(Ok(key)) => {
                findings.extend(quality(case, &name, key));
                if key.is_taken() {
                    signed.section.fine.push(format!("{name}, {}", kind(key)));
                }
            }
            Some(Err(useless)) => findings.push(of_no_use(case, &name, useless)),
            None => {}
        }
        if let Seen::Texts(_, texts) = seen {
            findings.iter_mut().for_each(|finding| {
                finding
                    .evidence
                    .extend(texts.iter().map(|text| format!("{name} TXT: \"{}\"", printable(text.as_bytes(), 400))));
            });
        }
        // Providers change keys in turn, so that one of a pair is enough for now.
        let grade = if is_signed { Grade::Weak } else { Grade::Broken };
        signed.section.findings.extend(findings.into_iter().map(|finding| finding.at_most(grade)));
    }
    if is_signed {
        signed.domain = Some(home.to_owned());
        signed.is_certain = true;
    } else if seen.iter().any(|seen| matches!(seen, Seen::Unasked(_))) {
        signed.is_certain = false;
    }
}

fn key_of(seen: &Seen) -> Option<Result<KeyRecord, Useless>> {
    match seen {
        Seen::Texts(_, texts) if texts.len() == 1 => Some(read(&texts[0])),
        _ => None,
    }
}

fn kind(key: &KeyRecord) -> String {
    match key.algorithm {
        Algorithm::Rsa => format!("RSA {}", key.bits),
        Algorithm::Ed25519 => "Ed25519".to_owned(),
    }
}

/// What is said of the name, whatever the key.
fn at_name(case: &Case<'_>, sought: Sought<'_>, home: &str, seen: &Seen) -> Vec<Finding> {
    let name = name(sought.selector, home);
    let wanted = sought.target.map(|target| filled(target, home)).unwrap_or_default();
    match seen {
        Seen::Absent => vec![missing(case, sought, home, false)],
        Seen::Unasked(why) => vec![case.unasked(&name, why)],
        Seen::Proxied(addresses) => {
            let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let sentence = format!("it answers with {} instead of a CNAME: it is proxied", shown.join(", "));
            vec![case.finding(&codes::DNS_PROXIED, name, sentence).advise("set the record to \"DNS only\"")]
        }
        Seen::Dangling(target) => {
            let target = printable(target.as_bytes(), 255);
            let sentence = format!("it leads to {target}, where no key is: it is gone at {}", case.provider());
            let finding = case.finding(&codes::DNS_DANGLING, name.clone(), sentence);
            vec![case.point(finding, &name, sought.fixed(home), true)]
        }
        Seen::Texts(_, texts) if texts.len() > 1 => {
            let sentence =
                format!("there are {} keys under this selector, and receivers take any or none", texts.len());
            vec![
                case.finding(&codes::DKIM_SEVERAL, name, sentence)
                    .advise("take out all but the one that the provider lists"),
            ]
        }
        Seen::Texts(Some(target), _) if sought.target.is_some_and(|wanted| !is_like(wanted, target, home)) => {
            let sentence =
                format!("it leads to {}, and {} wants {wanted}", printable(target.as_bytes(), 255), case.provider());
            let finding = case.weighed(&codes::DNS_TARGET, name.clone(), sentence);
            vec![case.point(finding, &name, sought.fixed(home), true)]
        }
        Seen::Texts(..) => Vec::new(),
    }
}

fn missing(case: &Case<'_>, sought: Sought<'_>, home: &str, is_named: bool) -> Finding {
    let name = name(sought.selector, home);
    if is_named {
        let sentence = "there is no key under the selector that was named";
        return case
            .finding(&codes::DKIM_MISSING, name, sentence)
            .advise("name the selector of a DKIM-Signature field, after s=");
    }
    let finding = case.weighed(
        &codes::DKIM_MISSING,
        name.clone(),
        format!("there is no key, and {} signs with it", case.provider()),
    );
    case.point(finding, &name, sought.fixed(home), false)
}

fn unknown(case: &Case<'_>, signed: &mut Signed) {
    let sentence = format!("no DKIM key is found, and its name is known to the account at {} only", case.provider());
    let finding = case.finding(&codes::DKIM_UNKNOWN, case.homes[0].clone(), sentence);
    let whose = match case.subject.site {
        Some(site) => format!("--site {site}"),
        None => format!("--domain {}", case.domain),
    };
    signed.section.findings.push(finding.run(format!("mailchute check {whose} --selector NAME")));
}

fn of_no_use(case: &Case<'_>, name: &str, useless: &Useless) -> Finding {
    let (code, sentence) = match useless {
        Useless::Revoked => (&codes::DKIM_REVOKED, "the key is revoked (p= is empty)".to_owned()),
        Useless::Unfit(why) => (&codes::DKIM_UNFIT, format!("receivers cannot use the key: {why}")),
        Useless::Garbled(why) => (&codes::DKIM_SYNTAX, format!("the key cannot be read: {why}")),
    };
    case.finding(code, name, sentence).advise(case.shown())
}

fn quality(case: &Case<'_>, name: &str, key: &KeyRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !key.is_taken() {
        let sentence = format!("the key has {} bits, and receivers take none below {LEAST_BITS}", key.bits);
        findings.push(case.finding(&codes::DKIM_SHORT, name, sentence).advise(case.shown()));
    } else if key.algorithm == Algorithm::Rsa && key.bits < GOOD_BITS {
        let sentence = format!("the key has {} bits, and should have {GOOD_BITS}", key.bits);
        findings.push(case.finding(&codes::DKIM_WEAK, name, sentence).advise("ask the provider for a longer one"));
    }
    if key.testing {
        let sentence = "the key says that it is a test (t=y), so receivers need not care about it";
        findings.push(case.finding(&codes::DKIM_TESTING, name, sentence).advise("take t=y out of the record"));
    }
    findings
}
