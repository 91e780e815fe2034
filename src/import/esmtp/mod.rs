//! esmtp 1.2: `~/.esmtprc`, else `/etc/esmtprc` (esmtprc(5)). Settings before the first `identity` are the default one's.

mod lexer;

use std::path::PathBuf;

use self::lexer::{Word, WordKind, words};
use super::draft::code::{
    ADDRESS, COMPUTED, EXECUTED, LOCAL_DELIVERY, MISREAD, PASSWORD, PER_USER, PLACEHOLDER, PORT, REVERSE_PATH, UNUSED,
};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written, secret};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program};
use crate::address::parse_address;
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program =
    Program { name: "esmtp", title: "esmtp", files: "~/.esmtprc, else /etc/esmtprc", find, read };

const SYSTEM: &str = "/etc/esmtprc";

fn own(person: &MailUser) -> PathBuf {
    person.home.join(".esmtprc")
}

fn find(root: &Root, person: &MailUser) -> Vec<Importable> {
    let mut found = super::of_everybody(root, &[SYSTEM]);
    let own = Some(own(person)).filter(|file| root.has_file(file));
    found.extend(own.map(|file| Importable { files: vec![file], whom: format!("user {}", person.name) }));
    found
}

/// One sender's settings.
struct Identity {
    address: Option<Said<String>>,
    /// Key and value, in order.
    settings: Vec<(&'static str, String, Id)>,
}

impl Identity {
    fn get(&self, key: &str) -> Option<Said<String>> {
        let last = self.settings.iter().rev().find(|(known, ..)| *known == key);
        last.map(|(_, value, id)| Said::new(value.clone(), *id))
    }

    fn ids(&self, keys: &[&str]) -> Vec<Id> {
        self.settings.iter().filter(|(known, ..)| keys.contains(known)).map(|(.., id)| *id).collect()
    }
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let source = match (asked.files.is_empty(), asked.find(&own(asked.person))?) {
        (true, Some(source)) => source,
        _ => asked.main(SYSTEM)?,
    };
    let file = File::read(&source, draft)?;
    if let Some(mda) = file.get("force_mda") {
        draft.ledger.say(mda.from[0], &LOCAL_DELIVERY, "all mail is put into a mailbox");
        let why =
            "force_mda puts all mail into a mailbox of this host: nothing is sent, and there is nothing to import";
        return Err(Failure::new(Failing::Data, source.path.display().to_string(), why)
            .hint("choose a provider: `mailchute providers` lists them"));
    }
    let default = &file.identities[file.default];
    // Of two with one address the program takes the later one.
    let mut others: Vec<&Identity> = Vec::new();
    for identity in file.identities.iter().rev() {
        let Some(address) = &identity.address else { continue };
        match others.iter().any(|known| known.address.as_ref().is_some_and(|a| a.value == address.value)) {
            true => draft.say_all_of(&address.from, &UNUSED, "a later identity has the same address"),
            false => others.insert(0, identity),
        }
    }
    // The default one's address leads to itself.
    others.retain(|identity| !std::ptr::eq(*identity, default));
    if let Some(address) = &default.address {
        draft.ledger.carry(&address.from);
    }
    let is_alone = others.is_empty();
    let place = if is_alone { Table::Top } else { Table::Site("default".to_owned()) };
    account(asked, default, &place, draft);
    for identity in others {
        let Some(address) = &identity.address else { continue };
        if !is_address(&address.value) {
            draft.say_all_of(&address.from, &ADDRESS, "is no address that -f could say");
            continue;
        }
        let name = address.value.split('@').next().unwrap_or_default();
        let site = draft.named(Table::Site, name, &address.from);
        draft.set(&site, "sender", Written::List(vec![address.value.clone()]), &address.from);
        draft.set(&site, "other_sender", "pass", &[]);
        account(asked, identity, &site, draft);
        draft.set(&site, "from", address.value.as_str(), &address.from);
    }
    if let Some(Said { from, .. }) = file.get("mda") {
        let completes = file.identities.iter().any(|identity| identity.get("qualifydomain").is_some());
        match asked.gives_all_names() || completes {
            true => draft.ledger.imply(from[0]),
            false => {
                let why = "mail to names without a domain is given to this program; there are no mailboxes here: say --alias \
                           '*=ADDRESS'";
                draft.ledger.say(from[0], &LOCAL_DELIVERY, why);
            }
        }
    }
    for id in draft.ledger.open_ids() {
        draft.ledger.say(id, &UNUSED, "a later line, or another identity, says otherwise");
    }
    Ok(())
}

/// The file as its grammar has it.
struct File {
    identities: Vec<Identity>,
    default: usize,
    global: Vec<(&'static str, String, Id)>,
}

impl File {
    fn get(&self, key: &str) -> Option<Said<String>> {
        self.global.iter().rev().find(|(known, ..)| *known == key).map(|(_, text, id)| Said::new(text.clone(), *id))
    }

