//! What concerns all: configuration, secrets, spool; and of each site what its configuration says.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::User;

use crate::caller::Caller;
use crate::config::relay::{Place, Way, is_loopback};
use crate::config::site::{NOBODY, Site};
use crate::config::{Config, DefaultSite, LogTarget, Origin, Skipped, is_called_after, is_named_for};
use crate::failure::{Failure, Kind};
use crate::finding::{Finding, Grade, Section, codes};
use crate::host;
use crate::keep;
use crate::limit::{self, ban};
use crate::machine::{Host, Wanted};
use crate::modes::{self, Modes};
use crate::reply::{TEXT_LIMIT, printable};
use crate::root::Root;
use crate::spool::flusher::{self, Cron};
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
///
/// Of what `only` leaves out, nothing is said.
pub(super) fn of_files(config: Result<&Config, &Failure>, caller: &Caller, only: &Only<'_>) -> Section {
    let mut section = Section::new("files");
    let config = match config {
        Ok(config) => config,
        Err(failure) => {
            section.findings.push(of_failure(failure));
            return section;
        }
    };
    let is_told = |skipped: &&Skipped| (skipped.is_mistake || caller.uid == 0) && only.has_file(&skipped.file);
    for skipped in config.skipped.iter().filter(is_told) {
        let finding =
            Finding::new(&codes::CONFIG_SKIPPED, shown(&skipped.file.display().to_string()), shown(&skipped.why));
        section.findings.push(match skipped.next_step().filter(|_| skipped.is_mistake) {
            Some(next) => finding.advise(shown(&next)),
            None if skipped.is_mistake => finding,
            // It is for its owner, whose process reads it.
            None => finding.at_most(Grade::Note),
        });
    }
    for file in config.unread().into_iter().filter(|file| caller.uid == 0 && only.has_file(file)) {
        let sentence = "is not read: its name does not end in .toml";
        let finding = Finding::new(&codes::CONFIG_SKIPPED, shown(&file.display().to_string()), sentence);
        section.findings.push(finding.at_most(Grade::Note));
    }
    section
        .findings
        .extend(config.sites.iter().filter(|site| only.has(site)).filter_map(|site| of_users(config, site)));
    let is_told = |warning: &str| {
        let of_sites = config.sites.iter().filter_map(Site::ownerless_warning);
        config.skipped.iter().any(|skipped| warning == skipped.to_string())
            || of_sites.into_iter().any(|own| own == warning)
    };
    for warning in config.warnings.iter().filter(|warning| !is_told(warning)) {
        let (subject, sentence) = warning.split_once(": ").unwrap_or(("configuration", warning));
        if !only.has_file(Path::new(subject.rsplit_once(':').map_or(subject, |(file, _)| file))) {
            continue;
        }
        let finding = Finding::new(&codes::CONFIG_WARNING, shown(subject), shown(sentence));
        section.findings.push(match mended(Path::new(subject)) {
            Some(command) => finding.run(command),
            None => finding,
        });
    }
    if caller.uid == 0 && matches!(only, Only::All) {
        section.findings.extend(open_directories(config));
    }
    let rows = match (caller.uid, only) {
        (0, Only::All) => secrets::rows(config, None),
        (0, only) => secrets::rows_of(config, |site| only.has(site)),
        _ => Vec::new(),
    };
    let mut fine = 0;
    for row in rows {
        match row {
            secrets::Row::Fine(..) => fine += 1,
            secrets::Row::Found(finding) => section.findings.push(finding),
        }
    }
    let (sites, plural) =
        (config.sites.iter().filter(|site| only.has(site)).count(), |count: usize| if count == 1 { "" } else { "s" });
    let mut told = format!("{sites} site{}", plural(sites));
    if caller.uid == 0 {
        told += &format!(", {fine} secret{} as it should be", plural(fine));
    }
    section.fine.push(format!("{}: {told}", shown(&config.origin.to_string())));
    section
}

