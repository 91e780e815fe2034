//! Drupal: what `settings.php` overrides of the SMTP module, of Symfony Mailer's transports or of core's own DSN; or what
//! `drush config:get smtp.settings --format=json` prints.

use zeroize::Zeroizing;

use super::application::{self, Settings};
use super::draft::code::{CERTIFICATE, COMPUTED, IMPLIED, NO_COUNTERPART};
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written};
use super::literal::{Entry, Literal, php};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "drupal",
    title: "Drupal",
    files: "sites/default/settings.php, and what `drush config:get smtp.settings --format=json` prints",
    find,
    read,
};

const MAIN: &[&str] = &["sites/default/settings.php", "web/sites/default/settings.php", "settings.php"];

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    application::find(root, &MAIN[..2], |text| {
        text.contains("smtp_host") || text.contains("mailer_transport") || text.contains("mailer_dsn")
    })
}

/// The server that is set, by whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The SMTP module, on PHPMailer.
    Module,
    /// Symfony's SMTP transport, below these keys.
    Symfony {
        host: &'static str,
        port: &'static str,
        username: &'static str,
        password: &'static str,
        options: &'static str,
    },
}

const TRANSPORT: Way = Way::Symfony {
    host: "transport.configuration.host",
    port: "transport.configuration.port",
    username: "transport.configuration.user",
    password: "transport.configuration.pass",
    options: "transport.configuration.query.",
};

const CORE: Way = Way::Symfony {
    host: "mailer_dsn.host",
    port: "mailer_dsn.port",
    username: "mailer_dsn.user",
    password: "mailer_dsn.password",
    options: "mailer_dsn.options.",
};

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let found = if asked.files.is_empty() { find(asked.root, asked.person) } else { Vec::new() };
    let main = application::main(asked, "drupal", MAIN, &found)?;
    let mut settings = Settings::of("Drupal");
    let mut keys = take(&main, &mut settings, draft)?;
    for path in asked.files.iter().skip(1) {
        keys.extend(take(&asked.read(path)?, &mut settings, draft)?);
    }
    let way = match () {
        () if settings.has("smtp.smtp_host") => Way::Module,
        () if settings.has("mailer_dsn.host") => CORE,
        () if settings.has("transport.configuration.host") => TRANSPORT,
        () => {
            let why = "names no server: it is in Drupal's own configuration";
            return Err(Failure::new(Failing::Data, main.path.display().to_string(), why)
                .hint("drush config:get smtp.settings --format=json > FILE, and name FILE, too"));
        }
    };
    match way {
        Way::Module => module(&settings, draft)?,
        Way::Symfony { .. } => symfony(&settings, way, draft)?,
    }
    if let Some(Said { from, .. }) = settings.text(draft, "interface") {
        draft.ledger.carry(&from);
    }
    for key in &keys {
        let why = if key.starts_with("smtp.") {
            "it is about the module itself"
        } else {
            "it is another way of sending than the one that is taken"
        };
        if let Some((_, id)) = settings.get(key).filter(|(_, id)| draft.ledger.is_open(*id)) {
            draft.ledger.say(id, &NO_COUNTERPART, why);
        }
    }
    application::switch(
        draft,
        "Drupal",
        "$config['system.mail']['interface']['default'] = 'php_mail', and the module off",
    );
    Ok(())
}

