//! Exim as Debian sets it up for a smarthost: `/etc/exim4/update-exim4.conf.conf` and `/etc/exim4/passwd.client`.

use std::path::Path;

use super::draft::code::{
    LOCAL_DELIVERY, LOOKUP, MISREAD, NO_COUNTERPART, PLACEHOLDER, REVERSE_PATH, SERVER, TLS_MODE, UNUSED,
};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written, secret};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "exim",
    title: "Exim (Debian)",
    files: "/etc/exim4/update-exim4.conf.conf, /etc/exim4/passwd.client",
    find,
    read,
};

const MAIN: &str = "/etc/exim4/update-exim4.conf.conf";
const LOGINS: &str = "/etc/exim4/passwd.client";
const MACROS: &str = "/etc/exim4/exim4.conf.localmacros";
const ADDRESSES: &str = "/etc/email-addresses";

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    super::of_everybody(root, &[MAIN, LOGINS])
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let source = asked.main(MAIN)?;
    let settings = settings(&source, draft)?;
    let get = |name: &str| settings.iter().rev().find(|(known, ..)| known == name);
    let kind = get("dc_eximconfig_configtype");
    let is_satellite = kind.is_some_and(|(_, value, _)| value == "satellite");
    let is_smarthost = is_satellite || kind.is_some_and(|(_, value, _)| value == "smarthost");
    draft.ledger.carry(&kind.map(|(_, _, id)| *id).into_iter().collect::<Vec<_>>());
    let hosts = get("dc_smarthost").filter(|(_, value, _)| is_smarthost && !value.is_empty());
    let Some((_, hosts, hosts_id)) = hosts else {
        let why = "this Exim has no smarthost: it delivers to the recipients' servers itself, or nowhere, and mailchute hands \
                   mail to one provider; there is nothing to import";
        return Err(Failure::new(Failing::Data, source.path.display().to_string(), why)
            .hint("choose a provider: `mailchute providers` lists them"));
    };
    let logins = asked.beside(LOGINS)?;
    let is_implicit = asked.beside(MACROS)?.is_some_and(|macros| {
        let is_it = |line: &str| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            name.trim() == "REMOTE_SMTP_SMARTHOST_PROTOCOL" && value.trim() == "smtps"
        };
        macros.text.lines().any(is_it)
    });
    for (at, host) in smarthosts(&source, hosts, *hosts_id, draft)?.into_iter().enumerate() {
        let name = if at == 0 { "smarthost".to_owned() } else { format!("smarthost-{}", at + 1) };
        relay(&name, host, *hosts_id, logins.as_ref(), is_implicit, draft);
    }
    let domain = domain(asked, &settings)?;
    let address = format!("{}@{}", asked.person.name, domain.value);
    draft.set(&Table::Top, "domain", domain.value.as_str(), &domain.from);
    draft.set(&Table::Top, "from", address.as_str(), &domain.from);
    let why = format!(
        "Exim sends from it, with each caller's name; here the From field's address goes first, and {address} where there is none"
    );
    draft.say_all(&domain.from, "sender", &REVERSE_PATH, &why);
    rest(asked, &settings, is_satellite, draft)
}

/// `NAME='VALUE'` of a shell's file.
fn settings(source: &SourceFile, draft: &mut Draft) -> Result<Vec<(String, String, Id)>, Failure> {
    let mut settings = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return Err(wrong(&source.path, number + 1, "is not NAME='VALUE'"));
        };
        let quoted = |quote: char| value.trim().strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        let id = draft.ledger.read(&source.path, number + 1, name);
        let value = quoted('\'').or_else(|| quoted('"')).unwrap_or(value.trim());
        settings.push((name.to_owned(), value.to_owned(), id));
    }
    Ok(settings)
}

/// Host and port of each server. Two colons come before a port; one makes a list of two hosts.
///
/// # Errors
/// `Data`: a port is no number.
fn smarthosts(source: &SourceFile, text: &str, id: Id, draft: &mut Draft) -> Result<Vec<(String, u16)>, Failure> {
    let mut hosts: Vec<(String, u16)> = Vec::new();
    if text.trim().contains(char::is_whitespace) {
        let why = "Exim takes what stands behind a blank for an option, and sends nothing; what was meant is taken";
        draft.ledger.say(id, &MISREAD, why);
    }
    if text.contains('[') {
        let why = "Exim takes the colons of an IPv6 address for the ends of names, and sends nothing; what was meant is taken";
        draft.ledger.say(id, &MISREAD, why);
    }
    let port = |text: &str, draft: &Draft| {
        let why = "what stands behind the two colons of dc_smarthost is no port number, so that Exim finds no host";
        text.trim().parse().map_err(|_| wrong(&source.path, draft.ledger.item(id).line, why))
    };
    for one in text.split(';') {
        let mut left = one.trim();
        while !left.is_empty() {
            let (host, behind) = match left.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
                Some(parts) => parts,
                None => left.split_at(left.find(':').unwrap_or(left.len())),
            };
            let (host, behind) = (host.trim().to_owned(), behind.trim_start());
            left = "";
            if let Some(behind) = behind.strip_prefix("::") {
                let (text, next) = behind.split_once(':').unwrap_or((behind, ""));
                hosts.push((host, port(text, draft)?));
                left = next.trim();
                continue;
            }
            let next = behind.trim_start_matches(':').trim();
            match next.parse() {
                Ok(port) => {
                    let why = format!(
                        "one colon makes two servers of it: Exim tries {host} on port 25, then a host called {port}; port \
                         {port} is what was meant, and is taken (two colons come before a port)"
                    );
                    draft.ledger.say(id, &MISREAD, why);
                    hosts.push((host, port));
                }
                Err(_) => {
                    hosts.push((host, 25));
                    left = next;
                }
            }
        }
    }
    Ok(hosts)
}