/// What of the configuration is meant.
pub(super) enum Only<'o> {
    /// Everything.
    All,
    /// These sites (`--site`).
    Sites(&'o [String]),
    /// The sites of this user (`--as`).
    User(&'o Caller),
}

impl Only<'_> {
    /// Whether `site` is meant.
    pub(super) fn has(&self, site: &Site) -> bool {
        match self {
            Self::All => true,
            Self::Sites(names) => names.contains(&site.name),
            Self::User(user) => site.is_open_to(user.uid) || is_its(site, user),
        }
    }

    /// Whether `file` is meant: the main file, or one that is called after what is.
    fn has_file(&self, file: &Path) -> bool {
        if !file.components().any(|part| part.as_os_str() == "sites.d") {
            return true;
        }
        match self {
            Self::All => true,
            Self::Sites(names) => file.file_stem().is_some_and(|stem| names.iter().any(|name| *stem == **name)),
            Self::User(user) => is_named_for(file, user),
        }
    }
}

/// Whether the file of `site` is called after `user`, whoever it lists.
fn is_its(site: &Site, user: &Caller) -> bool {
    site.file.as_deref().is_some_and(|file| is_called_after(file, user))
}

/// What is wrong with the users that `site` lists: none, where others list some, or not the one that its file is called
/// after.
fn of_users(config: &Config, site: &Site) -> Option<Finding> {
    let file = site.file.as_deref()?;
    let subject = shown(&file.display().to_string());
    let is_apart = config.sites_d.is_some() && config.sites_d.as_deref() == file.parent();
    let called = file.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_apart);
    let user = called.and_then(|name| User::from_name(name).ok().flatten());
    let finding = |code, why: String, step: &str| {
        let named = user.as_ref().map_or("THE USER WHO SENDS", |user| &user.name);
        let next = format!("user = [{named:?}] in [site.{}]{step}", site.name);
        Finding::new(code, &subject, shown(&format!("site {} {why}", site.name))).advise(shown(&next))
    };
    if site.is_ownerless {
        let why = "has no \"user\", so nobody but root sends as it";
        return Some(finding(&codes::SITE_NO_USER, why.to_owned(), ""));
    }
    let is_default = matches!(&config.default_site, DefaultSite::Named(name) if *name == site.name);
    if site.users.is_empty() && config.is_bound && !is_default {
        let why = "has no \"user\", so every user of this host may send as it";
        return Some(finding(&codes::SITE_NO_USER, why.to_owned(), "").at_most(Grade::Weak));
    }
    let User { name, uid, .. } = user.as_ref()?;
    // Of a name that nobody has, the warnings tell.
    if site.users.is_empty() || site.users.contains(&NOBODY) || site.users.contains(&uid.as_raw()) {
        return None;
    }
    let names: Vec<String> = site.users.iter().map(|uid| user_name(*uid)).collect();
    let why = format!("is for {}, and not for {name}, whom the file is called after", names.join(", "));
    let is_elsewhere = config.sites.iter().any(|other| other.users.contains(&uid.as_raw()));
    let grade = if is_elsewhere { Grade::Note } else { Grade::Weak };
    Some(finding(&codes::SITE_USER, why, &format!(", if it is {name}'s")).at_most(grade))
}

/// The directories of the configuration, of `sites.d` and of stored secrets in which others can replace what root laid
/// there.
fn open_directories(config: &Config) -> Vec<Finding> {
    let Origin::File(file) = &config.origin else { return Vec::new() };
    let Some(own) = file.parent() else { return Vec::new() };
    let places = [own.to_owned(), own.join("sites.d"), own.join("secrets")];
    let open = places.iter().filter(|place| modes::is_open(place));
    open.filter_map(|place| {
        let modes = Modes::of(&place.metadata().ok()?);
        let path = shown(&place.display().to_string());
        let sentence = format!("is {modes}, so others can put a file of theirs in the place of one in it");
        let finding = Finding::new(&codes::CONFIG_DIRECTORY, &path, sentence);
        Some(finding.run(format!("sudo chmod go-w {path}")))
    })
    .collect()
}

/// The command that takes a weak mode from a file of the configuration.
fn mended(file: &Path) -> Option<String> {
    let modes = Modes::of(&file.metadata().ok()?);
    let is_plain = file.to_str()?.chars().all(|c| c.is_ascii_alphanumeric() || "/._+@-".contains(c));
    let is_weak = modes.mode & 0o022 != 0 || modes.mode & 0o004 != 0;
    // Without a group of those who send nobody could read it any more.
    let keeps_readers = modes.mode & 0o004 == 0 || modes.gid != 0;
    (is_plain && file.is_absolute() && is_weak && keeps_readers && modes.uid == 0)
        .then(|| format!("sudo chmod o=,g-w {}", file.display()))
}

