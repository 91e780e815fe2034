//! Whether those would hear of trouble who are to: what an alert needs, and how it went when one was last told.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::general::shown;
use crate::alert;
use crate::caller::{Caller, PATH};
use crate::config::Config;
use crate::config::alert::{Alert, Means};
use crate::config::site::Site;
use crate::failure::Failure;
use crate::finding::{Finding, Section, codes};

/// What keeps the alerts of `sites` from being told by `caller`, whose process this is.
pub(super) fn look(config: &Config, sites: &[&Site], caller: &Caller) -> Section {
    let mut section = Section::new("alerts");
    let mut seen: Vec<&str> = Vec::new();
    for alert in sites.iter().flat_map(|site| site.alerts.iter()) {
        if seen.contains(&alert.name.as_str()) {
            continue;
        }
        seen.push(&alert.name);
        section.findings.extend(of_means(alert, caller));
    }
    for pending in alert::pending(config, caller.uid) {
        for (name, is_told, why) in pending.alerts {
            let Some(why) = why.filter(|_| !is_told) else { continue };
            let subject = shown(&format!("alert {name}"));
            // One trouble with an alert is enough to know of it.
            if section.findings.iter().any(|finding| finding.subject == subject) {
                continue;
            }
            let sentence = format!("could not be told, and is tried again: {why}");
            let finding = Finding::new(&codes::ALERT_FAILING, subject, shown(&sentence));
            section.findings.push(finding.run(shown(&format!("mailchute alert test {name}"))));
        }
    }
    section
}

/// What an alert cannot do without.
fn of_means(alert: &Alert, caller: &Caller) -> Vec<Finding> {
    let subject = shown(&format!("alert {}", alert.name));
    match &alert.means {
        Means::Post(post) => {
            let failures = post.secrets().filter_map(|(_, source)| source.check(alert.strict_modes).err());
            let finding = |failure: Failure| {
                let finding = Finding::new(&codes::ALERT_SECRET, &subject, shown(&failure.to_string()));
                match &failure.hint {
                    Some(hint) => finding.advise(shown(hint)),
                    None => finding,
                }
            };
            failures.map(finding).collect()
        }
        // One that another's file names is run for that one only.
        Means::Command(words) if alert.owner.is_none_or(|owner| owner == caller.uid) => {
            let program = words.first().map_or("", String::as_str);
            if is_runnable(program) {
                return Vec::new();
            }
            let name = shown(&caller.user.clone().unwrap_or_else(|| caller.uid.to_string()));
            let sentence = format!("its program {program} is not there, or {name} may not run it");
            vec![
                Finding::new(&codes::ALERT_COMMAND, subject, shown(&sentence))
                    .advise("command = [\"/PATH/OF/PROGRAM\"] in its table, and chmod a+rx for the file"),
            ]
        }
        Means::Command(_) | Means::Mail { .. } => Vec::new(),
    }
}

/// Whether a program could be run, by its path or from the small environment that an alert has.
fn is_runnable(program: &str) -> bool {
    let places: Vec<PathBuf> = match program.contains('/') {
        true => vec![PathBuf::from(program)],
        false => PATH.split(':').map(|directory| Path::new(directory).join(program)).collect(),
    };
    places.iter().any(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok())
}
