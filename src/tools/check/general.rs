//! What concerns all: configuration, secrets, spool; and of each site what its configuration says.

use std::path::Path;

use crate::caller::Caller;
use crate::config::relay::{Place, Way, is_loopback};
use crate::config::site::{NOBODY, Site};
use crate::config::{Config, Origin};
use crate::failure::{Failure, Kind};
use crate::finding::{Finding, Grade, Section, codes};
use crate::host;
use crate::limit::{self, ban};
use crate::machine::{Host, Wanted};
use crate::modes::Modes;
use crate::reply::{TEXT_LIMIT, printable};
use crate::root::Root;
use crate::spool::flusher;
use crate::tools::secret::check as secrets;

/// Which part of a limit is little, where no more is left of it.
const NEARLY: u32 = 10;

/// A text of somebody else's, for a terminal.
pub(super) fn shown(text: &str) -> String {
    printable(text.as_bytes(), TEXT_LIMIT)
}

/// The name of a user, or the number.
pub(super) fn named(caller: &Caller) -> String {
    caller.user.clone().unwrap_or_else(|| format!("uid {}", caller.uid))
}

/// What a failure to read the configuration is as a finding.
pub(super) fn of_failure(failure: &Failure) -> Finding {
    let code = match failure.kind {
        Kind::NoPermission => &codes::CONFIG_UNREADABLE,
        _ => &codes::CONFIG_INVALID,
    };
    let finding = Finding::new(code, shown(&failure.what), shown(&failure.why));
    match &failure.hint {
        Some(hint) => finding.advise(shown(hint)),
        None => finding,
    }
}

/// Whether the configuration can be read, and what deserves a look in it.
pub(super) fn of_files(config: Result<&Config, &Failure>, caller: &Caller) -> Section {
    let mut section = Section::new("files");
    let config = match config {
        Ok(config) => config,
        Err(failure) => {
            section.findings.push(of_failure(failure));
            return section;
        }
    };
    for skipped in config.skipped.iter().filter(|skipped| skipped.is_mistake || caller.uid == 0) {
        let finding =
            Finding::new(&codes::CONFIG_SKIPPED, shown(&skipped.file.display().to_string()), shown(&skipped.why));
        section.findings.push(match skipped.next_step().filter(|_| skipped.is_mistake) {
            Some(next) => finding.advise(shown(&next)),
            None if skipped.is_mistake => finding,
            // It is for its owner, whose process reads it.
            None => finding.at_most(Grade::Note),
        });
    }
    let is_told = |warning: &&String| config.skipped.iter().any(|skipped| **warning == skipped.to_string());
    for warning in config.warnings.iter().filter(|warning| !is_told(warning)) {
        let (subject, sentence) = warning.split_once(": ").unwrap_or(("configuration", warning));
        let finding = Finding::new(&codes::CONFIG_WARNING, shown(subject), shown(sentence));
        section.findings.push(match mended(Path::new(subject)) {
            Some(command) => finding.run(command),
            None => finding,
        });
    }
    let rows = if caller.uid == 0 { secrets::rows(config, None) } else { Vec::new() };
    let mut fine = 0;
    for row in rows {
        match row {
            secrets::Row::Fine(..) => fine += 1,
            secrets::Row::Found(finding) => section.findings.push(finding),
        }
    }
    let (sites, plural) = (config.sites.len(), |count: usize| if count == 1 { "" } else { "s" });
    let mut told = format!("{sites} site{}", plural(sites));
    if caller.uid == 0 {
        told += &format!(", {fine} secret{} as it should be", plural(fine));
    }
    section.fine.push(format!("{}: {told}", shown(&config.origin.to_string())));
    section
}

/// The command that takes a weak mode from a file of the configuration.
fn mended(file: &Path) -> Option<String> {
    let modes = Modes::of(&file.metadata().ok()?);
    let is_plain = file.to_str()?.chars().all(|c| c.is_ascii_alphanumeric() || "/._+@-".contains(c));
    let is_weak = modes.mode & 0o022 != 0 || modes.mode & 0o004 != 0;
    (is_plain && file.is_absolute() && is_weak && modes.uid == 0)
        .then(|| format!("sudo chmod o=,g-w {}", file.display()))
}

/// What of the configuration decides what is wrong with the machine.
pub(super) fn wanted(config: Option<&Config>) -> Wanted {
    Wanted {
        spools: config.is_some_and(|config| config.sites.iter().any(|site| site.spooling.is_on)),
        by_environment: config.is_some_and(|config| matches!(config.origin, Origin::Environment(_))),
        set_group_id: host::binary_group().is_some(),
    }
}

/// Who sends what waits, where anything may.
pub(super) fn of_spool(config: &Config) -> Option<Section> {
    if !config.sites.iter().any(|site| site.spooling.is_on) {
        return None;
    }
    let mut section = Section::new("spool");
    match flusher::is_timed() {
        true => section.fine.push("the timer or the cron line sends what waits".to_owned()),
        false => {
            let sentence =
                "no timer or cron line is at work, so nobody sends what waits when this machine starts again";
            let is_systemd = Path::new(flusher::SYSTEMD).is_dir();
            let finding = Finding::new(&codes::SPOOL_NO_FLUSHER, "spool", sentence);
            section.findings.push(match is_systemd {
                true => finding.run("sudo systemctl enable --now mailchute-flush.timer"),
                false => finding
                    .run(format!("echo '* * * * * root mailchute queue flush --quiet' | sudo tee {}", flusher::CRON)),
            });
        }
    }
    Some(section)
}