/// The mail settings of a file, and their keys.
fn take(source: &SourceFile, settings: &mut Settings, draft: &mut Draft) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::new();
    let mut put = |key: String, shown: &str, entry: Entry, draft: &mut Draft| {
        keys.push(key.clone());
        settings.put(draft, &source.path, shown, Entry { key, ..entry });
    };
    if source.text.trim_start().starts_with('{') {
        let value: serde_json::Value =
            serde_json::from_str(&source.text).map_err(|error| wrong(&source.path, error.line(), "is no JSON"))?;
        for leaf in Literal::of_json(&value).leaves() {
            if leaf.key.starts_with("smtp_") {
                put(format!("smtp.{}", leaf.key), &leaf.key.clone(), leaf, draft);
            }
        }
        return Ok(keys);
    }
    let statements = php::read(&source.text).map_err(|(line, why)| wrong(&source.path, line, why))?;
    let is_mail =
        |key: &str| ["smtp.settings", "system.mail", "symfony_mailer."].iter().any(|name| key.starts_with(name));
    for (key, line) in php::conditional(&statements, "config").filter(|(key, _)| is_mail(key)) {
        application::under_condition(draft, source, line, &key);
    }
    let Some(Literal::Table(objects)) = php::variable(&statements, "config") else { return Ok(keys) };
    for object in objects {
        let (name, line) = (object.key.clone(), object.line);
        let prefix = match name.as_str() {
            "smtp.settings" => "smtp.",
            "system.mail" => "",
            "system.site" => "site.",
            name if name.starts_with("symfony_mailer.mailer_transport.") => "transport.",
            _ => continue,
        };
        if !matches!(object.value, Literal::Table(_)) {
            let id = draft.ledger.read(&source.path, line, name);
            draft.ledger.say(id, &COMPUTED, "it is known only when Drupal runs");
            continue;
        }
        for leaf in object.value.leaves() {
            let key = match (prefix, leaf.key.as_str()) {
                ("site.", "mail") => "site.mail".to_owned(),
                ("site.", "name") => "site.name".to_owned(),
                ("site.", _) => continue,
                ("", "interface.default") => "interface".to_owned(),
                (prefix, key) => format!("{prefix}{key}"),
            };
            let shown = format!("{name}.{}", leaf.key);
            put(key, &shown, leaf, draft);
        }
    }
    Ok(keys)
}

/// The SMTP module.
fn module(settings: &Settings, draft: &mut Draft) -> Result<(), Failure> {
    if let Some((value, id)) = settings.get("smtp.smtp_on") {
        let is_off = matches!(value, Literal::Flag(false) | Literal::Number(0) | Literal::Null)
            || matches!(value, Literal::Text(text) if matches!(text.as_str(), "" | "0" | "off"));
        if is_off {
            return Err(settings
                .wrong(
                    "smtp.smtp_on",
                    "smtp_on is off: Drupal hands mail to PHP's mail(), and there is nothing to import",
                )
                .hint("set up a relay: sudo mailchute init"));
        }
        draft.ledger.carry(&[id]);
    }
    let mut hosts = vec![settings.host(draft, "smtp.smtp_host", "smtp_host")?];
    hosts.extend(
        settings
            .text(draft, "smtp.smtp_hostbackup")
            .map(|said| Said { value: said.value.to_string(), from: said.from }),
    );
    let port = settings.port(draft, "smtp.smtp_port")?.unwrap_or(Said::own(25));
    let word = settings.word(draft, "smtp.smtp_protocol").unwrap_or(Said::own("standard".to_owned()));
    let autotls = settings.get("smtp.smtp_autotls");
    let is_auto = !autotls.is_some_and(|(value, _)| matches!(value, Literal::Flag(false) | Literal::Number(0)));
    let autotls = Said { value: is_auto, from: autotls.map(|(_, id)| id).into_iter().collect() };
    let tls = match (word.value.as_str(), autotls.value) {
        ("ssl", _) => TlsUse::Implicit,
        ("tls", _) => TlsUse::StartTls,
        ("standard" | "", true) => TlsUse::Opportunistic,
        ("standard" | "", false) => TlsUse::None,
        _ => return Err(settings.wrong("smtp.smtp_protocol", "smtp_protocol is neither standard, ssl nor tls")),
    };
    // It logs in where both are there.
    let has_login = ["smtp.smtp_username", "smtp.smtp_password"].iter().all(|key| {
        settings
            .get(key)
            .is_some_and(|(value, _)| value.as_text().is_none_or(|text| !text.is_empty()) && *value != Literal::Null)
    });
    for (at, host) in hosts.into_iter().enumerate() {
        let mut smarthost = Smarthost::new("Drupal", if at == 0 { "main" } else { "backup" }, host);
        smarthost.port = Some(port.clone());
        smarthost.tls = Said { value: tls, from: [word.from.clone(), autotls.from.clone()].concat() };
        match has_login {
            true => settings.login(draft, &mut smarthost, "smtp.smtp_username", "smtp.smtp_password"),
            false => settings.leave(
                draft,
                &["smtp.smtp_username", "smtp.smtp_password"],
                "only with both does the module log in",
            ),
        }
        for key in ["smtp.smtp_client_helo", "smtp.smtp_client_hostname"] {
            if let Some(Said { value, from }) = settings.text(draft, key) {
                match smarthost.more.iter().any(|(known, _)| *known == "helo") {
                    true => draft.say_all_of(&from, &IMPLIED, ""),
                    false => smarthost.more.push(("helo", Said { value: Written::Text(value.to_string()), from })),
                }
            }
        }
        if let Some(Said { value, from }) = settings.text(draft, "smtp.smtp_timeout") {
            smarthost.more.push(("connect_timeout", Said { value: Written::Text(format!("{}s", *value)), from }));
        }
        draft.relay(smarthost);
    }
    let address = settings.text(draft, "smtp.smtp_from");
    let is_own = address.is_some();
    let name = settings.text(draft, "smtp.smtp_fromname");
    let (address, name) = if is_own { (address, name) } else { (site(settings, draft), name) };
    application::sender(draft, address, name);
    if is_own {
        settings.leave(draft, &["site.mail", "site.name"], "the module has a sender of its own");
    }
    if let Some(Said { value, from }) = settings.text(draft, "smtp.smtp_reroute_address") {
        let list = value.split(',').map(|word| word.trim().to_owned()).collect();
        draft.set(&Table::Top, "divert", Written::List(list), &from);
    }
    Ok(())
}

