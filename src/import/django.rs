//! Django: `settings.py` with the modules that it takes over, and the `.env` that it asks; or a bare `.env`, or what
//! `manage.py diffsettings` prints.

use std::path::{Path, PathBuf};

use super::application::{self, Settings};
use super::draft::code::{COMPUTED, MISREAD, NO_COUNTERPART, UNUSED};
use super::draft::{Draft, Said, Smarthost, TlsUse, Written, secret};
use super::literal::dotenv::{self, Dialect};
use super::literal::python::{self, Act, is_true};
use super::literal::{Entry, Literal};
use super::source::{Inquiry, MailUser, SourceFile, shown, wrong};
use super::{Importable, Program};
use crate::config::Url;
use crate::failure::Failure;
use crate::root::Root;

/// The line of the registry.
pub(super) const KIND: Program = Program {
    name: "django",
    title: "Django",
    files: "settings.py, its .env, or what `manage.py diffsettings` prints; Anymail's keys",
    find,
    read,
};

/// What there is of `EMAIL_*` that sends.
const SERVER: &[&str] = &[
    "EMAIL_HOST",
    "EMAIL_PORT",
    "EMAIL_HOST_USER",
    "EMAIL_HOST_PASSWORD",
    "EMAIL_USE_TLS",
    "EMAIL_USE_SSL",
    "EMAIL_TIMEOUT",
    "EMAIL_SSL_CERTFILE",
    "EMAIL_SSL_KEYFILE",
];

/// What belongs to mail and is not the way out.
const OTHERS: &[&str] = &["SERVER_EMAIL", "EMAIL_SUBJECT_PREFIX", "EMAIL_USE_LOCALTIME", "EMAIL_FILE_PATH"];

/// One of Anymail's backends.
type Api = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Anymail's backends: the end of the class's path, our provider, and its keys with ours.
const APIS: &[Api] = &[
    ("amazon_ses", "amazon-ses", &[]),
    ("brevo", "brevo", &[("BREVO_API_KEY", "api_key")]),
    ("sendinblue", "brevo", &[("SENDINBLUE_API_KEY", "api_key")]),
    ("mailersend", "mailersend", &[("MAILERSEND_API_TOKEN", "token")]),
    ("mailgun", "mailgun", &[("MAILGUN_SENDER_DOMAIN", "domain"), ("MAILGUN_API_KEY", "api_key")]),
    ("mailjet", "mailjet", &[("MAILJET_API_KEY", "api_key"), ("MAILJET_SECRET_KEY", "secret_key")]),
    ("mandrill", "mandrill", &[("MANDRILL_API_KEY", "api_key")]),
    ("postmark", "postmark", &[("POSTMARK_SERVER_TOKEN", "token")]),
    ("resend", "resend", &[("RESEND_API_KEY", "api_key")]),
    ("sendgrid", "sendgrid", &[("SENDGRID_API_KEY", "api_key")]),
    ("sparkpost", "sparkpost", &[("SPARKPOST_API_KEY", "api_key")]),
];

/// How far up from a module a `.env` is looked for.
const ABOVE: usize = 4;

fn find(root: &Root, _: &MailUser) -> Vec<Importable> {
    let is_mail = |path: &Path| {
        root.read(path, 1 << 20).is_ok_and(|(octets, _)| String::from_utf8_lossy(&octets).contains("EMAIL_"))
    };
    let projects = application::find(root, &["manage.py"], |_| true);
    let settings = |project: Importable| {
        let directory = project.files.first()?.parent()?.to_owned();
        let names = root.list(&directory).unwrap_or_default();
        let modules = ["settings/production.py", "settings/prod.py", "settings.py", "settings/base.py"];
        let paths = names.iter().take(200).flat_map(|name| {
            let place = directory.join(name);
            modules.iter().map(move |module| place.join(module))
        });
        let path = paths.chain([directory.join(".env")]).find(|path| root.has_file(path) && is_mail(path))?;
        Some(Importable { files: vec![path], whom: project.whom })
    };
    projects.into_iter().filter_map(settings).collect()
}

