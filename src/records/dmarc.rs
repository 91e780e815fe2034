//! DMARC (RFC 9989): which policy counts for a domain, and which domains are of one organization.
//!
//! Both are found by walking up the tree of names, with at most eight questions and without a list of public suffixes.

use crate::dns::{Known, Qtype, Unresolved};

/// How many names of a long one are asked for (RFC 9989 4.10).
const STEPS: usize = 8;

/// A policy record (RFC 9989 4.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dmarc {
    /// `p=`, what becomes of mail that fails.
    pub policy: Disposition,
    /// `sp=`, the same for domains below.
    pub below: Option<Disposition>,
    /// `np=`, the same for those below that do not exist.
    pub absent: Option<Disposition>,
    /// `adkim=s`: the signing domain has to be the very domain of From.
    pub strict_dkim: bool,
    /// `aspf=s`: so has that of the reverse-path.
    pub strict_spf: bool,
    /// `t=y`: one step less than the policy says.
    pub testing: bool,
    /// `psd=`: whether it is that of a public suffix.
    pub suffix: Option<bool>,
    /// Whether reports are asked for.
    pub reports: bool,
    /// What is written there and has no effect any more: `pct`, `rf`, `ri`.
    pub obsolete: Vec<String>,
}

/// What becomes of mail that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// Nothing.
    None,
    /// It is put aside.
    Quarantine,
    /// It is refused.
    Reject,
}

impl Disposition {
    /// The word in the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::None, Self::Quarantine, Self::Reject].into_iter().find(|action| action.word().eq_ignore_ascii_case(text))
    }

    fn milder(self) -> Self {
        if self == Self::Reject { Self::Quarantine } else { Self::None }
    }
}

/// Whether `text` is meant to be a policy record.
pub fn is_meant(text: &str) -> bool {
    let text = text.trim_start_matches(['"', ' ', '\\']);
    text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("v=DMARC1"))
}

/// Reads a policy record.
///
/// # Errors
/// What is wrong, so that receivers pass it over.
pub fn read(text: &str) -> Result<Dmarc, String> {
    let mut tags: Vec<(String, &str)> = Vec::new();
    for tag in text.split(';').map(str::trim).filter(|tag| !tag.is_empty()) {
        let shown = || crate::reply::printable(tag.as_bytes(), 40);
        let (name, value) = tag.split_once('=').ok_or_else(|| format!("`{}` is no tag", shown()))?;
        tags.push((name.trim().to_ascii_lowercase(), value.trim()));
    }
    if tags.first().is_none_or(|(name, value)| name != "v" || *value != "DMARC1") {
        return Err("it does not begin with v=DMARC1".to_owned());
    }
    let tag = |name: &str| tags.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    let action = |name: &str| match tag(name) {
        None => Ok(None),
        Some(value) => {
            let why = || {
                format!(
                    "`{name}={}` is none of none, quarantine and reject",
                    crate::reply::printable(value.as_bytes(), 40)
                )
            };
            Disposition::read(value).map(Some).ok_or_else(why)
        }
    };
    let reports = tag("rua")
        .is_some_and(|list| list.split(',').any(|uri| uri.trim().to_ascii_lowercase().starts_with("mailto:")));
    let policy = match (action("p"), reports) {
        (Ok(Some(policy)), _) => policy,
        // Whoever wants reports wants them for a policy of `none` (RFC 9989 4.7).
        (_, true) => Disposition::None,
        (Ok(None), false) => return Err("`p=` is missing".to_owned()),
        (Err(why), false) => return Err(why),
    };
    let is = |name: &str, value: &str| tag(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
    Ok(Dmarc {
        policy,
        below: action("sp").unwrap_or_default(),
        absent: action("np").unwrap_or_default(),
        strict_dkim: is("adkim", "s"),
        strict_spf: is("aspf", "s"),
        testing: is("t", "y"),
        suffix: if is("psd", "y") { Some(true) } else { is("psd", "n").then_some(false) },
        reports,
        obsolete: ["pct", "rf", "ri"]
            .iter()
            .filter(|name| tag(name).is_some())
            .map(|name| (*name).to_owned())
            .collect(),
    })
}

/// What a walk from a domain upwards found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// The policies, the nearest first, with the domains they are of.
    pub policies: Vec<(String, Dmarc)>,
    /// The domain of the organization.
    pub organization: String,
    /// Domains of the walk with several policies, all of which are passed over.
    pub several: Vec<String>,
    /// Records that cannot be read, with the reason.
    pub garbled: Vec<(String, String)>,
    /// What could not be asked, with the reason: the rest may be wrong.
    pub unasked: Vec<String>,
}