/// `user shop, From orders@shop.example, relays postmark, backup`.
pub(super) fn described(site: &Site) -> String {
    let mut words = Vec::new();
    let users: Vec<String> = site.users.iter().filter(|uid| **uid != NOBODY).map(|uid| user_name(*uid)).collect();
    match &users[..] {
        [] => words.push("every user".to_owned()),
        [user] => words.push(format!("user {user}")),
        users => words.push(format!("users {}", users.join(", "))),
    }
    words.extend(site.from.as_ref().map(|from| format!("From {}", from.spec)));
    let relays: Vec<&str> = site.every_relay().into_iter().map(|relay| relay.name.as_str()).collect();
    words.push(format!("relay{} {}", if relays.len() == 1 { "" } else { "s" }, relays.join(", ")));
    shown(&words.join(", "))
}

fn user_name(uid: u32) -> String {
    let entry = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    entry.map_or_else(|| uid.to_string(), |entry| entry.name)
}

/// Bans, limits, aliases of one site, for its user `uid`.
pub(super) fn of_site(config: &Config, site: &Site, uid: u32) -> Section {
    let mut section = Section { site: Some(site.name.clone()), ..Section::new("site") };
    let subject = format!("site {}", site.name);
    if let Err(failure) = site.check_enabled() {
        section.findings.push(Finding::new(&codes::SITE_DISABLED, &subject, shown(&failure.why)));
    }
    if let Err(failure) = ban::check(config, site, uid) {
        let finding = Finding::new(&codes::SITE_BANNED, &subject, shown(&failure.why));
        section.findings.push(finding.run(format!("sudo mailchute unban {}", site.name)));
    }
    let of_relays = site.every_relay().into_iter();
    let of_relays =
        of_relays.filter_map(|relay| Some((shown(&format!("relay {}", relay.name)), relay.limits.as_ref()?)));
    for (whose, limits) in site.limits.iter().map(|limits| (subject.clone(), limits)).chain(of_relays) {
        for left in limit::left(limits, uid).unwrap_or_default() {
            let finding = |code| Finding::new(code, &whose, shown(&left.to_string()));
            match left.left {
                0 => section.findings.push(finding(&codes::LIMIT_REACHED)),
                few if few <= left.limit.count / NEARLY => section.findings.push(finding(&codes::LIMIT_NEAR)),
                _ => section.fine.push(left.to_string()),
            }
        }
    }
    let has_root = |name: &str| site.alias.get(name).is_some();
    let is_aliased = has_root("root") || has_root("*") || is_in_alias_file("root");
    if !is_aliased && site.users.is_empty() && site.domain.is_none() {
        let sentence = "local names lead nowhere, so mail to root, as cron sends it, is refused (65)";
        let finding = Finding::new(&codes::ALIAS_NONE, &subject, sentence);
        section.findings.push(finding.advise("[alias] \"*\" = \"YOU@YOUR.DOMAIN\" in the configuration"));
    }
    section
}

/// Whether the host's own alias file has this name, as far as a look at its lines tells.
fn is_in_alias_file(name: &str) -> bool {
    let lines = Root::host().read(Path::new("/etc/aliases"), 1 << 20);
    lines.is_ok_and(|(octets, _)| {
        let text = String::from_utf8_lossy(&octets).into_owned();
        text.lines().any(|line| line.split_once(':').is_some_and(|(known, _)| known.trim() == name))
    })
}

/// The configuration has no site of this name.
pub(super) fn no_such_site(name: &str) -> Section {
    let mut section = Section::new("site");
    section.findings.push(Finding::new(&codes::SITE_NONE, shown(name), "is no site of the configuration"));
    section
}

/// That whoever runs the host closes the port of one of `site`'s relays at first, where that is known.
pub(super) fn of_ports(site: &Site, host: Option<&'static Host>) -> Section {
    let mut section = Section { site: Some(site.name.clone()), ..Section::new("relay") };
    let Some(host) = host else { return section };
    for relay in site.every_relay() {
        let (Place::Tcp { host: name, port }, Way::Smtp(_)) = (&relay.place, &relay.way) else { continue };
        if !host.closed.contains(port) || is_loopback(name) {
            continue;
        }
        let sentence = format!("{} closes port {port} {}", host.name, host.until);
        let finding = Finding::new(&codes::RELAY_PORT, shown(&format!("relay {}", relay.name)), sentence);
        let ports = relay.provider.into_iter().flat_map(|provider| provider.ports).map(|port| port.number);
        let other = ports.into_iter().find(|number| !host.closed.contains(number));
        let has_api = relay.provider.is_some_and(|provider| provider.api.is_some());
        section.findings.push(match other {
            Some(port) => finding.advise(format!("if it is: port = {port} in [relay.{}]", relay.name)),
            None if has_api => finding.advise(format!("if it is: via = \"api\" in [relay.{}]", relay.name)),
            None => finding,
        });
    }
    section
}
