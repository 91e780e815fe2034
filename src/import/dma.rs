//! DragonFly Mail Agent 0.13: `/etc/dma/dma.conf`, the file of logins that it names, and its aliases.

use super::draft::code::{LOCAL_DELIVERY, MISREAD, PLACEHOLDER, REVERSE_PATH, UNUSED};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written, secret};
use super::source::{Inquiry, MailUser, SourceFile, shown, wrong};
use super::{Importable, Program, local};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program =
    Program { name: "dma", title: "dma", files: "/etc/dma/dma.conf, /etc/dma/auth.conf", find, read };

const MAIN: &str = "/etc/dma/dma.conf";
const AUTH: &str = "/etc/dma/auth.conf";
const ALIASES: &str = "/etc/aliases";

/// The words that have a value.
const VALUES: &[&str] = &[
    "SMARTHOST",
    "PORT",
    "ALIASES",
    "SPOOLDIR",
    "AUTHPATH",
    "CERTFILE",
    "MAILNAME",
    "MASQUERADE",
    "FINGERPRINT",
    "DBOUNCEPROG",
];

/// The words that have none.
const FLAGS: &[&str] =
    &["SECURETRANSFER", "STARTTLS", "OPPORTUNISTIC_TLS", "INSECURE", "DEFER", "FULLBOUNCE", "NULLCLIENT", "VERIFYCERT"];

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    super::of_everybody(root, &[MAIN, AUTH])
}

/// The words of the file, the last of each.
struct Words(Vec<(String, String, Id)>);

impl Words {
    fn get(&self, word: &str) -> Option<Said<&str>> {
        self.0.iter().rev().find(|(known, ..)| known == word).map(|(_, value, id)| Said::new(value.as_str(), *id))
    }

    fn has(&self, word: &str) -> bool {
        self.get(word).is_some()
    }

    fn ids(&self, words: &[&str]) -> Vec<Id> {
        words.iter().filter_map(|word| self.get(word)).flat_map(|said| said.from).collect()
    }
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let source = asked.main(MAIN)?;
    let words = words(&source, draft)?;
    let Some(host) = words.get("SMARTHOST") else {
        let why = "there is no SMARTHOST: dma delivers to the recipients' servers itself, and mailchute hands mail to one \
                   provider; there is nothing to import";
        return Err(Failure::new(Failing::Data, source.path.display().to_string(), why)
            .hint("choose a provider: `mailchute providers` lists them"));
    };
    let mail_name = mail_name(asked, &words)?;
    let mut smarthost =
        Smarthost::new("dma", "smarthost", Said { value: host.value.to_owned(), from: host.from.clone() });
    if is_placeholder(host.value) {
        draft.say_all_of(&host.from, &PLACEHOLDER, "looks like what a template has in its place");
    }
    smarthost.port = Some(match words.get("PORT") {
        Some(Said { value, from }) => match value.trim().parse::<u16>() {
            Ok(port) if port > 0 => Said { value: port, from },
            _ => return Err(wrong(&source.path, draft.ledger.item(from[0]).line, "PORT is no number")),
        },
        None => Said::own(25),
    });
    // STARTTLS alone has the server offer it, and does not use it.
    let tls = match (words.has("SECURETRANSFER"), words.has("STARTTLS"), words.has("OPPORTUNISTIC_TLS")) {
        (false, ..) => TlsUse::None,
        (true, false, _) => TlsUse::Implicit,
        (true, true, false) => TlsUse::StartTls,
        (true, true, true) => TlsUse::Opportunistic,
    };
    smarthost.tls = Said { value: tls, from: words.ids(&["SECURETRANSFER", "STARTTLS", "OPPORTUNISTIC_TLS"]) };
    if tls == TlsUse::None && !smarthost.tls.from.is_empty() {
        draft.say_all_of(&smarthost.tls.from, &UNUSED, "without SECURETRANSFER dma does not encrypt");
    }
    smarthost.verifies = words.has("VERIFYCERT");
    draft.say_all_of(&words.ids(&["VERIFYCERT", "INSECURE"]), &super::draft::code::IMPLIED, "");
    if let Some(print) = words.get("FINGERPRINT") {
        draft.fingerprint(&mut smarthost, print);
    }
    if let Some(Said { value, from }) = words.get("CERTFILE") {
        smarthost.more.push(("client_cert", Said { value: Written::from(value), from }));
    }
    if !mail_name.from.is_empty() {
        smarthost
            .more
            .push(("helo", Said { value: Written::from(mail_name.value.as_str()), from: mail_name.from.clone() }));
    }
    login(asked, &words, host.value, &mut smarthost, draft)?;
    draft.relay(smarthost);
    sender(asked, &words, &mail_name, draft);
    names(asked, &words, draft)?;
    for (word, why) in [
        ("DEFER", "nothing is kept unless on_relay_failure = \"spool\" says so"),
        ("FULLBOUNCE", "a bounce has the message's header"),
        ("SPOOLDIR", "messages that wait are kept elsewhere"),
        ("DBOUNCEPROG", "no program is run for bounces"),
    ] {
        for id in words.ids(&[word]) {
            draft.drop(id, why);
        }
    }
    for id in draft.ledger.open_ids() {
        draft.ledger.say(id, &UNUSED, "a later line says otherwise");
    }
    super::queue(draft, "dma", "/var/spool/dma");
    Ok(())
}