fn read(asked: &Inquiry<'_>, draft: &mut Draft) -> Result<(), Failure> {
    let found = if asked.files.is_empty() { find(asked.root, asked.person) } else { Vec::new() };
    let main = application::main(asked, "django", &["settings.py", ".env"], &found)?;
    let is_module =
        |path: &Path| path.extension().is_some_and(|end| end == "py") || path == Path::new("standard input");
    let mut module = Module { asked, draft, names: Vec::new(), env: Vec::new() };
    let mut env_files: Vec<SourceFile> = Vec::new();
    let mut modules = Vec::new();
    for source in std::iter::once(Ok(main)).chain(asked.files.iter().skip(1).map(|path| asked.read(path))) {
        let source = source?;
        if is_module(&source.path) { modules.push(source) } else { env_files.push(source) }
    }
    if env_files.is_empty() {
        let above = modules.first().map(|source| source.path.clone()).unwrap_or_default();
        for directory in above.ancestors().skip(1).take(ABOVE) {
            if let Some(source) = asked.find(&directory.join(".env"))? {
                env_files.push(source);
                break;
            }
        }
    }
    for source in &env_files {
        let entries = dotenv::read(&source.text, Dialect::Python, &module.env)
            .map_err(|(line, why)| wrong(&source.path, line, why))?;
        module.env.extend(entries);
    }
    for source in &modules {
        module.run(source, 0)?;
    }
    let mut settings = Settings::of("Django");
    let names = std::mem::take(&mut module.names);
    let env = std::mem::take(&mut module.env);
    for (entry, path) in names {
        if is_about_mail(&entry.key) {
            let key = entry.key.clone();
            settings.put(draft, &path, &key, entry);
        }
    }
    if modules.is_empty() {
        let path = env_files.first().map(|source| source.path.clone()).unwrap_or_default();
        for entry in env.into_iter().filter(|entry| is_about_mail(&entry.key)) {
            let key = entry.key.clone();
            settings.put(draft, &path, &key, Entry { value: flag_of(&key, entry.value), ..entry });
        }
    }
    if let Some(Said { value, from }) = settings.text(draft, "EMAIL_URL") {
        url(&mut settings, draft, &value, &from)?;
    }
    way(&mut settings, draft)?;
    let address = settings.text(draft, "DEFAULT_FROM_EMAIL");
    application::sender(draft, address, None);
    for key in OTHERS {
        for id in settings.ids(&[key]) {
            draft.ledger.say(id, &NO_COUNTERPART, "it is about what Django writes, not about the way out");
        }
    }
    settings.leave(draft, &["ANYMAIL"], "EMAIL_BACKEND does not ask for it");
    application::switch(
        draft,
        "Django",
        "EMAIL_BACKEND of a package that calls sendmail, such as django-sendmail-backend",
    );
    Ok(())
}

/// Whether a name of the settings is about mail.
fn is_about_mail(name: &str) -> bool {
    name.starts_with("EMAIL_") || matches!(name, "DEFAULT_FROM_EMAIL" | "SERVER_EMAIL" | "ANYMAIL")
}

/// In a `.env` a truth value is a word.
fn flag_of(key: &str, value: Literal) -> Literal {
    match (&value, key) {
        (Literal::Text(text), "EMAIL_USE_TLS" | "EMAIL_USE_SSL") => {
            Literal::Flag(matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"))
        }
        _ => value,
    }
}

/// The settings while they are read.
struct Module<'a, 'b> {
    asked: &'a Inquiry<'a>,
    draft: &'b mut Draft,
    names: Vec<(Entry, PathBuf)>,
    env: Vec<Entry>,
}

impl Module<'_, '_> {
    /// Reads one module, and those that it takes over.
    fn run(&mut self, source: &SourceFile, depth: usize) -> Result<(), Failure> {
        let known: Vec<Entry> = self.names.iter().map(|(entry, _)| entry.clone()).collect();
        // What other modules set is known from where they are taken over on: twice is enough to know it.
        let first = self.statements(source, &known)?;
        for statement in &first {
            if let Act::ImportAll(name) = &statement.act {
                self.import(source, name, statement.line, statement.is_conditional, depth)?;
            }
        }
        let known: Vec<Entry> = self.names.iter().map(|(entry, _)| entry.clone()).collect();
        for statement in self.statements(source, &known)? {
            let Act::Set(name, value) = statement.act else { continue };
            if statement.is_conditional && is_about_mail(&name) {
                application::under_condition(self.draft, source, statement.line, &name);
                if self.names.iter().any(|(entry, _)| entry.key == name) {
                    continue;
                }
            }
            let value = if statement.is_conditional { Literal::Code } else { value };
            self.names.retain(|(entry, _)| entry.key != name);
            self.names.push((Entry { key: name, line: statement.line, value }, source.path.clone()));
        }
        Ok(())
    }

    fn statements(&self, source: &SourceFile, known: &[Entry]) -> Result<Vec<python::Statement>, Failure> {
        python::read(&source.text, known, &self.env)
            .map_err(|(line, why)| wrong(&source.path, line, format!("Python refuses the file here: {why}")))
    }

    /// `from NAME import *`: the file beside, where it is one.
    fn import(
        &mut self,
        source: &SourceFile,
        name: &str,
        line: usize,
        is_conditional: bool,
        depth: usize,
    ) -> Result<(), Failure> {
        let up = name.bytes().take_while(|b| *b == b'.').count();
        let path = name[up..].replace('.', "/");
        let directory = source.path.ancestors().nth(up.max(1)).unwrap_or(Path::new("/"));
        // An absolute name begins somewhere above: its last part is looked for beside.
        let file = if up > 0 { path.as_str() } else { path.rsplit('/').next().unwrap_or_default() };
        let is_plain = !file.is_empty() && file.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '/');
        let found = if is_plain && depth < 4 { self.asked.find(&directory.join(format!("{file}.py")))? } else { None };
        match found {
            Some(other) if other.path != source.path && !is_conditional => self.run(&other, depth + 1),
            _ => {
                let id = self.draft.ledger.read(&source.path, line, "import *");
                let why =
                    format!("the names of {} are taken over there, which is not read: name its file, too", shown(name));
                self.draft.ledger.say(id, &COMPUTED, why);
                Ok(())
            }
        }
    }
}

