//! Symfony: `MAILER_DSN`, or swiftmailer's `MAILER_URL`, in the `.env` files in the order in which Symfony reads them.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::application::{self, name_of};
use super::draft::code::{CERTIFICATE, COMPUTED, NO_COUNTERPART, PLACEHOLDER, UNUSED};
use super::draft::ledger::Id;
use super::draft::placeholder::is_placeholder;
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written};
use super::literal::dotenv::{self, Dialect};
use super::literal::{Entry, Literal, php};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program};
use crate::config::{Setting, Value, dsn};
use crate::failure::{Failure, Kind as Failing};
use crate::providers::{self, Provider, UserName};
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "symfony",
    title: "Symfony",
    files: ".env, .env.local and those of APP_ENV, or .env.local.php: MAILER_DSN, MAILER_URL",
    find,
    read,
};

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    let is_it = |text: &str| ["MAILER_DSN=", "MAILER_URL="].iter().any(|name| text.contains(name));
    application::find(root, &[".env"], is_it)
}

/// A variable and the file that has it.
struct Variable {
    entry: Entry,
    path: PathBuf,
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let found = if asked.files.is_empty() { find(asked.root, asked.person) } else { Vec::new() };
    let main = application::main(asked, "symfony", &[".env", ".env.local"], &found)?;
    let variables = variables(asked, &main)?;
    let of = |name: &str| variables.iter().rev().find(|variable| variable.entry.key == name);
    let (name, variable) = match (of("MAILER_DSN"), of("MAILER_URL")) {
        (Some(variable), _) => ("MAILER_DSN", variable),
        (None, Some(variable)) => ("MAILER_URL", variable),
        (None, None) => {
            let why = "has no MAILER_DSN and no MAILER_URL";
            return Err(Failure::new(Failing::Data, main.path.display().to_string(), why)
                .hint("if it is in Symfony's vault: `php bin/console secrets:reveal MAILER_DSN`"));
        }
    };
    let id = draft.ledger.read(&variable.path, variable.entry.line, name);
    for other in &variables {
        let is_mail = ["MAILER_DSN", "MAILER_URL"].contains(&other.entry.key.as_str());
        if is_mail && !std::ptr::eq(other, variable) {
            let before = draft.ledger.read(&other.path, other.entry.line, other.entry.key.as_str());
            let why = if other.entry.key == name {
                "a file that is read later says otherwise"
            } else {
                "MAILER_DSN goes before it"
            };
            draft.ledger.say(before, &UNUSED, why);
        }
    }
    let here = |why: &str| wrong(&variable.path, variable.entry.line, format!("{name} {why}"));
    let text = match &variable.entry.value {
        Literal::Text(text) => text.clone(),
        Literal::Variable(other, _) => {
            let why = format!("refers to the environment variable {}, which no file sets", name_of(other));
            return Err(here(&why).hint("name the file that sets it, too, or set it up by `mailchute init`"));
        }
        _ => return Err(here("is known only when Symfony runs").hint("set it up by `mailchute init`")),
    };
    let text = if name == "MAILER_URL" { of_swiftmailer(&text) } else { text };
    let mut warnings = Vec::new();
    let failed = |failure: Failure| {
        let told = here(&failure.why);
        match failure.hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    };
    let members = dsn::members(&text, &mut warnings).map_err(failed)?;
    let is_alone = members.len() == 1;
    let mut count = 0;
    for member in members {
        match member.split("://").next().unwrap_or_default() {
            "null" if is_alone => return Err(here("is null: Symfony sends nothing, and there is nothing to import")),
            "sendmail" | "sendmail+smtp" | "native" if is_alone => {
                return Err(here("calls sendmail already, and there is nothing to import")
                    .hint("set up a relay: sudo mailchute init"));
            }
            "null" | "sendmail" | "sendmail+smtp" | "native" => {
                draft.ledger.say(
                    id,
                    &NO_COUNTERPART,
                    "one of its members is no server, and has no part in the route here",
                );
                continue;
            }
            _ => {}
        }
        let relay_name = match count {
            0 => "main".to_owned(),
            1 => "backup".to_owned(),
            number => format!("backup-{number}"),
        };
        let member = without_verification(member, id, draft);
        if has_raw_sign(&member) {
            return Err(
                here("has /, ? or # before the @, and Symfony refuses it").hint("write them as %2F, %3F and %23")
            );
        }
        let settings = dsn::relay(&member, &mut warnings).map_err(failed)?.unwrap_or_default();
        relay(&relay_name, settings, id, draft);
        count += 1;
    }
    if dsn::is_spread(&text) {
        draft.set(&Table::Top, "strategy", "spread", &[id]);
    }
    for warning in warnings {
        let why = warning.split_once(": ").map_or(warning.as_str(), |(_, why)| why).to_owned();
        draft.ledger.say(id, &NO_COUNTERPART, why);
    }
    let directory = main.path.parent().unwrap_or(Path::new(""));
    let yaml = directory.join("config/packages/mailer.yaml");
    if let Some(source) = asked
        .find(&yaml)?
        .filter(|source| ["envelope:", "headers:", "transports:"].iter().any(|key| source.text.contains(key)))
    {
        let id = draft.ledger.read(&source.path, 0, "framework.mailer");
        draft.ledger.say(id, &COMPUTED, "it says more of the sender or of other transports, and is not read");
    }
    application::switch(draft, "Symfony", "MAILER_DSN=sendmail://default?command=/usr/local/bin/mailchute%20-t%20-i");
    Ok(())
}

