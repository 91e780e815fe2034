//! A bare `.env` of a container or of any program: names that many have for the same.

use super::application::{self, Settings};
use super::draft::code::{CERTIFICATE, COMPUTED, IMPLIED, LOGIN_METHOD, TLS_MODE, UNUSED};
use super::draft::{Draft, Said, Smarthost, TlsUse, Written};
use super::literal::dotenv::{self, Dialect};
use super::literal::{Entry, Literal};
use super::source::{Inquiry, MailUser, wrong};
use super::{Importable, Program};
use crate::failure::{Failure, Kind as Failing};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "env",
    title: "environment",
    files: "a file of variables that is named: SMTP_HOST, MAIL_HOST, EMAIL_HOST, RELAYHOST and their companions",
    find,
    read,
};

/// How the names of one family begin, the surest first.
const FAMILIES: &[&str] = &[
    "SMTP_",
    "MAIL_SMTP_",
    "EMAIL_SMTP_",
    "WORDPRESS_SMTP_",
    "MAILER_SMTP_",
    "SMTP_RELAY_",
    "EMAIL_SERVER_",
    "MAIL_",
    "EMAIL_",
    "MAILER_",
    "RELAYHOST_",
];

/// What a setting is, and how its names end.
const ENDS: &[(&str, &[&str])] = &[
    ("host", &["HOST", "SERVER", "ADDRESS", "HOSTNAME"]),
    ("port", &["PORT", "PORT_NUMBER"]),
    ("username", &["USERNAME", "USER", "LOGIN", "USER_NAME", "HOST_USER"]),
    ("password", &["PASSWORD", "PASS", "SECRET", "HOST_PASSWORD"]),
    ("username_file", &["USERNAME_FILE", "USER_FILE"]),
    ("password_file", &["PASSWORD_FILE", "PASS_FILE"]),
    ("from", &["FROM", "FROM_ADDRESS", "FROM_EMAIL", "SENDER", "FROM_MAIL"]),
    ("name", &["FROM_NAME", "SENDER_NAME"]),
    ("ssl", &["SSL", "USE_SSL", "SECURE"]),
    ("tls", &["TLS", "USE_TLS", "STARTTLS", "ENABLE_STARTTLS", "ENABLE_STARTTLS_AUTO", "USE_STARTTLS"]),
    ("encryption", &["ENCRYPTION", "PROTOCOL", "SECURITY", "SCHEME"]),
    ("auth", &["AUTH", "AUTH_METHOD", "AUTH_MECHANISM", "AUTHENTICATION"]),
    ("verify", &["OPENSSL_VERIFY_MODE", "TLS_VERIFY", "REJECT_UNAUTHORIZED", "VERIFY_PEER"]),
    ("helo", &["DOMAIN", "HELO", "HELO_NAME", "EHLO_DOMAIN"]),
];

/// Variables that stand for a family by themselves.
const ALONE: &[(&str, &str, &str)] = &[
    ("RELAYHOST", "RELAYHOST_", "relayhost"),
    ("DEFAULT_FROM_EMAIL", "EMAIL_", "from"),
    ("EMAIL_FROM", "EMAIL_SERVER_", "from"),
];

/// None is looked for: any program may have such a file.
fn find(_: &Root, _: &MailUser) -> Vec<Importable> {
    Vec::new()
}

/// The families that a variable belongs to, with what it is in each.
fn places(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
    let of_family = FAMILIES.iter().filter_map(move |family| {
        let end = name.strip_prefix(family)?;
        let (kind, _) = ENDS.iter().find(|(_, ends)| ends.contains(&end))?;
        Some((*family, *kind))
    });
    let alone = ALONE.iter().filter(move |(known, ..)| *known == name).map(|(_, family, kind)| (*family, *kind));
    of_family.chain(alone)
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    if asked.files.is_empty() {
        return Err(Failure::new(Failing::Usage, "env", "no file is named").hint("mailchute import env /srv/app/.env"));
    }
    let source = application::main(asked, "env", &[".env"], &[])?;
    let variables =
        dotenv::read(&source.text, Dialect::Python, &[]).map_err(|(line, why)| wrong(&source.path, line, why))?;
    let filled = |entry: &Entry| !matches!(&entry.value, Literal::Text(text) if text.is_empty());
    let has_host = |family: &&&str| {
        let is_host = |place: (&str, &str)| place.0 == **family && matches!(place.1, "host" | "relayhost");
        variables.iter().any(|entry| filled(entry) && places(&entry.key).any(is_host))
    };
    let Some(family) = FAMILIES.iter().find(has_host) else {
        return Err(Failure::new(
            Failing::Data,
            source.path.display().to_string(),
            "has no variable that names a mail server",
        )
        .hint("known are SMTP_HOST, MAIL_HOST, EMAIL_HOST and RELAYHOST; MAILER_DSN is `import symfony`"));
    };
    let mut settings = Settings::of("the program");
    for entry in variables {
        let mut kinds = places(&entry.key).peekable();
        if kinds.peek().is_none() {
            continue;
        }
        let name = entry.key.clone();
        match places(&name).find(|(known, _)| known == family) {
            Some((_, kind)) => drop(settings.put(draft, &source.path, &name, Entry { key: kind.to_owned(), ..entry })),
            None => {
                let id = draft.ledger.read(&source.path, entry.line, name.as_str());
                draft.ledger.say(id, &UNUSED, format!("{family}* names the server that is taken"));
            }
        }
    }
    relayhost(&mut settings, draft)?;
    let smarthost = server(&settings, draft)?;
    draft.relay(smarthost);
    let (address, name) = (settings.text(draft, "from"), settings.text(draft, "name"));
    application::sender(draft, address, name);
    application::switch(draft, "the program", "have it call /usr/sbin/sendmail -t -i, if it can");
    Ok(())
}