/// django-environ's URL of the server.
fn url(
    settings: &mut Settings,
    draft: &mut Draft,
    text: &str,
    from: &[super::draft::ledger::Id],
) -> Result<(), Failure> {
    let url = Url::parse(text).map_err(|why| settings.wrong("EMAIL_URL", &format!("EMAIL_URL {why}")))?;
    let (tls, ssl) = match url.scheme.as_str() {
        "smtp" => (false, false),
        "smtps" | "smtp+tls" => (true, false),
        "smtp+ssl" => (false, true),
        "consolemail" | "filemail" | "memorymail" | "dummymail" => {
            return Err(settings.wrong("EMAIL_URL", "its EMAIL_URL sends nothing, and there is nothing to import"));
        }
        _ => return Err(settings.wrong("EMAIL_URL", "EMAIL_URL has a scheme that is not known here")),
    };
    draft.ledger.carry(from);
    let values = [
        ("EMAIL_HOST", Some(Literal::text(url.host)).filter(is_true)),
        ("EMAIL_PORT", url.port.map(|port| Literal::Number(i64::from(port)))),
        ("EMAIL_HOST_USER", url.username.map(Literal::text)),
        ("EMAIL_HOST_PASSWORD", url.password.map(Literal::Text)),
        ("EMAIL_USE_TLS", tls.then_some(Literal::Flag(true))),
        ("EMAIL_USE_SSL", ssl.then_some(Literal::Flag(true))),
    ];
    for (key, value) in values {
        if let (Some(value), false) = (value, settings.has(key)) {
            settings.put_known(from[0], Entry { key: key.to_owned(), line: 0, value }, Path::new(""));
        }
    }
    Ok(())
}

/// The backend, and what it sends by.
fn way(settings: &mut Settings, draft: &mut Draft) -> Result<(), Failure> {
    let backend = settings.text(draft, "EMAIL_BACKEND");
    let Said { value, from } = match backend {
        Some(Said { value, from }) => Said { value: value.to_string(), from },
        None => Said::own("django.core.mail.backends.smtp.EmailBackend".to_owned()),
    };
    let parts: Vec<&str> = value.split('.').collect();
    if let ["anymail", "backends", name, ..] = parts[..] {
        let Some((_, provider, keys)) = APIS.iter().find(|(known, ..)| *known == name) else {
            return Err(settings
                .wrong("EMAIL_BACKEND", "its EMAIL_BACKEND is a provider that is not known here")
                .hint("`mailchute providers` lists those that are"));
        };
        draft.ledger.carry(&from);
        settings.leave(draft, SERVER, "EMAIL_BACKEND sends by an API");
        return api(settings, provider, keys, &from, draft);
    }
    let is_smtp = value.ends_with(".smtp.EmailBackend");
    let sends_nothing = ["console", "filebased", "locmem", "dummy"].iter().any(|word| parts.contains(word));
    match (is_smtp, sends_nothing) {
        (true, _) => draft.ledger.carry(&from),
        (false, true) => {
            return Err(settings
                .wrong("EMAIL_BACKEND", "its EMAIL_BACKEND sends nothing, and there is nothing to import")
                .hint("name the settings of the host that sends"));
        }
        (false, false) => {
            return Err(settings
                .wrong("EMAIL_BACKEND", "its EMAIL_BACKEND is none that is known here")
                .hint("set up a relay: sudo mailchute init"));
        }
    }
    server(settings, draft)
}

/// A truth value, as Python takes it.
fn flag(settings: &Settings, draft: &mut Draft, key: &str) -> Said<bool> {
    let Some((value, id)) = settings.get(key) else { return Said::own(false) };
    match value {
        Literal::Variable(..) | Literal::Code => {
            settings.text(draft, key);
            match value {
                Literal::Variable(_, Some(default)) => Said::new(is_true(default), id),
                _ => Said::new(false, id),
            }
        }
        value => {
            if matches!(value, Literal::Text(text) if matches!(text.to_ascii_lowercase().as_str(), "false" | "0" | "no" | "off"))
            {
                draft.ledger.say(id, &MISREAD, "Python takes it for true, as it is a text");
            }
            Said::new(is_true(value), id)
        }
    }
}