impl Walk {
    /// The policy that counts for the domain the walk began at: its own, else that of the organization, else that of the
    /// suffix above it (RFC 9989 4.10.1).
    pub fn policy(&self, domain: &str) -> Option<&(String, Dmarc)> {
        let of = |name: &str| self.policies.iter().find(|(at, _)| at == name);
        of(domain)
            .or_else(|| of(&self.organization))
            .or_else(|| self.policies.iter().find(|(_, policy)| policy.suffix == Some(true)))
    }

    /// What becomes of mail from `domain` that fails; `exists`: whether there is such a domain.
    pub fn action(&self, domain: &str, exists: bool) -> Option<Disposition> {
        let (at, policy) = self.policy(domain)?;
        let action = match () {
            () if at == domain => policy.policy,
            () if exists => policy.below.unwrap_or(policy.policy),
            () => policy.absent.or(policy.below).unwrap_or(policy.policy),
        };
        Some(if policy.testing { action.milder() } else { action })
    }
}

/// The names of the walk from `domain` upwards (RFC 9989 4.10).
fn steps(domain: &str) -> Vec<&str> {
    let labels = domain.split('.').count();
    let parents = std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, parent)| parent));
    // The name itself, then those of seven labels and fewer.
    let passed_over = labels.saturating_sub(STEPS);
    parents.enumerate().filter(|(at, _)| *at == 0 || *at > passed_over).map(|(_, name)| name).collect()
}

/// Walks up from `domain`, which is in lower case.
///
/// # Errors
/// [`Unresolved`]: something is still to be asked.
pub fn walk(known: &Known, domain: &str) -> Result<Walk, Unresolved> {
    let names = steps(domain);
    let place = |name: &str| format!("_dmarc.{name}");
    names.iter().for_each(|name| known.expect(&place(name), Qtype::Txt));
    let mut found = Walk { organization: domain.to_owned(), ..Walk::default() };
    let mut organization = None;
    for (at, name) in names.iter().enumerate() {
        let answer = known.ask(&place(name), Qtype::Txt)?;
        if let Some(why) = answer.why_unasked() {
            found.unasked.push(format!("_dmarc.{name} TXT: {why}"));
        }
        let texts: Vec<_> = answer.texts().filter(|text| is_meant(text)).collect();
        let policy = match &texts[..] {
            [] => continue,
            [text] => read(text),
            _ => {
                found.several.push((*name).to_owned());
                continue;
            }
        };
        match policy {
            Err(why) => found.garbled.push(((*name).to_owned(), why)),
            Ok(policy) => {
                let suffix = policy.suffix;
                found.policies.push(((*name).to_owned(), policy));
                match suffix {
                    Some(false) => organization = Some(*name),
                    Some(true) if at > 0 => organization = Some(names[at - 1]),
                    _ => continue,
                }
                break;
            }
        }
    }
    // The one with the fewest labels, where none says what it is (RFC 9989 4.10.2).
    let last = || found.policies.last().map(|(name, _)| name.clone());
    if let Some(name) = organization.map(str::to_owned).or_else(last) {
        found.organization = name;
    }
    Ok(found)
}

