//! Rails: `action_mailer` in `config/environments/*.rb`, and the `.env` beside, which is asked by `ENV`.

use super::application::{self, Settings};
use super::draft::code::{CERTIFICATE, COMPUTED, LOGIN_METHOD, NO_COUNTERPART, UNUSED};
use super::draft::{Draft, Said, Smarthost, Table, TlsUse, Written};
use super::literal::dotenv::{self, Dialect};
use super::literal::{Entry, Literal, ruby};
use super::source::{Inquiry, MailUser, SourceFile, wrong};
use super::{Importable, Program};
use crate::failure::Failure;
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "rails",
    title: "Rails",
    files: "config/environments/production.rb, and the .env that is named or stands beside",
    find,
    read,
};

const MAIN: &[&str] = &["config/environments/production.rb", "production.rb"];

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    application::find(root, &MAIN[..1], |text| text.contains("action_mailer"))
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let found = if asked.files.is_empty() { find(asked.root, asked.person) } else { Vec::new() };
    let main = application::main(asked, "rails", MAIN, &found)?;
    let mut env: Vec<Entry> = Vec::new();
    let mut modules = Vec::new();
    for path in asked.files.iter().skip(1) {
        let source = asked.read(path)?;
        if source.path.extension().is_some_and(|end| end == "rb") {
            modules.push(source);
        } else {
            variables(&source, &mut env)?;
        }
    }
    if env.is_empty()
        && let Some(source) =
            main.path.ancestors().nth(3).map(|above| asked.find(&above.join(".env"))).transpose()?.flatten()
    {
        variables(&source, &mut env)?;
    }
    modules.insert(0, main);
    let mut settings = Settings::of("Rails");
    for source in &modules {
        take(source, &env, &mut settings, draft)?;
    }
    method(&settings, draft)?;
    server(&settings, draft)?;
    let address = settings.text(draft, "default_options.from");
    application::sender(draft, address, None);
    if let Some((Literal::Flag(false), id)) = settings.get("perform_deliveries") {
        draft.set(&Table::Top, "discard", Written::Bare("true".to_owned()), &[id]);
    }
    application::switch(draft, "Rails", "config.action_mailer.delivery_method = :sendmail");
    Ok(())
}

fn variables(source: &SourceFile, env: &mut Vec<Entry>) -> Result<(), Failure> {
    let entries =
        dotenv::read(&source.text, Dialect::Python, env).map_err(|(line, why)| wrong(&source.path, line, why))?;
    env.extend(entries);
    Ok(())
}

/// Settings of `action_mailer` that are about something else than the way out.
const OTHERS: &[&str] = &[
    "perform_deliveries",
    "raise_delivery_errors",
    "perform_caching",
    "asset_host",
    "deliver_later_queue_name",
    "preview_paths",
    "show_previews",
];

/// The mail settings of a file.
fn take(source: &SourceFile, env: &[Entry], settings: &mut Settings, draft: &mut Draft) -> Result<(), Failure> {
    let assignments = ruby::read(&source.text, env)
        .map_err(|(line, why)| wrong(&source.path, line, format!("Ruby refuses the file here: {why}")))?;
    for ruby::Assignment { target, line, value, is_conditional } in assignments {
        let name = ["config.action_mailer.", "ActionMailer.Base."].iter().find_map(|head| target.strip_prefix(head));
        let Some(name) = name else { continue };
        if is_conditional {
            application::under_condition(draft, source, line, name);
            continue;
        }
        if name.starts_with("default_url_options") {
            continue;
        }
        if let (Literal::Table(_), "smtp_settings" | "default_options") = (&value, name) {
            for leaf in value.leaves() {
                let key = format!("{name}.{}", leaf.key);
                place(draft, settings, source, Entry { key, ..leaf });
            }
            continue;
        }
        place(draft, settings, source, Entry { key: name.to_owned(), line, value });
    }
    Ok(())
}

fn place(draft: &mut Draft, settings: &mut Settings, source: &SourceFile, entry: Entry) {
    let key = entry.key.clone();
    let line = source.text.lines().nth(entry.line.saturating_sub(1)).unwrap_or_default();
    let is_encrypted = entry.value == Literal::Code && (line.contains("credentials") || line.contains("secrets"));
    let id = settings.put(draft, &source.path, &key, entry);
    if is_encrypted {
        draft.ledger.say(
            id,
            &COMPUTED,
            "it is in Rails' encrypted credentials: `bin/rails credentials:show` prints them",
        );
    }
    if OTHERS.contains(&key.as_str()) {
        draft.ledger.say(id, &NO_COUNTERPART, "it is about what Rails does before it sends");
    }
}