/// `[HOST]:PORT`, as Postfix has it.
fn relayhost(settings: &mut Settings, draft: &mut Draft) -> Result<(), Failure> {
    let Some(Said { value, from }) = settings.text(draft, "relayhost") else { return Ok(()) };
    let bare = value.trim().replace(['[', ']'], "");
    let (host, port) = bare.rsplit_once(':').map_or((bare.as_str(), None), |(host, port)| (host, Some(port)));
    for (key, text) in [("host", Some(host)), ("port", port)] {
        if let Some(text) = text {
            let entry =
                Entry { key: key.to_owned(), line: draft.ledger.item(from[0]).line, value: Literal::text(text) };
            settings.put_known(from[0], entry, std::path::Path::new("RELAYHOST"));
        }
    }
    Ok(())
}

fn server(settings: &Settings, draft: &mut Draft) -> Result<Smarthost, Failure> {
    let host = settings.host(draft, "host", "the server")?;
    let mut smarthost = Smarthost::new("the program", "main", host);
    let port = settings.port(draft, "port")?;
    smarthost.tls = tls(settings, port.as_ref().map(|port| port.value), draft);
    smarthost.port = Some(port.unwrap_or(Said::own(match smarthost.tls.value {
        TlsUse::Implicit => 465,
        TlsUse::StartTls => 587,
        TlsUse::Opportunistic | TlsUse::None => 25,
    })));
    match settings.text(draft, "password_file") {
        Some(Said { value, from }) if !settings.has("password") => {
            let name = settings.text(draft, "username");
            smarthost.username = name.map(|Said { value, from }| Said { value: value.to_string(), from });
            smarthost.secret = Some(Said { value: Written::File(value.to_string()), from });
        }
        file => {
            draft.say_all_of(&file.map(|file| file.from).unwrap_or_default(), &UNUSED, "the password stands beside it");
            settings.login(draft, &mut smarthost, "username", "password");
        }
    }
    if let Some(Said { from, .. }) = settings.text(draft, "username_file") {
        draft.say_all_of(&from, &COMPUTED, "the user name is in another file: say it in `username`");
    }
    if let Some(Said { value, from }) = settings.word(draft, "auth") {
        match value.as_str() {
            "plain" | "login" | "cram-md5" | "cram_md5" => {
                smarthost.auth = Said { value: vec![value.replace('_', "-").to_uppercase()], from };
            }
            "none" | "false" | "off" | "no" | "0" => {
                draft.ledger.carry(&from);
                let ids = settings.ids(&["username", "password", "password_file"]);
                (smarthost.username, smarthost.secret) = (None, None);
                draft.say_all_of(&ids, &UNUSED, "the login is turned off");
            }
            "true" | "on" | "yes" | "1" | "auto" => draft.ledger.carry(&from),
            _ => draft.say_all_of(&from, &LOGIN_METHOD, "is no way to log in that is known here"),
        }
    }
    if let Some(Said { value, from }) = settings.word(draft, "verify") {
        match value.as_str() {
            "none" | "false" | "0" | "no" | "off" => {
                draft.say_all_of(&from, &CERTIFICATE, "the certificate is not looked at there, and always is here");
            }
            _ => draft.say_all_of(&from, &IMPLIED, ""),
        }
    }
    if let Some(Said { value, from }) = settings.text(draft, "helo") {
        smarthost.more.push(("helo", Said { value: Written::Text(value.to_string()), from }));
    }
    Ok(smarthost)
}

/// When TLS begins, as far as the words of many programs tell it.
fn tls(settings: &Settings, port: Option<u16>, draft: &mut Draft) -> Said<TlsUse> {
    let mut tls = if port == Some(465) { TlsUse::Implicit } else { TlsUse::Opportunistic };
    let mut ids = Vec::new();
    for key in ["encryption", "tls", "ssl"] {
        let flag = settings.get(key).and_then(|(value, id)| match value {
            Literal::Flag(flag) => Some(Said::new(flag.to_string(), id)),
            _ => None,
        });
        let Some(Said { value, from }) = flag.or_else(|| settings.word(draft, key)) else { continue };
        let is_on = matches!(value.as_str(), "true" | "1" | "yes" | "on" | "always");
        let found = match (key, value.as_str()) {
            (_, "ssl" | "smtps" | "ssl/tls" | "implicit" | "force_tls") => Some(TlsUse::Implicit),
            (_, "starttls") => Some(TlsUse::StartTls),
            (_, "tls") if port == Some(465) => Some(TlsUse::Implicit),
            (_, "tls") => Some(TlsUse::StartTls),
            ("tls", _) if is_on && port != Some(465) => Some(TlsUse::StartTls),
            ("ssl", _) if is_on && matches!(port, Some(587 | 25 | 2525)) => {
                let why = "that port begins in plain text: STARTTLS is meant";
                draft.say_all_of(&from, &TLS_MODE, why);
                Some(TlsUse::StartTls)
            }
            ("ssl", _) if is_on => Some(TlsUse::Implicit),
            _ => None,
        };
        ids.extend(from);
        if let Some(found) = found {
            tls = found;
        }
    }
    Said { value: tls, from: ids }
}
