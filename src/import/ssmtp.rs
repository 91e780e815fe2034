//! sSMTP 2.64: `/etc/ssmtp/ssmtp.conf` and `/etc/ssmtp/revaliases`. The file is read as the program reads it, which is not
//! as it looks: a value ends at the first `=`, blank or `#`, and one that ends with the line's comment is lost.

use super::draft::code::{FROM_FIELD, LOCAL_NAMES, MISREAD, PER_USER, PLACEHOLDER, REVERSE_PATH, UNUSED};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written, secret};
use super::source::{Belief, Inquiry, MailUser, SourceFile};
use super::{Importable, Program};
use crate::failure::Failure;
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program =
    Program { name: "ssmtp", title: "sSMTP", files: "/etc/ssmtp/ssmtp.conf, /etc/ssmtp/revaliases", find, read };

const MAIN: &str = "/etc/ssmtp/ssmtp.conf";
const REVALIASES: &str = "/etc/ssmtp/revaliases";

/// What ends a word.
const ENDS: [char; 4] = ['=', ' ', '\t', '\n'];

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    super::of_everybody(root, &[MAIN, REVALIASES])
}

/// What the lines leave.
#[derive(Default)]
struct Settings {
    root: Option<Said<String>>,
    hub: Option<Said<String>>,
    port: Option<Said<u16>>,
    host_name: Option<Said<String>>,
    domain: Option<Said<String>>,
    keeps_from: Option<Said<bool>>,
    tls: bool,
    starttls: bool,
    tls_ids: Vec<Id>,
    certificate: Option<Said<bool>>,
    certificate_file: Option<Said<String>>,
    ca_file: Option<Said<String>>,
    user: Option<Said<String>>,
    password: Option<Said<Written>>,
    method: Option<Said<String>>,
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let source = asked.main(MAIN)?;
    let mut settings = Settings::default();
    for (number, line) in source.text.split_inclusive('\n').enumerate() {
        setting(asked, &source, number + 1, line, &mut settings, draft);
    }
    let aliases = match asked.beside(REVALIASES)? {
        Some(source) => revaliases(&source, draft),
        None => Vec::new(),
    };
    result(asked, &settings, &aliases, draft)
}

/// One line with its line end.
fn setting(
    asked: &Inquiry<'_>,
    source: &SourceFile,
    number: usize,
    line: &str,
    settings: &mut Settings,
    draft: &mut Draft,
) {
    let cut = line.split('#').next().unwrap_or_default();
    if !cut.contains('=') {
        return;
    }
    // As the program takes words: one that nothing ends is none.
    let word = |text: &str| text.split_once(ENDS).map(|(word, _)| word.to_owned());
    let Some(key) = word(cut) else { return };
    let rest = cut.get(key.len() + 1..).unwrap_or_default();
    let effective = word(rest);
    let name = key.to_ascii_lowercase();
    let id = draft.ledger.read(&source.path, number, if key.is_empty() { "=" } else { &key });
    let meant = line.split_once('=').map_or("", |(_, value)| value.trim()).to_owned();
    let is_misread = effective.as_deref() != Some(meant.as_str());
    if key.is_empty() {
        draft.ledger.say(id, &UNUSED, "ssmtp passes over a line that begins with a blank");
        return;
    }
    let value = match (asked.take, &effective) {
        (Some(Belief::File), _) => Some(meant.clone()),
        (_, effective) => effective.clone(),
    };
    if is_misread && KEYS.contains(&name.as_str()) {
        misread(asked, id, &name, effective.as_deref(), draft);
    }
    let Some(value) = value else {
        if draft.ledger.is_open(id) {
            draft.ledger.say(id, &UNUSED, "ssmtp passes over it");
        }
        return;
    };
    let value = value.trim_end_matches('\r').to_owned();
    if is_placeholder(&value)
        && ["mailhub", "authuser", "authpass", "rewritedomain", "hostname"].contains(&name.as_str())
    {
        draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
    }
    store(&name, value, id, settings, draft);
}

