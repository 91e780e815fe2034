//! Nextcloud 25 and later: `config/config.php` with the files beside it, or what `occ config:list system --private` prints.

use std::path::Path;

use super::application::{self, Settings};
use super::draft::code::{CERTIFICATE, COMPUTED, IMPLIED, NO_COUNTERPART, UNUSED};
use super::draft::{Draft, Said, Smarthost, TlsUse, Written};
use super::literal::{Entry, Literal, php};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "nextcloud",
    title: "Nextcloud",
    files: "config/config.php and *.config.php beside it, or what `occ config:list system --private` prints",
    find,
    read,
};

const MAIN: &[&str] = &["config/config.php", "nextcloud/config/config.php", "config.php"];

/// Settings that are about something else than the way out.
const OTHERS: &[&str] = &["mail_smtpdebug", "mail_send_plaintext_only", "mail_template_class", "mail_domain_aliases"];

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    application::find(root, &MAIN[..2], |text| text.contains("$CONFIG") && text.contains("mail_"))
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let found = if asked.files.is_empty() { find(asked.root, asked.person) } else { Vec::new() };
    let main = application::main(asked, "nextcloud", MAIN, &found)?;
    let mut settings = Settings::of("Nextcloud");
    take(&main, &mut settings, draft)?;
    let directory = main.path.parent().unwrap_or(Path::new("/"));
    for name in asked.root.list(directory).unwrap_or_default() {
        let is_more = name.to_str().is_some_and(|name| name.ends_with(".config.php"));
        if let Some(source) = asked.find(&directory.join(&name))?.filter(|source| is_more && source.path != main.path) {
            take(&source, &mut settings, draft)?;
        }
    }
    let mode = settings.word(draft, "mail_smtpmode").unwrap_or(Said::own("smtp".to_owned()));
    if matches!(mode.value.as_str(), "sendmail" | "qmail" | "null") {
        let why = match mode.value.as_str() {
            "null" => "mail_smtpmode is null: Nextcloud sends nothing, and there is nothing to import",
            _ => "mail_smtpmode is sendmail: Nextcloud calls sendmail already, and there is nothing to import",
        };
        return Err(settings.wrong("mail_smtpmode", why).hint("set up a relay: sudo mailchute init"));
    }
    draft.ledger.carry(&mode.from);
    server(&settings, draft)?;
    sender(&settings, draft);
    settings.leave(draft, &["mail_sendmailmode"], "it is for mail_smtpmode sendmail");
    for key in OTHERS {
        for id in settings.ids(&[key]) {
            draft.ledger.say(id, &NO_COUNTERPART, "it is about what Nextcloud writes, not about the way out");
        }
    }
    application::switch(
        draft,
        "Nextcloud",
        "occ config:system:set mail_smtpmode --value=sendmail, and mail_sendmailmode --value=pipe",
    );
    Ok(())
}

/// The mail settings of a file.
fn take(source: &SourceFile, settings: &mut Settings, draft: &mut Draft) -> Result<(), Failure> {
    let table = if source.text.trim_start().starts_with('{') {
        let value: serde_json::Value =
            serde_json::from_str(&source.text).map_err(|error| wrong(&source.path, error.line(), "is no JSON"))?;
        let value = value.get("system").cloned().unwrap_or(value);
        Some(Literal::of_json(&value))
    } else {
        let statements = php::read(&source.text).map_err(|(line, why)| wrong(&source.path, line, why))?;
        for (key, line) in php::conditional(&statements, "CONFIG").filter(|(key, _)| key.starts_with("mail_")) {
            application::under_condition(draft, source, line, &key);
        }
        php::variable(&statements, "CONFIG")
    };
    let Some(Literal::Table(entries)) = table else {
        let why = "$CONFIG is not set to an array that can be read without running it";
        return Err(Failure::new(Failing::Data, source.path.display().to_string(), why)
            .hint("occ config:list system --private prints it: name that file"));
    };
    for entry in entries.into_iter().filter(|entry| entry.key.starts_with("mail_") || entry.key == "overwrite.cli.url")
    {
        let key = entry.key.clone();
        if key != "overwrite.cli.url" || helo(&entry.value).is_some() {
            settings.put(draft, &source.path, &key, entry);
        }
    }
    Ok(())
}

/// The host's name in `overwrite.cli.url`, by which Nextcloud greets.
fn helo(value: &Literal) -> Option<String> {
    let text = value.as_text()?;
    let (_, rest) = text.split_once("://")?;
    let host = rest.split(['/', ':', '?', '#']).next()?;
    let is_name = host.contains('.') && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    is_name.then(|| host.to_owned())
}