/// Whether `other` is aligned with the domain of From.
///
/// # Errors
/// [`Unresolved`]: something is still to be asked.
pub fn is_aligned(known: &Known, from: &str, other: &str, strict: bool) -> Result<bool, Unresolved> {
    if from == other || strict {
        return Ok(from == other);
    }
    let (one, other) = (walk(known, from)?, walk(known, other)?);
    Ok(one.organization == other.organization)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Question, Rdata, Resolved, settle};

    fn walked(zone: &[(&str, &str)], domain: &str) -> Walk {
        let answer = |known: &mut Known, wanted: Vec<Question>| {
            for question in wanted {
                let texts = zone.iter().filter(|(name, _)| format!("_dmarc.{name}") == question.name());
                let records = texts.map(|(_, text)| Rdata::Text(text.as_bytes().to_vec())).collect();
                known.put(question, Resolved::records(records));
            }
        };
        settle(&mut Known::default(), answer, |known| walk(known, domain))
    }

    #[test]
    fn at_most_eight_names_are_asked_for() {
        assert_eq!(steps("a.b.example"), ["a.b.example", "b.example", "example"]);
        let names = steps("a.b.c.d.e.f.g.h.i.j.example");
        assert_eq!(names.len(), 8);
        assert_eq!((names[0], names[1], names[7]), ("a.b.c.d.e.f.g.h.i.j.example", "e.f.g.h.i.j.example", "example"));
        assert_eq!(steps("a.b.c.d.e.f.g.example").len(), 8);
    }

    /// RFC 9989 4.10.2.
    #[test]
    fn the_organization_is_told_by_the_records() {
        let organization = |zone: &[(&str, &str)], domain: &str| walked(zone, domain).organization;
        let plain = "v=DMARC1; p=none";
        assert_eq!(organization(&[], "a.mail.example"), "a.mail.example");
        assert_eq!(organization(&[("mail.example", plain)], "a.mail.example"), "mail.example");
        assert_eq!(
            organization(&[("a.mail.example", plain), ("mail.example", plain)], "a.mail.example"),
            "mail.example"
        );
        let own = [("a.mail.example", "v=DMARC1; p=none; psd=n"), ("mail.example", plain)];
        assert_eq!(organization(&own, "a.mail.example"), "a.mail.example");
        let suffix = [("example", "v=DMARC1; p=reject; psd=y")];
        assert_eq!(organization(&suffix, "a.mail.example"), "mail.example");
        // A suffix that mail is sent from is its own organization.
        assert_eq!(organization(&suffix, "example"), "example");
        assert_eq!(walked(&suffix, "a.mail.example").policy("a.mail.example").unwrap().0, "example");
        let twice = [("mail.example", plain), ("mail.example", plain)];
        assert_eq!(
            (walked(&twice, "mail.example").several.len(), walked(&twice, "mail.example").policies.len()),
            (1, 0)
        );
    }

    #[test]
    fn the_policy_that_counts() {
        let action =
            |text: &str, domain: &str, exists: bool| walked(&[("mail.example", text)], domain).action(domain, exists);
        let text = "v=DMARC1; p=reject; sp=quarantine; np=none";
        assert_eq!(action(text, "mail.example", true), Some(Disposition::Reject));
        assert_eq!(action(text, "a.mail.example", true), Some(Disposition::Quarantine));
        assert_eq!(action(text, "a.mail.example", false), Some(Disposition::None));
        assert_eq!(action("v=DMARC1; p=reject; t=y", "mail.example", true), Some(Disposition::Quarantine));
        assert_eq!(action("v=DMARC1; p=quarantine; t=y", "a.mail.example", true), Some(Disposition::None));
        assert_eq!(action("v=DMARC1; rua=mailto:a@b.example", "mail.example", true), Some(Disposition::None));
        assert_eq!(action("v=DMARC1", "mail.example", true), None);
    }

    #[test]
    fn records_that_receivers_pass_over() {
        for (text, why) in [
            ("v=DMARC1; p=qurantine", "`p=qurantine` is none of none, quarantine and reject"),
            ("v=dmarc1; p=none", "it does not begin with v=DMARC1"),
            ("v=DMARC1 p=none", "it does not begin with v=DMARC1"),
            ("v=DMARC1; none", "`none` is no tag"),
            ("v=DMARC1;", "`p=` is missing"),
        ] {
            assert_eq!(read(text).unwrap_err(), why);
        }
        let read = read("v=DMARC1;p=Reject;adkim=s;aspf=S;pct=50;ri=1;rua=mailto:a@b.example!10m").unwrap();
        assert!(read.strict_dkim && read.strict_spf && read.reports);
        assert_eq!((read.policy, read.obsolete), (Disposition::Reject, vec!["pct".to_owned(), "ri".to_owned()]));
    }
}