    fn read(source: &SourceFile, draft: &mut Draft) -> Result<Self, Failure> {
        let last_line = source.text.lines().count().max(1);
        let mut words = words(&source.text).into_iter().peekable();
        let mut file =
            Self { identities: vec![Identity { address: None, settings: Vec::new() }], default: 0, global: Vec::new() };
        let (mut default, mut needs_more) = (None, false);
        while let Some(word) = words.next() {
            let refused = |line| wrong(&source.path, line, "esmtp refuses the file here");
            let WordKind::Known(mut key) = word.kind else { return Err(refused(word.line)) };
            if key == "identity" && needs_more {
                return Err(refused(word.line));
            }
            needs_more = key == "identity" && file.identities.len() > 1;
            let current = file.identities.len() - 1;
            if key == "default" {
                let id = draft.ledger.read(&source.path, word.line, key);
                draft.ledger.carry(&[id]);
                default = Some(current);
                continue;
            }
            if key == "force" {
                key = match words.next() {
                    Some(Word { kind: WordKind::Known("reverse_path"), .. }) => "force reverse_path",
                    Some(Word { kind: WordKind::Known("sender"), .. }) => "force sender",
                    other => return Err(refused(other.map_or(last_line, |word| word.line))),
                };
            }
            words.next_if(|word| word.kind == WordKind::Equals);
            let next = words.next();
            let line = next.as_ref().map_or(last_line, |word| word.line);
            let (value, reads_on) = match (key, next.map(|word| word.kind)) {
                ("starttls", Some(WordKind::Known(value @ ("disabled" | "enabled" | "required"))))
                | ("message_id", Some(WordKind::Known(value @ ("disabled" | "enabled")))) => (value.to_owned(), false),
                ("starttls" | "message_id" | "disabled" | "enabled" | "required" | "reverse_path" | "sender", _) => {
                    return Err(refused(line));
                }
                (_, Some(WordKind::Text(value, reads_on))) => (value, reads_on),
                (_, Some(WordKind::Number)) => {
                    return Err(refused(line).hint("esmtp takes a value of digits alone in quotes only"));
                }
                _ => return Err(refused(line)),
            };
            let id = draft.ledger.read(&source.path, word.line, key);
            if reads_on {
                let why = "the escape at its end makes esmtp read on behind it; the import takes what stands there";
                draft.ledger.say(id, &MISREAD, why);
            }
            match key {
                "identity" => {
                    let address = Some(Said::new(value, id));
                    file.identities.push(Identity { address, settings: Vec::new() });
                }
                "mda" | "force_mda" => file.global.push((key, value, id)),
                _ => {
                    default = default.or(Some(current));
                    file.identities[current].settings.push((key, value, id));
                }
            }
        }
        if needs_more {
            return Err(wrong(&source.path, last_line, "esmtp refuses the file here: an identity without settings"));
        }
        file.default = default.unwrap_or(file.identities.len() - 1);
        Ok(file)
    }
}

/// Host and port of `hostname`; the port is a number or a service's name.
fn server(said: Option<Said<String>>, draft: &mut Draft) -> (Said<String>, Said<u16>) {
    let Some(Said { value, from }) = said else {
        return (Said::own("localhost".to_owned()), Said::own(25));
    };
    let (host, service) = value.split_once(':').map_or((value.as_str(), None), |(host, port)| (host, Some(port)));
    let port = match service {
        None | Some("submission") => 587,
        Some("smtp") => 25,
        Some("smtps" | "submissions" | "ssmtp") => 465,
        Some(number) => number.parse().unwrap_or_else(|_| {
            draft.say_all_of(&from, &PORT, "that service is not known here, and 587 is taken");
            587
        }),
    };
    (Said { value: host.to_owned(), from: from.clone() }, Said { value: port, from })
}

fn account(asked: &Inquiry<'_>, identity: &Identity, place: &Table, draft: &mut Draft) {
    let host = identity.get("hostname");
    for (key, value, id) in &identity.settings {
        if is_placeholder(value) && !["starttls", "message_id", "preconnect", "postconnect"].contains(key) {
            draft.ledger.say(*id, &PLACEHOLDER, "looks like what a template has in its place");
        }
    }
    let name = match place {
        Table::Site(name) => name.clone(),
        _ => "main".to_owned(),
    };
    let (host, port) = server(host, draft);
    let mut smarthost = Smarthost::new("esmtp", &name, host);
    smarthost.port = Some(port);
    if let Some(Said { value, from }) = identity.get("starttls") {
        let tls = match value.as_str() {
            "enabled" => TlsUse::Opportunistic,
            "required" => TlsUse::StartTls,
            _ => TlsUse::None,
        };
        smarthost.tls = Said { value: tls, from };
    }
    match (identity.get("username"), identity.get("password")) {
        (Some(user), password) if user.value.is_empty() => {
            let from = [user.from, password.map(|said| said.from).unwrap_or_default()].concat();
            draft.say_all_of(&from, &PASSWORD, "the user is empty: esmtp logs in without a name");
        }
        (Some(user), password) => {
            smarthost.secret = Some(match password {
                Some(Said { value, from }) if !value.is_empty() => secret(&value, from[0]),
                said => {
                    let from = said.map_or_else(|| user.from.clone(), |said| said.from);
                    draft.say_all_of(&from, &PASSWORD, "there is a user and no password");
                    Said { value: Written::Wanted, from }
                }
            });
            smarthost.username = Some(user);
        }
        (None, Some(password)) => {
            draft.say_all_of(
                &password.from,
                &PASSWORD,
                "there is a password and no user: esmtp logs in without a name",
            );
        }
        (None, None) => {}
    }
    match identity.get("helo") {
        Some(Said { value, from }) if is_address(&format!("x@{value}")) => {
            smarthost.more.push(("helo", Said { value: Written::Text(value), from }));
        }
        Some(Said { from, .. }) => draft.say_all_of(&from, &ADDRESS, "is no name of a host"),
        None => {}
    }
    let relay = draft.relay(smarthost);
    if let Table::Site(_) = place {
        draft.set(place, "relay", Written::List(vec![relay.name().to_owned()]), &[]);
    }
    sender(asked, identity, place, draft);
    for id in identity.ids(&["preconnect", "postconnect"]) {
        draft.ledger.say(id, &EXECUTED, "no program is run around a connection here");
    }
    for (key, value, id) in &identity.settings {
        match (*key, value.as_str()) {
            ("message_id", "disabled") => draft.drop(*id, "a missing Message-ID is always added here"),
            ("message_id", _) => draft.ledger.imply(*id),
            ("certificate_passphrase", _) => {
                draft.drop(*id, "a client's certificate is said by client_cert, with a key that has no passphrase");
            }
            ("force sender", _) => draft.drop(*id, "no Sender field is written here"),
            _ => {}
        }
    }
}

/// Whether it is an address with a domain.
fn is_address(text: &str) -> bool {
    parse_address(text).is_ok_and(|address| address.domain.is_some())
}

fn sender(asked: &Inquiry<'_>, identity: &Identity, place: &Table, draft: &mut Draft) {
    match identity.get("qualifydomain") {
        Some(Said { value, from }) if is_address(&format!("x@{value}")) => {
            draft.set(place, "domain", value.as_str(), &from);
            let why = "esmtp completes recipients alone; here a caller's name as the sender gets it, too";
            draft.say_all_of(&from, &REVERSE_PATH, why);
        }
        Some(Said { from, .. }) => draft.say_all_of(&from, &ADDRESS, "is no domain"),
        None => {}
    }
    let Some(Said { value, from }) = identity.get("force reverse_path") else {
        return;
    };
    let mut address = String::new();
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match (c, c == '%') {
            (_, false) => address.push(c),
            _ => match rest.next() {
                Some('u') => {
                    let why = format!("%u was each caller's own name; here it is {}", asked.person.name);
                    draft.say_all_of(&from, &PER_USER, &why);
                    address.push_str(&asked.person.name);
                }
                Some('%') => address.push('%'),
                _ => return draft.say_all_of(&from, &COMPUTED, "only %u and %% are known"),
            },
        }
    }
    if !is_address(&address) {
        return draft.say_all_of(&from, &ADDRESS, "is no whole address; say from = \"...\"");
    }
    draft.set(place, "from", address.as_str(), &from);
    draft.own_reverse_path(&from, "esmtp");
}