/// Every variable, in the order of the files; of one name the last counts.
fn variables(asked: &Inquiry<'_>, main: &SourceFile) -> Result<Vec<Variable>, Failure> {
    let directory = main.path.parent().unwrap_or(Path::new("")).to_owned();
    if let Some(source) = asked.find(&directory.join(".env.local.php"))?.filter(|_| asked.files.len() < 2) {
        let statements = php::read(&source.text).map_err(|(line, why)| wrong(&source.path, line, why))?;
        if let Some(Literal::Table(entries)) = php::result(statements) {
            // Made by `composer dump-env`, it stands for all of the others.
            return Ok(entries.into_iter().map(|entry| Variable { entry, path: source.path.clone() }).collect());
        }
    }
    let mut found: Vec<Variable> = Vec::new();
    add(&mut found, main)?;
    for path in asked.files.iter().skip(1) {
        add(&mut found, &asked.read(path)?)?;
    }
    if main.path.file_name().is_none_or(|name| name != ".env") || asked.files.len() > 1 {
        return Ok(found);
    }
    let environment = |found: &[Variable]| {
        let value = found
            .iter()
            .rev()
            .find(|variable| variable.entry.key == "APP_ENV")
            .and_then(|variable| variable.entry.value.as_text());
        value.map_or_else(|| "dev".to_owned(), |text| text.to_string())
    };
    if environment(&found) != "test"
        && let Some(source) = asked.find(&directory.join(".env.local"))?
    {
        add(&mut found, &source)?;
    }
    let name = environment(&found);
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if name == "local" || !is_plain {
        return Ok(found);
    }
    for name in [format!(".env.{name}"), format!(".env.{name}.local")] {
        if let Some(source) = asked.find(&directory.join(name))? {
            add(&mut found, &source)?;
        }
    }
    Ok(found)
}

fn add(found: &mut Vec<Variable>, source: &SourceFile) -> Result<(), Failure> {
    let before: Vec<Entry> = found.iter().map(|variable| variable.entry.clone()).collect();
    let entries = dotenv::read(&source.text, Dialect::Symfony, &before)
        .map_err(|(line, why)| wrong(&source.path, line, format!("Symfony refuses the file here: {why}")))?;
    found.extend(entries.into_iter().map(|entry| Variable { entry, path: source.path.clone() }));
    Ok(())
}

