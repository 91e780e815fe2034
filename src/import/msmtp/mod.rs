//! msmtp: `/etc/msmtprc` and the user's own file (msmtp(1), version 1.8).

mod file;
mod login;
mod sender;

use std::path::{Path, PathBuf};

use self::file::Account;
use super::draft::code::{
    CERTIFICATE, EXECUTED, LOG, NO_COUNTERPART, PER_MESSAGE, PLACEHOLDER, RECIPIENTS_SHOWN, UNUSED,
};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written};
use super::source::{Inquiry, MailUser, SourceFile};
use super::{Importable, Program, local};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program =
    Program { name: "msmtp", title: "msmtp", files: "/etc/msmtprc, ~/.msmtprc, ~/.config/msmtp/config", find, read };

/// The host's file.
const SYSTEM: &str = "/etc/msmtprc";

/// The user's own, the first that is there.
fn own(person: &MailUser) -> [PathBuf; 2] {
    [person.home.join(".msmtprc"), person.home.join(".config/msmtp/config")]
}

fn find(root: &Root, person: &MailUser) -> Vec<Importable> {
    let mut found = super::of_everybody(root, &[SYSTEM]);
    let own = own(person).into_iter().find(|file| root.has_file(file));
    found.extend(own.map(|file| Importable { files: vec![file], whom: format!("user {}", person.name) }));
    found
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let sources = sources(asked)?;
    let mut accounts: Vec<Account> = Vec::new();
    // The user's accounts come before those of the host that have the same name.
    for source in sources.iter().rev() {
        for account in file::accounts(source, &mut draft.ledger)? {
            if !accounts.iter().any(|known| known.name == account.name) {
                accounts.push(account);
            }
        }
    }
    let path = sources.last().map_or(Path::new(SYSTEM), |source| source.path.as_path());
    let chosen = chosen(asked, path, &accounts)?;
    let is_alone = chosen.len() == 1;
    for (at, account) in chosen.iter().enumerate() {
        let place = match (is_alone, at) {
            (true, _) => Table::Top,
            (false, 0) => Table::Site("default".to_owned()),
            (false, _) => draft.named(Table::Site, relay_name(account, &accounts), &[account.head]),
        };
        let made = account_of(asked, account, relay_name(account, &accounts), &place, path, draft);
        match made {
            // msmtp looks at the other accounts when one of them is chosen.
            Err(failure) if at > 0 && failure.kind == Failing::Data => {
                draft.ledger.say(
                    account.head,
                    &NO_COUNTERPART,
                    format!("msmtp refuses what goes by it: {}", failure.why),
                );
            }
            made => made?,
        }
    }
    let is_used =
        |id: Id| chosen.iter().any(|account| account.head == id || account.values.values().any(|v| v.1 == id));
    for account in &accounts {
        for (_, id) in account.values.values() {
            if !is_used(*id) {
                let why = format!("account {} is chosen by its name only (--account)", account.name);
                draft.ledger.say(*id, &UNUSED, why);
            }
        }
    }
    for id in draft.ledger.open_ids() {
        if !is_used(id) {
            draft.ledger.say(id, &UNUSED, "a later line, or another account, says otherwise");
        }
    }
    Ok(())
}

/// The host's file, then the user's.
fn sources(asked: &Inquiry<'_>) -> Result<Vec<SourceFile>, Failure> {
    if !asked.files.is_empty() {
        return asked.files.iter().map(|file| asked.read(file)).collect();
    }
    let mut sources: Vec<SourceFile> = asked.find(Path::new(SYSTEM))?.into_iter().collect();
    for file in own(asked.person) {
        if let Some(source) = asked.find(&file)? {
            sources.push(source);
            break;
        }
    }
    match sources.is_empty() {
        true => Err(Failure::new(Failing::NoInput, SYSTEM, "does not exist, nor has the user a file of its own")),
        false => Ok(sources),
    }
}