fn server(settings: &Settings, draft: &mut Draft) -> Result<(), Failure> {
    let host = match settings.has("EMAIL_HOST") {
        true => settings.host(draft, "EMAIL_HOST", "EMAIL_HOST")?,
        false => Said::own("localhost".to_owned()),
    };
    let mut smarthost = Smarthost::new("Django", "main", host);
    smarthost.port = Some(settings.port(draft, "EMAIL_PORT")?.unwrap_or(Said::own(25)));
    let (tls, ssl) = (flag(settings, draft, "EMAIL_USE_TLS"), flag(settings, draft, "EMAIL_USE_SSL"));
    if tls.value && ssl.value {
        return Err(
            settings.wrong("EMAIL_USE_SSL", "EMAIL_USE_TLS and EMAIL_USE_SSL are both on, and Django refuses that")
        );
    }
    let value = match (tls.value, ssl.value) {
        (_, true) => TlsUse::Implicit,
        (true, false) => TlsUse::StartTls,
        (false, false) => TlsUse::None,
    };
    smarthost.tls = Said { value, from: [tls.from, ssl.from].concat() };
    // Without one of the two Django does not log in.
    let is_filled = |key: &str| {
        settings
            .get(key)
            .is_some_and(|(value, _)| is_true(value) || matches!(value, Literal::Variable(..) | Literal::Code))
    };
    match is_filled("EMAIL_HOST_USER") && is_filled("EMAIL_HOST_PASSWORD") {
        true => settings.login(draft, &mut smarthost, "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD"),
        false => {
            settings.leave(draft, &["EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD"], "only with both does Django log in");
        }
    }
    if let Some(Said { value, from }) = settings.text(draft, "EMAIL_TIMEOUT") {
        smarthost.more.push(("connect_timeout", Said { value: Written::Text(format!("{}s", *value)), from }));
    }
    let pair = (settings.text(draft, "EMAIL_SSL_CERTFILE"), settings.text(draft, "EMAIL_SSL_KEYFILE"));
    match pair {
        (Some(cert), Some(of)) => {
            let value = Written::Certificate(cert.value.to_string(), of.value.to_string());
            smarthost.more.push(("client_cert", Said { value, from: [cert.from, of.from].concat() }));
        }
        (Some(cert), None) => {
            smarthost
                .more
                .push(("client_cert", Said { value: Written::Text(cert.value.to_string()), from: cert.from }));
        }
        (None, of) => draft.say_all_of(
            &of.map(|of| of.from).unwrap_or_default(),
            &UNUSED,
            "there is no certificate that it would belong to",
        ),
    }
    draft.relay(smarthost);
    Ok(())
}

fn api(
    settings: &Settings,
    provider: &str,
    keys: &[(&str, &'static str)],
    from: &[super::draft::ledger::Id],
    draft: &mut Draft,
) -> Result<(), Failure> {
    let mut found = Vec::new();
    let anymail = settings.get("ANYMAIL").map(|(value, id)| (value.clone(), id));
    for (theirs, ours) in keys {
        let of_table = anymail.as_ref().and_then(|(table, id)| Some((table.at(&[theirs])?.value.clone(), *id)));
        let (value, id) = match of_table {
            Some((Literal::Text(text), id)) => (Some(text), Some(id)),
            Some((Literal::Variable(name, _), id)) => {
                draft.ledger.say(id, &COMPUTED, application::in_variable(&name, "Django"));
                (None, Some(id))
            }
            Some((_, id)) => {
                draft.ledger.say(id, &COMPUTED, "its key is known only when Django runs");
                (None, Some(id))
            }
            None => (None, None),
        };
        let from: Vec<_> = id.into_iter().collect();
        let is_open = matches!((*ours, provider), ("domain", _) | ("api_key", "mailjet"));
        match (value, id) {
            (Some(text), _) if is_open => found.push((*ours, Said { value: Written::Text(text.to_string()), from })),
            (Some(text), Some(id)) => found.push((*ours, secret(&text, id))),
            _ if is_open => {}
            _ => {
                draft.say_all(
                    &from,
                    theirs,
                    &super::draft::code::PASSWORD,
                    "there is no key that could be taken along",
                );
                found.push((*ours, Said { value: Written::Wanted, from }));
            }
        }
    }
    if let Some((table, id)) = &anymail {
        let rest =
            table.leaves().into_iter().filter(|leaf| !keys.iter().any(|(theirs, _)| *theirs == leaf.key)).count();
        if rest > 0 {
            draft.ledger.say(*id, &NO_COUNTERPART, "it holds more than the key");
        }
    }
    application::api(draft, provider, from, found);
    Ok(())
}