/// The keys of the program.
const KEYS: &[&str] = &[
    "root",
    "mailhub",
    "remoteport",
    "hostname",
    "rewritedomain",
    "fromlineoverride",
    "usetls",
    "usestarttls",
    "usetlscert",
    "tlscert",
    "tls_ca_file",
    "authuser",
    "authpass",
    "authmethod",
];

fn misread(asked: &Inquiry<'_>, id: Id, name: &str, effective: Option<&str>, draft: &mut Draft) {
    if asked.take.is_some() {
        return draft.ledger.carry(&[id]);
    }
    if effective.is_some_and(|word| word.ends_with('\r')) {
        let why = "ssmtp takes the carriage return at the end of the line for a part of it; the import does not";
        return draft.ledger.say(id, &MISREAD, why);
    }
    let what = match effective {
        None => "nothing of it, for nothing ends the value (a `#`, or the end of the file)".to_owned(),
        Some("") => "nothing of it (it stops at the first blank, `=` or `#`)".to_owned(),
        Some(_) if name.starts_with("auth") => {
            "only the beginning of it (it stops at the first blank, `=` or `#`)".to_owned()
        }
        Some(word) => format!("{word:?}"),
    };
    draft.ledger.say(id, &MISREAD, format!("ssmtp takes {what}, and so does the import; --take file takes the whole"));
}

fn store(name: &str, value: String, id: Id, settings: &mut Settings, draft: &mut Draft) {
    let is_yes = value.eq_ignore_ascii_case("yes");
    match name {
        "root" => settings.root = Some(Said::new(value, id)),
        "mailhub" => {
            let (host, port) = value.split_once(':').map_or((value.as_str(), None), |(host, port)| (host, Some(port)));
            settings.hub = Some(Said::new(host.to_owned(), id));
            if let Some(port) = port {
                settings.port = Some(Said::new(number(port), id));
            }
        }
        "remoteport" => settings.port = Some(Said::new(number(&value), id)),
        "hostname" => settings.host_name = Some(Said::new(value, id)),
        "rewritedomain" => {
            let domain = value.rsplit_once('@').map_or(value.as_str(), |(_, domain)| domain);
            settings.domain = Some(Said::new(domain.to_owned(), id));
        }
        "fromlineoverride" => settings.keeps_from = Some(Said::new(is_yes, id)),
        "usetls" => {
            settings.tls = is_yes;
            settings.starttls &= is_yes;
            settings.tls_ids.push(id);
        }
        "usestarttls" => {
            settings.starttls = is_yes;
            settings.tls |= is_yes;
            settings.tls_ids.push(id);
        }
        "usetlscert" => settings.certificate = Some(Said::new(is_yes, id)),
        "tlscert" => settings.certificate_file = Some(Said::new(value, id)),
        "tls_ca_file" => settings.ca_file = Some(Said::new(value, id)),
        "authuser" if settings.user.is_none() => settings.user = Some(Said::new(value, id)),
        "authpass" if settings.password.is_none() => {
            settings.password =
                Some(if value.is_empty() { Said::new(Written::Wanted, id) } else { secret(&value, id) });
        }
        "authmethod" if settings.method.is_none() => settings.method = Some(Said::new(value, id)),
        "authuser" | "authpass" | "authmethod" => draft.ledger.say(id, &UNUSED, "ssmtp takes the first"),
        "useoldauth" | "debug" => draft.ledger.imply(id),
        "addheader" => draft.drop(id, "no field is added to every message here"),
        _ => draft.ledger.say(id, &UNUSED, "ssmtp does not know it either"),
    }
}

/// A number as C's `atoi` reads it.
fn number(text: &str) -> u16 {
    let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// `USER:ADDRESS[:HUB[:PORT]]`.
struct Reverse {
    user: String,
    address: String,
    hub: Option<(String, Option<u16>)>,
    id: Id,
}

fn revaliases(source: &SourceFile, draft: &mut Draft) -> Vec<Reverse> {
    let mut found: Vec<Reverse> = Vec::new();
    for (number_of, line) in source.text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split(':').map(str::trim).filter(|word| !word.is_empty());
        let (Some(user), Some(address)) = (words.next(), words.next()) else { continue };
        let id = draft.ledger.read(&source.path, number_of + 1, user);
        let hub = words.next().map(|hub| (hub.to_owned(), words.next().map(number)));
        if let Some(known) = found.iter().find(|known| known.user == user) {
            draft.ledger.say(known.id, &UNUSED, "a later line is for the same user");
        }
        found.retain(|known| known.user != user);
        found.push(Reverse { user: user.to_owned(), address: address.to_owned(), hub, id });
    }
    found
}