/// A DSN without the option that turns verification off, which is told instead.
fn without_verification(dsn: &str, id: Id, draft: &mut Draft) -> Zeroizing<String> {
    let Some((before, query)) = dsn.split_once('?') else { return Zeroizing::new(dsn.to_owned()) };
    let is_off = |pair: &&str| {
        pair.strip_prefix("verify_peer=").is_some_and(|value| matches!(value, "" | "0" | "false" | "no" | "off"))
    };
    if query.split('&').any(|pair| is_off(&pair)) {
        draft.ledger.say(
            id,
            &CERTIFICATE,
            "verify_peer is off: the certificate is not looked at there, and always is here",
        );
    }
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_off(pair)).collect();
    Zeroizing::new(if rest.is_empty() { before.to_owned() } else { format!("{before}?{}", rest.join("&")) })
}

/// What ends the user's part of a URL for PHP, before the last `@`.
fn has_raw_sign(dsn: &str) -> bool {
    let rest = dsn.split_once("://").map_or(dsn, |(_, rest)| rest);
    // An @ behind the options belongs to them.
    let user = rest.split('?').next().unwrap_or_default().rsplit_once('@').map_or("", |(user, _)| user);
    let is_cut = rest.split_once('?').is_some_and(|(before, behind)| !before.contains('@') && behind.contains('@'));
    user.contains(['/', '#']) || is_cut
}

/// swiftmailer's URL in the form that came after it: user name and password were options, too.
fn of_swiftmailer(url: &str) -> Zeroizing<String> {
    let Some((scheme, rest)) = url.trim().split_once("://") else { return Zeroizing::new(url.to_owned()) };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut user, mut host) =
        place.rsplit_once('@').map_or((String::new(), place), |(user, host)| (user.to_owned(), host));
    let option = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
    };
    if let (true, Some(username)) = (user.is_empty(), option("username")) {
        user = format!("{username}:{}", option("password").unwrap_or_default());
    }
    if scheme == "gmail" {
        host = "default";
    }
    let is_rest = |pair: &&str| !pair.is_empty() && !pair.starts_with("username=") && !pair.starts_with("password=");
    let query: Vec<&str> = query.split('&').filter(is_rest).collect();
    let at = if user.is_empty() { "" } else { "@" };
    let mark = if query.is_empty() { "" } else { "?" };
    Zeroizing::new(format!("{scheme}://{user}{at}{host}{mark}{}", query.join("&")))
}

/// Makes what one DSN says a relay.
fn relay(name: &str, settings: Vec<Setting>, id: Id, draft: &mut Draft) {
    for setting in &settings {
        let is_filled = matches!(setting.key.as_str(), "host" | "username" | "password" | "token" | "api_key");
        if is_filled && matches!(&setting.value, Value::Text(text) if is_placeholder(text)) {
            draft.ledger.say(id, &PLACEHOLDER, "looks like what a template has in its place");
        }
    }
    let provider = settings.iter().find(|setting| setting.key == "provider").and_then(|setting| match &setting.value {
        Value::Text(word) => Provider::find(word),
        _ => None,
    });
    match provider {
        Some(provider) => preset(name, provider, settings, id, draft),
        None => server(name, settings, id, draft),
    }
}