fn words(source: &SourceFile, draft: &mut Draft) -> Result<Words, Failure> {
    let mut words = Vec::new();
    for (number, line) in source.text.split('\n').enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let (word, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if word.is_empty() {
            continue;
        }
        let is_right = match value.is_empty() {
            true => FLAGS.contains(&word),
            false => VALUES.contains(&word),
        };
        if !is_right {
            return Err(wrong(&source.path, number + 1, format!("dma refuses the file here: {}", shown(word))));
        }
        let id = draft.ledger.read(&source.path, number + 1, word);
        let meant = value.trim();
        if meant != value {
            draft.ledger.say(
                id,
                &MISREAD,
                "dma takes the blanks around the value for a part of it; the import does not",
            );
        }
        words.push((word.to_owned(), meant.to_owned(), id));
    }
    Ok(Words(words))
}

/// The name that dma has for the host.
fn mail_name(asked: &Inquiry<'_>, words: &Words) -> Result<Said<String>, Failure> {
    let Some(Said { value, from }) = words.get("MAILNAME") else {
        return Ok(Said::own(asked.line("/etc/mailname")?.map_or_else(|| asked.host_name(), Ok)?));
    };
    let in_file = if value.starts_with('/') { asked.line(value)? } else { None };
    let value = match in_file {
        Some(name) => name,
        None if value.starts_with('/') => asked.host_name()?,
        None => value.to_owned(),
    };
    Ok(Said { value, from })
}

/// User and password of the smarthost, by the file of logins; of several lines the last.
fn login(
    asked: &Inquiry<'_>,
    words: &Words,
    host: &str,
    smarthost: &mut Smarthost,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let Some(Said { value, from }) = words.get("AUTHPATH") else { return Ok(()) };
    draft.ledger.carry(&from);
    let Some(source) = asked.beside(value)? else {
        return Err(Failure::new(Failing::NoInput, value, "does not exist, and dma refuses to send without it"));
    };
    let mut found = None;
    for (number, line) in source.text.split('\n').enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, rest) = line.split_once('|').unwrap_or((line, ""));
        let Some((server, password)) = rest.split_once([':', ' ', '\t']) else {
            return Err(wrong(&source.path, number + 1, "is not USER|HOST:PASSWORD"));
        };
        let id = draft.ledger.read(&source.path, number + 1, "login");
        if server == host {
            if let Some((_, _, old)) = found.replace((user.to_owned(), password.to_owned(), id)) {
                draft.ledger.say(old, &UNUSED, "a later line is for the same host");
            }
        } else {
            draft.ledger.say(id, &UNUSED, "it is for another host than SMARTHOST");
        }
    }
    if let Some((_, _, id)) = &found
        && smarthost.tls.value == TlsUse::None
        && !words.has("INSECURE")
    {
        draft.ledger.say(*id, &UNUSED, "without encryption and without INSECURE dma does not log in");
        return Ok(());
    }
    if let Some((user, password, id)) = found {
        if is_placeholder(&user) || is_placeholder(&password) {
            draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
        }
        smarthost.username = Some(Said::new(user, id));
        smarthost.secret =
            Some(if password.is_empty() { Said::new(Written::Wanted, id) } else { secret(&password, id) });
    }
    Ok(())
}

fn sender(asked: &Inquiry<'_>, words: &Words, mail_name: &Said<String>, draft: &mut Draft) {
    let masquerade = words.get("MASQUERADE");
    let (user, host) = match &masquerade {
        Some(Said { value, .. }) => match value.rsplit_once('@') {
            Some((user, host)) => {
                (Some(user).filter(|user| !user.is_empty()), Some(host).filter(|host| !host.is_empty()))
            }
            None => (None, Some(*value)),
        },
        None => (None, None),
    };
    let from = masquerade.as_ref().map(|said| said.from.clone()).unwrap_or_default();
    let (domain, domain_ids) = match host {
        Some(host) => (host, &from),
        None => (mail_name.value.as_str(), &mail_name.from),
    };
    draft.set(&Table::Top, "domain", domain, domain_ids);
    draft.ledger.carry(&mail_name.from);
    let address = format!("{}@{domain}", user.unwrap_or(&asked.person.name));
    draft.set(&Table::Top, "from", address.as_str(), &from);
    draft.own_reverse_path(&from, "dma");
    if user.is_none() {
        let why = format!(
            "a message without From field is from {address} here, whoever sends it; dma takes each caller's name"
        );
        draft.say_all(&from, "sender", &REVERSE_PATH, &why);
    }
}

fn names(asked: &Inquiry<'_>, words: &Words, draft: &mut Draft) -> Result<(), Failure> {
    let (path, ids) = match words.get("ALIASES") {
        Some(Said { value, from }) => (value.to_owned(), from),
        None => (ALIASES.to_owned(), Vec::new()),
    };
    let named = asked.files.iter().find(|file| file.file_name().is_some_and(|name| name == "aliases"));
    let path = named.map_or(path, |file| file.display().to_string());
    match local::take(asked, &path, false, draft)? {
        true => draft.ledger.carry(&ids),
        false => draft.say_all_of(&ids, &UNUSED, "that file does not exist"),
    }
    let is_client = words.has("NULLCLIENT");
    draft.say_all_of(&words.ids(&["NULLCLIENT"]), &super::draft::code::IMPLIED, "");
    let has_names = draft.has(&Table::Alias, "*") || draft.has(&Table::Alias, "root") || asked.gives_all_names();
    if !is_client && !has_names {
        let why =
            "dma puts the mail of local users into /var/mail; there are no mailboxes here: say --alias '*=ADDRESS'";
        draft.ledger.remark("local users", &LOCAL_DELIVERY, why);
    }
    Ok(())
}