/// Whether it sends by SMTP.
fn method(settings: &Settings, draft: &mut Draft) -> Result<(), Failure> {
    let Some(Said { value, from }) = settings.word(draft, "delivery_method") else { return Ok(()) };
    match value.as_str() {
        "smtp" => draft.ledger.carry(&from),
        "sendmail" => {
            return Err(settings
                .wrong("delivery_method", "it calls sendmail already, and there is nothing to import")
                .hint("set up a relay: sudo mailchute init"));
        }
        "test" | "file" | "letter_opener" => {
            return Err(
                settings.wrong("delivery_method", "its delivery method sends nothing, and there is nothing to import")
            );
        }
        _ => {
            return Err(settings
                .wrong("delivery_method", "its delivery method is none that is known here")
                .hint("set up a relay: sudo mailchute init"));
        }
    }
    Ok(())
}

fn server(settings: &Settings, draft: &mut Draft) -> Result<(), Failure> {
    let key = |name: &str| format!("smtp_settings.{name}");
    if let Some((Literal::Code | Literal::Variable(..), _)) = settings.get("smtp_settings") {
        return Err(settings.wrong("smtp_settings", "smtp_settings is known only when Rails runs").hint(
            "if it is in the encrypted credentials, `bin/rails credentials:show` prints them; then mailchute init",
        ));
    }
    let host = match settings.has(&key("address")) {
        true => settings.host(draft, &key("address"), "address")?,
        false => Said::own("localhost".to_owned()),
    };
    let mut smarthost = Smarthost::new("Rails", "main", host);
    smarthost.port = Some(settings.port(draft, &key("port"))?.unwrap_or(Said::own(25)));
    smarthost.tls = tls(settings, draft);
    settings.login(draft, &mut smarthost, &key("user_name"), &key("password"));
    if let Some(Said { value, from }) = settings.word(draft, &key("authentication")) {
        match value.as_str() {
            "plain" | "login" | "cram_md5" => {
                smarthost.auth = Said { value: vec![value.replace('_', "-").to_uppercase()], from };
            }
            "none" => draft.say_all_of(&from, &UNUSED, "it is no way to log in"),
            _ => draft.say_all_of(&from, &LOGIN_METHOD, "is no way to log in that is known here"),
        }
    }
    let verify = settings.get(&key("openssl_verify_mode"));
    match verify {
        Some((Literal::Text(text), id)) if **text == "none" => {
            draft.ledger.say(id, &CERTIFICATE, "the certificate is not looked at there, and always is here");
        }
        Some((Literal::Number(0), id)) => {
            draft.ledger.say(id, &CERTIFICATE, "the certificate is not looked at there, and always is here");
        }
        Some((Literal::Text(_) | Literal::Number(_) | Literal::Null, id)) => draft.ledger.imply(id),
        _ => drop(settings.text(draft, &key("openssl_verify_mode"))),
    }
    if let Some(Said { value, from }) = settings.text(draft, &key("ca_file")) {
        draft.ca_file(&mut smarthost, Said { value: value.to_string(), from });
    }
    if let Some(Said { value, from }) = settings.text(draft, &key("domain")) {
        smarthost.more.push(("helo", Said { value: Written::Text(value.to_string()), from }));
    }
    if let Some(Said { value, from }) = settings.text(draft, &key("open_timeout")) {
        smarthost.more.push(("connect_timeout", Said { value: Written::Text(format!("{}s", *value)), from }));
    }
    for name in ["read_timeout", "return_response"] {
        for id in settings.ids(&[&key(name)]) {
            draft.ledger.say(id, &NO_COUNTERPART, "deadline = \"60s\" in the site says how long one message may take");
        }
    }
    draft.relay(smarthost);
    Ok(())
}

/// When TLS begins.
fn tls(settings: &Settings, draft: &mut Draft) -> Said<TlsUse> {
    let mut tls = TlsUse::Opportunistic;
    let mut ids = Vec::new();
    for name in ["enable_starttls_auto", "enable_starttls", "ssl", "tls"] {
        let key = format!("smtp_settings.{name}");
        let Some((value, id)) = settings.get(&key) else { continue };
        ids.push(id);
        let is_on = match value {
            Literal::Flag(flag) => *flag,
            Literal::Null => false,
            Literal::Text(text) if **text == "auto" => {
                tls = TlsUse::Opportunistic;
                continue;
            }
            // Of texts and numbers all are true in Ruby.
            Literal::Text(_) | Literal::Number(_) => true,
            _ => {
                settings.text(draft, &key);
                continue;
            }
        };
        tls = match (name, is_on) {
            ("ssl" | "tls", true) => TlsUse::Implicit,
            ("enable_starttls", true) => TlsUse::StartTls,
            ("enable_starttls_auto" | "enable_starttls", false) => TlsUse::None,
            _ => tls,
        };
    }
    Said { value: tls, from: ids }
}