fn relay(
    name: &str,
    (host, port): (String, u16),
    id: Id,
    logins: Option<&SourceFile>,
    is_implicit: bool,
    draft: &mut Draft,
) {
    let mut smarthost = Smarthost::new("Exim", name, Said::new(host.clone(), id));
    if is_placeholder(&host) {
        draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
    }
    smarthost.port = Some(Said::new(port, id));
    smarthost.tls.value = if is_implicit { TlsUse::Implicit } else { TlsUse::Opportunistic };
    if port == 465 && !is_implicit {
        smarthost.tls.value = TlsUse::Implicit;
        draft.ledger.say(id, &TLS_MODE, "Exim asks for STARTTLS on 465, where TLS begins at once; that is done here");
    }
    if let Some((user, password, id)) = logins.and_then(|source| login(source, &host, draft)) {
        if is_placeholder(&user) || is_placeholder(&password) {
            draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
        }
        smarthost.username = Some(Said::new(user, id));
        smarthost.secret =
            Some(if password.is_empty() { Said::new(Written::Wanted, id) } else { secret(&password, id) });
    }
    draft.relay(smarthost);
}

/// User and password for `host`: the first line whose name or pattern it is.
fn login(source: &SourceFile, host: &str, draft: &mut Draft) -> Option<(String, String, Id)> {
    let mut found = None;
    for (number, line) in source.text.lines().enumerate() {
        if line.is_empty() || line.starts_with(['#', ' ', '\t']) {
            continue;
        }
        let Some((pattern, rest)) = line.split_once(':') else { continue };
        let id = draft.ledger.read(&source.path, number + 1, "login");
        let pattern = pattern.trim().to_lowercase();
        let host = host.to_lowercase();
        let is_it = match pattern.strip_prefix('*') {
            Some(end) => host.ends_with(end),
            None => pattern == host,
        };
        if !is_it || found.is_some() {
            draft.ledger.say(id, &UNUSED, "it is for another host, or a line before it counts");
            continue;
        }
        let (user, password) = rest.split_once(':').unwrap_or((rest, ""));
        found = Some((user.trim().to_owned(), password.trim_end().to_owned(), id));
    }
    found
}

/// What names get behind their @.
fn domain(asked: &Inquiry<'_>, settings: &[(String, String, Id)]) -> Result<Said<String>, Failure> {
    let get = |name: &str| settings.iter().rev().find(|(known, ..)| known == name);
    let hides = get("dc_hide_mailname").filter(|(_, value, _)| value == "true");
    if let (Some((_, _, one)), Some((_, host, other))) =
        (hides, get("dc_readhost").filter(|(_, host, _)| !host.is_empty()))
    {
        return Ok(Said { value: host.clone(), from: vec![*other, *one] });
    }
    Ok(Said::own(asked.line("/etc/mailname")?.map_or_else(|| asked.host_name(), Ok)?))
}

fn rest(
    asked: &Inquiry<'_>,
    settings: &[(String, String, Id)],
    is_satellite: bool,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let is_here = |word: &str| matches!(word, "127.0.0.1" | "::1" | "::::1" | "[::1]" | "127.0.0.0/8");
    for (name, value, id) in settings {
        if !draft.ledger.is_open(*id) {
            continue;
        }
        let words = || value.split(';').map(str::trim).filter(|word| !word.is_empty());
        match name.as_str() {
            "dc_local_interfaces" | "dc_relay_nets" if words().any(|word| !is_here(word)) => {
                let why =
                    "this Exim also takes mail from other hosts; mailchute is no server: they need their own way out";
                draft.ledger.say(*id, &SERVER, why);
            }
            "dc_relay_domains" if words().next().is_some() => {
                draft.ledger.say(*id, &SERVER, "this Exim takes mail for other domains; mailchute is no server");
            }
            "dc_other_hostnames" if !is_satellite && words().next().is_some() && !asked.gives_all_names() => {
                let why = "mail for users of these domains is put into mailboxes of this host; there are none here: say --alias \
                           '*=ADDRESS'";
                draft.ledger.say(*id, &LOCAL_DELIVERY, why);
            }
            _ if name.starts_with("dc_") || name == "CFILEMODE" => draft.ledger.imply(*id),
            _ => draft.ledger.say(*id, &NO_COUNTERPART, "it is about Exim's own files"),
        }
    }
    if let Some(source) = asked.find(Path::new(ADDRESSES))?.filter(|_| asked.files.is_empty()) {
        for (number, line) in
            source.text.lines().enumerate().filter(|(_, line)| line.contains(':') && !line.starts_with('#'))
        {
            let id = draft.ledger.read(&source.path, number + 1, line.split(':').next().unwrap_or_default());
            draft.ledger.say(id, &LOOKUP, "give this user a site of its own with `user` and `from`");
        }
    }
    super::queue(draft, "Exim", "the queue (mailq)");
    Ok(())
}