/// What PHP takes for true; `None`: that is known only when it runs.
fn flag(value: &Literal) -> Option<bool> {
    match value {
        Literal::Flag(flag) => Some(*flag),
        Literal::Number(number) => Some(*number != 0),
        Literal::Text(text) => Some(!text.is_empty() && **text != "0"),
        Literal::Null => Some(false),
        Literal::Table(_) | Literal::Variable(..) | Literal::Code => None,
    }
}

fn server(settings: &Settings, draft: &mut Draft) -> Result<(), Failure> {
    let host = match settings.get("mail_smtphost") {
        Some(_) => settings.host(draft, "mail_smtphost", "mail_smtphost")?,
        None => Said::own("127.0.0.1".to_owned()),
    };
    let mut smarthost = Smarthost::new("Nextcloud", "main", host);
    let port = settings.port(draft, "mail_smtpport")?.unwrap_or(Said::own(25));
    let secure = settings.word(draft, "mail_smtpsecure").unwrap_or(Said::own(String::new()));
    // Anything but ssl leaves it to the port, and to what the server offers.
    let tls = match (secure.value.as_str(), port.value) {
        ("ssl", _) | (_, 465) => TlsUse::Implicit,
        _ => TlsUse::Opportunistic,
    };
    smarthost.tls = Said { value: tls, from: secure.from };
    smarthost.port = Some(port);
    login(settings, &mut smarthost, draft);
    if let Some(Said { value, from }) = settings.text(draft, "mail_smtptimeout") {
        match value.parse::<u32>() {
            Ok(seconds) if seconds > 0 => {
                smarthost.more.push(("connect_timeout", Said { value: Written::Text(format!("{seconds}s")), from }));
            }
            _ => return Err(settings.wrong("mail_smtptimeout", "mail_smtptimeout is no number of seconds")),
        }
    }
    if let Some((value, id)) = settings.get("overwrite.cli.url")
        && let Some(name) = helo(value)
    {
        smarthost.more.push(("helo", Said::new(Written::Text(name), id)));
    }
    if let Some((value, id)) = settings.get("mail_smtpstreamoptions") {
        let is_off = |key: &str| value.at(&["ssl", key]).is_some_and(|entry| flag(&entry.value) == Some(false));
        let is_on = |key: &str| value.at(&["ssl", key]).is_some_and(|entry| flag(&entry.value) == Some(true));
        let known = ["verify_peer", "verify_peer_name", "allow_self_signed"];
        let rest = value.leaves();
        let is_known = |entry: &Entry| known.iter().any(|key| entry.key == format!("ssl.{key}"));
        if is_off("verify_peer") || is_off("verify_peer_name") || is_on("allow_self_signed") {
            let why = "the certificate is not looked at there, and always is here; if it is the server's own: fingerprint or ca_file";
            draft.ledger.say(id, &CERTIFICATE, why);
        } else if rest.iter().all(is_known) {
            draft.ledger.imply(id);
        }
        if !rest.iter().all(is_known) {
            draft.ledger.say(id, &COMPUTED, "it holds options of PHP's streams that have no counterpart");
        }
    }
    draft.relay(smarthost);
    Ok(())
}

fn login(settings: &Settings, smarthost: &mut Smarthost, draft: &mut Draft) {
    let keys = ["mail_smtpname", "mail_smtppassword", "mail_smtpauthtype"];
    let Some((value, id)) = settings.get("mail_smtpauth") else {
        settings.leave(draft, &keys, "Nextcloud does not log in without mail_smtpauth");
        return;
    };
    match flag(value) {
        Some(true) => draft.ledger.carry(&[id]),
        Some(false) => {
            draft.ledger.carry(&[id]);
            settings.leave(draft, &keys, "mail_smtpauth is off, and Nextcloud does not log in");
            return;
        }
        None => draft.ledger.say(id, &COMPUTED, "it is known only when Nextcloud runs; it is taken for on"),
    }
    settings.login(draft, smarthost, keys[0], keys[1]);
    if let Some(Said { value, from }) = settings.text(draft, keys[2]) {
        match smarthost.logs_in() {
            true => smarthost.auth = Said { value: vec![value.to_string()], from },
            false => draft.say_all_of(&from, &IMPLIED, ""),
        }
    }
}

fn sender(settings: &Settings, draft: &mut Draft) {
    let (local, domain) = (settings.text(draft, "mail_from_address"), settings.text(draft, "mail_domain"));
    match (local, domain) {
        (Some(local), Some(domain)) => {
            let value = format!("{}@{}", local.value.trim(), domain.value.trim()).into();
            let from = [local.from, domain.from].concat();
            application::sender(draft, Some(Said { value, from }), None);
        }
        (Some(Said { from, .. }), None) => {
            draft.say_all_of(&from, &COMPUTED, "without mail_domain the domain is that of the page that was asked for");
        }
        (None, Some(Said { from, .. })) => {
            draft.say_all_of(&from, &UNUSED, "without mail_from_address each part of Nextcloud has a name of its own");
        }
        (None, None) => {}
    }
}