/// The site's own address.
fn site(settings: &Settings, draft: &mut Draft) -> Option<Said<Zeroizing<String>>> {
    let mail = settings.text(draft, "site.mail");
    settings.leave(draft, &["site.name"], "it is the page's name");
    mail
}

fn symfony(settings: &Settings, way: Way, draft: &mut Draft) -> Result<(), Failure> {
    let Way::Symfony { host, port, username, password, options } = way else { return Ok(()) };
    for key in ["mailer_dsn.scheme", "transport.plugin"] {
        if let Some(Said { value, from }) = settings.word(draft, key) {
            if !matches!(value.as_str(), "smtp" | "smtps") {
                return Err(settings
                    .wrong(key, "the transport is not SMTP, and cannot be taken over")
                    .hint("set it up anew: sudo mailchute init"));
            }
            draft.ledger.carry(&from);
        }
    }
    let is_implicit = settings.word(draft, "mailer_dsn.scheme").is_some_and(|word| word.value == "smtps");
    let mut smarthost = Smarthost::new("Drupal", "main", settings.host(draft, host, host)?);
    let port = settings.port(draft, port)?;
    let port = port.unwrap_or(Said::own(if is_implicit { 465 } else { 25 }));
    let tls = if is_implicit || port.value == 465 { TlsUse::Implicit } else { TlsUse::Opportunistic };
    smarthost.tls = Said { value: tls, from: settings.ids(&["mailer_dsn.scheme"]) };
    smarthost.port = Some(port);
    settings.login(draft, &mut smarthost, username, password);
    if let Some((value, id)) = settings.get(&format!("{options}verify_peer")) {
        match matches!(value, Literal::Flag(false) | Literal::Number(0)) {
            true => draft.ledger.say(id, &CERTIFICATE, "the certificate is not looked at there, and always is here"),
            false => draft.ledger.imply(id),
        }
    }
    if let Some(Said { value, from }) = settings.text(draft, &format!("{options}local_domain")) {
        smarthost.more.push(("helo", Said { value: Written::Text(value.to_string()), from }));
    }
    draft.relay(smarthost);
    let address = site(settings, draft);
    application::sender(draft, address, None);
    Ok(())
}