fn result(asked: &Inquiry<'_>, settings: &Settings, aliases: &[Reverse], draft: &mut Draft) -> Result<(), Failure> {
    let own_name = asked.host_name()?;
    let tls = match (settings.tls, settings.starttls) {
        (false, _) => TlsUse::None,
        (true, true) => TlsUse::StartTls,
        (true, false) => TlsUse::Implicit,
    };
    let hub = settings.hub.clone().unwrap_or_else(|| Said::own("mailhub".to_owned()));
    let port = settings.port.clone().unwrap_or(Said::own(25));
    // A hub that was never filled in is none, where every user has another.
    let first = aliases.iter().find_map(|alias| alias.hub.clone().map(|hub| (hub, alias.id)));
    let (hub, port) = match first {
        Some(((host, number), id)) if is_placeholder(&hub.value) => {
            (Said { value: host, from: vec![id] }, number.map_or(port, |number| Said::new(number, id)))
        }
        _ => (hub, port),
    };
    let relay = |name: &str, host: Said<String>, port: Said<u16>, draft: &mut Draft| {
        let mut smarthost = Smarthost::new("ssmtp", name, host);
        smarthost.port = Some(port);
        smarthost.tls = Said { value: tls, from: settings.tls_ids.clone() };
        smarthost.verifies = false;
        smarthost.username = settings.user.clone().filter(|user| !user.value.is_empty());
        smarthost.secret = settings.password.clone();
        if smarthost.username.is_some() && smarthost.secret.is_none() {
            smarthost.secret =
                settings.user.as_ref().map(|user| Said { value: Written::Wanted, from: user.from.clone() });
        }
        match &settings.method {
            Some(method) if method.value.eq_ignore_ascii_case("cram-md5") => {
                smarthost.auth = Said { value: vec!["CRAM-MD5".to_owned()], from: method.from.clone() };
            }
            Some(method) if method.value.eq_ignore_ascii_case("login") => {
                smarthost.auth = Said { value: vec!["LOGIN".to_owned()], from: method.from.clone() };
            }
            Some(method) => draft.say_all(&method.from, "", &UNUSED, "ssmtp takes LOGIN for every word but CRAM-MD5"),
            None => {}
        }
        let name = settings.host_name.as_ref().filter(|name| !name.value.is_empty() && !is_placeholder(&name.value));
        smarthost.more.extend(
            name.map(|name| ("helo", Said { value: Written::from(name.value.as_str()), from: name.from.clone() })),
        );
        if let Some(file) = settings.ca_file.clone() {
            draft.ca_file(&mut smarthost, file);
        }
        if let (Some(Said { value: true, from }), Some(file)) = (&settings.certificate, &settings.certificate_file) {
            let from = [from.clone(), file.from.clone()].concat();
            smarthost.more.push(("client_cert", Said { value: Written::from(file.value.as_str()), from }));
        }
        draft.relay(smarthost)
    };
    let is_same =
        |host: &str, number: Option<u16>| host == hub.value && number.is_none_or(|number| number == port.value);
    let mut named = vec![(hub.value.clone(), port.value, relay("main", hub.clone(), port.clone(), draft))];
    let ids = |said: Option<&Vec<Id>>| said.cloned().unwrap_or_default();
    let certificate = settings.certificate.as_ref().map(|said| &said.from);
    let certificate_file = settings.certificate_file.as_ref().map(|said| &said.from);
    for (from, why) in [
        (certificate, "no certificate is shown"),
        (certificate_file, "no certificate is shown"),
        (settings.user.as_ref().map(|user| &user.from), "it is empty"),
        (settings.password.as_ref().map(|password| &password.from), "without AuthUser ssmtp does not log in"),
        (settings.method.as_ref().map(|method| &method.from), "without AuthUser ssmtp does not log in"),
    ] {
        let open: Vec<Id> = ids(from).into_iter().filter(|id| draft.ledger.is_open(*id)).collect();
        draft.say_all_of(&open, &UNUSED, why);
    }
    let usable = |said: &Option<Said<String>>| {
        said.clone().filter(|said| !said.value.is_empty() && !is_placeholder(&said.value))
    };
    let domain = usable(&settings.domain).or_else(|| usable(&settings.host_name)).unwrap_or(Said::own(own_name));
    draft.set(&Table::Top, "domain", domain.value.as_str(), &domain.from);
    for said in [&settings.domain, &settings.host_name].into_iter().flatten().filter(|said| said.value.is_empty()) {
        draft.say_all_of(&said.from, &UNUSED, "it is empty");
    }
    if let Some(Said { value, from }) = settings.root.clone() {
        if value.is_empty() {
            draft.say_all_of(&from, &UNUSED, "it is empty");
        } else {
            super::local::set(draft, "root", &[value], &from);
            if !asked.gives_all_names() {
                let why = "ssmtp gives it the mail of every user below 1000; here it is root's alone: say --alias '*=ADDRESS'";
                draft.say_all_of(&from, &LOCAL_NAMES, why);
            }
        }
    }
    let keeps = settings.keeps_from.as_ref().is_some_and(|said| said.value);
    let keep_ids = ids(settings.keeps_from.as_ref().map(|said| &said.from));
    draft.ledger.carry(&keep_ids);
    let person = &asked.person.name;
    let is_listed = aliases.iter().any(|alias| alias.user == *person);
    for alias in aliases {
        let site = draft.named(Table::Site, &alias.user, &[alias.id]);
        draft.set(&site, "user", Written::List(vec![alias.user.clone()]), &[alias.id]);
        let address = if alias.address.contains('@') {
            alias.address.clone()
        } else {
            format!("{}@{}", alias.address, domain.value)
        };
        sender(&site, &address, keeps, &[alias.id], draft);
        let Some((host, number)) = &alias.hub else { continue };
        let number = number.unwrap_or(port.value);
        let known =
            named.iter().find(|(known, of, _)| known == host && *of == number).map(|(_, _, table)| table.clone());
        let table = known.unwrap_or_else(|| {
            let new = relay(host, Said::new(host.clone(), alias.id), Said::new(number, alias.id), draft);
            named.push((host.clone(), number, new.clone()));
            new
        });
        if let (Table::Relay(name), false) = (table, is_same(host, Some(number))) {
            draft.set(&site, "relay", Written::List(vec![name]), &[alias.id]);
        }
    }
    let mut top = Table::Top;
    if !aliases.is_empty() {
        top = draft.named(Table::Site, "others", &[]);
        draft.set(&Table::Top, "default_site", top.name(), &[]);
        draft.set(&top, "relay", Written::List(vec!["main".to_owned()]), &[]);
    }
    // Whoever has a line of its own has its sender there.
    if !is_listed || aliases.is_empty() {
        let address = format!("{person}@{}", domain.value);
        sender(&top, &address, keeps, &keep_ids, draft);
        match keeps {
            true => draft.ledger.remark("sender", &REVERSE_PATH, format!("a message without From field is from {address} here, whoever sends it; ssmtp takes each caller's name")),
            false => draft.say_all(&keep_ids, "FromLineOverride", &PER_USER, &format!("ssmtp writes each caller's own name into From; here it is {address}")),
        }
    } else if !keeps {
        draft.say_all(
            &keep_ids,
            "FromLineOverride",
            &FROM_FIELD,
            "ssmtp writes the names of users without a line into From; here their own From field stays",
        );
    }
    Ok(())
}

/// The sender of a site, and whether a From field may say otherwise.
fn sender(place: &Table, address: &str, keeps: bool, from: &[Id], draft: &mut Draft) {
    draft.set(place, "from", address, from);
    if !keeps {
        draft.set(place, "sender", Written::List(vec![address.to_owned()]), from);
        draft.set(place, "other_sender", "rewrite", from);
    }
}