/// The accounts that are used, the default one first: msmtp takes another where `-f` is its `from`.
fn chosen<'a>(asked: &Inquiry<'_>, path: &Path, accounts: &'a [Account]) -> Result<Vec<&'a Account>, Failure> {
    let names = || accounts.iter().map(|account| account.name.as_str()).collect::<Vec<_>>().join(", ");
    let name = asked.account.unwrap_or("default");
    let Some(first) = accounts.iter().find(|account| account.name == name) else {
        let failure = refused(path, format!("there is no account {name:?}"));
        return Err(failure.hint(format!("say --account with one of {}", names())));
    };
    let mut chosen = vec![first];
    if asked.account.is_none() {
        let from =
            |account: &Account| account.get("from").map(|(from, _)| from.to_lowercase()).filter(|f| f.contains('@'));
        for account in accounts {
            let is_new = chosen.iter().all(|known| from(known) != from(account));
            let is_reached = asked.all || (from(account).is_some() && is_new);
            if is_reached && account.name != first.name && !is_same(account, first) {
                chosen.push(account);
            }
        }
    }
    Ok(chosen)
}

/// Whether both say the same.
fn is_same(one: &Account, other: &Account) -> bool {
    let said = |account: &Account| {
        account.values.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    said(one) == said(other)
}

/// The name for an account's relay: `account default : shop` is called like the one that it stands for.
fn relay_name<'a>(account: &'a Account, accounts: &'a [Account]) -> &'a str {
    let other = accounts.iter().find(|other| other.name != account.name && is_same(other, account));
    if account.name == "default" { other.map_or("default", |other| &other.name) } else { &account.name }
}

fn account_of(
    asked: &Inquiry<'_>,
    account: &Account,
    name: &str,
    place: &Table,
    path: &Path,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let host = account.get("socket").filter(|(socket, _)| !socket.is_empty()).or_else(|| account.get("host"));
    let Some((host, id)) = host else {
        return Err(refused(path, format!("account {} has no host", account.name)));
    };
    let mut smarthost = Smarthost::new("msmtp", name, Said::new(asked.expanded(host), id));
    placeholders(account, draft);
    let is_tls = account.is_on("tls", false);
    let is_later = account.is_on("tls_starttls", true);
    let ids: Vec<Id> = ["tls", "tls_starttls"].iter().filter_map(|key| account.get(key)).map(|(_, id)| id).collect();
    let tls = match (is_tls, is_later) {
        (false, _) => TlsUse::None,
        (true, true) => TlsUse::StartTls,
        (true, false) => TlsUse::Implicit,
    };
    smarthost.tls = Said { value: tls, from: ids };
    let is_lmtp = account.get("protocol").is_some_and(|(protocol, _)| protocol == "lmtp");
    smarthost.port = match account.get("port") {
        Some((port, id)) => port.trim().parse().ok().map(|port| Said::new(port, id)),
        None if is_lmtp && !host.starts_with('/') => {
            return Err(refused(path, format!("account {} has no port, which LMTP needs", account.name)));
        }
        None => Some(Said::own(if tls == TlsUse::Implicit { 465 } else { 25 })),
    };
    if host.starts_with('/') {
        if let Some((_, id)) = account.get("port").or_else(|| account.get("host")) {
            draft.ledger.say(id, &UNUSED, "msmtp connects to the socket");
        }
        smarthost.port = None;
    }
    login::of(asked, account, &mut smarthost, draft);
    trust(asked, account, &mut smarthost, is_tls, path, draft)?;
    for (key, (value, id)) in &account.values {
        plain(asked, key, value, *id, &mut smarthost, draft)?;
    }
    let relay = draft.relay(smarthost);
    if !matches!(place, Table::Top) {
        let Table::Relay(name) = &relay else { return Ok(()) };
        draft.set(place, "relay", Written::List(vec![name.clone()]), &[account.head]);
    }
    sender::of(asked, account, place, draft)
}

/// What msmtp refuses without naming a line.
fn refused(path: &Path, why: String) -> Failure {
    Failure::new(Failing::Data, path.display().to_string(), why)
}

/// What stands in a template.
fn placeholders(account: &Account, draft: &mut Draft) {
    for key in ["host", "user", "password", "from", "domain", "maildomain"] {
        if let Some((value, id)) = account.get(key)
            && is_placeholder(value)
        {
            draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
        }
    }
}

/// Whom it trusts.
fn trust(
    asked: &Inquiry<'_>,
    account: &Account,
    smarthost: &mut Smarthost,
    is_tls: bool,
    path: &Path,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let print = account.get("tls_fingerprint").filter(|(print, _)| !print.is_empty());
    let is_checked = account.is_on("tls_certcheck", true);
    let file = account.get("tls_trust_file");
    if !is_tls {
        let ids =
            ["tls_fingerprint", "tls_certcheck", "tls_trust_file", "tls_cert_file", "tls_key_file", "tls_crl_file"];
        for (_, id) in ids.iter().filter_map(|key| account.get(key)) {
            draft.ledger.say(id, &UNUSED, "tls is off");
        }
        return Ok(());
    }
    if let Some((_, id)) = account.get("tls_certcheck") {
        match is_checked {
            true => draft.ledger.imply(id),
            false => {
                let host = &smarthost.host.value;
                let why = format!(
                    "msmtp does not verify the certificate of {host}; mailchute always does. If it is the server's own, \
                     add fingerprint = \"...\" or ca_file = \"...\""
                );
                draft.ledger.say(id, &CERTIFICATE, why);
            }
        }
    }
    if let Some((print, id)) = print {
        draft.fingerprint(smarthost, Said::new(print, id));
    }
    match file {
        Some(("", _)) if print.is_none() && is_checked => {
            return Err(refused(
                path,
                format!("account {} has neither tls_trust_file nor tls_fingerprint", account.name),
            ));
        }
        Some(("", id)) => draft.ledger.imply(id),
        Some((_, id)) if print.is_some() || !is_checked => {
            draft.ledger.say(id, &UNUSED, "msmtp looks at the fingerprint, or at nothing");
        }
        Some((file, id)) => draft.ca_file(smarthost, Said::new(asked.expanded(file), id)),
        None => {}
    }
    let (cert, key) = (account.get("tls_cert_file"), account.get("tls_key_file"));
    match (cert.filter(|(file, _)| !file.is_empty()), key.filter(|(file, _)| !file.is_empty())) {
        (Some((cert, one)), Some((key, other))) => {
            let value = Written::Certificate(asked.expanded(cert), asked.expanded(key));
            smarthost.more.push(("client_cert", Said { value, from: vec![one, other] }));
        }
        (None, None) => {}
        _ => {
            return Err(refused(path, format!("account {} has one of tls_cert_file and tls_key_file", account.name)));
        }
    }
    Ok(())
}

/// The commands that stand for themselves.
fn plain(
    asked: &Inquiry<'_>,
    key: &str,
    value: &str,
    id: Id,
    smarthost: &mut Smarthost,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let text = |value: &str| Said::new(Written::from(value), id);
    match key {
        _ if !draft.ledger.is_open(id) => {}
        "protocol" if value == "lmtp" => smarthost.more.push(("protocol", text("lmtp"))),
        "protocol" => draft.ledger.imply(id),
        "timeout" if value == "off" => draft.drop(id, "here the deadline (30 s) always counts"),
        "timeout" => match value.trim().parse::<u32>() {
            Ok(seconds) if seconds <= 86_400 => smarthost.more.push(("connect_timeout", text(&format!("{seconds}s")))),
            _ => draft.drop(id, "longer than a day"),
        },
        "source_ip" if value.is_empty() => draft.ledger.imply(id),
        "source_ip" => smarthost.more.push(("source", text(value))),
        "socket" => draft.ledger.imply(id),
        "proxy_host" if value.is_empty() => draft.ledger.imply(id),
        "proxy_host" => {
            let host =
                if value.contains(':') && !value.starts_with('[') { format!("[{value}]") } else { value.to_owned() };
            smarthost.more.push(("proxy", text(&format!("socks5://{host}:1080"))));
        }
        "proxy_port" => proxy_port(value, id, smarthost, draft),
        "domain" if value.is_empty() || is_placeholder(value) => draft.ledger.imply(id),
        "domain" => smarthost.more.push(("helo", text(value))),
        "aliases" if value.is_empty() => draft.ledger.imply(id),
        "aliases" => match local::take(asked, &asked.expanded(value), true, draft)? {
            true => draft.ledger.carry(&[id]),
            false => draft.drop(id, "that file does not exist"),
        },
        "logfile" | "syslog" => log(asked, key, value, id, draft),
        "dsn_notify" | "dsn_return" if value == "off" => draft.ledger.imply(id),
        "dsn_notify" | "dsn_return" => {
            draft.ledger.say(id, &PER_MESSAGE, "say -N and -R with each message that wants it");
        }
        "undisclosed_recipients" if matches!(value, "" | "on") => {
            draft.ledger.say(id, &RECIPIENTS_SHOWN, "To and Cc go out as they are here");
        }
        "remove_bcc_headers" if value == "off" => draft.drop(id, "Bcc is always removed here"),
        "tls_crl_file" | "tls_host_override" if !value.is_empty() => {
            draft.ledger.say(
                id,
                &CERTIFICATE,
                "certificates are verified for the host's own name, without a revocation list",
            );
        }
        "tls_priorities" | "tls_min_dh_prime_bits" if !value.is_empty() => {
            draft.drop(id, "TLS 1.2 and 1.3 with safe ciphers are used");
        }
        "logfile_time_format" => draft.drop(id, "records have RFC 3339 times"),
        "eval" => draft.ledger.say(id, &EXECUTED, "it is not run here: put what it prints in its place"),
        "set_date_header" | "add_missing_date_header" if value == "off" => {
            draft.drop(id, "a missing field is always added here");
        }
        "set_date_header"
        | "set_msgid_header"
        | "add_missing_date_header"
        | "remove_bcc_headers"
        | "undisclosed_recipients"
        | "tls_crl_file"
        | "tls_host_override"
        | "tls_priorities"
        | "tls_min_dh_prime_bits"
        | "tls_force_sslv3" => draft.ledger.imply(id),
        _ => {}
    }
    Ok(())
}

fn proxy_port(value: &str, id: Id, smarthost: &mut Smarthost, draft: &mut Draft) {
    let proxy = smarthost.more.iter_mut().find(|(key, _)| *key == "proxy");
    match proxy {
        Some((_, Said { value: Written::Text(url), from })) if !value.is_empty() => {
            let host = url.rsplit_once(':').map_or("", |(host, _)| host);
            *url = format!("{host}:{}", value.trim());
            from.push(id);
        }
        _ => draft.ledger.imply(id),
    }
}

fn log(asked: &Inquiry<'_>, key: &str, value: &str, id: Id, draft: &mut Draft) {
    let target = match (key, value) {
        ("syslog", "off") | ("logfile", "") => return draft.ledger.imply(id),
        ("syslog", _) => "syslog".to_owned(),
        (_, "-") => return draft.ledger.say(id, &NO_COUNTERPART, "standard output is not written to"),
        (_, "/dev/stderr") => "stderr".to_owned(),
        (_, path) => asked.expanded(path),
    };
    if target != "stderr" && target != "syslog" && !target.starts_with('/') {
        return draft.drop(id, "a path that depends on the working directory");
    }
    draft.log(&target, id);
    draft.ledger.say(id, &LOG, "the lines are JSON records of our own; `mailchute log` reads them");
}
