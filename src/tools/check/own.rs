//! What the user of this process can do for its sites: reads what is needed, runs the program, keeps what waits.

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::general::{named, of_failure, shown};
use crate::caller::Caller;
use crate::config::Config;
use crate::config::relay::{Relay, Username};
use crate::config::site::Site;
use crate::failure::{Failure, Kind};
use crate::finding::{Code, Finding, Grade, Section, codes};
use crate::machine::mailer::{self, Owner};
use crate::oauth::endpoint::is_key;
use crate::oauth::not_logged_in;
use crate::oauth::store::Store;
use crate::root::Root;
use crate::secret::Source;
use crate::spool::{Folder, Spool, flusher};

/// What programs run to send.
const SENDMAIL: &str = "/usr/sbin/sendmail";

/// The sites that `caller` speaks as: those that list it, else those that are open to everybody.
pub(super) fn sites<'c>(config: &'c Config, caller: &Caller) -> Vec<&'c Site> {
    let listed: Vec<&Site> = config.sites.iter().filter(|site| site.users.contains(&caller.uid)).collect();
    match listed.is_empty() {
        true => config.sites.iter().filter(|site| site.users.is_empty()).collect(),
        false => listed,
    }
}

/// The configuration cannot be read by `caller`.
pub(super) fn without_configuration(failure: &Failure, caller: &Caller) -> Section {
    let mut section = Section::new(shown(&format!("as {}", named(caller))));
    section.findings.push(of_failure(failure));
    section
}

/// No site is this caller's: what it is told when it sends (`refusal`).
pub(super) fn without_site(caller: &Caller, refusal: &Failure) -> Section {
    let name = shown(&named(caller));
    let mut section = Section::new(format!("as {name}"));
    let sentence = format!("{}, so what it sends is refused (77)", refusal.why);
    let finding = Finding::new(&codes::SITE_NONE, &name, shown(&sentence));
    section.findings.push(match &refusal.hint {
        Some(hint) => finding.advise(shown(hint)),
        None => finding,
    });
    section
}

/// What `caller` can do for `site`.
pub(super) fn look(site: &Site, caller: &Caller) -> Section {
    let name = shown(&named(caller));
    let mut section = Section { site: Some(site.name.clone()), ..Section::new(format!("as {name}")) };
    for relay in site.every_relay() {
        of_relay(relay, caller, &mut section);
    }
    let mailer = mailer::find(&Root::host(), Path::new(SENDMAIL));
    if mailer.owner == Owner::Us && access(SENDMAIL, AccessFlags::X_OK).is_err() {
        let sentence = format!("{name} may not run {}", shown(&mailer.target.display().to_string()));
        let finding = Finding::new(&codes::PHP_NOT_EXECUTABLE, SENDMAIL, sentence);
        section.findings.push(finding.run(format!("sudo chmod a+rx {}", shown(&mailer.target.display().to_string()))));
    }
    if site.spooling.is_on && caller.uid != 0 {
        section.findings.extend(without_place(caller, &name));
    }
    if section.findings.is_empty() {
        section.fine.push("reads its configuration and secrets".to_owned());
    }
    section
}

/// Whether a message of `caller`, who is called `name`, has no place to wait. Nothing is made to find out.
fn without_place(caller: &Caller, name: &str) -> Option<Finding> {
    let found = |sentence: String| Finding::new(&codes::SPOOL_NO_PLACE, "spool", sentence);
    let Some(spool) = Spool::find(caller) else {
        let sentence = format!("there is no place where a message of {name} may wait");
        return Some(found(sentence).run("sudo mailchute init --users"));
    };
    let error = spool.closed()?;
    let sentence = format!("no message of {name} can wait in {}: {}", spool.directory().display(), error.desc());
    let finding = found(shown(&sentence));
    Some(match error {
        Errno::EROFS => finding.advise(format!(
            "mount a volume at /var/spool/mailchute that uid {} may write to (emptyDir, tmpfs)",
            caller.uid
        )),
        _ => finding.run("sudo mailchute init --users"),
    })
}