/// A DSN that names a provider.
fn preset(name: &str, provider: &'static Provider, settings: Vec<Setting>, id: Id, draft: &mut Draft) {
    let table = Table::Relay(name.to_owned());
    draft.open(&table);
    let is_api = settings.iter().any(|setting| setting.key == "via");
    let natural = (!is_api && provider.derived.is_none() && matches!(provider.username, UserName::Given(_)))
        .then(|| provider.secrets.first().copied())
        .flatten();
    let secrets = || settings.iter().filter(|setting| is_secret(&setting.key)).map(|setting| setting.key.clone());
    // Of a pair the first is the name of an account.
    let last = secrets().next_back();
    for Setting { key, value, .. } in settings {
        let is_last = last.as_deref() == Some(key.as_str());
        let key = if key == "password" { natural.unwrap_or("password").to_owned() } else { key };
        let value = match value {
            Value::Text(text) if is_last => Written::Secret(text),
            value => plain(value),
        };
        draft.set(&table, &key, value, &[id]);
    }
    let is_needless_via = !is_api && provider.api.is_some_and(|entry| draft_has_key(draft, &table, entry));
    if is_needless_via {
        draft.set(&table, "via", "smtp", &[]);
    }
}

/// Whether the relay has a key that would mean the HTTP API where it can.
fn draft_has_key(draft: &Draft, table: &Table, entry: &providers::api::Entry) -> bool {
    entry.credentials.iter().any(|credential| draft.has(table, credential.key))
}

/// Whether a key holds a secret, of any provider.
fn is_secret(key: &str) -> bool {
    let of_smtp = providers::all().flat_map(|provider| provider.secrets.iter().copied());
    let entries = providers::all().filter_map(|provider| provider.api);
    let of_apis = entries.flat_map(|entry| entry.credentials).map(|credential| credential.key);
    of_smtp.chain(of_apis).any(|known| known == key && !matches!(known, "access_key_id" | "domain"))
}

fn plain(value: Value) -> Written {
    match value {
        Value::Text(text) | Value::Variable(_, text) => Written::Text(text.to_string()),
        Value::Bare(word) => Written::Bare(word),
        Value::List(words) => Written::List(words),
        Value::File(path) => Written::File(path),
    }
}

/// A DSN of `smtp` or `smtps`.
fn server(name: &str, settings: Vec<Setting>, id: Id, draft: &mut Draft) {
    let mut smarthost = Smarthost::new("Symfony", name, Said::new(String::new(), id));
    let mut tls = None;
    for Setting { key, value, .. } in settings {
        match (key.as_str(), value) {
            ("host", Value::Text(host)) => smarthost.host = Said::new(host.to_string(), id),
            ("port", Value::Bare(port)) => smarthost.port = port.parse().ok().map(|port| Said::new(port, id)),
            ("tls", Value::Text(word)) => {
                tls = Some(match word.as_str() {
                    "implicit" => TlsUse::Implicit,
                    "starttls" => TlsUse::StartTls,
                    _ => TlsUse::None,
                });
            }
            ("username", Value::Text(text)) => smarthost.username = Some(Said::new(text.to_string(), id)),
            ("password", Value::Text(text)) => smarthost.secret = Some(Said::new(Written::Secret(text), id)),
            ("auth", value) => {
                smarthost.auth = Said::new(if let Value::List(words) = value { words } else { Vec::new() }, id);
            }
            ("helo", value) => smarthost.more.push(("helo", Said::new(plain(value), id))),
            ("source", value) => smarthost.more.push(("source", Said::new(plain(value), id))),
            ("fingerprint", Value::Text(text)) => draft.fingerprint(&mut smarthost, Said::new(text.as_str(), id)),
            (key, _) => draft.ledger.say(id, &NO_COUNTERPART, format!("{key} has no meaning here")),
        }
    }
    let by_itself = if tls == Some(TlsUse::Implicit) { 465 } else { 25 };
    let port = smarthost.port.get_or_insert(Said::own(by_itself)).value;
    let by_port = if port == 465 { TlsUse::Implicit } else { TlsUse::Opportunistic };
    smarthost.tls = Said::new(tls.unwrap_or(by_port), id);
    if smarthost.username.is_some() && smarthost.secret.is_none() {
        draft.ledger.say(id, &super::draft::code::PASSWORD, "it has a user name, and no password");
        smarthost.secret = Some(Said::new(Written::Wanted, id));
    }
    draft.relay(smarthost);
}
