//! What else a provider wants of a domain.

use super::{Case, below};
use crate::dns::{Qtype, Rdata, Said, Unresolved};
use crate::finding::{Finding, Grade, Section, codes};
use crate::providers::{Extra, Need, Purpose};
use crate::records::pattern::{fixed, is_like};

/// `None`: there is nothing to say.
pub(super) fn judge(case: &Case<'_>) -> Result<Option<Section>, Unresolved> {
    let mut section = case.section("DNS");
    let Some(published) = case.published() else { return Ok(None) };
    let findings: Vec<_> = published.others.iter().map(|wanted| look(case, wanted)).collect();
    for finding in findings {
        section.findings.extend(finding?);
    }
    Ok(Some(section).filter(|section| !section.findings.is_empty()))
}

fn look(case: &Case<'_>, wanted: &Extra) -> Result<Option<Finding>, Unresolved> {
    let kind = match wanted.purpose {
        Purpose::Verification => Qtype::Txt,
        Purpose::Mx => Qtype::Mx,
        // Whichever it is: it is judged by itself.
        Purpose::Dmarc => return Ok(None),
    };
    let names: Vec<_> = case.homes.iter().map(|home| (home, below(wanted.name, home))).collect();
    names.iter().for_each(|(_, name)| case.known.expect(name, kind));
    for (home, name) in &names {
        let answer = case.known.ask(name, kind)?;
        if let Said::Unasked(why) = &answer.said {
            return Ok(Some(case.unasked(name, why)));
        }
        let is_there = answer.found().iter().any(|record| match record {
            Rdata::Text(text) => is_like(wanted.value, &String::from_utf8_lossy(text), home),
            Rdata::Exchange { host, .. } => !host.is_empty() && is_like(wanted.value, host, home),
            _ => false,
        });
        if is_there {
            return Ok(None);
        }
    }
    let (home, name) = &names[0];
    let finding = match wanted.purpose {
        Purpose::Mx if wanted.value == "{any}" => {
            let sentence = format!("the domain takes no mail (MX), and {} wants that it does", case.provider());
            case.weighed(&codes::DNS_MX, name.clone(), sentence)
        }
        Purpose::Mx => {
            let sentence = format!("its mail exchanges (MX) are not those of {}", case.provider());
            case.weighed(&codes::DNS_MX, name.clone(), sentence).at_most(Grade::Note)
        }
        _ => {
            let shape = fixed(wanted.value, home)
                .unwrap_or_else(|| wanted.value.split('{').next().unwrap_or_default().to_owned());
            let sentence = format!(
                "there is no TXT record that begins with {shape}, by which {} knows whose it is",
                case.provider()
            );
            case.weighed(&codes::DNS_VERIFICATION, name.clone(), sentence)
        }
    };
    let finding = if wanted.need == Need::Must { finding } else { finding.at_most(Grade::Note) };
    Ok(Some(finding.advise(case.shown())))
}