/// What waits for `caller`, and what is kept that nobody sends by itself.
pub(super) fn waiting(caller: &Caller) -> Option<Section> {
    let spool = Spool::find(caller)?;
    let count = |folder| spool.list(folder).map_or(0, |list| list.len());
    let [queue, held, failed] = [Folder::Queue, Folder::Held, Folder::Failed].map(count);
    let name = shown(&named(caller));
    // A number without a name, as sudo takes it.
    let login = caller.user.as_deref().map_or_else(|| format!("'#{}'", caller.uid), shown);
    let mut section = Section::new("spool");
    if queue > 0 {
        section.fine.push(format!("{} of {name} {}", messages(queue), if queue == 1 { "waits" } else { "wait" }));
    }
    if flusher::is_overdue(&spool) {
        let sentence = "messages are due for ten minutes and more, and nobody has sent them";
        let finding = Finding::new(&codes::SPOOL_OVERDUE, format!("spool of {name}"), sentence);
        section.findings.push(finding.run(format!("sudo -u {login} mailchute queue flush")));
    }
    if held + failed > 0 {
        let sentence = format!("{} held and {} given up are kept until a person looks at them", messages(held), failed);
        let finding = Finding::new(&codes::SPOOL_KEPT, format!("spool of {name}"), sentence);
        section.findings.push(finding.run(format!("sudo -u {login} mailchute queue list")));
    }
    Some(section)
}

fn messages(count: usize) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

fn of_relay(relay: &Relay, caller: &Caller, section: &mut Section) {
    let mut sources: Vec<(&str, &Source, bool)> = Vec::new();
    if let Some(interface) = relay.api() {
        sources.extend(interface.credentials.iter().map(|(key, source)| (*key, source, true)));
    }
    if let Some(login) = relay.smtp_login() {
        sources.extend(login.secret.as_ref().map(|source| ("secret", source, relay.has_login_key())));
        if let Username::Read(source) = &login.username {
            sources.push(("user name", source, false));
        }
    }
    if let Some(oauth) = &relay.oauth {
        sources.extend(oauth.secrets().map(|(key, source)| (key, source, is_key(key))));
        let tokens = Store::of(oauth, caller).and_then(|store| store.load(relay.strict_modes, &mut Vec::new()));
        if oauth.needs_person() && !matches!(tokens, Ok(Some(_))) {
            let failure = not_logged_in(relay, oauth);
            section.findings.push(of_secret(&codes::LOGIN_MISSING, &failure));
        }
    }
    for (name, source, is_key) in sources {
        let strict = relay.strict_modes;
        let checked = if is_key { source.check_key(name, strict) } else { source.check(strict) };
        match checked {
            Err(failure) => section.findings.push(of_secret(code_of(&failure), &failure)),
            // Root tells of weak modes, with the commands.
            Ok(weaknesses) if caller.uid != 0 && !weaknesses.is_empty() => {
                let sentence = format!("is {}", weaknesses.join("; "));
                let finding = Finding::new(&codes::SECRET_MODES, shown(&source.describe()), sentence);
                section.findings.push(finding.at_most(Grade::Weak));
            }
            Ok(_) => {}
        }
    }
    for file in relay.ca_file.iter().chain(relay.client_cert.as_ref().map(|own| &own.certificate)) {
        if let Err(error) = crate::modes::probe(file) {
            let failure = crate::modes::unreadable(file, &error);
            section.findings.push(of_secret(code_of(&failure), &failure));
        }
    }
    if let Some(warning) = relay.expiry() {
        section.findings.push(Finding::new(&codes::SECRET_EXPIRES, format!("relay {}", relay.name), shown(&warning)));
    }
}

/// Which kind of finding it is that a secret cannot be had.
fn code_of(failure: &Failure) -> &'static Code {
    match failure.kind {
        Kind::NoPermission => &codes::SECRET_UNREADABLE,
        _ => &codes::SECRET_MISSING,
    }
}

fn of_secret(code: &'static Code, failure: &Failure) -> Finding {
    let finding = Finding::new(code, shown(&failure.what), shown(&failure.why));
    match &failure.hint {
        Some(hint) => finding.advise(shown(hint)),
        None => finding,
    }
}