/// What of the configuration decides what is wrong with the machine.
pub(super) fn wanted(config: Option<&Config>) -> Wanted {
    Wanted {
        spools: config.is_some_and(|config| config.sites.iter().any(|site| site.spooling.is_on)),
        by_environment: config.is_some_and(|config| matches!(config.origin, Origin::Environment(_))),
        logs_to_stderr: config.is_some_and(|config| config.log(None).contains(&LogTarget::Stderr)),
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
        false => section.findings.push(no_flusher()),
    }
    section.findings.extend(closed_spool());
    Some(section)
}

/// A spool in which nobody but root has a place, with a binary that runs with its caller's rights.
fn closed_spool() -> Option<Finding> {
    let parent = keep::Place::Spool.parent();
    let found = fs::symlink_metadata(parent).ok().filter(fs::Metadata::is_dir)?;
    let is_open = found.mode() & 0o003 == 0o003;
    (!is_open && host::binary_group().is_none()).then(|| {
        let sentence = format!("is {}, so messages of other users have no place to wait in", Modes::of(&found));
        let finding = Finding::new(&codes::SPOOL_NO_PLACE, parent, sentence);
        finding.run(format!("sudo chown root:root {parent} && sudo chmod 1733 {parent}"))
    })
}

/// Neither timer nor cron line is at work.
fn no_flusher() -> Finding {
    let is_systemd = Path::new(flusher::SYSTEMD).is_dir();
    let after = "so nobody sends what waits when this machine starts again";
    let cron = match is_systemd {
        true => Cron::Missing,
        false => Cron::look(),
    };
    let sentence = match &cron {
        Cron::Wrong(why) => format!("{} {why}, {after}", flusher::CRON),
        Cron::Idle => format!("{} is there, and no cron is running, {after}", flusher::CRON),
        Cron::Missing | Cron::Works => format!("no timer or cron line is at work, {after}"),
    };
    let finding = Finding::new(&codes::SPOOL_NO_FLUSHER, "spool", sentence);
    let starts = |path: &&&str| Path::new("/etc/init.d").join(path).exists();
    match cron {
        _ if is_systemd => finding.run("sudo systemctl enable --now mailchute-flush.timer"),
        Cron::Idle => match ["cron", "crond"].iter().find(starts) {
            Some(name) => finding.run(format!("sudo service {name} start")),
            None => finding.advise("start cron"),
        },
        _ => {
            let program = std::env::current_exe().unwrap_or_else(|_| "/usr/bin/mailchute".into());
            let line = format!("* * * * * root {} queue flush --all --quiet", shown(&program.display().to_string()));
            finding.run(format!("echo '{line}' | sudo tee {}", flusher::CRON))
        }
    }
}

/// `user shop, From orders@shop.example, relays postmark, backup`.
pub(super) fn described(site: &Site) -> String {
    let mut words = Vec::new();
    let users: Vec<String> = site.users.iter().filter(|uid| **uid != NOBODY).map(|uid| user_name(*uid)).collect();
    match &users[..] {
        [] if site.users.is_empty() => words.push("every user".to_owned()),
        [] => words.push("no user".to_owned()),
        [user] => words.push(format!("user {user}")),
        users => words.push(format!("users {}", users.join(", "))),
    }
    words.extend(site.from.as_ref().map(|from| format!("From {}", from.spec)));
    let relays: Vec<&str> = site.every_relay().into_iter().map(|relay| relay.name.as_str()).collect();
    words.push(format!("relay{} {}", if relays.len() == 1 { "" } else { "s" }, relays.join(", ")));
    shown(&words.join(", "))
}

fn user_name(uid: u32) -> String {
    let entry = User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
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
    for path in site.paths.iter().filter(|path| !path.exists()) {
        let sentence = format!("its path {} is not there, so nothing that runs is in it", path.display());
        let finding = Finding::new(&codes::SITE_PATH, &subject, shown(&sentence));
        section
            .findings
            .push(finding.advise(shown(&format!("write the directory of the site as path in [site.{}]", site.name))));
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
